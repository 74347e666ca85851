//! An approval as it is answered: the whole for approvers, the state alone for whoever asked.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::timestamp;
use crate::hall::approvals::{Approval, Contents, ContentsDifference, SimilarApprovals};
use crate::hall::{Hall, Token};

/// An approval, as approvers see it.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Approval)]
pub(super) struct ApprovalRow {
    pending_approval_id: String,
    /// pending or approved; and once it is over spent, denied, done, withdrawn, expired or void.
    state: &'static str,
    /// gatekeeper, executor or incident_commander: of what level whoever agrees must be.
    supervisor_level: &'static str,
    /// The token that asks.
    requested_by: Option<String>,
    tenant_id: String,
    worker_id: Option<String>,
    capability_id: String,
    env: &'static str,
    data_label: &'static str,
    /// gate or api.
    door: String,
    matched_rule_id: String,
    /// The policies that want a human.
    policies: Vec<String>,
    blast_score: Option<i64>,
    /// Why a human is asked.
    reason: String,
    /// That of the first request.
    correlation_id: String,
    /// The digest of exactly what would run: whoever agrees can send it along.
    digest: String,
    opened_at: String,
    /// When it is over, agreed to or not.
    expires_at: String,
    /// The tokens that have agreed.
    votes: Vec<String>,
    /// How many must agree.
    quorum: usize,
    /// Whether the token that reads this may agree; or take back what was agreed to.
    may_decide: bool,
    /// Why not.
    #[schema(required)]
    why_not: Option<String>,
    /// In the words of whoever ended it.
    #[schema(required)]
    note: Option<String>,
    /// The token that ended it, where somebody did.
    #[schema(required)]
    resolved_by: Option<String>,
    /// What would run: while nobody has decided, and for a token that may decide about data of this label.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    contents: Option<ShownContents>,
    /// What else waits of the same tenant, worker and capability: beside `contents`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    similar: Option<ShownSimilar>,
}

/// What else waits of the same tenant, worker and capability, through the same door.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SimilarApprovals)]
struct ShownSimilar {
    /// How many.
    count: usize,
    /// The newest of which this token sees what would run, 5 at most, and how that differs from this one.
    #[schema(max_items = 5)]
    compared: Vec<ShownDifference>,
}

/// How what would run differs from another that waits: lines, of JSON one for each value. Of a long line there is the beginning.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApprovalDifference)]
struct ShownDifference {
    /// The other.
    pending_approval_id: String,
    opened_at: String,
    /// Lines that only this one has.
    #[schema(max_items = 20)]
    only_here: Vec<String>,
    /// How many more it has.
    more_here: usize,
    /// Lines that only the other has.
    #[schema(max_items = 20)]
    only_there: Vec<String>,
    /// How many more the other has.
    more_there: usize,
}

/// Exactly what would run.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApprovalContents)]
pub(super) struct ShownContents {
    /// The method and where it goes; null for what was asked of the Hall itself.
    #[schema(required)]
    http: Option<String>,
    /// The headers that are forwarded, in their order; of a credential the hash of its value.
    headers: Vec<ShownHeader>,
    /// The body, or the caller's `request`.
    body: String,
    /// Whether `body` is hex digits, because it is no text.
    is_hex: bool,
    /// How many bytes it has.
    bytes: usize,
    /// Whether headers, body and the values of the query are kept from everybody, because of the label (`approvals.contents`).
    is_withheld: bool,
}

/// A header that is forwarded.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApprovalHeader)]
struct ShownHeader {
    name: String,
    value: String,
}

/// What becomes of what a token asked itself: for whoever waits.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OwnApproval)]
pub(super) struct OwnApproval {
    pending_approval_id: String,
    /// pending, approved (the same sent again goes through, once), spent, denied, done, withdrawn, expired or void.
    state: &'static str,
    supervisor_level: &'static str,
    expires_at: String,
    /// In the words of whoever ended it.
    #[schema(required)]
    note: Option<String>,
}

/// One of both, by who looks.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = SeenApproval)]
pub(super) enum SeenApproval {
    Whole(Box<ApprovalRow>),
    Own(OwnApproval),
}

impl ApprovalRow {
    /// As this token sees it.
    pub(super) fn of(hall: &Hall, approval: &Approval, token: &Token) -> Self {
        let why_not = match token.approver() {
            Some(approver) => hall.may_decide(approval, &approver).err().map(|why| why.to_string()),
            None => Some("the token lacks the scope `approve`".to_owned()),
        };
        let asked = &approval.asked;
        Self {
            pending_approval_id: approval.id.to_string(),
            state: approval.state.as_str(),
            supervisor_level: asked.level.as_str(),
            requested_by: approval.asker.token.as_ref().map(ToString::to_string),
            tenant_id: asked.tenant.to_string(),
            worker_id: asked.worker.as_deref().map(str::to_owned),
            capability_id: asked.capability.to_string(),
            env: asked.env.as_str(),
            data_label: asked.label.as_str(),
            door: asked.door.clone(),
            matched_rule_id: asked.rule.to_string(),
            policies: asked.policies.iter().map(ToString::to_string).collect(),
            blast_score: asked.blast_score,
            reason: asked.reason.clone(),
            correlation_id: asked.correlation_id.clone(),
            digest: asked.digest.to_hex(),
            opened_at: timestamp(approval.opened_at_micros),
            expires_at: timestamp(approval.expires_at_micros),
            votes: approval.votes.iter().map(|vote| vote.token.to_string()).collect(),
            quorum: hall.approval_quorum(asked.level),
            may_decide: why_not.is_none(),
            why_not,
            note: approval.note.as_deref().map(str::to_owned),
            resolved_by: approval.ended_by.as_ref().map(ToString::to_string),
            contents: None,
            similar: None,
        }
    }

    /// The same with what would run, and what else waits.
    pub(super) fn showing(self, contents: Contents, similar: SimilarApprovals) -> Self {
        let Contents { http, headers, body, is_hex, bytes, is_withheld } = contents;
        let headers = headers.into_iter().map(|(name, value)| ShownHeader { name, value }).collect();
        let contents = ShownContents { http, headers, body, is_hex, bytes, is_withheld };
        let compared = similar.compared.into_iter().map(|(other, differs)| ShownDifference::of(&other, differs));
        let similar = ShownSimilar { count: similar.count, compared: compared.collect() };
        Self { contents: Some(contents), similar: Some(similar), ..self }
    }
}

impl ShownDifference {
    /// From this other one.
    fn of(other: &Approval, differs: ContentsDifference) -> Self {
        let ContentsDifference { here: only_here, more_here, there: only_there, more_there } = differs;
        let (pending_approval_id, opened_at) = (other.id.to_string(), timestamp(other.opened_at_micros));
        Self { pending_approval_id, opened_at, only_here, more_here, only_there, more_there }
    }
}

impl OwnApproval {
    /// Of what this is.
    pub(super) fn of(approval: &Approval) -> Self {
        Self {
            pending_approval_id: approval.id.to_string(),
            state: approval.state.as_str(),
            supervisor_level: approval.asked.level.as_str(),
            expires_at: timestamp(approval.expires_at_micros),
            note: approval.note.as_deref().map(str::to_owned),
        }
    }
}

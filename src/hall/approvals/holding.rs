//! A held request: it is decided once more by what is in force now, and spends what was agreed to, or waits.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::{Approvals, now};
use crate::approvals::callback::MOST_CALLBACKS;
use crate::approvals::{Approval, Asker, Callback, CallbackKept, Contents, Entered, GrantClaim, HeldAsk, Opening};
use crate::clock::now_micros;
use crate::engine::{
    self, ApprovalMark, Binding, Decision, DenyCode, Facts, Granted, KeptRequest, Outcome, Question, RouteInput,
    Snapshot, Verdict,
};
use crate::hall::{Ask, Asking, Caller, CannotDecide, Door, Hall, Recorded, activation};
use crate::ids::{Digest, SupervisorLevel};
use crate::ledger::RecordError;

/// How often it is decided anew what becomes of one request, where steps of others come between.
const TURNS: usize = 4;

/// A request that is held, of which nothing is recorded yet.
pub struct HeldRequest {
    ask: Ask,
}

/// What would run.
pub struct HeldContents<'a> {
    /// Its digest.
    pub subject: Digest,
    /// What an approver sees of it; only made where one is asked.
    pub contents: &'a (dyn Fn() -> Contents + Sync),
    /// The approval that this has waited for: it opens no other.
    pub returning: Option<Uuid>,
    /// Where whoever asks is told that somebody has decided; one that [may be called](Hall::may_call_back).
    pub callback: Option<Callback>,
}

impl fmt::Debug for HeldRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldRequest").finish_non_exhaustive()
    }
}

impl HeldRequest {
    pub(in crate::hall) const fn of(ask: Ask) -> Self {
        Self { ask }
    }

    /// What is asked.
    #[must_use]
    pub const fn input(&self) -> &RouteInput {
        &self.ask.input
    }

    /// Who asks.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.ask.caller
    }
}

/// The same question, put to what is in force now.
struct Turn {
    snapshot: Arc<Snapshot>,
    question: Question,
    verdict: Verdict,
    kept: Option<Box<KeptRequest>>,
}

impl Hall {
    /// Has a held request spend what was agreed to, or wait for a human. When this returns, the entry is committed.
    ///
    /// # Errors
    /// It cannot be kept, looked up or recorded now: the caller gets 503 and nothing may be forwarded.
    pub async fn hold(self: &Arc<Self>, held: HeldRequest, what: HeldContents<'_>) -> Result<Recorded, CannotDecide> {
        let approvals = self.approvals.get().filter(|approvals| approvals.is_ready());
        let approvals = approvals.ok_or(CannotDecide::Approvals).inspect_err(|_| self.count_undecided())?;
        let ruled = self.hold_in(approvals, held.ask, what).await;
        ruled.inspect_err(|why| {
            if *why == CannotDecide::Approvals {
                self.count_undecided();
            }
        })
    }

    async fn hold_in(
        self: &Arc<Self>,
        approvals: &Approvals,
        ask: Ask,
        what: HeldContents<'_>,
    ) -> Result<Recorded, CannotDecide> {
        let Ask { caller, input, door, raw_body, observed_until } = ask;
        self.require_online(door)?;
        self.room_for(Some(input.qos_class)).inspect_err(|_| self.cannot_record())?;
        let asker = Asker { token: caller.token.clone(), owner: caller.owner.clone() };
        let asking = |kept| Asking {
            token: caller.token.clone(),
            door,
            raw_body,
            worker_optional: caller.binding.worker_optional,
            kept,
        };
        for _ in 0..TURNS {
            let began = Instant::now();
            let turn = self.turn(&input, &caller.binding, observed_until).await;
            let Turn { snapshot, question, verdict, kept } = turn;
            if verdict.outcome != Outcome::Hold || !snapshot.settings.may_ask() {
                // What is in force has changed since it was held.
                let place = self.place(door, &input.tenant_id, input.qos_class);
                let (verdict, place) = match place {
                    Ok(place) => (verdict, place),
                    Err(why) => (engine::shed(why), None),
                };
                let decision = Decision::new(input, Arc::new(verdict), &snapshot, false);
                return self.record_decision(decision, asking(kept), place, began).await;
            }
            if door == Door::Api
                && let Some((decision, receipt)) = approvals.repeated.find(&what.subject, &input.correlation_id)
            {
                return Ok(Recorded::new(decision, receipt, self.ledger.clone(), Arc::clone(&self.recent), None));
            }
            let basis = engine::basis(&question, &snapshot, input.data_label, &verdict);
            let basis = basis.ok_or(CannotDecide::Approvals)?;
            let asked = asked(&input, door, &verdict, what.subject, basis);
            let owner = caller.owner.clone();
            let answer = |verdict: Verdict, approval: Option<ApprovalMark>| {
                let decision = Decision::new(input.clone(), Arc::new(verdict), &snapshot, false);
                Decision { approval: approval.map(Box::new), ..decision }
            };
            let denied = |code, message: String| answer(verdict.denied_instead(code, message), None);
            let decision = match approvals.book.enter(&asked, &asker, now(), what.returning) {
                Entered::Stale(step) => {
                    self.make_step(step).await?;
                    continue;
                }
                Entered::Busy => return Err(CannotDecide::Approvals),
                Entered::TooMany(why) => denied(DenyCode::TooManyPending, why),
                Entered::Refused(approval) => denied(DenyCode::RefusedByHuman, refused(&approval)),
                Entered::Over(approval) => {
                    let mut held = verdict.clone();
                    if let Some(denial) = &mut held.denial {
                        denial.message = format!(
                            "what was waited for is {}; asking again asks a human again",
                            approval.state.as_str()
                        );
                    }
                    answer(held, None)
                }
                Entered::Pending(approval) => {
                    if is_told(approvals, &approval, what.callback.as_ref()).await? {
                        let mark = pending(&approval, owner);
                        answer(held_for(&verdict, mark.level), Some(mark))
                    } else {
                        denied(DenyCode::TooManyPending, too_many_callbacks())
                    }
                }
                Entered::New(opening) => {
                    if let Some(callback) = what.callback.clone() {
                        approvals.book.call_back(opening.approval().id, callback);
                    }
                    let contents = approvals.book.kept(input.data_label, (what.contents)());
                    let kept_contents = approvals.store.keep(opening.approval(), contents).await;
                    kept_contents.map_err(|_| CannotDecide::Approvals)?;
                    let mark = ApprovalMark { opens: true, ..pending(opening.approval(), owner) };
                    return self.open(opening, answer(verdict, Some(mark)), asking(kept), began).await;
                }
                Entered::Granted(claim) => {
                    let place = match self.place(door, &input.tenant_id, input.qos_class) {
                        Ok(place) => place,
                        Err(why) => {
                            claim.release();
                            let decision = answer(engine::shed(why), None);
                            return self.record_decision(decision, asking(kept), None, began).await;
                        }
                    };
                    let granted = engine::decide_granted(&question, &snapshot, claim.approval().asked.level);
                    if granted.outcome != Outcome::Dispatch {
                        claim.release();
                        return self.record_decision(answer(granted, None), asking(kept), place, began).await;
                    }
                    let decision = answer(granted, Some(spent(&claim, owner)));
                    let recorded = self.record_decision(decision, asking(kept), place, began).await;
                    return match recorded {
                        Ok(recorded) => {
                            approvals.book.saw(recorded.receipt().recorded_at_micros());
                            claim.spent();
                            if door == Door::Api {
                                approvals.repeated.note(what.subject, recorded.decision(), recorded.receipt());
                            }
                            Ok(recorded)
                        }
                        Err(why) => {
                            // Otherwise the disk may have it: dropped, the claim counts as spent.
                            if is_never_written(&why) {
                                claim.release();
                            }
                            Err(why)
                        }
                    };
                }
            };
            return self.record_decision(decision, asking(kept), None, began).await;
        }
        Err(CannotDecide::Approvals)
    }

    /// Records that somebody is asked. It is in a task of its own: whoever asks may leave, and what is on record is there. What is not,
    /// or may not be, was never there: nobody is told of it.
    async fn open(
        self: &Arc<Self>,
        opening: Opening,
        decision: Decision,
        asking: Asking,
        began: Instant,
    ) -> Result<Recorded, CannotDecide> {
        let hall = Arc::clone(self);
        let opened = activation::make_in_time(async move {
            let recorded = hall.record_decision(decision, asking, None, began).await?;
            if let Some(approvals) = hall.approvals.get() {
                approvals.book.saw(recorded.receipt().recorded_at_micros());
            }
            opening.opened();
            hall.metrics.approvals_opened.inc();
            Ok(recorded)
        });
        opened.await.map_err(CannotDecide::Record)?
    }

    /// Records that a held request is denied, because it cannot wait for anybody.
    ///
    /// # Errors
    /// The entry could not be committed: the caller gets 503.
    pub async fn deny_held(
        &self,
        held: HeldRequest,
        code: DenyCode,
        message: String,
    ) -> Result<Recorded, CannotDecide> {
        let Ask { caller, input, door, raw_body, observed_until } = held.ask;
        let began = Instant::now();
        let Turn { snapshot, verdict, kept, .. } = self.turn(&input, &caller.binding, observed_until).await;
        // Whatever else stands against it by now says more.
        let verdict = if verdict.outcome == Outcome::Deny { verdict } else { verdict.denied_instead(code, message) };
        let worker_optional = caller.binding.worker_optional;
        let asking = Asking { token: caller.token, door, raw_body, worker_optional, kept };
        self.record_decision(Decision::new(input, Arc::new(verdict), &snapshot, false), asking, None, began).await
    }

    pub(super) fn count_undecided(&self) {
        self.metrics.cannot_decide.inc();
    }

    /// Decides by what is in force now.
    async fn turn(&self, input: &RouteInput, binding: &Binding, observed_until: Option<i64>) -> Turn {
        let observed = observed_until.is_some_and(|until| now_micros() < until);
        let facts = Facts { binding: binding.clone(), observed };
        let snapshot = self.snapshot.load_full();
        let question = self.source_hashes.know(Question::ask(input, &facts, &snapshot), &snapshot).await;
        let verdict = engine::decide(&question, &snapshot);
        let kept = if self.keeps_request { snapshot.kept(&input.request) } else { None };
        Turn { snapshot, question, verdict, kept }
    }
}

/// Whether there is no entry, and there will be none.
const fn is_never_written(why: &CannotDecide) -> bool {
    matches!(why, CannotDecide::Record(RecordError::QueueFull | RecordError::Closed | RecordError::Broken(_)))
}

fn asked(input: &RouteInput, door: Door, verdict: &Verdict, digest: Digest, basis: Digest) -> HeldAsk {
    HeldAsk {
        digest,
        basis,
        level: verdict.gated.supervisor.unwrap_or(SupervisorLevel::IncidentCommander),
        tenant: Arc::clone(&input.tenant_id),
        worker: input.worker_id.clone(),
        capability: Arc::clone(&input.capability_id),
        env: input.env,
        label: input.data_label,
        door: door.as_str().to_owned(),
        rule: Arc::clone(&verdict.matched_rule_id),
        policies: verdict.gated.policies.to_vec(),
        blast_score: verdict.blast_score,
        reason: verdict.denial.as_ref().map(|denial| denial.message.clone()).unwrap_or_default(),
        correlation_id: input.correlation_id.to_string(),
    }
}

fn mark(approval: &Approval, owner: Option<Arc<str>>, granted: Option<Granted>) -> ApprovalMark {
    ApprovalMark {
        id: approval.id.to_string().into(),
        digest: approval.asked.digest,
        basis: approval.asked.basis,
        level: approval.asked.level,
        expires_at_micros: approval.expires_at_micros,
        owner,
        opens: false,
        granted,
    }
}

fn pending(approval: &Approval, owner: Option<Arc<str>>) -> ApprovalMark {
    mark(approval, owner, None)
}

fn spent(claim: &GrantClaim, owner: Option<Arc<str>>) -> ApprovalMark {
    mark(claim.approval(), owner, Some(Granted { by: claim.by(), entry: claim.entry() }))
}

/// The hold as it stands: somebody may have escalated what waits.
fn held_for(verdict: &Verdict, level: SupervisorLevel) -> Verdict {
    let mut held = verdict.clone();
    held.gated.supervisor = Some(level);
    if let Some(denial) = &mut held.denial {
        denial.extras.insert("supervisor_level", level.as_str().into());
    }
    held
}

/// Has whoever joins what waits told, too, when it is decided. `false`: too many are told already.
async fn is_told(
    approvals: &Approvals,
    approval: &Approval,
    callback: Option<&Callback>,
) -> Result<bool, CannotDecide> {
    let Some(callback) = callback else { return Ok(true) };
    match approvals.book.call_back(approval.id, callback.clone()) {
        CallbackKept::Known => Ok(true),
        CallbackKept::TooMany => Ok(false),
        CallbackKept::Gone => Err(CannotDecide::Approvals),
        CallbackKept::New => {
            let kept = approvals.store.keep_callbacks(approval.id).await;
            kept.map(|()| true).map_err(|_| CannotDecide::Approvals)
        }
    }
}

fn too_many_callbacks() -> String {
    format!("{MOST_CALLBACKS} who ask for the same are told already; ask again without `callback_url`")
}

/// What whoever asks again is told of a no.
fn refused(approval: &Approval) -> String {
    let who = approval.ended_by.as_ref().map_or("a human", |token| token.as_str());
    let note = approval.note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
    let what = match &approval.state {
        crate::approvals::State::Done => "has done it: nothing is left to run",
        _ => "said no",
    };
    format!("`{who}` {what}{note}")
}

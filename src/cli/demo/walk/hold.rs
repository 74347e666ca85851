//! One hold: a request waits for a human, who sees exactly what would run and agrees; the same sent again runs, once.

use serde_json::Value;

use super::{Call, Expect, Way, json_of, order, step};
use crate::cli::approvals;
use crate::cli::demo::call::APPROVER_VARIABLE;
use crate::engine::DenyCode;

impl Way<'_> {
    /// Walks it. Where nothing is held, there is no more to walk.
    pub(super) async fn hold(&mut self) {
        let held = Expect::Refused(DenyCode::RequiresHumanApproval);
        let write = || order(self.doors.gate).with_header("wcp-data-label", "CONFIDENTIAL");
        let (first, again, anew) = (write(), write(), write());
        let title = "The same write of CONFIDENTIAL data: the rule wants a human, so it is held, and somebody is asked";
        let Some(id) = self.take(&step(title, first, held)).await.pending else { return };
        let Some(digest) = self.look(&id).await else { return };
        if !self.agree(&id, &digest).await {
            return;
        }
        self.take(&step("The same sent again runs, once", again, Expect::Forwarded(201))).await;
        let title = "And once more: what was agreed to is spent, and a human is asked anew";
        let asked = self.take(&step(title, anew, held)).await;
        if asked.pending.is_none_or(|another| another == id) {
            self.fail("this should wait for another approval");
        }
    }

    /// What the approver sees; the digest of it.
    async fn look(&mut self, id: &str) -> Option<String> {
        let hall = self.doors.hall;
        self.begin(
            "What an approver sees of it, by a token of her own",
            &format!("HALL_SESSION_TOKEN=${APPROVER_VARIABLE} hallgate approvals show {id} --hall-url {hall}"),
        );
        let call = Call::get(format!("{hall}/wcp/approvals/{id}")).with_approver(self.doors.approver);
        let (status, seen) = self.asked(&call).await?;
        for line in approvals::whole(&seen).lines() {
            self.page.line(format_args!("        {}", self.page.faint(line)));
        }
        let body = seen.pointer("/contents/body").and_then(Value::as_str).unwrap_or_default();
        if status != 200 || !body.contains("bolt M8") {
            self.fail("this should show what would run");
            return None;
        }
        seen.get("digest").and_then(Value::as_str).map(str::to_owned)
    }

    /// Whether the approver can agree.
    async fn agree(&mut self, id: &str, digest: &str) -> bool {
        let body = format!(r#"{{"pending_approval_id":"{id}","resolution":"approve","digest":"{digest}"}}"#);
        let call = Call::post(format!("{}/wcp/approvals/resolve", self.doors.hall), body);
        let call = call.with_approver(self.doors.approver);
        self.begin("She agrees to exactly that", &call.to_string());
        let Some((status, said)) = self.asked(&call).await else { return false };
        let state = said.get("state").and_then(Value::as_str).unwrap_or_default();
        let is_agreed = status == 200 && state == "approved";
        if is_agreed {
            let until = said.get("expires_at").and_then(Value::as_str).unwrap_or_default();
            self.page.line(format_args!("   200  {}", self.page.yes("approved")));
            self.page.line(format_args!("        it may run once, until {until}"));
        } else {
            self.fail(&format!("this should be 200, approved, and is {status}"));
        }
        is_agreed
    }

    async fn asked(&mut self, call: &Call) -> Option<(u16, Value)> {
        let sent = call.request(&self.client).send().await.map_err(|error| format!("no answer: {error}"));
        let answer = match sent {
            Ok(answer) => {
                let status = answer.status().as_u16();
                json_of(answer).await.map(|body| (status, body))
            }
            Err(error) => Err(error),
        };
        answer.map_err(|error| self.fail(&error)).ok()
    }

    fn fail(&mut self, wrong: &str) {
        self.wrong += 1;
        self.page.line(format_args!("   {} {wrong}", self.page.no("NOT AS IT MUST BE:")));
    }
}

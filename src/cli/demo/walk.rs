//! The walk: the requests that show what hallgate does, each with what must come of it.

mod hold;

use std::time::{Duration, Instant};

use serde_json::Value;

use super::call::{Call, client};
use super::page::Page;
use super::upstream::SampleUpstream;
use crate::engine::DenyCode;
use crate::outbound::{HttpClient, Response};

/// What the walk needs to know of the demo.
#[derive(Debug)]
pub struct Doors<'a> {
    /// The gate's base URL.
    pub gate: &'a str,
    /// The Hall's base URL.
    pub hall: &'a str,
    /// The session token.
    pub token: &'a str,
    /// An approver's.
    pub approver: &'a str,
    /// What stands behind the gate.
    pub upstream: &'a SampleUpstream,
}

/// How many entries the ledger must hold after the walk.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Decisions, dry ones too.
    pub decisions: u64,
    /// Exchanges that were forwarded and have ended.
    pub outcomes: u64,
}

/// One request of the walk.
struct Step {
    title: &'static str,
    call: Call,
    expect: Expect,
}

/// What must come of a request.
#[derive(Clone, Copy)]
enum Expect {
    /// The upstream itself refuses: the request went around the gate.
    Nothing,
    /// The gate forwards, and the upstream answers with this status.
    Forwarded(u16),
    /// The same, and the answer arrives in pieces over time.
    Streamed,
    /// The gate answers with a decision to dispatch, and forwards nothing.
    Dry,
    /// The gate denies and forwards nothing.
    Refused(DenyCode),
    /// The Hall answers: allowed, or denied with this code.
    Answered(Option<DenyCode>),
}

/// What came of a request.
#[derive(Default)]
struct Seen {
    status: u16,
    decision_id: Option<String>,
    verdict: &'static str,
    code: Option<String>,
    reason: String,
    /// The approval that it waits for.
    pending: Option<String>,
    shown: Vec<String>,
    /// What is not as it must be.
    wrong: Option<String>,
}

/// Takes every step and shows it. Gives what the ledger must hold now, or how many steps went wrong.
///
/// # Errors
/// The number of steps that went another way than they must.
pub async fn walk(doors: &Doors<'_>, page: &Page) -> Result<Expected, usize> {
    let Ok(client) = client(doors.gate) else {
        page.line("   no client can be made");
        return Err(1);
    };
    let mut way = Way { client, doors, page, steps: 0, wrong: 0, expected: Expected::default() };
    for step in steps(doors) {
        way.take(&step).await;
    }
    way.hold().await;
    if way.wrong == 0 { Ok(way.expected) } else { Err(way.wrong) }
}

/// What was taken of the walk.
struct Way<'a> {
    client: HttpClient,
    doors: &'a Doors<'a>,
    page: &'a Page,
    steps: usize,
    wrong: usize,
    expected: Expected,
}

impl Way<'_> {
    /// Says what comes next, and what to copy for it.
    fn begin(&mut self, title: &str, command: &str) {
        self.steps += 1;
        self.page.title(&format!("{}  {title}", self.steps));
        self.page.line(format_args!("   {}", self.page.faint(&format!("$ {command}"))));
    }

    /// Takes a step and shows it.
    async fn take(&mut self, step: &Step) -> Seen {
        self.begin(step.title, &step.call.to_string());
        let before = self.doors.upstream.answered();
        let seen = take(&self.client, step).await;
        let seen = seen.unwrap_or_else(|error| Seen { wrong: Some(error), ..Seen::default() });
        let forwarded = self.doors.upstream.answered() - before;
        let seen = seen.held_to(step.expect, forwarded);
        seen.show(self.page);
        self.wrong += usize::from(seen.wrong.is_some());
        self.expected.decisions += u64::from(!matches!(step.expect, Expect::Nothing));
        self.expected.outcomes += u64::from(matches!(step.expect, Expect::Forwarded(_) | Expect::Streamed));
        seen
    }
}

const fn step(title: &'static str, call: Call, expect: Expect) -> Step {
    Step { title, call, expect }
}

/// A write, as an app sends it.
fn order(gate: &str) -> Call {
    Call::post(format!("{gate}/orders"), r#"{"item":"bolt M8","quantity":40}"#)
}

fn steps(doors: &Doors<'_>) -> Vec<Step> {
    let Doors { gate, hall, token, upstream, approver: _ } = doors;
    let chat = |stream: &str| {
        let body =
            format!(r#"{{"model":"sample-1","messages":[{{"role":"user","content":"What may I do?"}}]{stream}}}"#);
        Call::post(format!("{gate}/v1/chat/completions"), body)
    };
    let (whole, streamed) = ("", r#","stream":true"#);
    // The body of the Make page.
    let route = |worker: &str| {
        let body = format!(
            r#"{{"capability_id":"cap.data.write.v1","worker_id":"{worker}","env":"prod","data_label":"INTERNAL","tenant_id":"org.acme"}}"#
        );
        Call::post(format!("{hall}/api/route"), body).with_token(token)
    };
    vec![
        step(
            "Around the gate: the upstream answers nobody without the credential that only the gate holds",
            Call::get(format!("http://{}/orders/1", upstream.addr())),
            Expect::Nothing,
        ),
        step(
            "A model call through the gate: an app with nothing changed but its base URL",
            chat(whole),
            Expect::Forwarded(200),
        ),
        step(
            "The same call, dry: decided and recorded, forwarded nowhere; the answer says why",
            chat(whole).with_header("wcp-dry-run", "true"),
            Expect::Dry,
        ),
        step("The same call, streamed: each token passes as it comes", chat(streamed), Expect::Streamed),
        step(
            "A write: the order remembers the decision under which it was written",
            order(gate),
            Expect::Forwarded(201),
        ),
        step(
            "The same write of RESTRICTED data: the rule asks for a control that this worker does not implement",
            order(gate).with_header("wcp-data-label", "RESTRICTED"),
            Expect::Refused(DenyCode::MissingRequiredControls),
        ),
        step(
            "A worker that nobody has enrolled asks the Hall",
            route("wrk_nobody_acme_prod"),
            Expect::Answered(Some(DenyCode::WorkerNotEnrolled)),
        ),
        step("Make asks the Hall, as its HTTP module sends it", route("wrk_make_acme_prod"), Expect::Answered(None)),
    ]
}

/// Sends a step's request and reads what comes of it.
async fn take(client: &HttpClient, step: &Step) -> Result<Seen, String> {
    let began = Instant::now();
    let sent = step.call.request(client).send().await;
    let answer = sent.map_err(|error| format!("no answer: {error}"))?;
    let status = answer.status().as_u16();
    let decision_id = header(&answer, "wcp-decision-id");
    let receipt = header(&answer, "wcp-receipt").unwrap_or_default();
    let forwarded = |shown| Seen {
        status,
        decision_id: decision_id.clone(),
        verdict: "forwarded",
        reason: format!("decided and recorded first: receipt {receipt}"),
        shown,
        ..Seen::default()
    };
    // The gate's own answers have a decision id, too, but no good status.
    let passed = decision_id.is_some() && status < 400;
    match step.expect {
        Expect::Streamed if passed => {
            let stream = Stream::read(answer, began).await?;
            Ok(Seen { wrong: stream.wrong(), ..forwarded(stream.shown()) })
        }
        Expect::Forwarded(_) if passed => {
            let body = json_of(answer).await?;
            let said = body.pointer("/choices/0/message/content").unwrap_or(&body);
            // The upstream was told the decision's id, and this answer repeats it.
            let told = body.get("decision_id").and_then(Value::as_str);
            let wrong = told
                .filter(|told| Some(*told) != decision_id.as_deref())
                .map(|told| format!("the upstream was told of the decision {told}"));
            Ok(Seen { wrong, ..forwarded(vec![said.to_string()]) })
        }
        _ => Ok(answered(status, &json_of(answer).await?)),
    }
}

/// What an answer of the gate's or the Hall's own says.
fn answered(status: u16, body: &Value) -> Seen {
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let denied = body.get("denied").and_then(Value::as_bool);
    let rule = text("matched_rule_id").unwrap_or_default();
    let blast = body
        .get("blast_score")
        .and_then(Value::as_i64)
        .map_or_else(String::new, |score| format!(", blast score {score}"));
    let keys = ["denied", "selected_worker_species_id", "artifact_hash"];
    let shown =
        keys.iter().filter_map(|key| Some(format!("{key}: {}", body.get(key).filter(|value| !value.is_null())?)));
    Seen {
        status,
        decision_id: text("decision_id"),
        verdict: match denied {
            Some(true) => "denied",
            Some(false) => "allowed",
            None => "refused by the upstream",
        },
        code: text("code").or_else(|| text("deny_code")),
        reason: match denied {
            Some(false) => format!("rule {rule} matches{blast}"),
            Some(true) => text("reason").unwrap_or_default(),
            None => body.pointer("/error/message").and_then(Value::as_str).unwrap_or_default().to_owned(),
        },
        pending: text("pending_approval_id"),
        shown: if denied == Some(false) { shown.collect() } else { Vec::new() },
        wrong: None,
    }
}

impl Seen {
    /// Holds it to what must come of the request. `forwarded` is how many requests reached the upstream meanwhile.
    fn held_to(mut self, expect: Expect, forwarded: u64) -> Self {
        let (status, verdict, code, reaches) = match expect {
            Expect::Nothing => (401, "refused by the upstream", None, 0),
            Expect::Forwarded(status) => (status, "forwarded", None, 1),
            Expect::Streamed => (200, "forwarded", None, 1),
            Expect::Dry => (200, "allowed", None, 0),
            Expect::Refused(code) => (403, "denied", Some(code), 0),
            Expect::Answered(code) => (200, if code.is_some() { "denied" } else { "allowed" }, code, 0),
        };
        let code = code.map(DenyCode::as_str);
        let decided = !matches!(expect, Expect::Nothing);
        if self.wrong.is_some() {
            return self;
        }
        if (self.status, self.verdict, self.code.as_deref()) != (status, verdict, code) {
            let code = code.map_or_else(String::new, |code| format!(" with {code}"));
            self.wrong = Some(format!("this should be {status}, {verdict}{code}"));
        } else if self.decision_id.is_some() != decided {
            self.wrong = Some("this should have a decision id, unless it went around the gate".to_owned());
        } else if forwarded != reaches {
            self.wrong = Some(format!("{forwarded} requests reached the upstream, and {reaches} should"));
        }
        self
    }

    fn show(&self, page: &Page) {
        if self.status != 0 {
            let verdict = match (self.verdict, &self.code) {
                (verdict, Some(code)) => page.no(&format!("{verdict}: {code}")),
                (verdict @ "refused by the upstream", None) => page.no(verdict),
                (verdict, None) => page.yes(verdict),
            };
            let decision = self.decision_id.as_ref().map_or_else(String::new, |id| format!("  decision {id}"));
            page.line(format_args!("   {}  {verdict}{decision}", self.status));
            page.line(format_args!("        {}", self.reason));
        }
        for line in &self.shown {
            page.line(format_args!("        {}", page.faint(line)));
        }
        if let Some(wrong) = &self.wrong {
            page.line(format_args!("   {} {wrong}", page.no("NOT AS IT MUST BE:")));
        }
    }
}

/// A streamed answer: each token, and when it came.
struct Stream {
    tokens: Vec<(Duration, String)>,
    done: bool,
}

impl Stream {
    async fn read(mut answer: Response, began: Instant) -> Result<Self, String> {
        let mut stream = Self { tokens: Vec::new(), done: false };
        let mut unread = String::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| format!("the stream broke off: {error}"))? {
            let at = began.elapsed();
            unread.push_str(&String::from_utf8_lossy(&chunk));
            while let Some((event, rest)) = unread.split_once("\n\n") {
                stream.event(at, event);
                unread = rest.to_owned();
            }
        }
        Ok(stream)
    }

    fn event(&mut self, at: Duration, event: &str) {
        let data = event.trim_start_matches("data: ");
        self.done |= data == "[DONE]";
        let chunk: Value = serde_json::from_str(data).unwrap_or_default();
        let token = chunk.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or_default();
        if !token.is_empty() {
            self.tokens.push((at, token.trim_end().to_owned()));
        }
    }

    /// The first tokens with their times, and the whole.
    fn shown(&self) -> Vec<String> {
        let ms = |at: &Duration| at.as_millis();
        let first: Vec<String> =
            self.tokens.iter().take(6).map(|(at, token)| format!("{} ms {token}", ms(at))).collect();
        let last = self.tokens.last().map_or(0, |(at, _)| ms(at));
        vec![format!("{} …", first.join("  ")), format!("{} tokens, the last after {last} ms", self.tokens.len())]
    }

    /// Why this was no stream. The upstream waits 30 ms at least before each token; had anything on the way held them
    /// together, most would have come at once.
    fn wrong(&self) -> Option<String> {
        if !self.done {
            return Some("the stream ended without [DONE]".to_owned());
        }
        let apart = self.tokens.windows(2).filter(|pair| match pair {
            [(before, _), (after, _)] => after.saturating_sub(*before) >= Duration::from_millis(10),
            _ => false,
        });
        let apart = apart.count();
        (apart * 2 < self.tokens.len())
            .then(|| format!("only {apart} of {} tokens came on their own", self.tokens.len()))
    }
}

fn header(answer: &Response, name: &str) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().ok()?.to_owned())
}

async fn json_of(answer: Response) -> Result<Value, String> {
    answer.json().await.map_err(|error| format!("the answer is no JSON: {error}"))
}

#[cfg(test)]
mod tests;

//! Callers: each has a connection of its own, plans what is sent on it, and knows what must come back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderValue, Request};
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Book;
use super::plan::{Abilities, EXCHANGE, Fate, Framing, Leaves, Plan, text};
use super::strict::{Broken, Reader};
use super::upstream::{pieces, send};
use crate::doors::Doors;
use crate::random::Random;
use crate::wire::PATIENCE;

/// The most exchanges on one connection.
const EXCHANGES: u64 = 12;
/// One of so many connections is reset while something is under way on it.
const RESET: u64 = 6;
/// The latest moment for that, in microseconds: behind most answers.
const LATEST: u64 = 30_000;

/// How a connection stands behind an exchange.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    GoesOn,
    Ends,
}

/// How much the caller may send of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    NotYet,
    Continue,
    Answered,
}

/// One connection over HTTP/1.1, with some exchanges one after the other, or sent at once.
pub async fn over_http1(doors: &Doors, book: &Arc<Book>, random: &mut Random) {
    let by_reset = random.one_in(2);
    let stream = if by_reset { doors.http1_reset().await.stream } else { doors.http1().await.stream };
    let (read, mut write) = split(stream);
    let mut reader = Reader::new(read);
    let mut left = 1 + random.below(EXCHANGES);
    let mut last = String::from("nothing");
    while left > 0 {
        let count = if random.one_in(3) { (2 + random.below(3)).min(left) } else { 1 };
        left -= count;
        let is_reset = by_reset && random.one_in(RESET);
        let plans: Vec<Plan> = (0..count)
            .map(|nth| {
                let can = Abilities {
                    leaves: count == 1,
                    ends: nth + 1 == count,
                    is_reset,
                    http1: true,
                    http1_upstream: book.http1_upstream(),
                };
                book.plan(can, random)
            })
            .collect();
        let moment = moment(is_reset, random);
        let (tell, asked) = watch::channel(Asked::NotYet);
        let mut sending = Box::pin(async {
            for plan in &plans {
                request(&mut write, plan, asked.clone(), &mut Random::new(!plan.number)).await;
            }
            // Whoever leaves in the middle of a request waits for nothing.
            plans.iter().any(|plan| plan.leaves == Leaves::InTheRequest)
        });
        let answers = async {
            for (nth, plan) in plans.iter().enumerate() {
                match answer(&mut reader, plan, &tell).await {
                    Ok(Then::GoesOn) => book.answered(plan),
                    Ok(Then::Ends) => {
                        book.answered(plan);
                        // What was sent behind it is not even looked at.
                        plans[nth + 1..].iter().for_each(|plan| book.unanswered(plan));
                        return Then::Ends;
                    }
                    Err(fault) => {
                        book.fault(format!("{fault}, the {nth}. of {count}, behind {last}"));
                        return Then::Ends;
                    }
                }
                last = format!("{plan:?}");
            }
            Then::GoesOn
        };
        let mut answers = Box::pin(answers);
        let then = tokio::select! {
            then = &mut answers => {
                // An answer that came early does not end the request, nor does a refusal.
                if then == Then::GoesOn && sending.await { Then::Ends } else { then }
            }
            leaves = &mut sending => if leaves { Then::Ends } else {
                tokio::select! {
                    then = &mut answers => then,
                    () = at(moment) => Then::Ends,
                }
            },
            () = at(moment) => Then::Ends,
        };
        if then == Then::Ends {
            return;
        }
    }
}

/// The moment at which a connection is reset, if it is.
fn moment(is_reset: bool, random: &mut Random) -> Option<Instant> {
    is_reset.then(|| Instant::now() + Duration::from_micros(random.below(LATEST)))
}

/// Waits for that moment.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Sends a request, or as much of it as the plan says.
async fn request(
    to: &mut (impl AsyncWrite + Unpin),
    plan: &Plan,
    mut asked: watch::Receiver<Asked>,
    random: &mut Random,
) {
    let version = if plan.old { "0\r\nConnection: keep-alive" } else { "1" };
    let mut head = format!("{} {} HTTP/1.{version}\r\nHost: gate.example\r\n", plan.method, plan.path());
    for (name, value) in plan.headers() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if plan.expects {
        head.push_str("Expect: 100-continue\r\n");
    }
    if plan.upgrades {
        head.push_str("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    let body = plan.body();
    let mut framed = Vec::new();
    match plan.framing {
        Framing::Length => {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            framed.extend(body);
        }
        Framing::Chunked | Framing::Trailers => {
            head.push_str("Transfer-Encoding: chunked\r\n");
            for piece in pieces(&body, random) {
                // Sizes are written in more than one way.
                framed.extend(
                    match random.below(4) {
                        0 => format!("{:X}\r\n", piece.len()),
                        1 => format!("000{:x}\r\n", piece.len()),
                        2 => format!("{:x};name=value;other=\"quoted\"\r\n", piece.len()),
                        _ => format!("{:x}\r\n", piece.len()),
                    }
                    .bytes(),
                );
                framed.extend(piece);
                framed.extend(b"\r\n");
            }
            let trailers = plan.framing == Framing::Trailers;
            framed.extend(if trailers { &b"0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n"[..] } else { b"0\r\n\r\n" });
        }
        Framing::Nothing | Framing::Close => {}
    }
    head.push_str("\r\n");
    let mut whole = head.into_bytes();
    if plan.expects {
        send(to, &whole, random).await;
        if told(&mut asked, |asked| asked != Asked::NotYet).await != Some(Asked::Continue) {
            return;
        }
        whole = framed;
    } else {
        whole.extend(framed);
    }
    // As often as not, what is meant for the upgraded connection is sent before that is there.
    let upgraded = if plan.answer.status == 101 { text(plan.number, plan.answer.length) } else { Vec::new() };
    let at_once = random.one_in(2);
    if at_once {
        whole.extend(&upgraded);
    }
    if plan.leaves == Leaves::InTheRequest {
        whole.truncate(usize::try_from(random.below(whole.len() as u64)).unwrap());
    }
    send(to, &whole, random).await;
    if !upgraded.is_empty()
        && !at_once
        && plan.leaves != Leaves::InTheRequest
        && told(&mut asked, |asked| asked == Asked::Answered).await.is_some()
    {
        send(to, &upgraded, random).await;
    }
}

/// What the caller was told once it is this.
async fn told(asked: &mut watch::Receiver<Asked>, what: impl Fn(Asked) -> bool) -> Option<Asked> {
    let told = timeout(PATIENCE, asked.wait_for(|asked| what(*asked))).await;
    told.ok()?.ok().map(|asked| *asked)
}

/// Reads the answer to one request.
async fn answer<R>(reader: &mut Reader<R>, plan: &Plan, tell: &watch::Sender<Asked>) -> Result<Then, String>
where
    R: AsyncRead + Unpin,
{
    let leaves_early = plan.leaves == Leaves::InTheRequest;
    let head = loop {
        let head = match reader.head().await {
            Ok(Some(head)) => head,
            Ok(None) | Err(Broken::CutOff) if leaves_early => return Ok(Then::Ends),
            Ok(None) => return Err(format!("no answer came to {plan:?}")),
            Err(broken) => return Err(format!("in the answer to {plan:?}: {broken}")),
        };
        let status = head.status();
        if status == 101 || status >= 200 {
            break head;
        }
        if plan.fate != Fate::Forwarded || plan.old || (status == 100) != plan.expects && status == 100 {
            return Err(format!("an interim answer that nobody gave came for {plan:?}: {head:?}"));
        }
        if status == 100 {
            tell.send_replace(Asked::Continue);
        }
    };
    tell.send_replace(Asked::Answered);
    if let Some(wrong) = plan.wrong(head.status(), head.header(EXCHANGE)) {
        return Err(wrong);
    }
    if plan.leaves == Leaves::InTheAnswer {
        return Ok(Then::Ends);
    }
    if head.status() == 101 {
        let said = reader.take(plan.answer.length).await;
        let expected = text(plan.number, plan.answer.length);
        return match said {
            Ok(said) if said == expected => Ok(Then::Ends),
            said => Err(format!("the upgraded connection of {plan:?} says something else: {said:?}")),
        };
    }
    if plan.method == "HEAD" || matches!(head.status(), 204 | 304) {
        return Ok(then(&head, plan));
    }
    let (body, whole) =
        reader.body(&head, true).await.map_err(|broken| format!("in the answer to {plan:?}: {broken}"))?;
    ended(plan, head.status(), &body, whole)?;
    Ok(if whole { then(&head, plan) } else { Then::Ends })
}

fn then(head: &super::strict::Head, plan: &Plan) -> Then {
    // Whoever expected more and was not asked for it does not send it, and can send nothing else either.
    let unsent = plan.expects && (plan.answer.early || plan.fate != Fate::Forwarded);
    if head.closes() || unsent { Then::Ends } else { Then::GoesOn }
}

/// Whether an answer is what its plan says to its end.
fn ended(plan: &Plan, status: u16, body: &[u8], whole: bool) -> Result<(), String> {
    let expected = plan.answer_body();
    let right = match plan.fate {
        _ if status == 502 => true,
        // Its connection is reset.
        _ if plan.leaves == Leaves::AtAnyMoment && !whole => true,
        // To HTTP/1.0 an end is an end.
        Fate::Forwarded if plan.answer.breaks_off => (!whole || plan.old) && expected.starts_with(body),
        Fate::Forwarded => whole && expected == body,
        Fate::Malformed => whole,
        Fate::Denied | Fate::NoRoute => {
            let id = format!("\"correlation_id\":\"{}\"", super::plan::correlation(plan.number));
            whole && String::from_utf8_lossy(body).contains(&id)
        }
    };
    if right {
        return Ok(());
    }
    let body = body[..body.len().min(300)].escape_ascii();
    Err(format!("{} bytes (whole: {whole}) are not the answer to {plan:?}: {body}", expected.len()))
}

/// One connection over HTTP/2, with some exchanges at once, again and again.
pub async fn over_http2(doors: &Doors, book: &Arc<Book>, random: &mut Random) {
    let (mut sender, connection) = doors.http2_reset().await;
    for _ in 0..1 + random.below(4) {
        let mut streams = Vec::new();
        let is_reset = random.one_in(RESET);
        for _ in 0..1 + random.below(6) {
            let can =
                Abilities { leaves: true, ends: true, is_reset, http1: false, http1_upstream: book.http1_upstream() };
            let plan = book.plan(can, random);
            let Ok(ready) = sender.ready().await else {
                return book.fault(format!("the connection ended before {plan:?}"));
            };
            sender = ready;
            match begin(&mut sender, &plan) {
                Ok((answer, stream)) => streams.push((plan, answer, stream)),
                Err(error) => return book.fault(format!("{plan:?} cannot be sent: {error}")),
            }
        }
        let moment = moment(is_reset, random);
        let mut running = Vec::new();
        for (plan, answer, stream) in streams {
            let book = Arc::clone(book);
            running.push(tokio::spawn(async move {
                match exchange(&plan, answer, stream).await {
                    Ok(()) => book.answered(&plan),
                    Err(fault) => book.fault(fault),
                }
            }));
        }
        let mut running = join_all(running);
        tokio::select! {
            ended = &mut running => ended.into_iter().for_each(Result::unwrap),
            () = at(moment) => {
                connection.abort();
                running.await.into_iter().for_each(Result::unwrap);
                return;
            }
        }
    }
}

fn begin(sender: &mut SendRequest<Bytes>, plan: &Plan) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
    let mut request =
        Request::builder().method(plan.method.as_str()).uri(format!("http://gate.example{}", plan.path()));
    for (name, value) in plan.headers() {
        request = request.header(name, value);
    }
    if plan.framing == Framing::Length {
        request = request.header("content-length", plan.length);
    }
    sender.send_request(request.body(()).unwrap(), plan.framing == Framing::Nothing)
}

async fn exchange(plan: &Plan, answer: ResponseFuture, mut stream: SendStream<Bytes>) -> Result<(), String> {
    let mut random = Random::new(!plan.number);
    let sending = async {
        // The gate may say that it needs no more of it; then there is nobody to send it to.
        let _ = send_body(plan, &mut stream, &mut random).await;
        if plan.leaves == Leaves::InTheRequest {
            stream.send_reset(Reason::CANCEL);
        }
    };
    let ((), answer) = tokio::join!(sending, timeout(PATIENCE, answer));
    if plan.leaves == Leaves::InTheRequest {
        return Ok(());
    }
    let answer = answer.map_err(|_| format!("no answer came to {plan:?}"))?;
    if answer.is_err() && plan.leaves == Leaves::AtAnyMoment {
        return Ok(());
    }
    let answer = answer.map_err(|error| format!("no answer came to {plan:?}: {error}"))?;
    let status = answer.status().as_u16();
    if let Some(wrong) = plan.wrong(status, answer.headers().get(EXCHANGE).and_then(|own| own.to_str().ok())) {
        return Err(wrong);
    }
    if plan.leaves == Leaves::InTheAnswer {
        stream.send_reset(Reason::CANCEL);
        return Ok(());
    }
    let mut incoming = answer.into_body();
    let mut body = Vec::new();
    loop {
        match timeout(PATIENCE, incoming.data()).await {
            Ok(Some(Ok(piece))) => {
                body.extend(&piece);
                let _ = incoming.flow_control().release_capacity(piece.len());
            }
            Ok(None) => return if plan.method == "HEAD" { Ok(()) } else { ended(plan, status, &body, true) },
            Ok(Some(Err(_))) => return ended(plan, status, &body, false),
            Err(_) => return Err(format!("nothing comes of the answer to {plan:?}")),
        }
    }
}

/// Sends a body as its plan says, with pieces that are empty wherever they may be.
async fn send_body(plan: &Plan, stream: &mut SendStream<Bytes>, random: &mut Random) -> Result<(), h2::Error> {
    if plan.framing == Framing::Nothing {
        return Ok(());
    }
    let mut body = plan.body();
    if plan.leaves == Leaves::InTheRequest {
        body.truncate(usize::try_from(random.below(body.len() as u64 + 1)).unwrap());
    }
    let pieces = pieces(&body, random);
    let ends_with_data = plan.framing != Framing::Trailers && plan.leaves != Leaves::InTheRequest && random.one_in(3);
    for (nth, piece) in pieces.iter().enumerate() {
        while random.one_in(4) {
            stream.send_data(Bytes::new(), false)?;
        }
        let end = ends_with_data && nth + 1 == pieces.len();
        stream.send_data(Bytes::copy_from_slice(piece), end)?;
        if random.one_in(2) {
            tokio::task::yield_now().await;
        }
    }
    if plan.leaves == Leaves::InTheRequest || (ends_with_data && !pieces.is_empty()) {
        return Ok(());
    }
    while random.one_in(3) {
        stream.send_data(Bytes::new(), false)?;
    }
    if plan.framing == Framing::Trailers {
        return stream.send_trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("1"))]));
    }
    stream.send_data(Bytes::new(), true)
}

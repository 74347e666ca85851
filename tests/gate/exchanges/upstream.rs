//! Upstreams that parse every byte that they get, and answer each request as its plan says.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::Book;
use super::plan::{EXCHANGE, Framing, HEADER, Leaves, Plan, text};
use super::strict::Reader;
use crate::random::Random;
use crate::wire::PATIENCE;

/// Starts one that speaks HTTP/1.1, or HTTP/2 with prior knowledge.
pub async fn start(book: &Arc<Book>, http1: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let book = Arc::clone(book);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let book = Arc::clone(&book);
            tokio::spawn(async move {
                let served = if http1 { serve(stream, &book).await } else { serve_http2(stream, &book).await };
                if let Err(fault) = served {
                    book.fault(fault);
                }
            });
        }
    });
    address
}

/// Notes a request that has come.
fn note<'a>(book: &Book, first: &str, header: impl Fn(&str) -> Option<&'a str>) -> Result<Plan, String> {
    let plan = header(HEADER).and_then(|plan| serde_json::from_str::<Plan>(plan).ok());
    let plan = plan.ok_or_else(|| format!("nobody sent the request `{first}`"))?;
    if first != format!("{} {}", plan.method, plan.path()) {
        return Err(format!("`{first}` is not the request of {plan:?}"));
    }
    let (Some(decision), Some(correlation)) = (header("wcp-decision-id"), header("wcp-correlation-id")) else {
        return Err(format!("`{first}` came without a decision"));
    };
    book.forwarded(&plan, decision, correlation)?;
    Ok(plan)
}

/// What is wrong with a request's body, if anything is.
fn body_fault(plan: &Plan, body: &[u8], whole: bool) -> Option<String> {
    let expected = plan.body();
    let right = if whole { body == expected } else { expected.starts_with(body) };
    // One whose answer came early need not be sent to its end.
    let may_be_cut = plan.leaves != Leaves::Never || plan.answer.early;
    (!right || (!whole && !may_be_cut)).then(|| {
        let body = body[..body.len().min(200)].escape_ascii();
        format!("{} bytes (whole: {whole}) are not the body of {plan:?}: {body}", expected.len())
    })
}

async fn serve(stream: TcpStream, book: &Book) -> Result<(), String> {
    let (read, mut write) = split(stream);
    let mut reader = Reader::new(read);
    let mut last = String::from("nothing");
    loop {
        let head = reader.head().await.map_err(|broken| format!("at the upstream, behind {last}: {broken}"))?;
        let Some(head) = head else { return Ok(()) };
        let first = head.first.strip_suffix(" HTTP/1.1").unwrap_or_default();
        let plan = note(book, first, |name| head.header(name)).map_err(|fault| format!("{fault}, behind {last}"))?;
        last = format!("{plan:?}");
        if head.header("host").is_none() || head.header("upgrade").is_some() != plan.upgrades {
            return Err(format!("the head is not that of {last}: {head:?}"));
        }
        let mut random = Random::new(plan.number);
        let mut answer = interim(&plan);
        if plan.answer.status == 101 {
            if !reader.ahead().is_empty() {
                return Err(format!("something was sent before the upgrade was taken: {last}"));
            }
            return upgraded(&plan, reader, write, answer).await;
        }
        if plan.expects && !plan.answer.early {
            answer.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        if plan.answer.early {
            answer.extend(self::answer(&plan, &mut random));
        }
        if plan.answer.early && plan.answer.resets {
            reset(reader.into_source().unsplit(write), &answer, &mut random).await;
            return Ok(());
        }
        say(&mut write, &answer, &plan, &mut random).await;
        let closes = plan.answer.breaks_off || plan.answer.unsound || plan.answer.framing == Framing::Close;
        if plan.answer.early && closes {
            let _ = write.shutdown().await;
        }
        let read = reader.body(&head, false).await;
        let (body, whole) = read.map_err(|broken| format!("at the upstream, in the body of {last}: {broken}"))?;
        if let Some(fault) = body_fault(&plan, &body, whole) {
            return Err(fault);
        }
        if !whole {
            return Ok(());
        }
        if !plan.answer.early {
            let answer = self::answer(&plan, &mut random);
            if plan.answer.resets {
                reset(reader.into_source().unsplit(write), &answer, &mut random).await;
                return Ok(());
            }
            say(&mut write, &answer, &plan, &mut random).await;
        }
        if closes {
            let _ = write.shutdown().await;
        }
        if closes || plan.answer.says_more {
            let more = reader.rest().await.map_err(|broken| format!("behind the end of {last}: {broken}"))?;
            return if more.is_empty() {
                Ok(())
            } else {
                Err(format!("a connection was used again behind {last}: {}", more.escape_ascii()))
            };
        }
    }
}

fn interim(plan: &Plan) -> Vec<u8> {
    (0..plan.answer.interim)
        .flat_map(|nth| match (plan.number + nth) % 3 {
            0 => b"HTTP/1.1 102 Processing\r\n\r\n".to_vec(),
            _ => format!("HTTP/1.1 103 Early Hints\r\nLink: </{nth}>; rel=preload\r\n\r\n").into_bytes(),
        })
        .collect()
}

fn answer(plan: &Plan, random: &mut Random) -> Vec<u8> {
    let answer = &plan.answer;
    let body = plan.answer_body();
    if answer.unsound {
        return unsound(plan).into_bytes();
    }
    let mut bytes = format!("HTTP/1.1 {} Planned\r\n{EXCHANGE}: {}\r\n", answer.status, plan.number).into_bytes();
    // These have no body whatever they say, and 204 may not say anything.
    let framed = plan.answer_has_body() || (plan.method == "HEAD" && answer.status == 200);
    match answer.framing {
        Framing::Length | Framing::Nothing if framed => {
            // What breaks off has one byte less than it says.
            let length = answer.length + usize::from(answer.breaks_off);
            bytes.extend(format!("Content-Length: {length}\r\n\r\n").bytes());
            bytes.extend(&body);
        }
        Framing::Chunked | Framing::Trailers if framed => {
            bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            if plan.answer_has_body() {
                for piece in pieces(&body, random) {
                    bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
                    bytes.extend(piece);
                    bytes.extend(b"\r\n");
                }
                match answer.framing {
                    _ if answer.breaks_off => {}
                    Framing::Trailers => bytes.extend(b"0\r\nX-Sum: 1\r\n\r\n"),
                    _ => bytes.extend(b"0\r\n\r\n"),
                }
            }
        }
        // Without an end it cannot be seen to break off.
        Framing::Close => {
            let length =
                if answer.breaks_off { format!("Content-Length: {}\r\n", answer.length + 1) } else { String::new() };
            bytes.extend(format!("{length}Connection: close\r\n\r\n").bytes());
            bytes.extend(&body);
        }
        _ => bytes.extend(b"\r\n"),
    }
    if answer.says_more {
        bytes.extend(text(plan.number, 500));
        bytes.extend(format!("HTTP/1.1 200 OK\r\n{EXCHANGE}: nobody's\r\nContent-Length: 2\r\n\r\nno").bytes());
    }
    bytes
}

/// An answer that may not be passed on.
fn unsound(plan: &Plan) -> String {
    let exchange = format!("{EXCHANGE}: {}\r\n", plan.number);
    let rest = "Connection: upgrade\r\nUpgrade: other\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    match plan.number % 4 {
        0 => format!("HTTP/1.1 101 Unasked\r\n{exchange}{rest}"),
        1 => format!("HTTP/1.1 200 OK\r\n{exchange}Content-Length: 2\r\nContent-Length: 3\r\n\r\nno!"),
        2 => format!("HTTP/1.1 200 OK\r\n{exchange}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"),
        _ => format!("HTTP/1.0 200 OK\r\n{exchange}Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"),
    }
}

/// A text in pieces, none of them empty.
pub fn pieces<'a>(mut whole: &'a [u8], random: &mut Random) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !whole.is_empty() {
        let most = whole.len() as u64;
        let size = if random.one_in(2) { most } else { 1 + random.below(most) };
        let (piece, rest) = whole.split_at(usize::try_from(size).unwrap());
        pieces.push(piece);
        whole = rest;
    }
    pieces
}

/// Sends all of it, as often in pieces as not. Whoever is not there to get it is missed elsewhere.
pub async fn send(to: &mut (impl AsyncWrite + Unpin), whole: &[u8], random: &mut Random) {
    let pieces = if random.one_in(2) { vec![whole] } else { pieces(whole, random) };
    for piece in pieces {
        if to.write_all(piece).await.and(to.flush().await).is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Sends an answer up to any byte of it, and resets the connection: what is on its way by then may not arrive.
async fn reset(mut to: TcpStream, answer: &[u8], random: &mut Random) {
    let end = usize::try_from(random.below(answer.len() as u64 + 1)).unwrap();
    send(&mut to, &answer[..end], random).await;
    to.set_zero_linger().unwrap();
}

/// Sends an answer. One that says more says it in one go: what comes later could be the answer to a later request.
async fn say(to: &mut (impl AsyncWrite + Unpin), answer: &[u8], plan: &Plan, random: &mut Random) {
    if plan.answer.says_more {
        let _ = to.write_all(answer).await;
    } else {
        send(to, answer, random).await;
    }
}

/// Says back what comes until it ends.
async fn upgraded<R, W>(plan: &Plan, mut reader: Reader<R>, mut write: W, mut answer: Vec<u8>) -> Result<(), String>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    answer.extend(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    answer.extend(format!("{EXCHANGE}: {}\r\n\r\n", plan.number).bytes());
    if write.write_all(&answer).await.is_err() {
        return Ok(());
    }
    let length = plan.answer.length;
    let Ok(said) = reader.take(length).await else { return Ok(()) };
    if said != text(plan.number, length) {
        return Err(format!("another text came than was sent on the upgraded connection of {plan:?}"));
    }
    let _ = write.write_all(&said).await;
    let _ = reader.rest().await;
    Ok(())
}

async fn serve_http2(stream: TcpStream, book: &Arc<Book>) -> Result<(), String> {
    let mut connection = h2::server::handshake(stream).await.map_err(|error| format!("no HTTP/2 came: {error}"))?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request.map_err(|error| format!("what came is no HTTP/2: {error:?}"))?;
        let book = Arc::clone(book);
        tokio::spawn(async move {
            if let Err(fault) = serve_stream(request, respond, &book).await {
                book.fault(fault);
            }
        });
    }
    Ok(())
}

async fn serve_stream(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    book: &Book,
) -> Result<(), String> {
    let (head, mut incoming) = request.into_parts();
    let first = format!("{} {}", head.method, head.uri.path());
    let plan = note(book, &first, |name| head.headers.get(name)?.to_str().ok())?;
    let mut random = Random::new(plan.number);
    if plan.answer.early {
        answer_stream(&plan, &mut respond, &mut random);
    } else if plan.expects {
        let _ = respond.send_informational(Response::builder().status(100).body(()).unwrap());
    }
    let mut body = Vec::new();
    let mut whole = true;
    loop {
        match timeout(PATIENCE, incoming.data()).await {
            Ok(Some(Ok(piece))) => {
                body.extend(&piece);
                let _ = incoming.flow_control().release_capacity(piece.len());
            }
            Ok(Some(Err(_))) => whole = false,
            Ok(None) => break,
            Err(_) => return Err(format!("nothing comes of the body of {plan:?}")),
        }
        if !whole {
            break;
        }
    }
    if let Some(fault) = body_fault(&plan, &body, whole) {
        return Err(fault);
    }
    if whole && !plan.answer.early {
        answer_stream(&plan, &mut respond, &mut random);
    }
    Ok(())
}

/// Whoever is not there to get it is missed elsewhere.
fn answer_stream(plan: &Plan, respond: &mut h2::server::SendResponse<Bytes>, random: &mut Random) {
    for _ in 0..plan.answer.interim {
        let _ = respond.send_informational(Response::builder().status(103).header("link", "</a>").body(()).unwrap());
    }
    let mut head = Response::builder().status(plan.answer.status).header(EXCHANGE, plan.number);
    let body = plan.answer_body();
    let has_body = plan.answer_has_body();
    if has_body && plan.answer.framing == Framing::Length {
        head = head.header("content-length", body.len() + usize::from(plan.answer.breaks_off));
    }
    let Ok(mut stream) = respond.send_response(head.body(()).unwrap(), !has_body) else { return };
    if !has_body {
        return;
    }
    // Without empty ones in between: `h2` allows for a hundred of them in the life of a connection, and then ends it.
    for piece in pieces(&body, random) {
        let _ = stream.send_data(Bytes::copy_from_slice(piece), false);
    }
    if plan.answer.breaks_off {
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
    } else if plan.answer.framing == Framing::Trailers {
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("1"))]);
        let _ = stream.send_trailers(trailers);
    } else {
        let _ = stream.send_data(Bytes::new(), true);
    }
}

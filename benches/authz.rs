//! The smallest service that a proxy can ask before it forwards: Envoy by `ext_authz`, over gRPC or plain HTTP, and nginx by
//! `auth_request`. It looks one header up among two hundred capabilities and says yes or no; it keeps no record.
//!
//! `cargo bench --bench authz -- 127.0.0.1:9100`. For `benches/pod.py`, which counts what it costs to whom asks it. Real ones do more:
//! so what is measured is the least that asking costs.
#![expect(clippy::print_stderr, reason = "a tool says how it is called")]

use std::collections::HashSet;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use mimalloc::MiMalloc;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const CLAIM: &str = "wcp-capability";
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
/// A gRPC frame around `CheckResponse { status: { code: OK } }`, and around one with `PERMISSION_DENIED`.
const OK: &[u8] = &[0, 0, 0, 0, 2, 0x0a, 0];
const DENIED: &[u8] = &[0, 0, 0, 0, 4, 0x0a, 2, 0x08, 7];

fn main() -> Result<(), Box<dyn Error>> {
    // cargo adds an argument of its own.
    let Some(listen) = std::env::args().skip(1).filter(|argument| argument != "--bench").find_map(|at| at.parse().ok())
    else {
        eprintln!("usage: authz <listen>, such as 127.0.0.1:9100");
        return Ok(());
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(listen))
}

async fn serve(listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    let allowed: HashSet<String> =
        (0..199).map(|at| format!("cap.bench.n{at}")).chain(["cap.data.read.v1".to_owned()]).collect();
    let allowed = Arc::new(allowed);
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let allowed = allowed.clone();
        tokio::spawn(async move {
            let answer = hyper::service::service_fn(move |request| answer(request, allowed.clone()));
            // Who asks has gone away: nothing to be done.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    allowed: Arc<HashSet<String>>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    if request.uri().path() != CHECK {
        let claim = request.headers().get(CLAIM).and_then(|claim| claim.to_str().ok());
        let yes = claim.is_some_and(|claim| allowed.contains(claim));
        let mut response = Response::new(Full::default().boxed());
        *response.status_mut() = if yes { StatusCode::OK } else { StatusCode::FORBIDDEN };
        return Ok(response);
    }
    let body = request.into_body().collect().await?.to_bytes();
    let yes = claimed(&body).is_some_and(|claim| allowed.contains(claim));
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let message = Full::new(Bytes::from_static(if yes { OK } else { DENIED }));
    let mut response = Response::new(message.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// The capability in a framed `CheckRequest`: among `attributes.request.http.headers`, a map of texts.
fn claimed(frame: &[u8]) -> Option<&str> {
    let attributes = field(frame.get(5..)?, 1)?;
    let http = field(field(attributes, 4)?, 2)?;
    let headers = Fields(http).filter(|(number, _)| *number == 3);
    let claim = headers.map(|(_, pair)| pair).find(|pair| field(pair, 1) == Some(CLAIM.as_bytes()))?;
    std::str::from_utf8(field(claim, 2)?).ok()
}

fn field(message: &[u8], wanted: u64) -> Option<&[u8]> {
    Fields(message).find(|(number, _)| *number == wanted).map(|(_, value)| value)
}

/// The fields of a protobuf message that have a length, by number; numbers are passed over.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let tag = self.number()?;
            match tag & 7 {
                0 => _ = self.number()?,
                1 => _ = self.take(8)?,
                2 => {
                    let length = self.number()?.try_into().ok()?;
                    return Some((tag >> 3, self.take(length)?));
                }
                5 => _ = self.take(4)?,
                _ => return None,
            }
        }
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

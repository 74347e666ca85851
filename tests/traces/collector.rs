//! A collector over real sockets: it answers as the test says, and reads what it gets with the messages that OpenTelemetry publishes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;
use support::PATIENCE;

/// How a collector answers a request.
#[derive(Debug, Clone, Copy)]
pub enum Mood {
    /// It takes everything.
    Takes,
    /// It takes all but so many spans.
    Rejects(i64),
    /// It answers with this status.
    Says(u16),
    /// It wants to be asked again after this.
    Limits(&'static str),
    /// It never answers.
    Hangs,
}

/// One request that came.
#[derive(Debug, Clone)]
pub struct Posted {
    pub head: String,
    /// As it was before it was compressed.
    pub body: Vec<u8>,
}

/// A collector. It stops with the test.
#[derive(Debug, Clone)]
pub struct Collector {
    pub address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Collector {
    pub fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Self { address, mood: Arc::new(Mutex::new(mood)), posted: Arc::default() };
        let serving = collector.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(&connection.unwrap()));
            }
        });
        collector
    }

    /// Where it is, for the environment.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it answers so.
    pub fn turn(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Every request that came.
    pub fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    /// Waits until so many spans have come, and gives all in the order in which they began.
    #[track_caller]
    pub fn spans(&self, at_least: usize) -> Vec<Span> {
        let began = Instant::now();
        loop {
            let mut spans: Vec<Span> = self.resources().into_iter().flat_map(spans_of).collect();
            spans.sort_by_key(|span| span.start_time_unix_nano);
            if spans.len() >= at_least {
                return spans;
            }
            assert!(began.elapsed() < PATIENCE, "only {} spans have come: {spans:#?}", spans.len());
            thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// What came, by process.
    pub fn resources(&self) -> Vec<ResourceSpans> {
        let read = |posted: Posted| ExportTraceServiceRequest::decode(&*posted.body).unwrap().resource_spans;
        self.posted().into_iter().flat_map(read).collect()
    }

    fn serve(&self, connection: &TcpStream) {
        let mut reader = BufReader::new(connection);
        while let Some(posted) = read(&mut reader) {
            self.posted.lock().unwrap().push(posted);
            let mood = *self.mood.lock().unwrap();
            let (status, rejected) = match mood {
                Mood::Takes => (200, None),
                Mood::Rejects(spans) => (200, Some(spans)),
                Mood::Says(status) => (status, None),
                Mood::Limits(_) => (429, None),
                Mood::Hangs => {
                    // Until the other side has given up.
                    let _ = reader.read_to_end(&mut Vec::new());
                    return;
                }
            };
            let partial_success = rejected.map(|rejected_spans| ExportTracePartialSuccess {
                rejected_spans,
                error_message: "too old".to_owned(),
            });
            let body = ExportTraceServiceResponse { partial_success }.encode_to_vec();
            let retry_after =
                if let Mood::Limits(after) = mood { format!("retry-after: {after}\r\n") } else { String::new() };
            let head = format!(
                "HTTP/1.1 {status} Said\r\ncontent-type: application/x-protobuf\r\n{retry_after}content-length: {}\r\n\r\n",
                body.len()
            );
            if (&mut &*connection).write_all(&[head.as_bytes(), &body].concat()).is_err() {
                return;
            }
        }
    }
}

/// One request with a body of a length that it says.
fn read(reader: &mut BufReader<&TcpStream>) -> Option<Posted> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let mut body = vec![0; header("content-length")?.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    if header("content-encoding") == Some("gzip") {
        let mut plain = Vec::new();
        GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
        body = plain;
    }
    Some(Posted { head, body })
}

fn spans_of(resource: ResourceSpans) -> Vec<Span> {
    resource.scope_spans.into_iter().flat_map(|scope| scope.spans).collect()
}

/// A text, number or flag of some attributes as text; `None` when it is not there. No attribute is there twice.
pub fn said(attributes: &[KeyValue], key: &str) -> Option<String> {
    let mut found = attributes.iter().filter(|attribute| attribute.key == key);
    let value = found.next()?.value.clone()?.value?;
    assert!(found.next().is_none(), "{key} is there twice");
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => panic!("{key} is {other:?}"),
    })
}

/// Ids as they are in headers.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! TLS from the outside: both doors, clients' certificates, upstreams, and what a change of files does and does not do.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "tls/authority.rs"]
mod authority;
#[path = "tls/mirror.rs"]
mod mirror;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use authority::{Authority, GATE, Issued, client, over};
use mirror::Mirror;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, StreamOwned};
use serde_json::Value;
use support::{Fixture, PATIENCE, Process, TOKEN, get, rest, root, status, until};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A fixture whose files of certificates are in a folder `now`, which a change swaps as Kubernetes does.
struct Keys {
    fixture: Fixture,
    mirror: Mirror,
    versions: usize,
}

impl Keys {
    /// `gate` and `hall` are the lines that their sections have besides.
    fn new(gate: &str, hall: &str, upstream: Option<Arc<ServerConfig>>) -> Self {
        let scheme = if upstream.is_some() { "https" } else { "http" };
        let mirror = Mirror::start(upstream);
        let (fixture, at) = (Fixture::sample(mirror.address), mirror.address);
        let headers = "headers: { authorization: Bearer of-the-upstream }";
        fixture.edit(&format!("\"http://{at}\""), &format!("\"{scheme}://{at}\", {headers}"));
        fixture.edit("hall:\n", &format!("{gate}hall:\n{hall}"));
        Self { fixture, mirror, versions: 0 }
    }

    /// Puts these files in the place of all that are there, in one step.
    fn put(&mut self, files: &[(&str, &str)]) {
        self.versions += 1;
        let version = format!("version-{}", self.versions);
        for (name, text) in files {
            self.fixture.write(&format!("{version}/{name}"), text);
        }
        symlink(version, self.fixture.path("next")).unwrap();
        fs::rename(self.fixture.path("next"), self.fixture.path("now")).unwrap();
    }
}

const GATE_TLS: &str = "  tls: { cert_file: now/gate.crt, key_file: now/gate.key }\n";
const GATE_MTLS: &str = "  tls: { cert_file: now/gate.crt, key_file: now/gate.key, client_ca_file: now/clients.crt }\n";
const CHANGED: &str = "certificates have changed";

/// The files of a listener.
fn listener<'a>(issued: &'a Issued, clients: &'a Authority) -> [(&'static str, &'a str); 3] {
    [("gate.crt", &issued.pem), ("gate.key", &issued.key_pem), ("clients.crt", &clients.pem)]
}

fn connect(address: SocketAddr, client: &Arc<ClientConfig>) -> Stream {
    over(TcpStream::connect(address).unwrap(), client)
}

/// One request on a connection that stays; `None` when there is no answer.
fn ask(stream: &mut Stream, path: &str) -> Option<(u16, String)> {
    // Why it is not ready is not for strangers.
    let token = if path == "/readyz" { format!("authorization: Bearer {TOKEN}\r\n") } else { String::new() };
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {GATE}\r\n{token}\r\n").as_bytes()).ok()?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((status(&head)?, String::from_utf8(body).unwrap()))
}

/// One request on a connection of its own.
fn once(address: SocketAddr, client: &Arc<ClientConfig>, path: &str) -> Option<(u16, String)> {
    ask(&mut connect(address, client), path)
}

/// The certificate by which a new connection's listener proves itself.
fn shown(address: SocketAddr, client: &Arc<ClientConfig>) -> CertificateDer<'static> {
    let mut stream = connect(address, client);
    assert_eq!(ask(&mut stream, "/nowhere").map(|(status, _)| status), Some(404));
    stream.conn.peer_certificates().unwrap()[0].clone()
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap()
}

/// An upstream's TLS.
fn served(issued: &Issued) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(vec![der(issued)], key).unwrap())
}

/// Starts it and waits for nothing: readiness is asked for in cleartext.
fn serve(keys: &Keys) -> Process {
    keys.fixture.serve_under(&[])
}

fn in_cleartext(gate: SocketAddr) -> String {
    let mut stream = TcpStream::connect(gate).unwrap();
    stream.write_all(b"GET /orders HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n").unwrap();
    rest(&mut stream)
}

#[test]
fn both_doors_speak_tls_and_nothing_else() {
    let authority = Authority::new();
    let hall = "  tls: { cert_file: now/gate.crt, key_file: now/gate.key, client_ca_file: now/clients.crt }\n";
    let mut keys = Keys::new(GATE_TLS, hall, None);
    let clients = Authority::new();
    keys.put(&listener(&authority.issue(&[GATE]), &clients));
    let process = serve(&keys);

    let anyone = client(&authority, None);
    let (status, got) = once(process.gate(), &anyone, "/orders").unwrap();
    assert_eq!(status, 200, "{got}");
    assert!(got.contains("Bearer of-the-upstream"), "{got}");
    let known = client(&authority, Some(&clients.issue(&["any.example"])));
    assert_eq!(once(process.hall(), &known, "/readyz").unwrap().0, 200);
    assert_eq!(once(process.hall(), &anyone, "/readyz"), None, "a certificate is required");
    for address in [process.gate(), process.hall()] {
        let mut cleartext = TcpStream::connect(address).unwrap();
        cleartext.write_all(b"GET /readyz HTTP/1.1\r\nhost: gate\r\n\r\n").unwrap();
        let answer = rest(&mut cleartext);
        assert!(!answer.contains("HTTP"), "{answer}");
    }
    let other = client(&Authority::new(), None);
    assert_eq!(once(process.gate(), &other, "/orders"), None, "the client does not trust this authority");
    assert_eq!(keys.mirror.calls(), 1);
}

#[test]
fn http2_is_spoken_where_tls_is_and_a_silent_connection_ends() {
    let authority = Authority::new();
    let gate = format!("{GATE_TLS}  header_timeout: 500ms\n");
    let mut keys = Keys::new(&gate, "", None);
    keys.put(&listener(&authority.issue(&[GATE]), &authority));
    keys.fixture.write("ca.crt", &authority.pem);
    let process = serve(&keys);
    let to = format!("{GATE}:{}:127.0.0.1", process.gate().port());
    let curl = |more: &[&str], urls: usize| {
        let url = format!("https://{GATE}:{}/orders", process.gate().port());
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--max-time",
            "30",
            "--resolve",
            &to,
            "--write-out",
            "%{http_version} %{http_code} %{num_connects}\n",
        ]);
        command.args(more).arg("--cacert").arg(keys.fixture.path("ca.crt"));
        for _ in 0..urls {
            command.args(["--output", "/dev/null"]).arg(&url);
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(curl(&["--http2"], 2), "2 200 1\n2 200 0\n");
    assert_eq!(curl(&["--http1.1"], 1), "1.1 200 1\n");

    // It has agreed on HTTP/2 and says nothing, not even its preface.
    let mut silent = Arc::unwrap_or_clone(client(&authority, None));
    silent.alpn_protocols = vec![b"h2".to_vec()];
    let mut stream = connect(process.gate(), &Arc::new(silent));
    let began = Instant::now();
    let mut said = Vec::new();
    let _closed_without_a_word = stream.read_to_end(&mut said);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    assert!(began.elapsed() < PATIENCE / 2, "a silent connection is never closed");
}

#[test]
fn certificates_and_the_policy_beside_them_count_together_or_not_at_all() {
    let authority = Authority::new();
    let (first, second) = (authority.issue(&[GATE]), authority.issue(&[GATE]));
    let mut keys = Keys::new(GATE_TLS, "", None);
    let conf = root().join("conf/rules.json");
    keys.fixture.edit(conf.to_str().unwrap(), "now/rules.json");
    let rules = fs::read_to_string(conf).unwrap();
    keys.put(&[("gate.crt", &first.pem), ("gate.key", &first.key_pem), ("rules.json", &rules)]);
    let process = keys.fixture.serve_under(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    until(|| process.readiness() == Some(200));
    let proved_by = |process: &Process| {
        let mut stream = connect(process.gate(), &client(&authority, None));
        let _whatever_it_says = ask(&mut stream, "/nowhere");
        stream.conn.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(proved_by(&process), der(&first));

    // Both change in one step, and the policy cannot be recorded.
    process.limit_files("1");
    let changed = rules.replace("rr_data_read", "rr_data_read_anew");
    keys.put(&[("gate.crt", &second.pem), ("gate.key", &second.key_pem), ("rules.json", &changed)]);
    process.wait_for_log("a change of files is not in force");
    assert_eq!(proved_by(&process), der(&first));
    assert!(!process.log().contains(CHANGED), "{}", process.log());
    process.limit_files("unlimited");
    process.wait_for_log(CHANGED);
    assert_eq!(proved_by(&process), der(&second));
}

#[test]
fn a_new_certificate_counts_for_new_connections_and_old_ones_stay() {
    let authority = Authority::new();
    let (first, second) = (authority.issue(&[GATE]), authority.issue(&[GATE, "more.example"]));
    let mut keys = Keys::new(GATE_TLS, "  tls: { cert_file: now/gate.crt, key_file: now/gate.key }\n", None);
    keys.put(&listener(&first, &authority));
    let process = serve(&keys);
    let anyone = client(&authority, None);
    let mut old = connect(process.gate(), &anyone);
    assert_eq!(ask(&mut old, "/orders").unwrap().0, 200);
    assert_eq!(shown(process.gate(), &anyone), der(&first));

    keys.put(&listener(&second, &authority));
    process.wait_for_log(CHANGED);
    assert_eq!(shown(process.gate(), &client(&authority, None)), der(&second));
    assert_eq!(shown(process.hall(), &client(&authority, None)), der(&second));
    assert_eq!(ask(&mut old, "/orders").unwrap().0, 200, "a connection that was there is closed");

    // One file of two: refused whole, and said so.
    let third = authority.issue(&[GATE]);
    keys.put(&[("gate.crt", &third.pem), ("gate.key", &second.key_pem), ("clients.crt", &authority.pem)]);
    process.wait_for_log("is the key of another certificate");
    assert_eq!(shown(process.gate(), &client(&authority, None)), der(&second));
    let ready = || serde_json::from_str::<Value>(&once(process.hall(), &anyone, "/readyz").unwrap().1).unwrap();
    assert!(ready()["refused_change"]["first"].as_str().unwrap().contains("key_file"), "{}", ready());
    assert_eq!(ready()["ready"], true);
    keys.put(&listener(&third, &authority));
    until(|| ready()["refused_change"].is_null());
    assert_eq!(shown(process.gate(), &client(&authority, None)), der(&third));
}

#[test]
fn until_when_certificates_count_is_told_and_when_they_are_over() {
    let authority = Authority::new();
    let mut keys = Keys::new(GATE_TLS, "", None);
    keys.fixture.edit("scopes: [route]", "scopes: [route, read]");
    keys.put(&listener(&authority.issue(&[GATE]), &authority));
    let process = keys.fixture.serve();
    let doctor = || get(process.hall(), TOKEN, "/api/doctor").ok();
    let said = doctor();
    assert_eq!((&said["overall"], &said["certificates"][0]["of"]), (&"ok".into(), &"gate".into()), "{said}");
    assert!(said["certificates"][0]["expires_at"].as_str().unwrap().starts_with("4096-12-31"), "{said}");
    keys.put(&listener(&authority.issue_until(&[GATE], 2020), &authority));
    process.wait_for_log(CHANGED);
    let over = doctor();
    assert_eq!((&over["overall"], &over["certificates"][0]["status"]), (&"fail".into(), &"fail".into()), "{over}");
    assert!(over["certificates"][0]["days_left"].as_i64().unwrap() < 0, "{over}");
}

#[test]
fn an_authority_that_is_gone_lets_nobody_in_not_even_by_a_resumed_session() {
    let authority = Authority::new();
    let (before, after) = (Authority::new(), Authority::new());
    let issued = authority.issue(&[GATE]);
    let mut keys = Keys::new(GATE_MTLS, "", None);
    keys.put(&listener(&issued, &before));
    let process = serve(&keys);
    let old = client(&authority, Some(&before.issue(&["old.example"])));
    let new = client(&authority, Some(&after.issue(&["new.example"])));
    assert_eq!(once(process.gate(), &old, "/orders").unwrap().0, 200);
    let mut resumed = connect(process.gate(), &old);
    assert_eq!(ask(&mut resumed, "/orders").unwrap().0, 200);
    assert_eq!(resumed.conn.handshake_kind(), Some(HandshakeKind::Resumed), "else this test shows nothing");
    assert_eq!(once(process.gate(), &new, "/orders"), None);
    assert_eq!(once(process.gate(), &client(&authority, None), "/orders"), None);

    keys.put(&listener(&issued, &after));
    process.wait_for_log(CHANGED);
    let calls = keys.mirror.calls();
    let mut again = connect(process.gate(), &old);
    assert_eq!(ask(&mut again, "/orders"), None);
    assert_eq!(again.conn.handshake_kind(), Some(HandshakeKind::Resumed), "the session was there to be resumed");
    assert_eq!(keys.mirror.calls(), calls);
    assert_eq!(once(process.gate(), &new, "/orders").unwrap().0, 200);
}

#[test]
fn an_upstream_is_verified_by_its_own_authorities_those_of_now() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let upstream = served(&right.issue(&["127.0.0.1"]));
    let mut keys = Keys::new("  upstream_ca_file: now/upstream.crt\n", "", Some(upstream));
    keys.put(&[("upstream.crt", &wrong.pem)]);
    let process = serve(&keys);
    let gate = process.gate();
    let ask = || status(&in_cleartext(gate)).unwrap();
    assert_eq!((ask(), keys.mirror.calls()), (502, 0));
    keys.put(&[("upstream.crt", &format!("{}{}", wrong.pem, right.pem))]);
    process.wait_for_log(CHANGED);
    assert_eq!((ask(), keys.mirror.calls()), (200, 1));
    keys.put(&[("upstream.crt", &wrong.pem)]);
    process.wait_for_log(CHANGED);
    // Its connection is in the pool, and is not used.
    assert_eq!((ask(), keys.mirror.calls()), (502, 1));
}

#[test]
fn an_upstream_with_another_name_is_not_spoken_to() {
    let authority = Authority::new();
    for names in [&["127.0.0.2"][..], &["upstream.example"], &["127.0.0.1.example"]] {
        let mut keys = Keys::new("  upstream_ca_file: now/upstream.crt\n", "", Some(served(&authority.issue(names))));
        keys.put(&[("upstream.crt", &authority.pem)]);
        let process = serve(&keys);
        let answer = in_cleartext(process.gate());
        assert_eq!((status(&answer), keys.mirror.calls()), (Some(502), 0), "{names:?}");
        assert!(!answer.contains("of-the-upstream"));
    }
}

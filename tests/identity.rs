//! Who a caller is, from the outside: every mode, with every credential that is missing or bad, with every forged header. What is
//! expected is not a list of answers but the rules of docs/operate/identity.md, written once more in `Case::expected`.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "tls/authority.rs"]
mod authority;
#[path = "tls/mirror.rs"]
mod mirror;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use authority::{Authority, client, over};
use mirror::Mirror;
use rustls::ClientConfig;
use support::{Fixture, PATIENCE, Process, TOKEN, status};

/// Who the credential of each case proves.
const OWN: (&str, &str) = ("wrk_make_acme_prod", "org.acme");
/// Enrolled, too: who forges would like to be it.
const OTHER: &str = "wrk_report_acme_prod";

const READER: &str = "hst_reader_0123456789";

/// What comes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is forwarded, as [`Case::who`]'s.
    Forwarded,
    /// It is answered with this.
    Status(u16),
    /// The handshake fails.
    NoConnection,
}

/// One way in which a caller shows who it is.
struct Credential {
    name: &'static str,
    headers: String,
    /// What comes of it when nothing else is sent.
    end: End,
    /// From an address that is no peer.
    elsewhere: bool,
    tls: Option<Arc<ClientConfig>>,
}

struct Mode {
    name: &'static str,
    identity: String,
    /// The headers that say who the caller is, in this mode.
    names: &'static [&'static str],
    credentials: Vec<Credential>,
}

/// What is forged, beside each credential.
const FORGED: &[(&str, &str)] = &[
    ("", ""),
    ("wcp-worker-id", OTHER),
    ("WCP-Worker-Id", OTHER),
    ("wcp-worker-id", ""),
    ("wcp-worker-id", "a b"),
    ("wcp_worker_id", OTHER),
    ("wcp-tenant-id", "org.other"),
    ("wcp_tenant_id", "org.other"),
    ("wcp-env", "dev"),
    ("wcp-token", "hst_forged_0123456789"),
    ("wcp_token", TOKEN),
    ("wcp-decision-id", "00000000-0000-7000-8000-000000000000"),
    ("x-worker", OTHER),
    ("x_worker", OTHER),
    ("X.Worker", OTHER),
    ("Wcp.Token", TOKEN),
    ("WCP~Worker_Id", OTHER),
    ("x-tenant", "org.other"),
    ("x-spiffe-id", "spiffe://example.org/report"),
    ("x-forwarded-client-cert", "URI=spiffe://example.org/report"),
    ("X_Forwarded_Client_Cert", "URI=spiffe://example.org/report"),
    ("client-cert", ":AAAA:"),
    ("x-forwarded-for", "127.0.0.1"),
    ("forwarded", "for=127.0.0.1"),
    ("x-real-ip", "127.0.0.1"),
    ("authorization", "Bearer hst_0123456789abcdef"),
];

/// What an upstream never gets from a caller, in any mode.
const NEVER: &[&str] = &[
    "wcp-worker-id",
    "wcp_worker_id",
    "wcp-tenant-id",
    "wcp_tenant_id",
    "wcp-env",
    "wcp-token",
    "wcp_token",
    "x-forwarded-client-cert",
    "x_forwarded_client_cert",
    "client-cert",
    "wcp.token",
    "wcp~worker_id",
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
];

fn plain(name: &'static str, headers: &str, end: End) -> Credential {
    Credential { name, headers: headers.to_owned(), end, elsewhere: false, tls: None }
}

fn modes(listener: &Authority, clients: &Authority) -> Vec<Mode> {
    let fixed = format!("{{ mode: fixed, worker_id: {}, tenant_id: {} }}", OWN.0, OWN.1);
    let ids = format!("\"spiffe://example.org/make\": {{ worker_id: {}, tenant_id: {} }}", OWN.0, OWN.1);
    let by = |name, end, tls| Credential { tls: Some(tls), ..plain(name, "", end) };
    let issued = |names: &[&str]| client(listener, Some(&clients.issue(names)));
    let own = "spiffe://example.org/make";
    let expired = client(listener, Some(&clients.issue_until(&[own], 2020)));
    let stranger = client(listener, Some(&Authority::new().issue(&[own])));
    let listed = format!("{{ mode: mtls, ids: {{ {ids} }} }}");
    let pattern = "{ mode: mtls, pattern: \"spiffe://example.org/t/{tenant_id}/{worker_id}\" }".to_owned();
    let trusted = |worker: &str, tenant: &str| {
        let both = format!("{worker}: {}\r\n{tenant}: {}\r\n", OWN.0, OWN.1);
        let away = plain("both, from another address", &both, End::Status(401));
        vec![
            plain("both", &both, End::Forwarded),
            plain("none", "", End::Status(401)),
            plain("no tenant", &format!("{worker}: {}\r\n", OWN.0), End::Status(401)),
            plain("no worker", &format!("{tenant}: {}\r\n", OWN.1), End::Status(401)),
            plain("an empty worker", &format!("{worker}:\r\n{tenant}: {}\r\n", OWN.1), End::Status(400)),
            plain(
                "two workers in one",
                &format!("{worker}: {0},{0}\r\n{tenant}: {1}\r\n", OWN.0, OWN.1),
                End::Status(400),
            ),
            plain("a worker with a tab", &format!("{worker}: a\tb\r\n{tenant}: {}\r\n", OWN.1), End::Status(400)),
            plain("the worker twice", &format!("{both}{worker}: {}\r\n", OWN.0), End::Status(400)),
            Credential { elsewhere: true, ..away },
        ]
    };
    let known = client(listener, Some(&clients.issue(&[own])));
    vec![
        Mode { name: "fixed", identity: fixed, names: &[], credentials: vec![plain("none", "", End::Forwarded)] },
        Mode {
            name: "token",
            identity: "{ mode: token }".to_owned(),
            names: &["wcp-worker-id", "wcp-tenant-id", "wcp-token"],
            credentials: vec![
                plain("a token", &format!("wcp-token: {TOKEN}\r\n"), End::Forwarded),
                plain("none", "", End::Status(401)),
                plain("a wrong token", "wcp-token: hst_0123456789abcdeg\r\n", End::Status(401)),
                plain("a reader's token", &format!("wcp-token: {READER}\r\n"), End::Status(401)),
                plain("an empty token", "wcp-token:\r\n", End::Status(400)),
                plain("the token twice", &format!("wcp-token: {TOKEN}\r\nwcp-token: {TOKEN}\r\n"), End::Status(400)),
                plain("a bearer", &format!("x-authorization: Bearer {TOKEN}\r\n"), End::Status(401)),
            ],
        },
        Mode {
            name: "mtls, listed",
            identity: listed,
            names: &[],
            credentials: vec![
                by("a certificate", End::Forwarded, Arc::clone(&known)),
                by("a host's name, too", End::Forwarded, issued(&[own, "make.example"])),
                by("none", End::Status(401), client(listener, None)),
                by("an unknown id", End::Status(401), issued(&["spiffe://example.org/other"])),
                by("two ids", End::Status(401), issued(&[own, "spiffe://example.org/other"])),
                by("the id twice", End::Status(401), issued(&[own, own])),
                by("no id", End::Status(401), issued(&["make.example"])),
                by("another URI", End::Status(401), issued(&["https://example.org/make"])),
                by("an id that is none", End::Status(401), issued(&["spiffe://example.org/make/"])),
                by("an expired certificate", End::NoConnection, expired),
                by("another authority's certificate", End::NoConnection, stranger),
            ],
        },
        Mode {
            name: "mtls, by pattern",
            identity: pattern,
            names: &[],
            credentials: vec![
                by("a certificate", End::Forwarded, issued(&["spiffe://example.org/t/org.acme/wrk_make_acme_prod"])),
                by("too short", End::Status(401), issued(&["spiffe://example.org/t/org.acme"])),
                by("another domain", End::Status(401), issued(&["spiffe://example.com/t/org.acme/wrk_make_acme_prod"])),
            ],
        },
        Mode {
            name: "trusted_headers",
            identity: "{ mode: trusted_headers, peers: [127.0.0.1] }".to_owned(),
            names: &["wcp-worker-id", "wcp-tenant-id"],
            credentials: trusted("wcp-worker-id", "wcp-tenant-id"),
        },
        Mode {
            name: "trusted_headers of their own",
            identity:
                "{ mode: trusted_headers, peers: [127.0.0.1/32], worker_header: X-Worker, tenant_header: x-tenant }"
                    .to_owned(),
            names: &["x-worker", "x-tenant"],
            credentials: trusted("x-worker", "x-tenant"),
        },
    ]
}

struct Case<'a> {
    mode: &'a Mode,
    credential: &'a Credential,
    forged: (&'a str, &'a str),
}

impl Case<'_> {
    fn headers(&self) -> String {
        match self.forged {
            ("", _) => self.credential.headers.clone(),
            (name, value) => format!("{}{name}: {value}\r\n", self.credential.headers),
        }
    }

    /// The values of a header of ours in this request.
    fn values(&self, name: &str) -> Vec<String> {
        let headers = self.headers();
        let named = headers.lines().filter_map(|line| line.split_once(':'));
        named.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).collect()
    }

    /// What has to come of it.
    fn expected(&self) -> End {
        let Self { mode, credential, forged } = self;
        if credential.end == End::NoConnection {
            return End::NoConnection;
        }
        // Admission: a claim is sent once, visible, and never with `_`. That counts for all, wherever they are.
        let claims = ["wcp-worker-id", "wcp-tenant-id", "wcp-env", "wcp-token"];
        let unsound = |value: &String| value.is_empty() || value.contains([' ', '\t']);
        let malformed = claims.iter().any(|name| {
            let values = self.values(name);
            values.len() > 1 || values.iter().any(unsound)
        });
        // Another spelling of ours: some take it for the one with hyphens.
        let name = forged.0.to_ascii_lowercase();
        let folded = name.replace(|other: char| !other.is_ascii_alphanumeric(), "-");
        if malformed || (folded.starts_with("wcp-") && name != folded) {
            return End::Status(400);
        }
        // Only then who it is.
        match (mode.name, &*name) {
            ("token", "wcp-worker-id" | "wcp-tenant-id") if credential.end == End::Forwarded => End::Status(403),
            (of, name) if of.starts_with("trusted_headers") && !credential.elsewhere => {
                if mode.names.contains(&&*folded) { self.said_by_a_peer(name) } else { credential.end }
            }
            _ => credential.end,
        }
    }

    /// A listed peer sends one more header that says who the caller is. That it may say so is the point of the mode: what counts
    /// is that nothing can be read in two ways.
    fn said_by_a_peer(&self, name: &str) -> End {
        let values: Vec<_> = self.mode.names.iter().map(|name| self.values(name)).collect();
        let unsound = |value: &String| value.is_empty() || value.contains([',', '\t']);
        let malformed = values.iter().any(|values| values.len() > 1 || values.iter().any(unsound));
        if name.contains(['_', '.']) || malformed {
            End::Status(400)
        } else if values.iter().any(Vec::is_empty) {
            End::Status(401)
        } else {
            End::Forwarded
        }
    }

    /// As whom it is forwarded: what a listed peer says, where it is one that says it; else always `OWN`.
    fn who(&self) -> (String, String) {
        if !self.mode.name.starts_with("trusted_headers") {
            return (OWN.0.to_owned(), OWN.1.to_owned());
        }
        let said = |at: usize| self.values(self.mode.names[at])[0].clone();
        (said(0), said(1))
    }
}

fn configuration(mode: &Mode, upstream: SocketAddr) -> String {
    let tls = if mode.name.starts_with("mtls") {
        "  tls: { cert_file: gate.crt, key_file: gate.key, client_ca_file: clients.crt, require_client_cert: false }\n"
    } else {
        ""
    };
    let mut text = format!("gate:\n  listen: 127.0.0.1:0\n{tls}  identity: {}\n", mode.identity);
    let conf = fs::canonicalize("conf").unwrap();
    write!(
        text,
        "  upstreams: {{ orders: {{ url: \"http://{upstream}\" }} }}\n  routes:\n    - {{ match: {{ path: /orders }}, capability: \
         cap.data.read.v1, data_label: INTERNAL, upstream: orders }}\nhall:\n  listen: 127.0.0.1:0\n  limits: {{ failures: 10000/s }}\n  tokens:\n    - {{ name: make, \
         secret: {TOKEN}, scopes: [route], worker_ids: [{}], tenant_id: {} }}\n    - {{ name: reader, secret: {READER}, scopes: [read] \
         }}\npolicy: {{ gate: {2}/policies, rules: {2}/rules.json, workers: {2}/enrolled, tenants: {{ org.acme: {{ risk: low }} }} \
         }}\nshutdown: {{ linger: 0s }}\n",
        OWN.0,
        OWN.1,
        conf.display()
    )
    .unwrap();
    text
}

/// A connection to the gate, from 127.0.0.1 or from 127.0.0.2.
fn connect(gate: SocketAddr, elsewhere: bool) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(if elsewhere { "127.0.0.2:0" } else { "127.0.0.1:0" }.parse().unwrap()).unwrap();
        let stream = socket.connect(gate).await.unwrap().into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    })
}

/// Sends a request and gives the answer; `None` when there is no connection to send it on.
fn exchange(mut stream: impl Read + Write, headers: &str) -> Option<String> {
    let request = format!("GET /orders HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let _ended_by_the_other_side = stream.read_to_end(&mut answer);
    (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
}

fn end(case: &Case<'_>, process: &Process, mirror: &Mirror) -> (End, String) {
    let before = mirror.calls();
    let stream = connect(process.gate(), case.credential.elsewhere);
    let answer = match &case.credential.tls {
        Some(client) => exchange(over(stream, client), &case.headers()),
        None => exchange(stream, &case.headers()),
    };
    let called = mirror.calls() - before;
    let Some(answer) = answer else {
        assert_eq!(called, 0);
        return (End::NoConnection, String::new());
    };
    let status = status(&answer).unwrap();
    assert_eq!(called, usize::from(status == 200), "the upstream is called if and only if it is forwarded: {answer}");
    (if status == 200 { End::Forwarded } else { End::Status(status) }, answer)
}

#[test]
fn nobody_is_taken_for_another() {
    let (listener, clients) = (Authority::new(), Authority::new());
    let mirror = Mirror::start(None);
    let mut wrong = Vec::new();
    let mut count = 0;
    for mode in modes(&listener, &clients) {
        let fixture = Fixture::new(&configuration(&mode, mirror.address));
        let issued = listener.issue(&[authority::GATE]);
        fixture.write("gate.crt", &issued.pem);
        fixture.write("gate.key", &issued.key_pem);
        fixture.write("clients.crt", &clients.pem);
        let process = fixture.serve();
        let mut forwarded = Vec::new();
        for credential in &mode.credentials {
            for &forged in FORGED {
                let case = Case { mode: &mode, credential, forged };
                let (end, answer) = end(&case, &process, &mirror);
                let expected = case.expected();
                count += 1;
                if end != expected {
                    wrong.push(format!("{}, {}, {forged:?}: {end:?}, not {expected:?}", mode.name, credential.name));
                }
                if end != End::Forwarded {
                    assert!(!answer.contains(TOKEN) && !answer.contains(READER));
                    continue;
                }
                let (head, got) = answer.split_once("\r\n\r\n").unwrap();
                for line in got.lines().filter_map(|line| line.split_once(':')) {
                    let name = line.0.to_ascii_lowercase();
                    let kept = NEVER.contains(&&*name) || mode.names.contains(&&*name);
                    assert!(!kept, "{}, {}, {forged:?}: the upstream got {name}", mode.name, credential.name);
                    assert!(name != "wcp-decision-id" || !line.1.contains("0000-7000-8000"), "a forged decision id");
                }
                let id = head.lines().find_map(|line| line.strip_prefix("wcp-decision-id: ")).unwrap();
                forwarded.push((id.to_owned(), case.who()));
            }
        }
        process.end();
        let entries = fixture.entries();
        for (id, (worker, tenant)) in &forwarded {
            let of = |entry: &&serde_json::Value| entry["kind"] == "decision" && entry["decision_id"] == **id;
            let entry = entries.iter().find(of).unwrap();
            let recorded = (&entry["worker_id"], &entry["tenant_id"], &entry["env"]);
            assert_eq!(recorded, (&worker[..].into(), &tenant[..].into(), &"prod".into()), "{}", mode.name);
        }
        assert!(!forwarded.is_empty(), "{}", mode.name);
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    println!("{count} cases");
}

#[test]
fn the_unix_socket_is_a_peer_only_where_it_is_listed() {
    let mirror = Mirror::start(None);
    let headers = format!("wcp-worker-id: {}\r\nwcp-tenant-id: {}\r\n", OWN.0, OWN.1);
    for (peers, expected) in [("[unix]", 200), ("[127.0.0.1, \"::1\"]", 401)] {
        let mode = Mode {
            name: "trusted_headers",
            identity: format!("{{ mode: trusted_headers, peers: {peers} }}"),
            names: &[],
            credentials: Vec::new(),
        };
        let fixture = Fixture::new(&configuration(&mode, mirror.address));
        let socket = fixture.path("gate.sock");
        fixture.edit("gate:\n  listen: 127.0.0.1:0", &format!("gate:\n  listen: unix:{}", socket.display()));
        let process = fixture.serve();
        let stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let answer = exchange(stream, &headers).unwrap();
        assert_eq!(status(&answer), Some(expected), "{peers}: {answer}");
        assert_eq!(answer.contains("www-authenticate: trusted-headers"), expected == 401, "{answer}");
        drop(process);
    }
    assert_eq!(mirror.calls(), 1);
}

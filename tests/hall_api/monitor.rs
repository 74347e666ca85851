//! Hall Monitor polls without a token: only where the configuration says so, only from this machine, and without tenants.

use crate::hall::{ANY, MAKE, READ, READER, before};
use support::{Held, ask, get, post};

const PATHS: [&str; 6] = [
    "/api/health",
    "/api/alerts",
    "/api/dispatches/recent?n=100",
    "/api/dispatches/active",
    "/api/workers",
    "/api/catalog?type=worker_species",
];

const LOCAL: (&str, &str) = ("host", "localhost");

#[test]
fn it_reads_its_own_paths_redacted_and_nothing_else() {
    let upstream = Held::start();
    let fixture = before(upstream.address, "  monitor_unauthenticated_loopback: true\n", "", "");
    let process = fixture.serve();
    let hall = process.hall();
    post(hall, MAKE, "/api/route", READ).ok();
    post(hall, MAKE, "/api/route", &READ.replace("org.acme", "org.globex")).ok();
    let _stream = upstream.begin(process.gate());
    let host = format!("localhost:{}", hall.port());
    let host = [("host", &*host)];
    for path in PATHS {
        let text = ask(hall, &format!("GET {path}"), &host, "").ok().to_string();
        assert!(!text.contains("org.acme") && !text.contains("org.globex"), "{path}: {text}");
    }
    let events = ask(hall, "GET /api/dispatches/recent", &host, "").ok();
    assert_eq!(events["count"], 3);
    assert!(events["events"].as_array().unwrap().iter().all(|event| event["tenant_id"].is_null()), "{events}");
    assert!(get(hall, READER, "/api/dispatches/recent").ok().to_string().contains("org.acme"));

    for other in
        ["/health", "/status", "/workers", "/dispatches", "/alerts", "/api/doctor", "/wcp/workers", "/openapi.json"]
    {
        ask(hall, &format!("GET {other}"), &host, "").refused(401);
    }
    for path in PATHS {
        for (headers, why) in [
            (&[("host", "rebound.evil.example:8765")][..], "a name that a web page made to lead here"),
            (&[LOCAL, LOCAL], "two hosts"),
            (&[LOCAL, ("origin", "https://evil.example")], "a web page"),
            (&[LOCAL, ("sec-fetch-site", "cross-site")], "a web page"),
            (&[LOCAL, ("x-forwarded-for", "10.0.0.1")], "a proxy"),
            (&[LOCAL, ("authorization", "Bearer wrong")], "a wrong token"),
        ] {
            let status = ask(hall, &format!("GET {path}"), headers, "").status;
            assert!(matches!(status, 400 | 401), "{path}, {why}: {status}");
        }
        get(hall, ANY, path).refused(403);
    }
}

//! Hall Monitor polls without a token: only where the configuration says so, only from this machine, and without tenants.

use crate::hall::{ANY, MAKE, READ, READER, get, house, post, send};

const PATHS: [&str; 6] = [
    "/api/health",
    "/api/alerts",
    "/api/dispatches/recent?n=100",
    "/api/dispatches/active",
    "/api/workers",
    "/api/catalog?type=worker_species",
];

#[test]
fn it_reads_its_own_paths_redacted_and_nothing_else() {
    let house = house("  monitor_unauthenticated_loopback: true\n", "", "");
    let process = house.serve();
    let hall = process.hall();
    post(hall, MAKE, "/api/route", READ).ok();
    post(hall, MAKE, "/api/route", &READ.replace("org.acme", "org.globex")).ok();
    let _stream = process.begin(&house);
    let host = format!("host: localhost:{}\r\n", hall.port());
    for path in PATHS {
        let text = send(hall, "GET", path, &host, "").ok().to_string();
        assert!(!text.contains("org.acme") && !text.contains("org.globex"), "{path}: {text}");
    }
    let events = send(hall, "GET", "/api/dispatches/recent", &host, "").ok();
    assert_eq!(events["count"], 3);
    assert!(events["events"].as_array().unwrap().iter().all(|event| event["tenant_id"].is_null()), "{events}");
    assert!(get(hall, READER, "/api/dispatches/recent").ok().to_string().contains("org.acme"));

    for other in
        ["/health", "/status", "/workers", "/dispatches", "/alerts", "/api/doctor", "/wcp/workers", "/openapi.json"]
    {
        send(hall, "GET", other, &host, "").refused(401);
    }
    for path in PATHS {
        for (header, why) in [
            ("host: rebound.evil.example:8765\r\n", "a name that a web page made to lead here"),
            ("host: localhost\r\nhost: localhost\r\n", "two hosts"),
            ("host: localhost\r\norigin: https://evil.example\r\n", "a web page"),
            ("host: localhost\r\nsec-fetch-site: cross-site\r\n", "a web page"),
            ("host: localhost\r\nx-forwarded-for: 10.0.0.1\r\n", "a proxy"),
            ("host: localhost\r\nauthorization: Bearer wrong\r\n", "a wrong token"),
        ] {
            let status = send(hall, "GET", path, header, "").status;
            assert!(matches!(status, 400 | 401), "{path}, {why}: {status}");
        }
        get(hall, ANY, path).refused(403);
    }
}

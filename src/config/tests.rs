//! The sample shows every key with its default.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

const SAMPLE: &str = include_str!("../../conf/hallgate.yaml");

fn environment(name: &str) -> Option<String> {
    let set =
        BTreeMap::from([("HALL_SESSION_TOKEN", "hst_0123456789abcdef"), ("OPENAI_API_KEY", "sk-0123456789abcdef")]);
    set.get(name).map(|value| (*value).to_owned())
}

/// The sections of a text, printed, and the keys that it could have had and has not.
fn read(text: &str) -> (String, Vec<String>) {
    let reading = Reading::new(Path::new("conf/hallgate.yaml"), text, &environment);
    let (document, faults) = yaml::parse(text);
    assert!(faults.is_empty(), "{faults:?}");
    let Parts { gate, hall, policy, approvals, registry, cache, ledger, alerts, telemetry, ops, shutdown } =
        Parts::read(reading.document(document.as_ref().unwrap()), Needs::All);
    let printed = format!(
        "{gate:#?}\n{hall:#?}\n{policy:#?}\n{approvals:#?}\n{registry:#?}\n{cache:?}\n{ledger:#?}\n{alerts:?}\n{telemetry:?}\n{:?}\n{shutdown:?}",
        // Whether it is written is not what it comes to.
        ops.map(|ops| ops.listen)
    );
    let absent = reading.absent.take();
    let problems = reading.into_found().problems;
    assert!(problems.is_empty(), "{problems:?}");
    (printed, absent)
}

#[test]
fn the_defaults_of_the_sample_are_those_of_the_code() {
    // Only what has no default.
    let least = r#"
gate:
  identity: { mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }
  upstreams:
    openai: { url: https://api.openai.com, headers: { authorization: "Bearer ${OPENAI_API_KEY}" } }
    orders: { url: http://127.0.0.1:9000 }
  routes:
    - { match: { path: /v1/chat/completions, methods: [POST] }, capability: cap.ml.infer, data_label: INTERNAL, upstream: openai }
    - match: { path: /orders/* }
      capability: { header: [cap.data.read.v1, cap.data.write.v1] }
      data_label: CONFIDENTIAL
      upstream: orders
hall:
  tokens:
    - { name: make, secret: "${HALL_SESSION_TOKEN}", scopes: [route], tenant_id: org.acme, worker_ids: [wrk_make_acme_prod] }
policy:
  gate: policies
  tenants: { org.acme: { risk: low } }
"#;
    let (sample, _) = read(SAMPLE);
    let (defaults, _) = read(least);
    assert_eq!(sample, defaults);
}

#[test]
fn the_sample_shows_every_key() {
    // Those that are shown in a comment, and the keys that each upstream, route and token repeats.
    let (_, mut absent) = read(SAMPLE);
    absent.retain(|key| {
        let name = key.rsplit('.').next().unwrap_or(key);
        !SAMPLE.contains(&format!("{name}:"))
    });
    assert_eq!(absent, Vec::<String>::new(), "add these to conf/hallgate.yaml");
    let shown = [
        "listen_h2c",
        "upstream_ca_file",
        "envs",
        "secret_file",
        "secret_sha256",
        "tokens_file",
        "per_token",
        "in_flight",
        "in_flight_per_tenant",
        "host",
        "encoded_slash",
        "trusted_peers",
        "health_path",
        "file",
        "api_key_file",
        "keep",
        "max_size",
        "export_dir",
        "store",
        "tls",
        "cert_file",
        "key_file",
        "client_ca_file",
        "require_client_cert",
        "ca_file",
        "ids",
        "pattern",
        "peers",
        "worker_header",
        "tenant_header",
    ];
    for key in shown {
        assert!(SAMPLE.contains(&format!("{key}:")), "{key}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let (printed, _) = read(SAMPLE);
    assert!(!printed.contains("sk-0123") && !printed.contains("hst_0123"), "{printed}");
}

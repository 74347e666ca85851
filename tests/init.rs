//! The first minutes: a gate alone, and folders and gates that are made by a command and work as they are.
#![expect(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use support::{Fixture, Process, Upstream, ask, root, until};

/// A gate without a Hall, and with that without a token.
const GATE_ALONE: &str = "\
gate:
  listen: 127.0.0.1:0
  identity: { mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }
  upstreams: { models: { url: \"http://UPSTREAM\" } }
  routes: [{ match: { path: /v1/chat/completions, methods: [POST] }, capability: cap.ml.infer, data_label: INTERNAL, upstream: models }]
policy: { rules: CONF/rules.json, workers: CONF/enrolled, gate: CONF/policies, tenants: { org.acme: { risk: low } } }
ops: { listen: 127.0.0.1:0 }
shutdown: { linger: 0s }
";

/// Waits until requests should be sent to it: a gate alone says so at the operations door only.
fn ready(process: &Process) {
    until(|| ask(process.door("ops"), "GET /readyz", &[], "").status == 200);
}

/// One call that the rules allow, and the same with a label that they do not.
fn one_yes_and_one_no(process: &Process, upstream: &Upstream) {
    let call = |headers: &[(&str, &str)]| ask(process.gate(), "POST /v1/chat/completions", headers, "{}");
    assert_eq!(call(&[]).text(), "ok");
    let denied = call(&[("wcp-data-label", "RESTRICTED")]);
    assert_eq!((denied.status, &denied.body["code"]), (403, &"DENY_NO_MATCHING_RULE".into()), "{}", denied.text());
    assert_eq!(upstream.called().len(), 1);
}

#[test]
fn a_gate_alone_needs_no_hall_and_no_token() {
    let upstream = Upstream::start();
    let conf = root().join("conf").display().to_string();
    let fixture = Fixture::new(&GATE_ALONE.replace("UPSTREAM", &upstream.address.to_string()).replace("CONF", &conf));
    let (code, out, err) = fixture.run(&["check", "--config", "hallgate.yaml"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("hallgate.yaml is sound: "), "{out}");

    let process = Process::start(&mut fixture.command(&["serve", "--config", "hallgate.yaml"]));
    ready(&process);
    one_yes_and_one_no(&process, &upstream);
    // What changes is loaded again, as where there is a Hall.
    process.hang_up();
    process.wait_for_log("reloaded");
    process.end();
    assert!(!process.log().contains("\"hall\""), "{}", process.log());
    assert_eq!(fixture.verify(), (2, 1));
}

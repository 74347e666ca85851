//! `k8s/redirect.sh` in network namespaces of its own: what apps that know nothing of the gate reach, and what they do not.

use crate::fabric::Fabric;

const ORDERS: &str = "http://orders.test/orders/1";

fn redirected(fabric: &Fabric, to: &str) {
    let done = fabric.redirect(to);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Without it the other tests would hold for an app that reaches nothing anyway.
#[test]
fn an_app_that_is_not_redirected_reaches_every_host() {
    let Some(fabric) = Fabric::lay() else { return };
    for family in ["-4", "-6"] {
        assert_eq!(fabric.curl(&[family, ORDERS]), (Some(0), "this is orders\n200".to_owned()));
        assert_eq!(fabric.curl(&[family, "http://other.test:9001/"]), (Some(0), "this is other\n200".to_owned()));
    }
    assert_eq!(fabric.seen("orders"), ["connection 80", "GET /orders/1 decision none"].repeat(2));
    assert_eq!(fabric.seen("other"), ["connection 9001", "GET / decision none"].repeat(2));
}

#[test]
fn curl_gets_through_the_gate_where_a_route_leads_and_nowhere_else() {
    let Some(mut fabric) = Fabric::lay() else { return };
    redirected(&fabric, "8080");
    let gate = fabric.gate();
    for family in ["-4", "-6"] {
        // Allowed: decided, recorded, and only then at the host that was meant.
        assert_eq!(fabric.curl(&[family, ORDERS]), (Some(0), "this is orders\n200".to_owned()), "{family}");
        let seen = fabric.seen("orders");
        let decided = |line: &String| line.strip_prefix("GET /orders/1 decision ").is_some_and(|id| id.len() == 36);
        assert!(seen.iter().any(decided), "{seen:?}");

        // Denied, and without a route: nothing gets there.
        let status = |arguments: &[&str]| fabric.curl(&[&[family, "-o", "/dev/null"], arguments].concat());
        assert_eq!(status(&["http://orders.test/report"]), (Some(0), "403".to_owned()));
        assert_eq!(status(&["http://orders.test/elsewhere"]), (Some(0), "404".to_owned()));
        assert_eq!(status(&["http://other.test/orders/1"]), (Some(0), "404".to_owned()));
        let literal = if family == "-4" { "http://10.77.0.4/orders/1" } else { "http://[fd77::4]/orders/1" };
        assert_eq!(status(&[literal]), (Some(0), "404".to_owned()));
        // Another port of the host that a route names is still the gate's.
        assert_eq!(status(&["http://orders.test:9001/report"]), (Some(0), "403".to_owned()));
        // What is not HTTP ends at the gate.
        let (code, _) = status(&["-k", "https://other.test:9001/"]);
        assert_ne!(code, Some(0));
        assert_eq!(fabric.seen("orders"), [""; 0]);
        assert_eq!(fabric.seen("other"), [""; 0]);

        // A forged Host leads where the route of that host leads, wherever the connection was meant to go.
        assert_eq!(
            fabric.curl(&[family, "-H", "Host: orders.test", "http://other.test/orders/2"]),
            (Some(0), "this is orders\n200".to_owned())
        );
        fabric.seen("orders");
        assert_eq!(fabric.seen("other"), [""; 0]);
    }

    // The gate dies: nobody gets anywhere.
    fabric.kill(gate);
    for family in ["-4", "-6"] {
        for url in [ORDERS, "http://other.test/", "http://other.test:9001/"] {
            assert_eq!(fabric.curl(&[family, url]).0, Some(7), "{family} {url}");
        }
    }
    assert_eq!(fabric.seen("orders"), [""; 0]);
    assert_eq!(fabric.seen("other"), [""; 0]);
}

#[test]
fn a_pod_without_ipv6_has_a_gate_all_the_same() {
    let Some(mut fabric) = Fabric::lay() else { return };
    let off = ["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"];
    assert!(fabric.command("pod", &off).status().unwrap().success());
    redirected(&fabric, "8080");
    fabric.gate();
    assert_eq!(fabric.curl(&[ORDERS]), (Some(0), "this is orders\n200".to_owned()));
    assert_eq!(fabric.curl(&["-o", "/dev/null", "http://other.test/"]), (Some(0), "404".to_owned()));
    assert_eq!(fabric.seen("other"), [""; 0]);
}

#[test]
fn a_python_app_that_runs_as_root_without_capabilities_finds_no_way_around() {
    let Some(mut fabric) = Fabric::lay() else { return };
    redirected(&fabric, "8080");
    let gate = fabric.gate();
    let app = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pod/app.py");
    let report = "http://orders.test/report";
    let run = || fabric.app("0", &["python3", app, ORDERS, report, "http://other.test/"]);
    let done = run();
    assert_eq!(
        String::from_utf8_lossy(&done.stdout),
        format!(
            "{ORDERS} 200 this is orders\n{report} 403 application/problem+json\nhttp://other.test/ 404 application/problem+json\n\
             cannot become the gate\ncannot send PermissionError\ncannot send PermissionError\n"
        ),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    fabric.seen("orders");
    assert_eq!(fabric.seen("other"), [""; 0]);

    fabric.kill(gate);
    let said = String::from_utf8(fabric.app("0", &["python3", app, ORDERS, report]).stdout).unwrap();
    assert!(said.starts_with(&format!("{ORDERS} unreachable URLError\n{report} unreachable URLError\n")), "{said}");
    assert_eq!(fabric.seen("orders"), [""; 0]);
}

#[test]
fn an_app_that_must_name_the_gate_reaches_nothing_by_itself() {
    let Some(mut fabric) = Fabric::lay() else { return };
    redirected(&fabric, "refuse");
    fabric.gate();
    let by_base_url = ["-H", "Host: orders.test", "http://127.0.0.1:8080/orders/1"];
    assert_eq!(fabric.curl(&by_base_url), (Some(0), "this is orders\n200".to_owned()));
    fabric.seen("orders");
    for family in ["-4", "-6"] {
        assert_eq!(fabric.curl(&[family, ORDERS]).0, Some(7));
        assert_eq!(fabric.curl(&[family, "http://other.test:9001/"]).0, Some(7));
    }
    assert_eq!(fabric.seen("orders"), [""; 0]);
    assert_eq!(fabric.seen("other"), [""; 0]);
}

#[test]
fn run_again_it_changes_nothing_and_run_otherwise_it_changes_all() {
    let Some(fabric) = Fabric::lay() else { return };
    redirected(&fabric, "8080");
    let once = fabric.rules();
    assert!(once.contains("--to-ports 8080"), "{once}");
    redirected(&fabric, "8080");
    assert_eq!(fabric.rules(), once);
    redirected(&fabric, "refuse");
    let refusing = fabric.rules();
    assert!(!refusing.contains("REDIRECT"), "{refusing}");
    redirected(&fabric, "8080");
    // The order in which the tables are listed is that of their last change.
    let sorted = |rules: &str| {
        let mut lines: Vec<String> = rules.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&fabric.rules()), sorted(&once));
}

#[test]
fn a_pod_on_its_nodes_network_is_refused_before_anything_changes() {
    let Some(fabric) = Fabric::lay() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/k8s/redirect.sh");
    let with = |pod: &str, host: &str| {
        let (pod, host) = (format!("POD_IP={pod}"), format!("HOST_IP={host}"));
        fabric.command("pod", &["env", &pod, &host, "sh", script, "28765", "8080"]).output().unwrap()
    };
    for address in ["10.77.0.2", "fd77::2"] {
        let done = with(address, address);
        let complaint = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains("hostNetwork"), "{complaint}");
    }
    assert_eq!(fabric.rules(), "");
    assert!(with("10.77.0.2", "10.77.0.1").status.success());
    assert!(fabric.rules().contains("--to-ports 8080"));
}

#[test]
fn what_is_no_port_or_user_is_refused_before_anything_changes() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/k8s/redirect.sh");
    for (arguments, said) in [
        (&["28765"][..], "usage"),
        (&["root", "8080"], "GATE_UID `root`"),
        (&["0", "8080"], "GATE_UID `0`"),
        (&["28765", "0"], "PORT `0`"),
        (&["28765", "65536"], "PORT `65536`"),
        (&["28765", "8080;id"], "PORT `8080;id`"),
        (&["28765", ""], "PORT ``"),
    ] {
        let done = std::process::Command::new("sh").arg(script).args(arguments).output().unwrap();
        let complaint = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {complaint}");
        assert!(complaint.contains(said), "{arguments:?}: {complaint}");
    }
}

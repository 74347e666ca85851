//! Every layout that people and programs write: a gate comes in, comes in once, and goes without a trace.

use clap::{FromArgMatches as _, Subcommand as _};

use super::*;

/// The options of a command line.
fn injection(arguments: &str) -> Injection {
    let command = Options::augment_subcommands(clap::Command::new("k8s"));
    let words = ["k8s", "inject"].into_iter().chain(arguments.split_whitespace());
    match Options::from_arg_matches(&command.get_matches_from(words)).expect("the options are sound") {
        Options::Inject(injection) => injection,
        Options::Uninject(_) => unreachable!("not what was asked for"),
    }
}

const WHO: &str = "--worker wrk_shop_acme_prod --tenant org.acme --env prod";

fn inject(stream: &str, arguments: &str) -> Changed {
    injected(stream, &injection(&format!("{WHO} {arguments}")))
        .unwrap_or_else(|problems| panic!("{problems:#?}\n{stream}"))
}

fn refused(stream: &str, arguments: &str) -> Vec<String> {
    injected(stream, &injection(arguments)).expect_err("it has problems")
}

/// Deployment, and what else there is beside it.
const BLOCK: &str = "\
# The shop.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop   # as in the catalogue
spec:
  template:
    metadata:
      labels:
        # By this it is found.
        app: shop
    spec:
      # Only one.
      containers:
        - name: shop
          image: shop:1.0.0
          args: [\"a: b\", '# no comment']

      # Its files.
      volumes:
        - name: files   # a claim
          emptyDir: {}
# The end.
";

/// Layouts in which one Deployment, or the like, can be written.
fn layouts() -> Vec<String> {
    let literal = "metadata:\n  annotations:\n    text: |\n      é – ünïcode\n      --- no mark\n    other: >-\n      folded\n\n      text\n";
    let mut layouts: Vec<String> = vec![
        BLOCK.to_owned(),
        BLOCK.replace('\n', "\r\n"),
        BLOCK.trim_end().to_owned(),
        BLOCK.replace("kind: Deployment", "kind: StatefulSet"),
        BLOCK.replacen("metadata:\n", literal, 1),
        // Lists as kubectl prints them, and a volume list that ends the document.
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata:\n  name: a\nspec:\n  template:\n    metadata:\n      labels:\n        app: a\n    spec:\n      containers:\n      - image: a\n        name: a\n      initContainers:\n      - name: first\n        image: b\n      volumes:\n      - name: x\n        emptyDir: {}\n".to_owned(),
        // Jobs' pods mostly have no metadata.
        "kind: Job\nmetadata: { name: a }\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers: [{ name: a, image: b }]\n".to_owned(),
        "kind: CronJob\nmetadata: {name: a}\nspec:\n  schedule: '* * * * *'\n  jobTemplate:\n    spec:\n      template:\n        metadata: { labels: { app: a } }\n        spec: { containers: [ { name: a } ], volumes: [ { name: x } ], restartPolicy: Never }\n".to_owned(),
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n    -\n      name: a\n".to_owned(),
        "kind: Job\nmetadata: {name: a}\nspec: {template: {spec: {containers: [{name: a}]}}}\n".to_owned(),
        // A list, whose items begin behind their dashes.
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n- spec:\n    template:\n      spec:\n        containers:\n          - name: a\n  kind: Deployment\n  metadata:\n    name: a\n".to_owned(),
        "kind: List\nitems:\n  - kind: Pod\n    metadata: {name: a}\n    spec:\n      containers: [{name: a}]\n".to_owned(),
        // More documents, before and behind.
        format!("# head\n---\n\n--- # one\n{BLOCK}...\n---\nkind: ConfigMap\nmetadata: {{ name: a }}\ndata:\n  a: |\n    b\n"),
    ];
    let json: serde_json::Value = value(&parse(BLOCK).expect("it is YAML"));
    layouts.extend([format!("{json:#}\n"), json.to_string()]);
    layouts
}

#[test]
fn a_gate_comes_in_once_and_goes_without_a_trace_and_everything_else_stays() {
    for layout in layouts() {
        for mode in ["outbound", "outbound-redirect", "inbound"] {
            let with = inject(&layout, &format!("--mode {mode}")).text;
            assert!(with.contains("hallgate-config") && with.contains("wrk_shop_acme_prod"), "{with}");
            let twice = inject(&with, &format!("--mode {mode}")).text;
            assert_eq!(twice, with, "{mode}");
            let without = uninjected(&with).unwrap_or_else(|problems| panic!("{problems:#?}\n{with}")).text;
            assert_eq!(without, layout, "{mode}:\n{with}");
            // Line by line nothing of the input is lost, nor in another order.
            let mut lines = with.lines();
            for line in layout.lines().filter(|line| !layout.starts_with('{') && !line.contains(": {")) {
                assert!(lines.any(|other| other == line), "{mode}: {line:?} is lost in:\n{with}");
            }
        }
    }
}

#[test]
fn another_mode_or_image_takes_the_place_of_the_one_before() {
    let with = inject(BLOCK, "--mode outbound").text;
    let other = inject(&with, "--mode inbound --image r/hallgate:9").text;
    assert_eq!(other, inject(BLOCK, "--mode inbound --image r/hallgate:9").text);
    assert!(other.contains("image: r/hallgate:9\n") && !other.contains("hallgate-redirect"), "{other}");
}

#[test]
fn what_has_no_pods_and_what_was_left_out_stays_as_it_is() {
    let other = "kind: Service\nmetadata: { name: shop }\nspec: { selector: { app: shop }, ports: [{ port: 80, targetPort: 9000 }] }\n";
    let database = BLOCK.replace("name: shop", "name: db");
    let stream = format!("{other}---\n{database}---\n{BLOCK}");
    let with = inject(&stream, "--mode outbound --only shop").text;
    assert!(with.starts_with(&format!("{other}---\n{database}---\n")) && with.len() > stream.len(), "{with}");
    // What has a gate and is left out keeps it, and so does what leads there.
    let service = "---\nkind: Service\nmetadata: { name: db }\nspec: { selector: { app: db }, ports: [{ port: 80, targetPort: 9000 }] }\n";
    let database = database.replace("app: shop", "app: db");
    let first = inject(&format!("{database}{service}---\n{BLOCK}"), "--mode inbound --only db").text;
    let both = inject(&first, "--mode inbound --only shop").text;
    assert!(both.starts_with(first.strip_suffix(BLOCK).expect("it is as it was")), "{both}");
    assert_eq!(both.matches("- name: hallgate\n").count(), 2, "{both}");
    let problems = refused(&stream, &format!("{WHO} --mode outbound --only shopp"));
    assert!(problems.iter().any(|problem| problem.contains("has the name `shopp`")), "{problems:?}");
}

#[test]
fn inbound_leads_the_service_to_the_gate_and_back() {
    for (ports, led) in [
        (
            "spec:\n  selector:\n    app: shop\n  ports:\n    - port: 80\n      targetPort: 9000   # the app\n",
            "      targetPort: 8080   # the app\n",
        ),
        (
            "spec: { selector: { app: shop }, ports: [{ port: 80, targetPort: http }, { port: 9, targetPort: 9 }] }\n",
            "targetPort: 8080 }, {",
        ),
        ("spec:\n  ports:\n  - port: 80\n  selector: { app: shop }\n", "  - targetPort: 8080\n    port: 80\n"),
    ] {
        let service = format!("kind: Service\nmetadata:\n  name: shop\n{ports}");
        let stream = format!("{BLOCK}---\n{service}");
        let Changed { text: with, said } = inject(&stream, "--mode inbound");
        assert!(with.contains(led), "{with}");
        assert_eq!(said.iter().filter(|said| said.contains("no Service")).count(), 0, "{said:?}");
        assert_eq!(inject(&with, "--mode inbound").text, with);
        assert_eq!(uninjected(&with).expect("it is sound").text, stream, "{with}");
        assert_eq!(inject(&with, "--mode outbound").text, inject(&stream, "--mode outbound").text);
    }
    let elsewhere = format!(
        "{BLOCK}---\nkind: Service\nmetadata: {{ name: a }}\nspec: {{ selector: {{ app: other }}, ports: [{{ port: 1 }}] }}\n"
    );
    let said = inject(&elsewhere, "--mode inbound").said;
    assert!(said.iter().any(|said| said.contains("no Service here leads to these pods")), "{said:?}");
}

#[test]
fn everything_that_is_wrong_is_said_with_its_line_and_nothing_is_written() {
    let both = BLOCK
        .replace("      # Only one.\n", "      hostNetwork: true\n")
        .replace(
            "image: shop:1.0.0",
            "ports: [{ containerPort: 8080 }]\n          securityContext: { runAsUser: 28765 }",
        )
        .replace("      labels:\n", "      annotations: { hallgate/worker-id: wrk_other }\n      labels:\n");
    let problems =
        refused(&format!("kind: Namespace\n---\n{both}"), "--mode outbound --worker wrk_shop_acme_prod --env prod");
    for (said, line) in [
        ("remove `hostNetwork`", 16),
        ("`hallgate/worker-id` is `wrk_other`, and --worker is `wrk_shop_acme_prod`", 11),
        ("listens on 8080, which is the gate's", 19),
        ("runs as 28765, the gate's user", 18),
        ("nothing says who it is: give --tenant", 4),
    ] {
        let told =
            problems.iter().find(|problem| problem.contains(said)).unwrap_or_else(|| panic!("{said}: {problems:#?}"));
        assert!(told.starts_with(&format!("line {line}: Deployment/shop: ")), "{told}, and not in line {line}");
    }
    assert_eq!(problems.len(), 5, "{problems:#?}");
    for (stream, said) in [
        ("", "there is no Deployment"),
        ("kind: Service\n", "there is no Deployment"),
        ("kind: Deployment\n", "describes no pod"),
        ("kind: Pod\nspec:\n  containers: [{ name: hallgate }]\n", "the gate's own container"),
        ("kind: Pod\nspec:\n  volumes:\n  containers: []\n", "`volumes` is not a list"),
        ("kind: Pod\nmetadata: { labels: }\nspec: { containers: [] }\n", "`labels` is no mapping"),
        ("kind: Pod\nkind: Pod\n", "line 2: has `kind` twice"),
        ("a: &b c\n---\nd: !e f\n", "line 1: has an anchor"),
        ("a: &b c\n---\nd: !e f\n", "line 3: has a tag"),
        ("{{ .Values.image }}\n", "line 1: "),
        ("- a\n", "a manifest begins with `apiVersion`"),
    ] {
        let problems = refused(stream, &format!("{WHO} --mode outbound"));
        assert!(problems.iter().any(|problem| problem.contains(said)), "{said}: {problems:?}");
    }
}

#[test]
fn an_app_that_could_go_around_is_warned_of() {
    assert!(
        inject(BLOCK, "--mode outbound").said.iter().any(|said| said.starts_with("warning: Deployment/shop: shop may"))
    );
    let confined = "image: a\n          securityContext: { runAsUser: 1, allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } }";
    let said = inject(&BLOCK.replace("image: shop:1.0.0", confined), "--mode outbound").said;
    assert_eq!(said, ["Deployment/shop has a gate"]);
}

#[test]
fn a_layout_that_is_not_known_is_refused_and_not_guessed() {
    // A key with a question mark before it.
    let odd = "kind: Pod\nmetadata: { name: a }\nspec:\n  ? containers\n  : - name: a\n";
    match injected(odd, &injection(&format!("{WHO} --mode outbound"))) {
        Ok(Changed { text, .. }) => assert_eq!(uninjected(&text).expect("it is sound").text, odd),
        Err(problems) => assert!(problems[0].contains("laid out in a way"), "{problems:?}"),
    }
}

//! Which objects of a manifest have pods, what has to change in them, and what stands against it.

use marked_yaml::Node;
use serde_json::Value;

use super::Injection;
use super::change::{ManifestEdit, ManifestPath, ManifestStep, down, find, value};
use super::sidecar::{CONTAINERS, GATE_USER, PORTS, containers, volumes};

/// By this label manifests, policies and the admission know a pod with a gate.
const LABEL: &str = "hallgate/sidecar";
/// Where a Service led before.
const TARGET_PORT: &str = "hallgate/target-port";

/// An object whose pods get a gate.
#[derive(Debug)]
pub struct AppWorkload {
    /// As `kubectl` names it: `Deployment/shop`.
    pub name: String,
    /// Where it is.
    way: ManifestPath,
    /// Where its pods are described.
    template: ManifestPath,
}

/// Where the objects of a document are: it is one, or a list of them.
pub fn objects(document: &Node) -> Vec<ManifestPath> {
    let list = text(document, &[ManifestStep::Key("kind")]) == Some("List");
    let items = find(document, &[ManifestStep::Key("items")]).and_then(Node::as_sequence).filter(|_| list);
    match items {
        Some(items) => (0..items.len()).map(|n| vec![ManifestStep::Key("items"), ManifestStep::Item(n)]).collect(),
        None => vec![Vec::new()],
    }
}

/// The object at this place, if it has pods.
pub fn workload(document: &Node, way: &ManifestPath) -> Option<AppWorkload> {
    const TEMPLATE: [ManifestStep; 2] = [ManifestStep::Key("spec"), ManifestStep::Key("template")];
    let template = match text(document, &down(way, &[ManifestStep::Key("kind")]))? {
        "Pod" => way.clone(),
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => down(way, &TEMPLATE),
        "CronJob" => down(&down(way, &[ManifestStep::Key("spec"), ManifestStep::Key("jobTemplate")]), &TEMPLATE),
        _ => return None,
    };
    Some(AppWorkload { name: name(document, way), way: way.clone(), template })
}

/// What `kubectl` calls an object.
pub fn name(document: &Node, way: &ManifestPath) -> String {
    let part = |steps: &[ManifestStep]| text(document, &down(way, steps)).unwrap_or("?");
    format!(
        "{}/{}",
        part(&[ManifestStep::Key("kind")]),
        part(&[ManifestStep::Key("metadata"), ManifestStep::Key("name")])
    )
}

fn text<'n>(document: &'n Node, way: &[ManifestStep]) -> Option<&'n str> {
    Some(find(document, way)?.as_scalar()?.as_str())
}

/// The line in which something stands, from 1 in its document.
pub fn line(document: &Node, way: &[ManifestStep]) -> Option<usize> {
    Some(find(document, way)?.span().start()?.line())
}

impl AppWorkload {
    /// Whether it is the object at this place of its document.
    pub fn is_at(&self, way: &ManifestPath) -> bool {
        self.way == *way
    }

    fn spec(&self, more: &[ManifestStep]) -> ManifestPath {
        down(&down(&self.template, &[ManifestStep::Key("spec")]), more)
    }

    /// What is wrong with it, each with the place.
    pub fn problems(&self, document: &Node, injection: &Injection) -> Vec<(ManifestPath, String)> {
        let mut problems = Vec::new();
        let mut wrong = |way: ManifestPath, is: String| problems.push((way, is));
        let Some(Node::Mapping(_)) = find(document, &self.spec(&[])) else {
            return vec![(self.way.clone(), "describes no pod: it needs a `spec` with containers".to_owned())];
        };
        for (key, what) in [("initContainers", "a list"), ("volumes", "a list")] {
            if matches!(find(document, &self.spec(&[ManifestStep::Key(key)])), Some(Node::Scalar(_) | Node::Mapping(_)))
            {
                wrong(
                    self.spec(&[ManifestStep::Key(key)]),
                    format!("`{key}` is not {what}: leave it out where there is none"),
                );
            }
        }
        for way in [self.way.clone(), self.template.clone()] {
            for key in ["labels", "annotations"] {
                let way = down(&way, &[ManifestStep::Key("metadata"), ManifestStep::Key(key)]);
                if matches!(find(document, &way), Some(Node::Scalar(_) | Node::Sequence(_))) {
                    wrong(way, format!("`{key}` is no mapping: leave it out where there is none"));
                }
            }
        }
        let host = self.spec(&[ManifestStep::Key("hostNetwork")]);
        if text(document, &host) == Some("true") {
            let is = "a pod on its node's network has none of its own to close: remove `hostNetwork`";
            wrong(host, is.to_owned());
        }
        for (container, node) in self.containers(document) {
            let named = value(node);
            let name = named.get("name").and_then(Value::as_str).unwrap_or("?").to_owned();
            if CONTAINERS.contains(&name.as_str()) {
                wrong(container, format!("`{name}` is the gate's own container: leave this object out with --only"));
                continue;
            }
            for port in named.get("ports").and_then(Value::as_array).into_iter().flatten() {
                let port = port.get("containerPort").and_then(Value::as_u64).unwrap_or_default();
                if PORTS.contains(&port) {
                    let is =
                        format!("container `{name}` listens on {port}, which is the gate's: let it listen on another");
                    wrong(down(&container, &[ManifestStep::Key("ports")]), is);
                }
            }
            if self.user(&named, document) == Some(GATE_USER) {
                let is = format!(
                    "container `{name}` runs as {GATE_USER}, the gate's user, and goes around it: set another `runAsUser`"
                );
                wrong(container, is);
            }
        }
        for (key, flag, given) in injection.identity() {
            let way = down(
                &self.template,
                &[ManifestStep::Key("metadata"), ManifestStep::Key("annotations"), ManifestStep::Key(key)],
            );
            match (text(document, &way), given) {
                (Some(there), Some(given)) if there != given => {
                    wrong(way, format!("`{key}` is `{there}`, and {flag} is `{given}`: leave one of them out"));
                }
                (None, None) => wrong(self.way.clone(), format!("nothing says who it is: give {flag}")),
                _ => {}
            }
        }
        problems
    }

    /// Containers by which the app could go around its gate.
    pub fn loose(&self, document: &Node) -> Vec<String> {
        let confined = |container: &Value| {
            let context = container.get("securityContext").unwrap_or(&Value::Null);
            let dropped = context.pointer("/capabilities/drop").and_then(Value::as_array);
            let added = context.pointer("/capabilities/add").and_then(Value::as_array);
            context.get("allowPrivilegeEscalation") == Some(&Value::Bool(false))
                && dropped.is_some_and(|names| names.iter().any(|name| name == "ALL"))
                && added.is_none_or(|names| names.iter().all(|name| name == "NET_BIND_SERVICE"))
                && self.user(container, document).is_some()
        };
        let containers = self.containers(document).into_iter().map(|(_, node)| value(node));
        let loose = containers.filter(|container| !confined(container));
        loose.map(|container| container.get("name").and_then(Value::as_str).unwrap_or("?").to_owned()).collect()
    }

    /// The user that a container runs as, if the manifest says so.
    fn user(&self, container: &Value, document: &Node) -> Option<u64> {
        let pods = find(document, &self.spec(&[ManifestStep::Key("securityContext"), ManifestStep::Key("runAsUser")]))
            .map(value);
        let own = container.pointer("/securityContext/runAsUser").cloned();
        own.or(pods).as_ref().and_then(Value::as_u64)
    }

    /// The app's own containers.
    fn containers<'n>(&self, document: &'n Node) -> Vec<(ManifestPath, &'n Node)> {
        let mut all = Vec::new();
        for key in ["initContainers", "containers"] {
            let way = self.spec(&[ManifestStep::Key(key)]);
            let list = find(document, &way).and_then(Node::as_sequence);
            for (n, node) in list.into_iter().flat_map(|list| list.iter()).enumerate() {
                let way = down(&way, &[ManifestStep::Item(n)]);
                let ours = key == "initContainers" && named(document, &way, |name| CONTAINERS.contains(&name));
                if !ours {
                    all.push((way, node));
                }
            }
        }
        all
    }

    /// Takes the gate out; the label, and the annotations that say who the app is, stay where it comes in again.
    pub fn taken_out(&self, document: &Node, stay: bool) -> Vec<ManifestEdit> {
        let mut changes = Vec::new();
        if !stay {
            let mut owners = vec![&self.way, &self.template];
            owners.dedup();
            for owner in owners {
                let metadata = down(owner, &[ManifestStep::Key("metadata")]);
                changes.extend(drop_keys(document, &metadata, |key| key == LABEL, |key| key.starts_with("hallgate/")));
            }
        }
        changes.extend(drop_items(document, &self.spec(&[]), "initContainers", |name| CONTAINERS.contains(&name)));
        let ours = super::change::items(&volumes().unwrap_or_default()).unwrap_or_default();
        let ours = |name: &str| ours.iter().any(|volume| volume.get("name").and_then(Value::as_str) == Some(name));
        changes.extend(drop_items(document, &self.spec(&[]), "volumes", ours));
        changes
    }

    /// Puts the gate in, where there is none. `None`: the manifests that it is from have another form.
    pub fn put_in(&self, document: &Node, injection: &Injection) -> Option<Vec<ManifestEdit>> {
        let missing = |owner: &ManifestPath, key: &'static str, name: &str| {
            let way = down(owner, &[ManifestStep::Key("metadata"), ManifestStep::Key(key)]);
            !find(document, &way).and_then(Node::as_mapping).is_some_and(|map| map.contains_key(name))
        };
        let label = |owner| if missing(owner, "labels", LABEL) { format!("{LABEL}: enabled\n") } else { String::new() };
        let identity = injection.identity().into_iter();
        let identity = identity.filter(|(key, ..)| missing(&self.template, "annotations", key));
        let said: String =
            identity.filter_map(|(key, _, given)| Some(format!("{key}: {}\n", Value::from(given?)))).collect();
        let mut changes = Vec::new();
        if self.way != self.template {
            changes.extend(put_metadata(document, &self.way, &label(&self.way), ""));
        }
        changes.extend(put_metadata(document, &self.template, &label(&self.template), &said));
        let containers = containers(injection.mode, injection.image.as_deref(), injection.redirect_image.as_deref())?;
        for (key, yaml) in [("initContainers", containers), ("volumes", volumes()?)] {
            changes.push(put_list(document, &self.spec(&[]), key, yaml));
        }
        Some(changes)
    }

    /// Whether a Service's selector takes its pods.
    fn selected(&self, document: &Node, selector: &Value) -> bool {
        let labels =
            find(document, &down(&self.template, &[ManifestStep::Key("metadata"), ManifestStep::Key("labels")]))
                .map(value);
        let labels = labels.unwrap_or_default();
        let all = |wanted: &serde_json::Map<String, Value>| {
            !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        selector.as_object().is_some_and(all)
    }
}

/// Where the first port of a Service is, if it is one whose selector takes pods of one of these.
pub fn first_port(document: &Node, way: &ManifestPath, gated: &[(&Node, AppWorkload)]) -> Option<ManifestPath> {
    let port = down(way, &[ManifestStep::Key("spec"), ManifestStep::Key("ports"), ManifestStep::Item(0)]);
    let service =
        text(document, &down(way, &[ManifestStep::Key("kind")])) == Some("Service") && find(document, &port).is_some();
    let selector =
        find(document, &down(way, &[ManifestStep::Key("spec"), ManifestStep::Key("selector")])).map(value)?;
    let ours = gated.iter().any(|(other, workload)| workload.selected(other, &selector));
    (service && ours).then_some(port)
}

/// Leads a Service's first port to the gate, and keeps in an annotation where it led before.
pub fn led_to_gate(document: &Node, way: &ManifestPath, gated: &[(&Node, AppWorkload)]) -> Option<Vec<ManifestEdit>> {
    let port = first_port(document, way, gated)?;
    let target = down(&port, &[ManifestStep::Key("targetPort")]);
    let before = text(document, &target);
    let kept = format!("{TARGET_PORT}: {}\n", Value::from(before.unwrap_or_default()));
    let mut changes: Vec<ManifestEdit> = put_metadata(document, way, "", &kept);
    changes.push(match before {
        Some(_) => ManifestEdit::Set { at: target, value: Value::from(8080) },
        None => ManifestEdit::PutKeys { into: port, before: None, yaml: "targetPort: 8080\n".to_owned() },
    });
    Some(changes)
}

/// Leads a Service back to where it led before.
pub fn led_back(document: &Node, way: &ManifestPath) -> Vec<ManifestEdit> {
    let metadata = down(way, &[ManifestStep::Key("metadata")]);
    let kept = down(&metadata, &[ManifestStep::Key("annotations"), ManifestStep::Key(TARGET_PORT)]);
    let Some(before) = text(document, &kept) else { return Vec::new() };
    let port = down(way, &[ManifestStep::Key("spec"), ManifestStep::Key("ports"), ManifestStep::Item(0)]);
    let mut changes = drop_keys(document, &metadata, |_| false, |key| key == TARGET_PORT);
    changes.push(match before {
        "" => ManifestEdit::DropKeys { from: port, keys: vec!["targetPort".to_owned()] },
        _ => {
            let value = before.parse::<u16>().map_or_else(|_| Value::from(before), Value::from);
            ManifestEdit::Set { at: down(&port, &[ManifestStep::Key("targetPort")]), value }
        }
    });
    changes
}

fn named(document: &Node, way: &ManifestPath, ours: impl Fn(&str) -> bool) -> bool {
    text(document, &down(way, &[ManifestStep::Key("name")])).is_some_and(ours)
}

/// Puts items before those of a list, or the list where there is none.
fn put_list(document: &Node, spec: &ManifestPath, key: &'static str, yaml: String) -> ManifestEdit {
    let into = down(spec, &[ManifestStep::Key(key)]);
    match find(document, &into).and_then(Node::as_sequence) {
        Some(_) => ManifestEdit::PutItems { into, yaml },
        None => ManifestEdit::PutKeys {
            into: spec.clone(),
            before: Some("containers"),
            yaml: format!("{key}:\n{}", indented(&yaml)),
        },
    }
}

/// Puts labels and annotations to those that an object has.
fn put_metadata(document: &Node, way: &ManifestPath, labels: &str, annotations: &str) -> Vec<ManifestEdit> {
    let metadata = down(way, &[ManifestStep::Key("metadata")]);
    let parts = [("labels", labels), ("annotations", annotations)].into_iter().filter(|(_, yaml)| !yaml.is_empty());
    let whole = |(key, yaml): (&str, &str)| format!("{key}:\n{}", indented(yaml));
    if labels.is_empty() && annotations.is_empty() {
        return Vec::new();
    }
    if find(document, &metadata).is_none() {
        let yaml = format!("metadata:\n{}", indented(&parts.map(whole).collect::<String>()));
        return vec![ManifestEdit::PutKeys { into: way.clone(), before: None, yaml }];
    }
    let put = |(key, yaml): (&'static str, &str)| {
        let into = down(&metadata, &[ManifestStep::Key(key)]);
        match find(document, &into) {
            Some(_) => ManifestEdit::PutKeys { into, before: None, yaml: yaml.to_owned() },
            None => ManifestEdit::PutKeys { into: metadata.clone(), before: None, yaml: whole((key, yaml)) },
        }
    };
    parts.map(put).collect()
}

fn indented(yaml: &str) -> String {
    yaml.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}

/// Takes labels and annotations out, and what holds nothing else with them.
fn drop_keys(
    document: &Node,
    metadata: &ManifestPath,
    label: impl Fn(&str) -> bool,
    annotation: impl Fn(&str) -> bool,
) -> Vec<ManifestEdit> {
    let Some(Node::Mapping(map)) = find(document, metadata) else { return Vec::new() };
    let ours = |key: &str| -> Option<(Vec<String>, bool)> {
        let map = map.get_mapping(key)?;
        let ours = |name: &str| if key == "labels" { label(name) } else { annotation(name) };
        let gone: Vec<String> = map.keys().map(|key| key.as_str().to_owned()).filter(|key| ours(key)).collect();
        let all = gone.len() == map.len();
        (!gone.is_empty()).then_some((gone, all))
    };
    let mut whole = Vec::new();
    let mut changes = Vec::new();
    for key in ["labels", "annotations"] {
        match ours(key) {
            Some((_, true)) => whole.push(key.to_owned()),
            Some((keys, false)) => {
                changes.push(ManifestEdit::DropKeys { from: down(metadata, &[ManifestStep::Key(key)]), keys })
            }
            None => {}
        }
    }
    if whole.is_empty() {
        return changes;
    }
    let up = metadata.split_last().map(|(_, up)| up.to_vec());
    changes.push(match up {
        Some(from) if whole.len() == map.len() => ManifestEdit::DropKeys { from, keys: vec!["metadata".to_owned()] },
        _ => ManifestEdit::DropKeys { from: metadata.clone(), keys: whole },
    });
    changes
}

/// Takes named items out of a list, and the list with them where it has no others.
fn drop_items(
    document: &Node,
    spec: &ManifestPath,
    key: &'static str,
    ours: impl Fn(&str) -> bool,
) -> Option<ManifestEdit> {
    let from = down(spec, &[ManifestStep::Key(key)]);
    let list = find(document, &from)?.as_sequence()?;
    let gone = |n: &usize| named(document, &down(&from, &[ManifestStep::Item(*n)]), &ours);
    let items: Vec<usize> = (0..list.len()).filter(gone).collect();
    match items.len() {
        0 => None,
        all if all == list.len() => Some(ManifestEdit::DropKeys { from: spec.clone(), keys: vec![key.to_owned()] }),
        _ => Some(ManifestEdit::DropItems { from, items }),
    }
}

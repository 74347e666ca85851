//! `hallgate k8s`: puts a gate into the pods of manifests, and takes it out again.

mod change;
mod layout;
mod sidecar;
#[cfg(test)]
mod tests;
mod workload;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use marked_yaml::Node;

use self::change::{ManifestEdit, make, merged, parse, value};
use self::layout::Layout;
use self::sidecar::GateMode;
use self::workload::{AppWorkload, first_port, led_back, led_to_gate, line, name, objects, workload};
use super::{CANNOT, cannot};
use crate::documents::LARGE;
use crate::ids::{Env, TenantId, WorkerId};

/// Put a gate into the pods of Kubernetes manifests, and take it out again
#[derive(Debug, clap::Subcommand)]
pub enum Options {
    Inject(Injection),
    Uninject(Uninjection),
}

/// Put a gate into every pod of the manifests that are read, and write them out
///
/// Deployments, StatefulSets, DaemonSets, Jobs, CronJobs and Pods get the containers, volumes, label and annotations of `k8s/base` and the
/// overlay of the mode; everything else is passed on as it is, comments and order included. A gate that is there is replaced. Around it the
/// pods need the ConfigMaps and the Secret that docs/operate/kubernetes.md names. Nothing is written if anything is wrong.
#[derive(Debug, clap::Args)]
pub struct Injection {
    /// Which way the app's traffic goes
    #[arg(long, value_enum)]
    mode: GateMode,
    /// Who the app is, where its pods have no annotation `hallgate/worker-id`
    #[arg(long, value_name = "WORKER_ID")]
    worker: Option<WorkerId>,
    /// Whose the app is, where its pods have no annotation `hallgate/tenant-id`
    #[arg(long, value_name = "TENANT_ID")]
    tenant: Option<TenantId>,
    /// Where the app runs, where its pods have no annotation `hallgate/env`: dev, stage, prod or edge
    #[arg(long, value_name = "ENV")]
    env: Option<Env>,
    /// The gate's image
    #[arg(long, value_name = "IMAGE", value_parser = sidecar::image)]
    image: Option<String>,
    /// The image of what closes the pod's network
    #[arg(long, value_name = "IMAGE", value_parser = sidecar::image)]
    redirect_image: Option<String>,
    /// Leave out objects with other names; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The manifests, in YAML or JSON; `-`, and none, is stdin
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

/// Take the gate out of every pod of the manifests that are read, with its label and annotations, and write them out
#[derive(Debug, clap::Args)]
pub struct Uninjection {
    /// The manifests, in YAML or JSON; `-`, and none, is stdin
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

impl Injection {
    /// What the pods are told of who the app is: the annotation, the option for it, and what it was given.
    fn identity(&self) -> [(&'static str, &'static str, Option<&str>); 3] {
        [
            ("hallgate/worker-id", "--worker", self.worker.as_ref().map(WorkerId::as_str)),
            ("hallgate/tenant-id", "--tenant", self.tenant.as_ref().map(TenantId::as_str)),
            ("hallgate/env", "--env", self.env.map(Env::as_str)),
        ]
    }

    fn takes(&self, workload: &AppWorkload) -> bool {
        let name = workload.name.rsplit('/').next().unwrap_or_default();
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

/// Runs the command. 0: written; 2: something is wrong, and nothing is written.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let file = match options {
        Options::Inject(injection) => &injection.file,
        Options::Uninject(uninjection) => &uninjection.file,
    };
    let text = match read(file) {
        Ok(text) => text,
        Err(why) => return cannot(why),
    };
    let changed = match options {
        Options::Inject(injection) => injected(&text, injection),
        Options::Uninject(_) => uninjected(&text),
    };
    match changed {
        Ok(Changed { text, said }) => {
            for said in said {
                let _ = writeln!(io::stderr(), "{said}");
            }
            match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => cannot(format_args!("stdout cannot be written: {error}")),
            }
        }
        Err(problems) => {
            for problem in problems {
                let _ = writeln!(io::stderr(), "{}: {problem}", file.display());
            }
            ExitCode::from(CANNOT)
        }
    }
}

fn read(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let reader: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(file).map_err(|error| format!("`{}` cannot be read: {error}", file.display()))?)
    };
    let read = reader.take(LARGE + 1).read_to_string(&mut text);
    read.map_err(|error| format!("`{}` cannot be read: {error}", file.display()))?;
    if text.len() as u64 > LARGE {
        return Err(format!("`{}` is larger than {LARGE} bytes: give it in parts", file.display()));
    }
    Ok(text)
}

/// What is written, and what is said of it to whoever runs the command.
#[derive(Debug)]
struct Changed {
    text: String,
    said: Vec<String>,
}

/// One document of a stream: its text behind the mark, and the line before it.
struct Document<'t> {
    text: &'t str,
    line: usize,
    node: Node,
}

/// Splits a stream at the marks, which stay where they are: each part but the first begins with one.
fn parts(stream: &str) -> Vec<&str> {
    let mark = |line: &str| {
        line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
    };
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    for line in stream.split_inclusive('\n') {
        if mark(line) && at > from {
            parts.extend(stream.get(from..at));
            from = at;
        }
        at += line.len();
    }
    parts.extend(stream.get(from..));
    parts
}

/// Reads every document of a stream, or says of each what is wrong.
fn documents(stream: &str) -> Result<Vec<Document<'_>>, Vec<String>> {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    let mut line = 0;
    for text in parts(stream) {
        match parse(text) {
            Ok(node) => documents.push(Document { text, line, node }),
            Err((at, is)) => problems.push(format!("line {}: {is}", line + at)),
        }
        line += text.matches('\n').count();
    }
    if problems.is_empty() { Ok(documents) } else { Err(problems) }
}

/// The text of a document with these changes. They are made twice, in the text and in what it means: the one proves the other.
fn edited(text: &str, node: &Node, changes: Vec<ManifestEdit>) -> Option<String> {
    let mut layout = Layout::new(text);
    let mut meant = value(node);
    for change in merged(changes) {
        layout.make(node, &change)?;
        make(&mut meant, &change)?;
    }
    let written = layout.written()?;
    (value(&parse(&written).ok()?) == meant).then_some(written)
}

/// What is said of a document whose text cannot be changed in place.
fn unusual(line: usize, name: &str) -> String {
    format!(
        "line {}: {name} is laid out in a way that cannot be changed in place: give it as `kubectl create --dry-run=client -o yaml -f` prints it",
        line + 1
    )
}

/// A stream without the gates that are in it.
fn uninjected(stream: &str) -> Result<Changed, Vec<String>> {
    Ok(Changed { text: taken_out(&documents(stream)?, None)?, said: Vec::new() })
}

/// What gets a gate, each in the document that it is of.
fn gated<'n>(documents: &'n [Document<'_>], injection: &Injection) -> Vec<(&'n Node, AppWorkload)> {
    let all = documents.iter().map(|document| &document.node);
    let all = all.flat_map(|node| objects(node).into_iter().filter_map(move |way| Some((node, workload(node, &way)?))));
    all.filter(|(_, workload)| injection.takes(workload)).collect()
}

/// The documents without gates: without all of them, or without those of what gets one again, where what says who it is stays.
fn taken_out(documents: &[Document<'_>], again: Option<&[(&Node, AppWorkload)]>) -> Result<String, Vec<String>> {
    let (mut text, mut problems) = (String::new(), Vec::new());
    for Document { text: before, line, node } in documents {
        let mut changes = Vec::new();
        for way in objects(node) {
            if again.is_none_or(|again| first_port(node, &way, again).is_some()) {
                changes.extend(led_back(node, &way));
            }
            let here = |gated: &&(&Node, AppWorkload)| std::ptr::eq(gated.0, node) && gated.1.is_at(&way);
            if again.is_none_or(|again| again.iter().any(|gated| here(&gated))) {
                let workload = workload(node, &way);
                changes.extend(workload.iter().flat_map(|workload| workload.taken_out(node, again.is_some())));
            }
        }
        match edited(before, node, changes) {
            Some(edited) => text.push_str(&edited),
            None => problems.push(unusual(*line, &name(node, &Vec::new()))),
        }
    }
    if problems.is_empty() { Ok(text) } else { Err(problems) }
}

/// Everything that stands against gates in these.
fn problems(documents: &[Document<'_>], gated: &[(&Node, AppWorkload)], injection: &Injection) -> Vec<String> {
    let mut problems = Vec::new();
    for (node, workload) in gated {
        let before =
            documents.iter().find(|document| std::ptr::eq(&document.node, *node)).map_or(0, |document| document.line);
        for (way, is) in workload.problems(node, injection) {
            let at = before + line(node, &way).unwrap_or(1);
            problems.push(format!("line {at}: {}: {is}", workload.name));
        }
    }
    let names: BTreeSet<&str> = gated.iter().filter_map(|(_, workload)| workload.name.rsplit('/').next()).collect();
    for only in injection.only.iter().filter(|only| !names.contains(only.as_str())) {
        problems.push(format!("no object with pods has the name `{only}`"));
    }
    if gated.is_empty() {
        problems.push("there is no Deployment, StatefulSet, DaemonSet, Job, CronJob or Pod".to_owned());
    }
    problems
}

/// A stream with a gate in each of its pods.
fn injected(stream: &str, injection: &Injection) -> Result<Changed, Vec<String>> {
    let before = documents(stream)?;
    let to_gate = gated(&before, injection);
    let wrong = problems(&before, &to_gate, injection);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    // What is there of an older one goes first, so that twice is as once.
    let bare = taken_out(&before, Some(&to_gate))?;
    let documents = documents(&bare)?;
    let gated = gated(&documents, injection);
    let (mut text, mut said, mut problems, mut services) = (String::new(), Vec::new(), Vec::new(), 0);
    for document in &documents {
        let node = &document.node;
        let mut changes = Vec::new();
        for (_, workload) in gated.iter().filter(|(of, _)| std::ptr::eq(*of, node)) {
            match workload.put_in(node, injection) {
                Some(puts) => changes.extend(puts),
                None => {
                    problems.push(format!("{}: the manifests of the gate have another form; report it", workload.name))
                }
            }
            said.push(format!("{} has a gate", workload.name));
            let loose = workload.loose(node);
            if !loose.is_empty() {
                said.push(format!(
                    "warning: {}: {} may go around it: set runAsUser, allowPrivilegeEscalation: false and capabilities: {{ drop: [ALL] }}",
                    workload.name,
                    loose.join(", "),
                ));
            }
        }
        if injection.mode == GateMode::Inbound {
            for led in objects(node).iter().filter_map(|way| led_to_gate(node, way, &gated)) {
                changes.extend(led);
                services += 1;
            }
        }
        match edited(document.text, node, changes) {
            Some(edited) => text.push_str(&edited),
            None => problems.push(unusual(document.line, &name(node, &Vec::new()))),
        }
    }
    if injection.mode == GateMode::Inbound && services == 0 {
        let none = "warning: no Service here leads to these pods: the one that does needs `targetPort: 8080`";
        said.push(none.to_owned());
    }
    if problems.is_empty() { Ok(Changed { text, said }) } else { Err(problems) }
}

//! What is read of a record, what reference mode drops, and every problem at once.

use super::*;
use crate::registry::sources::Sources;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn reference() -> RecordFormat {
    RecordFormat { mode: Mode::Reference, ..RecordFormat::default() }
}

const SOUND: &str = r#"{
  "worker_id": "wrk_make_acme_prod", "worker_species_id": "wrk.data.writer", "capabilities": ["cap.data.write.v1"],
  "risk_tier": "low", "currently_implements": ["ctrl.obs.audit-log-append-only"], "required_controls": [],
  "allowed_environments": ["dev", "production"],
  "blast_radius": {"data": 2, "network": 1, "financial": 0, "time": 1, "reversibility": "irreversible"},
  "owner": "org.acme"
}"#;

#[test]
fn a_sound_record_is_read() {
    let folder = folder(&[("a.json", SOUND), ("note.md", "no record"), (".b.json", "{")]);
    let workers = load(folder.path(), &RecordFormat::default()).unwrap();
    let [Enrolled { worker, .. }] = &workers[..] else { panic!("{workers:?}") };
    assert_eq!(worker.worker_id.as_str(), "wrk_make_acme_prod");
    assert_eq!(worker.allowed_environments, Some([Env::Dev, Env::Prod].into()));
    assert_eq!(worker.blast_sum, Some(9));
    assert_eq!(worker.status, WorkerStatus::Active);
}

#[test]
fn a_record_that_has_a_hash_is_the_one_that_was_hashed() {
    let hash = load(folder(&[("a.json", SOUND)]).path(), &RecordFormat::default()).unwrap()[0].hash;
    let with = |hash: &str| SOUND.replacen('{', &format!("{{\"artifact_hash\": \"{hash}\","), 1);
    let read = |text: &str, reading: &RecordFormat| load(folder(&[("a.json", text)]).path(), reading);
    for right in [format!("sha256:{hash}"), hash.to_string()] {
        assert!(read(&with(&right), &RecordFormat::default()).is_ok());
    }
    let wrong = with(&format!("sha256:{}", "0".repeat(64)));
    let problems = read(&wrong, &RecordFormat::default()).unwrap_err();
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(problem.field, "artifact_hash");
    assert!(problem.help.contains(&format!("`sha256:{hash}`")), "{problem:?}");
    // The reference does not read it at all.
    assert!(read(&wrong, &reference()).is_ok());
}

#[test]
fn only_active_is_active() {
    for (written, status) in [
        ("active", WorkerStatus::Active),
        ("banned", WorkerStatus::Banned),
        ("retired", WorkerStatus::Revoked),
        ("Active", WorkerStatus::Revoked),
    ] {
        let text = SOUND.replacen('{', &format!("{{\"status\": \"{written}\","), 1);
        let folder = folder(&[("a.json", &text)]);
        assert_eq!(load(folder.path(), &RecordFormat::default()).unwrap()[0].worker.status, status, "{written}");
    }
}

const FAULTY: &str = r#"{
  "worker_id": "a b",
  "worker_species_id": "wrk.data.writer",
  "capabilities": [],
  "currently_implements": ["ctrl.UPPER.case", "not-a-control", 3],
  "attestation": {"code_hash": "00"}
}"#;

#[test]
fn every_problem_of_every_record_is_named_with_its_place() {
    let folder = folder(&[("1.json", FAULTY), ("2.json", SOUND), ("3.json", SOUND), ("4.json", "{\"worker_id\":1,}")]);
    let problems = load(folder.path(), &RecordFormat::default()).unwrap_err();
    let told: Vec<_> = problems
        .iter()
        .map(|p| format!("{}:{}:{} {}", p.file.file_name().unwrap().display(), p.line, p.column, p.field))
        .collect();
    assert_eq!(
        told,
        [
            "1.json:1:1 ",
            "1.json:2:16 worker_id",
            "1.json:5:28 currently_implements[0]",
            "1.json:5:47 currently_implements[1]",
            "1.json:5:64 currently_implements[2]",
            "1.json:6:32 attestation.code_hash",
            "3.json:1:1 ",
            "4.json:1:16 ",
        ]
    );
}

#[test]
fn reference_mode_drops_what_the_reference_drops() {
    let text = FAULTY.replace("a b", "ab").replace(", 3", ", \"ctrl.ok\"");
    let folder = folder(&[("1.json", &text)]);
    let workers = load(folder.path(), &reference()).unwrap();
    assert_eq!(workers[0].worker.implements.iter().map(ControlId::as_str).collect::<Vec<_>>(), ["ctrl.ok"]);
}

#[test]
fn a_missing_folder_is_a_problem_but_in_reference_mode() {
    let missing = Path::new("/nonexistent/enrolled");
    assert!(load(missing, &RecordFormat::default()).is_err());
    assert!(load(missing, &reference()).unwrap().is_empty());
}

const ATTESTED: &str = r#"{
  "worker_id": "wrk_a", "worker_species_id": "wrk.data.writer", "capabilities": ["cap.data.write.v1"],
  "attestation": {"code_hash": "HASH", "source_file": "src/a.py", "attested_by": "x"},
  "privilege_envelope": {"network_egress": "none", "egress": {"allowlist": ["db.internal", "a"]}}
}"#;
const HASH: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

fn read_one(text: &str, mode: Mode) -> Worker {
    let reading = RecordFormat { mode, sources: Sources::new(Path::new("/base"), &[]) };
    let read = load(folder(&[("a.json", text)]).path(), &reading).unwrap().remove(0);
    Worker::clone(&read.worker)
}

#[test]
fn what_was_attested_and_what_is_declared_is_read() {
    for mode in [Mode::Strict, Mode::Reference] {
        let worker = read_one(&ATTESTED.replace("HASH", HASH), mode);
        assert_eq!(worker.attestation.registered, HASH.parse().ok());
        assert_eq!(&*worker.attestation.source.unwrap().path, Path::new("/base/src/a.py"));
        let egress: Vec<String> = worker.envelope.unwrap().egress.iter().map(ToString::to_string).collect();
        assert_eq!(egress, ["db.internal", "a"]);
    }
    let prefixed = ATTESTED.replace("HASH", &format!("sha256:{HASH}"));
    assert_eq!(read_one(&prefixed, Mode::Strict).attestation.registered, HASH.parse().ok());
    assert_eq!(read_one(&prefixed, Mode::Reference).attestation.registered, None);
    let nothing = ATTESTED.replace("\"egress\": {", "\"tools\": [], \"egress\": null, \"x\": {");
    assert_eq!(read_one(&nothing.replace("HASH", HASH), Mode::Reference).envelope, Some(Envelope::default()));
    let empty = SOUND.replacen('{', "{\"privilege_envelope\": {}, \"attestation\": {},", 1);
    for mode in [Mode::Strict, Mode::Reference] {
        let worker = read_one(&empty, mode);
        assert_eq!((worker.envelope, worker.attestation), (None, Attestation::default()));
    }
}

//! The log over HTTP: who may fetch what, what is served and for how long it keeps, and receipts with their proofs.

use std::io::Read as _;
use std::time::Duration;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use hallgate::ids::Digest;
use hallgate::ledger::verify::proof::{Proved, verify_proof};
use serde_json::Value;
use sha2::Sha256;

use crate::harness::{ACME, ACME_READER, Answer, GLOBEX_READER, READER, Running, Setup, UNBOUND};

const BODY: &str =
    r#"{"capability_id":"cap.data.write.v1","worker_id":"wrk_make_acme_prod","env":"prod","data_label":"INTERNAL"}"#;
const FOR_EVER: &str = "private, max-age=31536000, immutable";

fn decided(running: &Running) -> String {
    let answer = running.route(ACME, BODY).json();
    assert_eq!(answer["denied"], false, "{answer}");
    answer["decision_id"].as_str().unwrap().to_owned()
}

/// A hall whose ledger signs soon, with so many decisions under its checkpoint.
fn signed(decisions: u64, public_tiles: bool) -> Running {
    let setup = Setup { checkpoint_every: Duration::from_millis(20), public_tiles, ..Setup::default() };
    let running = Running::with(setup);
    let mut client = running.connect();
    for _ in 0..decisions {
        assert_eq!(client.route(ACME, BODY).status, 200);
    }
    let token = Some(READER);
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while size(&running.get(token, "/log/checkpoint")) != decisions {
        assert!(std::time::Instant::now() < patience, "the checkpoint never came");
        std::thread::sleep(Duration::from_millis(5));
    }
    running
}

fn size(checkpoint: &Answer) -> u64 {
    assert_eq!(checkpoint.status, 200, "{checkpoint:?}");
    std::str::from_utf8(&checkpoint.bytes).unwrap().lines().nth(1).unwrap().parse().unwrap()
}

fn served(answer: &Answer, kind: &str, keep: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!((answer.header("content-type"), answer.header("cache-control")), (Some(kind), Some(keep)));
}

#[test]
fn checkpoint_tiles_and_bundles_have_the_types_and_lives_that_tlog_tiles_gives_them() {
    let running = signed(260, false);
    let get = |path: &str| running.get(Some(READER), path);
    served(&get("/log/checkpoint"), "text/plain; charset=utf-8", "no-cache");
    let binary = "application/octet-stream";
    for (path, length) in [
        ("tile/0/000", 8192),
        ("tile/0/001.p/4", 128),
        ("tile/0/001.p/1", 32),
        ("tile/1/000.p/1", 32),
        ("tile/0/000.p/7", 224),
    ] {
        let answer = get(&format!("/log/{path}"));
        served(&answer, binary, FOR_EVER);
        assert_eq!(answer.bytes.len(), length, "{path}");
    }
    let bundle = get("/log/tile/entries/001.p/4");
    served(&bundle, binary, FOR_EVER);
    let length = usize::from(u16::from_be_bytes([bundle.bytes[0], bundle.bytes[1]]));
    let entry: Value = serde_json::from_slice(&bundle.bytes[2..2 + length]).unwrap();
    assert_eq!((&entry["kind"], &entry["stream"]), (&"decision".into(), &"org.acme".into()));
    for none in [
        "",
        "tile",
        "tile/0/001",
        "tile/0/001.p/5",
        "tile/0/002.p/1",
        "tile/1/000",
        "tile/1/000.p/2",
        "tile/2/000.p/1",
        "tile/64/000",
        "tile/0/000.p/0",
        "tile/0/0",
        "tile/entries/001",
        "tile/entries/001.p/5",
        "tile/entries/002.p/1",
        "tile/0/000/",
        "index",
        "heads",
        "segments/00000000000000000000.seg",
        "tile/0/../../version",
        "../hallgate.key",
    ] {
        let answer = get(&format!("/log/{none}"));
        answer.refused(404, "not found");
    }
}

#[test]
fn a_bundle_is_compressed_for_those_who_can_read_it() {
    let running = signed(100, false);
    let path = "/log/tile/entries/000.p/100";
    let plain = running.get(Some(READER), path);
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")));
    let get = |accept: &str| {
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: hall\r\nauthorization: Bearer {READER}\r\naccept-encoding: {accept}\r\n\r\n"
        );
        running.connect().send(head).receive().unwrap()
    };
    for accept in ["gzip", "br, gzip;q=0.5", "identity, GZIP"] {
        let zipped = get(accept);
        assert_eq!(zipped.header("content-encoding"), Some("gzip"), "{accept}");
        assert!(zipped.bytes.len() * 3 < plain.bytes.len(), "{} of {}", zipped.bytes.len(), plain.bytes.len());
        let mut bundle = Vec::new();
        flate2::read::GzDecoder::new(zipped.bytes.as_slice()).read_to_end(&mut bundle).unwrap();
        assert_eq!(bundle, plain.bytes);
    }
    for accept in ["identity", "gzip;q=0", "br", "*;q=0", "gzipped"] {
        assert_eq!(get(accept).bytes, plain.bytes, "{accept}");
    }
}

#[test]
fn entries_need_an_unbound_reader_and_hashes_a_reader_or_to_be_public() {
    for public in [false, true] {
        let running = signed(3, public);
        for (path, entries) in
            [("/log/checkpoint", false), ("/log/tile/0/000.p/3", false), ("/log/tile/entries/000.p/3", true)]
        {
            let open = public && !entries;
            let status = |token: Option<&str>| running.get(token, path).status;
            assert_eq!(status(None), if open { 200 } else { 401 }, "{path} {public}");
            assert_eq!(status(Some("hst_nobody")), if open { 200 } else { 401 });
            assert_eq!(status(Some(UNBOUND)), if open { 200 } else { 403 }, "no scope `read`");
            assert_eq!(status(Some(ACME_READER)), if entries { 403 } else { 200 });
            assert_eq!(status(Some(READER)), 200);
        }
        running.get(Some(ACME_READER), "/log/tile/entries/000.p/3").refused(403, "forbidden");
        // What is not there is not shown to strangers either.
        assert_eq!(running.get(None, "/log/nothing").status, 401);
        let tile = running.get(None, "/log/tile/0/000.p/3");
        let keep = if public { "public, max-age=31536000, immutable" } else { "no-store" };
        assert_eq!(tile.header("cache-control"), Some(keep));
    }
}

#[test]
fn a_receipt_is_proved_though_its_checkpoint_was_not_due() {
    let running = Running::start();
    let first = decided(&running);
    running.route(ACME, "{").refused(400, "malformed body");
    let last = decided(&running);
    for id in [&last, &first] {
        let answer = running.get(Some(ACME_READER), &format!("/wcp/receipts/{id}"));
        let proof = answer.json();
        assert_eq!(answer.status, 200);
        assert_eq!(proof["receipt"]["decision_id"], **id);
        match verify_proof(&answer.bytes, &[running.ledger.vkey().to_owned()]) {
            Ok(Proved::Receipt { index, size, .. }) => assert!(index < size && size >= 3),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn anothers_receipt_looks_like_one_that_never_was() {
    let running = Running::start();
    let id = decided(&running);
    let get = |token: &str, id: &str| running.get(Some(token), &format!("/wcp/receipts/{id}"));
    assert_eq!(get(READER, &id).status, 200);
    assert_eq!(get(ACME_READER, &id).status, 200);
    let others = get(GLOBEX_READER, &id);
    others.refused(404, "not found");
    for none in ["01990000-0000-7000-8000-000000000001", "ffffffff-ffff-ffff-ffff-ffffffffffff", "x", "%2e%2e"] {
        for token in [READER, GLOBEX_READER] {
            let answer = get(token, none);
            assert_eq!((answer.status, &answer.bytes), (404, &others.bytes), "{none}");
        }
    }
    running.get(None, &format!("/wcp/receipts/{id}")).refused(401, "unauthorized");
    get(ACME, &id).refused(403, "forbidden");
}

#[test]
fn a_snapshot_is_on_record_before_it_is_in_force() {
    let running = Running::start();
    let before = running.hall.snapshot().fingerprint;
    running.hall.begin();
    let put = |version| running.hall.activate(crate::harness::snapshot(version), (*running.hall.tokens()).clone());
    let receipt = put("policy.next").unwrap().snapshot.unwrap();
    let after = running.hall.snapshot().fingerprint;
    assert_ne!(before, after);
    let path = format!("/wcp/receipts/{}", receipt.id());
    let entry = running.get(Some(READER), &path).json()["receipt"].take();
    let said = ["kind", "cause", "policy_version", "stream"].map(|field| entry[field].as_str().unwrap().to_owned());
    assert_eq!(said, ["policy", "reload", "policy.next", ":hall"]);
    assert_eq!((&entry["snapshot"], &entry["replaces"]), (&after.to_hex().into(), &before.to_hex().into()));
    assert_eq!(running.get(Some(ACME_READER), &path).status, 404, "the hall's own stream is no tenant's");
    let id = decided(&running);
    let decision = running.get(Some(READER), &format!("/wcp/receipts/{id}")).json();
    assert_eq!(decision["receipt"]["snapshot"], after.to_hex());

    running.ledger.close();
    assert!(
        put("policy.unrecorded").is_err() && running.hall.snapshot().fingerprint == after,
        "what is not on record is not in force"
    );
}

/// The hashes of a proof, one after the other.
fn path(hashes: &Value) -> Vec<u8> {
    let hash = |hash: &Value| *hash.as_str().unwrap().parse::<Digest>().unwrap().as_bytes();
    hashes.as_array().unwrap().iter().flat_map(hash).collect()
}

/// The size and root of a checkpoint.
fn root(checkpoint: &str) -> RootHash<Sha256> {
    let lines: Vec<&str> = checkpoint.lines().collect();
    let hash = tlog_tiles::Hash::parse_hash(lines[2]).unwrap();
    RootHash::new(hash.0.into(), lines[1].parse().unwrap())
}

/// `ct_merkle` is an RFC 6962 implementation of others. Here it makes the tree of the entries that are fetched.
#[test]
fn another_implementation_makes_the_signed_root_of_the_bundles_and_accepts_our_proofs() {
    let running = signed(260, false);
    let text = |path: &str| running.get(Some(READER), path).text();
    let older = text("/log/checkpoint");
    let ids: Vec<String> = (0..300).map(|_| decided(&running)).collect();
    let receipt = running.get(Some(READER), &format!("/wcp/receipts/{}", ids[299])).json();
    let checkpoint = receipt["checkpoint"].as_str().unwrap();
    let newest = root(checkpoint);
    assert_eq!(newest.num_leaves(), 560);

    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for bundle in ["000", "001", "002.p/48"] {
        let bundle = running.get(Some(READER), &format!("/log/tile/entries/{bundle}")).bytes.clone();
        let mut rest = bundle.as_slice();
        while let Some((length, entries)) = rest.split_first_chunk::<2>() {
            let (entry, others) = entries.split_at(usize::from(u16::from_be_bytes(*length)));
            tree.push(entry.to_vec());
            rest = others;
        }
    }
    assert_eq!(tree.root(), newest);
    for id in ids.iter().step_by(23) {
        let proof = running.get(Some(READER), &format!("/wcp/receipts/{id}")).json();
        let index = proof["inclusion"]["leaf_index"].as_u64().unwrap();
        let entry = tree.get(usize::try_from(index).unwrap()).unwrap();
        let path = InclusionProof::try_from_bytes(path(&proof["inclusion"]["hashes"])).unwrap();
        let root = root(proof["checkpoint"].as_str().unwrap());
        root.verify_inclusion(entry, index, &path).unwrap();
        assert!(root.verify_inclusion(&b"another".to_vec(), index, &path).is_err());
    }
    let proof = running.published().prove_since(older.as_bytes()).unwrap();
    let proof = serde_json::to_value(proof).unwrap();
    let path = ConsistencyProof::try_from_bytes(path(&proof["consistency"]["hashes"])).unwrap();
    let newest = root(proof["checkpoint"].as_str().unwrap());
    newest.verify_consistency(&root(&older), &path).unwrap();
    assert!(newest.verify_consistency(&RootHash::new([7; 32].into(), 260), &path).is_err());
}

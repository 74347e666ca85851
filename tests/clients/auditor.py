"""An auditor who trusts nobody here: two implementations of others verify the log, over HTTP and by its documents.

`tlog_scales` (Python) fetches the whole log by itself as C2SP tlog-tiles says and has its own note parser and its own RFC 9162
proofs; Ed25519 is that of `cryptography`. `metamorphic_log` (Rust, through its Python binding) verifies notes and proofs. What is
here only carries bytes from one to the other.
"""

import hashlib
import json
import os
import subprocess

import metamorphic_log
import requests
from tlog_scales import tiles
from tlog_scales.backend import HttpBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tlog import Checkpoint, ConsistencyProof, InclusionProof

HALL, VKEY = os.environ["HALL"], os.environ["HALLGATE_KEY"]
BODY = {"capability_id": "cap.data.write.v1", "worker_id": "wrk_make_acme_prod", "env": "prod", "data_label": "INTERNAL"}
DECISIONS = 300

asking = requests.Session()
asking.headers["Authorization"] = "Bearer " + os.environ["HALL_SESSION_TOKEN"]
backend = HttpBackend(HALL + "/log")
backend.session.headers["Authorization"] = "Bearer " + os.environ["HALL_READ_TOKEN"]
key = Vkey.from_string(VKEY)
other_key = Vkey(key.name, None, 1, bytes(32)).serialize()


def refused(verify, *arguments):
    """That a verifier can say no at all."""
    try:
        verify(*arguments)
    except Exception:
        return
    raise AssertionError(f"{verify} accepts what is false")


def note():
    return backend.get("checkpoint").decode()


def hashes(digests):
    return [bytes.fromhex(digest) for digest in digests]


# The older checkpoint, as an auditor keeps it.
older_note = note()
with open("older", "w") as file:
    file.write(older_note)
ids = [asking.post(HALL + "/api/route", json=BODY).json()["decision_id"] for _ in range(DECISIONS)]
# A receipt of the last decision: with it comes a checkpoint over all of them.
asking.get(f"{HALL}/wcp/receipts/{ids[-1]}").raise_for_status()

# 1. The notes.
reader = TilesReader(backend)
newest = reader.get_checkpoint()
newest_note = note()
while newest.serialize() != newest_note:
    newest, newest_note = reader.get_checkpoint(), note()
assert newest.size > DECISIONS > 256, newest
for text in (older_note, newest_note):
    Checkpoint.from_text(text).verify(key)
    head = metamorphic_log.checkpoint_verify(text, [VKEY])
    parsed = Checkpoint.from_text(text)
    assert (head.origin, head.size, head.root) == (parsed.origin, parsed.size, parsed.root_hash)
    forged = text.replace(f"\n{parsed.size}\n", f"\n{parsed.size + 1}\n")
    refused(Checkpoint.from_text(forged).verify, key)
    refused(metamorphic_log.checkpoint_verify, forged, [VKEY])
    refused(metamorphic_log.checkpoint_verify, text, [other_key])
older = Checkpoint.from_text(older_note)
assert newest.origin == key.name and 0 < older.size < newest.size

# 2. The whole log: every entry fetched, in the tree, and the tree the signed one. Each implementation checks each entry.
assert reader.calculate_root_hash() == newest.root_hash
entries = [reader.get_entry(index) for index in range(newest.size)]
for index, entry in enumerate(entries):
    leaf = tiles.leaf_hash(entry)
    proof = reader.get_inclusion_proof(index, newest.size)
    proof.check(leaf, newest.root_hash)
    metamorphic_log.verify_inclusion(index, newest.size, leaf, proof.node_hashes, newest.root_hash)
    refused(proof.check, tiles.leaf_hash(entry + b" "), newest.root_hash)
kinds = [json.loads(entry)["kind"] for entry in entries]
assert kinds[0] == "policy" and kinds.count("decision") > DECISIONS and kinds.count("outcome") > 0, kinds
recorded = [json.loads(entry)["receipt_id"] for entry in entries]
assert recorded == sorted(recorded) and set(ids) <= set(recorded)

# 3. Our inclusion proofs.
for decision_id in (ids[0], ids[-1], *ids[100:110]):
    document = asking.get(f"{HALL}/wcp/receipts/{decision_id}").json()
    inclusion, checkpoint = document["inclusion"], Checkpoint.from_text(document["checkpoint"])
    index, path = inclusion["leaf_index"], hashes(inclusion["hashes"])
    leaf = tiles.leaf_hash(entries[index])
    assert hashlib.sha256(entries[index]).hexdigest() == document["receipt_hash"]
    assert json.loads(entries[index]) == document["receipt"] and document["receipt"]["decision_id"] == decision_id
    checkpoint.verify(key)
    InclusionProof(index, inclusion["tree_size"], path).check(leaf, checkpoint.root_hash)
    metamorphic_log.checkpoint_verify_inclusion(document["checkpoint"], [VKEY], index, leaf, path)
    refused(InclusionProof(index, inclusion["tree_size"], path[::-1]).check, leaf, checkpoint.root_hash)
    refused(metamorphic_log.checkpoint_verify_inclusion, document["checkpoint"], [VKEY], index ^ 1, leaf, path)

# 4. Our consistency proof, and one that is made from the tiles alone.
reader.get_consistency_proof(older.size, newest.size).check(older.root_hash, newest.root_hash)
prove = [os.environ["HALLGATE"], "audit", "prove", "--ledger", os.environ["HALLGATE_LEDGER"], "--since", "older"]
document = json.loads(subprocess.run(prove, check=True, capture_output=True).stdout)
consistency, checkpoint = document["consistency"], Checkpoint.from_text(document["checkpoint"])
path = hashes(consistency["hashes"])
assert path and document["older_checkpoint"] == older_note
ConsistencyProof(older.size, checkpoint.size, path).check(older.root_hash, checkpoint.root_hash)
metamorphic_log.checkpoint_verify_consistency(older_note, document["checkpoint"], [VKEY], path)
refused(ConsistencyProof(older.size, checkpoint.size, path[:-1]).check, older.root_hash, checkpoint.root_hash)
refused(metamorphic_log.checkpoint_verify_consistency, older_note, document["checkpoint"], [VKEY], path[::-1])
print("all seen")

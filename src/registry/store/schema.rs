//! The store's tables, and the statements that are run on them.

use crate::database::{Journal, Tables};

/// The file: "hall", in its first version. Others may read it while we write.
pub(super) const FILE: Tables = Tables {
    application: 0x6861_6c6c,
    version: 1,
    sql: TABLES,
    journal: Journal::WriteAhead,
    afresh: "it is made again from the ledger",
};

const TABLES: &str = "
CREATE TABLE worker (
    worker_id TEXT PRIMARY KEY NOT NULL, record TEXT NOT NULL, enrollment_id TEXT NOT NULL, enrolled_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL, receipt_id TEXT NOT NULL, token TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE revocation (
    worker_id TEXT PRIMARY KEY NOT NULL, receipt_id TEXT NOT NULL, since INTEGER NOT NULL, token TEXT, reason TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE ban (
    hash TEXT PRIMARY KEY NOT NULL, receipt_id TEXT NOT NULL, since INTEGER NOT NULL, token TEXT, reason TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE ledger (one INTEGER PRIMARY KEY CHECK (one = 1), taken INTEGER NOT NULL) STRICT;
INSERT INTO ledger VALUES (1, 0);
";

pub(super) const ENROLL: &str = "
INSERT INTO worker (worker_id, record, enrollment_id, enrolled_at, updated_at, receipt_id, token)
VALUES (?1, ?2, ?3, ?4, ?4, ?3, ?5)
ON CONFLICT (worker_id) DO UPDATE SET record = ?2, updated_at = ?4, receipt_id = ?3, token = ?5";
pub(super) const REVOKE: &str =
    "INSERT OR REPLACE INTO revocation (worker_id, receipt_id, since, token, reason) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(super) const RESTORE: &str = "DELETE FROM revocation WHERE worker_id = ?1";
pub(super) const BAN: &str =
    "INSERT OR REPLACE INTO ban (hash, receipt_id, since, token, reason) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(super) const UNBAN: &str = "DELETE FROM ban WHERE hash = ?1";

pub(super) const WORKERS: &str =
    "SELECT worker_id, record, enrollment_id, enrolled_at, updated_at FROM worker ORDER BY worker_id";
pub(super) const REVOKED: &str = "SELECT worker_id, since, reason, 0, 0 FROM revocation ORDER BY worker_id";
pub(super) const BANNED: &str = "SELECT hash, since, reason, 0, 0 FROM ban ORDER BY hash";

/// What is kept as the changes that it comes from.
pub(super) const CHANGES: &str = "
SELECT 'worker', worker_id, record, receipt_id, updated_at, token FROM worker
UNION ALL SELECT 'revocation', worker_id, reason, receipt_id, since, token FROM revocation
UNION ALL SELECT 'ban', hash, reason, receipt_id, since, token FROM ban";

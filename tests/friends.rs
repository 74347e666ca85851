//! Make, n8n and Bruno: what `docs/integrate/import` brings into them, and what their pages say, against a running Hall over https.
//!
//! `make friends` has the real n8n and Bruno import and run theirs; without it their shape is checked, and an emulator stands for Make.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "the clients here are other programs")]
#[path = "tls/authority.rs"]
mod authority;
#[path = "friends/emulator.rs"]
mod emulator;
#[path = "friends/hall.rs"]
mod hall;
#[path = "friends/hold.rs"]
mod hold;
#[path = "friends/make.rs"]
mod make;
#[path = "friends/n8n_hold.rs"]
mod n8n_hold;
#[path = "friends/real.rs"]
mod real;
#[expect(dead_code, reason = "approvals use the rest of it")]
#[path = "approvals/receiver.rs"]
mod receiver;
#[path = "friends/shapes.rs"]
mod shapes;
#[path = "friends/tables.rs"]
mod tables;

use std::fs;

use serde_json::{Value, json};
use support::root;

/// What a file that is imported says.
fn imported(name: &str) -> String {
    fs::read_to_string(root().join("docs/integrate/import").join(name)).unwrap()
}

/// The same, of JSON.
fn imported_json(name: &str) -> Value {
    serde_json::from_str(&imported(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What the pages ask for, with data of this label.
fn request(label: &str) -> Value {
    json!({
        "capability_id": "cap.data.write.v1", "worker_id": "wrk_make_acme_prod", "env": "prod", "data_label": label,
        "tenant_id": "org.acme"
    })
}

//! The `hall` section: the API's listener, the session tokens, and how much is let in. A gate alone has none.

use super::gate::GateSection;
use super::reader::Map;
use super::{kinds, limits, tls, tokens};
use crate::api::Settings;
use crate::hall::Token;
use crate::hall::limits::{DoorLimits, Settings as Limits};
use crate::hall::rate::Rate;
use crate::proxy::settings::Identity;

/// What the section comes to.
#[derive(Debug)]
pub struct HallSection {
    /// The API itself; `None` where there is no Hall.
    pub api: Option<Settings>,
    /// The session tokens.
    pub tokens: Vec<Token>,
    /// What is let in.
    pub limits: DoorLimits,
    /// How many credentials that are none are looked at.
    pub failures: Rate,
}

/// Reads the section; `None` when something in it is wrong.
pub fn read(mut hall: Map<'_>) -> Option<HallSection> {
    let listen = hall.read("listen", "127.0.0.1:8765", kinds::address);
    let tls = hall.get("tls").map_or(Some(None), |value| tls::server(value.map()?).map(Some));
    let tokens = tokens::read(&mut hall);
    let cors_origins = hall.list("cors_origins", kinds::origin);
    let metrics_need_token = hall.read("metrics_need_token", "false", kinds::flag);
    let monitor = hall.read("monitor_unauthenticated_loopback", "false", kinds::flag);
    let public_url = hall.maybe("public_url", kinds::public_url);
    let console = hall.read("console", "false", kinds::flag);
    let threads = hall.read("threads", "1", kinds::number(1, 256));
    let limits = hall.section("limits").and_then(limits::of_hall);
    let connections = hall.section("connections").and_then(|map| limits::connections(map, 1024));
    hall.done(&[]);
    let api = Settings {
        listen: listen?,
        tls: tls?,
        cors_origins: cors_origins?,
        metrics_need_token: metrics_need_token?,
        monitor_unauthenticated_loopback: monitor?,
        console: console?,
        // Written in the section `ledger`.
        public_tiles: false,
        public_url: public_url?,
        connections: connections?,
        threads: threads?,
    };
    let (limits, failures) = limits?;
    Some(HallSection { api: Some(api), tokens: tokens?, limits, failures })
}

/// What it comes to where there is no such section: a gate alone. `None` when the gate's callers prove who they are by a token of it.
pub fn absent(top: &Map<'_>, gate: Option<&GateSection>) -> Option<HallSection> {
    if gate.is_some_and(|read| read.gate.identity == Identity::Token) {
        top.wrong("hall", "is missing, and `gate.identity` is `{ mode: token }`: nobody has a token", tokens::TOKEN);
        return None;
    }
    let Limits { hall: limits, failures, .. } = Limits::default();
    Some(HallSection { api: None, tokens: Vec::new(), limits, failures })
}

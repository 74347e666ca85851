//! The Hall API around the decision, from the outside: what each client of a Hall reads, who may read what, and what is told of it.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "hall_api/alerts.rs"]
mod alerts;
#[path = "hall_api/catalogue.rs"]
mod catalogue;
#[path = "hall_api/decisions.rs"]
mod decisions;
#[path = "hall_api/feed.rs"]
mod feed;
#[path = "hall_api/hall.rs"]
mod hall;
#[path = "hall_api/monitor.rs"]
mod monitor;
#[path = "hall_api/paths.rs"]
mod paths;
#[path = "hall_api/recalled.rs"]
mod recalled;
#[path = "hall_api/reported.rs"]
mod reported;
#[path = "hall_api/tenants.rs"]
mod tenants;
#[path = "hall_api/why.rs"]
mod why;

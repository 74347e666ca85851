//! In a pod: nothing goes around the gate, the image holds all that it needs, and the manifests are what the code is.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "pod/admission.rs"]
mod admission;
#[path = "pod/chart.rs"]
mod chart;
#[path = "pod/container.rs"]
mod container;
#[path = "pod/fabric.rs"]
mod fabric;
#[path = "pod/image.rs"]
mod image;
#[path = "pod/inject.rs"]
mod inject;
#[path = "pod/ledger_key.rs"]
mod ledger_key;
#[path = "pod/manifests.rs"]
mod manifests;
#[path = "pod/monitoring.rs"]
mod monitoring;
#[path = "pod/redirect.rs"]
mod redirect;
#[path = "pod/worked.rs"]
mod worked;

//! The walk notices when hallgate does not do what it must.

use super::super::page::Page;
use super::super::upstream::SampleUpstream;
use super::{Doors, Stream, walk};
use std::time::Duration;

#[tokio::test]
async fn without_a_gate_every_step_but_the_way_around_it_goes_wrong() {
    let upstream = SampleUpstream::start("127.0.0.1:0".parse().unwrap(), "nobody holds this").await.unwrap();
    let base = format!("http://{}", upstream.addr());
    let doors = Doors { gate: &base, hall: &base, token: "hst_none", approver: "hst_none", upstream: &upstream };
    assert_eq!(walk(&doors, &Page::stdout()).await, Err(8));
}

#[test]
fn a_stream_that_was_held_together_is_no_stream() {
    let stream = |apart: u64, done| Stream {
        tokens: (0..20).map(|n| (Duration::from_millis(n * apart), "word".to_owned())).collect(),
        done,
    };
    assert_eq!(stream(30, true).wrong(), None);
    assert!(stream(30, false).wrong().is_some_and(|wrong| wrong.contains("[DONE]")));
    assert!(stream(1, true).wrong().is_some());
}

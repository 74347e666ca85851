//! Who gets a place, who gives one up, and who waits for one.

use std::pin::pin;

use futures_util::FutureExt as _;

use super::lines::PATIENCE;
use super::*;

fn connections(in_all: usize, per_network: usize, unknown: usize, grace: Duration) -> Arc<Connections> {
    let connections =
        Connections::new("gate", ConnectionLimits { in_all, per_network, unknown }, &Arc::new(Metrics::new()));
    Arc::new(Connections { grace, tenure: Duration::ZERO, ..Arc::into_inner(connections).unwrap() })
}

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

/// A place without waiting, another's if need be.
fn enter(connections: &Arc<Connections>, peer: Option<IpAddr>) -> Option<ConnectionPlace> {
    connections.place(peer.map(network), true).ok()
}

fn is_taken(place: &ConnectionPlace) -> bool {
    place.is_taken().now_or_never().is_some()
}

#[test]
fn strangers_take_each_others_places_and_nobody_elses() {
    let connections = connections(100, 100, 3, Duration::ZERO);
    let known = enter(&connections, address("10.0.0.1")).unwrap();
    known.known();
    let first = enter(&connections, address("10.0.0.2")).unwrap();
    let flood: Vec<ConnectionPlace> = (0..50).map(|_| enter(&connections, address("10.0.0.9")).unwrap()).collect();
    let taken: Vec<bool> = flood.iter().map(is_taken).collect();
    assert_eq!(taken.iter().filter(|taken| !**taken).count(), 2, "{taken:?}");
    assert_eq!(&taken[48..], [false, false], "the newest");
    assert!(!is_taken(&first), "the busiest network gives way first");
    assert!(!is_taken(&known));
    assert_eq!(connections.table().open.len(), 4);
    // In time, an identity keeps the place.
    flood[49].known();
    let more: Vec<ConnectionPlace> = (0..50).map(|_| enter(&connections, address("10.0.0.9")).unwrap()).collect();
    assert!(!is_taken(&flood[49]) && is_taken(&flood[48]));
    drop((more, flood, first, known));
    let table = connections.table();
    assert!(table.open.is_empty() && table.networks.is_empty() && table.unknown.is_empty());
    assert!(table.unknown_of.is_empty());
}

#[test]
fn a_burst_is_given_time_to_say_who_it_is_and_no_more_than_all_places() {
    let connections = connections(10, 10, 3, GRACE);
    let burst: Vec<ConnectionPlace> = (0..10).map(|_| enter(&connections, None).unwrap()).collect();
    assert!(!burst.iter().any(is_taken));
    let _next = enter(&connections, None).unwrap();
    assert_eq!(burst.iter().filter(|place| is_taken(place)).count(), 1);
}

#[test]
fn heads_that_are_not_whole_have_a_bound_together() {
    let connections = connections(1000, 1000, 1000, GRACE);
    let places: Vec<ConnectionPlace> = (0..400).map(|_| enter(&connections, None).unwrap()).collect();
    for place in &places {
        place.holds(30_000);
        place.holds(60_000);
    }
    let kept = places.iter().filter(|place| !is_taken(place)).count();
    assert!((200..=HEADS / 60_000).contains(&kept), "{kept}");
    places.iter().for_each(|place| place.holds(0));
    assert_eq!(connections.heads.load(Relaxed), 0);
    places[399].holds(5);
    drop(places);
    assert_eq!(connections.heads.load(Relaxed), 0);
}

#[tokio::test]
async fn whoever_is_at_work_keeps_its_place_and_whoever_owes_us_something_gives_way() {
    let connections = connections(5, 3, 5, Duration::ZERO);
    let work = |place: &ConnectionPlace| {
        place.known();
        place.works(true);
    };
    let one: Vec<ConnectionPlace> = (0..3).map(|_| enter(&connections, address("2001:db8::1")).unwrap()).collect();
    one.iter().for_each(work);
    assert!(enter(&connections, address("2001:db8::ffff")).is_none(), "the same /64");
    let other: Vec<ConnectionPlace> = (0..2).map(|_| enter(&connections, None).unwrap()).collect();
    other.iter().for_each(work);
    assert!(enter(&connections, address("10.0.0.1")).is_none());
    // A caller that does not read gives way to its own network's next, and one that owes a request to anybody's.
    one[1].is_blocked(true);
    let next = enter(&connections, address("2001:db8::2")).unwrap();
    assert_eq!(one.iter().map(is_taken).collect::<Vec<_>>(), [false, true, false]);
    work(&next);
    other[0].works(false);
    let third = enter(&connections, address("10.0.0.1")).unwrap();
    assert!(is_taken(&other[0]) && !is_taken(&other[1]) && !is_taken(&next));
    // Strangers give way first.
    other[1].works(false);
    let fourth = enter(&connections, address("10.0.0.2")).unwrap();
    assert!(is_taken(&third) && !is_taken(&other[1]));
    // Of two that owe something, the one that has for longer.
    fourth.known();
    std::thread::sleep(Duration::from_millis(5));
    fourth.speaks();
    let _fifth = enter(&connections, address("10.0.0.2")).unwrap();
    assert!(is_taken(&other[1]) && !is_taken(&fourth));
}

#[tokio::test(start_paused = true)]
async fn where_all_are_at_work_new_ones_wait_in_line_and_not_for_ever() {
    let mut connections = connections(2, 2, 2, GRACE);
    let tenure = Duration::from_millis(20);
    Arc::get_mut(&mut connections).unwrap().tenure = tenure;
    let one = address("10.0.0.1");
    let work = |place: &ConnectionPlace| {
        place.known();
        place.works(true);
    };
    let mut all = vec![enter(&connections, one).unwrap(), enter(&connections, one).unwrap()];
    all.iter().for_each(work);
    let began = tokio::time::Instant::now();
    assert!(connections.enter(one).await.is_none());
    assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
    // Those of a network wait in the order in which they came, and no more than so many.
    let (mut first, mut second) = (pin!(connections.enter(one)), pin!(connections.enter(one)));
    assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
    assert!(connections.enter(one).now_or_never().is_some_and(|refused| refused.is_none()), "there are two");
    all[0].works(false);
    assert!(second.as_mut().now_or_never().is_none());
    std::thread::sleep(tenure);
    let first = first.await.unwrap();
    assert!(is_taken(&all[0]) && !is_taken(&all[1]));
    assert!(!is_taken(&first) && second.as_mut().now_or_never().is_none(), "who has just come stays for a while");
    work(&first);
    // Whoever is answered is told to go while somebody waits.
    assert!(all[1].is_waited_for());
    drop(all.pop());
    let second = second.await.unwrap();
    assert!(!second.is_waited_for(), "nobody waits");
    work(&second);
    assert!(connections.enter(one).await.is_none());
    assert!(connections.lines.nobody_waits());
}

#[tokio::test]
async fn whoever_waits_on_a_place_that_is_taken_is_woken() {
    let connections = connections(10, 10, 1, Duration::ZERO);
    let place = Arc::new(enter(&connections, None).unwrap());
    let waiting = tokio::spawn({
        let place = Arc::clone(&place);
        async move { place.is_taken().await }
    });
    tokio::task::yield_now().await;
    let _next = enter(&connections, None).unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await.unwrap().unwrap();
}

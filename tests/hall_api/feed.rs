//! Decisions as they are recorded: to those who may see them, behind what they saw last, and to no more viewers than there may be.

use support::{Feed, get, post, until};

use crate::hall::{ACME, ANY, DENIED, GLOBEX, MAKE, READ, READER, fixture};

#[test]
fn each_viewer_is_told_of_what_it_may_see_once_and_goes_on_where_it_was() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let hall = process.hall();
    post(hall, MAKE, "/api/route", READ).ok();
    let mut all = Feed::of(hall, "/api/decisions/feed", READER);
    let mut denied = Feed::of(hall, "/api/decisions/feed?verdict=DENY&label=PUBLIC", READER);
    let mut globex = Feed::of(hall, "/api/decisions/feed", GLOBEX);
    assert_eq!((all.status(), denied.status(), globex.status()), (200, 200, 200));
    assert!(all.head.contains("text/event-stream") && all.head.contains("no-store"), "{}", all.head);
    let mut decided = Vec::new();
    for (token, asked) in
        [(MAKE, READ.to_owned()), (MAKE, DENIED.to_owned()), (ANY, READ.replace("org.acme", "org.globex"))]
    {
        let answer = post(hall, token, "/api/route", &asked).ok();
        decided.push(answer["decision_id"].as_str().unwrap().to_owned());
    }
    let mut told = Vec::new();
    for id in &decided {
        let event = all.next().unwrap();
        assert_eq!((&*event.kind, event.id.as_ref()), ("decision", Some(id)));
        told.push(event.json());
    }
    let listed = get(hall, READER, "/api/decisions?limit=3").ok();
    told.reverse();
    assert_eq!(listed["decisions"].as_array(), Some(&told), "as the list has them");
    assert_eq!(denied.next().unwrap().id.as_ref(), Some(&decided[1]));
    assert_eq!(globex.next().unwrap().id.as_ref(), Some(&decided[2]), "and of no other tenant's before it");
    drop(all);

    // What came while nobody looked on is told to whoever comes back.
    let headers = [("authorization", &*format!("Bearer {READER}")), ("last-event-id", &*decided[0])];
    let mut again = Feed::open(hall, "/api/decisions/feed", &headers);
    for id in &decided[1..] {
        assert_eq!(again.next().unwrap().id.as_ref(), Some(id));
    }
    // Of very many the newest are, and how many others there are.
    for _ in 0..40 {
        post(hall, MAKE, "/api/route", READ).ok();
    }
    let mut late = Feed::open(hall, "/api/decisions/feed?tenant=org.acme&verdict=DISPATCH", &headers);
    let lagged = late.next().unwrap();
    assert_eq!((&*lagged.kind, lagged.id.clone(), lagged.json()["skipped"].as_u64()), ("lagged", None, Some(20)));
    let newest = get(hall, READER, "/api/decisions?limit=20").ok();
    for row in newest["decisions"].as_array().unwrap().iter().rev() {
        assert_eq!(late.next().unwrap().json(), *row);
    }

    for (wrong, headers) in [("?since=2026-01-01", &headers[..1]), ("?verdict=MAYBE", &headers[..1])] {
        assert_eq!(Feed::open(hall, &format!("/api/decisions/feed{wrong}"), headers).status(), 400);
    }
    assert_eq!(Feed::open(hall, "/api/decisions/feed", &[headers[0], ("last-event-id", "x")]).status(), 400);
    assert_eq!(Feed::of(hall, "/api/decisions/feed", MAKE).status(), 403);
    assert_eq!(Feed::open(hall, "/api/decisions/feed", &[]).status(), 401);
}

#[test]
fn there_is_an_end_to_viewers_and_their_places_are_given_back() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let hall = process.hall();
    let mut feeds: Vec<Feed> = (0..16).map(|_| Feed::of(hall, "/api/decisions/feed", ACME)).collect();
    assert!(feeds.iter().all(|feed| feed.status() == 200));
    let refused = get(hall, ACME, "/api/decisions/feed");
    assert_eq!(refused.retry_after(), 30);
    let said = refused.refused(429);
    assert!(said.contains("16 of at most 16 feeds of this token"), "{said}");
    assert_eq!(Feed::of(hall, "/api/decisions/feed", READER).status(), 200, "another's are its own");
    feeds.pop();
    until(|| Feed::of(hall, "/api/decisions/feed", ACME).status() == 200);
}

#[test]
fn a_feed_ends_with_its_token_and_with_the_hall() {
    let fixture = fixture("  tokens_file: tokens.yaml\n", "", "");
    let (ada, bea) = ("hst_ada_012345678901", "hst_bea_012345678901");
    let of = |name: &str, secret: &str, more: &str| {
        format!("  - {{ name: {name}, secret: {secret}, scopes: [read]{more} }}\n")
    };
    let both = |more: &str| format!("tokens:\n{}{}", of("ada", ada, ""), of("bea", bea, more));
    fixture.write("tokens.yaml", &both(""));
    let process = fixture.serve();
    let feed = |secret: &str| Feed::of(process.hall(), "/api/decisions/feed", secret);
    let (mut removed, mut bound, mut stays) = (feed(ada), feed(bea), feed(READER));
    fixture.write("tokens.yaml", &both(", tenant_id: org.globex"));
    assert_eq!(bound.next(), None, "it may see less from now on");
    fixture.write("tokens.yaml", &format!("tokens:\n{}", of("bea", bea, "")));
    assert_eq!(removed.next(), None);
    assert_eq!(feed(ada).status(), 401);
    let decided = post(process.hall(), MAKE, "/api/route", READ).ok();
    assert_eq!(stays.next().unwrap().id.as_deref(), decided["decision_id"].as_str());
    process.terminate();
    assert_eq!(stays.next(), None);
    assert_eq!(process.ended(), Some(0));
}

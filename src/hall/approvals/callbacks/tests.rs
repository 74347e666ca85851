//! Names that move between the check and the connection, and what a client does then. What the program does is tested from outside.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::approvals::{
    Asker, Book, BothClocks, Callback, CallbackKey, HeldAsk, Settings, State, UnboundHeaders, WaitingLimits,
};
use crate::ids::{DataLabel, Env, SupervisorLevel};
use crate::outbound::Reach;

/// A name that has another address at each look.
#[derive(Debug)]
struct Moves {
    answers: Vec<&'static [&'static str]>,
    looks: AtomicUsize,
}

#[async_trait]
impl Lookup for Moves {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        assert_eq!(name, "flows.test");
        let look = self.looks.fetch_add(1, Ordering::SeqCst);
        Ok(self.answers[look].iter().map(|text| text.parse().unwrap()).collect())
    }
}

/// A server at this address, and how often somebody came.
async fn listen(address: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let (address, came) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&came);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = connection.read(&mut [0; 4096]).await;
            let _ = connection.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        }
    });
    (address, came)
}

fn due(url: &str) -> DueCallback {
    let settings = Settings {
        store: "none".into(),
        ttl: Duration::from_secs(600),
        quorum: std::collections::BTreeMap::new(),
        blast: None,
        most: 8,
        most_for_one: 8,
        most_a_minute: 8,
        no_contents_from: None,
        unbound_headers: UnboundHeaders::default(),
        waiting: WaitingLimits { most: 1, most_for_one: 1, bytes: 1 },
        callbacks: None,
    };
    let asked = HeldAsk {
        digest: Digest::of(b"it"),
        basis: Digest::of(b"why"),
        level: SupervisorLevel::Gatekeeper,
        tenant: "org.acme".into(),
        worker: None,
        capability: "cap.data.write.v1".into(),
        env: Env::Prod,
        label: DataLabel::Internal,
        door: "api".to_owned(),
        rule: "r".into(),
        policies: Vec::new(),
        blast_score: None,
        reason: String::new(),
        correlation_id: "c".to_owned(),
    };
    let approval = Approval {
        id: Uuid::new_v4(),
        asked,
        asker: Asker { token: None, owner: None },
        opened_at_micros: 0,
        expires_at_micros: i64::MAX,
        state: State::Denied,
        votes: Vec::new(),
        note: None,
        ended_by: None,
        told: None,
        callbacks: vec![Callback::new(url.to_owned(), "c".to_owned(), true)],
    };
    let now = BothClocks { micros: 1, steady: Instant::now() };
    Book::new(settings, vec![approval], 0, now).due_callbacks(8).pop().unwrap()
}

fn calls(origin: &str, reach: Reach, answers: Vec<&'static [&'static str]>) -> (Calls, Arc<Moves>) {
    crate::cli::serve::one_provider();
    let prefixes = vec![CallbackPrefix::new(&format!("{origin}/"), reach).unwrap()];
    let settings = CallbackSettings { prefixes, key: CallbackKey::new("a key of this test") };
    let moves = Arc::new(Moves { answers, looks: AtomicUsize::new(0) });
    let lookup: Arc<dyn Lookup> = Arc::clone(&moves) as _;
    (Calls::new(Arc::new(settings), Arc::new(Metrics::new()), &lookup).unwrap(), moves)
}

#[tokio::test]
async fn a_name_that_moves_is_called_where_it_was_checked_or_nowhere() {
    let (allowed, came) = listen("127.0.0.2:0".parse().unwrap()).await;
    let (_, came_elsewhere) = listen(SocketAddr::from(([127, 0, 0, 1], allowed.port()))).await;
    let origin = format!("http://flows.test:{}", allowed.port());
    let reach = Reach::into_network("127.0.0.2".parse().unwrap()).unwrap();
    let (calls, moves) = calls(
        &origin,
        reach,
        vec![&["127.0.0.2"], &["127.0.0.1"], &["127.0.0.2", "127.0.0.1"], &["::ffff:127.0.0.2"], &[], &["127.0.0.2"]],
    );
    let due = due(&format!("{origin}/a"));
    for (attempt, is_called) in [true, false, false, false, false, true].into_iter().enumerate() {
        let tried = calls.once(&due).await;
        let expected = if is_called { Ok(()) } else { Err(NotDelivered::Refused(outbound::OutOfReach.to_string())) };
        assert_eq!(tried, expected, "{attempt}");
        assert_eq!(moves.looks.load(Ordering::SeqCst), attempt + 1, "it is looked up once for each connection");
    }
    assert_eq!((came.load(Ordering::SeqCst), came_elsewhere.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test]
async fn a_public_name_is_called_at_public_addresses_only() {
    let inside: [&'static [&'static str]; 9] = [
        &["127.0.0.1"],
        &["10.0.0.1"],
        &["169.254.169.254"],
        &["100.64.0.1"],
        &["::1"],
        &["fe80::1"],
        &["64:ff9b::a00:1"],
        &["1.1.1.1", "192.168.0.1"],
        &["::ffff:8.8.8.8"],
    ];
    let many = inside.len();
    let (calls, _) = calls("https://flows.test", Reach::Public, inside.into());
    let due = due("https://flows.test/a");
    for _ in 0..many {
        assert!(matches!(calls.once(&due).await, Err(NotDelivered::Refused(_))));
    }
}

#[tokio::test]
async fn what_an_earlier_configuration_allowed_is_called_no_more() {
    let (calls, moves) = calls("https://flows.test", Reach::Public, Vec::new());
    for url in ["https://other.test/a", "https://flows.test/a%2fb", "nothing"] {
        assert!(matches!(calls.once(&due(url)).await, Err(NotDelivered::Refused(_))), "{url}");
    }
    assert_eq!(moves.looks.load(Ordering::SeqCst), 0);
}

//! What the gate is told of a request by the connection that it came on, and the other way round.
//!
//! pingora makes an exchange's context without a word on the connection. Both are polled by one task, so they meet in the task.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::connections::{ConnectionPlace, SharedFraming};

tokio::task_local! {
    static ARRIVAL: Arc<Arrival>;
}

/// A request that is about to arrive, or has.
#[derive(Debug)]
pub struct Arrival {
    /// The reader of the connection, over HTTP/1.1.
    pub framing: Option<SharedFraming>,
    /// Whether its head has arrived whole.
    arrived: AtomicBool,
    /// The connection's place, once its head is there.
    place: OnceLock<Arc<ConnectionPlace>>,
    /// Whose turn it is, as a [`Turn`].
    turn: AtomicU8,
    began: Instant,
    /// When a piece of its body arrived last, in milliseconds since `began`.
    last: AtomicU64,
}

/// Whom a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Turn {
    /// Nobody: there is none, or it is over.
    Nobodys,
    /// Us, who decide about it.
    Gates,
    /// Its caller, who is to send the rest of its body.
    Callers,
    /// The upstream.
    Upstreams,
}

impl Arrival {
    /// A request of which nothing has arrived.
    #[must_use]
    pub fn expected(framing: Option<SharedFraming>) -> Arc<Self> {
        Arc::new(Self {
            framing,
            arrived: AtomicBool::new(false),
            place: OnceLock::new(),
            turn: AtomicU8::new(Turn::Nobodys as u8),
            began: Instant::now(),
            last: AtomicU64::new(0),
        })
    }

    /// Since when it is expected.
    #[must_use]
    pub fn began(&self) -> tokio::time::Instant {
        self.began.into()
    }

    /// The one in whose task this is called; without one, as in tests, nobody listens.
    #[must_use]
    pub fn here() -> Arc<Self> {
        ARRIVAL.try_with(Arc::clone).unwrap_or_else(|_| Self::expected(None))
    }

    /// Runs what is called for this request.
    pub async fn scope<T>(self: Arc<Self>, serve: impl Future<Output = T>) -> T {
        ARRIVAL.scope(self, serve).await
    }

    /// Its head is there, on a connection of this place.
    pub fn has_arrived(&self, place: Option<&Arc<ConnectionPlace>>) {
        self.arrived.store(true, Ordering::Relaxed);
        if let Some(place) = place {
            place.speaks();
            let _ = self.place.set(Arc::clone(place));
        }
        self.turn(Turn::Gates);
    }

    /// Whether its head is there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Whoever sent it is known.
    pub fn is_known(&self) {
        if let Some(place) = self.place.get() {
            place.known();
        }
    }

    /// Its caller is to send a body, or a piece of it has arrived.
    pub fn uploads(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
        if let Some(place) = self.place.get() {
            place.speaks();
        }
        self.turn(Turn::Callers);
    }

    /// Its body is whole, or the answer has begun, from when on each side may be silent for as long as the other lets it.
    pub fn is_uploaded(&self) {
        self.turn(Turn::Upstreams);
    }

    fn turn(&self, turn: Turn) {
        let before = self.turn.swap(turn as u8, Ordering::Relaxed);
        let not_callers = |turn| turn == Turn::Gates as u8 || turn == Turn::Upstreams as u8;
        let (worked, works) = (not_callers(before), not_callers(turn as u8));
        if let Some(place) = self.place.get()
            && worked != works
        {
            place.works(works);
        }
    }

    /// Waits until nothing of a body that its caller is to send has arrived for so long.
    pub async fn stalls(&self, patience: Duration) {
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        loop {
            let uploading = self.turn.load(Ordering::Relaxed) == Turn::Callers as u8;
            let silent = self.now().saturating_sub(self.last.load(Ordering::Relaxed));
            if uploading && silent >= patience {
                return;
            }
            let left = if uploading { patience - silent } else { patience };
            tokio::time::sleep(Duration::from_millis(left.max(1))).await;
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.turn(Turn::Nobodys);
    }
}

/// Holds a body to a least rate, from one span of patience to the next.
#[derive(Debug)]
pub struct MinimumRate {
    began: Instant,
    bytes: u64,
}

impl MinimumRate {
    /// A body that begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self { began: Instant::now(), bytes: 0 }
    }

    /// Counts a piece. Whether the body is still fast enough: so many bytes a second over each such span.
    pub fn keeps_up(&mut self, bytes: u64, least: u32, span: Duration) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let passed = self.began.elapsed();
        if least == 0 || passed < span {
            return true;
        }
        let due = u128::from(least) * passed.as_millis() / 1000;
        let kept_up = u128::from(self.bytes) >= due;
        *self = Self::begin();
        kept_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::{ConnectionLimits, Connections};
    use crate::telemetry::Metrics;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_nobody_sends_stalls_and_one_that_arrives_does_not() {
        let arrival = Arrival::expected(None);
        let patience = Duration::from_millis(50);
        let stalls = || tokio::time::timeout(Duration::from_millis(200), arrival.stalls(patience));
        assert!(stalls().await.is_err(), "no body is awaited");
        arrival.uploads();
        // The arrival's own clock is the machine's.
        std::thread::sleep(2 * patience);
        assert!(stalls().await.is_ok());
        arrival.is_uploaded();
        assert!(stalls().await.is_err());
    }

    #[tokio::test]
    async fn who_waits_for_us_or_for_an_upstream_keeps_its_place_and_who_lets_us_wait_does_not() {
        let most = ConnectionLimits { in_all: 1, per_network: 1, unknown: 1 };
        let connections = Connections::new("gate", most, &Arc::new(Metrics::new()));
        let next = async |within| {
            let next = tokio::time::timeout(Duration::from_millis(within), connections.enter(None)).await;
            next.ok().flatten().map(Arc::new)
        };
        let place = next(1).await.unwrap();
        let arrival = Arrival::expected(None);
        arrival.has_arrived(Some(&place));
        assert!(next(300).await.is_none(), "we decide");
        arrival.uploads();
        let place = next(60_000).await.unwrap();
        let arrival = Arrival::expected(None);
        arrival.has_arrived(Some(&place));
        arrival.is_uploaded();
        assert!(next(300).await.is_none(), "the upstream answers");
        drop(arrival);
        assert!(next(60_000).await.is_some(), "it is over");
    }

    #[test]
    fn a_body_keeps_up_over_each_span() {
        let span = Duration::from_millis(20);
        let mut pace = MinimumRate::begin();
        assert!(pace.keeps_up(0, 1000, Duration::from_secs(3600)));
        std::thread::sleep(span);
        assert!(pace.keeps_up(100_000, 1000, span), "much at once");
        std::thread::sleep(span);
        assert!(!pace.keeps_up(1, 1000, span), "which does not count for the next span");
        std::thread::sleep(span);
        assert!(pace.keeps_up(1, 0, span), "no rate");
    }
}

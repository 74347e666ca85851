//! Places for connections: so many in all, so many of a network, and few for those on which nobody is known.
//!
//! Where all are taken a new connection takes one from somebody: from a stranger, else from whoever has owed us something for longest, a
//! request, the rest of a body or to read. Whoever waits for us or for an upstream keeps its place; where all do, new connections wait in
//! line for a moment, and whoever is answered is told to go, even if its next request is there.

mod lines;

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::Ordering::{self, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

use self::lines::Lines;
use crate::ids::network;
use crate::telemetry::{ClosedLabels, Gauge, Metrics};

/// For so long strangers are not asked for their places while others are free.
const GRACE: Duration = Duration::from_secs(3);
/// For so long a connection keeps its place although it owes us something: it may be on its way, or there and not yet read.
const TENURE: Duration = Duration::from_millis(100);
/// Bytes of heads that are not whole, of all connections of a door. Beyond that the largest one goes.
const HEADS: usize = 16 * 1024 * 1024;

/// How many connections a door has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all.
    pub in_all: usize,
    /// Of one network: one address of IPv4, one /64 of IPv6.
    pub per_network: usize,
    /// On which nobody is known; a burst of them may be more for a while.
    pub unknown: usize,
}

impl ConnectionLimits {
    /// How many more may wait for a place.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.in_all
    }
}

/// The connections of a door.
#[derive(Debug)]
pub struct Connections {
    door: &'static str,
    most: ConnectionLimits,
    /// For so long a new connection is not asked for its place, unless all are taken: what it says may be on its way.
    grace: Duration,
    tenure: Duration,
    table: Mutex<Table>,
    lines: Lines<ConnectionPlace>,
    /// Bytes of heads that are not whole.
    heads: AtomicUsize,
    open: Gauge,
    metrics: Arc<Metrics>,
}

type Network = Option<IpAddr>;

#[derive(Debug, Default)]
struct Table {
    /// All that are open, by age.
    open: BTreeMap<u64, (Network, Arc<ConnectionState>)>,
    networks: HashMap<Network, usize>,
    /// Those of them on which nobody is known.
    unknown: BTreeMap<u64, Network>,
    unknown_of: HashMap<Network, usize>,
    next: u64,
}

/// How a connection stands, as its task sees it.
#[derive(Debug)]
struct ConnectionState {
    spoken: AtomicBool,
    known: AtomicBool,
    taken: AtomicBool,
    waker: AtomicWaker,
    /// Exchanges that wait for their upstream, or for more of its answer.
    busy: AtomicUsize,
    /// Its caller does not read.
    blocked: AtomicBool,
    /// Bytes of a head that is not whole.
    head: AtomicUsize,
    /// When its caller did something last, in milliseconds since `began`.
    last: AtomicU64,
    began: Instant,
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub struct ConnectionPlace {
    number: u64,
    network: Network,
    state: Arc<ConnectionState>,
    connections: Arc<Connections>,
}

impl Table {
    /// Takes a connection out. Its place is free from then on.
    fn remove(&mut self, number: u64) -> Option<Arc<ConnectionState>> {
        let (network, state) = self.open.remove(&number)?;
        leave(&mut self.networks, network);
        self.is_known(number);
        Some(state)
    }

    fn is_known(&mut self, number: u64) {
        if let Some(network) = self.unknown.remove(&number) {
            leave(&mut self.unknown_of, network);
        }
    }

    /// The oldest connection on which nobody is known: of this network, or else of the one that has most of them.
    fn stranger(&self, of: Option<Network>) -> Option<u64> {
        let busiest = || self.unknown_of.iter().max_by_key(|(_, held)| **held).map(|(network, _)| *network);
        let network = of.or_else(busiest)?;
        self.unknown.iter().find(|(_, theirs)| **theirs == network).map(|(number, _)| *number)
    }

    fn is_older(&self, number: u64, age: Duration) -> bool {
        self.open.get(&number).is_some_and(|(_, state)| state.began.elapsed() >= age)
    }

    /// The connection with the largest head that is not whole.
    fn largest(&self) -> Option<u64> {
        let head = |(_, (_, state)): &(&u64, &(Network, Arc<ConnectionState>))| state.head.load(Relaxed);
        self.open.iter().max_by_key(head).map(|(number, _)| *number)
    }

    /// The connection whose caller has owed us something for longest, and for so long at least: its next request, the rest of a body, or to
    /// read.
    fn debtor(&self, of: Option<Network>, at_least: Duration) -> Option<u64> {
        let owing = self.open.iter().filter(|(_, (network, state))| {
            of.is_none_or(|of| of == *network) && (state.busy.load(Relaxed) == 0 || state.blocked.load(Relaxed))
        });
        let since = |state: &ConnectionState| state.began.checked_add(Duration::from_millis(state.last.load(Relaxed)));
        let (number, (_, state)) = owing.min_by_key(|(_, (_, state))| since(state))?;
        since(state).is_some_and(|since| since.elapsed() >= at_least).then_some(*number)
    }
}

impl Connections {
    /// Nobody is connected. `door` names it in metrics.
    #[must_use]
    pub fn new(door: &'static str, most: ConnectionLimits, metrics: &Arc<Metrics>) -> Arc<Self> {
        let open = if door == "gate" { &metrics.gate_connections } else { &metrics.hall_connections };
        let open = open.clone();
        Arc::new(Self {
            door,
            most,
            grace: GRACE,
            tenure: TENURE,
            table: Mutex::default(),
            lines: Lines::of_at_most(most.waiting()),
            heads: AtomicUsize::new(0),
            open,
            metrics: Arc::clone(metrics),
        })
    }

    /// Gives a new connection a place, if need be that of another, for which it waits in line. Where all others are at work, `None` when they
    /// still are, or when many wait already.
    pub async fn enter(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<ConnectionPlace> {
        let network = peer.map(network);
        // Nobody overtakes those who wait, and nobody takes a place before the loop has turned: what its owner has sent may not be read yet.
        let free = if self.lines.has(network) { None } else { self.place(network, false).ok() };
        let place = match free {
            Some(place) => Some(place),
            None => self.lines.wait(network, |network| self.place(network, true).ok()).await,
        };
        if place.is_none() {
            let why = self.crowded(&self.table(), network).map_or("full", |(why, _)| why);
            self.count(why);
        }
        place
    }

    /// Whether there is no place that is free, and why; of the network alone, if that is full.
    fn crowded(&self, table: &Table, network: Network) -> Option<(&'static str, Option<Network>)> {
        if table.networks.get(&network).is_some_and(|held| *held >= self.most.per_network) {
            return Some(("network_full", Some(network)));
        }
        (table.open.len() >= self.most.in_all).then_some(("full", None))
    }

    /// A place that is free or, if it `takes` one, that another gives up; or else why there is none.
    fn place(self: &Arc<Self>, network: Network, takes: bool) -> Result<ConnectionPlace, &'static str> {
        let mut table = self.table();
        let crowded = self.crowded(&table, network);
        let strangers = table.unknown.len() >= self.most.unknown;
        let had_its_time = |of| table.stranger(of).filter(|number| table.is_older(*number, self.grace));
        let gives_way = match crowded {
            // Among the debtors are strangers, too: those that have just come are the last of them.
            Some(_) if !takes => None,
            Some((_, of)) => had_its_time(of).or_else(|| table.debtor(of, self.tenure.max(self.lines.lag()))),
            None if strangers => had_its_time(None),
            None => None,
        };
        if let Some(state) = gives_way.and_then(|number| table.remove(number)) {
            self.close(&state);
        } else if let Some((why, _)) = crowded {
            return Err(why);
        }
        let number = table.next;
        table.next += 1;
        let state = Arc::new(ConnectionState::new());
        table.open.insert(number, (network, Arc::clone(&state)));
        *table.networks.entry(network).or_default() += 1;
        table.unknown.insert(number, network);
        *table.unknown_of.entry(network).or_default() += 1;
        drop(table);
        self.open.inc();
        Ok(ConnectionPlace { number, network, state, connections: Arc::clone(self) })
    }

    fn close(&self, state: &ConnectionState) {
        state.taken.store(true, Ordering::Release);
        // What it holds goes with it.
        self.heads.fetch_sub(state.head.swap(0, Relaxed), Relaxed);
        state.waker.wake();
        self.count("taken");
    }

    fn count(&self, why: &'static str) {
        self.metrics.connections_closed.get_or_create(&ClosedLabels { door: self.door, why }).inc();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One less of this network.
fn leave(held: &mut HashMap<Network, usize>, network: Network) {
    if let Some(count) = held.get_mut(&network) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            held.remove(&network);
        }
    }
}

impl ConnectionState {
    fn new() -> Self {
        Self {
            spoken: AtomicBool::new(false),
            known: AtomicBool::new(false),
            taken: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            busy: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
            head: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            began: Instant::now(),
        }
    }
}

impl ConnectionPlace {
    /// A request has come on this connection, or a piece of one.
    pub fn speaks(&self) {
        let passed = u64::try_from(self.state.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.state.last.store(passed, Relaxed);
        self.state.spoken.store(true, Relaxed);
    }

    /// Whether a request has come on this connection.
    #[must_use]
    pub fn has_spoken(&self) -> bool {
        self.state.spoken.load(Relaxed)
    }

    /// One more exchange waits for its upstream and not for its caller, or one less.
    pub fn works(&self, more: bool) {
        if more {
            self.state.busy.fetch_add(1, Relaxed);
        } else {
            self.state.busy.fetch_sub(1, Relaxed);
        }
    }

    /// Whether somebody waits for a place like this one. Its caller is told to go behind the answer: one that sends its requests ahead would
    /// be at work for ever.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        let connections = &self.connections;
        if connections.lines.nobody_waits() {
            return false;
        }
        // Of a full network only its own could have the place.
        match connections.crowded(&connections.table(), self.network) {
            Some((_, None)) => true,
            Some((_, Some(network))) => connections.lines.has(network),
            None => false,
        }
    }

    /// So many bytes of a head are there that is not whole. Where all connections together hold too many, the one with the most closes.
    pub fn holds(&self, bytes: usize) {
        if self.state.head.load(Relaxed) == bytes || self.state.taken.load(Relaxed) {
            return;
        }
        let connections = &self.connections;
        // What is taken off was added before: the sum is never below zero, whoever looks.
        connections.heads.fetch_add(bytes, Relaxed);
        let before = self.state.head.swap(bytes, Relaxed);
        let heads = connections.heads.fetch_sub(before, Relaxed).saturating_sub(before);
        if bytes > before && heads > HEADS {
            let mut table = connections.table();
            if let Some(state) = table.largest().and_then(|number| table.remove(number)) {
                drop(table);
                connections.close(&state);
            }
        }
    }

    /// Whether what is written stays with us, because the caller does not read.
    pub fn is_blocked(&self, blocked: bool) {
        if self.state.blocked.load(Relaxed) != blocked {
            self.state.blocked.store(blocked, Relaxed);
        }
    }

    /// Somebody on this connection is known: strangers cannot take its place any more.
    pub fn known(&self) {
        // Each request comes by here; only the first one of a connection goes on.
        if self.state.known.load(Relaxed) || self.state.known.swap(true, Ordering::AcqRel) {
            return;
        }
        self.connections.table().is_known(self.number);
    }

    /// Serves a connection for as long as the place is its own; `None` when it goes to somebody else before that is done.
    pub async fn hold<T>(&self, serve: impl Future<Output = Option<T>>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.is_taken() => {
                tracing::debug!(network = ?self.network, "a connection was closed for another");
                None
            }
            served = serve => served,
        }
    }

    /// Waits until the place goes to somebody else.
    async fn is_taken(&self) {
        poll_fn(|context| {
            self.state.waker.register(context.waker());
            if self.state.taken.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.connections.open.dec();
        self.connections.heads.fetch_sub(self.state.head.swap(0, Relaxed), Relaxed);
        if self.connections.table().remove(self.number).is_some() {
            self.connections.lines.look();
        }
    }
}

#[cfg(test)]
mod tests;

//! How many callers may be kept waiting until somebody agrees, and with how much of theirs in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::approval::Asker;

/// What may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingLimits {
    /// Callers in all.
    pub most: usize,
    /// Of one credential.
    pub most_for_one: usize,
    /// Bytes of all their bodies.
    pub bytes: usize,
}

/// Who waits.
#[derive(Debug)]
pub struct WaitingRoom {
    limits: WaitingLimits,
    state: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    all: usize,
    bytes: usize,
    of: HashMap<Asker, usize>,
}

/// A place to wait in, given back when it is dropped.
#[derive(Debug)]
pub struct WaitingPlace {
    room: Arc<WaitingRoom>,
    asker: Asker,
    bytes: usize,
}

impl WaitingRoom {
    /// An empty one.
    #[must_use]
    pub fn new(limits: WaitingLimits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default() })
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).all
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A place for a caller with so many bytes; `None`: there is none, and it is answered now.
    #[must_use]
    pub fn enter(self: &Arc<Self>, asker: Asker, bytes: usize) -> Option<WaitingPlace> {
        let mut waiting = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let WaitingLimits { most, most_for_one, bytes: most_bytes } = self.limits;
        let of = waiting.of.get(&asker).copied().unwrap_or(0);
        if waiting.all >= most || of >= most_for_one || waiting.bytes.saturating_add(bytes) > most_bytes {
            return None;
        }
        waiting.all += 1;
        waiting.bytes += bytes;
        waiting.of.insert(asker.clone(), of + 1);
        Some(WaitingPlace { room: Arc::clone(self), asker, bytes })
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        let mut waiting = self.room.state.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.all -= 1;
        waiting.bytes -= self.bytes;
        let left = waiting.of.get(&self.asker).copied().unwrap_or(0).saturating_sub(1);
        if left == 0 {
            waiting.of.remove(&self.asker);
        } else {
            waiting.of.insert(self.asker.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_counted_in_all_for_each_and_by_bytes_and_gives_its_place_back() {
        let asker = |name: &str| Asker { token: Some(name.parse().unwrap()), owner: None };
        let room = WaitingRoom::new(WaitingLimits { most: 3, most_for_one: 2, bytes: 100 });
        let first = room.enter(asker("a"), 40).unwrap();
        let second = room.enter(asker("a"), 40).unwrap();
        assert!(room.enter(asker("a"), 0).is_none(), "no more of one");
        assert!(room.enter(asker("b"), 21).is_none(), "no more bytes");
        let _third = room.enter(asker("b"), 20).unwrap();
        assert!(room.enter(asker("c"), 0).is_none(), "no more in all");
        drop(first);
        assert_eq!(room.len(), 2);
        let _fourth = room.enter(asker("a"), 40).unwrap();
        drop(second);
        assert!(room.enter(asker("c"), 41).is_none());
        assert!(room.enter(asker("c"), 40).is_some());
    }
}

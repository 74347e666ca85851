//! Who looks on: so many in all, and so many of each token.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ids::TokenName;

/// The most viewers in all.
const MOST: usize = 64;
/// The most of one token.
const MOST_OF_ONE: usize = 16;

/// Who looks on.
#[derive(Debug, Default)]
pub(in crate::api) struct Viewers {
    by_token: Mutex<HashMap<TokenName, usize>>,
}

/// A viewer's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct ViewerPlace {
    token: TokenName,
    viewers: Arc<Viewers>,
}

impl Viewers {
    /// Takes a place.
    ///
    /// # Errors
    /// There is none, in all or for this token; which, as a sentence.
    pub(super) fn take(self: &Arc<Self>, token: &TokenName) -> Result<ViewerPlace, String> {
        let mut taken = self.lock();
        let of_one = taken.get(token).copied().unwrap_or_default();
        if of_one >= MOST_OF_ONE {
            return Err(format!("{of_one} of at most {MOST_OF_ONE} feeds of this token are open"));
        }
        let in_all: usize = taken.values().sum();
        if in_all >= MOST {
            return Err(format!("{in_all} of at most {MOST} feeds are open"));
        }
        *taken.entry(token.clone()).or_default() += 1;
        drop(taken);
        Ok(ViewerPlace { token: token.clone(), viewers: Arc::clone(self) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenName, usize>> {
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ViewerPlace {
    fn drop(&mut self) {
        let mut taken = self.viewers.lock();
        if let Some(mine) = taken.get_mut(&self.token) {
            *mine = mine.saturating_sub(1);
            if *mine == 0 {
                taken.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_end_to_viewers_of_one_token_and_of_all() {
        let viewers = Arc::new(Viewers::default());
        let take = |token: &str| viewers.take(&token.parse().unwrap());
        let mut places: Vec<ViewerPlace> = (0..MOST_OF_ONE).map(|_| take("ada").unwrap()).collect();
        assert!(take("ada").unwrap_err().contains("this token"));
        places.extend((MOST_OF_ONE..MOST).map(|n| take(&format!("t{n}")).unwrap()));
        assert!(take("bob").unwrap_err().contains("64 of at most 64"));
        drop(places.pop());
        assert!(take("bob").is_ok());
        places.clear();
        assert!(viewers.lock().is_empty());
    }
}

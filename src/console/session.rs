//! Who is signed in: a cookie's secret stands for a session token's, until that is gone, nothing was asked for long, or the day is over.
//!
//! In memory alone, by digest: a restart signs everybody out, and nobody can read a session out of a copy of anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::hall::{Token, TokenBook};
use crate::ids::Digest;

/// A session of which nothing is asked for so long is over.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// So is one that is so old.
const OLDEST: Duration = Duration::from_secs(12 * 60 * 60);
/// A link that nobody has followed in time leads nowhere.
const LINK: Duration = Duration::from_secs(5 * 60);
/// The most sessions, and the most of one token; the one that was idle for longest gives way.
const MOST: usize = 512;
/// The most of one token.
const MOST_OF_ONE: usize = 16;

/// Who is signed in, and who may sign in by a link.
#[derive(Debug, Default)]
pub struct Sessions {
    signed_in: Mutex<BTreeMap<Digest, Session>>,
    links: Mutex<BTreeMap<Digest, Session>>,
}

/// By the digest of the secret that was shown.
#[derive(Debug, Clone, Copy)]
struct Session {
    token: Digest,
    began: Instant,
    used: Instant,
}

impl Sessions {
    /// Signs a token in, which is known by the digest of its secret; the secret of the cookie.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn sign_in(&self, token: Digest, now: Instant) -> Result<String, getrandom::Error> {
        let secret = secret()?;
        add(&mut lock(&self.signed_in), &secret, token, now, |session| is_over(session, now));
        Ok(secret)
    }

    /// Who shows this cookie, if that is still signed in.
    #[must_use]
    pub fn find(&self, secret: &str, tokens: &TokenBook, now: Instant) -> Option<Arc<Token>> {
        let key = Digest::of(secret.as_bytes());
        let mut signed_in = lock(&self.signed_in);
        let session = signed_in.get_mut(&key)?;
        let token = tokens.of_secret(&session.token).filter(|_| !is_over(session, now));
        if token.is_some() {
            session.used = now;
        } else {
            signed_in.remove(&key);
        }
        token
    }

    /// Whether whoever shows this cookie is signed in still. It is not used by that: whoever looks on does nothing.
    #[must_use]
    pub fn holds(&self, secret: &str, tokens: &TokenBook, now: Instant) -> bool {
        let session = lock(&self.signed_in).get(&Digest::of(secret.as_bytes())).copied();
        session.is_some_and(|session| !is_over(&session, now) && tokens.of_secret(&session.token).is_some())
    }

    /// Signs out.
    pub fn sign_out(&self, secret: &str) {
        lock(&self.signed_in).remove(&Digest::of(secret.as_bytes()));
    }

    /// A secret that signs this token in once, within a few minutes.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn link(&self, token: Digest, now: Instant) -> Result<String, getrandom::Error> {
        let secret = secret()?;
        add(&mut lock(&self.links), &secret, token, now, |link| now.duration_since(link.began) > LINK);
        Ok(secret)
    }

    /// How long a link leads somewhere.
    #[must_use]
    pub const fn link_time() -> Duration {
        LINK
    }

    /// Uses a link up: the digest of the secret of the token that it signs in, where that is still in force.
    #[must_use]
    pub fn follow(&self, secret: &str, tokens: &TokenBook, now: Instant) -> Option<Digest> {
        let link = lock(&self.links).remove(&Digest::of(secret.as_bytes()))?;
        let in_time = now.duration_since(link.began) <= LINK;
        Some(link.token).filter(|token| in_time && tokens.of_secret(token).is_some())
    }
}

fn is_over(session: &Session, now: Instant) -> bool {
    now.duration_since(session.used) > IDLE || now.duration_since(session.began) > OLDEST
}

/// Adds one, and makes room: those that are over go, then the token's own that was used least lately, then anybody's.
fn add(
    all: &mut BTreeMap<Digest, Session>,
    secret: &str,
    token: Digest,
    now: Instant,
    is_over: impl Fn(&Session) -> bool,
) {
    all.retain(|_, session| !is_over(session));
    let of_one = all.values().filter(|session| session.token == token).count();
    if of_one >= MOST_OF_ONE || all.len() >= MOST {
        let stale = all.iter().filter(|(_, session)| of_one < MOST_OF_ONE || session.token == token);
        let stale = stale.min_by_key(|(_, session)| session.used).map(|(key, _)| *key);
        stale.and_then(|key| all.remove(&key));
    }
    all.insert(Digest::of(secret.as_bytes()), Session { token, began: now, used: now });
}

/// 32 random bytes as hex digits.
fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Digest::from_bytes(bytes).to_hex())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Binding;

    fn book(secrets: &[&str]) -> TokenBook {
        let token = |secret: &&str| {
            let name = format!("t-{secret}").parse().unwrap();
            Token::new(name, vec![Digest::of(secret.as_bytes())], [].into(), Binding::default())
        };
        TokenBook::new(secrets.iter().map(token).collect())
    }

    #[test]
    fn a_session_ends_with_its_token_with_silence_and_with_the_day() {
        let (sessions, tokens) = (Sessions::default(), book(&["a"]));
        let token = Digest::of(b"a");
        let began = Instant::now();
        let cookie = sessions.sign_in(token, began).unwrap();
        assert_eq!(sessions.find(&cookie, &tokens, began).unwrap().name.as_str(), "t-a");
        assert!(sessions.find("", &tokens, began).is_none());
        assert!(sessions.find(&cookie, &tokens, began + IDLE + Duration::from_secs(1)).is_none());
        assert!(sessions.find(&cookie, &tokens, began).is_none(), "over is over");

        let cookie = sessions.sign_in(token, began).unwrap();
        let mut now = began;
        while now < began + OLDEST {
            assert!(sessions.find(&cookie, &tokens, now).is_some());
            now += IDLE;
        }
        assert!(sessions.find(&cookie, &tokens, now + Duration::from_secs(1)).is_none(), "used all day");

        let cookie = sessions.sign_in(token, began).unwrap();
        assert!(sessions.find(&cookie, &book(&["b"]), began).is_none(), "its token is gone");
        assert!(sessions.find(&cookie, &tokens, began).is_none(), "and does not come back");

        let cookie = sessions.sign_in(token, began).unwrap();
        assert!(sessions.holds(&cookie, &tokens, began + IDLE) && !sessions.holds("", &tokens, began));
        assert!(!sessions.holds(&cookie, &tokens, began + IDLE + Duration::from_secs(1)), "looking on is no use of it");
        assert!(!sessions.holds(&cookie, &book(&["b"]), began));
        sessions.sign_out(&cookie);
        assert!(!sessions.holds(&cookie, &tokens, began));
        assert!(sessions.find(&cookie, &tokens, began).is_none());
    }

    #[test]
    fn a_link_is_followed_once_and_in_time() {
        let (sessions, tokens, now) = (Sessions::default(), book(&["a"]), Instant::now());
        let token = Digest::of(b"a");
        let link = sessions.link(token, now).unwrap();
        assert!(sessions.find(&link, &tokens, now).is_none(), "a link is no cookie");
        assert_eq!(sessions.follow(&link, &tokens, now), Some(token));
        assert_eq!(sessions.follow(&link, &tokens, now), None);
        let link = sessions.link(token, now).unwrap();
        assert_eq!(sessions.follow(&link, &tokens, now + LINK + Duration::from_secs(1)), None);
        let link = sessions.link(token, now).unwrap();
        assert_eq!(sessions.follow(&link, &book(&[]), now), None, "its token is gone");
        let cookie = sessions.sign_in(token, now).unwrap();
        assert_eq!(sessions.follow(&cookie, &tokens, now), None, "a cookie is no link");
    }

    #[test]
    fn many_sessions_of_one_token_displace_its_own_and_there_is_an_end_to_all() {
        let (sessions, tokens, now) = (Sessions::default(), book(&["a", "b"]), Instant::now());
        let others = sessions.sign_in(Digest::of(b"b"), now).unwrap();
        let at = |n: usize| now + Duration::from_millis(n as u64);
        let mine: Vec<String> = (0..40).map(|n| sessions.sign_in(Digest::of(b"a"), at(n)).unwrap()).collect();
        let alive = mine.iter().filter(|cookie| sessions.find(cookie, &tokens, at(40)).is_some()).count();
        assert_eq!(alive, MOST_OF_ONE);
        assert!(sessions.find(mine.last().unwrap(), &tokens, at(41)).is_some(), "the newest stay");
        assert!(sessions.find(&others, &tokens, at(41)).is_some());
        for n in 0..2 * MOST {
            sessions.sign_in(Digest::of(&n.to_le_bytes()), at(100 + n)).unwrap();
        }
        assert_eq!(lock(&sessions.signed_in).len(), MOST);
    }
}

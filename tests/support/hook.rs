//! A receiver of what a webhook posts, which answers as it is told to.

use std::io::{BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;

use crate::PATIENCE;
use crate::upstream::{head, listen, values};

/// What is answered to a post, such as `204 No Content`, with more headers behind it; `None`: nothing, ever.
pub type HookAnswer = Option<&'static str>;

/// One post.
#[derive(Debug)]
pub struct Posted {
    /// Its `authorization`.
    pub bearer: String,
    /// Its body.
    pub body: Value,
    /// When it was whole.
    pub at: Instant,
}

/// A receiver.
pub struct Hook {
    /// Where it listens.
    pub address: SocketAddr,
    posts: Receiver<Posted>,
}

impl Hook {
    /// One that answers each post, counted from 0, so. Whatever it answers, the post is given.
    pub fn start(answer: impl Fn(usize) -> HookAnswer + Send + Sync + 'static) -> Self {
        let (posted, posts) = channel();
        let (posted, count) = (Mutex::new(posted), Arc::new(AtomicUsize::new(0)));
        let address = listen(move |mut connection| {
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            let Some(head) = head(&mut reader) else { return };
            let length = values(&head, "content-length").first().map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let bearer = values(&head, "authorization").pop().unwrap_or_default();
            let post = Posted { bearer, body: serde_json::from_slice(&body).unwrap(), at: Instant::now() };
            let answer = answer(count.fetch_add(1, Ordering::SeqCst));
            // A test that has ended reads no more.
            let _ = posted.lock().unwrap().send(post);
            match answer {
                Some(answer) => {
                    let _ = write!(connection, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                }
                // Until the other side has enough of it.
                None => drop(std::io::copy(&mut connection, &mut std::io::sink())),
            }
        });
        Self { address, posts }
    }

    /// The address as a configuration has it.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The next post.
    #[track_caller]
    pub fn next(&self) -> Posted {
        self.posts.recv_timeout(PATIENCE).unwrap()
    }
}

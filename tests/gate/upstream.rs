//! An upstream that remembers what it got and answers as the test says.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;

use crate::wire::{Message, Wire};

/// An upstream.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Message>>>,
}

impl Upstream {
    /// An upstream that gets each connection to itself. It stops with the test.
    pub async fn script<F, R>(script: F) -> Self
    where
        F: Fn(Wire, Arc<Mutex<Vec<Message>>>) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::script_at("127.0.0.1:0".parse().unwrap(), script).await
    }

    /// The same at an address.
    pub async fn script_at<F, R>(address: SocketAddr, script: F) -> Self
    where
        F: Fn(Wire, Arc<Mutex<Vec<Message>>>) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(script(Wire::on(stream), Arc::clone(&notes)));
            }
        });
        Self { address, seen }
    }

    /// An upstream that gives every request this answer.
    pub async fn answering(answer: &'static str) -> Self {
        Self::answering_at("127.0.0.1:0".parse().unwrap(), answer).await
    }

    /// The same at an address.
    pub async fn answering_at(address: SocketAddr, answer: &'static str) -> Self {
        Self::script_at(address, move |mut wire, seen| async move {
            while let Some(request) = wire.message().await {
                seen.lock().unwrap().push(request);
                wire.send(answer).await;
            }
        })
        .await
    }

    /// An upstream that says `ok`.
    pub async fn ok() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await
    }

    /// What it got, in order.
    pub fn seen(&self) -> Vec<Message> {
        self.seen.lock().unwrap().clone()
    }

    /// The one request that it got.
    pub fn only(&self) -> Message {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }
}

//! Over TLS: the registry is verified, and the key is sent to nobody else. `tls/` holds a CA of ours and a certificate for 127.0.0.1.

use std::net::SocketAddr;
use std::thread;

use pingora_core::tls::{ServerConfig, TlsAcceptor, install_default_crypto_provider, load_certs_and_key_files};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::house::{House, NAMESPACED, until};
use crate::registry::Registry;

fn file(name: &str) -> String {
    format!("{}/tests/remote/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Speaks TLS in front of somebody who does not.
fn terminate(behind: SocketAddr) -> SocketAddr {
    install_default_crypto_provider();
    let (certificates, key) = load_certs_and_key_files(&file("cert.pem"), &file("key.pem")).unwrap().unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key).unwrap();
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut onward = TcpStream::connect(behind).await.unwrap();
                    let _ = copy_bidirectional(&mut stream, &mut onward).await;
                });
            }
        })
    });
    addr
}

#[test]
fn a_registry_is_verified_before_it_gets_the_key() {
    let registry = Registry::start(&[NAMESPACED]);
    let url = format!("https://{}", terminate(registry.addr));
    let trusting = House::asking(&url, "60s").serve_with(&[("SSL_CERT_FILE", &file("ca.pem"))]);
    until(|| trusting.verdict(NAMESPACED, "prod") == "ALLOWED");
    drop(trusting);

    let before = registry.asked().len();
    // Who trusts another CA.
    let doubting = House::asking(&url, "60s").serve_with(&[("SSL_CERT_FILE", &file("other.pem"))]);
    until(|| doubting.readyz()["registry"]["error"].as_str().is_some_and(|error| error.contains("certificate")));
    assert_eq!(doubting.verdict(NAMESPACED, "prod"), "DENY_REGISTRY_UNAVAILABLE");
    assert_eq!(doubting.readyz()["ready"], json!(true));
    assert_eq!(registry.asked().len(), before, "the key was sent");
}

//! TLS in front of whoever does not speak it, by the certificate for 127.0.0.1 in `tls/`.

use std::net::SocketAddr;
use std::thread;

use pingora_core::tls::{ServerConfig, TlsAcceptor, install_default_crypto_provider, load_certs_and_key_files};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// A file of `tls/`.
pub fn file(name: &str) -> String {
    format!("{}/tests/remote/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Speaks TLS in front of somebody who does not.
pub fn terminate(behind: SocketAddr) -> SocketAddr {
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

//! Listeners: bound here, before anything else starts, and handed over to pingora.
//!
//! pingora itself would try a taken port again for half a minute and then panic in a task, and would not tell which port it got
//! for port 0. A socket that it finds in its table of inherited ones it takes as it is.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use pingora_core::server::ListenFds;
use pingora_core::services::ServiceWithDependents;

use crate::api::ops;
use crate::proxy::settings::Listen;
use crate::{api, proxy};

/// Nobody can listen there.
#[derive(Debug, thiserror::Error)]
#[error("`{key}`: {address} cannot be listened on ({source}): end what listens there, or write another address")]
pub struct TakenError {
    key: &'static str,
    address: String,
    source: io::Error,
}

/// A socket that listens, under the name by which pingora looks for it.
#[derive(Debug)]
pub struct BoundSocket {
    address: String,
    socket: OwnedFd,
}

impl BoundSocket {
    /// Puts the socket where pingora looks for it. Whoever finds it there owns it.
    pub fn hand_over(self, table: &ListenFds) {
        table.lock().add(self.address, self.socket.into_raw_fd());
    }
}

/// Binds the gate's listeners. In what is returned port 0 is the port that was given.
pub fn bind_gate(mut gate: proxy::Settings, bound: &mut Vec<BoundSocket>) -> Result<proxy::Settings, TakenError> {
    match &mut gate.listen {
        Listen::Tcp(address) => *address = tcp("gate.listen", *address, bound)?,
        Listen::Loopback(addresses) => *addresses = loopback("gate.listen", addresses, bound)?,
        Listen::Unix(path) => unix("gate.listen", path, bound)?,
    }
    if let Some(address) = &mut gate.listen_h2c {
        *address = tcp("gate.listen_h2c", *address, bound)?;
    }
    Ok(gate)
}

/// Binds the Hall's listener. In what is returned port 0 is the port that was given.
pub fn bind_hall(mut hall: api::Settings, bound: &mut Vec<BoundSocket>) -> Result<api::Settings, TakenError> {
    hall.listen = tcp("hall.listen", hall.listen, bound)?;
    Ok(hall)
}

/// Binds the operations door's listener. Where its address is only the default, somebody else may have it: then there is no such
/// door.
pub fn bind_ops(ops: ops::Settings) -> Result<Option<TcpListener>, TakenError> {
    match tcp_listener("ops.listen", ops.listen) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if ops.written => Err(error),
        Err(error) => {
            tracing::warn!(%error, "there is no operations door: `/livez`, `/readyz` and `/metrics` are at the Hall's alone");
            Ok(None)
        }
    }
}

fn tcp(key: &'static str, address: SocketAddr, bound: &mut Vec<BoundSocket>) -> Result<SocketAddr, TakenError> {
    let listener = tcp_listener(key, address)?;
    let local = listener.local_addr();
    let address = local.map_err(|source| TakenError { key, address: address.to_string(), source })?;
    bound.push(BoundSocket { address: address.to_string(), socket: listener.into() });
    Ok(address)
}

fn tcp_listener(key: &'static str, address: SocketAddr) -> Result<TcpListener, TakenError> {
    let listen = |address: SocketAddr| {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let bound_at = listen(address).or_else(|error| match in_ipv4(address) {
        Some(address) if has_no_such_family(&error) => listen(address),
        _ => Err(error),
    });
    bound_at.map_err(|source| TakenError { key, address: address.to_string(), source })
}

/// Binds the first, which must be there, and the others at its port, except those of a family that this machine does not have.
fn loopback(
    key: &'static str,
    asked: &[SocketAddr],
    bound: &mut Vec<BoundSocket>,
) -> Result<Vec<SocketAddr>, TakenError> {
    let mut there: Vec<SocketAddr> = Vec::new();
    for address in asked {
        let port = there.first().map_or_else(|| address.port(), SocketAddr::port);
        match tcp(key, SocketAddr::new(address.ip(), port), bound) {
            Ok(address) => there.push(address),
            Err(TakenError { source, .. }) if !there.is_empty() && has_no_such_family(&source) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(there)
}

/// All addresses of IPv4 for `[::]`, which are all of both families: what is left of them where there is no IPv6.
fn in_ipv4(address: SocketAddr) -> Option<SocketAddr> {
    let all = address.is_ipv6() && address.ip().is_unspecified();
    all.then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
}

fn has_no_such_family(error: &io::Error) -> bool {
    // std has no kind for "address family not supported by protocol".
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn unix(key: &'static str, path: &Path, bound: &mut Vec<BoundSocket>) -> Result<(), TakenError> {
    let listen = || {
        // What a killed process left behind is a socket on which nobody answers.
        let left = path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
        if left && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let address = path.display().to_string();
    let listener = listen().map_err(|source| TakenError { key, address: address.clone(), source })?;
    bound.push(BoundSocket { address, socket: listener.into() });
    Ok(())
}

/// The sockets of a service.
///
/// # Errors
/// It wants to listen where nothing was bound.
pub fn claim(service: &dyn ServiceWithDependents, bound: &mut Vec<BoundSocket>) -> Result<Vec<BoundSocket>, String> {
    let addresses = service.listen_addresses().unwrap_or_default();
    let claim = |address: String| {
        let at = bound.iter().position(|bound| bound.address == address);
        let at =
            at.ok_or_else(|| format!("the service `{}` listens on `{address}`, which is not bound", service.name()))?;
        Ok(bound.swap_remove(at))
    };
    addresses.into_iter().map(claim).collect()
}

/// A listener's address as it is written in the configuration.
pub fn text(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Loopback(addresses) => addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" and "),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpStream};

    use super::*;

    #[test]
    fn everywhere_is_both_families_or_the_one_that_there_is() {
        for (address, other) in [
            ("[::]:80", Some("0.0.0.0:80")),
            ("[::1]:80", None),
            ("[::ffff:0.0.0.0]:80", None),
            ("0.0.0.0:80", None),
            ("127.0.0.1:80", None),
        ] {
            assert_eq!(in_ipv4(address.parse().unwrap()).map(|other| other.to_string()).as_deref(), other, "{address}");
        }
        let mut bound = Vec::new();
        let at = tcp("hall.listen", SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), &mut bound).unwrap();
        TcpStream::connect((Ipv4Addr::LOCALHOST, at.port())).unwrap();
        if at.is_ipv6() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, at.port())).unwrap();
        }
    }
}

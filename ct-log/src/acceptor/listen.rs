//! The listening socket.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// The first port that every process may have (Linux, `net.ipv4.ip_unprivileged_port_start`).
const UNPRIVILEGED: u16 = 1024;

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", cure(*address, source.kind()))]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

impl ListenError {
    /// The address that was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Listens on `address`, which is given back with the port that was chosen if it was 0.
///
/// # Errors
/// The system refuses it.
pub async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let failed = |source| ListenError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

const fn cure(address: SocketAddr, error: ErrorKind) -> &'static str {
    match error {
        ErrorKind::AddrInUse => "choose another port, or end the program that has this one",
        ErrorKind::PermissionDenied if address.port() < UNPRIVILEGED => {
            "a port below 1024 needs the capability CAP_NET_BIND_SERVICE: \
             `AmbientCapabilities=CAP_NET_BIND_SERVICE` in the systemd unit, or `setcap \
             cap_net_bind_service=+ep` on the program; or choose a port from 1024 on"
        }
        ErrorKind::PermissionDenied => "the system's security policy forbids it",
        ErrorKind::AddrNotAvailable => "this machine has no such address",
        _ => "the system refuses it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(address: &str, error: ErrorKind) -> String {
        let address = address.parse().unwrap();
        let source = error.into();
        ListenError { address, source }.to_string()
    }

    #[test]
    fn an_error_names_the_address_and_what_to_do() {
        for (address, error, cure) in [
            (
                "127.0.0.1:443",
                ErrorKind::PermissionDenied,
                "CAP_NET_BIND_SERVICE",
            ),
            ("[::]:1023", ErrorKind::PermissionDenied, "setcap"),
            ("127.0.0.1:1024", ErrorKind::PermissionDenied, "security policy"),
            ("127.0.0.1:443", ErrorKind::AddrInUse, "choose another port"),
            (
                "192.0.2.1:443",
                ErrorKind::AddrNotAvailable,
                "this machine has no such address",
            ),
        ] {
            let message = message(address, error);
            assert!(
                message.contains(address) && message.contains(cure),
                "{error}: {message}"
            );
        }
    }

    #[tokio::test]
    async fn what_the_system_says_is_told_apart() {
        let (listener, taken) = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = listen(taken).await.unwrap_err();
        assert_eq!(error.address(), taken);
        assert!(error.to_string().contains("end the program that has this one"));
        // Of the addresses for documentation (RFC 5737).
        let error = listen("192.0.2.1:0".parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("no such address"), "{error}");
        drop(listener);
    }
}

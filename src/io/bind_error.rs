//! Why a socket could not be bound, in words that say what to do about it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Why a socket could not be bound.
#[derive(Debug)]
pub enum BindError {
    /// Another program has the port.
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The address does not belong to this machine.
    NotOurs {
        /// The address.
        address: SocketAddr,
    },
    /// The system does not let this user have the port.
    Denied {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    Other {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        error: io::Error,
    },
}

impl BindError {
    /// What the system's error means.
    pub(super) fn from_system(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::AddrNotAvailable => Self::NotOurs { address },
            io::ErrorKind::PermissionDenied => Self::Denied { address },
            _ => Self::Other { address, error },
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { address } => write!(
                f,
                "{address} is in use by another program; end it, or choose another port with --bind {}:0",
                Bracketed(address.ip())
            ),
            Self::NotOurs { address } => {
                write!(f, "{} is no address of this machine; 0.0.0.0 stands for all of them", address.ip())
            }
            Self::Denied { address } => {
                write!(f, "the system does not allow port {}; choose one from 1024 on", address.port())
            }
            Self::Other { address, error } => write!(f, "cannot listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for BindError {}

struct Bracketed(IpAddr);

impl fmt::Display for Bracketed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => ip.fmt(f),
            IpAddr::V6(ip) => write!(f, "[{ip}]"),
        }
    }
}

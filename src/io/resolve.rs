//! Addresses as a person writes them, and names looked up without stopping the loop.
//!
//! The system's look-up blocks, so each runs on a thread of its own. Nothing here remembers an answer: a name is looked up
//! again whenever a new conversation begins.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use mio::Waker;

use crate::secure::{BadKey, PublicKey};

/// The longest name that the domain name system can hold (RFC 1035, section 2.3.4).
const MAX_NAME_BYTES: usize = 253;

/// Somebody to talk to: `host:port`, or `KEY@host:port` where no other key will do (UC-KEY-010). It is shown without the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    key: Option<PublicKey>,
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

impl Target {
    /// The address, if no name has to be looked up.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }

    /// The key that whoever is there must have.
    pub const fn key(&self) -> Option<PublicKey> {
        self.key
    }

    /// The same place, whoever is there.
    #[must_use]
    pub fn without_key(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Asks the system for every address of the name. This blocks, for many seconds where the network is bad.
    pub fn look_up(&self) -> Result<Vec<SocketAddr>, ResolveError> {
        let name = match &self.host {
            Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, self.port)]),
            Host::Name(name) => name,
        };
        let found = (name.as_str(), self.port).to_socket_addrs();
        let found = found.map_err(|error| ResolveError::NotFound { name: name.clone(), error })?;
        let mut addresses = Vec::new();
        for address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err(ResolveError::NoAddress { name: name.clone() }) } else { Ok(addresses) }
    }
}

impl FromStr for Target {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        // No host has that sign.
        let (key, place) = text.split_once('@').map_or((None, text), |(key, place)| (Some(key), place));
        let key = key.map(read_key).transpose()?;
        let (host, port) = match split_port(place) {
            Err(AddressError::NoPort { .. }) if key.is_none() && read_key(place).is_ok() => {
                return Err(AddressError::KeyAlone);
            }
            Err(AddressError::NoPort { text, .. }) => {
                return Err(AddressError::NoPort { text, has_key: key.is_some() });
            }
            split => split?,
        };
        let port = port.parse().map_err(|_| AddressError::BadPort { port: port.to_owned() })?;
        Ok(Self { key, host, port })
    }
}

/// A key that somebody can have.
fn read_key(text: &str) -> Result<PublicKey, AddressError> {
    text.parse().ok().filter(PublicKey::is_usable).ok_or(AddressError::BadKey)
}

/// Cuts `host:port` in two, where an IPv6 host stands in brackets.
fn split_port(text: &str) -> Result<(Host, &str), AddressError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(AddressError::NoBracket)?;
        let port = rest
            .strip_prefix(':')
            .ok_or_else(|| AddressError::NoPort { text: text.to_owned(), has_key: false })?;
        return match host.parse::<Ipv6Addr>() {
            Ok(ip) => Ok((Host::Ip(ip.into()), port)),
            // A zone (`fe80::1%eth0`) has a name that only the system can look up.
            Err(_) if host.contains('%') => Ok((Host::Name(host.to_owned()), port)),
            Err(_) => Err(AddressError::BadHost { host: host.to_owned() }),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() || text.matches(':').count() > 1 {
        return Err(AddressError::BareIpv6 { text: text.to_owned() });
    }
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| AddressError::NoPort { text: text.to_owned(), has_key: false })?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok((Host::Ip(ip), port));
    }
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte) || !byte.is_ascii();
    // The system would read 1.2.3 or 300.1.1.1 in ways of its own (inet_aton); a person meant an address and mistyped it.
    let numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if host.is_empty() || host.len() > MAX_NAME_BYTES || numeric || !host.bytes().all(letters) {
        return Err(AddressError::BadHost { host: host.to_owned() });
    }
    Ok((Host::Name(host.to_owned()), port))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// What is wrong with an address as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// There is no `:port`.
    NoPort {
        /// What was written.
        text: String,
        /// Whether a key stood before it.
        has_key: bool,
    },
    /// It is a key and nothing else.
    KeyAlone,
    /// What stands after the colon is no port.
    BadPort {
        /// What was written there.
        port: String,
    },
    /// What stands before the colon is neither an IP address nor a name.
    BadHost {
        /// What was written there.
        host: String,
    },
    /// An IPv6 address without brackets: its end and the port cannot be told apart.
    BareIpv6 {
        /// What was written.
        text: String,
    },
    /// What stands before the @ is no key.
    BadKey,
    /// A bracket was opened and not closed.
    NoBracket,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPort { text, has_key } => {
                let key = if *has_key { "KEY@" } else { "" };
                write!(
                    f,
                    "\"{}\" has no port; write {key}host:port, such as {key}192.168.0.7:6000",
                    text.escape_debug()
                )
            }
            Self::KeyAlone => f.write_str(
                "that is a key, and where its owner is has to be said too; write KEY@host:port, such as KEY@192.168.0.7:6000",
            ),
            Self::BadPort { port } => {
                write!(f, "\"{}\" is no port; a port is a number from 0 to 65535", port.escape_debug())
            }
            Self::BadHost { host } => {
                write!(f, "\"{}\" is neither an IP address nor a name", host.escape_debug())
            }
            Self::BareIpv6 { text } => {
                write!(
                    f,
                    "\"{}\" is ambiguous; put an IPv6 address in brackets, such as [::1]:6000",
                    text.escape_debug()
                )
            }
            Self::BadKey => BadKey.fmt(f),
            Self::NoBracket => {
                f.write_str("the bracket around the IPv6 address is not closed, as in [::1]:6000")
            }
        }
    }
}

impl std::error::Error for AddressError {}

/// Why a name led to no address.
#[derive(Debug)]
pub enum ResolveError {
    /// The system found nothing.
    NotFound {
        /// The name.
        name: String,
        /// The system's words.
        error: io::Error,
    },
    /// The system found the name, without an address.
    NoAddress {
        /// The name.
        name: String,
    },
    /// So many names are being looked up that another must wait.
    TooMany,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { name, error } => {
                write!(
                    f,
                    "the name {name} was not found; check the spelling, or write the IP address ({error})"
                )
            }
            Self::NoAddress { name } => write!(f, "the name {name} has no address"),
            Self::TooMany => f.write_str("too many names are being looked up; try again in a moment"),
        }
    }
}

impl std::error::Error for ResolveError {}

/// What a look-up found: the target that was asked for, and its addresses.
pub type Answer = (Target, Result<Vec<SocketAddr>, ResolveError>);

/// Looks names up while the loop goes on.
#[derive(Debug)]
pub struct Resolver {
    waker: Arc<Waker>,
    sender: Sender<Answer>,
    receiver: Receiver<Answer>,
    running: usize,
}

impl Resolver {
    /// A name server that does not answer keeps a thread for half a minute; a person types no faster than this.
    const MAX_RUNNING: usize = 8;

    /// A resolver that wakes the loop up through `waker`.
    pub fn new(waker: Arc<Waker>) -> Self {
        let (sender, receiver) = channel();
        Self { waker, sender, receiver, running: 0 }
    }

    /// Begins to look `target` up; [`Resolver::poll`] has the answer later.
    pub fn look_up(&mut self, target: Target) -> Result<(), ResolveError> {
        if self.running >= Self::MAX_RUNNING {
            return Err(ResolveError::TooMany);
        }
        let (sender, waker) = (self.sender.clone(), Arc::clone(&self.waker));
        let work = move || {
            let answer = target.look_up();
            // Both fail only when the loop has ended, and then nobody waits for the answer.
            let _ = sender.send((target, answer));
            let _ = waker.wake();
        };
        let thread = thread::Builder::new().name("look-up".to_owned()).spawn(work);
        thread.map_err(|_| ResolveError::TooMany)?;
        self.running += 1;
        Ok(())
    }

    /// The next answer that came in.
    pub fn poll(&mut self) -> Option<Answer> {
        let answer = self.receiver.try_recv().ok()?;
        self.running -= 1;
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<Target>() {
            Ok(target) if target.address().is_some() => format!("address {target}"),
            Ok(target) => format!("name {target}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn addresses_of_both_families_and_names() {
        check("127.0.0.1:6000", "address 127.0.0.1:6000");
        check("[::1]:6000", "address [::1]:6000");
        check("[fe80::1%eth0]:6000", "name [fe80::1%eth0]:6000");
        check("chat.example.org:0", "name chat.example.org:0");
    }

    // UC-KEY-010
    #[test]
    fn a_key_before_the_address_is_kept_and_not_shown() {
        let key = crate::secure::KeyPair::from_secret([1; 32]).public();
        let target: Target = format!("{key}@[::1]:6000").parse().unwrap();
        assert_eq!((target.key(), target.to_string().as_str()), (Some(key), "[::1]:6000"));
        let mistake = "that is no key: a key is 52 letters and digits, as `udpchat id` shows it";
        check("x@127.0.0.1:6000", mistake);
        check(&format!("{}@127.0.0.1:6000", "a".repeat(52)), mistake);
    }

    #[test]
    fn mistakes_are_explained() {
        check("127.0.0.1", "\"127.0.0.1\" has no port; write host:port, such as 192.168.0.7:6000");
        check("host:seven", "\"seven\" is no port; a port is a number from 0 to 65535");
        check("host:65536", "\"65536\" is no port; a port is a number from 0 to 65535");
        check("::1:6000", "\"::1:6000\" is ambiguous; put an IPv6 address in brackets, such as [::1]:6000");
        check("[::1:6000", "the bracket around the IPv6 address is not closed, as in [::1]:6000");
        check("300.1.1.1:6000", "\"300.1.1.1\" is neither an IP address nor a name");
        check(":6000", "\"\" is neither an IP address nor a name");
        check("a\u{1b}[2Jb:1", "\"a\\u{1b}[2Jb\" is neither an IP address nor a name");
    }
}

//! The clients: each is a flow with a socket of its own towards the target, so that the target can tell them
//! apart.
//!
//! Bounded in number and forgotten when idle; knows nothing about faults.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use slab::Slab;
use udpchat::time::Instant;

use super::socket;

/// The common limit of open files is 1024, and others need some too.
const MAX_FLOWS: usize = 512;

/// As long as the patient ones among home routers keep a mapping (RFC 4787 asks for two minutes).
const IDLE_AFTER: Duration = Duration::from_secs(120);

/// One client.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Counted from 1 over the whole run, for people and logs.
    pub(crate) number: u64,
    pub(crate) client: SocketAddr,
    pub(crate) upstream: UdpSocket,
    /// Whether the loop has still to read from the socket.
    pub(crate) is_ready: bool,
    last_used: Instant,
}

/// All clients.
#[derive(Debug)]
pub(crate) struct Flows {
    target: SocketAddr,
    flows: Slab<Flow>,
    by_client: BTreeMap<SocketAddr, usize>,
    opened: u64,
    /// The token of the first slot.
    first_token: usize,
}

/// Why a client has no flow.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// There are [`MAX_FLOWS`].
    TooMany,
    /// The system gave no socket.
    System(io::Error),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooMany => write!(
                f,
                "there are {MAX_FLOWS} clients, and no more are taken until one was silent for {} s",
                IDLE_AFTER.as_secs()
            ),
            Self::System(error) => write!(f, "the system gives no socket for another client: {error}"),
        }
    }
}

impl Flows {
    pub(crate) fn new(target: SocketAddr, first_token: usize) -> Self {
        Self { target, flows: Slab::new(), by_client: BTreeMap::new(), opened: 0, first_token }
    }

    /// The flow of `client`, opened if it is new; then the second is true.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        client: SocketAddr,
        registry: &Registry,
    ) -> Result<(&mut Flow, bool), OpenError> {
        let known = self.by_client.get(&client).copied();
        let key = match known {
            Some(key) => key,
            None => self.insert(now, client, registry)?,
        };
        let flow = &mut self.flows[key];
        flow.last_used = now;
        Ok((flow, known.is_none()))
    }

    fn insert(&mut self, now: Instant, client: SocketAddr, registry: &Registry) -> Result<usize, OpenError> {
        if self.flows.len() >= MAX_FLOWS {
            return Err(OpenError::TooMany);
        }
        let mut upstream = socket::connect(self.target).map_err(OpenError::System)?;
        let entry = self.flows.vacant_entry();
        let key = entry.key();
        let token = Token(self.first_token + key);
        registry.register(&mut upstream, token, Interest::READABLE).map_err(OpenError::System)?;
        self.opened += 1;
        entry.insert(Flow { number: self.opened, client, upstream, is_ready: false, last_used: now });
        self.by_client.insert(client, key);
        Ok(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// How many there ever were.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    pub(crate) fn of_client(&mut self, client: SocketAddr) -> Option<&mut Flow> {
        self.by_client.get(&client).map(|key| &mut self.flows[*key])
    }

    /// The flow whose socket `token` stands for. It may be gone since the token was handed out.
    pub(crate) fn of_token(&mut self, token: Token) -> Option<&mut Flow> {
        self.flows.get_mut(token.0.checked_sub(self.first_token)?)
    }

    /// Notes that something went to or came from the flow.
    pub(crate) fn touch(flow: &mut Flow, now: Instant) {
        flow.last_used = now;
    }

    /// Gives every flow another socket, and so another source port. What was on its way to the old one is
    /// lost, as behind a router that forgot its mapping. A flow keeps its socket if the system has no other.
    pub(crate) fn rebind(&mut self, registry: &Registry, mut tell: impl FnMut(&Flow)) {
        for (key, flow) in &mut self.flows {
            let Ok(mut fresh) = socket::connect(self.target) else {
                continue;
            };
            let token = Token(self.first_token + key);
            if registry.register(&mut fresh, token, Interest::READABLE).is_err() {
                continue;
            }
            // The old one leaves the registry when it is closed, a few lines below.
            let _ = registry.deregister(&mut flow.upstream);
            flow.upstream = fresh;
            tell(flow);
        }
    }

    /// Forgets the flows that were silent for long.
    pub(crate) fn forget_idle(&mut self, now: Instant, registry: &Registry, mut tell: impl FnMut(&Flow)) {
        let by_client = &mut self.by_client;
        self.flows.retain(|_, flow| {
            let keep = now.since(flow.last_used) < IDLE_AFTER;
            if !keep {
                let _ = registry.deregister(&mut flow.upstream);
                by_client.remove(&flow.client);
                tell(flow);
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flows() -> (mio::Poll, Flows) {
        let target = SocketAddr::from(([127, 0, 0, 1], 9));
        (mio::Poll::new().unwrap(), Flows::new(target, 2))
    }

    fn client(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 2], port))
    }

    #[test]
    fn each_client_has_its_own_flow_until_it_is_silent() {
        let (poll, mut flows) = flows();
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        for (time, port, is_new) in [(0, 1, true), (60, 2, true), (90, 1, false), (181, 1, false)] {
            let (flow, opened) = flows.open(at(time), client(port), poll.registry()).unwrap();
            assert_eq!((flow.client, opened), (client(port), is_new));
            let mut forgotten = Vec::new();
            flows.forget_idle(at(time), poll.registry(), |flow| forgotten.push(flow.number));
            assert_eq!(forgotten, if time == 181 { vec![2] } else { vec![] });
        }
        assert!(flows.of_client(client(2)).is_none());
        assert_eq!((flows.len(), flows.opened()), (1, 2));
    }

    #[test]
    fn rebinding_changes_the_port_and_nothing_else() {
        let (poll, mut flows) = flows();
        let port =
            |flows: &mut Flows| flows.of_client(client(1)).unwrap().upstream.local_addr().unwrap().port();
        flows.open(Instant::ZERO, client(1), poll.registry()).unwrap();
        let before = port(&mut flows);
        let mut told = 0;
        flows.rebind(poll.registry(), |_| told += 1);
        assert_ne!(port(&mut flows), before);
        assert_eq!((told, flows.len(), flows.opened()), (1, 1, 1));
    }
}

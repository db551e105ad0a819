//! The virtual network: public addresses, and a bad link for each direction between two nodes.
//!
//! An address belongs to one node for ever, or to nobody: a node that is rebound gets one that was never used, and what is sent to
//! the old one is lost, as behind a NAT that forgot. Nothing here looks into a datagram.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::scenario::Scenario;
use crate::fault::{Direction, Event, Fault, Link, LinkPlan};
use crate::machine::Path;
use crate::random::keyed_draw;
use crate::time::Instant;

/// All links, and who is where.
#[derive(Debug)]
pub struct Network {
    links: BTreeMap<(usize, usize), Link>,
    places: Vec<Place>,
    traffic: Vec<Traffic>,
}

/// What a node put on the wire, UDP payload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Datagrams.
    pub datagrams: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// Where a node is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The how-manieth of its addresses it has now.
    current: u16,
    /// The one before, while what is sent there still comes.
    home: Option<u16>,
    /// The newest one.
    last: u16,
}

/// A datagram that comes out of a link.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// At which node.
    pub node: usize,
    /// Where it says that it comes from.
    pub source: SocketAddr,
}

/// The port that every node has.
const PORT: u16 = 6_000;

impl Network {
    /// The network that the scenario describes. A link without a plan of its own only takes a millisecond, like one in a building.
    pub fn new(scenario: &Scenario, now: Instant) -> Self {
        let mut links = BTreeMap::new();
        let count = scenario.nodes.len();
        for (from, to) in
            (0..count).flat_map(|from| (0..count).map(move |to| (from, to))).filter(|(from, to)| from != to)
        {
            let given = scenario.links.iter().find(|link| (link.from, link.to) == (from, to));
            let plan = given.map_or_else(
                || LinkPlan {
                    rules: vec![Fault::Delay { delay: Duration::from_millis(1) }.always()],
                    ..LinkPlan::default()
                },
                |link| link.plan.clone(),
            );
            let direction = if from < to { Direction::Up } else { Direction::Down };
            let seed = keyed_draw(&[scenario.seed, from.min(to) as u64, from.max(to) as u64]);
            let mut link = Link::new(plan, seed, direction);
            link.set_verdicts_wanted(false);
            link.handle_timeout(now);
            links.insert((from, to), link);
        }
        Self { links, places: vec![Place::default(); count], traffic: vec![Traffic::default(); count] }
    }

    /// What each node sent.
    pub fn traffic(&self) -> &[Traffic] {
        &self.traffic
    }

    /// Where a node is now, as the others see it.
    pub fn address(&self, node: usize) -> SocketAddr {
        address_of(node, self.places[node].current)
    }

    /// The node's NAT forgets it.
    pub fn rebind(&mut self, node: usize) {
        self.detour(node, true);
        self.places[node].home = None;
    }

    /// The node is seen at another address from now on, and still is at its own; or no more.
    pub fn detour(&mut self, node: usize, on: bool) {
        let place = &mut self.places[node];
        if on {
            place.home.get_or_insert(place.current);
            place.last = place.last.wrapping_add(1);
            place.current = place.last;
        } else if let Some(home) = place.home.take() {
            place.current = home;
        }
    }

    /// A node sends. What goes to an address of nobody's, or to an own one, is lost.
    pub fn send(&mut self, now: Instant, from: usize, to: SocketAddr, bytes: &[u8]) {
        self.traffic[from].datagrams += 1;
        self.traffic[from].bytes += bytes.len() as u64;
        let Some(node) = node_of(to) else { return };
        // The link hands the path back as it is: it remembers both ends of the datagram's way.
        let path = Path { remote: self.address(from), local_ip: Some(to.ip()) };
        if let Some(link) = self.links.get_mut(&(from, node)) {
            link.handle_datagram(now, path, bytes);
        }
    }

    /// The next datagram that is due, in `buffer`.
    pub fn poll_arrival(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Arrival> {
        for (&(_, node), link) in &mut self.links {
            while let Some(transmit) = link.poll_transmit(now, buffer) {
                let Place { current, home, .. } = self.places[node];
                let is_there = |number| transmit.path.local_ip == Some(address_of(node, number).ip());
                if is_there(current) || home.is_some_and(is_there) {
                    return Some(Arrival { node, source: transmit.path.remote });
                }
            }
        }
        None
    }

    /// Lets the links' time pass; tells which nodes are rebound by it.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<usize> {
        let mut rebound = Vec::new();
        for (&(from, _), link) in &mut self.links {
            link.handle_timeout(now);
            while let Some(event) = link.poll_event() {
                if event == Event::Rebind {
                    rebound.push(from);
                }
            }
        }
        rebound
    }

    /// When something happens on a link next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.links.values().filter_map(|link| link.poll_timeout()).map(|(at, _)| at).min()
    }

    /// How often each kind of fault struck.
    pub fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.links.values().flat_map(|link| {
            let statistics = link.statistics();
            let names: Vec<&'static str> = link.plan().rules.iter().map(|rule| rule.fault.name()).collect();
            names.into_iter().zip(statistics.rules.into_iter().map(|rule| rule.acted))
        })
    }
}

/// The node that an address belongs or belonged to; None for addresses of nobody's.
pub fn node_of(address: SocketAddr) -> Option<usize> {
    match address.ip() {
        IpAddr::V4(ip) if ip.octets()[0] == 10 => Some(usize::from(ip.octets()[1])),
        _ => None,
    }
}

/// An address of nobody's: what is sent there is lost. Of the network that RFC 2544 sets aside for tests.
pub fn nowhere(key: u64) -> SocketAddr {
    let [low, high, port, ..] = key.to_le_bytes();
    SocketAddr::from(([198, 18 | (high & 1), port, low], 1_024 + u16::from(high)))
}

/// Where a node is before it is ever rebound.
pub fn home_of(node: usize) -> SocketAddr {
    address_of(node, 0)
}

fn address_of(node: usize, rebinds: u16) -> SocketAddr {
    let [high, low] = rebinds.to_be_bytes();
    // A scenario has a handful of nodes.
    SocketAddr::from(([10, node as u8, high, low], PORT))
}

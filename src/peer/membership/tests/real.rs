//! Members at the relay that ships, with a ledger in memory.

use super::*;
use crate::ledger::MemoryLedger;
use crate::relay::{self, Relay, RelayConfig};

/// Two members and their relay, 10 ms apart.
pub(super) struct Inn {
    pub(super) now: Now,
    pub(super) peers: Vec<Peer>,
    pub(super) relay: Relay,
    pub(super) ledger: MemoryLedger,
    pub(super) is_down: bool,
    wire: BTreeMap<(Instant, u64), (usize, usize, Vec<u8>)>,
    sent: u64,
    pub(super) log: Vec<String>,
}

pub(super) fn relay_config(is_sealed: bool, run: u8) -> RelayConfig {
    let mut config = RelayConfig::default();
    config.endpoint.protection = endpoint_config(is_sealed, RELAY_SECRET, run).protection;
    config
}

const RELAY_ADDRESS: usize = 9;
const NAMES: [&str; 2] = ["ana", "bob"];

impl Inn {
    fn new() -> Self {
        Self::of(false)
    }

    pub(super) fn of(is_sealed: bool) -> Self {
        let now = Now { instant: Instant::from_nanos(1), wall: WallTime::from_unix_micros(1_000_000) };
        let ledger = MemoryLedger::new("log-1".to_owned(), 1 << 20);
        let relay = Relay::new(relay_config(is_sealed, 1), ledger.foundation(), 5, now);
        let peer = |index: u8| {
            let endpoint = endpoint_config(is_sealed, index + 1, 1);
            Peer::new(PeerConfig { endpoint, ..PeerConfig::default() }, u64::from(index), now)
        };
        let peers = (0..2).map(peer).collect();
        let (wire, log) = (BTreeMap::new(), Vec::new());
        Self { now, peers, relay, ledger, is_down: false, wire, sent: 0, log }
    }

    pub(super) fn attend(&mut self, index: usize, nick: &str) -> ConversationId {
        let mut membership = membership(&["#sala"]);
        membership.nick = nick.to_owned();
        membership.token = format!("the secret of number {index}");
        let addresses = vec![address(RELAY_ADDRESS)];
        match self.peers[index]
            .handle_command(self.now, Command::Attend { addresses, named: Named::default(), membership })
        {
            Ok(Id::Conversation(relay)) => relay,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn say(&mut self, index: usize, to: Destination, text: &str) {
        let command = Command::Say { to, text: text.to_owned() };
        self.peers[index].handle_command(self.now, command).unwrap();
    }

    pub(super) fn run(&mut self, for_ms: u64) {
        let until = self.now.instant + Duration::from_millis(for_ms);
        loop {
            self.drain();
            let arrival = self.wire.keys().next().map(|&(at, _)| at);
            let timers = self.peers.iter().filter_map(Peer::poll_timeout).map(|(at, _)| at);
            let relay = self.relay.poll_timeout().map(|(at, _)| at).filter(|_| !self.is_down);
            let next = arrival.into_iter().chain(timers).chain(relay).min();
            let Some(next) = next.filter(|&next| next <= until) else { break };
            self.now = self.now.after(next.since(self.now.instant));
            while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now.instant)
            {
                let (to, from, mut datagram) = entry.remove();
                let path = Path { remote: address(from), local_ip: Some(address(to).ip()) };
                match self.peers.get_mut(to) {
                    Some(peer) => peer.handle_datagram(self.now, path, &mut datagram),
                    None if self.is_down => {}
                    None => self.relay.handle_datagram(self.now, path, &mut datagram),
                }
            }
            self.peers.iter_mut().for_each(|peer| peer.handle_timeout(self.now));
            if !self.is_down {
                self.relay.handle_timeout(self.now);
            }
        }
        self.now = self.now.after(until.since(self.now.instant));
    }

    fn drain(&mut self) {
        while let Some(event) = self.relay.poll_event().filter(|_| !self.is_down) {
            if let relay::Event::Job(job) = event {
                let answer = self.ledger.apply(&job);
                self.relay.handle_command(self.now, relay::Command::Answer(answer));
            }
        }
        let mut buffer = Vec::new();
        for from in [0, 1, RELAY_ADDRESS] {
            loop {
                let transmit = match self.peers.get_mut(from) {
                    Some(peer) => peer.poll_transmit(self.now, &mut buffer),
                    None if self.is_down => None,
                    None => self.relay.poll_transmit(self.now, &mut buffer),
                };
                let Some(transmit) = transmit else { break };
                let to = [0, 1, RELAY_ADDRESS].into_iter().find(|&to| address(to) == transmit.path.remote);
                self.sent += 1;
                let key = (self.now.instant + Duration::from_millis(10), self.sent);
                self.wire.insert(key, (to.unwrap(), from, buffer[..transmit.length].to_vec()));
            }
        }
        for (peer, name) in self.peers.iter_mut().zip(NAMES) {
            while let Some(event) = peer.poll_event() {
                self.log.push(format!("{name}: {}", describe(event)));
            }
        }
    }

    /// What one of them was told, and nothing of the other's.
    pub(super) fn told(&self, index: usize) -> Vec<&str> {
        let of = format!("{}: ", NAMES[index]);
        self.log.iter().filter_map(|line| line.strip_prefix(&of)).collect()
    }
}

#[test]
fn members_meet_and_a_letter_waits_for_the_absent() {
    let mut inn = Inn::new();
    let ana = inn.attend(0, "ana");
    inn.say(0, Destination::Room { relay: ana, room: "#sala".to_owned() }, "early");
    inn.run(500);
    let bob = inn.attend(1, "bob");
    inn.run(500);
    inn.say(1, Destination::Room { relay: bob, room: "#sala".to_owned() }, "oi");
    inn.run(500);
    inn.peers[1].handle_command(inn.now, Command::Close { conversation: bob }).unwrap();
    inn.run(500);
    inn.say(0, Destination::Member { relay: ana, nick: "bob".to_owned() }, "letter");
    inn.run(500);
    inn.attend(1, "bob");
    inn.run(500);
    assert_eq!(
        inn.told(0),
        [
            "there",
            "entered as ana, None",
            "joined #sala",
            "delivered",
            "bob came to #sala",
            "bob says oi in #sala",
            "bob left #sala",
            "held",
            "delivered",
            "bob came to #sala",
        ]
    );
    assert_eq!(
        inn.told(1),
        [
            "there",
            "entered as bob, None",
            "joined #sala",
            "ana said early in #sala",
            "delivered",
            "closed: closed here",
            "there",
            "entered as bob, None",
            "ana said letter in a letter",
            "joined #sala",
            "ana said early in #sala",
        ]
    );
}

#[test]
fn a_relay_that_is_killed_and_comes_back_loses_and_repeats_nothing() {
    let mut inn = Inn::new();
    let relays = [inn.attend(0, "ana"), inn.attend(1, "bob")];
    inn.run(500);
    for round in 0..40 {
        for (index, relay) in relays.into_iter().enumerate() {
            let text = format!("{index}.{round}");
            inn.say(index, Destination::Room { relay, room: "#sala".to_owned() }, &text);
        }
        // Each time at another moment of the conversation.
        inn.run(7 + round);
        if round % 5 == 4 {
            inn.is_down = true;
            inn.run(2_000);
            inn.relay = Relay::new(RelayConfig::default(), inn.ledger.foundation(), 6 + round, inn.now);
            inn.is_down = false;
            inn.run(9_000);
        }
    }
    inn.run(20_000);
    for (index, other) in [(0, 1), (1, 0)] {
        let told = inn.told(index);
        let heard: Vec<&str> = told
            .iter()
            .filter(|line| line.ends_with("in #sala"))
            .map(|line| line.split(' ').nth(2).unwrap())
            .collect();
        let expected: Vec<String> = (0..40).map(|round| format!("{other}.{round}")).collect();
        assert_eq!(heard, expected);
        let count = |what: &str| told.iter().filter(|line| **line == what).count();
        assert_eq!((count("delivered"), count("unknown")), (40, 0), "{told:?}");
        assert_eq!(inn.peers[index].unreadable_messages(), 0);
    }
}

#[test]
fn a_taken_name_is_refused_with_one_that_is_free() {
    let mut inn = Inn::new();
    inn.attend(0, "ana");
    inn.run(500);
    let relay = inn.attend(1, "ana");
    inn.run(500);
    let request = Request::Rename { nick: "ana-2".to_owned() };
    inn.peers[1].handle_command(inn.now, Command::Ask { relay, request }).unwrap();
    inn.run(500);
    let told = inn.told(1);
    assert_eq!(told[0], "there");
    assert!(told[1].starts_with("not entered: somebody here is called ana already; "), "{told:?}");
    assert_eq!(told[2..], ["entered as ana-2, None", "done", "joined #sala"]);
}

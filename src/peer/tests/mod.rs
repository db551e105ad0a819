//! Peers on a virtual link, 10 ms apart: each test is a script with exactly the events that follow.

mod keys;

use std::collections::BTreeMap;

use super::outgoing::MAX_ANSWERS_UNDER_WAY as MAX_UNDER_WAY;
use super::*;
use crate::arq::SendOptions;
use crate::chat::{MAX_ECHO_BYTES, MessageId, Said, Words, stream};
use crate::time::WallTime;

/// Peers that reach each other, by address, on a clock of their own.
pub(super) struct Town {
    pub(super) now: Now,
    pub(super) peers: Vec<Peer>,
    /// Datagrams on their way, by arrival and order of departure: to whom, from whom.
    wire: BTreeMap<(Instant, u64), (usize, usize, Vec<u8>)>,
    sent: u64,
    /// Who gets nothing and whose datagrams get nowhere.
    pub(super) cut_off: Option<usize>,
    /// Who hears everything and is heard by nobody.
    pub(super) mute: Option<usize>,
    pub(super) log: Vec<String>,
}

pub(super) const NAMES: [&str; 3] = ["ana", "bob", "cid"];

pub(super) fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + index as u8], 6_000))
}

fn peer(index: usize, run: u64, now: Now) -> Peer {
    let config =
        PeerConfig { nick: Some(NAMES[index].to_owned()), local_port: 6_000, ..PeerConfig::default() };
    Peer::new(config, index as u64 + 10 * run, now)
}

impl Town {
    pub(super) fn new() -> Self {
        let now = Now { instant: Instant::from_nanos(1), wall: WallTime::default() };
        let peers = (0..NAMES.len()).map(|index| peer(index, 0, now)).collect();
        Self { now, peers, wire: BTreeMap::new(), sent: 0, cut_off: None, mute: None, log: Vec::new() }
    }

    /// Its memory is gone, its address is the same.
    fn restart(&mut self, index: usize) {
        self.peers[index] = peer(index, 1, self.now);
    }

    pub(super) fn tell(&mut self, index: usize, command: Command) -> Result<Id, CommandError> {
        self.peers[index].handle_command(self.now, command)
    }

    pub(super) fn open(&mut self, from: usize, to: usize) -> ConversationId {
        match self.tell(from, Command::Open { addresses: vec![address(to)], named: Named::default() }) {
            Ok(Id::Conversation(conversation)) => conversation,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn say(&mut self, from: usize, to: ConversationId, text: &str) {
        self.tell(from, Command::Say { to: to.into(), text: text.to_owned() }).unwrap();
    }

    pub(super) fn run(&mut self, for_ms: u64) {
        let until = self.now.instant + Duration::from_millis(for_ms);
        loop {
            (0..self.peers.len()).for_each(|index| self.drain(index));
            let arrival = self.wire.keys().next().map(|&(at, _)| at);
            let timer = self.peers.iter().filter_map(Peer::poll_timeout).map(|(at, _)| at).min();
            let Some(next) = arrival.into_iter().chain(timer).min().filter(|&next| next <= until) else {
                break;
            };
            self.now = self.now.after(next.since(self.now.instant));
            while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now.instant)
            {
                let (to, from, mut datagram) = entry.remove();
                let path = Path { remote: address(from), local_ip: Some(address(to).ip()) };
                self.peers[to].handle_datagram(self.now, path, &mut datagram);
            }
            self.peers.iter_mut().for_each(|peer| peer.handle_timeout(self.now));
        }
        self.now = self.now.after(until.since(self.now.instant));
    }

    fn drain(&mut self, from: usize) {
        let mut buffer = Vec::new();
        while let Some(transmit) = self.peers[from].poll_transmit(self.now, &mut buffer) {
            let to = (0..self.peers.len()).find(|&index| address(index) == transmit.path.remote);
            let is_cut = |index| self.cut_off == Some(index);
            let Some(to) = to.filter(|&to| !is_cut(to) && !is_cut(from) && self.mute != Some(from)) else {
                continue;
            };
            self.sent += 1;
            let at = self.now.instant + Duration::from_millis(10);
            self.wire.insert((at, self.sent), (to, from, buffer[..transmit.length].to_vec()));
        }
        while let Some(event) = self.peers[from].poll_event() {
            self.log.push(format!("{}: {}", NAMES[from], describe(event)));
        }
    }

    #[track_caller]
    pub(super) fn expect(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.log), expected);
    }
}

fn describe_key(owner: &KeyOwner, news: &KeyNews) -> String {
    let news = match news {
        KeyNews::New { .. } => "new",
        KeyNews::Known(_) => "known",
        KeyNews::Changed { .. } => "CHANGED",
        KeyNews::Other { .. } => "another of that name",
        KeyNews::Accepted { .. } => "accepted",
    };
    format!("key of {owner:?}: {news}")
}

fn describe(event: Event) -> String {
    let who = |nick: Option<String>| nick.unwrap_or_else(|| "somebody".to_owned());
    match event {
        Event::Connected { nick, .. } => format!("{} is there", who(nick)),
        Event::Renamed { before, nick, .. } => format!("{} is now {nick}", who(before)),
        Event::Silent { .. } => "silence".to_owned(),
        Event::Resumed { .. } => "resumed".to_owned(),
        Event::Closed { reason, .. } => format!("closed: {reason}"),
        Event::Message(Incoming { nick, text, reply_to: None, .. }) => format!("{} says {text}", who(nick)),
        Event::Message(Incoming { nick, text, reply_to: Some(quote), .. }) => {
            format!("{} says {text} to \"{}\"", who(nick), quote.text)
        }
        Event::Echoed { text, rtt, .. } => format!("echo {text} after {rtt:?}"),
        Event::Delivered { rtt, .. } => format!("delivered after {rtt:?}"),
        Event::Failed { reason, .. } => format!("failed: {reason}"),
        Event::Unknown { .. } => "unknown".to_owned(),
        Event::Writable { .. } => "writable".to_owned(),
        Event::Kept { .. } => "kept".to_owned(),
        Event::Waiting { count, .. } => format!("{count} waiting"),
        Event::Held { .. } => "held".to_owned(),
        Event::Member { event, .. } => format!("{event:?}"),
        Event::Key { owner, news, .. } => describe_key(&owner, &news),
    }
}

#[test]
fn words_wait_for_the_handshake_and_arrive_in_order_with_a_receipt_each() {
    let mut town = Town::new();
    let bob = town.open(0, 1);
    town.say(0, bob, "one");
    town.say(0, bob, "two");
    town.run(1_000);
    town.expect(&[
        "bob: ana is there",
        "bob: ana says one",
        "bob: ana says two",
        "ana: bob is there",
        "ana: delivered after 40ms",
        "ana: delivered after 40ms",
    ]);
}

#[test]
fn a_reply_goes_to_the_last_sender_and_quotes_it() {
    let mut town = Town::new();
    assert_eq!(town.tell(2, Command::Reply { text: "?".to_owned() }), Err(CommandError::NothingToReplyTo));
    for from in [0, 1] {
        let cid = town.open(from, 2);
        town.say(from, cid, NAMES[from]);
        town.run(500);
    }
    town.log.clear();
    town.tell(2, Command::Reply { text: "you were last".to_owned() }).unwrap();
    town.run(500);
    town.expect(&["bob: cid says you were last to \"bob\"", "cid: delivered after 20ms"]);
}

#[test]
fn an_echo_comes_back_and_is_not_shown_there() {
    let mut town = Town::new();
    let bob = town.open(0, 1);
    town.run(500);
    town.log.clear();
    town.tell(0, Command::Echo { to: bob, text: "hall".to_owned() }).unwrap();
    town.run(500);
    town.expect(&["ana: delivered after 20ms", "ana: echo hall after 20ms"]);
}

// UC-CHAT-010
#[test]
fn an_echo_longer_than_what_measures_is_refused_at_both_ends() {
    let mut town = Town::new();
    let bob = town.open(0, 1);
    town.run(500);
    town.log.clear();
    let long = "x".repeat(MAX_ECHO_BYTES + 1);
    let echo = Command::Echo { to: bob, text: long.clone() };
    let refused = CommandError::TooLong { bytes: MAX_ECHO_BYTES + 1, limit: MAX_ECHO_BYTES };
    assert_eq!(town.tell(0, echo), Err(refused));
    // One who does not keep to it: the words leave as an echo all the same.
    let ana = &mut town.peers[0];
    let handle = ana.conversations[&bob].primary.unwrap();
    let id = MessageId::new("made-up", 1);
    let text = long.into();
    let words = Words { id, text, sealed: None, is_echo: true, reply_to: None, place: None };
    let body = ana.encode(handle, town.now.wall, Said::Words(words));
    ana.endpoint.submit(handle, stream::WORDS, body, SendOptions::default()).unwrap();
    let before = ana.receipts_received;
    town.run(2_000);
    town.expect(&[]);
    // Only the refusal comes back, and ana does not know of what.
    assert_eq!((town.peers[0].receipts_received - before, town.peers[0].unreadable), (1, 1));
}

/// Bob owes ana forty answers, more than may be under way at once.
fn owing() -> (Town, ConversationId, Handle) {
    let mut town = Town::new();
    let bob = town.open(0, 1);
    town.say(0, bob, "hi");
    town.run(500);
    let bob = &mut town.peers[1];
    let (&id, conversation) = bob.conversations.iter().next().unwrap();
    let handle = conversation.primary.unwrap();
    let text = "x".repeat(60_000);
    for number in 0..40 {
        let id_of = MessageId::new("echo", number);
        let (original_at, text) = (town.now.wall, text.as_str().into());
        bob.answer(id, handle, town.now.wall, Said::Echoed { id: id_of, original_at, text });
    }
    (town, id, handle)
}

// UC-STR-014
#[test]
fn answers_wait_for_a_side_that_takes_none_and_go_with_its_connection() {
    let (mut town, id, handle) = owing();
    let bob = &mut town.peers[1];
    let under_way = bob.endpoint.connection(handle).unwrap().owed_bytes();
    assert!((MAX_UNDER_WAY..MAX_UNDER_WAY + 61_000).contains(&under_way), "{under_way}");
    assert!(bob.conversations[&id].receipts[&handle].bytes() > 1_000_000);
    // While ana takes nothing they stay; our user's words are not refused meanwhile.
    bob.handle_command(town.now, Command::Say { to: id.into(), text: "own words".to_owned() }).unwrap();
    bob.endpoint.give_up(town.now, handle, "busy", "");
    bob.handle_timeout(town.now);
    assert!(!town.peers[1].conversations.get(&id).is_some_and(|it| it.receipts.contains_key(&handle)));
}

#[test]
fn answers_that_found_no_room_go_out_once_there_is() {
    let (mut town, id, _) = owing();
    town.run(10_000);
    assert!(town.peers[1].conversations[&id].receipts.is_empty());
    assert_eq!(town.peers[0].unreadable, 40, "nobody had asked for them");
}

// UC-CLOSE-001
#[test]
fn answers_that_found_no_room_go_out_before_a_close() {
    let (mut town, id, _) = owing();
    town.tell(1, Command::Close { conversation: id }).unwrap();
    town.run(2_000);
    assert_eq!(town.peers[0].unreadable, 40, "nobody had asked for them");
}

#[test]
fn a_new_name_is_told_to_everyone_in_conversation() {
    let mut town = Town::new();
    town.open(0, 1);
    town.run(500);
    town.log.clear();
    assert_eq!(town.tell(0, Command::Rename { nick: "a na".to_owned() }), Err(CommandError::BadNick));
    town.tell(0, Command::Rename { nick: "anita".to_owned() }).unwrap();
    town.run(500);
    town.expect(&["bob: ana is now anita"]);
}

#[test]
fn the_first_of_several_addresses_that_answers_wins() {
    let mut town = Town::new();
    let addresses = vec![SocketAddr::from(([10, 9, 9, 9], 1)), address(2), address(1)];
    town.cut_off = Some(2);
    let Ok(Id::Conversation(someone)) = town.tell(0, Command::Open { addresses, named: Named::default() })
    else {
        panic!()
    };
    town.say(0, someone, "who?");
    town.run(1_000);
    town.expect(&[
        "bob: ana is there",
        "bob: ana says who?",
        "ana: bob is there",
        "ana: delivered after 40ms",
    ]);
}

#[test]
fn nobody_there_fails_the_words_and_a_later_word_tries_again() {
    let mut town = Town::new();
    town.cut_off = Some(1);
    let bob = town.open(0, 1);
    town.say(0, bob, "one");
    town.run(20_000);
    town.expect(&["ana: failed: no answer", "ana: closed: no answer"]);
    town.cut_off = None;
    town.say(0, bob, "two");
    town.run(1_000);
    town.expect(&[
        "bob: ana is there",
        "bob: ana says two",
        "ana: bob is there",
        "ana: delivered after 40ms",
    ]);
}

#[test]
fn calling_each_other_at_once_keeps_each_ones_words_in_order() {
    let mut town = Town::new();
    let (bob, ana) = (town.open(0, 1), town.open(1, 0));
    for number in 0..3 {
        town.say(0, bob, &format!("a{number}"));
        town.say(1, ana, &format!("b{number}"));
        town.run(7);
    }
    town.run(1_000);
    let said =
        |log: &[String], by: &str| log.iter().filter(|line| line.contains(by)).cloned().collect::<Vec<_>>();
    assert_eq!(said(&town.log, "ana says"), ["bob: ana says a0", "bob: ana says a1", "bob: ana says a2"]);
    assert_eq!(said(&town.log, "bob says"), ["ana: bob says b0", "ana: bob says b1", "ana: bob says b2"]);
    assert_eq!(said(&town.log, "delivered").len(), 6);
}

#[test]
fn a_partner_that_was_started_anew_leaves_what_was_under_way_unknown_and_talks_on() {
    let mut town = Town::new();
    let bob = town.open(0, 1);
    town.run(500);
    town.log.clear();
    town.restart(1);
    town.say(0, bob, "under way");
    town.run(5_000);
    town.say(0, bob, "again");
    town.run(1_000);
    town.expect(&[
        "ana: silence",
        "ana: unknown",
        "ana: closed: the other side was started anew",
        "ana: bob is there",
        "bob: ana is there",
        "bob: ana says again",
        "ana: delivered after 20ms",
    ]);
}

#[test]
fn a_blackout_is_survived_and_nothing_is_called_unknown() {
    let mut town = Town::new();
    let bob = town.open(0, 1);
    town.run(500);
    town.log.clear();
    town.cut_off = Some(1);
    town.say(0, bob, "through the dark");
    town.run(20_000);
    town.cut_off = None;
    town.run(2_500);
    let delivered = town.log.pop().unwrap();
    assert!(delivered.starts_with("ana: delivered after 2"), "{delivered}");
    town.expect(&["ana: silence", "bob: ana says through the dark", "ana: resumed"]);
}

#[test]
fn closing_waits_for_the_last_receipt() {
    let mut town = Town::new();
    let bob = town.open(0, 1);
    town.run(500);
    town.log.clear();
    town.say(0, bob, "bye");
    town.tell(0, Command::Shutdown).unwrap();
    assert_eq!(
        town.tell(0, Command::Say { to: bob.into(), text: "late".to_owned() }),
        Err(CommandError::ShuttingDown)
    );
    town.run(1_000);
    town.expect(&[
        "bob: ana says bye",
        "ana: delivered after 20ms",
        "bob: closed: the other side left",
        "ana: closed: closed here",
    ]);
    assert!(town.peers[0].is_idle() && town.peers[1].is_idle());
}

#[test]
fn giving_up_tells_what_was_sent_from_what_was_not() {
    let mut town = Town::new();
    let (bob, cid) = (town.open(0, 1), town.open(0, 2));
    town.run(500);
    town.cut_off = Some(1);
    town.log.clear();
    town.say(0, bob, "sent");
    town.run(100);
    town.say(0, cid, "still here, never sent");
    town.tell(0, Command::GiveUp).unwrap();
    town.run(0);
    town.expect(&["ana: unknown", "ana: failed: the connection ended before it was sent"]);
    assert_eq!(town.peers[0].pending_messages(), 0);
}

#[test]
fn a_receiver_that_wants_no_more_refuses_in_words() {
    let mut town = Town::new();
    town.peers[1].config.message_limit = Some(1);
    let bob = town.open(0, 1);
    town.say(0, bob, "one");
    town.say(0, bob, "two");
    town.run(500);
    town.expect(&[
        "bob: ana is there",
        "bob: ana says one",
        "ana: bob is there",
        "ana: delivered after 40ms",
        "ana: failed: refused: it wanted no more messages",
    ]);
}

#[test]
fn a_full_queue_refuses_and_says_when_there_is_room() {
    let mut town = Town::new();
    let bob = town.open(0, 1);
    let text = "x".repeat(1_000_000);
    let mut taken = 0;
    while town.tell(0, Command::Say { to: bob.into(), text: text.clone() }).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, 33, "32 MiB");
    town.run(60_000);
    let count = |what: &str| town.log.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!((count("ana: delivered"), count("ana: writable")), (33, 1));
    assert_eq!(
        town.tell(0, Command::Say { to: bob.into(), text: "y".repeat(20_000_000) }),
        Err(CommandError::TooLong { bytes: 20_000_000, limit: 16_777_216 })
    );
}

//! A member and a relay that does exactly what the script says, 10 ms apart: what the relay hears and what the member tells.

mod lost;
mod real;
mod sealed;
mod stranger;
mod there;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::arq::{self, SendOptions};
use crate::chat::{EVERYONE, Party, Place, Receipt, Said, Say, Sealed, Words, stream};
use crate::endpoint::{self, Endpoint, EndpointConfig, Handle, Protection};
use crate::machine::Path;
use crate::peer::{Command, CommandError, Destination, Id, Incoming, KeyNews, KeyOwner, Named, PeerConfig};
use crate::secure::{KeyPair, PublicKey};
use crate::time::{Instant, Now, WallTime};

const ANA: usize = 0;
const BOB: usize = 1;
const RELAY: usize = 2;

/// Two peers and a relay, the relay without a will of its own.
struct Stage {
    now: Now,
    peers: [Peer; 2],
    relay: Endpoint,
    /// The relay's latest connection.
    handle: Option<Handle>,
    /// The relay is not there at all.
    is_down: bool,
    /// Datagrams on their way, by arrival and order of departure: to whom, from whom.
    wire: BTreeMap<(Instant, u64), (usize, usize, Vec<u8>)>,
    sent: u64,
    /// The ids of what the relay heard, by what it was.
    ids: BTreeMap<String, MessageId>,
    log: Vec<String>,
    conversation: Option<ConversationId>,
    /// Before each attempt to reach the relay again.
    pauses: Vec<Duration>,
    /// The connections on which somebody said who they are, before anything else.
    introduced: BTreeSet<Handle>,
    is_sealed: bool,
    /// The sealed letters that the relay heard.
    letters: Vec<(MessageId, Sealed)>,
}

fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + index as u8], 6_000))
}

/// The first byte of everybody's secret key.
const RELAY_SECRET: u8 = 99;

fn keys(secret: u8) -> KeyPair {
    KeyPair::from_secret([secret; 32])
}

fn key(secret: u8) -> PublicKey {
    keys(secret).public()
}

fn endpoint_config(is_sealed: bool, secret: u8, run: u8) -> EndpointConfig {
    let sealed = || Protection::Sealed { keys: Arc::new(keys(secret)), seed: [run; 32].into() };
    let protection = if is_sealed { sealed() } else { Protection::Clear };
    EndpointConfig { protection, ..EndpointConfig::default() }
}

fn membership(rooms: &[&str]) -> Membership {
    let wish = |room: &&str| RoomWish { room: (*room).to_owned(), history: None, password: None };
    Membership {
        nick: "ana".to_owned(),
        token: "secret".to_owned(),
        rooms: rooms.iter().map(wish).collect(),
        memory: RelayMemory::default(),
        patience: None,
        keep_calling: false,
    }
}

impl Stage {
    fn new() -> Self {
        Self::of(false)
    }

    fn of(is_sealed: bool) -> Self {
        let now = Now { instant: Instant::from_nanos(1), wall: WallTime::default() };
        let peer = |index: usize, nick: &str| {
            let endpoint = endpoint_config(is_sealed, index as u8 + 1, 1);
            let nick = Some(nick.to_owned());
            let config = PeerConfig { nick, local_port: 6_000, endpoint, ..PeerConfig::default() };
            Peer::new(config, index as u64, now)
        };
        Self {
            now,
            peers: [peer(0, "ana"), peer(1, "bob")],
            relay: Endpoint::new(endpoint_config(is_sealed, RELAY_SECRET, 2), 77),
            handle: None,
            is_down: false,
            wire: BTreeMap::new(),
            sent: 0,
            ids: BTreeMap::new(),
            log: Vec::new(),
            conversation: None,
            pauses: Vec::new(),
            introduced: BTreeSet::new(),
            is_sealed,
            letters: Vec::new(),
        }
    }

    /// Ana wants to be a member, and the relay has heard so.
    fn attend(membership: Membership) -> Self {
        Self::attend_on(Self::new(), membership)
    }

    fn attend_on(mut stage: Self, membership: Membership) -> Self {
        let addresses = vec![address(RELAY)];
        match stage.tell(Command::Attend { addresses, named: Named::default(), membership }) {
            Ok(Id::Conversation(conversation)) => stage.conversation = Some(conversation),
            other => panic!("{other:?}"),
        }
        stage.run(200);
        stage
    }

    /// Ana is in the rooms, which are empty, and nothing is in the log.
    fn inside(rooms: &[&str]) -> Self {
        let mut stage = Self::attend(membership(rooms));
        stage.let_in("log-1");
        for room in rooms {
            stage.open_room(room, 0);
        }
        stage.log.clear();
        stage
    }

    fn tell(&mut self, command: Command) -> Result<Id, CommandError> {
        self.peers[ANA].handle_command(self.now, command)
    }

    fn relay_id(&self) -> ConversationId {
        self.conversation.unwrap()
    }

    fn say(&mut self, to: Destination, text: &str) {
        self.tell(Command::Say { to, text: text.to_owned() }).unwrap();
    }

    fn say_in(&mut self, room: &str, text: &str) {
        let relay = self.relay_id();
        self.say(Destination::Room { relay, room: room.to_owned() }, text);
    }

    fn write_to(&mut self, nick: &str, text: &str) {
        let relay = self.relay_id();
        self.say(Destination::Member { relay, nick: nick.to_owned() }, text);
    }

    fn ask(&mut self, request: Request) {
        let relay = self.relay_id();
        self.tell(Command::Ask { relay, request }).unwrap();
    }

    fn join(&mut self, room: &str) {
        self.ask(Request::Join { room: room.to_owned(), after: None, history: None, password: None });
    }

    // The relay's side.

    /// Its memory is gone, its address is the same.
    fn restart_relay(&mut self) {
        let config = endpoint_config(self.is_sealed, RELAY_SECRET, 3 + self.sent as u8);
        self.relay = Endpoint::new(config, 78 + self.sent);
        self.handle = None;
    }

    fn relay_says(&mut self, from: Option<&str>, room: Option<&str>, at: u64, said: Said<'_>) {
        let handle = self.handle.unwrap();
        let party = |nick: Option<&str>, room: Option<&str>, index: usize| Party {
            nick: nick.map(str::to_owned),
            room: room.map(str::to_owned),
            ip: address(index).ip(),
            port: 6_000,
        };
        let is_receipt = matches!(said, Said::Receipt(_));
        let to_nick = room.is_none().then_some("ana");
        let at = WallTime::from_unix_micros(at as i64);
        let body = Say { from: party(from, None, BOB), to: party(to_nick, room, ANA), at, said }.encode();
        let stream = if is_receipt { stream::RECEIPTS } else { stream::WORDS };
        let options = SendOptions { unordered: is_receipt, deadline: None, ..SendOptions::default() };
        self.relay.submit(handle, stream, body, options).unwrap();
    }

    fn tell_news(&mut self, news: News) {
        self.relay_says(None, None, 1_000, Said::News(news));
    }

    fn let_in(&mut self, log: &str) {
        self.tell_news(News::Entered {
            nick: "ana".to_owned(),
            log: log.to_owned(),
            runs: Vec::new(),
            void_after: None,
            operator: false,
            everyone_head: 0,
            motd: Some("be kind".to_owned()),
        });
        self.receipt("enter ana", |_| {});
        self.run(50);
    }

    fn open_room(&mut self, room: &str, head: u64) {
        let (topic, members, count) = (String::new(), Vec::new(), 1);
        self.tell_news(News::Room { room: room.to_owned(), head, topic, members, count });
        self.run(50);
    }

    /// Words of somebody's, as the relay passes them on.
    fn pass_on(&mut self, pos: u64, room: Option<&str>, nick: &str, text: &str) {
        let id = MessageId::new("bobs-run", pos);
        self.pass_on_as(id, pos, room, nick, text);
    }

    fn pass_on_as(&mut self, id: MessageId, pos: u64, room: Option<&str>, nick: &str, text: &str) {
        let place = Some(Place { pos, stored_at: WallTime::from_unix_micros(1_000) });
        let words = Words { id, text: text.into(), sealed: None, is_echo: false, reply_to: None, place };
        self.relay_says(Some(nick), room, 500, Said::Words(words));
    }

    /// A receipt on what was heard under that description; `change` makes it another one than a yes.
    fn receipt(&mut self, heard: &str, change: impl FnOnce(&mut Receipt<'_>)) {
        let id = self.ids.get(heard).unwrap_or_else(|| panic!("{heard} of {:?}", self.ids)).clone();
        let mut receipt = Receipt::taken(id, WallTime::default());
        change(&mut receipt);
        self.relay_says(None, None, 1_000, Said::Receipt(receipt));
    }

    fn refuse(&mut self, heard: &str, code: RefusalCode, reason: &'static str) {
        self.receipt(heard, |receipt| {
            receipt.ack = false;
            receipt.code = Some(code);
            receipt.reason = Some(reason.into());
        });
    }

    fn close(&mut self, code: &'static str, reason: &str) {
        self.relay.close(self.now, self.handle.unwrap(), code, reason);
    }

    fn hear(&mut self, handle: Handle, body: &[u8]) {
        let say = Say::decode(body).unwrap();
        let is_introduction = matches!(say.said, Said::Introduce { .. });
        assert!(is_introduction || self.introduced.contains(&handle), "{say:?}");
        let (id, what) = match say.said {
            Said::Introduce { .. } => {
                self.introduced.insert(handle);
                return;
            }
            Said::Request { id, ask } => (id, describe_request(&ask)),
            Said::Receipt(receipt) => {
                let word = if receipt.ack { "yes" } else { "no" };
                let code = receipt.code.map(|code| format!(", {}", code.as_str())).unwrap_or_default();
                self.log.push(format!("relay: {word} on {}{code}", receipt.pos.unwrap_or_default()));
                return;
            }
            Said::Words(words) => {
                let to = say.to.room.or(say.to.nick).unwrap_or_else(|| "itself".to_owned());
                let reply = words.reply_to.map(|(_, original, _)| format!(" to \"{original}\""));
                let text = if words.sealed.is_some() { "a sealed letter" } else { &words.text };
                let heard = format!("{text} for {to}{}", reply.unwrap_or_default());
                self.letters.extend(words.sealed.map(|sealed| (words.id.clone(), sealed)));
                (words.id, heard)
            }
            other => panic!("{other:?}"),
        };
        let again = if self.ids.get(&what) == Some(&id) { " again" } else { "" };
        self.log.push(format!("relay: {what}{again}"));
        self.ids.insert(what, id);
    }

    // The world.

    fn run(&mut self, for_ms: u64) {
        let until = self.now.instant + Duration::from_millis(for_ms);
        loop {
            self.drain();
            let arrival = self.wire.keys().next().map(|&(at, _)| at);
            let timers = self.peers.iter().filter_map(Peer::poll_timeout).map(|(at, _)| at);
            let relay = self.relay.poll_timeout().map(|(at, _)| at);
            let next = arrival.into_iter().chain(timers).chain(relay).min();
            let Some(next) = next.filter(|&next| next <= until) else { break };
            self.now = self.now.after(next.since(self.now.instant));
            while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now.instant)
            {
                let (to, from, mut datagram) = entry.remove();
                let path = Path { remote: address(from), local_ip: Some(address(to).ip()) };
                match to {
                    RELAY => self.relay.handle_datagram(self.now, path, &mut datagram),
                    to => self.peers[to].handle_datagram(self.now, path, &mut datagram),
                }
            }
            self.peers.iter_mut().for_each(|peer| peer.handle_timeout(self.now));
            self.relay.handle_timeout(self.now);
        }
        self.now = self.now.after(until.since(self.now.instant));
    }

    fn drain(&mut self) {
        while let Some(event) = self.relay.poll_event() {
            match event {
                endpoint::Event::Accepted { handle } => self.handle = Some(handle),
                endpoint::Event::Connection { handle, event: arq::Event::Readable { stream } } => {
                    while let Some(received) = self.relay.take(handle, stream) {
                        self.hear(handle, &received.body);
                    }
                }
                endpoint::Event::Connection { event: arq::Event::Closed(closed), .. } => {
                    self.log.push(format!("relay: {closed:?}"));
                }
                _ => {}
            }
        }
        let mut buffer = Vec::new();
        for from in [ANA, BOB, RELAY] {
            loop {
                let transmit = match from {
                    RELAY => self.relay.poll_transmit(self.now, &mut buffer),
                    from => self.peers[from].poll_transmit(self.now, &mut buffer),
                };
                let Some(transmit) = transmit else { break };
                let to = [ANA, BOB, RELAY].into_iter().find(|&to| address(to) == transmit.path.remote);
                let is_lost = self.is_down && (from == RELAY || to == Some(RELAY));
                if let Some(to) = to.filter(|_| !is_lost) {
                    self.sent += 1;
                    let at = self.now.instant + Duration::from_millis(10);
                    self.wire.insert((at, self.sent), (to, from, buffer[..transmit.length].to_vec()));
                }
            }
        }
        for (peer, name) in self.peers.iter_mut().zip(["ana", "bob"]) {
            while let Some(event) = peer.poll_event() {
                if let Event::Member { event: MemberEvent::Reconnecting { delay }, .. } = event {
                    self.pauses.push(delay);
                }
                self.log.push(format!("{name}: {}", describe(event)));
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.log), expected);
    }
}

fn describe_request(request: &Request) -> String {
    match request {
        Request::Enter { nick, log: None, .. } => format!("enter {nick}"),
        Request::Enter { nick, log: Some(log), letters_after, everyone_after, .. } => {
            format!("enter {nick}, {log}, letters {letters_after}, everyone {everyone_after:?}")
        }
        Request::Join { room, after, history, .. } => {
            let after = after.map(|after| format!(" after {after}")).unwrap_or_default();
            let history = history.map(|lines| format!(" with {lines}")).unwrap_or_default();
            format!("join {room}{after}{history}")
        }
        Request::Part { room, .. } => format!("part {room}"),
        Request::Guard { room, .. } => format!("guard {room}"),
        Request::Topic { room, .. } => format!("topic of {room}"),
        Request::Key { nick } => format!("key of {nick}"),
        Request::Rename { nick } => format!("rename {nick}"),
        Request::Who { .. } => "who".to_owned(),
        Request::Moderate(Moderation::Kick { nick, .. }) => format!("kick {nick}"),
        other => format!("{other:?}"),
    }
}

fn describe(event: Event) -> String {
    match event {
        Event::Connected { .. } => "there".to_owned(),
        Event::Silent { .. } => "silence".to_owned(),
        Event::Resumed { .. } => "resumed".to_owned(),
        Event::Closed { reason, .. } => format!("closed: {reason}"),
        Event::Message(Incoming { nick, room, text, is_history, is_relayed, is_sealed, .. }) => {
            let letter = if is_sealed { "a sealed letter" } else { "a letter" };
            let room =
                if is_relayed { room.unwrap_or_else(|| letter.to_owned()) } else { "direct".to_owned() };
            let tense = if is_history { "said" } else { "says" };
            format!("{} {tense} {text} in {room}", nick.unwrap_or_default())
        }
        Event::Echoed { text, .. } => format!("echo {text}"),
        Event::Delivered { .. } => "delivered".to_owned(),
        Event::Failed { reason, .. } => format!("failed: {reason}"),
        Event::Unknown { .. } => "unknown".to_owned(),
        Event::Held { .. } => "held".to_owned(),
        Event::Writable { .. } => "writable".to_owned(),
        Event::Renamed { nick, .. } => format!("is now {nick}"),
        Event::Key { owner, news, .. } => {
            let news = match news {
                KeyNews::New { key, .. } => format!("new {}", name_of(key)),
                KeyNews::Known(_) => "known".to_owned(),
                KeyNews::Changed { expected, seen, .. } => {
                    format!("CHANGED from {} to {}", name_of(expected), name_of(seen))
                }
                KeyNews::Other { .. } => "another of that name".to_owned(),
                KeyNews::Accepted { key, .. } => format!("accepted {}", name_of(key)),
            };
            match owner {
                KeyOwner::Address(name) | KeyOwner::Caller(name) | KeyOwner::Member(name) => {
                    format!("key of {name}: {news}")
                }
            }
        }
        Event::Member { event, .. } => describe_member(event),
        Event::Kept { .. } | Event::Waiting { .. } => {
            panic!("a relay's members have an outbox of their own: {event:?}")
        }
    }
}

fn name_of(key: PublicKey) -> String {
    (1..=RELAY_SECRET)
        .find(|&secret| self::key(secret) == key)
        .map_or_else(|| "?".to_owned(), |it| it.to_string())
}

fn describe_member(event: MemberEvent) -> String {
    let again = |is_return: bool| if is_return { " again" } else { "" };
    match event {
        MemberEvent::Entered { nick, motd, is_return, .. } => {
            format!("entered{} as {nick}, {motd:?}", again(is_return))
        }
        MemberEvent::NotEntered(refusal) => format!("not entered: {}", refusal.words),
        MemberEvent::Joined { room, is_return, .. } => format!("joined {room}{}", again(is_return)),
        MemberEvent::NotJoined { room, refusal } => format!("not joined {room}: {}", refusal.words),
        MemberEvent::Parted { room } => format!("parted {room}"),
        MemberEvent::Came { room, member, .. } => {
            format!("{} came to {room}", member.party.nick.unwrap_or_default())
        }
        MemberEvent::Went { room, nick, .. } => format!("{nick} left {room}"),
        MemberEvent::Roster { room, count, .. } => format!("{count} in {room}"),
        MemberEvent::News(news) => format!("{news:?}"),
        MemberEvent::Done { result: Ok(()), .. } => "done".to_owned(),
        MemberEvent::Done { result: Err(refusal), .. } => format!("not done: {}", refusal.words),
        MemberEvent::Reconnecting { .. } => "reconnecting".to_owned(),
        MemberEvent::SharedKey { nick, also } => format!("{nick} has the key of {also}"),
        MemberEvent::LetterRefused { nick, code } => {
            format!("a letter of {nick} is not shown: {}", code.as_str())
        }
    }
}

//! The session that `spec/10-relay.md` prints: a relay with a ledger in memory, ana and bob, on a link that takes no time.
//!
//! The relay is the real one. Its members are driven by hand, so that each says exactly what the chapter wants to show.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use udpchat::arq::{self, Closed, SendOptions};
use udpchat::chat::{MessageId, Moderation, Party, Receipt, Request, Said, Say, Words, stream};
use udpchat::endpoint::{self, Endpoint, EndpointConfig, Handle};
use udpchat::ledger::{Answer, MemoryLedger};
use udpchat::machine::Path;
use udpchat::relay::{Command, Event, Relay, RelayConfig};
use udpchat::time::{Instant, Now, WallTime};

/// One thing that was said, or the end of a connection.
pub struct Spoken {
    pub from: &'static str,
    pub to: &'static str,
    pub json: String,
}

const RELAY: &str = "relay";
const SECRET: &str = "open sesame";
const LOG: &str = "gk2w0xqd";

/// Everything that is said while ana and bob are at a relay.
pub fn record() -> Vec<Spoken> {
    let mut hall = Hall::new();
    let ana = hall.come("ana", "tq3q6lzi");
    hall.enter(ana, "ana", false);
    hall.join(ana, None, None);
    hall.say(ana, party(Some("#sala"), None), words("tq3q6lzi-3", "is it raining?"));

    let bob = hall.come("bob", "rjnahrcq");
    hall.enter(bob, "Ana", false);
    hall.enter(bob, "bob", false);
    hall.join(bob, None, Some(50));
    let question = MessageId::parse("tq3q6lzi-3").map(|id| (id, "is it raining?".into(), hall.second(3)));
    let Said::Words(answer) = words("rjnahrcq-4", "not here") else { unreachable!() };
    hall.say(bob, party(Some("#sala"), None), Said::Words(Words { reply_to: question, ..answer }));
    hall.say(bob, party(None, Some("ana")), words("rjnahrcq-5", "come out, then"));
    hall.confirm(ana, "rjnahrcq-5", 3);

    hall.leave(bob);
    hall.say(ana, party(Some("#sala"), None), words("tq3q6lzi-4", "it is now"));
    hall.say(ana, party(None, Some("bob")), words("tq3q6lzi-5", "take a coat"));
    let bob = hall.come("bob", "x02mfd4c");
    hall.enter(bob, "bob", true);
    hall.join(bob, Some(2), None);
    hall.confirm(bob, "tq3q6lzi-5", 5);

    hall.ask(ana, "tq3q6lzi-6", Request::Who { room: Some("#sala".to_owned()) });
    hall.say(bob, party(Some("*"), None), words("x02mfd4c-3", "good night, all"));
    hall.ask(ana, "tq3q6lzi-7", Request::Authorize { secret: SECRET.into() });
    hall.ask(ana, "tq3q6lzi-8", Request::Moderate(Moderation::Shutdown { reason: None }));
    hall.said
}

/// The record as the chapter prints it, to paste what is new.
pub fn as_markdown(said: &[Spoken]) -> String {
    let mut text = String::new();
    for (number, Spoken { from, to, json }) in (1..).zip(said) {
        let _ = writeln!(text, "**{number} · {from} → {to}.**\n\n```say\n{json}\n```\n");
    }
    text
}

struct Hall {
    now: Now,
    start: Now,
    relay: Relay,
    ledger: MemoryLedger,
    members: Vec<Visitor>,
    said: Vec<Spoken>,
}

struct Visitor {
    name: &'static str,
    run: &'static str,
    endpoint: Endpoint,
    handle: Handle,
    address: SocketAddr,
    /// How many requests it made, by which they are named.
    asked: u32,
}

impl Hall {
    fn new() -> Self {
        let start = Now {
            instant: Instant::from_nanos(1),
            // 2026-11-21T12:00:00Z
            wall: WallTime::from_unix_micros(1_795_262_400_000_000),
        };
        let mut config = RelayConfig {
            local_port: relay_address().port(),
            admin_secret: Some(SECRET.to_owned()),
            ..RelayConfig::default()
        };
        config.limits.motd = Some("be kind".to_owned());
        let ledger = MemoryLedger::new(LOG.to_owned(), 1 << 20);
        let relay = Relay::new(config, ledger.foundation(), 7, start);
        Self { now: start, start, relay, ledger, members: Vec::new(), said: Vec::new() }
    }

    /// So many seconds after the start.
    fn second(&self, seconds: u64) -> WallTime {
        self.start.after(Duration::from_secs(seconds)).wall
    }

    /// A second later.
    fn tick(&mut self) {
        self.now = self.now.after(Duration::from_secs(1));
        self.relay.handle_timeout(self.now);
        for member in &mut self.members {
            member.endpoint.handle_timeout(self.now);
        }
        self.run();
    }

    fn come(&mut self, name: &'static str, run: &'static str) -> usize {
        let index = self.members.len();
        let mut endpoint = Endpoint::new(EndpointConfig::default(), 100 + index as u64);
        let handle =
            endpoint.connect(self.now, &[path(relay_address())], None).expect("one connection is allowed");
        let port = 6_000 + u16::try_from(index).expect("there are few members");
        let address = SocketAddr::from(([10, 0, 0, 1 + u8::from(name == "bob")], port));
        self.members.push(Visitor { name, run, endpoint, handle, address, asked: 0 });
        self.run();
        let nick = Some(name.to_owned());
        self.speak(
            index,
            stream::WORDS,
            nick,
            party(None, None),
            Said::Introduce { run: run.into(), remembers: false },
        );
        index
    }

    fn enter(&mut self, member: usize, nick: &str, was_here: bool) {
        let token = format!("a secret that only {} knows", self.members[member].name);
        let request = Request::Enter {
            nick: nick.to_owned(),
            token,
            log: was_here.then(|| LOG.to_owned()),
            runs: Vec::new(),
            letters_after: 0,
            everyone_after: was_here.then_some(0),
        };
        self.request(member, request);
    }

    fn join(&mut self, member: usize, after: Option<u64>, history: Option<u64>) {
        let request = Request::Join { room: "#sala".to_owned(), after, history, password: None };
        self.request(member, request);
    }

    fn request(&mut self, member: usize, request: Request) {
        self.members[member].asked += 1;
        let id = format!("{}-{}", self.members[member].run, self.members[member].asked);
        self.ask(member, &id, request);
    }

    fn ask(&mut self, member: usize, id: &str, ask: Request) {
        let id = MessageId::parse(id).expect("ids of the script are ids");
        self.say(member, party(None, None), Said::Request { id, ask });
    }

    fn say(&mut self, member: usize, to: Party, said: Said<'_>) {
        self.tick();
        let nick = Some(self.members[member].name.to_owned());
        self.speak(member, stream::WORDS, nick, to, said);
    }

    /// A letter was shown.
    fn confirm(&mut self, member: usize, id: &str, pos: u64) {
        let letter = self.said.iter().rev().find(|spoken| {
            spoken.from == RELAY && spoken.json.contains(id) && spoken.json.contains(r#""kind":"message""#)
        });
        let letter = letter.expect("the relay brought the letter").json.clone();
        let at = Say::decode(letter.as_bytes()).expect("the relay says chat").at;
        let id = MessageId::parse(id).expect("ids of the script are ids");
        let receipt = Receipt { pos: Some(pos), ..Receipt::taken(id, at) };
        let nick = Some(self.members[member].name.to_owned());
        self.speak(member, stream::RECEIPTS, nick, party(None, None), Said::Receipt(receipt));
    }

    fn leave(&mut self, member: usize) {
        self.tick();
        let Visitor { endpoint, handle, name, .. } = &mut self.members[member];
        endpoint.close(self.now, *handle, "done", "good night");
        self.said.push(Spoken { from: name, to: RELAY, json: closing("done", "good night") });
        self.run();
    }

    fn speak(&mut self, member: usize, stream: u32, nick: Option<String>, to: Party, said: Said<'_>) {
        let Visitor { endpoint, handle, name, address, .. } = &mut self.members[member];
        let from = Party { nick, room: None, ip: address.ip(), port: address.port() };
        let body = Say { from, to, at: self.now.wall, said }.encode();
        self.said.push(Spoken { from: name, to: RELAY, json: text(&body) });
        endpoint.submit(*handle, stream, body, SendOptions::default()).expect("a line fits");
        self.run();
    }

    /// Until nobody has anything to do at this moment.
    fn run(&mut self) {
        let mut buffer = Vec::new();
        let mut is_quiet = false;
        while !is_quiet {
            is_quiet = true;
            while let Some(event) = self.relay.poll_event() {
                if let Event::Job(job) = event {
                    let answer: Answer = self.ledger.apply(&job);
                    self.relay.handle_command(self.now, Command::Answer(answer));
                }
            }
            let mut for_members: BTreeMap<SocketAddr, Vec<Vec<u8>>> = BTreeMap::new();
            while let Some(transmit) = self.relay.poll_transmit(self.now, &mut buffer) {
                let datagram = buffer[..transmit.length].to_vec();
                for_members.entry(transmit.path.remote).or_default().push(datagram);
                is_quiet = false;
            }
            for member in &mut self.members {
                for mut datagram in for_members.remove(&member.address).unwrap_or_default() {
                    member.endpoint.handle_datagram(self.now, path(relay_address()), &mut datagram);
                }
                while let Some(transmit) = member.endpoint.poll_transmit(self.now, &mut buffer) {
                    let remote = Path { remote: member.address, local_ip: Some(relay_address().ip()) };
                    self.relay.handle_datagram(self.now, remote, &mut buffer[..transmit.length]);
                    is_quiet = false;
                }
                member.listen(&mut self.said);
            }
        }
    }
}

impl Visitor {
    /// Takes what came: news before receipts, as they were sent.
    fn listen(&mut self, said: &mut Vec<Spoken>) {
        for stream in [stream::WORDS, stream::RECEIPTS] {
            while let Some(received) = self.endpoint.take(self.handle, stream) {
                said.push(Spoken { from: RELAY, to: self.name, json: text(&received.body) });
            }
        }
        while let Some(event) = self.endpoint.poll_event() {
            let endpoint::Event::Connection { event: arq::Event::Closed(closed), .. } = event else {
                continue;
            };
            if let Closed::ByPeer { code, reason } = closed {
                said.push(Spoken { from: RELAY, to: self.name, json: closing(&code, &reason) });
            }
        }
    }
}

/// A close is no chat; it is shown as the frame that it is.
fn closing(code: &str, reason: &str) -> String {
    format!(r#"{{"t":"close","code":"{code}","reason":"{reason}"}}"#)
}

fn words(id: &str, text: &str) -> Said<'static> {
    let id = MessageId::parse(id).expect("ids of the script are ids");
    Said::Words(Words {
        id,
        text: text.to_owned().into(),
        sealed: None,
        is_echo: false,
        reply_to: None,
        place: None,
    })
}

fn party(room: Option<&str>, nick: Option<&str>) -> Party {
    let (room, nick) = (room.map(str::to_owned), nick.map(str::to_owned));
    Party { nick, room, ip: relay_address().ip(), port: relay_address().port() }
}

fn relay_address() -> SocketAddr {
    ([10, 0, 0, 9], 6_100).into()
}

fn path(remote: SocketAddr) -> Path {
    Path::to(remote)
}

fn text(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).expect("chat is text")
}

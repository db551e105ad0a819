//! Many members in one process, on one socket, each with an endpoint and a key of its own: to a relay a key is a person.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant as Clock};

use udpchat::arq::{Event as ConnectionEvent, SendOptions};
use udpchat::chat::{MessageId, News, Party, Request, Said, Say, Words, stream};
use udpchat::endpoint::{Endpoint, EndpointConfig, Event, Handle, Protection};
use udpchat::io::clock;
use udpchat::io::event_loop::{EventLoop, Handler, Machine, More};
use udpchat::io::signals::Signal;
use udpchat::io::socket::Socket;
use udpchat::machine::{Path, Transmit};
use udpchat::secure::KeyPair;
use udpchat::time::{Instant, Now};
use udpchat::wire;

/// Handshakes under way at once: as many as the relay keeps half-open, and some to spare.
const AT_ONCE: usize = 100;

static NEXT_RUN: AtomicU32 = AtomicU32::new(0);

/// Lines without a receipt. Beyond the ledger's group commits, within the member's window.
const UNDER_WAY: usize = 100;

/// Who is to come, and what they are to do.
#[derive(Clone, Copy)]
pub struct Plan {
    pub members: usize,
    pub members_per_room: usize,
    pub lines: usize,
    /// Whether the lines are history already, and the newest are asked for.
    pub history: bool,
    /// Whether the relay is.
    pub sealed: bool,
    /// The time between two lines; None: as fast as their receipts come.
    pub pace: Option<Duration>,
}

/// The members and the loop that they live in.
pub struct Crowd {
    event_loop: EventLoop,
    guests: Guests,
}

struct Guests {
    relay: SocketAddr,
    plan: Plan,
    /// The same people say other things in every run, and the relay knows those that were said before.
    run: String,
    members: Vec<Member>,
    /// Who a datagram is for.
    by_id: BTreeMap<Vec<u8>, usize>,
    /// What was heard last.
    body: Vec<u8>,
    /// Where the position and the text stood in the line that was heard last.
    pos_at: usize,
    text_at: usize,
    to_transmit: VecDeque<usize>,
    timers: BTreeSet<(Instant, usize)>,
    next_line_at: Clock,
    seated: usize,
    lost: usize,
    talks: bool,
    said: usize,
    confirmed: usize,
    finished: usize,
    started: Clock,
    delays_us: Vec<u32>,
}

struct Member {
    endpoint: Endpoint,
    handle: Handle,
    timer: Option<Instant>,
    is_seated: bool,
    heard: usize,
    last_pos: u64,
}

impl Crowd {
    pub fn connect(relay: SocketAddr, plan: Plan) -> Self {
        let socket = Socket::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let event_loop = EventLoop::new(socket, clock::Clock::new(), None).unwrap();
        let guests = Guests {
            relay,
            plan,
            run: format!("crowd{}", NEXT_RUN.fetch_add(1, Ordering::Relaxed)),
            members: Vec::new(),
            by_id: BTreeMap::new(),
            body: Vec::new(),
            pos_at: 0,
            text_at: 0,
            to_transmit: VecDeque::new(),
            timers: BTreeSet::new(),
            next_line_at: Clock::now(),
            seated: 0,
            lost: 0,
            talks: false,
            said: 0,
            confirmed: 0,
            finished: 0,
            started: Clock::now(),
            delays_us: Vec::new(),
        };
        Self { event_loop, guests }
    }

    pub fn run_until(&mut self, is_done: fn(&Self) -> bool) {
        while !is_done(self) {
            self.run_for(Duration::from_millis(2));
        }
    }

    pub fn run_for(&mut self, duration: Duration) {
        let mut until = Until { end: Clock::now() + duration, wake_at: None };
        self.event_loop.run(&mut self.guests, &mut until).unwrap();
    }

    /// The first member begins to talk.
    pub fn talk(&mut self) {
        self.guests.talks = true;
    }

    pub fn is_seated(&self) -> bool {
        self.guests.seated == self.guests.plan.members
    }

    pub fn has_heard_all(&self) -> bool {
        self.guests.finished == self.guests.plan.members
            && (self.guests.plan.history || self.guests.confirmed == self.guests.plan.lines)
    }

    pub fn lost(&self) -> usize {
        self.guests.lost
    }

    /// How long lines took to their hearers.
    pub fn delay(&mut self, quantile: f64) -> Duration {
        let delays = &mut self.guests.delays_us;
        delays.sort_unstable();
        let index = (quantile * (delays.len() - 1) as f64) as usize;
        Duration::from_micros(u64::from(delays[index]))
    }

    /// Every member heard every line once; the order was looked at when it came.
    pub fn check(&self) {
        assert!(self.guests.members.iter().all(|member| member.heard == self.guests.plan.lines));
        assert_eq!(self.guests.lost, 0);
    }
}

impl Guests {
    fn invite(&mut self, now: Now) {
        while self.members.len() < self.plan.members && self.members.len() - self.seated < AT_ONCE {
            let index = self.members.len();
            let mut endpoint = Endpoint::new(self.config(index), index as u64 + 1);
            let handle = endpoint.connect(now, &[Path::to(self.relay)], None).unwrap();
            let id = endpoint.connection(handle).unwrap().local_id();
            self.by_id.insert(id.to_string().into_bytes(), index);
            self.members.push(Member {
                endpoint,
                handle,
                timer: None,
                is_seated: false,
                heard: 0,
                last_pos: 0,
            });
            self.follow(now, index);
        }
    }

    fn config(&self, index: usize) -> EndpointConfig {
        let mut secret = [7; 32];
        secret[..8].copy_from_slice(&(index as u64).to_be_bytes());
        let protection = if self.plan.sealed {
            Protection::Sealed { keys: Arc::new(KeyPair::from_secret(secret)), seed: secret.into() }
        } else {
            Protection::Clear
        };
        EndpointConfig { protection, ..EndpointConfig::default() }
    }

    fn talk(&mut self, now: Now) {
        while self.talks
            && self.said < self.plan.lines
            && self.said - self.confirmed < UNDER_WAY
            && (self.plan.pace.is_none() || self.next_line_at <= Clock::now())
        {
            self.said += 1;
            self.next_line_at = Clock::now() + self.plan.pace.unwrap_or_default();
            let text = format!(
                "{:012} and words up to a hundred bytes, as people write them when they talk in a room of many {:06}",
                self.started.elapsed().as_micros(),
                self.said
            );
            let words = Words {
                id: MessageId::new(&self.run, self.said as u64),
                text: text.into(),
                sealed: None,
                is_echo: false,
                reply_to: None,
                place: None,
            };
            let room = Some(room_of(0, self.plan));
            self.say(now, 0, Party { room, ..party() }, Said::Words(words));
            self.follow(now, 0);
        }
    }

    fn say(&mut self, now: Now, index: usize, to: Party, said: Said<'_>) {
        let body = Say { from: party(), to, at: now.wall, said }.encode();
        let Member { endpoint, handle, .. } = &mut self.members[index];
        endpoint.submit(*handle, stream::WORDS, body, SendOptions::default()).unwrap();
    }

    fn ask(&mut self, now: Now, index: usize, id: &str, ask: Request) {
        let id = MessageId::parse(id).unwrap();
        self.say(now, index, party(), Said::Request { id, ask });
    }

    /// Takes a member's events, and sees that it is asked for what it has to send.
    fn follow(&mut self, now: Now, index: usize) {
        while let Some(event) = self.members[index].endpoint.poll_event() {
            let Event::Connection { handle, event } = event else { continue };
            match event {
                ConnectionEvent::Connected => {
                    let (nick, token) = (format!("m{index}"), format!("token-of-member-{index:06}"));
                    let request = Request::Enter {
                        nick,
                        token,
                        log: None,
                        runs: Vec::new(),
                        letters_after: 0,
                        everyone_after: None,
                    };
                    self.ask(now, index, "enter", request);
                }
                ConnectionEvent::Readable { stream } => {
                    let mut body = std::mem::take(&mut self.body);
                    while self.members[index].endpoint.take_into(handle, stream, &mut body).is_some() {
                        self.hear(now, index, &body);
                    }
                    self.body = body;
                }
                ConnectionEvent::Closed(_) => self.lost += 1,
                _ => {}
            }
        }
        self.to_transmit.push_back(index);
    }

    fn arm(&mut self, index: usize) {
        let member = &mut self.members[index];
        let next = member.endpoint.poll_timeout().map(|(at, _)| at);
        if member.timer != next {
            self.timers.extend(next.map(|at| (at, index)));
            if let Some(before) = std::mem::replace(&mut member.timer, next) {
                self.timers.remove(&(before, index));
            }
        }
    }

    fn hear(&mut self, now: Now, index: usize, body: &[u8]) {
        if body.starts_with(br#"{"kind":"message""#) {
            return self.hear_line(index, body);
        }
        match Say::decode(body).unwrap().said {
            Said::Receipt(receipt) if receipt.pos.is_some() => {
                assert!(receipt.ack, "{:?}", receipt.reason);
                self.confirmed += 1;
            }
            Said::Receipt(receipt) => assert!(receipt.ack, "{:?}", receipt.reason),
            Said::News(News::Entered { .. }) => {
                let room = room_of(index, self.plan);
                let history = Some(if self.plan.history { self.plan.lines as u64 } else { 0 });
                self.ask(now, index, "join", Request::Join { room, after: None, history, password: None });
            }
            Said::News(News::Room { .. }) => {
                self.members[index].is_seated = true;
                self.seated += 1;
            }
            _ => {}
        }
    }

    /// A line is looked at no longer than needed: all members share one processor here, and the relay is to be what is slow.
    fn hear_line(&mut self, index: usize, body: &[u8]) {
        let member = &mut self.members[index];
        let pos = number_after(body, br#","pos":"#, &mut self.pos_at);
        assert!(pos > member.last_pos, "lines in the order of their positions, once each");
        member.last_pos = pos;
        member.heard += 1;
        if member.heard == self.plan.lines {
            self.finished += 1;
        }
        if !self.plan.history {
            let said_us = number_after(body, br#","text":""#, &mut self.text_at);
            let heard_us = u64::try_from(self.started.elapsed().as_micros()).unwrap();
            self.delays_us.push(u32::try_from(heard_us - said_us).unwrap());
        }
    }
}

impl Machine for Guests {
    type Event = ();

    fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        // As the relay writes it; whatever is written otherwise is looked at as it may be.
        let index = match datagram.strip_prefix(br#"{"v":1,"to":""#).and_then(|rest| rest.get(..8)) {
            Some(to) => self.by_id.get(to),
            None => wire::glance(datagram)
                .and_then(|glance| glance.to)
                .and_then(|to| self.by_id.get(to.as_bytes())),
        };
        let Some(&index) = index else { return };
        self.members[index].endpoint.handle_datagram(now, path, datagram);
        self.follow(now, index);
    }

    fn stir(&mut self, _now: Now, _fresh: &[u8; 32]) {
        // Their keys keep nobody's secrets.
    }

    fn handle_timeout(&mut self, now: Now) {
        while let Some(&(at, index)) = self.timers.first().filter(|(at, _)| *at <= now.instant) {
            self.timers.remove(&(at, index));
            self.members[index].timer = None;
            self.members[index].endpoint.handle_timeout(now);
            self.follow(now, index);
        }
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        while let Some(&index) = self.to_transmit.front() {
            if let Some(transmit) = self.members[index].endpoint.poll_transmit(now, buffer) {
                return Some(transmit);
            }
            self.to_transmit.pop_front();
            self.arm(index);
        }
        None
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }
}

/// Runs the loop for a while.
struct Until {
    end: Clock,
    wake_at: Option<Instant>,
}

impl Handler<Guests> for Until {
    type Outcome = ();

    fn handle_input(&mut self, now: Now, guests: &mut Guests) -> More {
        guests.invite(now);
        guests.talk(now);
        let line_at = if guests.talks { guests.plan.pace.map(|_| guests.next_line_at) } else { None };
        let wake_at = line_at.map_or(self.end, |at| at.min(self.end));
        self.wake_at = Some(now.instant + wake_at.saturating_duration_since(Clock::now()));
        More::No
    }

    fn handle_signal(&mut self, _now: Now, _guests: &mut Guests, _signal: Signal) {
        std::process::exit(130);
    }

    fn handle_event(&mut self, _now: Now, _guests: &mut Guests, (): ()) {}

    fn finish_turn(&mut self, _now: Now, _guests: &mut Guests) -> Option<()> {
        (Clock::now() >= self.end).then_some(())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.wake_at
    }
}

/// The number behind the first `name`. It is looked for at the `hint` at first: where it was in the line before.
fn number_after(body: &[u8], name: &[u8], hint: &mut usize) -> u64 {
    if !body.get(*hint..).is_some_and(|rest| rest.starts_with(name)) {
        *hint = body.windows(name.len()).position(|window| window == name).unwrap();
    }
    body[*hint + name.len()..]
        .iter()
        .take_while(|digit| digit.is_ascii_digit())
        .fold(0, |number, digit| 10 * number + u64::from(digit - b'0'))
}

fn room_of(index: usize, plan: Plan) -> String {
    format!("#room{}", index / plan.members_per_room)
}

fn party() -> Party {
    Party { nick: None, room: None, ip: [127, 0, 0, 1].into(), port: 1 }
}

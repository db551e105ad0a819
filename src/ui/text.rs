//! All words that are shown to a person, in one place.
//!
//! English for now. A second language is a second file like this one with the same functions, and the choice between them is
//! made here; nothing outside this module (and the errors' own sentences) puts words on the screen. Whatever came from the
//! network passes the filter here, exactly once.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, Local};

use super::filter;
use super::notice::{Arrival, Member, Notice, Outgoing, Party, Presence, Receiver, Way};
use super::relay::text as relay;
use super::style::Tone;
use super::trust;
use super::view::{Question, Status};
use crate::peer::{CloseReason, FailReason};
use crate::time::WallTime;

/// Marks a run whose words everybody on the way can read.
const CLEAR: &str = "CLEAR: not encrypted";

/// Where a refused line can be found again.
pub const IN_HISTORY: &str = " (↑ brings the line back)";

/// A relay's new key was trusted, and not with everything.
pub const SECRET_WITHHELD: &str = "the operators' secret is not shown to the relay's new key; /admin FILE shows it, and makes you an operator";

/// A relay that nobody has ever seen may be anybody.
pub const SECRET_FOR_KNOWN_ONLY: &str = "the operators' secret is not shown to a relay that is met for the first time; /verify ADDR \
    shows its words, its start shows the right ones, then /admin FILE (a script names the key: --relay KEY@ADDR)";

/// One line to print, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its colour.
    pub tone: Tone,
    /// Its text, filtered.
    pub text: String,
}

/// How much of one message is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The most lines.
    pub lines: usize,
    /// The most characters of a line.
    pub line_chars: usize,
}

impl Limit {
    /// Everything: for a pipe, where somebody may want it.
    pub const NONE: Self = Self { lines: usize::MAX, line_chars: usize::MAX };
    /// A few screens: for a person, whom one message must not bury.
    pub const SCREEN: Self = Self { lines: 100, line_chars: 4_000 };
}

/// How the commands are written.
pub const HELP: &[&str] = &[
    "/msg WHO text    send to an address, or to a nick (of somebody at the relay,",
    "                 or listed by /who); without a receiver, go on there",
    "/to WHO          who gets the lines that begin with no slash: an address,",
    "                 a nick, a #room, * for everyone",
    "/reply text      answer the last message, whoever sent it",
    "/echo text       have a text come back, to see how long that takes: from the",
    "                 receiver, or at a relay from the relay",
    "/who [#room]     who is there",
    "/nick NAME       be called something else",
    "/verify [WHO]    words that both sides see alike if nobody is in between",
    "/trust WHO       accept a changed key, which was refused",
    "/id              your own key, as text and as words",
    "/close           end the conversation, and give up what waits for it; in a",
    "                 room, leave the room (as /part)",
    "/close ADDR      end the one with that address, which may be the relay's",
    "/quit            end the program (so does Ctrl-D on an empty line)",
    "//text           send a text that begins with a slash",
    "at a relay:",
    "/join ROOM       be in a room, and speak there; also comes back to a relay",
    "                 that was left or lost",
    "/part [#room] [reason]       be in it no longer",
    "/rooms                       which rooms there are",
    "/topic [text]                what the room is about (- for nothing)",
    "/broadcast text              tell every member of every room",
    "/invite NICK [#room]         let somebody in",
    "/room password | nopassword | invite on|off | hidden on|off",
    "                             who may come in",
    "operators:",
    "/admin FILE                  become one, by the secret in the file",
    "/kick NICK [#room] [reason]  /ban WHO [10m] [reason]  /unban WHO  /bans",
    "/mute NICK [10m]  /unmute NICK  /op NICK  /deop NICK",
    "/log [N]  /shutdown [reason]",
    "also: /eco /para /responder /usuarios /apelido /fechar /ajuda /sair /entrar",
    "      /deixar /salas /assunto /todos /convidar /sala /expulsar /banir",
    "      /silenciar /encerrar /verificar /confiar /identidade",
];

/// Refuses a block from the clipboard.
pub const PASTE_TOO_LONG: &str = "! what was pasted is longer than a message may be; nothing of it was kept";

/// The lines that tell a person of `notice`, which happened `at` this moment.
pub fn describe(notice: &Notice, at: WallTime, limit: Limit) -> Vec<Line> {
    match notice {
        Notice::Ready { address, reachable, busy, talks, at_relay, key } => {
            let hint = match (talks, at_relay) {
                (false, _) => "",
                (true, false) => " · /msg ADDR text · /help",
                (true, true) => " · /join ROOM · /help",
            };
            ready(*address, *reachable, *busy, if key.is_some() { "sealed" } else { CLEAR }, hint)
        }
        Notice::Connected { .. }
        | Notice::Renamed { .. }
        | Notice::Silent(_)
        | Notice::Resumed(_)
        | Notice::Closed { .. } => presence(notice),
        Notice::Message(arrival) => message(arrival, at, limit),
        Notice::Sent { message, text, is_echo } => sent(message, text, *is_echo, at, limit),
        Notice::SentAgain { message, text } => {
            let head = format!("{} → {}: ", time_of_day(at), receiver(&message.to));
            body(Tone::Own, head, text, "  … sending again, as the last run got no receipt", limit)
        }
        Notice::Kept { message } => {
            one(Tone::Doubt, format!("  ◷ kept, and sent again at the next start: {}", quoted(message)))
        }
        Notice::Waiting { party, count } => {
            let them = if *count == 1 { "it" } else { "them" };
            let messages = if *count == 1 { "1 message waits" } else { &format!("{count} messages wait") };
            let words =
                format!("* {messages} for {}, which is called again; /close gives {them} up", name(party));
            one(Tone::Doubt, words)
        }
        Notice::Held { message } => {
            one(Tone::Dim, format!("  ◷ held by the relay until its receiver comes: {}", quoted(message)))
        }
        Notice::Delivered { message, rtt } => {
            one(Tone::Good, format!("  ✓ delivered in {}: {}", milliseconds(*rtt), quoted(message)))
        }
        Notice::Failed { message, reason } => {
            one(Tone::Bad, format!("  ✗ failed ({}): {}", failure(reason), quoted(message)))
        }
        Notice::Unknown { message } => one(
            Tone::Doubt,
            format!("  ? unknown (the connection died; it may have arrived): {}", quoted(message)),
        ),
        Notice::Echoed { from, text, rtt, .. } => {
            let head = format!("{} {}: Echo: ", time_of_day(at), name(from));
            body(Tone::Plain, head, text, &format!("  (after {})", milliseconds(*rtt)), limit)
        }
        Notice::Receiver(to) => {
            let (to, hint) = (receiver(to), if matches!(to, Receiver::Peer(_)) { "ADDR" } else { "WHO" });
            one(Tone::Dim, format!("* lines without a slash go to {to} now; /to {hint} changes it"))
        }
        Notice::Relay(notice) => relay::describe(notice),
        Notice::Key { .. } | Notice::Verification { .. } | Notice::Identity(_) => trust::describe(notice),
        Notice::Roster(members) => roster(members),
        Notice::Help => HELP.iter().flat_map(|line| one(Tone::Dim, (*line).to_owned())).collect(),
        Notice::Info(text) => one(Tone::Dim, format!("* {text}")),
        Notice::Error(text) => one(Tone::Bad, format!("! {text}")),
    }
}

/// Somebody as shown: the name that it claims, always with the address that cannot be made up.
pub fn name(party: &Party) -> String {
    match &party.nick {
        Some(nick) => format!("{}@{}", filter::nick(nick), party.address),
        None => party.address.to_string(),
    }
}

/// A time span as shown.
pub fn milliseconds(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1000.0)
}

/// Whom words go to, as shown.
pub fn receiver(to: &Receiver) -> String {
    match to {
        Receiver::Peer(party) => name(party),
        Receiver::Room(room) => filter::nick(room),
        Receiver::Member(nick) => format!("{} (private)", relay::member(nick)),
        Receiver::Everyone => "everyone".to_owned(),
    }
}

/// Whoever wrote, as shown: a member of a relay goes by the name that is its alone there.
pub fn sender(party: &Party, is_relayed: bool) -> String {
    match &party.nick {
        Some(nick) if is_relayed => relay::member(nick),
        _ => name(party),
    }
}

/// What the terminal shows before the line that is being typed.
pub fn prompt(status: &Status) -> String {
    let words = match &status.receiver {
        Some(Receiver::Room(room)) => filter::nick(room),
        Some(to) => format!("to {}", receiver(to)),
        None if status.has_relay => "no receiver, /join ROOM or /msg WHO text".to_owned(),
        None => "no receiver, /msg ADDR text".to_owned(),
    };
    let state = match () {
        () if status.receiver_is_gone => " (gone)",
        () if status.receiver_waits => " (reconnecting)",
        () => "",
    };
    let mark = if status.is_clear { "CLEAR " } else { "" };
    format!("{mark}{words}{state}")
}

/// What the terminal shows before a secret.
pub fn question(question: &Question) -> String {
    match question {
        Question::Password { room } => format!("password of {} (Ctrl-C: none)", filter::nick(room)),
        Question::NewPassword { room } => format!("new password of {} (Ctrl-C: none)", filter::nick(room)),
    }
}

/// The same while a reply is being typed.
pub fn reply_prompt(sender: Option<&str>) -> String {
    sender.map_or_else(|| "nothing to reply to".to_owned(), |sender| format!("reply to {sender}"))
}

/// Confirms another nick of our own.
pub fn renamed(nick: &str) -> String {
    format!("you are called {} now", filter::nick(nick))
}

/// Tells that the relay has been called and may not be there yet.
pub fn calling_relay(relay: &str) -> String {
    format!("calling the relay at {relay}; what is typed meanwhile waits for it")
}

/// Confirms that a room was not joined because no password was given.
pub fn stayed_out(room: &str) -> String {
    let room = filter::nick(room);
    format!("you are not in {room}; /join {room} asks for the password again")
}

/// How long something lasts that began at `from`; None: until somebody ends it.
pub fn until(from: WallTime, seconds: Option<u64>) -> String {
    seconds.map_or_else(
        || "(for good)".to_owned(),
        |seconds| {
            let span = i64::try_from(seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
            let micros = from.as_unix_micros().saturating_add(span);
            format!("(until {})", date_and_time(WallTime::from_unix_micros(micros)))
        },
    )
}

/// Refuses a reply that would go to somebody else than its writer saw.
pub fn reply_moved(sender: Option<&str>) -> String {
    format!(
        "not sent: a newer message came from {} while you were writing; Enter sends the reply there, /msg ADDR elsewhere",
        sender.unwrap_or("nobody")
    )
}

pub(super) fn one(tone: Tone, text: String) -> Vec<Line> {
    vec![Line { tone, text }]
}

fn ready(
    address: SocketAddr,
    reachable: Option<SocketAddr>,
    busy: Option<u16>,
    protection: &str,
    hint: &str,
) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(busy) = busy {
        let text = format!("* port {busy} is in use by another program, so this one has {}", address.port());
        lines.push(Line { tone: Tone::Doubt, text });
    }
    let elsewhere = reachable.map_or_else(String::new, |reachable| format!(" (elsewhere: {reachable})"));
    let text = format!("* listening on {address}{elsewhere} · {protection}{hint}");
    lines.push(Line { tone: Tone::Dim, text });
    lines
}

/// The notices that tell who is there.
fn presence(notice: &Notice) -> Vec<Line> {
    match notice {
        Notice::Connected { party, .. } => one(Tone::Dim, format!("* {} is there", name(party))),
        Notice::Renamed { party, before } => {
            let before = before.as_deref().map_or_else(|| party.address.to_string(), filter::nick);
            one(Tone::Dim, format!("* {before} is now called {}", name(party)))
        }
        Notice::Silent(party) => {
            one(Tone::Doubt, format!("* {} does not answer; trying to reach it again", name(party)))
        }
        Notice::Resumed(party) => one(Tone::Dim, format!("* {} is back, nothing was lost", name(party))),
        Notice::Closed { party, reason } => closed(party, reason),
        _ => Vec::new(),
    }
}

fn closed(party: &Party, reason: &CloseReason) -> Vec<Line> {
    let (tone, reason) = reason_of_end(reason);
    one(tone, format!("* {}: {reason}", name(party)))
}

/// Why a connection ended, filtered, and how bad that is.
pub(super) fn reason_of_end(reason: &CloseReason) -> (Tone, String) {
    let tone = match reason {
        CloseReason::ByPeer { .. } | CloseReason::ByUs => Tone::Dim,
        CloseReason::NoAnswer { .. }
        | CloseReason::Silent
        | CloseReason::Replaced
        | CloseReason::Restarted => Tone::Doubt,
        CloseReason::Violation { .. } | CloseReason::Fault { .. } | CloseReason::WrongKey { .. } => Tone::Bad,
    };
    // Some reasons quote the other side.
    let reason = filter::shorten(&reason.to_string(), 250);
    (tone, reason)
}

fn message(arrival: &Arrival, at: WallTime, limit: Limit) -> Vec<Line> {
    let from = sender(&arrival.from, arrival.way != Way::Direct);
    let (before, after) = match &arrival.way {
        Way::Direct | Way::Room { is_only: true, .. } => (String::new(), ""),
        Way::Room { room, is_only: false } => (format!("{} ", filter::nick(room)), ""),
        Way::Letter { is_sealed: false } => (String::new(), " (private)"),
        Way::Letter { is_sealed: true } => (String::new(), " (private, sealed)"),
        Way::Everyone => (String::new(), " (to everyone)"),
    };
    let mut tail = String::new();
    if let Some(quote) = &arrival.reply_to {
        tail.push_str(&format!("  (reply to \"{}\")", filter::shorten(&quote.text, 32)));
    }
    if arrival.is_history {
        let head = format!("history {} {before}{from}{after}: ", date_and_time(arrival.sent_at));
        return body(Tone::Dim, head, &arrival.text, &tail, limit);
    }
    // Clocks differ by seconds everywhere; by more than a minute it is the message that is old, or the clock that is wrong.
    if at.as_unix_micros().abs_diff(arrival.sent_at.as_unix_micros()) > 60_000_000 {
        tail.push_str(&format!("  (sent {} by the sender's clock)", date_and_time(arrival.sent_at)));
    }
    let head = format!("{} {before}{from}{after}: ", time_of_day(at));
    body(Tone::Plain, head, &arrival.text, &tail, limit)
}

fn sent(message: &Outgoing, text: &str, is_echo: bool, at: WallTime, limit: Limit) -> Vec<Line> {
    let verb = if is_echo { "return, please: " } else { "" };
    let head = format!("{} → {}: {verb}", time_of_day(at), receiver(&message.to));
    body(Tone::Own, head, text, "  … sending", limit)
}

/// A text after `head`. Further lines begin with a bar, which no text of the network's can put at the margin.
fn body(tone: Tone, head: String, text: &str, tail: &str, limit: Limit) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut rest = filter::visible_lines(text);
    for (index, line) in rest.by_ref().take(limit.lines).enumerate() {
        let line = cut(line, limit.line_chars);
        let text = if index == 0 { format!("{head}{line}") } else { format!("         │ {line}") };
        lines.push(Line { tone, text });
    }
    let hidden = rest.count();
    if hidden > 0 {
        lines.push(Line {
            tone: Tone::Dim,
            text: format!("         │ … and {hidden} more lines (--json shows all)"),
        });
    }
    if let Some(last) = lines.last_mut() {
        last.text.push_str(tail);
    }
    lines
}

fn cut(mut line: String, chars: usize) -> String {
    if let Some((end, _)) = line.char_indices().nth(chars) {
        let hidden = line[end..].chars().count();
        line.truncate(end);
        line.push_str(&format!("… and {hidden} more characters (--json shows all)"));
    }
    line
}

fn quoted(message: &Outgoing) -> String {
    format!("\"{}\" to {}", message.preview, receiver(&message.to))
}

fn failure(reason: &FailReason) -> String {
    filter::shorten(&reason.to_string(), 120)
}

fn roster(members: &[Member]) -> Vec<Line> {
    if members.is_empty() {
        return one(Tone::Dim, "* nobody yet; /msg ADDR text begins a conversation".to_owned());
    }
    let line = |member: &Member| {
        let presence = match member.presence {
            Presence::Awaited => "waiting for an answer",
            Presence::Here => "here",
            Presence::Silent => "silent",
            Presence::Gone => "gone",
        };
        let text = format!("* {}: {presence} since {}", name(&member.party), time_of_day(member.since));
        Line { tone: Tone::Plain, text }
    };
    members.iter().map(line).collect()
}

pub(super) fn time_of_day(wall: WallTime) -> String {
    local(wall, "%H:%M:%S")
}

pub(super) fn date_and_time(wall: WallTime) -> String {
    local(wall, "%Y-%m-%d %H:%M:%S")
}

fn local(wall: WallTime, format: &str) -> String {
    let moment = DateTime::from_timestamp_micros(wall.as_unix_micros());
    moment.map_or_else(
        || "--:--:--".to_owned(),
        |moment| moment.with_timezone(&Local).format(format).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::MessageId;

    #[track_caller]
    fn check(notice: &Notice, limit: Limit, expected: &[&str]) {
        let lines: Vec<String> =
            describe(notice, WallTime::default(), limit).into_iter().map(|line| line.text).collect();
        assert_eq!(lines, expected);
    }

    fn party(nick: &str) -> Party {
        Party { address: ([127, 0, 0, 1], 6001).into(), nick: Some(nick.to_owned()) }
    }

    #[test]
    fn help_fits_a_usual_terminal() {
        for line in HELP {
            assert!(line.chars().count() <= 78, "{line}");
        }
    }

    #[test]
    fn names_from_the_network_are_filtered_and_bounded() {
        check(
            &Notice::Connected { party: party("\x1b[31mbob\u{202e}"), key: None },
            Limit::NONE,
            &["* ␛[31mbob\u{fffd}@127.0.0.1:6001 is there"],
        );
        let long = name(&party(&"x".repeat(1_000)));
        assert!(long.len() < 80, "{long}");
    }

    #[test]
    fn reasons_from_the_network_are_filtered() {
        let reason = CloseReason::ByPeer { words: "\x1b]0;title\x07".to_owned() };
        check(
            &Notice::Closed { party: party("bob"), reason },
            Limit::NONE,
            &["* bob@127.0.0.1:6001: the other side left: ␛]0;title␇"],
        );
    }

    #[test]
    fn messages_tell_how_they_came_in_words() {
        let arrival = |way, is_history| {
            let from = Party { address: ([127, 0, 0, 1], 6001).into(), nick: Some("ana".to_owned()) };
            let (id, text, sent_at) = (MessageId::new("x", 1), "oi".to_owned(), WallTime::default());
            Notice::Message(Arrival { id, from, way, is_history, text, sent_at, reply_to: None })
        };
        let room = |is_only| Way::Room { room: "#sala".to_owned(), is_only };
        let (time, date) = (time_of_day(WallTime::default()), date_and_time(WallTime::default()));
        for (way, is_history, expected) in [
            (Way::Direct, false, format!("{time} ana@127.0.0.1:6001: oi")),
            (room(true), false, format!("{time} ana: oi")),
            (room(false), false, format!("{time} #sala ana: oi")),
            (room(false), true, format!("history {date} #sala ana: oi")),
            (Way::Letter { is_sealed: false }, false, format!("{time} ana (private): oi")),
            (Way::Letter { is_sealed: true }, false, format!("{time} ana (private, sealed): oi")),
            (Way::Everyone, false, format!("{time} ana (to everyone): oi")),
        ] {
            check(&arrival(way, is_history), Limit::NONE, &[&expected]);
        }
    }

    #[test]
    fn prompt_tells_where_a_line_goes() {
        let prompt_of = |receiver, receiver_waits| {
            prompt(&Status { receiver, receiver_waits, has_relay: true, ..Status::default() })
        };
        assert_eq!(prompt_of(Some(Receiver::Room("#sala".to_owned())), false), "#sala");
        assert_eq!(prompt_of(Some(Receiver::Room("#sala".to_owned())), true), "#sala (reconnecting)");
        assert_eq!(prompt_of(Some(Receiver::Member("bob".to_owned())), false), "to bob (private)");
        assert_eq!(prompt_of(Some(Receiver::Everyone), false), "to everyone");
        assert_eq!(prompt_of(None, false), "no receiver, /join ROOM or /msg WHO text");
    }

    #[test]
    fn further_lines_cannot_pass_for_another_message() {
        let lines = body(Tone::Plain, "head: ".to_owned(), "one\n12:00:00 eve: two", "", Limit::NONE);
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["head: one", "         │ 12:00:00 eve: two"]);
    }

    #[test]
    fn one_message_cannot_bury_the_screen() {
        let limit = Limit { lines: 2, line_chars: 3 };
        let lines = body(Tone::Plain, String::new(), "abcd\ne\nf\ng", "", limit);
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        let expected = [
            "abc… and 1 more characters (--json shows all)",
            "         │ e",
            "         │ … and 2 more lines (--json shows all)",
        ];
        assert_eq!(texts, expected);
    }
}

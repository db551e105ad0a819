//! Everything that the proxy tells: lines for people on standard error, JSON lines and the account at the end
//! on standard output.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use udpchat::fault::{Direction, Fate, Link, Report, Row, Verdict};
use udpchat::io::output::Output;
use udpchat::io::trace::timestamp;
use udpchat::time::{Instant, Now};

use super::flows::{Flow, Flows};
use super::options::Setup;
use super::socket::Mishaps;

/// How often a line says that traffic flows: often enough to watch, seldom enough to read the rest.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// Beyond this the lines are handed over at once, although there is more to do; a pipe takes as much.
const BATCH_BYTES: usize = 64 * 1024;

/// Where the proxy's words go.
#[derive(Debug)]
pub(crate) struct Record {
    json: bool,
    quiet: bool,
    data: Output,
    /// Bytes in `data` that the system has not got.
    pending_bytes: usize,
    chatter: Output,
    start: Instant,
    last_status: Instant,
    told_received: u64,
    complained_at: Option<Instant>,
}

/// How the run begins.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) now: Now,
    pub(crate) listen: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) links: &'a [Link; 2],
    pub(crate) seed: u64,
}

/// How the run ends.
#[derive(Debug)]
pub(crate) struct End<'a> {
    pub(crate) now: Now,
    pub(crate) links: &'a [Link; 2],
    pub(crate) mishaps: Mishaps,
    pub(crate) clients: u64,
    pub(crate) seed: u64,
}

impl Record {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self {
            json: setup.json,
            quiet: setup.quiet,
            data: Output::stdout(),
            pending_bytes: 0,
            chatter: Output::stderr(),
            start: Instant::ZERO,
            last_status: Instant::ZERO,
            told_received: 0,
            complained_at: None,
        }
    }

    /// Whether each verdict is to be told.
    pub(crate) fn wants_verdicts(&self) -> bool {
        self.json
    }

    /// Whether nobody reads standard output any more.
    pub(crate) fn is_unheard(&self) -> bool {
        self.data.failure().is_some()
    }

    /// The proxy is ready.
    pub(crate) fn begin(&mut self, start: &Start<'_>) {
        let Start { now, listen, to, links: [up, down], seed } = start;
        self.start = now.instant;
        self.last_status = now.instant;
        let plans = if up.plan() == down.plan() {
            format!("both ways {}", up.plan())
        } else {
            format!("up {}; down {}", up.plan(), down.plan())
        };
        self.say(&format!("lossy-proxy: {listen} to {to}; {plans}; seed {seed}"));
        let fields = json!({
            "listen": listen, "to": to, "seed": seed,
            "up": up.plan().to_string(), "down": down.plan().to_string(),
        });
        self.tell(*now, "ready", &fields);
        self.flush();
    }

    /// A datagram's fate.
    pub(crate) fn verdict(&mut self, now: Now, direction: Direction, flow: Option<u64>, verdict: &Verdict) {
        let passage = match verdict.fate {
            Fate::Passes(passage) => Some(passage),
            Fate::Lost(_) => None,
        };
        let line = VerdictLine {
            event: "datagram",
            t_us: now.instant.since(self.start).as_micros(),
            ts: timestamp(now.wall),
            flow,
            dir: direction.name(),
            ordinal: verdict.ordinal,
            to: verdict.to.as_deref(),
            n: verdict.number,
            kinds: verdict.kinds.iter().map(|kind| kind.name()).collect(),
            bytes: verdict.length,
            verdict: match verdict.fate {
                Fate::Passes(_) => "pass",
                Fate::Lost(cause) => cause.name(),
            },
            delay_us: passage.map(|passage| passage.due.since(now.instant).as_micros()),
            held: passage.is_some_and(|passage| passage.held),
            duplicated: passage.is_some_and(|passage| passage.duplicated),
            flipped_bits: passage.map_or(0, |passage| passage.flipped_bits),
            cut_to: passage.and_then(|passage| passage.cut_to),
        };
        // Numbers, strings and lists of them always have a form in JSON.
        self.push(&serde_json::to_string(&line).unwrap_or_default());
    }

    /// A client's first datagram came.
    pub(crate) fn opened(&mut self, now: Now, flow: &Flow) {
        self.say(&format!("client {} is {}", flow.number, flow.client));
        self.tell_flow(now, "opened", flow);
    }

    /// A client was silent for long.
    pub(crate) fn forgotten(&mut self, now: Now, flow: &Flow) {
        self.say(&format!("client {}, {}, is silent and forgotten", flow.number, flow.client));
        self.tell_flow(now, "forgotten", flow);
    }

    /// The target sees a client at another address.
    pub(crate) fn rebound(&mut self, now: Now, flow: &Flow) {
        let port = flow.upstream.local_addr().map_or(0, |address| address.port());
        self.say(&format!("client {} has another source port, {port}", flow.number));
        self.tell_flow(now, "rebound", flow);
    }

    /// Something is wrong, and may be so many times a second; one line a second is told.
    pub(crate) fn complain_now_and_then(&mut self, now: Now, trouble: &dyn std::fmt::Display) {
        let second = Duration::from_secs(1);
        if self.complained_at.is_none_or(|before| now.instant.since(before) >= second) {
            self.complained_at = Some(now.instant);
            self.complain(trouble);
        }
    }

    /// Something is wrong. Said even if quiet.
    pub(crate) fn complain(&mut self, trouble: &dyn std::fmt::Display) {
        self.chatter.push_line(&format!("lossy-proxy: {trouble}"));
        self.chatter.flush();
    }

    /// When the next status line is due.
    pub(crate) fn next_status(&self, links: &[Link; 2]) -> Option<Instant> {
        let is_news = links.iter().map(Link::received).sum::<u64>() != self.told_received;
        (!self.quiet && is_news).then(|| self.last_status + STATUS_EVERY)
    }

    /// Says how it goes, if that is due.
    pub(crate) fn status(&mut self, now: Now, links: &[Link; 2], flows: &Flows) {
        if self.next_status(links).is_none_or(|due| due > now.instant) {
            return;
        }
        self.last_status = now.instant;
        self.told_received = links.iter().map(Link::received).sum();
        let parts: Vec<String> = links
            .iter()
            .map(|link| {
                let counts = link.statistics();
                let name = link.direction().name();
                format!("{name} {} in, {} lost, {} out", counts.received, counts.lost, counts.delivered)
            })
            .collect();
        let seconds = now.instant.since(self.start).as_secs();
        self.say(&format!("{seconds} s: {}; clients {}", parts.join("; "), flows.len()));
        // A busy loop hands nothing over for a while, and a status that is late is none.
        self.flush();
    }

    /// The account: what was configured against what happened.
    pub(crate) fn end(&mut self, end: &End<'_>) {
        let report = Report::new(&[&end.links[0], &end.links[1]]);
        let seconds = end.now.instant.since(self.start).as_secs_f64();
        let heading = format!("{seconds:.1} s, clients {}, seed {}\n", end.clients, end.seed);
        let table = format!("{heading}{report}{}", mishap_lines(&end.mishaps));
        if self.json {
            self.tell(end.now, "summary", &summary(end, &report));
            if !self.quiet {
                self.chatter.push(&table);
            }
        } else {
            self.data.push(&table);
        }
        self.flush();
    }

    /// Hands everything to the system.
    pub(crate) fn flush(&mut self) {
        self.pending_bytes = 0;
        self.data.flush();
        self.chatter.flush();
    }

    fn say(&mut self, line: &str) {
        if !self.quiet {
            self.chatter.push_line(line);
        }
    }

    fn tell_flow(&mut self, now: Now, event: &str, flow: &Flow) {
        let upstream = flow.upstream.local_addr().ok();
        self.tell(now, event, &json!({"flow": flow.number, "client": flow.client, "upstream": upstream}));
    }

    /// The event and its time in front, where people look first; the other fields come as they come.
    fn tell(&mut self, now: Now, event: &str, fields: &Value) {
        if self.json {
            let (t_us, ts) = (now.instant.since(self.start).as_micros(), timestamp(now.wall));
            let fields = fields.to_string();
            let rest = fields.strip_prefix('{').unwrap_or(&fields);
            self.push(&format!(r#"{{"event":"{event}","t_us":{t_us},"ts":"{ts}",{rest}"#));
        }
    }

    fn push(&mut self, line: &str) {
        self.data.push_line(line);
        self.pending_bytes += line.len() + 1;
        if self.pending_bytes >= BATCH_BYTES {
            self.flush();
        }
    }
}

/// A verdict as a JSON line.
#[derive(Serialize)]
struct VerdictLine<'a> {
    event: &'static str,
    /// Since the start.
    t_us: u128,
    ts: String,
    flow: Option<u64>,
    dir: &'static str,
    /// Its place among the datagrams of its flow in its direction, from 0.
    ordinal: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<&'static str>,
    bytes: usize,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_us: Option<u128>,
    #[serde(skip_serializing_if = "is_false")]
    held: bool,
    #[serde(skip_serializing_if = "is_false")]
    duplicated: bool,
    #[serde(skip_serializing_if = "is_zero")]
    flipped_bits: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_to: Option<usize>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the attribute calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the attribute calls it so")]
fn is_zero(count: &u8) -> bool {
    *count == 0
}

fn summary(end: &End<'_>, report: &Report) -> Value {
    let Mishaps { buffer_full, refused, failed, orphaned, turned_away } = end.mishaps;
    let mut object = json!({
        "seed": end.seed, "clients": end.clients, "buffer_full": buffer_full, "refused": refused,
        "failed": failed, "orphaned": orphaned, "turned_away": turned_away,
    });
    for (column, (name, link)) in report.columns.iter().zip(&report.links).enumerate() {
        object[*name] = json!({
            "received": link.received, "received_bytes": link.received_bytes, "lost": link.lost,
            "lost_waiting": link.lost_waiting, "under_way": link.under_way, "delivered": link.delivered,
            "delivered_bytes": link.delivered_bytes, "overtaken": link.overtaken,
            "transit_mean_us": micros(link.transit_mean()), "transit_max_us": micros(link.transit_max),
            "late_mean_us": micros(link.late_mean()), "late_max_us": micros(link.late_max),
            "rules": report.rows.iter().filter_map(|row| rule_summary(row, column)).collect::<Value>(),
        });
    }
    object
}

fn rule_summary(row: &Row, column: usize) -> Option<Value> {
    let counts = row.cells[column]?;
    Some(json!({
        "rule": row.rule.to_string(), "configured_ppm": row.rule.fault.share_ppm(),
        "effective_ppm": counts.effective_ppm(), "asked": counts.asked, "acted": counts.acted,
        "spared": counts.spared,
    }))
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1_000.0
}

/// One line for each kind of mishap that happened.
fn mishap_lines(mishaps: &Mishaps) -> String {
    let Mishaps { buffer_full, refused, failed, orphaned, turned_away } = *mishaps;
    let kinds = [
        (buffer_full, "not sent: the system's send buffer was full"),
        (refused, "answered by ICMP: nobody listens at the target, or the client is gone"),
        (failed, "not sent or not received: the system's call failed"),
        (orphaned, "not sent: the client was forgotten meanwhile"),
        (turned_away, "not taken: too many clients"),
    ];
    kinds.iter().filter(|(count, _)| *count > 0).map(|(count, text)| format!("{count} {text}\n")).collect()
}

//! The compact form of a plan: `drop=20% delay=50ms blackout=10s+5s/60s`, written and read.
//!
//! ```text
//! plan    = "perfect" / [item *(space item)]
//! item    = fault "=" value [":" kind *("," kind)] ["@" [from] ".." [until]]
//! value   = share                        drop duplicate truncate
//!         | share "/" packets            burst, with the mean length of a run
//!         | share "/" time               outage with its mean length; reorder, "/" time optional
//!         | share ["/" bits]             corrupt
//!         | time                         delay jitter
//!         | rate ["/" size]              rate, with its queue
//!         | size                         mtu
//!         | time "+" time ["/" time]     blackout: at + for / every
//!         | time ["/" time] | "/" time   rebind: at / every
//!         | count                        max-consecutive
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::wire::{Kind, Kinds};

use super::error::PlanError;
use super::loss::{Gilbert, MAX_MEAN_PACKETS};
use super::plan::{FAULT_NAMES, Fault, LinkPlan, Rule, WaitingLimit};
use super::quantity::{Quantity, QuantityError, parse_duration, parse_rate, parse_share, parse_size};

impl fmt::Display for LinkPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut items: Vec<String> = self.rules.iter().map(Rule::to_string).collect();
        items.extend(self.max_consecutive.map(|most| format!("max-consecutive={most}")));
        if self.waiting_limit != WaitingLimit::default() {
            let WaitingLimit { bytes, datagrams } = self.waiting_limit;
            items.push(format!("waiting={}/{datagrams}", Quantity::Size(bytes as u64)));
        }
        if items.is_empty() {
            items.push("perfect".into());
        }
        f.write_str(&items.join(" "))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.fault.name(), Value(self))?;
        for (place, kind) in self.only.iter().enumerate() {
            write!(f, "{}{}", if place == 0 { ":" } else { "," }, kind.name())?;
        }
        let from = if has_time_in_value(self.fault.name()) { Duration::ZERO } else { self.from };
        if from != Duration::ZERO || self.until.is_some() {
            f.write_str("@")?;
            if from != Duration::ZERO {
                write!(f, "{}", Quantity::Time(from))?;
            }
            f.write_str("..")?;
            if let Some(until) = self.until {
                write!(f, "{}", Quantity::Time(until))?;
            }
        }
        Ok(())
    }
}

/// What stands behind the equals sign.
struct Value<'a>(&'a Rule);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule { fault, from, .. } = *self.0;
        if let Some(share_ppm) = fault.share_ppm() {
            write!(f, "{}", Quantity::Share(share_ppm))?;
        }
        let every = |every: Option<Duration>| {
            every.map_or(String::new(), |every| format!("/{}", Quantity::Time(every)))
        };
        match fault {
            Fault::Drop { .. }
            | Fault::Duplicate { .. }
            | Fault::Truncate { .. }
            | Fault::Corrupt { bits: 1, .. } => Ok(()),
            Fault::Burst { mean_packets, .. } => write!(f, "/{mean_packets}"),
            Fault::Outage { mean: time, .. } | Fault::Reorder { hold: time, .. } => {
                write!(f, "/{}", Quantity::Time(time))
            }
            Fault::Corrupt { bits, .. } => write!(f, "/{bits}"),
            Fault::Delay { delay: time } | Fault::Jitter { most: time } => {
                write!(f, "{}", Quantity::Time(time))
            }
            Fault::Rate { bits_per_s, queue_bytes } => {
                write!(f, "{}/{}", Quantity::Rate(bits_per_s), Quantity::Size(queue_bytes))
            }
            Fault::Mtu { bytes } => write!(f, "{}", Quantity::Size(bytes.into())),
            Fault::Blackout { length, every: again } => {
                write!(f, "{}+{}{}", Quantity::Time(from), Quantity::Time(length), every(again))
            }
            Fault::Rebind { every: again } => write!(f, "{}{}", Quantity::Time(from), every(again)),
        }
    }
}

impl FromStr for LinkPlan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut plan = Self::default();
        for item in text.split_whitespace().filter(|item| *item != "perfect") {
            match item.split_once('=') {
                Some(("max-consecutive", most)) => plan.max_consecutive = Some(parse_count(item, most)?),
                Some(("waiting", limit)) => plan.waiting_limit = parse_waiting(item, limit)?,
                _ => plan.rules.push(item.parse()?),
            }
        }
        Ok(plan)
    }
}

impl FromStr for Rule {
    type Err = PlanError;

    fn from_str(item: &str) -> Result<Self, PlanError> {
        let (name, rest) = item.split_once('=').ok_or_else(|| PlanError::NoValue { item: item.into() })?;
        let (rest, span) = rest.split_once('@').map_or((rest, None), |(rest, span)| (rest, Some(span)));
        let (value, kinds) = rest.split_once(':').map_or((rest, None), |(value, kinds)| (value, Some(kinds)));
        let (fault, at) = parse_fault(item, name, value)?;
        let (from, until) = span.map_or(Ok((None, None)), |span| parse_span(item, span))?;
        if has_time_in_value(name) && from.is_some() {
            return Err(PlanError::TwoBeginnings { item: item.into() });
        }
        let only = kinds.map_or(Ok(Kinds::default()), parse_kinds)?;
        let rule = Self { fault, only, from: from.or(at).unwrap_or_default(), until };
        rule.check().map(|()| rule)
    }
}

impl Rule {
    /// Whether the rule's numbers can be reached together. A link runs with others too, as near to them as it
    /// can.
    pub fn check(&self) -> Result<(), PlanError> {
        let item = || self.to_string();
        if self.until.is_some_and(|until| until <= self.from) {
            return Err(PlanError::EmptySpan { item: item() });
        }
        match self.fault {
            Fault::Burst { share_ppm, mean_packets } => {
                let shortest = Gilbert::shortest_run(share_ppm);
                let possible = share_ppm == 1_000_000 || mean_packets >= shortest;
                if !possible || !(1..=MAX_MEAN_PACKETS).contains(&mean_packets) {
                    return Err(PlanError::ImpossibleRun {
                        item: item(),
                        shortest,
                        longest: MAX_MEAN_PACKETS,
                    });
                }
            }
            Fault::Outage { share_ppm, .. } if share_ppm > 900_000 && share_ppm != 1_000_000 => {
                return Err(PlanError::TooMuchOutage { item: item() });
            }
            Fault::Outage { mean: time, .. }
            | Fault::Blackout { every: Some(time), .. }
            | Fault::Rebind { every: Some(time) }
                if time < SHORTEST_PERIOD =>
            {
                return Err(PlanError::TooShort { item: item() });
            }
            _ => {}
        }
        Ok(())
    }
}

/// Below this a period is not one that a program on a busy machine could keep.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// Blackouts and rebindings have their beginning in front, where one looks for it.
fn has_time_in_value(name: &str) -> bool {
    matches!(name, "blackout" | "rebind")
}

/// The fault, and the beginning if it stands in the value.
fn parse_fault(item: &str, name: &str, value: &str) -> Result<(Fault, Option<Duration>), PlanError> {
    let quantity = |error| PlanError::Quantity { item: item.into(), error };
    let share = |text: &str| parse_share(text).map_err(quantity);
    let time = |text: &str| parse_duration(text).map_err(quantity);
    let missing = |example| PlanError::NoSecondValue { item: item.into(), example };
    let (first, second) =
        value.split_once('/').map_or((value, None), |(first, second)| (first, Some(second)));
    let fault = match (name, second) {
        ("drop", None) => Fault::Drop { share_ppm: share(first)? },
        ("duplicate", None) => Fault::Duplicate { share_ppm: share(first)? },
        ("truncate", None) => Fault::Truncate { share_ppm: share(first)? },
        ("burst", Some(run)) => {
            Fault::Burst { share_ppm: share(first)?, mean_packets: parse_count(item, run)? }
        }
        ("burst", None) => return Err(missing("burst=20%/4")),
        ("outage", Some(mean)) => Fault::Outage { share_ppm: share(first)?, mean: time(mean)? },
        ("outage", None) => return Err(missing("outage=5%/200ms")),
        ("reorder", hold) => {
            Fault::Reorder { share_ppm: share(first)?, hold: hold.map_or(Ok(Fault::DEFAULT_HOLD), time)? }
        }
        ("corrupt", bits) => Fault::Corrupt {
            share_ppm: share(first)?,
            bits: bits.map_or(Ok(1), |bits| parse_count(item, bits))?,
        },
        ("delay", None) => Fault::Delay { delay: time(first)? },
        ("jitter", None) => Fault::Jitter { most: time(first)? },
        ("rate", queue) => {
            let bits_per_s = parse_rate(first).map_err(quantity)?;
            let queue_bytes =
                queue.map_or(Ok(Fault::default_queue_bytes(bits_per_s)), parse_size).map_err(quantity)?;
            Fault::Rate { bits_per_s, queue_bytes }
        }
        ("mtu", None) => {
            let bytes = parse_size(first).map_err(quantity)?;
            Fault::Mtu {
                bytes: u32::try_from(bytes)
                    .map_err(|_| quantity(QuantityError::TooLarge { text: first.into() }))?,
            }
        }
        ("blackout", every) => {
            let (at, length) = first.split_once('+').ok_or_else(|| missing("blackout=10s+5s"))?;
            return Ok((
                Fault::Blackout { length: time(length)?, every: every.map(time).transpose()? },
                Some(time(at)?),
            ));
        }
        ("rebind", every) => {
            let every = every.map(time).transpose()?;
            let at = if first.is_empty() { every.unwrap_or_default() } else { time(first)? };
            return Ok((Fault::Rebind { every }, Some(at)));
        }
        (known, Some(_)) if FAULT_NAMES.contains(&known) => {
            return Err(PlanError::SecondValue { item: item.into() });
        }
        _ => return Err(PlanError::UnknownFault { item: item.into() }),
    };
    Ok((fault, None))
}

fn parse_span(item: &str, span: &str) -> Result<(Option<Duration>, Option<Duration>), PlanError> {
    let (from, until) = span.split_once("..").ok_or_else(|| PlanError::NoSpan { item: item.into() })?;
    let time = |text: &str| match text {
        "" => Ok(None),
        text => {
            parse_duration(text).map(Some).map_err(|error| PlanError::Quantity { item: item.into(), error })
        }
    };
    Ok((time(from)?, time(until)?))
}

fn parse_waiting(item: &str, limit: &str) -> Result<WaitingLimit, PlanError> {
    let (bytes, datagrams) = limit
        .split_once('/')
        .ok_or_else(|| PlanError::NoSecondValue { item: item.into(), example: "waiting=64MB/131072" })?;
    let bytes = parse_size(bytes).map_err(|error| PlanError::Quantity { item: item.into(), error })?;
    Ok(WaitingLimit {
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        datagrams: parse_count(item, datagrams)?,
    })
}

fn parse_count<T: FromStr>(item: &str, text: &str) -> Result<T, PlanError> {
    text.parse().map_err(|_| PlanError::Count { item: item.into(), text: text.into() })
}

/// A list of frame kinds with commas between them.
pub fn parse_kinds(text: &str) -> Result<Kinds, PlanError> {
    let mut kinds = Kinds::default();
    for name in text.split(',') {
        kinds.insert(Kind::from_name(name).ok_or_else(|| PlanError::UnknownKind { name: name.into() })?);
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        text.parse::<LinkPlan>().map(|plan| plan.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_fault_reads_back_as_written() {
        for text in [
            "perfect",
            "drop=20% burst=20%/4 outage=5%/200ms",
            "delay=50ms jitter=10ms reorder=1%/30ms duplicate=0.5%",
            "corrupt=1% corrupt=1%/3 truncate=1ppm".replace("1ppm", "0.0001%").as_str(),
            "rate=10mbit/300kB mtu=1200B",
            "blackout=10s+5s blackout=10s+5s/60s@..300s rebind=30s rebind=10s/30s",
            "drop=50%:msg,part@10s..20s delay=1s@..5s delay=2s@5s..",
            "drop=90% max-consecutive=3 waiting=1MB/100",
        ] {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn short_forms_are_completed() {
        assert_eq!(read("").unwrap(), "perfect");
        assert_eq!(read(" drop=0.2\n reorder=0.1 ").unwrap(), "drop=20% reorder=10%/25ms");
        assert_eq!(read("rate=10mbit rate=100kbit").unwrap(), "rate=10mbit/125kB rate=100kbit/15kB");
        assert_eq!(read("rebind=/30s corrupt=0.1/1").unwrap(), "rebind=30s/30s corrupt=10%");
        assert_eq!(read("delay=0 mtu=1200").unwrap(), "delay=0ms mtu=1200B");
    }

    #[test]
    fn a_wrong_plan_says_what_is_wrong_and_what_to_write() {
        for (text, message) in [
            ("drop", "`drop` has no value; write it like drop=20%"),
            ("drop=1.5", "`drop=1.5`: `1.5` is more than all; a share goes from 0 to 1, or 0% to 100%"),
            ("drop=20%/4", "`drop=20%/4` takes one value, without a slash"),
            ("delay=50", "`delay=50`: `50` has no unit that fits here; write it like 50ms or 1.5s"),
            ("burst=20%", "`burst=20%` needs a second value; write it like burst=20%/4"),
            ("blackout=5s", "`blackout=5s` needs a second value; write it like blackout=10s+5s"),
            ("drop=1%@5s", "`drop=1%@5s`: after the @ comes a span like 10s..20s, 10s.. or ..20s"),
            ("drop=1%@5s..5s", "`drop=1%@5s..5s` ends before it begins"),
            (
                "rebind=5s@1s..",
                "`rebind=5s@1s..` says twice when it begins; in front of the .. leave the time out",
            ),
            ("corrupt=1%/300", "`corrupt=1%/300`: `300` is not a whole number that fits here"),
        ] {
            assert_eq!(read(text), Err(message.into()));
        }
        assert!(read("dorp=1%").unwrap_err().starts_with("`dorp=1%` names no fault; there are drop, burst,"));
        assert!(read("drop=1%:mgs").unwrap_err().starts_with("`mgs` is no kind of frame; there are hello,"));
        assert!(read("burst=80%/2").unwrap_err().contains("a mean of 4 to 400 datagrams"));
    }
}

//! The command line: flags for both directions, and a plan for each where they differ.
//!
//! Nothing starts here; what comes out is a [`Setup`] that cannot be wrong any more, but for the system's
//! part.

use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use udpchat::fault::{
    Fault, LinkPlan, PlanError, QuantityError, Rule, parse_duration, parse_kinds, parse_rate, parse_share,
    parse_size,
};
use udpchat::io::resolve::Target;
use udpchat::wire::Kinds;

/// Makes a UDP link bad on purpose: loss, bursts, delay, reordering, damage and more, repeatable from a seed.
///
/// Point the client at --listen instead of the target. Each client gets a socket of its own towards the
/// target.
#[derive(Debug, Parser)]
#[command(name = "lossy-proxy", version, after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Where clients send to
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6200")]
    listen: Target,

    /// The target, where everything goes on to
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6000")]
    to: Target,

    /// Lose this share of the datagrams: 0.2 or 20%
    #[arg(long, value_name = "SHARE", value_parser = parse_share, help_heading = BOTH)]
    drop: Option<u32>,

    /// With --drop: lose them in runs of so many datagrams (4), or for so long (200ms), on average
    #[arg(long, value_name = "RUN", value_parser = parse_run, requires = "drop", help_heading = BOTH)]
    burst: Option<Run>,

    /// Spare a datagram after losing so many of its client in a row
    #[arg(long, value_name = "COUNT", help_heading = BOTH)]
    max_consecutive: Option<u32>,

    /// Deliver later by this time, in each direction: 50ms makes a round trip 100ms longer
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = BOTH)]
    delay: Option<Duration>,

    /// Deliver later by up to this time, drawn for each datagram; keeps their order
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = BOTH)]
    jitter: Option<Duration>,

    /// Hold this share back for a time (25ms), so that others overtake
    #[arg(long, value_name = "SHARE[/TIME]", value_parser = rule_parser("reorder"), help_heading = BOTH)]
    reorder: Option<Rule>,

    /// Deliver this share twice
    #[arg(long, value_name = "SHARE", value_parser = parse_share, help_heading = BOTH)]
    duplicate: Option<u32>,

    /// Flip a bit, or so many, in this share
    #[arg(long, value_name = "SHARE[/BITS]", value_parser = rule_parser("corrupt"), help_heading = BOTH)]
    corrupt: Option<Rule>,

    /// Cut the end off this share
    #[arg(long, value_name = "SHARE", value_parser = parse_share, help_heading = BOTH)]
    truncate: Option<u32>,

    /// Let through no more than this: 500kbit, 10mbit
    #[arg(long, value_name = "RATE", value_parser = parse_rate, help_heading = BOTH)]
    rate: Option<u64>,

    /// With --rate: what may wait for its turn, else a tenth of a second's worth
    #[arg(long, value_name = "SIZE", value_parser = parse_size, requires = "rate", help_heading = BOTH)]
    queue: Option<u64>,

    /// Lose datagrams larger than this: 1200
    #[arg(long, value_name = "SIZE", value_parser = rule_parser("mtu"), help_heading = BOTH)]
    mtu: Option<Rule>,

    /// Lose everything: 10s+5s from 10s on for 5s, 10s+5s/60s again every 60s
    #[arg(long, value_name = "AT+FOR[/EVERY]", value_parser = rule_parser("blackout"), help_heading = BOTH)]
    blackout: Option<Rule>,

    /// Change the address that the target sees: 30s once, /30s every 30s, 10s/30s both
    #[arg(long, value_name = "AT[/EVERY]", value_parser = rule_parser("rebind"), help_heading = BOTH)]
    rebind: Option<Rule>,

    /// Let the faults that choose datagrams choose only those with such frames: msg,part
    #[arg(long, value_name = "KINDS", value_parser = parse_kinds, help_heading = BOTH)]
    only: Option<Kinds>,

    /// The plan of the direction from the clients to the target; a fault in it replaces the flag of that name
    #[arg(long, value_name = "PLAN", help_heading = ONE)]
    up: Option<LinkPlan>,

    /// The plan of the direction back
    #[arg(long, value_name = "PLAN", help_heading = ONE)]
    down: Option<LinkPlan>,

    /// Decide the same again about the same datagrams; chosen at random and printed if absent
    #[arg(long, value_name = "NUMBER", help_heading = RUN)]
    seed: Option<u64>,

    /// Stop after this time, as on Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, help_heading = RUN)]
    stop_after: Option<Duration>,

    /// Print one JSON object a line on standard output: each datagram with its verdict, and a summary
    #[arg(long, help_heading = RUN)]
    json: bool,

    /// Print nothing while it runs
    #[arg(long, short, help_heading = RUN)]
    quiet: bool,
}

const BOTH: &str = "Faults in both directions";
const ONE: &str = "Faults in one direction";
const RUN: &str = "The run";

const EXAMPLES: &str = "\
Examples:
  lossy-proxy --drop 20%
      loses a fifth, each way
  lossy-proxy --drop 5% --burst 4 --seed 7
      loses a twentieth in runs of 4 on average, and the same ones again with the same seed
  lossy-proxy --delay 40ms --jitter 10ms --rate 2mbit
      is a slow and uneven line
  lossy-proxy --delay 20ms --up 'drop=30%:msg' --down 'delay=300ms drop=100%@10s..20s'
      loses messages on the way there; the way back is long, and closed from 10s to 20s

A plan is a list of FAULT=VALUE[:KINDS][@FROM..UNTIL] with spaces between. The faults are
those above, and burst=SHARE/COUNT, outage=SHARE/TIME, rate=RATE/SIZE in place of --burst
and --queue.";

/// How often losses come together.
#[derive(Clone, Copy, Debug)]
enum Run {
    Packets(u32),
    Time(Duration),
}

/// What to do, checked.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) listen: Target,
    pub(crate) to: Target,
    pub(crate) up: LinkPlan,
    pub(crate) down: LinkPlan,
    /// None stands for any.
    pub(crate) seed: Option<u64>,
    pub(crate) stop_after: Option<Duration>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Options {
    /// Puts flags and plans together. The error knows the usage and its exit code.
    pub(crate) fn into_setup(mut self) -> Result<Setup, clap::Error> {
        let usage = |text: String| Self::command().error(ErrorKind::ValueValidation, text);
        let both = self.both_directions();
        for rule in &both.rules {
            rule.check().map_err(|error| usage(error.to_string()))?;
        }
        let down_own = self.down.take().unwrap_or_default();
        if down_own.rules.iter().any(is_rebinding) {
            return Err(usage(
                "only the target can see another address, so `rebind` belongs into --up".into(),
            ));
        }
        let up = overridden(&both, self.up.take().unwrap_or_default());
        let mut down = overridden(&both, down_own);
        down.rules.retain(|rule| !is_rebinding(rule));
        let Self { listen, to, seed, stop_after, json, quiet, .. } = self;
        Ok(Setup { listen, to, up, down, seed, stop_after, json, quiet })
    }

    fn both_directions(&self) -> LinkPlan {
        let drop = self.drop.map(|share_ppm| match self.burst {
            None => Fault::Drop { share_ppm },
            Some(Run::Packets(mean_packets)) => Fault::Burst { share_ppm, mean_packets },
            Some(Run::Time(mean)) => Fault::Outage { share_ppm, mean },
        });
        let rate = self.rate.map(|bits_per_s| {
            let queue_bytes = self.queue.unwrap_or(Fault::default_queue_bytes(bits_per_s));
            Fault::Rate { bits_per_s, queue_bytes }
        });
        let rules = [
            drop.map(Fault::always),
            self.delay.map(|delay| Fault::Delay { delay }.always()),
            self.jitter.map(|most| Fault::Jitter { most }.always()),
            self.reorder,
            self.duplicate.map(|share_ppm| Fault::Duplicate { share_ppm }.always()),
            self.corrupt,
            self.truncate.map(|share_ppm| Fault::Truncate { share_ppm }.always()),
            rate.map(Fault::always),
            self.mtu,
            self.blackout,
            self.rebind,
        ];
        let mut rules: Vec<Rule> = rules.into_iter().flatten().collect();
        for rule in rules.iter_mut().filter(|rule| rule.fault.share_ppm().is_some()) {
            rule.only = self.only.unwrap_or_default();
        }
        LinkPlan { rules, max_consecutive: self.max_consecutive, ..LinkPlan::default() }
    }
}

/// The plan for both directions with one direction's own in front: what that names, it replaces.
fn overridden(both: &LinkPlan, own: LinkPlan) -> LinkPlan {
    let is_loss =
        |fault: &Fault| matches!(fault, Fault::Drop { .. } | Fault::Burst { .. } | Fault::Outage { .. });
    // The flag --drop is a burst or an outage if --burst says so, hence the three count as one.
    let same = |a: &Fault, b: &Fault| a.name() == b.name() || (is_loss(a) && is_loss(b));
    let replaced = |rule: &&Rule| own.rules.iter().any(|own| same(&own.fault, &rule.fault));
    let kept = both.rules.iter().filter(|rule| !replaced(rule)).copied();
    let rules = kept.chain(own.rules.iter().copied()).collect();
    LinkPlan { rules, max_consecutive: own.max_consecutive.or(both.max_consecutive), ..own }
}

fn is_rebinding(rule: &Rule) -> bool {
    matches!(rule.fault, Fault::Rebind { .. })
}

fn rule_parser(name: &'static str) -> impl Fn(&str) -> Result<Rule, PlanError> + Clone {
    move |value| format!("{name}={value}").parse()
}

fn parse_run(text: &str) -> Result<Run, QuantityError> {
    text.parse().map(Run::Packets).or_else(|_| parse_duration(text).map(Run::Time))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two plans that a command line leads to, or the first line of the complaint.
    fn plans(line: &str) -> Result<(String, String), String> {
        let words = line.split(' ').filter(|word| !word.is_empty()).map(|word| word.replace('+', " "));
        Options::try_parse_from(std::iter::once("lossy-proxy".to_string()).chain(words))
            .and_then(Options::into_setup)
            .map(|setup| (setup.up.to_string(), setup.down.to_string()))
            .map_err(|error| error.to_string().lines().next().unwrap_or_default().to_string())
    }

    #[test]
    fn the_definition_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn flags_are_for_both_directions() {
        let (up, down) =
            plans("--drop 0.2 --delay 50ms --jitter 10ms --rate 10mbit --queue 300kB --mtu 1200").unwrap();
        assert_eq!(up, "drop=20% delay=50ms jitter=10ms rate=10mbit/300kB mtu=1200B");
        assert_eq!(up, down);
        assert_eq!(plans("").unwrap().0, "perfect");
    }

    #[test]
    fn a_burst_says_how_drops_come() {
        assert_eq!(plans("--drop 20% --burst 4").unwrap().0, "burst=20%/4");
        assert_eq!(plans("--drop 20% --burst 200ms").unwrap().0, "outage=20%/200ms");
    }

    #[test]
    fn one_direction_replaces_what_it_names_and_keeps_the_rest() {
        let (up, down) =
            plans("--drop 5% --burst 4 --delay 9ms --max-consecutive 3 --up drop=1%+jitter=1ms").unwrap();
        assert_eq!(up, "delay=9ms drop=1% jitter=1ms max-consecutive=3");
        assert_eq!(down, "burst=5%/4 delay=9ms max-consecutive=3");
    }

    #[test]
    fn only_concerns_faults_that_choose() {
        assert_eq!(plans("--drop 5% --delay 9ms --only ack,msg").unwrap().0, "drop=5%:ack,msg delay=9ms");
    }

    #[test]
    fn only_the_target_sees_another_address() {
        assert_eq!(plans("--rebind /30s").unwrap(), ("rebind=30s/30s".into(), "perfect".into()));
        assert!(plans("--down rebind=1s").unwrap_err().contains("belongs into --up"));
    }

    #[test]
    fn wrong_values_are_refused_with_what_to_write() {
        for (line, part) in [
            ("--drop 1.5", "a share goes from 0 to 1"),
            ("--drop 80% --burst 2", "a mean of 4 to 400"),
            ("--up dorp=1%", "names no fault"),
            ("--delay 50", "write it like 50ms"),
            ("--to localhost", "has no port"),
            ("--only mgs", "is no kind of frame"),
        ] {
            let complaint = plans(line).unwrap_err();
            assert!(complaint.contains(part), "{complaint}");
        }
        assert!(plans("--burst 4").is_err() && plans("--queue 1kB").is_err());
    }
}

//! A node that is a whole relay with its disk.

use std::time::Duration;

use super::deed::Deed;
use super::disk::Disk;
use super::node::{Estate, Node, Report, Wish};
use super::scenario::{Action, HallPlan};
use crate::endpoint::{Endpoint, EndpointConfig};
use crate::ledger::{MailboxBounds, folded};
use crate::machine::{Path, Transmit};
use crate::random::keyed_draw;
use crate::relay::{Command, Event, Flood, Relay, RelayConfig, RelayLimits, What};
use crate::secure::StretchCost;
use crate::time::{Instant, Now};

/// A relay and its disk.
#[derive(Debug)]
pub struct Hall {
    relay: Relay,
    /// None once it was killed.
    disk: Option<Disk>,
    deeds: Vec<Deed>,
    plan: HallPlan,
}

impl Hall {
    /// A relay on what the disk holds.
    pub fn new(plan: HallPlan, disk: Option<Disk>, seed: u64, now: Now) -> Self {
        let of_disk = keyed_draw(&[seed, 1]);
        let disk = disk.map_or_else(|| Disk::new(plan, of_disk), |disk| disk.after_kill(of_disk));
        let relay = Relay::new(config(&plan), disk.foundation(), seed, now);
        let deeds = vec![Deed::Opened { log: disk.log() }];
        Self { relay, disk: Some(disk), deeds, plan }
    }

    /// How its endpoint behaves.
    pub fn endpoint_config() -> EndpointConfig {
        RelayConfig::default().endpoint
    }

    fn disk(&mut self) -> &mut Disk {
        let plan = self.plan;
        // A killed hall does nothing any more; whatever it would ask is for nobody.
        self.disk.get_or_insert_with(|| Disk::new(plan, 0))
    }
}

fn config(plan: &HallPlan) -> RelayConfig {
    let default = RelayLimits::default();
    let flood = plan.per_second.map(|per_second| Flood { burst: per_second, per_second });
    RelayConfig {
        local_port: 6_000,
        limits: RelayLimits {
            flood: flood.or(default.flood),
            mailbox: MailboxBounds { letters: plan.mailbox_letters, ..default.mailbox },
            ..default
        },
        ..RelayConfig::default()
    }
}

impl Node for Hall {
    fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        self.relay.handle_datagram(now, path, datagram);
    }

    fn handle_timeout(&mut self, now: Now) {
        let mut deeds = std::mem::take(&mut self.deeds);
        self.disk().handle_timeout(now.instant, &mut deeds);
        self.deeds = deeds;
        while let Some(answer) = self.disk().poll_answer(now.instant) {
            self.relay.handle_command(now, Command::Answer(answer));
        }
        self.relay.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        self.relay.poll_transmit(now, buffer)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let relay = self.relay.poll_timeout().map(|(at, _)| at);
        relay.into_iter().chain(self.disk.as_ref().and_then(Disk::poll_timeout)).min()
    }

    fn follow(&mut self, now: Now, reports: &mut Vec<Report>) {
        reports.extend(self.deeds.drain(..).map(Report::Deed));
        while let Some(event) = self.relay.poll_event() {
            match event {
                Event::Job(job) => self.disk().push(job),
                Event::Stretch { ticket, stretch } => {
                    let outcome = stretch.carry_out(StretchCost::LEAST);
                    self.relay.handle_command(now, Command::Stretched { ticket, outcome });
                }
                Event::Log(record) => reports.extend(deed(record.what).map(Report::Deed)),
                Event::LogWanted { .. } | Event::ShuttingDown => {}
            }
        }
        self.disk().begin(now.instant);
    }

    fn act(&mut self, now: Now, wish: &Wish<'_>, reports: &mut Vec<Report>) {
        match wish.action {
            Action::Full { length } => {
                self.disk().fill_up(now.instant + *length);
                reports.push(Report::Deed(Deed::Told { what: "disk-full" }));
            }
            Action::Shutdown => {
                self.relay.handle_command(now, Command::Shutdown { reason: "good night".to_owned() });
            }
            _ => {}
        }
    }

    fn endpoint(&self) -> &Endpoint {
        self.relay.endpoint()
    }

    fn is_reporting(&self) -> bool {
        false
    }

    fn is_idle(&self) -> bool {
        self.relay.is_idle() && self.disk.as_ref().is_none_or(Disk::is_idle)
    }

    fn estate(&mut self) -> Estate {
        self.disk.take().map_or(Estate::Nothing, |disk| Estate::Disk(Box::new(disk)))
    }

    fn attendance(&self) -> Option<(usize, usize)> {
        Some((self.relay.member_count(), self.relay.room_count()))
    }
}

/// The longest that a hall's disk takes for one thing: it waits for a commit under way, for its own, and for the answer.
pub fn worst_job(plan: &HallPlan) -> Duration {
    plan.commit.1 * 2 + plan.answer_delay
}

fn deed(what: What) -> Option<Deed> {
    let node = |address| super::network::node_of(address);
    match what {
        What::Entered { nick, address } => Some(Deed::Admitted { nick: folded(&nick), node: node(address) }),
        What::Renamed { before, nick } => {
            Some(Deed::Renamed { before: folded(&before), nick: folded(&nick) })
        }
        What::Disconnected { nick: Some(nick), address, .. } => {
            Some(Deed::Dismissed { nick: folded(&nick), node: node(address) })
        }
        What::Trouble { .. } => Some(Deed::Told { what: "trouble-logged" }),
        _ => None,
    }
}

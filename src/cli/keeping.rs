//! What outlives a run of direct messages: which of others' were shown, and which of ours have no receipt. From the profile on disk
//! to the peer's configuration, and back before anything leaves.
//!
//! What was shown is written after that and before the loop sends (UC-CHAT-017): a program that dies in between may show a message
//! twice and never loses one. A file that cannot be used is told, and the run goes on without it.

use std::path::Path;
use std::time::Duration;

use crate::peer::again::OutboxChange;
use crate::peer::shown::Shown;
use crate::peer::{Event, Kept, Peer, PeerConfig, Repeats};
use crate::store::outbox::Outbox;
use crate::store::profile::ProfileError;
use crate::store::shown::ShownFile;
use crate::time::Now;
use crate::ui::notice::Notice;

/// Messages that are shown before they are written down: so many a program shows twice at most that is killed in between. Each
/// alone would cost as much as everything else that is done for it.
const SHOWN_AT_ONCE: usize = 16;

/// The files of a profile, as far as they can be used.
pub(super) struct Keeping {
    shown: Option<ShownFile>,
    outbox: Option<Outbox>,
    /// Messages that were delivered, which is to be told before they leave the outbox.
    confirmed: Vec<OutboxChange>,
    /// Messages that came since the last time.
    unwritten: usize,
    /// Whether what is shown is remembered for as long as we have our key.
    remembers: bool,
    remembered: Shown,
    /// What the run before this one left without a receipt.
    left: Vec<Kept>,
}

impl Keeping {
    /// What is in the profile's folder, for a program that shows messages; None: nothing is kept beyond the run.
    pub(super) fn open(folder: Option<&Path>, notices: &mut Vec<Notice>) -> Self {
        let (remembered, left) = (Shown::default(), Vec::new());
        let mut keeping = Self {
            shown: None,
            outbox: None,
            confirmed: Vec::new(),
            unwritten: 0,
            remembers: true,
            remembered,
            left,
        };
        let Some(folder) = folder else { return keeping };
        match ShownFile::open(folder) {
            Ok((file, entries, damage)) => {
                (keeping.shown, keeping.remembered) = (Some(file), Shown::new(entries));
                damage
                    .iter()
                    .for_each(|damage| tell(notices, damage, "some that was shown may be shown again"));
            }
            Err(error) => {
                keeping.remembers = false;
                tell(notices, &error, "what others have no receipt for, they cannot send again");
            }
        }
        keeping
    }

    /// The same and what is to be said again, for a program that has the profile for itself.
    pub(super) fn open_all(folder: Option<&Path>, notices: &mut Vec<Notice>) -> Self {
        let mut keeping = Self::open(folder, notices);
        let Some(folder) = folder else { return keeping };
        match Outbox::open(folder) {
            Ok((outbox, left, damage)) => {
                (keeping.outbox, keeping.left) = (Some(outbox), left);
                damage
                    .iter()
                    .for_each(|damage| tell(notices, damage, "some messages of the last run may be lost"));
            }
            Err(error) => tell(notices, &error, "messages without a receipt end with this run"),
        }
        keeping
    }

    /// Puts what was shown into what a peer is started with.
    pub(super) fn complete_config(&mut self, config: PeerConfig) -> PeerConfig {
        PeerConfig { remembers: self.remembers, shown: std::mem::take(&mut self.remembered), ..config }
    }

    /// How words are said again by somebody with this patience.
    pub(super) const fn repeats(&self, patience: Option<Duration>) -> Repeats {
        Repeats { patience, is_kept: self.outbox.is_some() }
    }

    /// What the run before this one left without a receipt, in order. Asked for once.
    pub(super) fn take_left(&mut self) -> Vec<Kept> {
        std::mem::take(&mut self.left)
    }

    /// Writes down what is about to leave, before it is said to be on its way.
    pub(super) fn write_outbox(&mut self, peer: &mut Peer) {
        let is_confirmed = |change: &OutboxChange| matches!(change, OutboxChange::Confirm(_));
        let (confirmed, changes): (Vec<_>, Vec<_>) =
            std::iter::from_fn(|| peer.poll_outbox()).partition(is_confirmed);
        self.confirmed.extend(confirmed);
        self.apply(peer, changes);
    }

    /// Takes out of the outbox what was told to be delivered.
    pub(super) fn write_confirmed(&mut self, peer: &mut Peer) {
        let confirmed = std::mem::take(&mut self.confirmed);
        self.apply(peer, confirmed);
    }

    fn apply(&mut self, peer: &mut Peer, changes: Vec<OutboxChange>) {
        if let Some(Err(error)) = self.outbox.as_mut().map(|outbox| outbox.apply(changes)) {
            log::error!("messages without a receipt end with this run: {error}");
            // Half of them would be no better: the next run would say what this one called unknown.
            self.outbox.take().into_iter().for_each(Outbox::clear);
            peer.stop_keeping();
        }
    }

    /// Takes note of an event; tells whether what came is to be shown and written down before anything else comes.
    pub(super) fn count(&mut self, event: &Event) -> bool {
        self.unwritten += usize::from(matches!(event, Event::Message(incoming) if !incoming.is_relayed));
        self.unwritten >= SHOWN_AT_ONCE
    }

    /// Writes down what was shown, once it was.
    pub(super) fn write_shown(&mut self, now: Now, peer: &mut Peer) {
        self.unwritten = 0;
        let shown: Vec<_> = std::iter::from_fn(|| peer.poll_shown()).collect();
        if let Some(Err(error)) = self.shown.as_ref().map(|file| file.append(&shown)) {
            log::error!("after a restart some that was shown may be shown again: {error}");
            self.shown = None;
            peer.stop_remembering(now);
        }
    }
}

fn tell(notices: &mut Vec<Notice>, error: &ProfileError, consequence: &str) {
    notices.push(Notice::Info(format!("{error}; {consequence}")));
}

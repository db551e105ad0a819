//! Messages without a receipt, at both ends of a run: those that the run before left are said again before anything else, and those
//! that this one leaves are told. None goes to another key than the one that it was for.

use super::super::complain;
use super::super::directory::Obstacle;
use super::super::exit::Exit;
use super::{Ending, Talk};
use crate::io::resolve::Target;
use crate::peer::{Command, ConversationId, Event, Kept, Peer};
use crate::secure::PublicKey;
use crate::time::Now;
use crate::ui::filter;
use crate::ui::notice::Notice;

/// Messages for one receiver.
pub(super) struct Left {
    to: String,
    key: PublicKey,
    words: Vec<Kept>,
}

impl Talk {
    /// What the run before this one left, in order.
    pub(in crate::cli) fn take_left(&mut self) {
        for kept in self.keeping.take_left() {
            let same = self.left.iter_mut().find(|left| (&left.to, left.key) == (&kept.to, kept.key));
            match same {
                Some(left) => left.words.push(kept),
                None => self.left.push_back(Left { to: kept.to.clone(), key: kept.key, words: vec![kept] }),
            }
        }
    }

    /// Says again what is left; false: a name is being looked up for it, and what is newer waits.
    pub(super) fn say_left(&mut self, now: Now, peer: &mut Peer) -> bool {
        while let Some(Left { to, key, words }) = self.left.pop_front() {
            match self.open_left(now, peer, &to, key) {
                Err(Obstacle::LookingUp) => {
                    self.left.push_front(Left { to, key, words });
                    return false;
                }
                Ok(conversation) => {
                    for Kept { id, text, is_sent, .. } in &words {
                        let (id, to) = (id.clone(), conversation.into());
                        if *is_sent {
                            self.model.sent_again(id, to, text);
                        } else {
                            self.model.sent(id, to, text, false);
                        }
                    }
                    if let Err(obstacle) =
                        self.command(now, peer, Command::Repeat { to: conversation, words: words.clone() })
                    {
                        words
                            .into_iter()
                            .for_each(|kept| self.model.handle_event(Event::Kept { id: kept.id }, now.wall));
                        self.keep_left(&to, &obstacle);
                    }
                }
                // They stay where they are: nobody has told a fate of them.
                Err(obstacle) => self.keep_left(&to, &obstacle),
            }
        }
        true
    }

    fn keep_left(&mut self, to: &str, obstacle: &Obstacle) {
        let (to, why) = (filter::shorten(to, 100), filter::shorten(&obstacle.to_string(), 200));
        self.model.tell(Notice::Info(format!("messages to {to} are kept for the next start: {why}")));
    }

    fn open_left(
        &mut self,
        now: Now,
        peer: &mut Peer,
        to: &str,
        key: PublicKey,
    ) -> Result<ConversationId, Obstacle> {
        let target = to.parse::<Target>().map_err(Obstacle::NoAddress)?;
        self.directory.open_kept(now, peer, &mut self.model, &target, key)
    }

    /// The run ends: what outlives it is told to, before the last words.
    pub(super) fn keep_rest(&mut self, now: Now, peer: &mut Peer) {
        // There is nothing to refuse.
        let _ = peer.handle_command(now, Command::KeepRest);
        while let Some(event) = peer.poll_event() {
            self.model.handle_event(event, now.wall);
        }
        self.show_and_remember(now, peer);
    }

    /// What is about to leave is written down before it is shown as sent, and what came once it was shown; then receipts may leave.
    pub(super) fn show_and_remember(&mut self, now: Now, peer: &mut Peer) {
        self.keeping.write_outbox(peer);
        self.show(now);
        self.keeping.write_confirmed(peer);
        if self.front.view.failure().is_none() {
            self.keeping.write_shown(now, peer);
        }
    }

    /// What the run amounts to.
    pub(super) fn outcome(&self, ending: Ending) -> Exit {
        ending.exit.unwrap_or_else(|| {
            if self.front.has_person {
                Exit::Done
            } else if self.is_mistrusting {
                Exit::Failed
            } else {
                Exit::of(self.model.tally(), self.something_refused)
            }
        })
    }

    /// After the terminal was given back: what a person must know who leaves before the end.
    pub(in crate::cli) fn say_last_words(self, exit: Exit) -> Exit {
        let (open, kept) = (self.model.pending(), self.model.tally().kept);
        drop(self.front);
        if open == 0 {
            return if exit == Exit::Done && kept > 0 { Exit::NoAnswer } else { exit };
        }
        let (subject, object) = if open == 1 { ("message was", "it") } else { ("messages were", "they") };
        complain(&format!(
            "{open} {subject} not confirmed before the end; nobody knows whether {object} arrived"
        ));
        if exit == Exit::Done { Exit::NoAnswer } else { exit }
    }
}

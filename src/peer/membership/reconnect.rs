//! A relay that was lost is tried again, for as long as the user's patience lasts; and how a membership ends.

use super::member::Phase;
use super::outbox::{Content, Entry};
use super::{MemberEvent, Refusal};
use crate::arq::Closed;
use crate::chat::{MessageId, RefusalCode, Request};
use crate::endpoint::Handle;
use crate::peer::incoming::reason;
use crate::peer::{CloseReason, ConversationId, Event, FailReason, Peer};
use crate::time::Now;

impl Peer {
    /// A connection with a relay is gone, or an attempt failed.
    pub(in crate::peer) fn lose_relay(
        &mut self,
        now: Now,
        id: ConversationId,
        handle: Handle,
        closed: Closed,
    ) {
        self.by_handle.remove(&handle);
        self.dialled.remove(&handle);
        // What was said before this became a membership has no second chance.
        self.settle_sent(id, handle);
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let lives = |other| self.endpoint.connection(other).is_some_and(|connection| !connection.is_closed());
        let was_primary = conversation.remove_connection(handle, lives);
        let (has_heir, is_closing) =
            (conversation.primary.is_some(), self.shutting_down || conversation.closing_at.is_some());
        let Some(member) = &mut conversation.member else { return };
        let is_closing = is_closing || member.is_closing;
        let was_refused = member.phase == Phase::Refused && member.reconnect.retry_at.is_none();
        member.introduced.retain(|other| *other != handle);
        if member.connection == Some(handle) {
            member.lose(handle);
            member.reconnect.lost_at.get_or_insert(now.instant);
            if !is_closing {
                self.drop_unrepeatable(id);
            }
        }
        if !was_primary {
            return;
        }
        if has_heir {
            // If it is not open yet, its opening follows.
            self.move_in(now, id);
            return;
        }
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.run = None;
        }
        let is_unanswered = matches!(closed, Closed::NoAnswer { .. })
            && self.member(id).is_some_and(|member| !member.has_entered && !member.keep_calling);
        let unsent = match &closed {
            Closed::WrongKey { .. } => FailReason::WrongKey,
            _ if is_unanswered => FailReason::NoAnswer,
            _ => FailReason::NotSent,
        };
        if is_closing || is_unanswered || !is_worth_another_try(&closed) {
            self.end_membership(id, end(closed), &unsent);
            return;
        }
        if let Some(member) = self.member_mut(id) {
            member.reconnect.reason = reason(closed);
            if was_refused {
                // Whoever did not want us under that name will not want us under it now: the user's next name calls again.
                member.phase = Phase::Refused;
            }
        }
        self.fail_waiting(id, &unsent);
        if !was_refused {
            self.schedule_retry(now, id);
        }
    }

    pub(super) fn schedule_retry(&mut self, now: Now, id: ConversationId) {
        let Some(member) = self.conversations.get_mut(&id).and_then(|it| it.member.as_mut()) else { return };
        let delay = member.reconnect.next_delay(&mut self.random);
        member.reconnect.retry_at = Some(now.instant + delay);
        member.reconnect.lost_at.get_or_insert(now.instant);
        self.tell_member(id, MemberEvent::Reconnecting { delay });
    }

    /// Tries every relay again whose pause is over, and gives up where the patience is.
    pub(in crate::peer) fn retry_relays(&mut self, now: Now) {
        let is_due = |id: &ConversationId| {
            let at = self.member(*id).and_then(|member| member.poll_timeout());
            at.is_some_and(|at| at <= now.instant)
        };
        for id in self.conversations.keys().copied().filter(is_due).collect::<Vec<_>>() {
            let Some(member) = self.member_mut(id) else { continue };
            if member.end_of_patience().is_some_and(|at| at <= now.instant) {
                self.lose_patience(now, id);
                continue;
            }
            member.set_retried();
            if member.connection.is_some() {
                // It is still there, and did not want us for a reason that may have passed.
                member.phase = Phase::Outside;
                self.pump(now, id);
            } else if self.connect_if_needed(now, id).is_err() {
                self.schedule_retry(now, id);
            }
        }
    }

    fn lose_patience(&mut self, now: Now, id: ConversationId) {
        let why = self.member(id).map_or(CloseReason::Silent, |member| member.reconnect.reason.clone());
        let handles: Vec<Handle> =
            self.conversations.get(&id).map(|it| it.handles().collect()).unwrap_or_default();
        self.end_membership(id, why, &FailReason::NotSent);
        for handle in handles {
            self.endpoint.give_up(now, handle, "done", "");
        }
    }

    /// Requests that must not be done twice, and those that the loss itself fulfilled.
    fn drop_unrepeatable(&mut self, id: ConversationId) {
        let Some(member) = self.member_mut(id) else { return };
        let mut joins: Vec<(&MessageId, &str)> = Vec::new();
        let mut void = Vec::new();
        for entry in member.outbox.entries() {
            let Content::Request(ask) = &entry.content else { continue };
            match &ask.request {
                Request::Join { room, .. } => joins.push((&entry.id, room.as_str())),
                Request::Part { room: left, .. } => {
                    let before = joins.extract_if(.., |(_, room)| *room == left.as_str());
                    void.extend(before.map(|(join, _)| join.clone()));
                }
                _ => {}
            }
        }
        let over = member.outbox.remove_where(|entry| {
            let Content::Request(ask) = &entry.content else { return false };
            match &ask.request {
                Request::Join { .. } => void.contains(&entry.id),
                Request::Part { .. } => true,
                Request::Moderate(_) => entry.was_sent,
                _ => false,
            }
        });
        for Entry { id: name, content, .. } in over {
            let Content::Request(ask) = content else { continue };
            match ask.request {
                Request::Part { room, .. } => {
                    if let Some(member) = self.member_mut(id) {
                        member.leave_room(&room);
                    }
                    self.tell_member(id, MemberEvent::Parted { room });
                    self.tell_member(id, MemberEvent::Done { id: name, result: Ok(()) });
                }
                Request::Join { .. } => {
                    let words = "the room was left before it was joined".to_owned();
                    let refusal = Refusal { code: RefusalCode::Other, words, suggestion: None };
                    self.tell_member(id, MemberEvent::Done { id: name, result: Err(refusal) });
                }
                _ => self.tell_unanswered(id, name),
            }
        }
        self.relieve(id);
    }

    fn tell_unanswered(&mut self, id: ConversationId, name: MessageId) {
        let words = "the relay was lost before it answered; it may have been done".to_owned();
        let refusal = Refusal { code: RefusalCode::Other, words, suggestion: None };
        self.tell_member(id, MemberEvent::Done { id: name, result: Err(refusal) });
    }

    /// Gives everything its outcome: nothing more will be heard of it.
    pub(in crate::peer) fn settle_outbox(&mut self, id: ConversationId, unsent: &FailReason) {
        let Some(member) = self.member_mut(id) else { return };
        let entered_for = member.enter_for.take();
        let open = member.outbox.remove_where(|_| true);
        for entry in open {
            let may_have_arrived = entry.may_have_arrived();
            match entry.content {
                Content::Words(_) if may_have_arrived => {
                    self.events.push_back(Event::Unknown { id: entry.id });
                }
                Content::Words(_) => {
                    self.events.push_back(Event::Failed { id: entry.id, reason: unsent.clone() });
                }
                Content::Request(_) => self.tell_unanswered(id, entry.id),
            }
        }
        if let Some(name) = entered_for {
            self.tell_unanswered(id, name);
        }
        self.update_attention(id);
    }

    /// The membership is over, and with it the conversation, until somebody opens it again.
    pub(in crate::peer) fn end_membership(
        &mut self,
        id: ConversationId,
        why: CloseReason,
        unsent: &FailReason,
    ) {
        self.settle_outbox(id, unsent);
        self.fail_waiting(id, unsent);
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        (conversation.closing_at, conversation.run, conversation.announced) = (None, None, false);
        conversation.echoes.clear();
        let address = conversation.address;
        if let Some(member) = conversation.member.take()
            && self.changed_memories.remove(&id)
        {
            self.last_memories.insert(id, member.memory);
        }
        self.events.push_back(Event::Closed { conversation: id, address, reason: why });
    }
}

/// Whether a relay that ended the connection so may let us in again (UC-RELAY-023). One that put us out will not; one that has
/// another session of ours would only see the two take turns.
pub(in crate::peer) fn is_worth_another_try(closed: &Closed) -> bool {
    match closed {
        Closed::NoAnswer { .. } | Closed::Silent | Closed::Restarted => true,
        Closed::ByPeer { code, .. } => {
            !matches!(code.as_str(), "removed" | "replaced" | "fault" | "violation")
        }
        Closed::ByUs | Closed::Violation(_) | Closed::WrongKey { .. } => false,
    }
}

/// The end in words, also where the relay gave only a code.
fn end(closed: Closed) -> CloseReason {
    match &closed {
        Closed::ByPeer { code, .. } if code == "replaced" => CloseReason::Replaced,
        Closed::ByPeer { code, reason } if code == "removed" && reason.is_empty() => {
            CloseReason::ByPeer { words: "it put us out".to_owned() }
        }
        _ => reason(closed),
    }
}

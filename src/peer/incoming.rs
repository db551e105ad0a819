//! From what the layer below tells to what the front end is told.

use std::borrow::Cow;

use super::conversation::Conversation;
use super::{CloseReason, ConversationId, Event, FailReason, Incoming, Peer, Quote};
use crate::arq::{self, Closed};
use crate::chat::{ChatError, MAX_ECHO_BYTES, MessageId, Receipt, RefusalCode, Said, Say, Words, stream};
use crate::endpoint::{self, Handle};
use crate::time::{Now, WallTime};

impl Peer {
    /// Takes every event of the endpoint.
    pub(super) fn follow_endpoint(&mut self, now: Now) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                endpoint::Event::Accepted { handle } => self.accept(now, handle),
                endpoint::Event::Replaced { old, new } => self.replace(old, new),
                endpoint::Event::WrongKey { handle, seen } => {
                    if let Some(id) = self.conversation_of_attempt(handle) {
                        self.tell_wrong_key(now, id, seen);
                    }
                }
                endpoint::Event::Connection { handle, event } => {
                    if let Some(&id) = self.by_handle.get(&handle) {
                        self.follow_connection(now, id, handle, event);
                    }
                }
            }
        }
    }

    /// Somebody began a connection with us: it joins the conversation with that address, or makes one.
    fn accept(&mut self, now: Now, handle: Handle) {
        let Some(address) = self.endpoint.connection(handle).map(|connection| connection.path().remote)
        else {
            return;
        };
        let id = match self.conversation_of_caller(address, handle) {
            Some(id) => id,
            None => match self.add_conversation(Conversation::new(vec![address], address)) {
                Ok(id) => id,
                Err(_) => {
                    self.endpoint.close(now, handle, "busy", "too many conversations");
                    return;
                }
            },
        };
        if self.is_relay(id) {
            // A relay is called and does not call; whoever does is somebody else at its address.
            self.endpoint.close(now, handle, "done", "this address is known here as a relay's");
            return;
        }
        self.by_handle.insert(handle, id);
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return;
        };
        // A silent one too: what it has still to bring would come after what is said on the new one. If the other side was
        // started anew, its introduction ends the old connection.
        let primary_is_open = conversation
            .primary
            .and_then(|primary| self.endpoint.connection(primary))
            .is_some_and(|connection| connection.is_open());
        if primary_is_open {
            conversation.others.push(handle);
        } else {
            // An attempt of ours that is still under way goes on beside it.
            conversation.others.extend(conversation.primary.replace(handle));
        }
        if self.shutting_down {
            self.endpoint.close(now, handle, "done", "");
        }
    }

    /// The endpoint found the other side started anew and has a fresh connection in the old one's place.
    fn replace(&mut self, old: Handle, new: Handle) {
        let Some(&id) = self.by_handle.get(&old) else {
            return;
        };
        self.by_handle.insert(new, id);
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.others.push(new);
        }
    }

    fn follow_connection(&mut self, now: Now, id: ConversationId, handle: Handle, event: arq::Event) {
        match event {
            arq::Event::Connected => {
                if !self.learn_key(now, id, handle) {
                    return;
                }
                self.introduce(now, handle);
                self.prefer(id, handle);
                self.flush_waiting(id);
                self.come_in(now, id, handle);
            }
            arq::Event::Readable { .. } => self.read(now, id, handle),
            arq::Event::Writable => {
                self.flush_waiting(id);
                self.pump(now, id);
                self.read(now, id, handle);
                // At a relay nobody was refused for want of room in a connection.
                if self.conversations.contains_key(&id) && !self.is_relay(id) {
                    self.events.push_back(Event::Writable { conversation: id });
                }
            }
            arq::Event::Outcome { stream, seq, outcome } => {
                self.handle_outcome(id, handle, stream, seq, outcome);
                self.go_on_answering(now, id, handle);
                self.finish_goodbye(now, id);
            }
            arq::Event::Settled => {
                self.go_on_answering(now, id, handle);
                self.finish_goodbye(now, id);
            }
            arq::Event::Silent => self.tell_silence(id, handle, true),
            arq::Event::Resumed => {
                self.tell_silence(id, handle, false);
                // What was held back while somebody else answered in its place.
                self.flush_waiting(id);
                self.pump(now, id);
            }
            arq::Event::Moved { path } => {
                if let Some(conversation) = self.conversations.get_mut(&id) {
                    let before = std::mem::replace(&mut conversation.address, path.remote);
                    if !conversation.addresses.contains(&before) {
                        self.by_address.remove(&before);
                    }
                    self.by_address.insert(path.remote, id);
                }
            }
            arq::Event::Closed(closed) if self.is_relay(id) => self.lose_relay(now, id, handle, closed),
            arq::Event::Closed(closed) => self.forget_connection(now, id, handle, closed),
            // Nothing that people say travels unreliably.
            arq::Event::GramReadable => while self.endpoint.take_gram(handle).is_some() {},
        }
    }

    /// Words go out on the first connection that opens, and stay with it while it lives: two of them would change their order.
    fn prefer(&mut self, id: ConversationId, handle: Handle) {
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return;
        };
        let primary_is_open = conversation.primary.is_some_and(|primary| {
            self.endpoint.connection(primary).is_some_and(|connection| connection.is_open())
        });
        if !primary_is_open || conversation.primary == Some(handle) {
            conversation.others.retain(|other| *other != handle);
            let before = conversation.primary.replace(handle).filter(|before| *before != handle);
            conversation.others.extend(before);
        }
        if let Some(connection) = self.endpoint.connection(handle) {
            conversation.address = connection.path().remote;
            self.by_address.insert(conversation.address, id);
        }
    }

    fn tell_silence(&mut self, id: ConversationId, handle: Handle, is_silent: bool) {
        let Some(conversation) = self.conversations.get(&id) else {
            return;
        };
        if conversation.primary != Some(handle) {
            return;
        }
        let address = conversation.address;
        self.events.push_back(if is_silent {
            Event::Silent { conversation: id, address }
        } else {
            Event::Resumed { conversation: id, address }
        });
    }

    /// Takes messages while their receipts can be kept: a sender that takes no receipts is not read any further.
    pub(super) fn read(&mut self, now: Now, id: ConversationId, handle: Handle) {
        while self.flush_receipts(id, handle) {
            let next = self
                .endpoint
                .take(handle, stream::RECEIPTS)
                .or_else(|| self.endpoint.take(handle, stream::WORDS));
            let Some(received) = next else { return };
            match Say::decode(&received.body) {
                Ok(say) => self.hear(now, id, handle, say),
                Err(ChatError::Invalid { id: words, at, why }) => {
                    self.answer(id, handle, now.wall, Said::Receipt(Receipt::refused(words, at, why)));
                }
                Err(ChatError::Unreadable) => self.unreadable += 1,
            }
        }
    }

    fn hear(&mut self, now: Now, id: ConversationId, handle: Handle, say: Say<'_>) {
        if self.is_relay(id) {
            self.hear_relay(now, id, handle, say);
            return;
        }
        let nick = say.from.nick.clone();
        match &say.said {
            Said::Introduce { run, .. } => self.recognise(now, id, handle, run),
            Said::Words(_) => self.note_no_memory(id, handle),
            _ => {}
        }
        self.announce(now, id, handle, nick);
        match say.said {
            Said::Introduce { remembers, .. } => self.note_memory(id, handle, remembers),
            Said::Words(words) => self.show(now, id, handle, words, say.at, say.from.nick),
            Said::Receipt(receipt) => {
                self.receipts_received += 1;
                let reason = receipt.reason.map(Cow::into_owned).unwrap_or_default();
                self.handle_receipt(now, id, &receipt.id, receipt.ack, reason);
            }
            // Only to a member has a relay news.
            Said::Request { id: request, .. } => {
                self.refuse_request(now, id, handle, request, say.at);
            }
            Said::News(_) => self.unreadable += 1,
            Said::Echoed { id: words, text, .. } => self.hear_echoed(now, id, words, text.into_owned()),
        }
    }

    /// Only a relay can do what is asked.
    pub(super) fn refuse_request(
        &mut self,
        now: Now,
        id: ConversationId,
        handle: Handle,
        request: MessageId,
        at: WallTime,
    ) {
        let refusal = Receipt {
            code: Some(RefusalCode::NotEntered),
            ..Receipt::refused(request, at, "this is a peer, not a relay")
        };
        self.answer(id, handle, now.wall, Said::Receipt(refusal));
    }

    pub(super) fn hear_echoed(&mut self, now: Now, id: ConversationId, words: MessageId, text: String) {
        let asked = self.conversations.get_mut(&id).and_then(|conversation| conversation.take_echo(&words));
        let Some(since) = asked else {
            self.unreadable += 1;
            return;
        };
        let rtt = now.instant.since(since);
        self.events.push_back(Event::Echoed { id: words, conversation: id, text, rtt });
    }

    /// A program that introduces itself under another run than before was started anew: its old connections are dead (UC-CHAT-005).
    pub(super) fn recognise(&mut self, now: Now, id: ConversationId, handle: Handle, run: &str) {
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return;
        };
        let before = conversation.run.replace(run.to_owned());
        if before.is_none_or(|before| before == run) {
            return;
        }
        for other in conversation.handles().filter(|other| *other != handle).collect::<Vec<_>>() {
            self.endpoint.abort(now, other, Closed::Restarted);
        }
    }

    /// Tells the front end that the other side is there, or that it goes by another name.
    pub(super) fn announce(&mut self, now: Now, id: ConversationId, handle: Handle, nick: Option<String>) {
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return;
        };
        let before = conversation.nick.clone();
        conversation.nick = nick.or(before.clone());
        if !std::mem::replace(&mut conversation.announced, true) {
            let address = self.endpoint.connection(handle).map_or(conversation.address, |c| c.path().remote);
            let (nick, key) = (conversation.nick.clone(), conversation.key);
            self.events.push_back(Event::Connected { conversation: id, address, nick, key });
            self.greet(now, id, true);
        } else if let Some(nick) = conversation.nick.clone()
            && before.as_ref() != Some(&nick)
        {
            let is_first = before.is_none();
            self.events.push_back(Event::Renamed { conversation: id, before, nick });
            self.greet(now, id, is_first);
        }
    }

    /// Shows words and confirms them (UC-CHAT-003); an echo is returned and not shown (UC-CHAT-010).
    fn show(
        &mut self,
        now: Now,
        id: ConversationId,
        handle: Handle,
        words: Words<'_>,
        at: WallTime,
        nick: Option<String>,
    ) {
        if self.was_shown(handle, &words) {
            // The first one's receipt was lost; it says the same again.
            self.answer(id, handle, now.wall, Said::Receipt(Receipt::taken(words.id, at)));
            return;
        }
        if words.is_echo && words.text.len() > MAX_ECHO_BYTES {
            let code = Some(RefusalCode::TooLong);
            let refusal =
                Receipt { code, ..Receipt::refused(words.id, at, "that is more than is returned here") };
            self.answer(id, handle, now.wall, Said::Receipt(refusal));
            return;
        }
        let is_wanted =
            words.is_echo || self.config.message_limit.is_none_or(|limit| self.messages_shown < limit);
        let receipt = if is_wanted {
            Receipt::taken(words.id.clone(), at)
        } else {
            Receipt::refused(words.id.clone(), at, "it wanted no more messages")
        };
        self.answer(id, handle, now.wall, Said::Receipt(receipt));
        if !is_wanted {
            return;
        }
        if words.is_echo {
            let echoed = Said::Echoed { id: words.id, original_at: at, text: words.text };
            self.answer(id, handle, now.wall, echoed);
            return;
        }
        let address = self.endpoint.connection(handle).map(|connection| connection.path().remote);
        let Some(conversation) = self.conversations.get(&id) else {
            return;
        };
        let address = address.unwrap_or(conversation.address);
        let text = words.text.into_owned();
        let quote = Quote { id: words.id.clone(), text: text.clone(), sent_at: at };
        self.last_received = Some((id.into(), quote));
        let reply_to =
            words.reply_to.map(|(id, text, sent_at)| Quote { id, text: text.into_owned(), sent_at });
        self.messages_shown += 1;
        if let Some(key) = self.endpoint.remote_key(handle) {
            self.shown.remember(id, key, words.id.clone());
        }
        self.events.push_back(Event::Message(Incoming {
            id: words.id,
            conversation: id,
            room: None,
            is_relayed: false,
            is_history: false,
            is_sealed: false,
            address,
            nick,
            text,
            sent_at: at,
            reply_to,
        }));
    }

    /// Whether words were shown before, on another connection or in another run (UC-CHAT-016). Ids without a key could be
    /// anybody's.
    fn was_shown(&mut self, handle: Handle, words: &Words<'_>) -> bool {
        let key = self.endpoint.remote_key(handle).filter(|_| !words.is_echo);
        let was_shown = key.is_some_and(|key| self.shown.contains(key, &words.id));
        self.messages_repeated += u64::from(was_shown);
        was_shown
    }

    pub(super) fn handle_receipt(
        &mut self,
        now: Now,
        id: ConversationId,
        words: &MessageId,
        ack: bool,
        reason: String,
    ) {
        let since = self
            .conversations
            .get(&id)
            .and_then(|conversation| conversation.outgoing.get(words))
            .map(|o| o.since);
        let Some(since) = since else {
            self.unreadable += 1;
            return;
        };
        self.tell_outcome(id, words, |id| {
            if ack {
                Event::Delivered { id, rtt: now.instant.since(since) }
            } else {
                Event::Failed { id, reason: FailReason::Refused { words: reason } }
            }
        });
        self.finish_goodbye(now, id);
    }

    /// A closing conversation whose last receipt came need not wait any longer.
    pub(super) fn finish_goodbye(&mut self, now: Now, id: ConversationId) {
        let is_done = self
            .conversations
            .get(&id)
            .is_some_and(|conversation| conversation.closing_at.is_some() && conversation.is_settled());
        if is_done {
            self.close_connections(now, id);
        }
    }

    fn forget_connection(&mut self, now: Now, id: ConversationId, handle: Handle, closed: Closed) {
        self.by_handle.remove(&handle);
        self.dialled.remove(&handle);
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return;
        };
        let lives = |other| self.endpoint.connection(other).is_some_and(|connection| !connection.is_closed());
        if !conversation.remove_connection(handle, lives) {
            // It may have been the one that words went out on.
            self.lose_words(id, handle, &closed);
            self.flush_waiting(id);
            return;
        }
        let was_announced = std::mem::take(&mut conversation.announced);
        let (has_heir, was_lost) = (conversation.primary.is_some(), conversation.again.is_lost());
        let address = conversation.address;
        let unsent = match &closed {
            Closed::NoAnswer { .. } => FailReason::NoAnswer,
            Closed::WrongKey { .. } => FailReason::WrongKey,
            _ => FailReason::NotSent,
        };
        let may_repeat = self.lose_words(id, handle, &closed);
        if has_heir {
            // What waited for the connection that failed goes out on its heir.
            self.flush_waiting(id);
        } else {
            if !may_repeat {
                self.fail_waiting(id, &unsent);
                self.find_again(id);
            }
            if let Some(conversation) = self.conversations.get_mut(&id) {
                conversation.run = None;
                conversation.closing_at = None;
            }
        }
        let reason = reason(closed);
        let is_news = match reason {
            CloseReason::NoAnswer { .. } | CloseReason::WrongKey { .. } => !has_heir && !was_lost,
            _ => was_announced,
        };
        if is_news {
            self.events.push_back(Event::Closed { conversation: id, address, reason: reason.clone() });
            self.announce_heir(id);
        } else if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.announced = was_announced;
        }
        if may_repeat && !has_heir {
            self.lose(now, id, reason);
        }
    }
}

impl Peer {
    /// After a close, a connection that was open beside the lost one makes the other side present again.
    fn announce_heir(&mut self, id: ConversationId) {
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return;
        };
        let heir = conversation.primary.and_then(|handle| self.endpoint.connection(handle));
        if let Some(connection) = heir.filter(|connection| connection.is_open()) {
            conversation.announced = true;
            let (address, nick, key) =
                (connection.path().remote, conversation.nick.clone(), conversation.key);
            self.events.push_back(Event::Connected { conversation: id, address, nick, key });
        }
    }
}

pub(super) fn reason(closed: Closed) -> CloseReason {
    match closed {
        Closed::ByUs => CloseReason::ByUs,
        Closed::ByPeer { code, reason } if code == "fault" => CloseReason::Fault { words: reason },
        Closed::ByPeer { reason, .. } => CloseReason::ByPeer { words: reason },
        Closed::NoAnswer { hint } => CloseReason::NoAnswer { hint },
        Closed::WrongKey { seen } => CloseReason::WrongKey { seen },
        Closed::Silent => CloseReason::Silent,
        Closed::Restarted => CloseReason::Restarted,
        Closed::Violation(violation) => CloseReason::Violation { rule: violation.rule() },
    }
}

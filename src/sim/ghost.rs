//! The ghost state: what was submitted, what really arrived and what was handed over, as the harness saw it from outside.
//!
//! It is kept from reports of the applications and from the datagrams themselves, never from what a machine says of its own state.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::minutes::Minutes;
use super::node::{Fate, Report, Submission};
use super::scenario::Scenario;
use crate::arq::{Outcome, Ranges};
use crate::chat::MessageId;
use crate::endpoint::Endpoint;
use crate::peer::ConversationId;
use crate::time::Instant;
use crate::wire::{ConnectionId, Frame, Packet, Piece};

/// Everything that the harness knows.
#[derive(Debug, Default)]
pub struct Ghost {
    /// Every end of a connection that an application ever had, by its own name.
    pub ends: BTreeMap<ConnectionId, End>,
    /// Everything that chatters said.
    pub words: BTreeMap<MessageId, Words>,
    /// One for each node.
    pub nodes: Vec<Standing>,
    /// What happened at the hall, if there is one.
    pub minutes: Minutes,
    next_words: u64,
}

/// How a node is doing.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// How often it was started anew.
    pub life: u32,
    /// It cannot have noticed anything before.
    pub awake_since: Instant,
    /// Whether its application takes what comes.
    pub is_reading: bool,
    /// Whether it says again what got no receipt.
    pub is_repeating: bool,
    /// Datagrams that were handed to this life.
    pub datagrams_in: u64,
    /// Datagrams that this life sent.
    pub datagrams_out: u64,
}

/// One end of a connection.
#[derive(Debug)]
pub struct End {
    /// Whose.
    pub node: usize,
    /// In which life of the node.
    pub life: u32,
    /// Whether its node asked for the connection.
    pub is_dialled: bool,
    /// The other end's name; known once the handshake is complete.
    pub remote: Option<ConnectionId>,
    /// When the handshake was complete.
    pub connected_at: Option<Instant>,
    /// Whether its application asked for its end.
    pub is_closing: bool,
    /// When it ended.
    pub closed: Option<Instant>,
    /// Whether its application reports every message: a chatter's does not.
    pub is_reported: bool,
    /// Whether its application had stopped taking messages when it ended.
    pub was_unread: bool,
    /// When an intact packet came last, or the handshake was complete.
    pub heard_at: Instant,
    /// Whether it sent to where its partner no longer was when the faults ended.
    pub is_astray: bool,
    /// The packets that came intact while it could take them.
    pub arrived: Ranges,
    /// Everything that was submitted, by stream; the message with number n is at n - 1.
    pub outgoing: BTreeMap<u32, Vec<Sent>>,
    /// Everything that came, by stream.
    pub incoming: BTreeMap<u32, Incoming>,
    /// Unreliable messages that were submitted, and how often each was handed over.
    pub grams: BTreeMap<Vec<u8>, u32>,
    /// The highest `low` that came: what is numbered below is not looked at any more.
    low: u64,
}

/// A submitted message.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// What.
    pub message: Submission,
    /// What its sender was told.
    pub outcome: Option<Outcome>,
    /// Whether the other side's application took it.
    pub is_delivered: bool,
}

/// What of a stream came.
#[derive(Debug, Default)]
pub struct Incoming {
    partial: BTreeMap<u64, (Ranges, Option<u64>)>,
    /// Messages that came whole, or whose sender gave them up.
    pub settled: Ranges,
    /// Messages that came whole and were not handed over, and whether they wait for none.
    pub undelivered: BTreeMap<u64, bool>,
    /// Messages that came whole.
    pub whole: BTreeSet<u64>,
    /// Messages that were handed over.
    taken: Ranges,
    /// Whether symbols came, so that messages may be here that nobody saw come.
    is_repaired: bool,
    /// The highest ordered message that was handed over.
    pub last_ordered: u64,
}

/// Something said by a chatter.
#[derive(Clone, Debug)]
pub struct Words {
    /// Whose.
    pub node: usize,
    /// In which life.
    pub life: u32,
    /// To which node.
    pub to: Option<usize>,
    /// In which conversation; None where order is not looked at.
    pub conversation: Option<ConversationId>,
    /// The how-manieth of all words.
    pub number: u64,
    /// What.
    pub text: String,
    /// Whether it is to be returned and not shown.
    pub is_echo: bool,
    /// Whether it was shown.
    pub is_shown: bool,
    /// Whether it was returned.
    pub is_returned: bool,
    /// Whether it is on its sender's disk.
    pub is_kept: bool,
    /// Whether it ever was.
    pub was_kept: bool,
    /// In which later life and conversation it is said again, last.
    pub again_in: Option<(u32, ConversationId)>,
    /// Whether it was shown by somebody who was killed before that was written down.
    pub is_unnoted: bool,
    /// What its sender was told.
    pub fate: Option<Fate>,
}

impl Ghost {
    /// Nothing seen yet.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            minutes: Minutes::new(scenario),
            nodes: scenario
                .nodes
                .iter()
                .map(|node| Standing::new(0, Instant::ZERO, node.repeats.is_some()))
                .collect(),
            ..Self::default()
        }
    }

    /// Whether the end's node still remembers it.
    pub fn is_remembered(&self, end: &End) -> bool {
        self.nodes[end.node].life == end.life
    }

    /// Whether the end can still take packets.
    pub fn is_alive(&self, end: &End) -> bool {
        end.connected_at.is_some() && end.closed.is_none() && self.is_remembered(end)
    }

    /// The end that `id` is connected with.
    pub fn partner(&self, id: ConnectionId) -> Option<&End> {
        self.ends.get(&self.ends.get(&id)?.remote?)
    }

    /// The node was started anew.
    pub fn restart(&mut self, node: usize, now: Instant) {
        let standing = &mut self.nodes[node];
        *standing = Standing::new(standing.life + 1, now, standing.is_repeating);
        self.minutes.restart(node);
    }

    /// Whether the two ends of a connection are both alive, and the one that asked for it knows where the other is.
    ///
    /// Whoever asked for the connection goes on asking, so the other side learns where it is now. The other side need not say
    /// anything of itself: if its own address changes, nobody can find it any more, as with any server behind such a NAT.
    pub fn is_paired(&self, id: ConnectionId) -> bool {
        let (Some(end), Some(partner)) = (self.ends.get(&id), self.partner(id)) else { return false };
        let asked = if end.is_dialled { end } else { partner };
        partner.remote == Some(id) && self.is_alive(end) && self.is_alive(partner) && !asked.is_astray
    }

    /// Takes note of whether the end sends to where its partner no longer is.
    pub fn record_reach(
        &mut self,
        id: ConnectionId,
        sends_to: SocketAddr,
        address_of: impl Fn(usize) -> SocketAddr,
    ) {
        let Some(node) = self.partner(id).map(|partner| partner.node) else { return };
        if let Some(end) = self.ends.get_mut(&id) {
            end.is_astray = sends_to != address_of(node);
        }
    }

    /// Takes note of a packet that came intact to `node`. Tells whether it had come before.
    pub fn record_arrival(&mut self, now: Instant, node: usize, packet: &Packet<'_>) -> bool {
        let life = self.nodes[node].life;
        let Some(end) = self.ends.get_mut(&packet.to) else { return false };
        if (end.node, end.life) != (node, life) || end.connected_at.is_none() {
            return false;
        }
        let is_late = packet.number < end.low;
        if !end.arrived.insert(packet.number) {
            return true;
        }
        end.heard_at = now;
        end.low = end.low.max(packet.low.unwrap_or(0).min(packet.number));
        if end.closed.is_none() && !is_late && end.is_reported {
            packet.frames.iter().for_each(|frame| end.record_frame(frame));
            self.record_haves(packet);
        }
        false
    }

    /// Takes note of what the other end says to have: messages that it computed from others, which nobody sees come. It has to hand
    /// them over, like anything that came.
    fn record_haves(&mut self, packet: &Packet<'_>) {
        for frame in &packet.frames {
            let Frame::Have(have) = frame else { continue };
            let remote = self.ends.get(&packet.to).and_then(|end| end.remote);
            let Some(teller) = remote.and_then(|remote| self.ends.get_mut(&remote)) else { return };
            let incoming = teller.incoming.entry(have.stream).or_default();
            (incoming.floor() + 1..=have.seq).for_each(|seq| incoming.complete(seq, false));
        }
    }

    /// Takes note of the connections of a node whose application does not report them.
    pub fn follow_endpoint(&mut self, now: Instant, node: usize, endpoint: &Endpoint) {
        let life = self.nodes[node].life;
        for (_, connection) in endpoint.connections() {
            let is_dialled = connection.remote_id().is_none();
            let end = self.ends.entry(connection.local_id());
            let end =
                end.or_insert_with(|| End { is_dialled, is_reported: false, ..End::new(node, life, now) });
            if end.remote.is_none() && connection.remote_id().is_some() {
                (end.remote, end.connected_at) = (connection.remote_id(), Some(now));
                end.heard_at = now;
            }
            if connection.is_closed() && end.closed.is_none() {
                end.closed = Some(now);
            }
        }
        let held =
            |id: &ConnectionId| endpoint.connections().any(|(_, connection)| connection.local_id() == *id);
        for (id, end) in &mut self.ends {
            if (end.node, end.life) == (node, life) && end.closed.is_none() && !held(id) {
                end.closed = Some(now);
            }
        }
    }

    /// Takes note of what an application did or saw.
    pub fn record_report(&mut self, now: Instant, node: usize, report: &Report) {
        let life = self.nodes[node].life;
        match report {
            Report::Dialled { id, .. } | Report::Accepted { id } => {
                let is_dialled = matches!(report, Report::Dialled { .. });
                self.ends.insert(*id, End { is_dialled, ..End::new(node, life, now) });
            }
            Report::Connected { id, remote } => {
                if let Some(end) = self.ends.get_mut(id) {
                    (end.remote, end.connected_at) = (Some(*remote), Some(now));
                    end.heard_at = now;
                }
            }
            Report::Submitted { id, stream, message, .. } => {
                if let Some(end) = self.ends.get_mut(id) {
                    let sent = Sent { message: *message, outcome: None, is_delivered: false };
                    end.outgoing.entry(*stream).or_default().push(sent);
                }
            }
            Report::Delivered { id, stream, seq, .. } => self.record_delivery(*id, *stream, *seq),
            Report::Outcome { id, stream, seq, outcome } => {
                if let Some(sent) = self.sent_mut(*id, *stream, *seq) {
                    sent.outcome = Some(*outcome);
                }
            }
            Report::GramSubmitted { id, body } => {
                if let Some(end) = self.ends.get_mut(id) {
                    end.grams.entry(body.clone()).or_default();
                }
            }
            Report::GramDelivered { id, body } => {
                let remote = self.ends.get(id).and_then(|end| end.remote);
                let end = remote.and_then(|remote| self.ends.get_mut(&remote));
                if let Some(count) = end.and_then(|end| end.grams.get_mut(body)) {
                    *count += 1;
                }
            }
            Report::Closing { id } => {
                if let Some(end) = self.ends.get_mut(id) {
                    end.is_closing = true;
                }
            }
            Report::Closed { id, .. } => {
                if let Some(end) = self.ends.get_mut(id) {
                    end.closed = Some(now);
                    end.was_unread = !self.nodes[node].is_reading;
                }
            }
            Report::Reading { on } => self.nodes[node].is_reading = *on,
            Report::Deed(deed) => self.minutes.record(node, life, deed),
            _ => self.record_chat(node, life, report),
        }
    }

    fn record_chat(&mut self, node: usize, life: u32, report: &Report) {
        match report {
            Report::Said { id, to, conversation, text, is_echo } => {
                self.next_words += 1;
                let words = Words {
                    node,
                    life,
                    to: super::network::node_of(*to),
                    conversation: *conversation,
                    number: self.next_words,
                    text: text.clone(),
                    is_echo: *is_echo,
                    is_shown: false,
                    is_returned: false,
                    is_kept: false,
                    was_kept: false,
                    again_in: None,
                    is_unnoted: false,
                    fate: None,
                };
                self.words.insert(id.clone(), words);
            }
            Report::Shown { id, .. } => {
                if let Some(words) = self.words.get_mut(id) {
                    (words.is_shown, words.is_unnoted) = (true, false);
                }
            }
            Report::Kept { id, is_kept } => {
                if let Some(words) = self.words.get_mut(id) {
                    words.is_kept = *is_kept;
                    words.was_kept |= *is_kept;
                }
            }
            Report::SaidAgain { id, conversation } => {
                if let Some(words) = self.words.get_mut(id) {
                    words.again_in = Some((life, *conversation));
                }
            }
            Report::Untold { id } => {
                if let Some(words) = self.words.get_mut(id) {
                    words.was_kept = false;
                }
            }
            Report::Unnoted { id } => {
                if let Some(words) = self.words.get_mut(id) {
                    words.is_unnoted = true;
                }
            }
            Report::Echoed { id, .. } => {
                if let Some(words) = self.words.get_mut(id) {
                    words.is_returned = true;
                }
            }
            Report::Fate { id, fate } => {
                if let Some(words) = self.words.get_mut(id) {
                    words.fate = Some(fate.clone());
                }
            }
            _ => {}
        }
    }

    /// A submitted message, by its sender's end.
    pub fn sent(&self, id: ConnectionId, stream: u32, seq: u64) -> Option<&Sent> {
        let index = usize::try_from(seq.checked_sub(1)?).ok()?;
        self.ends.get(&id)?.outgoing.get(&stream)?.get(index)
    }

    fn sent_mut(&mut self, id: ConnectionId, stream: u32, seq: u64) -> Option<&mut Sent> {
        let index = usize::try_from(seq.checked_sub(1)?).ok()?;
        self.ends.get_mut(&id)?.outgoing.get_mut(&stream)?.get_mut(index)
    }

    fn record_delivery(&mut self, id: ConnectionId, stream: u32, seq: u64) {
        let Some(end) = self.ends.get_mut(&id) else { return };
        let incoming = end.incoming.entry(stream).or_default();
        incoming.undelivered.remove(&seq);
        incoming.taken.insert(seq);
        if incoming.is_repaired {
            incoming.complete(seq, false);
        }
        let Some(remote) = end.remote else { return };
        let mut is_ordered = false;
        if let Some(sent) = self.sent_mut(remote, stream, seq) {
            sent.is_delivered = true;
            is_ordered = !sent.message.unordered;
        }
        // The end was there a moment ago.
        if let Some(incoming) = self.ends.get_mut(&id).and_then(|end| end.incoming.get_mut(&stream))
            && is_ordered
        {
            incoming.last_ordered = incoming.last_ordered.max(seq);
        }
    }
}

impl Standing {
    const fn new(life: u32, awake_since: Instant, is_repeating: bool) -> Self {
        Self { life, awake_since, is_reading: true, is_repeating, datagrams_in: 0, datagrams_out: 0 }
    }
}

impl End {
    fn new(node: usize, life: u32, now: Instant) -> Self {
        Self {
            node,
            life,
            is_dialled: false,
            remote: None,
            connected_at: None,
            is_closing: false,
            closed: None,
            is_reported: true,
            was_unread: false,
            heard_at: now,
            is_astray: false,
            arrived: Ranges::default(),
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            grams: BTreeMap::new(),
            low: 0,
        }
    }

    /// Since when the other side was not heard.
    pub fn silent_for(&self, now: Instant, standing: &Standing) -> Duration {
        now.since(self.heard_at.max(standing.awake_since))
    }

    fn record_frame(&mut self, frame: &Frame<'_>) {
        match frame {
            Frame::Msg(messages) => {
                let incoming = self.incoming.entry(messages.stream).or_default();
                for (seq, _) in (messages.seq..).zip(&messages.bodies) {
                    incoming.complete(seq, messages.unordered);
                }
            }
            Frame::Part(part) => {
                let incoming = self.incoming.entry(part.stream).or_default();
                part.pieces().for_each(|piece| incoming.record_piece(&piece, part.unordered));
            }
            Frame::Repair(repair) => self.incoming.entry(repair.stream).or_default().is_repaired = true,
            Frame::Skip(skip) => {
                let incoming = self.incoming.entry(skip.stream).or_default();
                for (seq, _) in (skip.seq..).zip(&skip.sizes) {
                    incoming.settled.insert(seq);
                    incoming.partial.remove(&seq);
                }
            }
            _ => {}
        }
    }
}

impl Incoming {
    fn record_piece(&mut self, piece: &Piece<'_>, unordered: bool) {
        if self.settled.contains(piece.seq) {
            return;
        }
        let end = piece.offset + piece.body.len() as u64;
        let (have, length) = self.partial.entry(piece.seq).or_default();
        if end > piece.offset {
            have.insert_range(piece.offset, end - 1);
        }
        *length = length.or(piece.last.then_some(end));
        if length.is_some_and(|length| length == 0 || have.as_slice() == [[0, length - 1]]) {
            self.complete(piece.seq, unordered);
        }
    }

    fn complete(&mut self, seq: u64, unordered: bool) {
        self.partial.remove(&seq);
        if self.settled.insert(seq) {
            self.whole.insert(seq);
            // The application is asked first, and may have it already.
            if !self.taken.contains(seq) {
                self.undelivered.insert(seq, unordered);
            }
        }
    }

    /// Every message up to here came or was given up.
    pub fn floor(&self) -> u64 {
        match self.settled.as_slice().first() {
            Some(&[1, last]) => last,
            _ => 0,
        }
    }
}

//! Which messages of others were shown: what makes one that is said again known (UC-CHAT-016).
//!
//! It holds names and no texts, and never more than [`MAX_SHOWN`] of them. Whoever has the most loses the oldest first, so that
//! nobody who talks a lot can have others' messages shown twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::ConversationId;
use crate::chat::MessageId;
use crate::secure::PublicKey;

/// Names that are remembered in all: two senders with as much on its way as they may have, and a day of talk besides. Some
/// hundred bytes each.
pub const MAX_SHOWN: usize = 10_000;

/// The messages that were shown, by the key of their sender.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    by_key: BTreeMap<PublicKey, Ids>,
    /// Who has how many, to find who has the most.
    sizes: BTreeSet<(usize, PublicKey)>,
    count: usize,
    /// What the front end was not handed yet: a program that is killed must not remember what nobody saw.
    to_show: VecDeque<(ConversationId, PublicKey, MessageId)>,
    /// What is to be kept on disk, in the order in which it was shown.
    changes: VecDeque<(PublicKey, MessageId)>,
}

#[derive(Clone, Debug, Default)]
struct Ids {
    order: VecDeque<MessageId>,
    known: BTreeSet<MessageId>,
}

impl Shown {
    /// What was shown in earlier runs, oldest first.
    pub fn new(entries: impl IntoIterator<Item = (PublicKey, MessageId)>) -> Self {
        let mut shown = Self::default();
        for (key, id) in entries {
            shown.insert(key, id);
        }
        shown
    }

    /// Whether it was shown, as far as is remembered.
    pub fn contains(&self, key: PublicKey, id: &MessageId) -> bool {
        self.by_key.get(&key).is_some_and(|ids| ids.known.contains(id))
    }

    /// It is to be shown, and known from now on.
    pub fn remember(&mut self, conversation: ConversationId, key: PublicKey, id: MessageId) {
        if self.insert(key, id.clone()) {
            self.to_show.push_back((conversation, key, id));
        }
    }

    /// The front end has it now. Messages are handed to it in the order in which they were remembered, so it is the oldest, or one
    /// that nobody is to remember: two senders may use the same id, and a conversation has one key.
    pub fn hand_out(&mut self, conversation: ConversationId, id: &MessageId) {
        let is_it = self.to_show.front().is_some_and(|(of, _, next)| *of == conversation && next == id);
        if let Some((_, key, id)) = is_it.then(|| self.to_show.pop_front()).flatten() {
            // Nobody may be there to keep it.
            if self.changes.len() == MAX_SHOWN {
                self.changes.pop_front();
            }
            self.changes.push_back((key, id));
        }
    }

    /// The next one that is to be kept on disk.
    pub fn poll_change(&mut self) -> Option<(PublicKey, MessageId)> {
        self.changes.pop_front()
    }

    /// Everything that is remembered, of each key the oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (PublicKey, &MessageId)> {
        self.by_key.iter().flat_map(|(&key, ids)| ids.order.iter().map(move |id| (key, id)))
    }

    fn insert(&mut self, key: PublicKey, id: MessageId) -> bool {
        let ids = self.by_key.entry(key).or_default();
        if !ids.known.insert(id.clone()) {
            return false;
        }
        self.sizes.remove(&(ids.order.len(), key));
        ids.order.push_back(id);
        self.sizes.insert((ids.order.len(), key));
        self.count += 1;
        if self.count > MAX_SHOWN {
            self.forget_one();
        }
        true
    }

    fn forget_one(&mut self) {
        let Some((size, key)) = self.sizes.pop_last() else { return };
        let Some(ids) = self.by_key.get_mut(&key) else { return };
        if let Some(oldest) = ids.order.pop_front() {
            ids.known.remove(&oldest);
            self.count -= 1;
        }
        if size > 1 {
            self.sizes.insert((size - 1, key));
        } else {
            self.by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::KeyPair;

    fn key(number: u8) -> PublicKey {
        KeyPair::from_secret([number; 32]).public()
    }

    fn conversation(number: u8) -> ConversationId {
        ConversationId(u64::from(number))
    }

    fn id(number: u64) -> MessageId {
        MessageId::new("run", number)
    }

    // UC-CHAT-016
    #[test]
    fn a_message_is_known_by_its_sender_and_its_name() {
        let mut shown = Shown::new([(key(1), id(1))]);
        assert_eq!(shown.poll_change(), None, "it is on disk");
        shown.remember(conversation(1), key(1), id(2));
        shown.remember(conversation(1), key(1), id(2));
        assert_eq!(shown.poll_change(), None, "nobody has seen it");
        shown.hand_out(conversation(2), &id(2));
        assert_eq!(shown.poll_change(), None, "somebody else uses the same id");
        shown.hand_out(conversation(1), &id(2));
        assert!(shown.contains(key(1), &id(1)) && shown.contains(key(1), &id(2)));
        assert!(!shown.contains(key(2), &id(1)));
        assert_eq!((shown.poll_change(), shown.poll_change()), (Some((key(1), id(2))), None));
    }

    #[test]
    fn whoever_has_the_most_is_forgotten_first() {
        let most = MAX_SHOWN as u64;
        let mut shown = Shown::new((0..most).map(|number| (key(1), id(number))));
        shown.remember(conversation(2), key(2), id(0));
        shown.hand_out(conversation(2), &id(0));
        assert!(!shown.contains(key(1), &id(0)) && shown.contains(key(1), &id(1)));
        for number in 0..2 * most {
            shown.remember(conversation(1), key(1), id(most + number));
            shown.hand_out(conversation(1), &id(most + number));
        }
        assert!(shown.contains(key(2), &id(0)), "others' talk does not touch it");
        assert!(shown.contains(key(1), &id(3 * most - 1)) && !shown.contains(key(1), &id(2 * most)));
        assert_eq!(shown.entries().count(), MAX_SHOWN);
        assert_eq!(std::iter::from_fn(|| shown.poll_change()).count(), MAX_SHOWN, "bounded without a disk");
    }
}

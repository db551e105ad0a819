//! A room that somebody is in: who, the newest lines, the newest changes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::tail::Tail;
use crate::chat::Change;
use crate::endpoint::Handle;
use crate::ledger;

/// Changes of who is there that are kept for members who are behind. A busy evening's worth; who is further behind gets the list
/// instead, which is shorter.
const MAX_CHANGES: usize = 128;

/// The place of somebody who must be told everything anew.
pub(super) const STALE: u64 = u64::MAX;

/// A room with somebody in it. It is forgotten when the last one leaves; the ledger keeps what must be kept.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) kept: ledger::Room,
    /// How it will be when the changes that are being stored are: the next change begins here.
    draft: Option<ledger::Room>,
    /// How many changes are being stored.
    saves: usize,
    pub(super) tail: Tail,
    pub(super) members: BTreeSet<Handle>,
    changes: VecDeque<Change>,
    /// How many changes there were.
    change_count: u64,
    /// The encoded changes after a count: most members are at the same one.
    encoded: Option<(u64, Arc<[u8]>)>,
}

/// What somebody has not been told of who is there.
pub(super) enum News {
    /// Nothing.
    None,
    /// These changes.
    Changes(Vec<Change>),
    /// More than is kept.
    TooMany,
}

impl Room {
    pub(super) fn new(kept: ledger::Room) -> Self {
        Self {
            tail: Tail::new(kept.head),
            kept,
            draft: None,
            saves: 0,
            members: BTreeSet::new(),
            changes: VecDeque::new(),
            change_count: 0,
            encoded: None,
        }
    }

    /// What a change is to be made of.
    pub(super) fn latest(&self) -> ledger::Room {
        self.draft.as_ref().unwrap_or(&self.kept).clone()
    }

    /// A change is being stored.
    pub(super) fn begin_change(&mut self, draft: ledger::Room) {
        self.draft = Some(draft);
        self.saves += 1;
    }

    /// A change was stored, or not.
    pub(super) fn finish_change(&mut self, kept: ledger::Room, is_stored: bool) {
        if is_stored {
            self.kept = kept;
        }
        self.saves = self.saves.saturating_sub(1);
        if self.saves == 0 {
            self.draft = None;
        }
    }

    /// Notes a change of who is there; its number.
    pub(super) fn note(&mut self, change: Change) -> u64 {
        if self.changes.len() == MAX_CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        self.change_count += 1;
        self.encoded = None;
        self.change_count
    }

    /// The number of the last change.
    pub(super) const fn change_count(&self) -> u64 {
        self.change_count
    }

    /// The changes after one.
    pub(super) fn changes_after(&self, after: u64) -> News {
        let Some(missed) = self.change_count.checked_sub(after) else {
            return News::TooMany;
        };
        let missed = usize::try_from(missed).unwrap_or(usize::MAX);
        match self.changes.len().checked_sub(missed) {
            _ if missed == 0 => News::None,
            Some(first) => News::Changes(self.changes.range(first..).cloned().collect()),
            None => News::TooMany,
        }
    }

    /// The changes after one, as they were encoded for somebody else.
    pub(super) fn encoded_after(&self, after: u64) -> Option<Arc<[u8]>> {
        self.encoded.as_ref().filter(|(at, _)| *at == after).map(|(_, body)| Arc::clone(body))
    }

    pub(super) fn keep_encoded(&mut self, after: u64, body: &Arc<[u8]>) {
        self.encoded = Some((after, Arc::clone(body)));
    }
}

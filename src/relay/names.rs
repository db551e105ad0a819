//! Who goes by which name: one member for each, whatever its address (UC-RELAY-006).

use std::collections::BTreeMap;

use crate::chat::numbered;
use crate::endpoint::Handle;
use crate::ledger::folded;

/// The names in use, of members and of those who are being let in.
#[derive(Debug, Default)]
pub(super) struct NameTable {
    holders: BTreeMap<String, Handle>,
}

impl NameTable {
    /// Whose a name is now.
    pub(super) fn holder(&self, nick: &str) -> Option<Handle> {
        self.holders.get(&folded(nick)).copied()
    }

    /// Gives a name to somebody, in place of whoever had it.
    pub(super) fn give(&mut self, nick: &str, handle: Handle) {
        self.holders.insert(folded(nick), handle);
    }

    /// Frees a name, if it is still this one's.
    pub(super) fn free(&mut self, nick: &str, handle: Handle) {
        let name = folded(nick);
        if self.holders.get(&name) == Some(&handle) {
            self.holders.remove(&name);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.holders.len()
    }

    /// A free name that looks like the wanted one.
    pub(super) fn suggestion(&self, nick: &str) -> Option<String> {
        numbered(nick).find(|name| self.holder(name).is_none())
    }
}

//! How many keys are known at once, and who is forgotten first (UC-KEY-012).
//!
//! Names cost a stranger nothing, so a table that is full gives away what strangers alone have put there. It must never give away
//! what the user chose for what the user did not.

use std::collections::BTreeMap;

use super::{KnownBy, KnownKey};
use crate::secure::PublicKey;

/// Addresses that a person ever typed; whoever types more has no use for the oldest.
pub const MAX_ADDRESSES: usize = 1_024;
/// Members of one relay; more than a person writes letters to. A relay brings letters under any number of names.
pub const MAX_OF_RELAY: usize = 1_024;
/// Members of all relays; more relays than a person is a member of can fill their share.
pub const MAX_MEMBERS: usize = 4_096;
/// Callers, whose names cost them nothing; more than a person talks to.
pub const MAX_CALLERS: usize = 1_024;

/// Sees to it that one more entry fits: of its kind the oldest that the user did not choose goes, and the oldest of all only for one
/// that the user chose. A relay's members go before those of others. Tells whether it does.
pub fn make_room(known: &mut BTreeMap<KnownBy, KnownKey>, by: &KnownBy, is_chosen: bool) -> bool {
    if known.contains_key(by) {
        return true;
    }
    let last = match by {
        KnownBy::Address(_) => {
            last_of(known, MAX_ADDRESSES, is_chosen, |by| matches!(by, KnownBy::Address(_)))
        }
        KnownBy::Caller { .. } => {
            last_of(known, MAX_CALLERS, is_chosen, |by| matches!(by, KnownBy::Caller { .. }))
        }
        KnownBy::Member { relay, .. } => last_member(known, *relay, is_chosen),
    };
    match last {
        Last::None => true,
        Last::Some(last) => known.remove(&last).is_some(),
        Last::Chosen => false,
    }
}

/// Who goes.
enum Last {
    /// Nobody has to.
    None,
    Some(KnownBy),
    /// Nobody may.
    Chosen,
}

fn last_of(
    known: &BTreeMap<KnownBy, KnownKey>,
    limit: usize,
    is_chosen: bool,
    is_alike: impl Fn(&KnownBy) -> bool,
) -> Last {
    let alike = || known.iter().filter(|(by, _)| is_alike(by));
    if alike().count() < limit {
        return Last::None;
    }
    let may_go = |known: &KnownKey| is_chosen || !known.is_chosen;
    let last = alike()
        .filter(|(_, known)| may_go(known))
        .min_by_key(|(by, known)| (known.is_chosen, known.since, (*by).clone()));
    last.map_or(Last::Chosen, |(by, _)| Last::Some(by.clone()))
}

fn last_member(known: &BTreeMap<KnownBy, KnownKey>, relay: PublicKey, is_chosen: bool) -> Last {
    let of = |by: &KnownBy| match by {
        KnownBy::Member { relay, .. } => Some(*relay),
        _ => None,
    };
    let own = last_of(known, MAX_OF_RELAY, is_chosen, |by| of(by) == Some(relay));
    if !matches!(own, Last::None) {
        return own;
    }
    let mut counts: BTreeMap<PublicKey, usize> = BTreeMap::new();
    let mut total = 0;
    for (by, known) in known {
        let Some(relay) = of(by) else { continue };
        total += 1;
        *counts.entry(relay).or_default() += usize::from(is_chosen || !known.is_chosen);
    }
    if total < MAX_MEMBERS {
        return Last::None;
    }
    // Where strangers have put the most.
    let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(relay, _)| relay);
    last_of(known, 0, is_chosen, |by| most.is_some() && of(by) == most)
}

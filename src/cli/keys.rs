//! `udpchat id` and `udpchat trust`: the key of a profile, and which key it takes for somebody's.

use super::args::{IdArgs, TrustArgs};
use super::exit::{Exit, Failure};
use super::{complain, identity};
use crate::io::clock::Clock;
use crate::io::output::Output;
use crate::peer::trust::{KnownBy, Trust};
use crate::secure::key_words;
use crate::ui::filter;
use crate::ui::trust::identity_json;

/// Prints the key of a profile; the first time it is made.
pub(super) fn show(flags: &IdArgs) -> Result<Exit, Failure> {
    let (kept, is_new) = identity::of_profile(&flags.profile)?;
    let key = kept.keys().public();
    if is_new {
        let nick = filter::nick(&identity::name_of(&flags.profile));
        complain(&format!(
            "the profile {nick} is new: this key was made just now, in {}",
            kept.folder().display()
        ));
    }
    let mut stdout = Output::stdout();
    if flags.json {
        stdout.push_line(&identity_json(key));
    } else {
        stdout.push_line(&key.to_string());
        stdout.push_line(&key_words(&key));
    }
    stdout.flush();
    Ok(Exit::Done)
}

/// Has a profile take a key for that of an address, whatever it knew before.
pub(super) fn trust(flags: &TrustArgs) -> Result<Exit, Failure> {
    let target = &flags.who;
    let Some(key) = target.key() else {
        return Err(Failure::usage(format!(
            "which key? write KEY@{target}, with the key that the other side's `udpchat id` shows"
        )));
    };
    let mut kept = identity::of_known_profile(&flags.profile)?;
    let mut trust = Trust::new(kept.known().clone());
    let by = KnownBy::address(&target.to_string());
    let accepted = trust.pin(Clock::new().now().wall, &by, key);
    let learned = std::iter::from_fn(|| trust.poll_change()).collect();
    if !kept.keep(&learned).map_err(Failure::failed)?.is_empty() {
        return Err(Failure::failed(format!(
            "the key of {target} was not changed: another program with this profile accepted one at the same moment; say it again"
        )));
    }
    let mut stdout = Output::stdout();
    match accepted.before.filter(|before| before.key != key) {
        Some(before) => stdout.push_line(&format!(
            "the key of {target} is {} now, no longer {}",
            key_words(&key),
            key_words(&before.key)
        )),
        None => stdout.push_line(&format!("the key of {target} is {}", key_words(&key))),
    }
    stdout.flush();
    Ok(Exit::Done)
}

//! Names: which texts are names, which two are the same, and which two look the same.
//!
//! Two spellings are one name if they differ in nothing but case and the ways in which Unicode writes the same (`folded`). Two names
//! look alike if a reader may take one for the other: `ana` with a Cyrillic а, `bob1` and `bobl` (UTS 39, skeletons). This module
//! must never decide whose a name is.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;
use unicode_script::Script;
use unicode_security::confusable_detection::skeleton;
use unicode_security::mixed_script::AugmentedScriptSet;

/// The longest nick, in characters.
pub const MAX_NICK_CHARS: usize = 32;

/// The longest name as it is compared, in bytes: single characters stand for whole phrases, and names are kept in files.
const MAX_FOLDED_BYTES: usize = 128;

/// Whether `nick` may be shown as a name (UC-CHAT-011): 1 to 32 characters, none of them a space, one that a terminal acts on, or
/// one that nobody sees: two names that look the same would be two people.
pub fn is_nick(nick: &str) -> bool {
    let count = nick.chars().take(MAX_NICK_CHARS + 1).count();
    (1..=MAX_NICK_CHARS).contains(&count)
        && folded(nick).len() <= MAX_FOLDED_BYTES
        && nick.chars().all(is_visible)
}

/// Whether a character takes a place of its own in a name. Not so: white space, controls, and the format, filler and selector
/// characters that Unicode calls default-ignorable (DerivedCoreProperties.txt).
pub(super) fn is_visible(c: char) -> bool {
    let is_ignorable = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}');
    !(c.is_control() || c.is_whitespace() || is_ignorable)
}

/// A name as it is written: what is composed of several characters is one where there is one (NFC).
pub fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// A name as names are compared: in lower case, and without the differences that Unicode calls compatible (NFKC).
pub fn folded(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let lower = name.nfkc().collect::<String>().to_lowercase();
    lower.nfkc().collect()
}

/// What a name looks like. Two names look alike if they share one of these; a name has one or two, since an `I` may be taken for
/// an `l` as it is written, and for an `i` as it is compared.
pub fn likenesses(name: &str) -> BTreeSet<String> {
    let written: String = name.nfkc().collect();
    let as_written = cased_alike(&skeleton(&written).collect::<String>());
    let as_compared = cased_alike(&folded(name));
    [as_written, as_compared].iter().map(|name| skeleton(name).collect()).collect()
}

/// Without the differences of case, as full as Unicode has them: ß is ss, and one sigma the other.
fn cased_alike(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Whether a name mixes scripts that no language mixes: what is left are Latin beside one other that is in wide use, but not beside
/// Cyrillic or Greek, which look too much like it (UTS 39, moderately restrictive).
pub fn mixes_scripts(name: &str) -> bool {
    let (mut all, mut beside_latin) = (AugmentedScriptSet::default(), AugmentedScriptSet::default());
    for character in name.nfkc() {
        let scripts = AugmentedScriptSet::for_char(character);
        all.intersect_with(scripts);
        if !scripts.base.contains_script(Script::Latin) {
            beside_latin.intersect_with(scripts);
        }
    }
    let is_east_asian = beside_latin.hanb || beside_latin.jpan || beside_latin.kore;
    if !all.is_empty() || is_east_asian {
        return false;
    }
    let mut others = beside_latin.base.iter();
    match (others.next(), others.next()) {
        (Some(script), None) => {
            !script.is_recommended() || matches!(script, Script::Cyrillic | Script::Greek)
        }
        _ => true,
    }
}

/// Names that come from one that is not free, the nearest first. They are as long as a name may be.
pub fn numbered(nick: &str) -> impl Iterator<Item = String> {
    (2..100_u32).map(move |number| {
        let suffix = format!("-{number}");
        let stem: String = nick.chars().take(MAX_NICK_CHARS - suffix.len()).collect();
        format!("{stem}{suffix}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_alike(a: &str, b: &str) -> bool {
        !likenesses(a).is_disjoint(&likenesses(b))
    }

    // UC-RELAY-006
    #[test]
    fn spellings_of_one_name_are_one() {
        for (a, b) in [
            ("ANA", "ana"),
            ("ÇA", "c\u{327}a"),
            ("ﬁm", "fim"),
            ("ａｎａ", "Ana"),
            ("ΟΔΟΣ", "οδος"),
            ("K", "\u{212a}"),
        ] {
            assert_eq!(folded(a), folded(b), "{a} {b}");
        }
        for (a, b) in [("ana", "anа"), ("bob1", "bobl"), ("ana", "aná")] {
            assert_ne!(folded(a), folded(b), "{a} {b}");
        }
    }

    #[test]
    fn folding_twice_changes_nothing_more() {
        for character in (0..=0x10_ffff).filter_map(char::from_u32) {
            let once = folded(&character.to_string());
            assert_eq!(folded(&once), once, "{character:?}");
        }
    }

    // UC-RELAY-028
    #[test]
    fn names_that_a_reader_may_confuse_look_alike() {
        for (a, b) in [
            ("sala", "sаla"),
            ("bob1", "bobl"),
            ("BOB1", "bobl"),
            ("Ian", "lan"),
            ("AIice", "alice"),
            ("tirn", "tim"),
            ("bob0", "BOBO"),
            ("straße", "strasse"),
            ("раура", "paypa"),
            ("ana", "𝐚𝐧𝐚"),
            ("ana", "ANA"),
        ] {
            assert!(look_alike(a, b), "{a} {b}: {:?} {:?}", likenesses(a), likenesses(b));
        }
        for (a, b) in
            [("ana", "bob"), ("ana", "ana-2"), ("ana", "aná"), ("user-1", "user-2"), ("漢", "字"), ("a", "b")]
        {
            assert!(!look_alike(a, b), "{a} {b}");
        }
        // What people call themselves by the hundred stays different.
        let numbered: Vec<_> = (0..2000).map(|number| likenesses(&format!("user-{number}"))).collect();
        let all: BTreeSet<_> = numbered.iter().flatten().collect();
        assert_eq!(all.len(), numbered.iter().map(BTreeSet::len).sum::<usize>());
    }

    // UC-RELAY-028
    #[test]
    fn scripts_are_mixed_as_languages_mix_them_and_no_further() {
        for name in [
            "ana",
            "bob-1_[away]",
            "joão",
            "аня",
            "Άννα",
            "שלום",
            "ليلى",
            "東京tower",
            "カナkana漢字",
            "김kim",
            "ana❤",
            "अनाana",
        ] {
            assert!(!mixes_scripts(name), "{name}");
        }
        for name in ["anа", "αna", "аnя", "漢字а", "שana東", "ᏚAna"] {
            assert!(mixes_scripts(name), "{name}");
        }
    }

    #[test]
    fn other_names_fit() {
        let names: Vec<String> = numbered("ana").take(2).collect();
        assert_eq!(names, ["ana-2", "ana-3"]);
        assert!(numbered(&"x".repeat(MAX_NICK_CHARS)).all(|name| is_nick(&name)));
    }
}

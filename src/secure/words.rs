//! Keys as words, for people who compare them by voice.

use bip39::Language;
use ring::digest;

use super::PublicKey;

/// The words of a key: eight of 2048 are 88 bits. Who wants a key with the same words tries as many keys as nobody can.
const KEY_WORDS: usize = 8;

/// The words of two keys: 132 bits. Somebody in between chooses a key on either side, so half of the bits are all that their work
/// has to reach: two lists of 2^44 keys would do against eight words, and some graphics cards make them in days.
const COMPARISON_WORDS: usize = 12;

/// The words of one key (UC-KEY-004).
pub fn key_words(key: &PublicKey) -> String {
    words(KEY_WORDS, &[b"udpchat key 1", key.as_bytes()])
}

/// The words that two sides of a conversation see alike, whoever asks, and that somebody between them cannot bring about
/// (UC-KEY-005).
pub fn comparison_words(ours: &PublicKey, theirs: &PublicKey) -> String {
    let (low, high) = if ours <= theirs { (ours, theirs) } else { (theirs, ours) };
    words(COMPARISON_WORDS, &[b"udpchat compare 1", low.as_bytes(), high.as_bytes()])
}

/// The first bits of a SHA-256 as words of the English list of BIP-39, whose first four letters are enough to tell them apart.
fn words(count: usize, parts: &[&[u8]]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let hash = context.finish();
    let list = Language::English.word_list();
    let bit = |at: usize| usize::from(hash.as_ref()[at / 8] >> (7 - at % 8) & 1);
    let word = |nth: usize| list[(11 * nth..11 * nth + 11).fold(0, |word, at| 2 * word + bit(at))];
    (0..count).map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::KeyPair;

    #[test]
    fn both_sides_read_the_same_words() {
        let [ana, bob] = [1, 2].map(|secret| KeyPair::from_secret([secret; 32]).public());
        assert_eq!(comparison_words(&ana, &bob), comparison_words(&bob, &ana));
        assert_ne!(comparison_words(&ana, &bob), comparison_words(&ana, &ana));
        assert_eq!(comparison_words(&ana, &bob).split(' ').count(), COMPARISON_WORDS);
        assert_eq!(key_words(&ana).split(' ').count(), KEY_WORDS);
        assert_ne!(key_words(&ana), key_words(&bob));
    }
}

//! A letter that only its receiver can read, who need not be there: one Noise X message (UC-LETTER-001).
//!
//! What it does not give: whoever takes the receiver's secret key later can read every letter that was kept (no forward secrecy).

use std::fmt;

use super::noise::{LETTER, builder};
use super::{Entropy, KeyPair, PublicKey, Seed};

/// What sealing adds: an ephemeral key, the sender's key with its tag, the text's tag.
pub const LETTER_OVERHEAD_BYTES: usize = 96;

/// The longest text of a letter: Noise's messages have at most 65 535 bytes.
pub const MAX_LETTER_BYTES: usize = 65_535 - LETTER_OVERHEAD_BYTES;

/// What a letter is bound to: it opens only as the one that was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter<'a> {
    /// The relay that carries it.
    pub relay: PublicKey,
    /// Who wrote it.
    pub sender: PublicKey,
    /// Who is to read it.
    pub recipient: PublicKey,
    /// Its message id.
    pub id: &'a str,
}

/// Why a letter cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterError {
    /// The text is longer than [`MAX_LETTER_BYTES`].
    TooLong,
    /// It was not sealed by that sender for that recipient, at that relay, under that id; or it was changed on the way.
    Seal,
    /// The recipient's key is nobody's.
    NoKey,
}

impl Letter<'_> {
    /// Seals `text`; `keys` are the sender's.
    pub fn seal(&self, keys: &KeyPair, entropy: &mut Entropy, text: &[u8]) -> Result<Vec<u8>, LetterError> {
        if text.len() > MAX_LETTER_BYTES {
            return Err(LetterError::TooLong);
        }
        if !self.recipient.is_usable() {
            return Err(LetterError::NoKey);
        }
        let prologue = self.prologue();
        // Each is set once and has the right length, and X needs no other.
        let mut state = builder(LETTER, entropy.split())
            .local_private_key(keys.secret())
            .and_then(|builder| builder.remote_public_key(self.recipient.as_bytes()))
            .and_then(|builder| builder.prologue(&prologue)?.build_initiator())
            .expect("X needs nothing but these");
        let mut message = vec![0; LETTER_OVERHEAD_BYTES + text.len()];
        let length = state.write_message(text, &mut message).map_err(|_| LetterError::Seal)?;
        message.truncate(length);
        Ok(message)
    }

    /// Opens a sealed text; `keys` are the recipient's. That it opens proves who sealed it.
    pub fn open(&self, keys: &KeyPair, sealed: &[u8]) -> Result<Vec<u8>, LetterError> {
        let prologue = self.prologue();
        // Reading draws no random number.
        let mut state = builder(LETTER, Seed::from([0; 32]))
            .local_private_key(keys.secret())
            .and_then(|builder| builder.prologue(&prologue)?.build_responder())
            .expect("X needs nothing but these");
        let mut text = vec![0; sealed.len()];
        let length = state.read_message(sealed, &mut text).map_err(|_| LetterError::Seal)?;
        if state.get_remote_static() != Some(self.sender.as_bytes()) || !self.sender.is_usable() {
            return Err(LetterError::Seal);
        }
        text.truncate(length);
        Ok(text)
    }

    fn prologue(&self) -> Vec<u8> {
        let keys = [self.relay, self.sender, self.recipient];
        let mut prologue = b"udpchat letter 1".to_vec();
        keys.iter().for_each(|key| prologue.extend_from_slice(key.as_bytes()));
        prologue.extend_from_slice(self.id.as_bytes());
        prologue
    }
}

impl fmt::Display for LetterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => {
                write!(f, "a sealed message takes at most {MAX_LETTER_BYTES} bytes; send it in parts")
            }
            Self::Seal => f.write_str("it was not sealed for us by who is said to have sent it"),
            Self::NoKey => f.write_str("the receiver's key is nobody's"),
        }
    }
}

impl std::error::Error for LetterError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: u8) -> KeyPair {
        KeyPair::from_secret([secret; 32])
    }

    fn letter() -> Letter<'static> {
        Letter {
            relay: keys(9).public(),
            sender: keys(1).public(),
            recipient: keys(2).public(),
            id: "k3f9q2a1-1",
        }
    }

    #[test]
    fn only_the_recipient_reads_it_and_only_as_what_it_is() {
        let sealed = letter().seal(&keys(1), &mut Entropy::from_seed([1; 32]), b"oi").unwrap();
        assert_eq!(sealed.len(), LETTER_OVERHEAD_BYTES + 2);
        assert_eq!(letter().open(&keys(2), &sealed).as_deref(), Ok(&b"oi"[..]));
        assert_eq!(letter().open(&keys(3), &sealed), Err(LetterError::Seal));
        for other in [
            Letter { relay: keys(8).public(), ..letter() },
            Letter { sender: keys(3).public(), ..letter() },
            Letter { recipient: keys(3).public(), ..letter() },
            Letter { id: "k3f9q2a1-2", ..letter() },
        ] {
            assert_eq!(other.open(&keys(2), &sealed), Err(LetterError::Seal));
        }
        for bit in 0..8 * sealed.len() {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(letter().open(&keys(2), &damaged), Err(LetterError::Seal));
        }
    }

    #[test]
    fn nobody_signs_for_another() {
        let sealed = letter().seal(&keys(3), &mut Entropy::from_seed([1; 32]), b"oi").unwrap();
        assert_eq!(letter().open(&keys(2), &sealed), Err(LetterError::Seal));
        let zero = Letter { recipient: PublicKey::from_bytes([0; 32]), ..letter() };
        assert_eq!(zero.seal(&keys(1), &mut Entropy::from_seed([1; 32]), b""), Err(LetterError::NoKey));
        let long = vec![0; MAX_LETTER_BYTES + 1];
        assert_eq!(
            letter().seal(&keys(1), &mut Entropy::from_seed([1; 32]), &long),
            Err(LetterError::TooLong)
        );
        let sealed = letter().seal(&keys(1), &mut Entropy::from_seed([1; 32]), &long[1..]).unwrap();
        assert_eq!(letter().open(&keys(2), &sealed).unwrap().len(), MAX_LETTER_BYTES);
    }
}

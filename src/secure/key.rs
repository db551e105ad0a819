//! Key pairs: who somebody is, whatever address or name they use.

use std::fmt;
use std::str::FromStr;

use data_encoding::{Encoding, Specification};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::LazyLock;
use zeroize::Zeroizing;

use super::Entropy;
use super::noise::x25519;

/// Somebody's public key, X25519 (RFC 7748). As text: the 32 bytes in base32 (RFC 4648), lower case, without padding, 52
/// characters. Read it in either case (UC-KEY-002).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// A public key and the secret that proves it, which leaves this type for its file alone (UC-KEY-001).
#[derive(Clone)]
pub struct KeyPair {
    public: PublicKey,
    secret: Zeroizing<[u8; 32]>,
}

/// A text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey;

impl PublicKey {
    /// How many characters it is as text.
    pub const TEXT_CHARS: usize = 52;

    /// The key in these bytes. Any 32 bytes are one; see [`PublicKey::is_usable`].
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether it names anybody: with a few points of the curve every secret agrees on zero, so anyone could pass for them
    /// (RFC 7748, section 6.1; UC-KEY-003).
    pub fn is_usable(&self) -> bool {
        let mut dh = x25519();
        dh.set(&[1; 32]);
        let mut shared = [0; 32];
        dh.dh(&self.0, &mut shared).is_ok() && shared != [0; 32]
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32.encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let bytes = BASE32.decode(text.as_bytes()).map_err(|_| BadKey)?;
        bytes.try_into().map(Self).map_err(|_| BadKey)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl KeyPair {
    /// A new one.
    pub fn generate(entropy: &mut Entropy) -> Self {
        Self::from_secret(entropy.bytes())
    }

    /// The one with this secret. Any 32 bytes are one.
    pub fn from_secret(secret: [u8; 32]) -> Self {
        let secret = Zeroizing::new(secret);
        let mut dh = x25519();
        dh.set(&*secret);
        // X25519's public keys have 32 bytes.
        let public = PublicKey(dh.pubkey().try_into().expect("32 bytes"));
        Self { public, secret }
    }

    /// The one whose secret was written by [`KeyPair::secret_text`].
    pub fn from_secret_text(text: &str) -> Result<Self, BadKey> {
        let bytes = Zeroizing::new(BASE32.decode(text.as_bytes()).map_err(|_| BadKey)?);
        <[u8; 32]>::try_from(bytes.as_slice()).map(Self::from_secret).map_err(|_| BadKey)
    }

    /// The public half.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The secret half as text, for the one file that may hold it.
    pub fn secret_text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32.encode(&*self.secret))
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public)
    }
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "that is no key: a key is {} letters and digits, as `udpchat id` shows it",
            PublicKey::TEXT_CHARS
        )
    }
}

impl std::error::Error for BadKey {}

/// Letters and the digits 2 to 7: nothing in it is mistaken for anything else, and a double click selects all of it.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    specification.translate.from.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    specification.translate.to.push_str("abcdefghijklmnopqrstuvwxyz");
    specification.encoding().expect("32 different symbols")
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_one_that_rfc_7748_gives() {
        // RFC 7748, section 6.1: Alice's pair.
        let secret = *b"\x77\x07\x6d\x0a\x73\x18\xa5\x7d\x3c\x16\xc1\x72\x51\xb2\x66\x45\xdf\x4c\x2f\x87\xeb\xc0\x99\x2a\xb1\x77\xfb\xa5\x1d\xb9\x2c\x2a";
        let public = *b"\x85\x20\xf0\x09\x89\x30\xa7\x54\x74\x8b\x7d\xdc\xb4\x3e\xf7\x5a\x0d\xbf\x3a\x0d\x26\x38\x1a\xf4\xeb\xa4\xa9\x8e\xaa\x9b\x4e\x6a";
        let pair = KeyPair::from_secret(secret);
        assert_eq!(pair.public(), PublicKey::from_bytes(public));
        assert_eq!(KeyPair::from_secret_text(&pair.secret_text()).unwrap().public(), pair.public());
    }

    #[test]
    fn text_and_back_in_either_case() {
        let key = KeyPair::from_secret([7; 32]).public();
        let text = key.to_string();
        assert_eq!(text.len(), PublicKey::TEXT_CHARS);
        assert_eq!(text.parse(), Ok(key));
        assert_eq!(text.to_uppercase().parse(), Ok(key));
        for bad in ["", "abc", &text[1..], &format!("{text}a"), &text.replace(&text[..1], "1")] {
            assert_eq!(bad.parse::<PublicKey>(), Err(BadKey), "{bad}");
        }
    }

    #[test]
    fn points_on_which_every_secret_agrees_are_nobodys_key() {
        let mut one = [0; 32];
        one[0] = 1;
        for point in [[0; 32], one] {
            assert!(!PublicKey::from_bytes(point).is_usable());
        }
        assert!(KeyPair::from_secret([7; 32]).public().is_usable());
    }

    #[test]
    fn a_log_shows_no_secret() {
        let pair = KeyPair::from_secret([7; 32]);
        assert!(!format!("{pair:?}").contains(pair.secret_text().as_str()));
        assert_eq!(format!("{:?}", Entropy::from_seed([1; 32])), "Entropy(secret)");
    }
}

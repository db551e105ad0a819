//! Passwords as they are kept: salted and stretched with Argon2id (RFC 9106), in the PHC string format.
//!
//! Whoever steals the file has to guess, and each guess costs as much as a right one costs here: memory, and time. That is why a
//! caller that must not wait hands a [`Stretch`] to somebody who may. This module must never show a password, and never take one
//! for right because what is kept cannot be read.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

use super::Secret;

/// What one guess costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StretchCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl StretchCost {
    /// The least that OWASP's Password Storage Cheat Sheet advises for Argon2id: 19 MiB, two passes, one lane. It takes some tens
    /// of milliseconds of one core, so a relay that hundreds come back to is through with them in seconds.
    pub const KEPT: Self = Self { memory_kib: 19 * 1024, passes: 2 };

    /// The least that the algorithm takes: for simulations and tests, where nothing is worth guessing.
    pub const LEAST: Self = Self { memory_kib: 8, passes: 1 };
}

/// Makes equal passwords differ where they are kept. It need not be secret, and no two may be equal.
pub type Salt = [u8; 16];

/// A password as it is kept. It tells how it was stretched, so the cost can change and old ones stay of use.
#[derive(Clone, PartialEq, Eq)]
pub struct Stretched(String);

impl Stretched {
    /// What was kept before.
    pub const fn from_text(text: String) -> Self {
        Self(text)
    }

    /// How it is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Stretched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stretched")
    }
}

/// What takes time: to be done by somebody who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// A new password is to be kept.
    New {
        /// Which.
        password: Secret,
        /// Of this one alone.
        salt: Salt,
    },
    /// Somebody says that they know one that is kept.
    Check {
        /// What they say.
        password: Secret,
        /// How the right one is kept.
        against: Stretched,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StretchOutcome {
    /// The password as it is to be kept.
    Made(Stretched),
    /// Whether they know it.
    Checked {
        /// Whether it is the one that is kept.
        is_right: bool,
    },
    /// It cannot be done. It lets nobody in.
    Failed {
        /// What the operator should know.
        why: String,
    },
}

impl Stretch {
    /// Does it; that takes as long as it costs. What is checked costs what it did when it was made.
    pub fn carry_out(&self, cost: StretchCost) -> StretchOutcome {
        match self {
            Self::New { password, salt } => match stretch(password, salt, cost) {
                Ok(stretched) => StretchOutcome::Made(stretched),
                Err(error) => {
                    StretchOutcome::Failed { why: format!("a new password cannot be stretched ({error})") }
                }
            },
            Self::Check { password, against } => match is_right(password, against) {
                Ok(is_right) => StretchOutcome::Checked { is_right },
                Err(error) => {
                    let why = format!(
                        "a password is kept in a form that cannot be read ({error}): its room's owner can set another"
                    );
                    StretchOutcome::Failed { why }
                }
            },
        }
    }
}

/// A password as it is to be kept.
pub fn stretch(password: &str, salt: &Salt, cost: StretchCost) -> Result<Stretched, Error> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, None)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let kept = argon2.hash_password_with_salt(password.as_bytes(), salt)?;
    Ok(Stretched(kept.to_string()))
}

/// Whether it is the password that is kept, in a time that does not tell how much of it is right.
fn is_right(password: &str, kept: &Stretched) -> Result<bool, Error> {
    let kept = PasswordHash::new(&kept.0)?;
    match Argon2::default().verify_password(password.as_bytes(), &kept) {
        Ok(()) => Ok(true),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = *b"one salt for all";

    #[track_caller]
    fn check(password: &str, against: &Stretched, expected: bool) {
        let stretch = Stretch::Check { password: password.into(), against: against.clone() };
        let outcome = stretch.carry_out(StretchCost::LEAST);
        assert_eq!(outcome, StretchOutcome::Checked { is_right: expected }, "{password:?}");
    }

    fn made(password: &str, salt: Salt, cost: StretchCost) -> Stretched {
        match (Stretch::New { password: password.into(), salt }).carry_out(cost) {
            StretchOutcome::Made(kept) => kept,
            other => panic!("{other:?}"),
        }
    }

    // UC-RELAY-027
    #[test]
    fn a_password_is_kept_so_that_only_whoever_knows_it_is_right() {
        let kept = made("cheese", SALT, StretchCost::LEAST);
        assert!(
            kept.as_str().starts_with("$argon2id$v=19$m=8,t=1,p=1$b25lIHNhbHQgZm9yIGFsbA$"),
            "{}",
            kept.as_str()
        );
        check("cheese", &kept, true);
        for wrong in ["", "chees", "cheese ", "Cheese", kept.as_str()] {
            check(wrong, &kept, false);
        }
        let other = made("cheese", *b"and yet another!", StretchCost::LEAST);
        assert_ne!(kept, other, "equal passwords must not look equal");
        check("cheese", &other, true);
        assert_eq!(
            format!("{kept:?} {:?}", Stretch::New { password: "cheese".into(), salt: [7; 16] })
                .find("cheese"),
            None
        );
    }

    #[test]
    fn the_kept_cost_is_that_of_the_advice() {
        let kept = made("", SALT, StretchCost::KEPT);
        assert!(kept.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", kept.as_str());
        check("", &kept, true);
        check("?", &kept, false);
    }

    #[test]
    fn what_cannot_be_read_lets_nobody_in() {
        for kept in ["", "cheese", "$argon2id$v=19$m=8,t=1,p=1$b25lIHNhbHQgZm9yIGFsbA", "$md5$x$y"] {
            let against = Stretched::from_text(kept.to_owned());
            for password in ["", kept] {
                let stretch = Stretch::Check { password: password.into(), against: against.clone() };
                let outcome = stretch.carry_out(StretchCost::LEAST);
                assert!(
                    !matches!(outcome, StretchOutcome::Checked { is_right: true }),
                    "{kept}: {outcome:?}"
                );
            }
        }
    }
}

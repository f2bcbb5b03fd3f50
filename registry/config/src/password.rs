//! [`PasswordHash`]: a password hash whose cost the registry is willing to pay.

mod hashing;
mod nobody;
mod verify;

use std::fmt;

use password_hash::phc;
use serde::{Deserialize, Serialize};

pub use hashing::{InvalidPasswordHashing, PasswordHashing};
pub use verify::HashMemory;

/// How many bytes Argon2 makes at least, everywhere it is not told otherwise.
const MIN_OUTPUT: usize = 32;

/// The hash of a password: Argon2id in PHC string format, `$argon2id$v=19$m=…,t=…,p=…$<salt>$<hash>`, or bcrypt as
/// `htpasswd -B` writes it, `$2y$<cost>$<salt and hash>`, with bounded cost.
///
/// `Debug` shows the algorithm only: a hash can be attacked offline, so it belongs in no log.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PasswordHash(String);

/// What one verification may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    /// Memory of Argon2 in KiB (`m`).
    pub memory_kib: u32,
    /// Passes of Argon2 over that memory (`t`).
    pub passes: u32,
    /// Lanes of Argon2 (`p`).
    pub lanes: u32,
    /// The logarithm of bcrypt's rounds.
    pub bcrypt: u32,
}

impl HashCost {
    /// The highest cost that a hash brought along may have: 64 MiB, 10 passes, 4 lanes; bcrypt 14, which is about a second.
    pub const CAP: Self = Self {
        memory_kib: 64 * 1024,
        passes: 10,
        lanes: 4,
        bcrypt: 14,
    };
    /// What it may have where somebody of another namespace brings it along, who does not pay for the registry: twice the
    /// cost of the hashes that are made here by default.
    pub const GUEST_CAP: Self = Self {
        memory_kib: 19 * 1024,
        passes: 4,
        lanes: 1,
        bcrypt: 10,
    };
}

/// Why a text is not accepted as a password hash. The text itself is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPasswordHash {
    /// No format that is known.
    #[error(
        "not a password hash: it is neither Argon2id in PHC string format (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`) nor bcrypt (`$2y$10$…`); make one with `wharfinger-registry hash-password`"
    )]
    Syntax,
    /// Another algorithm.
    #[error(
        "algorithm `{0}` is not supported; make an Argon2id hash with `wharfinger-registry hash-password`, or bcrypt with `htpasswd -nB USER`"
    )]
    Algorithm(String),
    /// A version of Argon2 other than 1.3.
    #[error("the hash is not of Argon2 version 19 (1.3)")]
    Version,
    /// The salt or the hash itself is missing, so that no password could ever match.
    #[error("the hash is truncated: its {0} is missing")]
    Truncated(&'static str),
    /// The hash itself is shorter than anybody makes it.
    #[error(
        "the hash itself is {0} bytes long, but at least {MIN_OUTPUT} make one: was it cut off when it was copied?"
    )]
    Short(usize),
    /// Salt and hash are not as long as they must be.
    #[error("the bcrypt hash is {0} characters long, but 60 make one: was it cut off when it was copied?")]
    Length(usize),
    /// A parameter is missing or is not a number.
    #[error("parameter `{0}` is missing or not a number")]
    Parameter(&'static str),
    /// Verifying would cost more than the registry is willing to pay.
    #[error("parameter `{name}` is {value}, but at most {most} is accepted")]
    TooCostly {
        /// The parameter.
        name: &'static str,
        /// Its value in the hash.
        value: u32,
        /// The highest accepted value.
        most: u32,
    },
    /// A parameter that its algorithm does not have.
    #[error("parameter `{name}` is {value}, which no hash of its algorithm can have")]
    Impossible {
        /// The parameter.
        name: &'static str,
        /// Its value in the hash.
        value: u32,
    },
}

impl PasswordHash {
    /// Checks `text` and takes it as a hash.
    ///
    /// # Errors
    /// Where it is not a complete hash of Argon2id 1.3 or bcrypt within [`HashCost::CAP`].
    pub fn parse(text: &str) -> Result<Self, InvalidPasswordHash> {
        Self::parse_within(text, HashCost::CAP)
    }

    /// Checks `text` and takes it as a hash whose cost is within `cap`.
    ///
    /// # Errors
    /// As [`PasswordHash::parse`].
    pub fn parse_within(text: &str, cap: HashCost) -> Result<Self, InvalidPasswordHash> {
        match foreign_scheme(text) {
            Some(scheme) => return Err(InvalidPasswordHash::Algorithm(scheme.to_owned())),
            None if is_bcrypt(text) => check_bcrypt(text, cap)?,
            None => check_argon2(text, cap)?,
        }
        Ok(Self(text.to_owned()))
    }

    /// The hash as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its algorithm.
    pub fn algorithm(&self) -> &'static str {
        if is_bcrypt(&self.0) { "bcrypt" } else { "argon2id" }
    }
}

/// The three marks of one algorithm: `2a` and `2b` are what other tools write for what `htpasswd` calls `2y`.
fn is_bcrypt(text: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"].iter().any(|mark| text.starts_with(mark))
}

/// The name of a scheme that `htpasswd` and `crypt` write, and that is too weak or too old to be taken.
fn foreign_scheme(text: &str) -> Option<&'static str> {
    [
        ("$apr1$", "apr1 (MD5)"),
        ("$1$", "MD5-crypt"),
        ("$5$", "SHA-256-crypt"),
        ("$6$", "SHA-512-crypt"),
        ("$2x$", "bcrypt 2x"),
        ("{SHA}", "SHA-1"),
        ("{SSHA}", "salted SHA-1"),
    ]
    .into_iter()
    .find_map(|(mark, name)| text.starts_with(mark).then_some(name))
    .or_else(|| is_crypt(text).then_some("crypt (DES)"))
}

/// What `htpasswd -d` writes: 13 characters of its own base64.
fn is_crypt(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
    text.len() == 13 && text.bytes().all(is_letter)
}

fn check_bcrypt(text: &str, cap: HashCost) -> Result<(), InvalidPasswordHash> {
    if text.len() != 60 {
        return Err(InvalidPasswordHash::Length(text.chars().count()));
    }
    let parts: bcrypt::HashParts = text.parse().map_err(|_| InvalidPasswordHash::Syntax)?;
    let (name, value) = ("cost", parts.get_cost());
    // The least and the most of the algorithm.
    if !(4..=31).contains(&value) {
        return Err(InvalidPasswordHash::Impossible { name, value });
    }
    let most = cap.bcrypt;
    if value > most {
        return Err(InvalidPasswordHash::TooCostly { name, value, most });
    }
    Ok(())
}

fn check_argon2(text: &str, cap: HashCost) -> Result<(), InvalidPasswordHash> {
    let parsed = phc::PasswordHash::new(text).map_err(|_| InvalidPasswordHash::Syntax)?;
    if parsed.algorithm.as_str() != "argon2id" {
        return Err(InvalidPasswordHash::Algorithm(parsed.algorithm.to_string()));
    }
    if parsed.version != Some(19) {
        return Err(InvalidPasswordHash::Version);
    }
    let limits = [("m", cap.memory_kib), ("t", cap.passes), ("p", cap.lanes)];
    for (name, most) in limits {
        let value = parsed
            .params
            .get_decimal(name)
            .ok_or(InvalidPasswordHash::Parameter(name))?;
        if value > most {
            return Err(InvalidPasswordHash::TooCostly { name, value, most });
        }
        if value == 0 {
            return Err(InvalidPasswordHash::Impossible { name, value });
        }
    }
    if parsed.salt.is_none() {
        return Err(InvalidPasswordHash::Truncated("salt"));
    }
    let Some(hash) = parsed.hash else {
        return Err(InvalidPasswordHash::Truncated("hash"));
    };
    // Argon2 makes shorter ones on demand, and nobody asks for them: one that was cut off looks like that, and matches no password.
    if hash.len() < MIN_OUTPUT {
        return Err(InvalidPasswordHash::Short(hash.len()));
    }
    argon2::Params::try_from(&parsed).map_err(|_| InvalidPasswordHash::Syntax)?;
    Ok(())
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({}…)", self.algorithm())
    }
}

impl From<PasswordHash> for String {
    fn from(hash: PasswordHash) -> Self {
        hash.0
    }
}

impl TryFrom<String> for PasswordHash {
    type Error = InvalidPasswordHash;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests;

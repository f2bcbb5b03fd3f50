//! [`PasswordHash`]: a password hash in PHC string format whose cost the registry is willing to pay.

use std::fmt;

use password_hash::phc;
use serde::{Deserialize, Serialize};

/// An Argon2id hash in PHC string format, `$argon2id$v=19$m=…,t=…,p=…$<salt>$<hash>`, with bounded cost.
///
/// `Debug` shows the algorithm only: a hash can be attacked offline, so it belongs in no log.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PasswordHash(String);

/// What one verification may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    /// Memory in KiB (`m`).
    pub memory_kib: u32,
    /// Passes over that memory (`t`).
    pub passes: u32,
    /// Lanes (`p`).
    pub lanes: u32,
}

impl HashCost {
    /// The highest cost that a hash brought along may have: 64 MiB, 10 passes, 4 lanes.
    pub const CAP: Self = Self {
        memory_kib: 64 * 1024,
        passes: 10,
        lanes: 4,
    };
}

/// Why a text is not accepted as a password hash. The text itself is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPasswordHash {
    /// Not a PHC string at all.
    #[error(
        "not a password hash in PHC string format (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`); make one with `wharfinger-registry hash-password`"
    )]
    Syntax,
    /// A PHC string of another algorithm.
    #[error("algorithm `{0}` is not supported; make an argon2id hash with `wharfinger-registry hash-password`")]
    Algorithm(String),
    /// A version of Argon2 other than 1.3.
    #[error("the hash is not of Argon2 version 19 (1.3)")]
    Version,
    /// The salt or the hash itself is missing, so that no password could ever match.
    #[error("the hash is truncated: its {0} is missing")]
    Truncated(&'static str),
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
}

impl PasswordHash {
    /// Checks `text` and takes it as a hash.
    ///
    /// # Errors
    /// Where it is not a complete Argon2id hash of version 1.3 within [`HashCost::CAP`].
    pub fn parse(text: &str) -> Result<Self, InvalidPasswordHash> {
        let parsed = phc::PasswordHash::new(text).map_err(|_| InvalidPasswordHash::Syntax)?;
        if parsed.algorithm.as_str() != "argon2id" {
            return Err(InvalidPasswordHash::Algorithm(parsed.algorithm.to_string()));
        }
        if parsed.version != Some(19) {
            return Err(InvalidPasswordHash::Version);
        }
        let limits = [
            ("m", HashCost::CAP.memory_kib),
            ("t", HashCost::CAP.passes),
            ("p", HashCost::CAP.lanes),
        ];
        for (name, most) in limits {
            let value = parsed
                .params
                .get_decimal(name)
                .ok_or(InvalidPasswordHash::Parameter(name))?;
            if value > most {
                return Err(InvalidPasswordHash::TooCostly { name, value, most });
            }
        }
        if parsed.salt.is_none() {
            return Err(InvalidPasswordHash::Truncated("salt"));
        }
        if parsed.hash.is_none() {
            return Err(InvalidPasswordHash::Truncated("hash"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The hash as a PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash($argon2id$…)")
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
mod tests {
    use super::*;

    const GOOD: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";

    #[test]
    fn accepts_a_complete_argon2id_hash_and_hides_it_in_debug() {
        let hash = PasswordHash::parse(GOOD).unwrap();
        assert_eq!(hash.as_str(), GOOD);
        assert!(!format!("{hash:?}").contains("c29tZXNhbHR"));
    }

    #[test]
    fn refuses_what_could_never_match_or_costs_too_much() {
        use InvalidPasswordHash as E;
        let table = [
            ("hunter2", E::Syntax),
            ("$2y$05$abcdefghijklmnopqrstuv", E::Algorithm("2y".into())),
            (
                "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
                E::Algorithm("argon2i".into()),
            ),
            (
                "$argon2id$v=16$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
                E::Version,
            ),
            (
                "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA",
                E::Truncated("hash"),
            ),
            ("$argon2id$v=19$m=19456,t=2,p=1", E::Truncated("salt")),
            (
                "$argon2id$v=19$m=19456,t=2$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
                E::Parameter("p"),
            ),
            (
                "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
                E::TooCostly {
                    name: "m",
                    value: 4_194_304,
                    most: 65536,
                },
            ),
        ];
        for (text, want) in table {
            let got = PasswordHash::parse(text);
            let matches = match (&got, &want) {
                // How far a foreign scheme resembles PHC is the parser's affair: either refusal names the way out.
                (Err(E::Syntax | E::Algorithm(_)), E::Algorithm(_)) => true,
                (Err(got), want) => got == want,
                (Ok(_), _) => false,
            };
            assert!(matches, "{text}: {got:?}");
        }
    }
}

//! [`PasswordHashing`]: what new hashes cost.

use argon2::{Algorithm, Argon2, Params, Version};
use password_hash::{PasswordHasher, phc};

use super::{HashCost, PasswordHash};
use crate::SizeText;

/// The parameters of Argon2id for hashes that are made here.
///
/// The default is the first choice of OWASP's Password Storage Cheat Sheet: 19 MiB, 2 iterations, 1 lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordHashing {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
}

impl Default for PasswordHashing {
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            iterations: 2,
            parallelism: 1,
        }
    }
}

/// Why parameters are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPasswordHashing {
    /// Argon2 counts memory in KiB, and fewer than 7 MiB are no obstacle.
    #[error("the memory is between `7Mi` and `64Mi`")]
    Memory,
    /// No iteration makes no hash, and more than ten keep a registry busy.
    #[error("there are between 1 and {} iterations", HashCost::CAP.passes)]
    Iterations,
    /// More lanes than a verification may use.
    #[error("the parallelism is between 1 and {}", HashCost::CAP.lanes)]
    Parallelism,
    /// Less than OWASP recommends.
    #[error("hashes of {iterations} iterations are too easy to guess with less memory than {least_mib}Mi")]
    TooWeak {
        /// Passes over the memory.
        iterations: u32,
        /// The memory that there must be for so many, in MiB.
        least_mib: u32,
    },
}

impl PasswordHashing {
    /// The least memory, in MiB, by the number of iterations: OWASP's choices, of which the last is for more as well.
    const LEAST_MIB: [u32; 5] = [46, 19, 12, 9, 7];

    /// Parameters; what is not given is as in the default.
    ///
    /// # Errors
    /// Where hashes would be weaker than any that OWASP recommends, or dearer than a registry is willing to check.
    pub fn new(
        memory: Option<SizeText>,
        iterations: Option<u32>,
        parallelism: Option<u32>,
    ) -> Result<Self, InvalidPasswordHashing> {
        let default = Self::default();
        let memory_kib = match memory {
            None => default.memory_kib,
            Some(memory) => u32::try_from(memory.bytes() / 1024).map_err(|_| InvalidPasswordHashing::Memory)?,
        };
        let [.., least_mib] = Self::LEAST_MIB;
        if !(least_mib * 1024..=HashCost::CAP.memory_kib).contains(&memory_kib) {
            return Err(InvalidPasswordHashing::Memory);
        }
        let iterations = iterations.unwrap_or(default.iterations);
        if !(1..=HashCost::CAP.passes).contains(&iterations) {
            return Err(InvalidPasswordHashing::Iterations);
        }
        let parallelism = parallelism.unwrap_or(default.parallelism);
        if !(1..=HashCost::CAP.lanes).contains(&parallelism) {
            return Err(InvalidPasswordHashing::Parallelism);
        }
        let choice = (iterations as usize - 1).min(Self::LEAST_MIB.len() - 1);
        let least_mib = Self::LEAST_MIB[choice];
        if memory_kib < least_mib * 1024 {
            return Err(InvalidPasswordHashing::TooWeak { iterations, least_mib });
        }
        Ok(Self {
            memory_kib,
            iterations,
            parallelism,
        })
    }

    /// The hash of a password with a new salt; `None` where the password is longer than Argon2 can take or the system has no random bytes.
    pub fn hash(self, password: &[u8]) -> Option<PasswordHash> {
        let parameters = Params::new(self.memory_kib, self.iterations, self.parallelism, None).ok()?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        let hash: phc::PasswordHash = argon2.hash_password(password).ok()?;
        PasswordHash::parse(&hash.to_string()).ok()
    }

    /// The memory that a hash takes, in KiB.
    pub fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// What a hash may cost that somebody of another namespace brings along: what those cost that are made here, or a little more.
    pub fn guest_cap(self) -> HashCost {
        let cap = HashCost::GUEST_CAP;
        HashCost {
            memory_kib: cap.memory_kib.max(self.memory_kib),
            passes: cap.passes.max(self.iterations),
            lanes: cap.lanes.max(self.parallelism),
            ..cap
        }
    }

    /// A well-formed hash of no password that anybody knows.
    pub fn of_nobody(self) -> PasswordHash {
        let Self {
            memory_kib,
            iterations,
            parallelism,
        } = self;
        PasswordHash::of_nobody(&format!("$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}"))
    }

    /// Whether a hash was made with these parameters.
    pub fn made(self, hash: &PasswordHash) -> bool {
        let parsed = phc::PasswordHash::new(hash.as_str()).ok();
        let parameters = parsed.and_then(|hash| Params::try_from(&hash).ok());
        parameters.is_some_and(|params| {
            (params.m_cost(), params.t_cost(), params.p_cost()) == (self.memory_kib, self.iterations, self.parallelism)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashing(memory: &str, iterations: u32) -> Result<PasswordHashing, InvalidPasswordHashing> {
        PasswordHashing::new(Some(memory.parse().unwrap()), Some(iterations), None)
    }

    #[test]
    fn what_owasp_recommends_is_taken_and_what_is_weaker_is_not() {
        for (memory, iterations) in [
            ("46Mi", 1),
            ("19Mi", 2),
            ("12Mi", 3),
            ("9Mi", 4),
            ("7Mi", 5),
            ("64Mi", 10),
        ] {
            assert!(hashing(memory, iterations).is_ok(), "{memory} {iterations}");
        }
        for (memory, iterations) in [("45Mi", 1), ("18Mi", 2), ("11Mi", 3), ("8Mi", 4)] {
            let found = hashing(memory, iterations).unwrap_err();
            assert!(matches!(found, InvalidPasswordHashing::TooWeak { .. }), "{found}");
        }
        for (memory, iterations, expected) in [
            ("6Mi", 10, InvalidPasswordHashing::Memory),
            ("65Mi", 2, InvalidPasswordHashing::Memory),
            ("4Ti", 2, InvalidPasswordHashing::Memory),
            ("19Mi", 0, InvalidPasswordHashing::Iterations),
            ("19Mi", 11, InvalidPasswordHashing::Iterations),
        ] {
            assert_eq!(hashing(memory, iterations), Err(expected), "{memory} {iterations}");
        }
        for parallelism in [0, 5] {
            let found = PasswordHashing::new(None, None, Some(parallelism));
            assert_eq!(found, Err(InvalidPasswordHashing::Parallelism));
        }
        assert_eq!(PasswordHashing::new(None, None, None), Ok(PasswordHashing::default()));
    }

    #[test]
    fn a_hash_shows_what_it_was_made_with() {
        let strong = PasswordHashing::new(Some("46Mi".parse().unwrap()), Some(1), Some(2)).unwrap();
        let hash = strong.hash(b"secret").unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=47104,t=1,p=2$"));
        assert!(strong.made(&hash));
        assert!(!PasswordHashing::default().made(&hash));
        let nobodys = strong.of_nobody();
        assert_eq!(PasswordHash::parse(nobodys.as_str()), Ok(nobodys.clone()));
        assert!(strong.made(&nobodys));
        let bcrypt = PasswordHash::parse("$2y$10$abcdefghijklmnopqrstuuJ5V.6lM5bXWjwGjKJYwTbIY7bZ0NJwe").unwrap();
        assert!(!strong.made(&bcrypt));
    }
}

//! Where bytes go that do not fit a Secret: into shards, Secrets of their own beside the one that lists them.
//!
//! There are two slots of shards. What is published goes to the slot that is not listed, and then the list changes in one write: whoever
//! follows the list finds either the old bytes whole or the new ones.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::document::DocumentError;

/// Key of the bytes in a shard's Secret.
pub const SHARD_KEY: &str = "content";
/// The most that one Secret may carry; a Secret as a whole is limited to 1 MiB.
pub const MAX_SHARD_BYTES: usize = 900 * 1024;
/// How many shards a slot has.
pub const MAX_SHARDS: usize = 4;
/// The most that a slot may carry.
pub const MAX_PACKED_BYTES: usize = MAX_SHARDS * MAX_SHARD_BYTES;

/// One of the two places for shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The first one.
    A,
    /// The other one.
    B,
}

impl Slot {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The one that is free while this one is in use; the first where none is.
    pub fn idle(in_use: Option<Self>) -> Self {
        match in_use {
            Some(Self::A) => Self::B,
            Some(Self::B) | None => Self::A,
        }
    }

    /// The names of the Secrets of all its shards, beside the Secret `list`.
    pub fn secrets(self, list: &str) -> impl Iterator<Item = String> {
        let letter = match self {
            Self::A => 'a',
            Self::B => 'b',
        };
        (0..MAX_SHARDS).map(move |number| format!("{list}-{letter}{number}"))
    }
}

/// Which shards there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shards {
    /// Where they are.
    pub slot: Slot,
    /// `sha256:` and the hex digest of each, in the order in which they are put together.
    pub digests: Vec<String>,
}

impl Shards {
    /// The names of their Secrets in their order, beside the Secret `list`.
    pub fn secrets(&self, list: &str) -> Vec<String> {
        self.slot.secrets(list).take(self.digests.len()).collect()
    }

    /// Puts together what stands in the shards, in their order.
    ///
    /// # Errors
    /// Where one is missing or is not the one that is listed; another publication may be under way.
    pub fn join(&self, pieces: &[Vec<u8>]) -> Result<Vec<u8>, DocumentError> {
        if self.digests.len() > MAX_SHARDS || self.digests.len() != pieces.len() {
            let (listed, found) = (self.digests.len(), pieces.len());
            let problem = format!("{listed} shards are listed, {found} were found, and there can be {MAX_SHARDS}");
            return Err(DocumentError::Incomplete(problem));
        }
        for (expected, piece) in self.digests.iter().zip(pieces) {
            let found = digest(piece);
            if *expected != found {
                let expected = expected.clone();
                return Err(DocumentError::Digest { expected, found });
            }
        }
        Ok(pieces.concat())
    }
}

/// How bytes are laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// In the Secret itself.
    Inside(Vec<u8>),
    /// In shards: what the Secret lists, and what stands in each.
    Outside(Shards, Vec<Vec<u8>>),
}

impl Layout {
    /// Lays bytes out, in `idle` where they need shards. `None` where they are more than [`MAX_PACKED_BYTES`].
    pub fn of(bytes: Vec<u8>, idle: Slot) -> Option<Self> {
        if bytes.len() <= MAX_SHARD_BYTES {
            return Some(Self::Inside(bytes));
        }
        let pieces: Vec<Vec<u8>> = bytes.chunks(MAX_SHARD_BYTES).map(<[u8]>::to_vec).collect();
        let shards = Shards {
            slot: idle,
            digests: pieces.iter().map(|piece| digest(piece)).collect(),
        };
        (pieces.len() <= MAX_SHARDS).then_some(Self::Outside(shards, pieces))
    }

    /// Which shards there are; none where the bytes are in the Secret itself.
    pub fn shards(&self) -> Option<&Shards> {
        match self {
            Self::Inside(_) => None,
            Self::Outside(shards, _) => Some(shards),
        }
    }
}

/// `sha256:` and the hex digest of bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_inside_and_what_does_not_comes_back_from_its_shards() {
        let small = vec![7; MAX_SHARD_BYTES];
        assert_eq!(Layout::of(small.clone(), Slot::A), Some(Layout::Inside(small)));
        for length in [MAX_SHARD_BYTES + 1, 2 * MAX_SHARD_BYTES, MAX_PACKED_BYTES] {
            let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let Some(Layout::Outside(shards, pieces)) = Layout::of(bytes.clone(), Slot::B) else {
                panic!("{length} bytes fit one Secret");
            };
            assert_eq!(pieces.len(), length.div_ceil(MAX_SHARD_BYTES));
            assert!(pieces.iter().all(|piece| piece.len() <= MAX_SHARD_BYTES));
            assert_eq!(shards.join(&pieces).unwrap(), bytes);
        }
        assert_eq!(Layout::of(vec![0; MAX_PACKED_BYTES + 1], Slot::A), None);
    }

    #[test]
    fn shards_that_are_not_the_listed_ones_are_refused() {
        let Some(Layout::Outside(shards, pieces)) = Layout::of(vec![1; MAX_SHARD_BYTES + 1], Slot::A) else {
            panic!("that fits one Secret");
        };
        let mut other = pieces.clone();
        other[1] = vec![2];
        assert!(matches!(shards.join(&other), Err(DocumentError::Digest { .. })));
        let (swapped, short) = ([pieces[1].clone(), pieces[0].clone()], &pieces[..1]);
        assert!(matches!(shards.join(&swapped), Err(DocumentError::Digest { .. })));
        assert!(matches!(shards.join(short), Err(DocumentError::Incomplete(_))));
        let many = Shards {
            slot: Slot::A,
            digests: vec![digest(b""); MAX_SHARDS + 1],
        };
        assert!(matches!(
            many.join(&vec![Vec::new(); MAX_SHARDS + 1]),
            Err(DocumentError::Incomplete(_))
        ));
    }

    #[test]
    fn the_slot_in_use_is_never_the_idle_one() {
        assert_eq!(Slot::idle(None), Slot::A);
        for slot in Slot::ALL {
            assert_ne!(Slot::idle(Some(slot)), slot);
            let idle: Vec<String> = Slot::idle(Some(slot)).secrets("main-access").collect();
            assert!(slot.secrets("main-access").all(|name| !idle.contains(&name)));
        }
    }
}

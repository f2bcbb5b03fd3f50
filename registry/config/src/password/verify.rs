//! Whether a password matches a hash.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use password_hash::phc::{self, Output};

use super::{HashCost, PasswordHash, is_bcrypt};

/// The memory that Argon2 works in.
///
/// It is kept from one verification to the next: blocks of many megabytes that come and go leave holes in the heap, and a
/// flood of wrong passwords would make the process as large as if all of them were verified at once.
#[derive(Default)]
pub struct HashMemory {
    blocks: Vec<Block>,
    /// How many the verification before needed.
    before: usize,
}

impl std::fmt::Debug for HashMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HashMemory({} KiB)", self.blocks.len())
    }
}

impl HashMemory {
    fn of(&mut self, blocks: usize) -> &mut [Block] {
        if self.blocks.len() < blocks {
            self.blocks.clear();
            self.blocks.resize(blocks, Block::default());
        }
        &mut self.blocks[..blocks]
    }

    /// Gives back what only rare hashes need: neither the last nor the one before it.
    fn trim(&mut self, needed: usize) {
        let usual = HashCost::GUEST_CAP.memory_kib as usize;
        if self.blocks.len() > needed.max(self.before).max(usual) {
            self.blocks = Vec::new();
        }
        self.before = needed;
    }
}

impl PasswordHash {
    /// Whether `password` is the one that was hashed. Takes as long as the hash's cost says, some ten milliseconds, and the
    /// same whether it is or not.
    ///
    /// bcrypt looks at the first 72 bytes only, whoever computes it.
    pub fn verify(&self, password: &[u8], memory: &mut HashMemory) -> bool {
        if is_bcrypt(&self.0) {
            return bcrypt::verify(password, &self.0).unwrap_or(false);
        }
        matches_argon2(&self.0, password, memory).unwrap_or(false)
    }
}

/// `None` where the hash cannot be computed.
fn matches_argon2(text: &str, password: &[u8], memory: &mut HashMemory) -> Option<bool> {
    let hash = phc::PasswordHash::new(text).ok()?;
    let (salt, expected) = (hash.salt?, hash.hash?);
    let params = Params::try_from(&hash).ok()?;
    let needed = params.block_count();
    let mut computed = vec![0; expected.len()];
    let done = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
        password,
        &salt,
        &mut computed,
        memory.of(needed),
    );
    memory.trim(needed);
    done.ok()?;
    // Outputs are compared in constant time.
    Some(Output::new(&computed).ok()? == expected)
}

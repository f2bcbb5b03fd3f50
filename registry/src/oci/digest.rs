//! [`Digest`]: the name of content, and [`Hasher`], which computes it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256, SHA512};

/// An algorithm whose digests the registry accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, the algorithm of nearly all content.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name before the colon of a digest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    const fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// The text names no algorithm that the registry knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest algorithm of this registry; it knows `sha256` and `sha512`")]
pub struct UnknownAlgorithm(pub String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text);
        known.ok_or_else(|| UnknownAlgorithm(text.chars().take(40).collect()))
    }
}

/// A digest: `sha256:` or `sha512:` and as many lower-case hexadecimal digits as the algorithm gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    text: String,
}

/// The text is not a digest that the registry accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest: write `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits")]
pub struct InvalidDigest(pub String);

impl Digest {
    /// The digest of `content`.
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher.finish()
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hexadecimal digits after the colon.
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.as_str().len() + 1..]
    }

    /// The whole digest.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (name, digits) = text.split_once(':')?;
            let algorithm: Algorithm = name.parse().ok()?;
            let is_hex = digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            (digits.len() == algorithm.hex_length() && is_hex).then(|| Self {
                algorithm,
                text: text.to_owned(),
            })
        };
        parse().ok_or_else(|| InvalidDigest(text.chars().take(160).collect()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Computes a digest from content that arrives piece by piece.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    context: Context,
}

impl Hasher {
    /// A hasher that has seen nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        let context = match algorithm {
            Algorithm::Sha256 => Context::new(&SHA256),
            Algorithm::Sha512 => Context::new(&SHA512),
        };
        Self { algorithm, context }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.context.update(piece);
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Digest {
        let digits = hex::encode(self.context.finish());
        Digest {
            algorithm: self.algorithm,
            text: format!("{}:{digits}", self.algorithm.as_str()),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hasher").field(&self.algorithm).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_digests_that_parse_again() {
        let digest = Digest::of(Algorithm::Sha256, b"abc");
        assert_eq!(
            digest.as_str(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        for algorithm in Algorithm::ALL {
            let digest = Digest::of(algorithm, b"abc");
            let parsed: Digest = digest.as_str().parse().unwrap();
            assert_eq!(
                (parsed.algorithm(), parsed.hex(), &parsed),
                (algorithm, digest.hex(), &digest)
            );
        }
    }

    #[test]
    fn refuses_other_algorithms_lengths_and_letters() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for text in [
            "",
            ":",
            "sha256",
            "sha256:",
            "sha256:ba78",
            hex,
            &format!("sha512:{hex}"),
            &format!("sha256:{}", hex.to_uppercase()),
            &format!("SHA256:{hex}"),
            &format!("md5:{hex}"),
            &format!("sha256:{hex}0"),
            &format!("sha256: {}", &hex[1..]),
            &format!("sha256:../{}", &hex[3..]),
            &format!("sha256:{}\0", &hex[1..]),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }
}

//! [`Reference`]: how a manifest is asked for, by [`Tag`] or by digest.

use std::fmt;
use std::str::FromStr;

use super::Digest;

/// A tag: a letter, digit or `_`, then up to 127 letters, digits, `.`, `_` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// The text is not a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a tag: write a letter, digit or `_`, then up to 127 letters, digits, `.`, `_` or `-`")]
pub struct InvalidTag(pub String);

impl Tag {
    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let valid = text.len() <= 128
            && text.bytes().next().is_some_and(is_word)
            && text.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidTag(text.chars().take(160).collect()))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The `<reference>` of the distribution specification. A digest is never a tag, because of its colon.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// The manifest that the tag stands for now.
    Tag(Tag),
    /// The manifest of exactly this content.
    Digest(Digest),
}

impl Reference {
    /// The reference as it stands in the URL.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag.as_str(),
            Self::Digest(digest) => digest.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_their_grammar() {
        let longest = "a".repeat(128);
        for tag in ["a", "_", "latest", "V1.0-rc_1", "0", "a..b", longest.as_str()] {
            assert!(tag.parse::<Tag>().is_ok(), "{tag:?}");
        }
        let too_long = "a".repeat(129);
        for tag in [
            "",
            ".",
            "..",
            "-a",
            ".a",
            "a/b",
            "a:b",
            "a b",
            "a\0",
            "a\\b",
            "ä",
            "a%",
            too_long.as_str(),
        ] {
            assert!(tag.parse::<Tag>().is_err(), "{tag:?}");
        }
    }
}

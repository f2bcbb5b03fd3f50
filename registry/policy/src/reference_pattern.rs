//! Patterns that select tags and digests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::repository_pattern::segment_matches;

/// A pattern over the tags and digests of manifests: `*` stands for any characters. There are no other metacharacters.
///
/// A pattern that could match neither a tag nor a digest is refused, because a Deny written with it would deny nothing.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReferencePattern(String);

/// The text is no such pattern.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` matches neither a tag nor a digest: write letters, digits and `_.-`, for a digest `:` too, with `*` for any characters, such as `v*` or `sha256:*`"
)]
pub struct ReferencePatternError(String);

/// The longest tag, in characters.
const MAX_TAG: usize = 128;

impl ReferencePattern {
    /// The longest pattern, in characters: that of the longest digest (sha512) with room for wildcards.
    pub const MAX_LENGTH: usize = 256;

    /// Whether the pattern selects `reference`.
    pub fn matches(&self, reference: &str) -> bool {
        segment_matches(&self.0, reference)
    }
}

impl FromStr for ReferencePattern {
    type Err = ReferencePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b':' | b'*');
        let has_meaning = match text.split_once(':') {
            Some((algorithm, hex)) => {
                let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'*');
                (algorithm.contains('*') || matches!(algorithm, "sha256" | "sha512")) && hex.bytes().all(is_hex)
            }
            None => text.contains('*') || text.len() <= MAX_TAG,
        };
        let is_good = !text.is_empty()
            && text.len() <= Self::MAX_LENGTH
            && text.bytes().all(is_known)
            && !text.starts_with(['.', '-', ':'])
            && has_meaning;
        if is_good {
            Ok(Self(text.to_owned()))
        } else {
            Err(ReferencePatternError(text.chars().take(Self::MAX_LENGTH).collect()))
        }
    }
}

impl fmt::Display for ReferencePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ReferencePattern> for String {
    fn from(pattern: ReferencePattern) -> Self {
        pattern.0
    }
}

impl TryFrom<String> for ReferencePattern {
    type Error = ReferencePatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_nothing_else_for_others() {
        for (pattern, yes, no) in [
            ("v*", vec!["v", "v1", "v1.2-rc_3"], vec!["V1", "x", "latest"]),
            ("latest", vec!["latest"], vec!["latest1", "1latest"]),
            ("*", vec!["a", "sha256:00"], vec![]),
            ("sha256:*", vec!["sha256:00"], vec!["sha512:00", "sha256"]),
            ("*-rc*", vec!["v1-rc", "v1-rc2"], vec!["v1"]),
            ("1.*", vec!["1.2"], vec!["1x2"]),
        ] {
            let parsed: ReferencePattern = pattern.parse().unwrap();
            for reference in yes {
                assert!(parsed.matches(reference), "{pattern} {reference}");
            }
            for reference in no {
                assert!(!parsed.matches(reference), "{pattern} {reference}");
            }
        }
    }

    #[test]
    fn what_could_match_nothing_is_refused() {
        let long = "a".repeat(ReferencePattern::MAX_LENGTH + 1);
        let no_tag = "a".repeat(MAX_TAG + 1);
        for text in [
            "",
            "app:latest",
            "latest:*",
            "sha256:E3",
            "sha256:xyz",
            no_tag.as_str(),
            "v?",
            "[ab]",
            "v1 ",
            "a/b",
            ".v",
            "-v",
            ":00",
            "a:b:c",
            "ä",
            "v\n",
            long.as_str(),
        ] {
            assert!(text.parse::<ReferencePattern>().is_err(), "{text:?}");
        }
    }
}

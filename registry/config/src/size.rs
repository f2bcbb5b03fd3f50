//! Sizes as people write them in documents and Kubernetes objects: `500M`, `10Gi`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Suffixes and what they stand for, the larger ones first.
const UNITS: [(&str, u64); 8] = [
    ("Ti", 1 << 40),
    ("T", 1_000_000_000_000),
    ("Gi", 1 << 30),
    ("G", 1_000_000_000),
    ("Mi", 1 << 20),
    ("M", 1_000_000),
    ("Ki", 1 << 10),
    ("k", 1_000),
];

/// A number of bytes, written as a whole number with a suffix as in Kubernetes' quantities, such as `10Gi` or `500M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SizeText(u64);

/// The text is not a size.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a size; write a whole number of bytes, with Ki, Mi, Gi, Ti, k, M, G or T if you like, such as `10Gi`"
)]
pub struct InvalidSize(String);

impl SizeText {
    /// A number of bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for SizeText {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unit = UNITS.iter().find(|(suffix, _)| text.ends_with(suffix));
        let (number, factor) = match unit {
            Some((suffix, factor)) => (&text[..text.len() - suffix.len()], *factor),
            None => (text, 1),
        };
        let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number: Option<u64> = is_plain.then(|| number.parse().ok()).flatten();
        let bytes = number.and_then(|number| number.checked_mul(factor));
        bytes.map(Self).ok_or_else(|| InvalidSize(text.to_owned()))
    }
}

impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS
            .iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match whole {
            Some((suffix, factor)) => write!(f, "{}{suffix}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl From<SizeText> for String {
    fn from(size: SizeText) -> Self {
        size.to_string()
    }
}

impl TryFrom<String> for SizeText {
    type Error = InvalidSize;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_and_prints_it_back() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("5k", 5_000),
            ("5Ki", 5_120),
            ("500M", 500_000_000),
            ("10Gi", 10_737_418_240),
            ("16777215Ti", 18_446_742_974_197_923_840),
        ] {
            let parsed: SizeText = text.parse().unwrap();
            assert_eq!((parsed.bytes(), parsed.to_string().as_str()), (bytes, text));
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "Gi",
            "1.5Gi",
            "-1",
            "+1",
            "1 Gi",
            "1gi",
            "1K",
            "1GB",
            "5Gi5",
            "16777216Ti",
            "1e9",
        ] {
            assert!(text.parse::<SizeText>().is_err(), "{text}");
        }
    }
}

//! Durations as people write them in documents and Kubernetes objects: `90s`, `5m`, `1h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration, written as whole numbers with the units `h`, `m` and `s` in this order, such as `5m` or `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DurationText(Duration);

/// The text is not a duration.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a duration; write whole numbers with h, m or s, such as `5m` or `1h30m`")]
pub struct InvalidDuration(String);

impl DurationText {
    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for DurationText {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || InvalidDuration(text.to_owned());
        let mut rest = text;
        let mut seconds = 0_u64;
        for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
            let Some((number, tail)) = rest.split_once(unit) else {
                continue;
            };
            let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let number: u64 = plain.then(|| number.parse().ok()).flatten().ok_or_else(refuse)?;
            let part = number.checked_mul(factor).ok_or_else(refuse)?;
            seconds = seconds.checked_add(part).ok_or_else(refuse)?;
            rest = tail;
        }
        if rest.is_empty() && !text.is_empty() {
            Ok(Self::from_secs(seconds))
        } else {
            Err(refuse())
        }
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_secs();
        let parts = [(total / 3600, 'h'), (total % 3600 / 60, 'm'), (total % 60, 's')];
        if total == 0 {
            return f.write_str("0s");
        }
        parts
            .iter()
            .filter(|(number, _)| *number > 0)
            .try_for_each(|(number, unit)| write!(f, "{number}{unit}"))
    }
}

impl From<DurationText> for String {
    fn from(duration: DurationText) -> Self {
        duration.to_string()
    }
}

impl TryFrom<String> for DurationText {
    type Error = InvalidDuration;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_and_prints_it_back() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("5m", 300),
            ("1h", 3600),
            ("1h30m", 5400),
            ("1h1s", 3601),
        ] {
            let parsed: DurationText = text.parse().unwrap();
            assert_eq!(parsed.get().as_secs(), seconds, "{text}");
        }
        assert_eq!(DurationText::from_secs(5401).to_string(), "1h30m1s");
        assert_eq!(DurationText::from_secs(90).to_string(), "1m30s");
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "5",
            "m",
            "5 m",
            "-5m",
            "+5m",
            "5m5",
            "5s1h",
            "1.5h",
            "5d",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            assert!(text.parse::<DurationText>().is_err(), "{text}");
        }
    }
}

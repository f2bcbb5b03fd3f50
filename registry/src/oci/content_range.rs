//! [`ContentRange`]: where a chunk of an upload belongs.

use std::str::FromStr;

/// The `Content-Range` of a chunk, `<start>-<end>` in bytes, both inclusive (end-5 of the specification, which differs
/// from HTTP's own syntax; a leading `bytes` and a trailing `/total` are accepted, since some clients write them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// Offset of the chunk's first byte.
    pub start: u64,
    /// Number of bytes in the chunk; never 0.
    pub length: u64,
}

/// The header is not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Content-Range `{0}` is not `<first byte>-<last byte>`")]
pub struct InvalidContentRange(pub String);

impl FromStr for ContentRange {
    type Err = InvalidContentRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let range = text
                .strip_prefix("bytes ")
                .or_else(|| text.strip_prefix("bytes="))
                .unwrap_or(text);
            let (range, total) = range.split_once('/').unwrap_or((range, "*"));
            if total != "*" {
                decimal(total)?;
            }
            let (start, end) = range.split_once('-')?;
            let (start, end) = (decimal(start)?, decimal(end)?);
            let length = end.checked_sub(start)?.checked_add(1)?;
            // An end beyond any file would overflow later sums of offset and length.
            start.checked_add(length)?;
            Some(Self { start, length })
        };
        parse().ok_or_else(|| InvalidContentRange(text.chars().take(64).collect()))
    }
}

/// Plain digits: the parser of the standard library would accept a sign as well.
pub(super) fn decimal(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_inclusive_ranges() {
        for (text, start, length) in [
            ("0-0", 0, 1),
            ("0-9", 0, 10),
            ("10-19", 10, 10),
            ("bytes 10-19/20", 10, 10),
            ("bytes=5-5", 5, 1),
            ("10-19/*", 10, 10),
        ] {
            assert_eq!(text.parse(), Ok(ContentRange { start, length }), "{text}");
        }
    }

    #[test]
    fn refuses_inverted_signed_and_overflowing_ranges() {
        for text in [
            "",
            "-",
            "1-0",
            "0-",
            "-5",
            "+0-5",
            "a-b",
            "0-18446744073709551615",
            "18446744073709551616-18446744073709551617",
            "0--1",
            "0-9/",
            "0-9/x",
            "0-9/10/11",
        ] {
            assert!(text.parse::<ContentRange>().is_err(), "{text}");
        }
    }
}

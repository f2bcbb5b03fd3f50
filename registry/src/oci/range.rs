//! [`ByteRange`]: the part of a blob that a client asks for.

use super::content_range::decimal;

/// The bytes from `start` up to, but without, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset behind the last byte.
    pub end: u64,
}

/// The range lies outside the content (RFC 9110, section 15.5.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the range lies outside the content of {size} bytes")]
pub struct UnsatisfiableRange {
    /// Size of the content.
    pub size: u64,
}

impl ByteRange {
    /// Resolves a `Range` header against content of `size` bytes (RFC 9110, section 14.2).
    ///
    /// `None` where the header asks for nothing that is understood, several ranges included: the whole content is a
    /// correct answer then, and nobody can ask for the same bytes many times in one request.
    ///
    /// # Errors
    /// Where the range begins behind the last byte of the content, or behind its own last byte: RFC 9110 would let that
    /// one be ignored, but the OCI conformance suite wants it refused, and a client that counts wrongly should hear of it.
    pub fn resolve(header: &str, size: u64) -> Result<Option<Self>, UnsatisfiableRange> {
        let Some((first, last)) = header
            .strip_prefix("bytes=")
            .and_then(|range| range.trim().split_once('-'))
        else {
            return Ok(None);
        };
        let range = match (decimal(first), decimal(last)) {
            (Some(start), Some(last)) => Self {
                start,
                end: last.saturating_add(1).min(size),
            },
            (Some(start), None) if last.is_empty() => Self { start, end: size },
            (None, Some(length)) if first.is_empty() => Self {
                start: size.saturating_sub(length),
                end: size,
            },
            _ => return Ok(None),
        };
        if range.start < range.end {
            Ok(Some(range))
        } else {
            Err(UnsatisfiableRange { size })
        }
    }

    /// Number of bytes.
    pub fn length(self) -> u64 {
        self.end - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_single_ranges_and_ignores_the_rest() {
        let outside = Err(UnsatisfiableRange { size: 10 });
        let range = |start, end| Ok(Some(ByteRange { start, end }));
        let table = [
            ("bytes=0-0", range(0, 1)),
            ("bytes=0-9", range(0, 10)),
            ("bytes=5-", range(5, 10)),
            ("bytes=5-100", range(5, 10)),
            ("bytes=0-18446744073709551615", range(0, 10)),
            ("bytes=-3", range(7, 10)),
            ("bytes=-100", range(0, 10)),
            ("bytes=-0", outside),
            ("bytes=10-", outside),
            ("bytes=10-20", outside),
            ("bytes=18446744073709551615-", outside),
            ("bytes=5-4", outside),
            ("bytes=0-1,3-4", Ok(None)),
            ("bytes=a-b", Ok(None)),
            ("bytes=--1", Ok(None)),
            ("bytes=", Ok(None)),
            ("items=0-1", Ok(None)),
            ("", Ok(None)),
        ];
        for (header, want) in table {
            assert_eq!(ByteRange::resolve(header, 10), want, "{header}");
        }
        assert_eq!(ByteRange::resolve("bytes=0-", 0), Err(UnsatisfiableRange { size: 0 }));
    }
}

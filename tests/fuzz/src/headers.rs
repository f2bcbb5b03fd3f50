//! Headers: ranges, and credentials.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use regex::Regex;
use wharfinger_registry::authenticate::Credentials;
use wharfinger_registry::oci::{ByteRange, ContentRange};

use super::pattern;

static RANGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\Abytes=\s*(\d*)-(\d*)\s*\z"));
static CONTENT_RANGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\A(?:bytes[ =])?(\d+)-(\d+)(?:/(?:(\d+)|\*))?\z"));

/// A number that does not overflow what it is computed with; `None` where even that does not hold it.
fn number(digits: &str) -> Option<u128> {
    digits.parse().ok().filter(|number| *number <= u128::from(u64::MAX))
}

/// Eight bytes of size, then the header: what is sent lies within the content, and is what was asked for.
pub(crate) fn range(input: &[u8]) {
    let Some((size, header)) = input.split_first_chunk() else {
        return;
    };
    let size = u64::from_le_bytes(*size);
    let Ok(header) = std::str::from_utf8(header) else {
        return;
    };
    let resolved = ByteRange::resolve(header, size);
    let (wide, wanted) = (u128::from(size), RANGE.captures(header));
    let wanted = wanted.and_then(|found| match (&found[1], &found[2]) {
        ("", "") => None,
        ("", length) => Some((wide.saturating_sub(number(length)?), wide)),
        (start, "") => Some((number(start)?, wide)),
        (start, last) => Some((number(start)?, wide.min(number(last)? + 1))),
    });
    match (resolved, wanted) {
        (Ok(None), None) => {}
        (Ok(Some(part)), Some((start, end))) => {
            assert!(part.start < part.end && part.end <= size, "{part:?} of {size}");
            assert_eq!(
                (u128::from(part.start), u128::from(part.end)),
                (start, end),
                "{header:?}"
            );
        }
        (Err(_), Some((start, end))) => assert!(start >= end, "{header:?} of {size} is refused"),
        (resolved, wanted) => assert!(ascii_only(header), "{header:?} of {size}: {resolved:?}, not {wanted:?}"),
    }
}

/// Whether a regular expression and the registry may differ: `\d` and `\s` know more alphabets.
fn ascii_only(header: &str) -> bool {
    !header.is_ascii()
}

/// A chunk's place and length never overflow, and are what was written.
pub(crate) fn content_range(input: &[u8]) {
    let Ok(header) = std::str::from_utf8(input) else { return };
    let read = header.parse::<ContentRange>();
    let wanted = CONTENT_RANGE.captures(header).and_then(|found| {
        let (start, last) = (number(&found[1])?, number(&found[2])?);
        // Nobody reads the total, but it must be one.
        found.get(3).map_or(Some(0), |total| number(total.as_str()))?;
        // The offset behind the chunk must be a number as well.
        (start <= last && last < u128::from(u64::MAX)).then(|| (start, last - start + 1))
    });
    if header.is_ascii() {
        let read = read
            .ok()
            .map(|range| (u128::from(range.start), u128::from(range.length)));
        assert_eq!(read, wanted, "{header:?}");
    } else if let Ok(range) = read {
        assert!(range.length > 0 && range.start.checked_add(range.length).is_some());
    }
}

/// A header that is understood holds, encoded, exactly the name and the password that come out of it.
pub(crate) fn basic(input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, value.clone());
    let read = Credentials::from_headers(&headers);
    assert!(
        !matches!(read, Credentials::Refresh(_)),
        "a refresh token comes in no header"
    );
    match read {
        Credentials::Basic { username, password } => {
            assert!(!username.contains(':'), "{username:?}");
            let text = value.to_str().expect("a header that is understood is text");
            let (scheme, encoded) = text.split_once(' ').expect("a scheme comes first");
            assert!(scheme.eq_ignore_ascii_case("basic"));
            let encoded = encoded.trim().trim_end_matches('=');
            let again = STANDARD_NO_PAD.encode(format!("{username}:{}", *password));
            assert_eq!(again, encoded);
        }
        Credentials::Bearer(token) => {
            let text = value.to_str().expect("a header that is understood is text");
            assert!(!token.is_empty() && text.trim_end().ends_with(&**token));
        }
        Credentials::None => assert!(input.is_empty(), "a header was overlooked"),
        Credentials::Refresh(_) | Credentials::Unreadable => {}
    }
    headers.append(AUTHORIZATION, value);
    assert!(
        matches!(Credentials::from_headers(&headers), Credentials::Unreadable),
        "two headers are two claims"
    );
}

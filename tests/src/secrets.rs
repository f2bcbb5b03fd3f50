//! Looking for passwords where none should be: as they are, percent-encoded, and in whatever is base64 or gzip.

use std::io::Read;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::GzDecoder;
use percent_encoding::percent_decode;

/// How many layers of encoding are looked through.
const DEPTH: usize = 4;
/// Shorter words hold no password of the tests.
const SHORTEST: usize = 8;

const ANY_PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

/// The passwords that are in `haystack`, through any mixture of encodings.
pub fn find<'p>(haystack: &[u8], passwords: &[&'p str]) -> Vec<&'p str> {
    let mut found: Vec<&str> = passwords
        .iter()
        .copied()
        .filter(|password| holds(haystack, password.as_bytes(), DEPTH))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn holds(haystack: &[u8], password: &[u8], depth: usize) -> bool {
    if contains(haystack, password) {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    let unpacked = unpack(haystack);
    if unpacked.is_some_and(|unpacked| holds(&unpacked, password, depth)) {
        return true;
    }
    if haystack.contains(&b'%') {
        let decoded: Vec<u8> = percent_decode(haystack).collect();
        // Forms write a space as `+`, and `+` in the other way.
        let spaced: Vec<u8> = haystack
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect();
        let spaced: Vec<u8> = percent_decode(&spaced).collect();
        if contains(&decoded, password) || contains(&spaced, password) {
            return true;
        }
    }
    // JSON in JSON has its quotes and backslashes escaped.
    if haystack.contains(&b'\\') {
        let plain: Vec<u8> = haystack.iter().copied().filter(|byte| *byte != b'\\').collect();
        if contains(&plain, password) {
            return true;
        }
    }
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    haystack
        .split(|byte| !is_word(byte))
        .filter(|word| word.len() >= SHORTEST)
        .any(|word| decodings(word).iter().any(|decoded| holds(decoded, password, depth)))
}

/// What a word is, where it is base64 of any kind.
fn decodings(word: &[u8]) -> Vec<Vec<u8>> {
    let parts = [word].into_iter().chain(word.split(|byte| *byte == b'='));
    let decode = |part: &[u8]| {
        [STANDARD.decode(part), URL_SAFE.decode(part)]
            .into_iter()
            .find_map(Result::ok)
    };
    let mut found: Vec<Vec<u8>> = parts.filter(|part| part.len() >= SHORTEST).filter_map(decode).collect();
    found.dedup();
    found
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    if !packed.starts_with(&[0x1f, 0x8b]) {
        return None;
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::*;

    const PASSWORD: &str = "Tr0ub4dor+ & \"3\"/x";

    #[test]
    fn a_password_is_found_through_every_encoding() {
        let basic = STANDARD.encode(format!("alice:{PASSWORD}"));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(PASSWORD.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        let nested = serde_json::json!({ "auths": { "host": { "auth": basic } } }).to_string();
        for (name, haystack) in [
            ("plain", format!("x={PASSWORD};").into_bytes()),
            ("json", serde_json::json!({ "p": PASSWORD }).to_string().into_bytes()),
            (
                "percent",
                format!("?p={}&", utf8_percent_encode(PASSWORD, NON_ALPHANUMERIC)).into_bytes(),
            ),
            (
                "form",
                format!(
                    "p={}",
                    utf8_percent_encode(PASSWORD, NON_ALPHANUMERIC)
                        .to_string()
                        .replace("%20", "+")
                )
                .into_bytes(),
            ),
            ("basic", format!("Authorization: Basic {basic}").into_bytes()),
            ("docker", STANDARD.encode(&nested).into_bytes()),
            (
                "token",
                format!("e30.{}.sig", URL_SAFE.encode(&nested).trim_end_matches('=')).into_bytes(),
            ),
            ("gzip", STANDARD.encode(&gzip).into_bytes()),
        ] {
            assert_eq!(find(&haystack, &[PASSWORD]), [PASSWORD], "{name}");
        }
    }

    #[test]
    fn what_is_no_password_is_not_found() {
        assert!(find(b"Authorization: Basic YWxpY2U6d3Jvbmc=", &[PASSWORD]).is_empty());
        assert!(find(b"", &[PASSWORD]).is_empty());
    }
}

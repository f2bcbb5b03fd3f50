//! [`Credentials`]: what stands in the `Authorization` header.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

/// Base64 with or without padding: both are sent.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a client offers to show who it is.
pub enum Credentials {
    /// Nothing.
    None,
    /// A username and a password (RFC 7617).
    Basic {
        /// The username; everything before the first colon.
        username: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// A token (RFC 6750).
    Bearer(Zeroizing<String>),
    /// A refresh token, which the token endpoint alone takes.
    Refresh(Zeroizing<String>),
    /// Something that cannot be read, or more than one thing.
    Unreadable,
}

impl Credentials {
    /// Reads the `Authorization` header.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Self::None };
        // Two headers could be two principals, and which one counts would depend on who reads them.
        if values.next().is_some() {
            return Self::Unreadable;
        }
        let Some((scheme, rest)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
            return Self::Unreadable;
        };
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() {
            Self::Bearer(Zeroizing::new(rest.to_owned()))
        } else if scheme.eq_ignore_ascii_case("basic") {
            Self::basic(rest).unwrap_or(Self::Unreadable)
        } else {
            Self::Unreadable
        }
    }

    fn basic(encoded: &str) -> Option<Self> {
        let decoded = Zeroizing::new(BASE64.decode(encoded).ok()?);
        let (username, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some(Self::Basic {
            username: username.to_owned(),
            password: Zeroizing::new(password.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        match Credentials::from_headers(&headers) {
            Credentials::None => "none".to_owned(),
            Credentials::Basic { username, password } => format!("basic {username}|{}", &*password),
            Credentials::Bearer(token) => format!("bearer {}", &*token),
            Credentials::Refresh(_) => "refresh".to_owned(),
            Credentials::Unreadable => "unreadable".to_owned(),
        }
    }

    #[test]
    fn reads_the_header_as_clients_send_it() {
        let basic = |text: &[u8]| format!("Basic {}", BASE64.encode(text));
        let long = "p".repeat(4096);
        for (header, want) in [
            (basic(b"alice:secret"), "basic alice|secret".to_owned()),
            (basic(b"alice:secret").replace('=', ""), "basic alice|secret".to_owned()),
            (
                basic(b"alice:secret").replace("Basic", "bASIC"),
                "basic alice|secret".to_owned(),
            ),
            (basic(b"alice:se:cr:et"), "basic alice|se:cr:et".to_owned()),
            (basic("alice:p\u{e4}ss".as_bytes()), "basic alice|p\u{e4}ss".to_owned()),
            (basic(b"alice:"), "basic alice|".to_owned()),
            (basic(b":x"), "basic |x".to_owned()),
            (basic(b"alice:a\0b"), "basic alice|a\0b".to_owned()),
            (basic(format!("alice:{long}").as_bytes()), format!("basic alice|{long}")),
            (basic(b"alice"), "unreadable".to_owned()),
            (basic(b"\xff:\xfe"), "unreadable".to_owned()),
            ("Basic ???".to_owned(), "unreadable".to_owned()),
            ("Basic".to_owned(), "unreadable".to_owned()),
            ("bearer a.b.c".to_owned(), "bearer a.b.c".to_owned()),
            ("Bearer ".to_owned(), "unreadable".to_owned()),
            ("Digest x".to_owned(), "unreadable".to_owned()),
            ("\u{e4}".to_owned(), "unreadable".to_owned()),
        ] {
            assert_eq!(read(&[&header]), want, "{header:?}");
        }
        assert_eq!(read(&[]), "none");
        assert_eq!(read(&["Bearer a", "Bearer a"]), "unreadable");
    }
}

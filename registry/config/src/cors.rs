//! Which pages of other origins may use the registry from a browser (CORS).

use serde::{Deserialize, Serialize};

use crate::{DurationText, Problem};

/// Which pages of other origins may use the registry from a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cors {
    /// Origins, such as `https://ui.example.com`; or `*`, alone and without credentials.
    pub allowed_origins: Vec<String>,
    /// Whether browsers may send cookies and remembered passwords, which some pages ask for. Default false. A page can
    /// send an `Authorization` header of its own without.
    #[serde(default)]
    pub allow_credentials: bool,
    /// Methods. Default HEAD, GET, OPTIONS and DELETE.
    #[serde(default = "Cors::default_methods")]
    pub allowed_methods: Vec<String>,
    /// Headers that a page may send. Default Authorization, Accept and Cache-Control.
    #[serde(default = "Cors::default_allowed_headers")]
    pub allowed_headers: Vec<String>,
    /// Headers that a page may read. Default Docker-Content-Digest.
    #[serde(default = "Cors::default_expose_headers")]
    pub expose_headers: Vec<String>,
    /// How long a browser may remember this. Default `10m`.
    #[serde(default = "Cors::default_max_age")]
    pub max_age: DurationText,
}

impl Cors {
    /// The default of `allowedMethods`.
    pub fn default_methods() -> Vec<String> {
        ["HEAD", "GET", "OPTIONS", "DELETE"].map(str::to_owned).to_vec()
    }

    /// The default of `allowedHeaders`.
    pub fn default_allowed_headers() -> Vec<String> {
        ["Authorization", "Accept", "Cache-Control"].map(str::to_owned).to_vec()
    }

    /// The default of `exposeHeaders`.
    pub fn default_expose_headers() -> Vec<String> {
        vec!["Docker-Content-Digest".to_owned()]
    }

    /// The default of `maxAge`.
    pub const fn default_max_age() -> DurationText {
        DurationText::from_secs(600)
    }

    /// What is wrong with the settings, with paths relative to them.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.allowed_origins.is_empty() {
            let message = "name at least one origin, for example `https://ui.example.com`, or leave `cors` out";
            problems.push(Problem::new("allowedOrigins", message));
        }
        for (index, origin) in self.allowed_origins.iter().enumerate() {
            let path = format!("allowedOrigins[{index}]");
            if origin == "*" {
                if self.allow_credentials {
                    let message = "`*` cannot be together with `allowCredentials`: any page could act for whoever looks at it; list the origins";
                    problems.push(Problem::new(path, message));
                }
            } else if !is_origin(origin) {
                let message = format!(
                    "`{origin}` is not an origin: write scheme, host and port as a browser does, in lower case and without a path, for example `https://ui.example.com`"
                );
                problems.push(Problem::new(path, message));
            }
        }
        for (field, values) in [
            ("allowedMethods", &self.allowed_methods),
            ("allowedHeaders", &self.allowed_headers),
            ("exposeHeaders", &self.expose_headers),
        ] {
            for (index, value) in values.iter().enumerate() {
                let path = format!("{field}[{index}]");
                if !is_token(value) {
                    problems.push(Problem::new(
                        path,
                        format!("`{value}` is not a name: it has a space or another character that no header may have"),
                    ));
                } else if value == "*" && self.allow_credentials {
                    let message = "`*` cannot be together with `allowCredentials`: browsers take it for a name then; list the names";
                    problems.push(Problem::new(path, message));
                }
            }
        }
        problems
    }
}

/// Whether a text is an origin as browsers write it (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let Some(host) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    };
    let in_brackets = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_name = in_brackets.map_or_else(
        || {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
            !name.is_empty() && name.bytes().all(plain)
        },
        |address| address.parse::<std::net::Ipv6Addr>().is_ok(),
    );
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_name && port.is_none_or(is_port)
}

/// Whether a text can be the name of a method or a header (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_browsers_would_not_follow_are_problems_with_their_place() {
        let paths = |json: &str| {
            let cors: Cors = serde_json::from_str(json).unwrap();
            cors.problems()
                .into_iter()
                .map(|problem| problem.path)
                .collect::<Vec<_>>()
        };
        for good in [
            r#"{"allowedOrigins": ["https://ui.example.com", "http://localhost:8080", "http://[::1]:80", "https://[2001:db8::1]"], "allowCredentials": true}"#,
            r#"{"allowedOrigins": ["*"]}"#,
            r#"{"allowedOrigins": ["*"], "allowedHeaders": ["*"], "exposeHeaders": []}"#,
        ] {
            assert_eq!(paths(good), [""; 0], "{good}");
        }
        for (bad, want) in [
            (r#"{"allowedOrigins": []}"#, &["allowedOrigins"][..]),
            (
                r#"{"allowedOrigins": ["https://a", "*"], "allowCredentials": true}"#,
                &["allowedOrigins[1]"],
            ),
            (
                r#"{"allowedOrigins": ["https://a"], "allowedHeaders": ["*"], "allowCredentials": true}"#,
                &["allowedHeaders[0]"],
            ),
            (
                r#"{"allowedOrigins": ["*"], "allowedMethods": ["GET", "a b"], "exposeHeaders": [""]}"#,
                &["allowedMethods[1]", "exposeHeaders[0]"],
            ),
        ] {
            assert_eq!(paths(bad), want, "{bad}");
        }
        for origin in [
            "",
            "null",
            "ui.example.com",
            "https://",
            "https://a/",
            "https://a/b",
            "https://A",
            "https://a:",
            "https://a:x",
            "https://a:99999",
            "https://*.example.com",
            "ftp://a",
            "https://a b",
            "https://u@a",
            "https://[::1",
            "https://[x]",
            "https://a?b",
        ] {
            let json = serde_json::json!({ "allowedOrigins": [origin] }).to_string();
            assert_eq!(paths(&json), ["allowedOrigins[0]"], "{origin}");
        }
    }
}

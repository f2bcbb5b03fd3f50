//! [`TokenServer`]: whose tokens open the registry, where a server of its own makes them (CNCF Distribution, "Token Authentication
//! Specification").

mod keys;

use http::Uri;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Problem, SignatureAlgorithm, audience};

/// A server that clients sign in with and get tokens from. Its tokens say who somebody is and what they may do at most; policies decide as
/// they do about everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenServer {
    /// The URL that clients ask for tokens, which challenges name as their realm.
    pub realm: String,
    /// What its tokens for this registry are for, which challenges name as the service. Default: the registry's own service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What it calls itself, exactly as tokens have it in `iss`.
    pub issuer: String,
    /// The keys that verify its tokens: certificates or public keys in PEM, or a JSON Web Key Set (RFC 7517). A certificate counts for
    /// the key in it and nothing else, as long as it stands here; one that issued another here counts for nothing.
    pub keys: String,
    /// How tokens may be signed. Default: with any of them that the keys are for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<SignatureAlgorithm>,
}

impl TokenServer {
    /// What is wrong with it, with paths relative to it, such as `realm`.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(why) = check_realm(&self.realm) {
            problems.push(Problem::new("realm", why));
        }
        for (path, text) in [("issuer", Some(&self.issuer)), ("service", self.service.as_ref())] {
            if text.is_some_and(|text| text.trim().is_empty() || text.chars().any(char::is_control)) {
                problems.push(Problem::new(path, "it is empty, or has a control character"));
            }
        }
        match self.key_set() {
            Ok(keys) if !self.algorithms.is_empty() && !keys::are_for(&keys, &self.algorithms) => {
                let message =
                    "none of the keys is for one of these: leave it out, or name one that the server signs with";
                problems.push(Problem::new("algorithms", message));
            }
            Ok(_) => {}
            Err(why) => problems.push(Problem::new("keys", why)),
        }
        problems
    }

    /// Its keys, as a JSON Web Key Set of those that verify tokens, with nothing in it that is secret. One without a `kid` may have signed any
    /// token: servers name keys of PEM each in its own way.
    ///
    /// # Errors
    /// In words, where there is no such key, or one that cannot be read.
    pub fn key_set(&self) -> Result<Value, String> {
        Self::read_keys(&self.keys)
    }

    /// The same of keys that are not in a document yet.
    ///
    /// # Errors
    /// As [`Self::key_set`].
    pub fn read_keys(text: &str) -> Result<Value, String> {
        keys::key_set(text)
    }

    /// What its tokens for a registry are for whose own service is `own`.
    pub fn service<'s>(&'s self, own: &'s str) -> &'s str {
        self.service.as_deref().unwrap_or(own)
    }

    /// Whether a token is for a registry whose own service is `own`.
    pub fn is_meant_by(&self, claims: &Map<String, Value>, own: &str) -> bool {
        audience::is_among(claims, |name| name == self.service(own))
    }
}

/// Clients send passwords there.
fn check_realm(text: &str) -> Result<(), String> {
    let is_plain = |uri: Uri| {
        let authority = uri.authority()?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        (is_web && !authority.as_str().contains('@')).then_some(())
    };
    match text.parse::<Uri>().ok().and_then(is_plain) {
        Some(()) if !text.contains('#') => Ok(()),
        _ => Err(format!(
            "`{text}` is not the URL that clients get tokens from: write for example `https://auth.example.com/token`"
        )),
    }
}

//! [`ServerTokens`]: verifies tokens of the server that a document names in place of the registry's own token endpoint (CNCF Distribution,
//! "Token Authentication Implementation").

use std::collections::BTreeMap;
use std::sync::Arc;

use registry_config::{Problem, TokenServer, check_username};
use serde::Deserialize;
use serde_json::Value;

use super::claims::AccessClaim;
use super::foreign::{ForeignClaims, ForeignKeys, check_algorithm, check_times};
use super::verified::Verified;
use super::verify::weight_of;
use super::{Grant, TokenError};

/// The longest subject, in bytes.
const MAX_SUBJECT: usize = 255;

/// What a document says about its token server, with the keys ready for use.
#[derive(Debug)]
pub(crate) struct TrustedServer {
    settings: TokenServer,
    /// The registry's own service.
    service: String,
    keys: ForeignKeys,
}

/// Somebody who was shown by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownBearer {
    /// The username; `None` is an anonymous caller.
    pub(crate) username: Option<String>,
    /// What they may do at most.
    pub(crate) access: Arc<[AccessClaim]>,
}

/// What a token says, apart from its times.
#[derive(Debug)]
struct ServerClaims {
    all: ForeignClaims,
    shown: ShownBearer,
}

/// One resource that a token opens, as servers write it.
#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    /// `null` where a server grants nothing of what was asked for.
    #[serde(default)]
    actions: Option<Vec<String>>,
    /// What GitLab adds.
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    /// Patterns of tags that an action is denied for, by action.
    #[serde(default)]
    tag_deny_access_patterns: Option<BTreeMap<String, Option<Vec<String>>>>,
}

/// Verifies tokens. What it remembers is only that a signature was right under a set of keys.
#[derive(Debug)]
pub struct ServerTokens {
    verified: Verified<ServerClaims>,
}

impl Default for ServerTokens {
    fn default() -> Self {
        Self {
            verified: Verified::new(|claims: &ServerClaims| weight_of(&claims.all).saturating_mul(2)),
        }
    }
}

impl TrustedServer {
    /// Prepares what a document says, whose own service is `service`.
    pub(crate) fn new(settings: &TokenServer, service: &str) -> Result<Self, Problem> {
        let keys = settings
            .key_set()
            .map_err(|why| Problem::new("tokenServer.keys", why))?;
        let keys = ForeignKeys::of(&keys).with_nameless();
        if keys.is_empty() {
            let message = "there is no key that verifies signatures with an algorithm that is known";
            return Err(Problem::new("tokenServer.keys", message));
        }
        Ok(Self {
            settings: settings.clone(),
            service: service.to_owned(),
            keys,
        })
    }

    /// What the server calls itself.
    pub(crate) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    fn is_for_us(&self, claims: &ForeignClaims) -> Result<(), TokenError> {
        let is_theirs = claims.get("iss").and_then(Value::as_str) == Some(self.issuer());
        if is_theirs && self.settings.is_meant_by(claims, &self.service) {
            Ok(())
        } else {
            Err(TokenError::Audience)
        }
    }
}

impl ServerTokens {
    /// Whom this token is about, and what it opens, at the instant `now`.
    pub(crate) fn verify(&self, server: &TrustedServer, token: &str, now: u64) -> Result<ShownBearer, TokenError> {
        check_algorithm(&server.settings.algorithms, token)?;
        let claims = self.verified.claims(&server.keys, token, |all| {
            server.is_for_us(&all)?;
            let shown = read(&all)?;
            Ok(ServerClaims { all, shown })
        })?;
        // The settings may be others than when it was remembered.
        server.is_for_us(&claims.all)?;
        check_times(&claims.all, now)?;
        Ok(claims.shown.clone())
    }
}

fn read(claims: &ForeignClaims) -> Result<ShownBearer, TokenError> {
    let subject = match claims.get("sub") {
        None => "",
        Some(subject) => subject.as_str().ok_or(TokenError::Malformed)?,
    };
    if !subject.is_empty() && (subject.len() > MAX_SUBJECT || check_username(subject).is_err()) {
        return Err(TokenError::Subject);
    }
    let resources = match claims.get("access") {
        None | Some(Value::Null) => Vec::new(),
        Some(access) => Vec::<Resource>::deserialize(access).map_err(|_| TokenError::Malformed)?,
    };
    Ok(ShownBearer {
        username: (!subject.is_empty()).then(|| subject.to_owned()),
        access: resources.into_iter().map(claim).collect(),
    })
}

/// What a resource opens. `*` of a repository is everything that can be done there, and an action that is denied for some tags is not opened.
fn claim(resource: Resource) -> AccessClaim {
    let mut actions = resource.actions.unwrap_or_default();
    if resource.kind == "repository" && actions.iter().any(|action| action == "*") {
        actions = Grant::ALL.map(|grant| grant.as_str().to_owned()).to_vec();
    }
    // Rather nothing than more than the server means.
    let denied = resource
        .meta
        .and_then(|meta| meta.tag_deny_access_patterns)
        .unwrap_or_default();
    actions.retain(|action| {
        denied
            .get(action)
            .is_none_or(|patterns| patterns.as_ref().is_none_or(Vec::is_empty))
    });
    AccessClaim {
        kind: resource.kind,
        name: resource.name,
        actions,
    }
}

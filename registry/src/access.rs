//! The access document in force: [`Current`] holds it, [`mod@file`] and [`secret`] follow its source.
//!
//! A request takes one [`Snapshot`] and decides everything by it, so that a change is seen whole or not at all.

pub mod file;
mod saved;
pub mod secret;
mod state;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use registry_config::{Access, AccessIndex, DocumentError, IdentityEntry, OidcIssuer, Problem, digest_of};
use registry_policy::{Caller, Identity};

pub use state::{Current, InForce, Refused, Status};

use crate::authenticate::Principal;
use crate::cors::Cors;
use crate::token::{ForeignKeys, Key, Keys, ServiceAccountIssuer, TrustedServer};

/// An access document that passed every check, with its token keys ready for use. It never changes.
#[derive(Debug)]
pub struct Snapshot {
    revision: u64,
    digest: String,
    access: Access,
    keys: Keys,
    cors: Option<Cors>,
    service_accounts: Option<ServiceAccountIssuer>,
    token_server: Option<TrustedServer>,
    /// The keys of issuers that stand in the document, by the issuer.
    issuer_keys: HashMap<String, ForeignKeys>,
}

impl Snapshot {
    /// Prepares a document for use. `own_key` signs and verifies where the document has no key.
    ///
    /// # Errors
    /// Where a token key of the document cannot be used.
    pub fn new(index: &AccessIndex, access: Access, own_key: &Arc<Key>) -> Result<Self, DocumentError> {
        let keys =
            Keys::new(&access.content.token, own_key).map_err(|problem| DocumentError::Invalid(vec![problem]))?;
        let cors = access.content.cors.as_ref().map(Cors::new).transpose();
        let cors = cors.map_err(|error| DocumentError::Invalid(vec![Problem::new("cors", error)]))?;
        let content = &access.content;
        let token_server = content.token_server.as_ref();
        let token_server = token_server.map(|server| TrustedServer::new(server, &content.service));
        let token_server = token_server
            .transpose()
            .map_err(|problem| DocumentError::Invalid(vec![problem]))?;
        let digest = index.digest.clone().unwrap_or_else(|| digest_of(&access.content));
        Ok(Self {
            revision: index.revision,
            digest,
            service_accounts: access.content.service_accounts.as_ref().map(ServiceAccountIssuer::new),
            token_server,
            issuer_keys: inline_keys(&access)?,
            access,
            keys,
            cors,
        })
    }

    /// The document's revision.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The digest of the document's content.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The document.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Whose tokens of ServiceAccounts are accepted.
    pub(crate) fn service_accounts(&self) -> Option<&ServiceAccountIssuer> {
        self.service_accounts.as_ref()
    }

    /// Whose tokens open the registry beside its own.
    pub(crate) fn token_server(&self) -> Option<&TrustedServer> {
        self.token_server.as_ref()
    }

    /// The keys of an issuer of OpenID Connect tokens, where they stand in the document.
    pub(crate) fn issuer_keys(&self, issuer: &OidcIssuer) -> Option<&ForeignKeys> {
        self.issuer_keys.get(&issuer.issuer)
    }

    /// What browsers are told about pages of other origins.
    pub(crate) fn cors(&self) -> Option<&Cors> {
        self.cors.as_ref()
    }

    /// The token keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }
}

fn inline_keys(access: &Access) -> Result<HashMap<String, ForeignKeys>, DocumentError> {
    let mut found = HashMap::new();
    for (index, issuer) in access.content.oidc.iter().enumerate() {
        let Some(jwks) = &issuer.jwks else { continue };
        let keys = ForeignKeys::of(jwks);
        if keys.is_empty() {
            let message = "it has no key that verifies signatures with an algorithm that is known";
            let problem = Problem::new(format!("oidc[{index}].jwks"), message);
            return Err(DocumentError::Invalid(vec![problem]));
        }
        found.insert(issuer.issuer.clone(), keys);
    }
    Ok(found)
}

/// The facts about an identity that policies may use.
pub(crate) fn caller<'a>(
    identity: Option<&'a IdentityEntry>,
    principal: &'a Principal,
    client_ip: Option<std::net::IpAddr>,
    at: Timestamp,
) -> Caller<'a> {
    let identity = identity.map(|entry| Identity {
        id: entry.uid.as_deref().unwrap_or(&entry.username),
        username: &entry.username,
        groups: &entry.groups,
        attributes: Some(&entry.attributes),
        home: entry.home,
    });
    let vouched = principal.vouched.as_deref();
    Caller {
        identity,
        client_ip,
        at,
        certificate: principal.certificate.as_deref().map(|certificate| &certificate.facts),
        oidc: vouched.and_then(|vouched| vouched.oidc.as_ref()),
        service_account: vouched.and_then(|vouched| vouched.service_account.as_ref()),
    }
}

/// Runs `compile`, which parses expressions, on a thread with room for the deepest that is accepted.
async fn compile<T: Send + 'static>(compile: impl FnOnce() -> T + Send + 'static) -> T {
    const STACK_BYTES: usize = 32 * 1024 * 1024;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("compile".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            // Nobody waits any longer when the process is ending.
            let _ = sender.send(compile());
        });
    let Ok(result) = receiver.await else {
        // The system refused the thread, or the thread panicked.
        let cause = match thread {
            Ok(thread) => thread.join().err(),
            Err(error) => Some(Box::new(error) as Box<dyn std::any::Any + Send>),
        };
        std::panic::resume_unwind(cause.unwrap_or_else(|| Box::new("no result")))
    };
    result
}

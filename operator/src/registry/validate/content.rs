//! The access document's content.

use std::collections::BTreeMap;

use crds::{AccountVerification, Registry, ServiceAccountMode};
use kube::ResourceExt;
use registry_config::{
    AccessContent, ClientCertificates, IdentityEntry, OidcIssuer, PolicyEntry, ServiceAccountTokens, TokenServer,
};

use super::identities::Identity;
use super::keys;
use super::policies::Judged;
use super::settings::Reloadable;
use super::users::Users;
use crate::registry::snapshot::Snapshot;
use crate::state::State;

/// Whose word the registry takes for who somebody is.
pub(super) struct Trusted {
    pub(super) client_certificates: Option<ClientCertificates>,
    pub(super) issuers: Vec<OidcIssuer>,
    pub(super) service_accounts: Option<ServiceAccountTokens>,
    pub(super) token_server: Option<TokenServer>,
}

/// What tokens for a Registry are for.
pub(super) fn service(registry: &Registry) -> String {
    format!(
        "wharfinger.dev/{}/{}",
        registry.namespace().unwrap_or_default(),
        registry.name_any()
    )
}

pub(super) fn content(
    snapshot: &Snapshot,
    reloadable: &Reloadable,
    state: &State,
    trusted: &Trusted,
    identities: &BTreeMap<String, Identity>,
    users: &Users,
    policies: &BTreeMap<String, Judged>,
) -> AccessContent {
    let registry = &snapshot.registry;
    let spec = &registry.spec;
    let mut listed: Vec<IdentityEntry> = identities
        .values()
        .filter_map(|identity| match &identity.entry {
            Some(entry) => Some(entry.clone()),
            // Whoever is not listed could come back as somebody whom a proxy or a token server names, whose namespace is admitted, or whose
            // certificate is believed: who must not sign in is listed as over.
            None if identity.holds_username => {
                identity.over(reloadable.user_header.is_some() || trusted.token_server.is_some())
            }
            None => None,
        })
        .chain(users.entries.iter().cloned())
        .collect();
    listed.sort_by(|a, b| a.username.cmp(&b.username));
    let mut in_force: Vec<PolicyEntry> = policies.values().filter_map(|policy| policy.in_force.clone()).collect();
    in_force.sort_by(|a, b| a.name.cmp(&b.name));
    AccessContent {
        client_certificates: trusted.client_certificates.clone(),
        oidc: trusted.issuers.clone(),
        service_accounts: trusted.service_accounts.clone(),
        token_server: trusted.token_server.clone(),
        service: service(registry),
        issuer: registry.uid().unwrap_or_default(),
        external_url: spec.external_url.clone(),
        cors: reloadable.cors.clone(),
        trusted_proxies: reloadable.trusted_proxies.clone(),
        user_header: reloadable.user_header.clone(),
        allowed_source_ranges: reloadable.allowed_source_ranges.clone(),
        challenge: reloadable.challenge,
        basic_realm: reloadable.basic_realm.clone(),
        token: keys::settings(registry, state),
        manifests: reloadable.manifests.clone(),
        blobs: reloadable.blobs.clone(),
        deletion: reloadable.deletion,
        identities: listed,
        policies: in_force,
    }
}

/// Which tokens of ServiceAccounts are accepted. While the cluster's issuer is not known yet, what is in force stays.
pub(super) fn service_accounts(
    snapshot: &Snapshot,
    reloadable: &Reloadable,
    service: &str,
) -> Option<ServiceAccountTokens> {
    let settings = snapshot.registry.spec.auth.as_ref();
    let settings = settings
        .and_then(|auth| auth.service_account_tokens.clone())
        .unwrap_or_default();
    if settings.mode == Some(ServiceAccountMode::Disabled) || !reloadable.takes_account_tokens {
        return None;
    }
    let (issuer, jwks) = if let Some(found) = &snapshot.cluster_issuer {
        (found.issuer.clone(), found.jwks.clone())
    } else {
        let tokens = snapshot.index.content()?.service_accounts.as_ref()?;
        (tokens.issuer.clone(), tokens.jwks.clone())
    };
    let mut namespaces = settings.namespaces.unwrap_or_default();
    namespaces.sort();
    namespaces.dedup();
    Some(ServiceAccountTokens {
        issuer,
        jwks,
        audiences: vec![settings.audience.unwrap_or_else(|| service.to_owned())],
        namespaces,
        review: settings.verification == Some(AccountVerification::TokenReview),
    })
}

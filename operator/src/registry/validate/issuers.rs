//! The issuers of OpenID Connect tokens.

use crds::{OidcIssuer as Spec, reasons};
use registry_config::{OidcIssuer, OidcProvider, RequiredClaim, SignatureAlgorithm};

use crate::outcome::Verdict;
use crate::registry::snapshot::Snapshot;

use super::authorities;

/// What the access document says about issuers.
pub(super) struct Issuers {
    pub(super) listed: Vec<OidcIssuer>,
    /// What is wrong with their settings.
    pub(super) accepted: Result<(), Verdict>,
    /// What is wrong with the Secrets that they name.
    pub(super) resolved: Result<(), Verdict>,
}

/// Judges all issuers of a Registry. One that is broken stays as it is in force, if it is; the others are not touched.
pub(super) fn judge(snapshot: &Snapshot) -> Issuers {
    let auth = snapshot.registry.spec.auth.as_ref();
    let specs = auth.and_then(|auth| auth.oidc.as_deref()).unwrap_or_default();
    let (mut listed, mut problems, mut resolved) = (Vec::new(), Vec::new(), Ok(()));
    let mut urls: Vec<&str> = Vec::new();
    for spec in specs {
        let path = format!("spec.auth.oidc[{}]", spec.name);
        let found = authorities_of(spec, snapshot).map_err(|why| {
            resolved = Err(why);
        });
        let found = found.and_then(|authorities| {
            let mut wrong = Vec::new();
            let issuer = issuer(spec, authorities);
            // The schema cannot compare lists of this size.
            if urls.contains(&spec.issuer_url.as_str()) {
                wrong.push(format!("{path}.issuerURL: another entry has the same"));
            }
            if is_the_clusters(snapshot, &spec.issuer_url) {
                wrong.push(format!(
                    "{path}.issuerURL: this is the cluster's own issuer, whose tokens are accepted already; write `serviceAccountTokens: {{mode: Disabled}}` if they are to be taken as those of another issuer"
                ));
            }
            if let Err(found) = OidcProvider::new(&issuer) {
                wrong.extend(found.into_iter().map(|problem| format!("{path}.{problem}")));
            }
            let is_right = wrong.is_empty();
            problems.extend(wrong);
            if is_right { Ok(issuer) } else { Err(()) }
        });
        let in_force = || in_force(snapshot, &spec.name).filter(|known| !is_the_clusters(snapshot, &known.issuer));
        let issuer = found.ok().or_else(in_force);
        let issuer = issuer.filter(|issuer| listed.iter().all(|other: &OidcIssuer| other.issuer != issuer.issuer));
        listed.extend(issuer);
        urls.push(&spec.issuer_url);
    }
    let accepted = match problems.as_slice() {
        [] => Ok(()),
        problems => Err(Verdict::no(
            reasons::INVALID,
            format!("{}; what was in force of it last still is", problems.join("; ")),
        )),
    };
    Issuers {
        listed,
        accepted,
        resolved,
    }
}

/// The authorities that are named for an issuer.
fn authorities_of(spec: &Spec, snapshot: &Snapshot) -> Result<Option<String>, Verdict> {
    let Some(reference) = &spec.authorities_secret_ref else {
        return Ok(None);
    };
    let found = snapshot.issuer_authorities.get(&spec.name);
    let text = found.map(|found| authorities::text(found, &reference.name, snapshot));
    text.transpose().map_err(|(reason, why)| {
        let message = format!(
            "Secret `{}` with the authorities of the issuer `{}`: {why}; what was in force of the issuer last still is",
            reference.name, spec.name
        );
        Verdict::no(reason, message)
    })
}

fn issuer(spec: &Spec, authorities: Option<String>) -> OidcIssuer {
    let required = spec.required_claims.iter().map(|required| RequiredClaim {
        claim: required.claim.clone(),
        values: required.values.clone(),
    });
    OidcIssuer {
        name: spec.name.clone(),
        issuer: spec.issuer_url.clone(),
        audiences: spec.audiences.clone(),
        required_claims: required.collect(),
        username: spec.username.clone(),
        groups: spec.groups.clone(),
        algorithms: algorithms(spec.algorithms.as_deref()),
        jwks_url: spec.jwks_url.clone(),
        jwks: None,
        authorities,
    }
}

/// Algorithms as the access document has them.
pub(super) fn algorithms(spec: Option<&[crds::SignatureAlgorithm]>) -> Vec<SignatureAlgorithm> {
    spec.unwrap_or_default().iter().copied().map(algorithm).collect()
}

fn algorithm(spec: crds::SignatureAlgorithm) -> SignatureAlgorithm {
    match spec {
        crds::SignatureAlgorithm::RS256 => SignatureAlgorithm::RS256,
        crds::SignatureAlgorithm::RS384 => SignatureAlgorithm::RS384,
        crds::SignatureAlgorithm::RS512 => SignatureAlgorithm::RS512,
        crds::SignatureAlgorithm::PS256 => SignatureAlgorithm::PS256,
        crds::SignatureAlgorithm::PS384 => SignatureAlgorithm::PS384,
        crds::SignatureAlgorithm::PS512 => SignatureAlgorithm::PS512,
        crds::SignatureAlgorithm::ES256 => SignatureAlgorithm::ES256,
        crds::SignatureAlgorithm::ES384 => SignatureAlgorithm::ES384,
        crds::SignatureAlgorithm::EdDSA => SignatureAlgorithm::EdDSA,
    }
}

/// Whether tokens of this issuer are those of the cluster's ServiceAccounts, and accepted as such.
fn is_the_clusters(snapshot: &Snapshot, issuer: &str) -> bool {
    let auth = snapshot.registry.spec.auth.as_ref();
    let mode = auth.and_then(|auth| auth.service_account_tokens.as_ref()?.mode);
    if mode == Some(crds::ServiceAccountMode::Disabled) {
        return false;
    }
    if let Some(cluster) = &snapshot.cluster_issuer {
        return cluster.issuer == issuer;
    }
    let tokens = snapshot
        .index
        .content()
        .and_then(|content| content.service_accounts.as_ref());
    tokens.is_some_and(|tokens| tokens.issuer == issuer)
}

fn in_force(snapshot: &Snapshot, name: &str) -> Option<OidcIssuer> {
    let mut known = snapshot.index.content()?.oidc.iter();
    known.find(|issuer| issuer.name == name).cloned()
}

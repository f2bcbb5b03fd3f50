//! The server that clients get tokens from.

use crds::{TokenServer as Spec, reasons};
use kube::ResourceExt;
use registry_config::{OidcIssuer, ServiceAccountTokens, TokenServer};

use crate::outcome::Verdict;
use crate::registry::snapshot::Snapshot;

use super::{issuers, trust};

/// What the access document says about a token server.
pub(super) struct Found {
    pub(super) listed: Option<TokenServer>,
    /// What is wrong with its settings.
    pub(super) accepted: Result<(), Verdict>,
    /// What is wrong with the Secret that it names.
    pub(super) resolved: Result<(), Verdict>,
}

/// Judges the token server of a Registry. One that is broken stays as it is in force, if it is. `oidc` and `accounts` are whose tokens are
/// accepted beside its own: they come first.
pub(super) fn judge(snapshot: &Snapshot, oidc: &[OidcIssuer], accounts: Option<&ServiceAccountTokens>) -> Found {
    let auth = snapshot.registry.spec.auth.as_ref();
    let Some(spec) = auth.and_then(|auth| auth.token_server.as_ref()) else {
        return Found {
            listed: None,
            accepted: Ok(()),
            resolved: Ok(()),
        };
    };
    let is_taken = |issuer: &str| {
        snapshot.registry.uid().as_deref() == Some(issuer)
            || oidc.iter().any(|other| other.issuer == issuer)
            || accounts.is_some_and(|accounts| accounts.issuer == issuer)
    };
    let known = snapshot
        .index
        .content()
        .and_then(|content| content.token_server.as_ref());
    let asks_for_tokens = auth.and_then(|auth| auth.challenge) != Some(crds::Challenge::Basic);
    let known = known.filter(|known| asks_for_tokens && !is_taken(&known.issuer));
    // Whatever is wrong with the Secret, the settings beside it are those that were asked for.
    let kept = known
        .filter(|known| known.issuer == spec.issuer)
        .map(|known| &known.keys);
    let (keys, resolved) = match keys(spec, snapshot, kept.is_some()) {
        Ok(keys) => (Some(keys), Ok(())),
        Err(why) => (kept.cloned(), Err(why)),
    };
    let Some(keys) = keys else {
        return Found {
            listed: None,
            accepted: Ok(()),
            resolved,
        };
    };
    let server = server(spec, keys);
    let mut wrong: Vec<String> = server.problems().iter().map(ToString::to_string).collect();
    if !asks_for_tokens {
        wrong.push("realm: with `challenge: Basic` nobody is sent there: leave out one of them".to_owned());
    }
    if is_taken(&server.issuer) {
        wrong.push(
            "issuer: tokens of this issuer are accepted already, as those of `oidc`, of ServiceAccounts or of the registry itself".to_owned(),
        );
    }
    let accepted = match wrong.as_slice() {
        [] => Ok(()),
        wrong => Err(Verdict::no(
            reasons::INVALID,
            format!(
                "spec.auth.tokenServer.{}; what was in force of it last still is",
                wrong.join("; spec.auth.tokenServer.")
            ),
        )),
    };
    Found {
        listed: if accepted.is_ok() { Some(server) } else { known.cloned() },
        accepted,
        resolved,
    }
}

/// The keys that are named, without anything secret that may stand beside them; `are_kept` says whether those of before count without them.
fn keys(spec: &Spec, snapshot: &Snapshot, are_kept: bool) -> Result<String, Verdict> {
    let name = &spec.keys_secret_ref.name;
    let text = trust::text(&snapshot.token_server_keys, name, snapshot);
    let keys = text.and_then(|text| TokenServer::read_keys(&text).map_err(|why| (None, why)));
    keys.map(|keys| keys.to_string()).map_err(|(reason, why)| {
        let consequence = if are_kept {
            "the keys that it had last still count; to stop believing it, remove `spec.auth.tokenServer`"
        } else {
            "none of its tokens is accepted until then"
        };
        let message = format!("Secret `{name}` with the keys of the token server: {why}; {consequence}");
        Verdict::no(reason.unwrap_or(reasons::INVALID_KEYS), message)
    })
}

fn server(spec: &Spec, keys: String) -> TokenServer {
    TokenServer {
        realm: spec.realm.clone(),
        service: spec.service.clone(),
        issuer: spec.issuer.clone(),
        keys,
        algorithms: issuers::algorithms(spec.algorithms.as_deref()),
    }
}

//! [`Bearer`]: a caller with a token of an issuer or of a ServiceAccount, as the registry would know them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use registry_config::{Access, Audience, AudienceRefusal, IdentityEntry, ServiceAccountTokens};
use registry_policy::{Oidc, ServiceAccount};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::output;

/// A caller with a token. Nobody has looked at its signature and its time.
pub(super) struct Bearer {
    /// Who the token makes its bearer.
    pub(super) identity: IdentityEntry,
    /// What conditions see of it.
    pub(super) facts: Facts,
}

/// What conditions see of a token.
pub(super) enum Facts {
    /// It is an issuer's.
    Oidc(Oidc),
    /// It is a ServiceAccount's.
    ServiceAccount(ServiceAccount),
}

/// Why a registry refuses a token.
pub(super) struct Refusal(pub(super) String);

/// The bearer of the token in a file, which holds either the token or its claims in JSON.
///
/// # Errors
/// Where there is no token in the file, or where nobody can tell here who its bearer is.
pub(super) fn read(file: &Path, access: &Access) -> Result<Result<Bearer, Refusal>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let claims = claims(text.trim());
    let claims = claims.with_context(|| format!("`{}` holds neither a token nor its claims", file.display()))?;
    let issuer = claims.get("iss").and_then(Value::as_str).map(str::to_owned);
    let token_server = access.content.token_server.as_ref();
    if token_server.is_some_and(|server| issuer.as_ref() == Some(&server.issuer)) {
        bail!("what a token of the token server opens stands in it: nobody can tell here");
    }
    Ok(Bearer::of(claims, access).map_err(Refusal))
}

impl Bearer {
    /// Whoever bears a token with these claims.
    ///
    /// # Errors
    /// Why the registry refuses the token.
    fn of(claims: Map<String, Value>, access: &Access) -> Result<Self, String> {
        let text = |claim: &str| {
            let text = claims
                .get(claim)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty());
            text.map(str::to_owned)
                .ok_or_else(|| format!("the token has no `{claim}`"))
        };
        let (issuer, subject) = (text("iss")?, text("sub")?);
        if let Some(provider) = access.oidc_provider(&issuer) {
            let oidc = Oidc {
                provider_name: provider.settings.name.clone(),
                issuer,
                subject,
                claims,
            };
            let holder = access.oidc_holder(&oidc);
            let holder = holder.map_err(|why| format!("the bearer is nobody here: {why}"))?;
            return Ok(Self {
                identity: holder.identity().clone(),
                facts: Facts::Oidc(oidc),
            });
        }
        let Some(tokens) = access.content.service_accounts.as_ref() else {
            return Err(format!(
                "the issuer `{issuer}` is not one of this registry's, and ServiceAccounts do not sign in here"
            ));
        };
        // Objects do not say what the cluster calls itself, so any ServiceAccount's token is taken for one of this cluster's.
        let names = ServiceAccount::names_in(&subject);
        let (Some((namespace, name)), true) = (names, tokens.issuer.is_empty() || tokens.issuer == issuer) else {
            return Err(format!("the issuer `{issuer}` is not one of this registry's"));
        };
        if tokens.issuer.is_empty() {
            output::complain(&format!(
                "What the cluster calls itself is not known here: this holds where it is `{issuer}`"
            ));
        }
        check_audience(tokens, &issuer, &claims)?;
        let bound = |to: &str| Some(claims.get("kubernetes.io")?.get(to)?.get("name")?.as_str()?.to_owned());
        let account = ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            pod: bound("pod"),
            node: bound("node"),
        };
        let Some(holder) = access.account_holder(&account) else {
            return Err(format!(
                "ServiceAccount `{name}` of namespace `{namespace}` is nobody here: no RegistryIdentity of that namespace names it, and the Registry does not admit the namespace in `auth.serviceAccountTokens.namespaces`"
            ));
        };
        Ok(Self {
            identity: holder.identity().clone(),
            facts: Facts::ServiceAccount(account),
        })
    }
}

fn check_audience(tokens: &ServiceAccountTokens, issuer: &str, claims: &Map<String, Value>) -> Result<(), String> {
    let audience = claims.get("aud").cloned().unwrap_or_default();
    let checked = match Audience::deserialize(&audience) {
        Ok(audience) => audience.check_account(issuer, &tokens.audiences),
        Err(_) => Err(AudienceRefusal::Other),
    };
    checked.map_err(|why| match why {
        AudienceRefusal::ApiServer => {
            "the token is for the API server as well, and is refused for that: ask for one for this registry alone"
                .to_owned()
        }
        AudienceRefusal::TooMany => {
            "the token is for more audiences than a registry looks at: ask for one for this registry alone".to_owned()
        }
        AudienceRefusal::Other if audience.is_null() => "the token has no `aud`".to_owned(),
        AudienceRefusal::Other => format!(
            "the token is for {audience}, and this registry takes tokens for `{}`",
            tokens.audiences.join("`, `")
        ),
    })
}

/// The claims in a token (RFC 7519), or what is written as such.
fn claims(text: &str) -> Option<Map<String, Value>> {
    if text.starts_with('{') {
        return serde_json::from_str(text).ok();
    }
    let mut parts = text.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

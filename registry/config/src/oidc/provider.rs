//! [`OidcProvider`]: an issuer after every check, and whom its tokens are about.

use http::Uri;
use http::uri::Scheme;
use registry_policy::{ClaimText, ClaimTexts, Oidc, OidcSubject};
use serde_json::{Map, Value};

use super::{OidcIssuer, RequiredClaim};
use crate::{Access, ClientVerifier, IdentityEntry, Problem, TokenHolder, audience};

/// The longest username that is made of claims, in bytes.
const MAX_USERNAME: usize = 512;
/// What names of issuers are short for: the prefix of usernames that the cluster gives.
const TAKEN_NAME: &str = "system";

/// An issuer of tokens that passed every check, ready for use.
#[derive(Debug)]
pub struct OidcProvider {
    /// As it is written.
    pub settings: OidcIssuer,
    username: Option<ClaimText>,
    groups: Option<ClaimTexts>,
}

/// Why the bearer of a token of an issuer is nobody here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcRefusal {
    /// The document does not have the issuer.
    #[error("the issuer is not one of this registry's")]
    Issuer,
    /// The token is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// A claim is missing, or has another value.
    #[error("the token does not have the claim `{0}` with a value that is required")]
    Claim(String),
    /// No username can be made of the claims.
    #[error("no username can be made of the token's claims: {0}")]
    Username(String),
    /// No groups can be made of the claims.
    #[error("no groups can be made of the token's claims: {0}")]
    Groups(String),
}

impl OidcProvider {
    /// Checks what a document says.
    ///
    /// # Errors
    /// All problems that there are, with paths relative to the issuer, such as `requiredClaims`.
    pub fn new(settings: &OidcIssuer) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut problem = |path: &str, message: String| problems.push(Problem::new(path, message));
        if let Err(why) = check_name(&settings.name) {
            problem("name", why);
        }
        if let Err(why) = check_url(&settings.issuer) {
            problem("issuer", why);
        }
        if settings.audiences.is_empty() || settings.audiences.iter().any(String::is_empty) {
            let message = "name what its tokens for this registry are for, as in `audiences: [registry.example.com]`";
            problem("audiences", message.to_owned());
        }
        if let Some(authorities) = &settings.authorities
            && let Err(why) = ClientVerifier::check_authorities(authorities)
        {
            problem("authorities", why);
        }
        if settings.required_claims.is_empty() {
            let message = "write what a token must say, as in `{claim: repository_owner, values: [my-org]}`: without it \
                           everybody whom the issuer knows would be let in";
            problem("requiredClaims", message.to_owned());
        }
        for (index, required) in settings.required_claims.iter().enumerate() {
            if required.claim.is_empty() || required.values.is_empty() {
                let path = format!("requiredClaims[{index}]");
                problem(&path, "give the name of a claim, and at least one value".to_owned());
            }
        }
        match (&settings.jwks_url, &settings.jwks) {
            (Some(_), Some(_)) => problem("jwksURL", "give either `jwksURL` or `jwks`".to_owned()),
            (Some(url), None) => {
                if let Err(why) = check_url(url) {
                    problem("jwksURL", why);
                }
            }
            (None, Some(jwks)) if jwks.get("keys").and_then(Value::as_array).is_none_or(Vec::is_empty) => {
                problem("jwks", "it has no `keys`".to_owned());
            }
            (None, _) => {}
        }
        let username = settings.username.as_deref().map(ClaimText::parse).transpose();
        let username = username.unwrap_or_else(|error| {
            problem("username", error.to_string());
            None
        });
        let groups = settings.groups.as_deref().map(ClaimTexts::parse).transpose();
        let groups = groups.unwrap_or_else(|error| {
            problem("groups", error.to_string());
            None
        });
        if problems.is_empty() {
            Ok(Self {
                settings: settings.clone(),
                username,
                groups,
            })
        } else {
            Err(problems)
        }
    }

    /// Somebody who is known here only by the claims of a token.
    fn guest(&self, claims: &Oidc) -> Result<IdentityEntry, OidcRefusal> {
        let name = match &self.username {
            Some(username) => username.evaluate(&claims.claims).map_err(OidcRefusal::Username)?,
            None => claims.subject.clone(),
        };
        if name.is_empty() || name.len() > MAX_USERNAME || name.chars().any(char::is_control) {
            let why = format!("it is empty, longer than {MAX_USERNAME} bytes, or has a control character");
            return Err(OidcRefusal::Username(why));
        }
        let groups = match &self.groups {
            Some(groups) => groups.evaluate(&claims.claims).map_err(OidcRefusal::Groups)?,
            None => Vec::new(),
        };
        let prefix = &self.settings.name;
        Ok(IdentityEntry {
            // What a username is made of may be given to somebody else one day; a subject is not.
            uid: Some(format!("{prefix}:{}", claims.subject)),
            groups: groups.iter().map(|group| format!("{prefix}:{group}")).collect(),
            ..IdentityEntry::guest(&format!("{prefix}:{name}"))
        })
    }
}

impl OidcIssuer {
    /// Whether a token is for one of the audiences.
    pub fn is_meant_by(&self, claims: &Map<String, Value>) -> bool {
        audience::is_among(claims, |name| self.audiences.iter().any(|ours| ours == name))
    }
}

impl RequiredClaim {
    fn is_met(&self, claims: &Map<String, Value>) -> bool {
        let is_one = |value: &Value| {
            let written = match value {
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return false,
            };
            self.values.contains(&written)
        };
        match claims.get(&self.claim) {
            Some(Value::Array(values)) => values.iter().any(is_one),
            Some(value) => is_one(value),
            None => false,
        }
    }
}

impl Access {
    /// Whose tokens `issuer` makes, if the document has it.
    pub fn oidc_provider(&self, issuer: &str) -> Option<&OidcProvider> {
        self.oidc.iter().find(|provider| provider.settings.issuer == issuer)
    }

    /// Who signs in with a token of an issuer, whose signature and time were looked at.
    ///
    /// # Errors
    /// Why it is nobody.
    pub fn oidc_holder(&self, claims: &Oidc) -> Result<TokenHolder<'_>, OidcRefusal> {
        let provider = self.oidc_provider(&claims.issuer);
        let provider = provider.filter(|provider| provider.settings.name == claims.provider_name);
        let provider = provider.ok_or(OidcRefusal::Issuer)?;
        // Tokens that were made from one keep its claims, and the settings may have changed since.
        if !provider.settings.is_meant_by(&claims.claims) {
            return Err(OidcRefusal::Audience);
        }
        let mut required = provider.settings.required_claims.iter();
        if let Some(missing) = required.find(|required| !required.is_met(&claims.claims)) {
            return Err(OidcRefusal::Claim(missing.claim.clone()));
        }
        let subject = OidcSubject {
            issuer: claims.issuer.clone(),
            subject: claims.subject.clone(),
        };
        match self.identity_of_subject(&subject) {
            Some(identity) => Ok(TokenHolder::Identity(identity)),
            None => provider.guest(claims).map(|guest| TokenHolder::Guest(Box::new(guest))),
        }
    }
}

/// A name that prefixes usernames.
fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(is_plain) {
        return Err(format!(
            "`{name}` is not a name: use up to 63 lower-case letters, digits and `-`"
        ));
    }
    if name == TAKEN_NAME {
        return Err(format!("`{name}` is taken: usernames of the cluster begin with it"));
    }
    Ok(())
}

/// A URL that keys can be asked for: what comes over a network in the clear could be anybody's.
fn check_url(text: &str) -> Result<(), String> {
    let is_safe = |uri: &Uri| {
        let host = uri.host().unwrap_or_default();
        let is_local = matches!(host, "127.0.0.1" | "[::1]" | "localhost");
        uri.scheme() == Some(&Scheme::HTTPS) || (uri.scheme() == Some(&Scheme::HTTP) && is_local)
    };
    let is_plain = |uri: &Uri| {
        uri.authority()
            .is_some_and(|authority| !authority.as_str().contains('@'))
    };
    let uri = text.parse::<Uri>().ok().filter(is_plain);
    match uri {
        Some(uri) if is_safe(&uri) && !text.contains('#') => Ok(()),
        _ => Err(format!(
            "`{text}` is not the URL of an issuer: write for example `https://token.actions.githubusercontent.com`; `http` is for this very machine alone"
        )),
    }
}

//! The token endpoint: a password in, a token out (Docker token specification, and its `OAuth2` form).

use http::{HeaderMap, HeaderValue, Method, Response, Uri, header};
use jiff::Timestamp;
use registry_policy::Action;
use serde_json::json;
use zeroize::Zeroizing;

use crate::authenticate::{Credentials, Proof};
use crate::authorize::{Authorized, Context};
use crate::body::{self, CollectError, RequestBody, ResponseBody};
use crate::error::Error;
use crate::token::{AccessClaim, Grant, Holder, Scope, ScopeTarget, Tokens, refresh};

/// The largest form in bytes: a password, which may be a token itself, and some scopes.
const LARGEST_FORM: usize = 64 * 1024;

/// A request to the token endpoint.
pub(crate) struct TokenRequest {
    /// Who wants a token.
    pub(crate) credentials: Credentials,
    /// What for.
    pub(crate) scopes: Vec<Scope>,
    /// Whether a refresh token is wanted too.
    pub(crate) offline: bool,
}

impl TokenRequest {
    /// Reads the request: parameters and Basic credentials with GET, a form with POST.
    pub(crate) async fn read(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: RequestBody,
    ) -> Result<Self, Error> {
        if method == Method::POST {
            let form = body::collect(body, LARGEST_FORM).await.map_err(|error| match error {
                CollectError::TooLarge => Error::TooLarge {
                    what: "form",
                    limit: LARGEST_FORM,
                },
                CollectError::Interrupted(error) => Error::Body(error),
            })?;
            return Self::from_form(&form);
        }
        let (mut scopes, mut offline) = (Vec::new(), false);
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match name.as_ref() {
                "scope" => scopes.push(value),
                "offline_token" => offline = value == "true",
                _ => {}
            }
        }
        Ok(Self {
            credentials: Credentials::from_headers(headers),
            scopes: Scope::parse_all(scopes.iter().map(AsRef::as_ref))?,
            offline,
        })
    }

    fn from_form(form: &[u8]) -> Result<Self, Error> {
        let (mut grant_type, mut service, mut client, mut scopes) = (None, false, false, Vec::new());
        let (mut username, mut password, mut refresh, mut offline) = (None, None, None, false);
        for (name, value) in form_urlencoded::parse(form) {
            match name.as_ref() {
                "grant_type" => grant_type = Some(value.into_owned()),
                "service" => service = true,
                "client_id" => client = true,
                "scope" => scopes.push(value.into_owned()),
                "username" => username = Some(value.into_owned()),
                "password" => password = Some(Zeroizing::new(value.into_owned())),
                "refresh_token" => refresh = Some(Zeroizing::new(value.into_owned())),
                "access_type" => offline = value == "offline",
                _ => {}
            }
        }
        let missing = |name| Error::TokenRequest(format!("the form lacks `{name}`"));
        let is_refresh = match grant_type.as_deref() {
            Some("password") => false,
            Some("refresh_token") => true,
            Some(_) => return Err(Error::GrantType),
            None => return Err(missing("grant_type")),
        };
        if !service {
            return Err(missing("service"));
        }
        if !client {
            return Err(missing("client_id"));
        }
        let credentials = if is_refresh {
            Credentials::Refresh(refresh.ok_or_else(|| missing("refresh_token"))?)
        } else {
            Credentials::Basic {
                username: username.ok_or_else(|| missing("username"))?,
                password: password.ok_or_else(|| missing("password"))?,
            }
        };
        Ok(Self {
            credentials,
            scopes: Scope::parse_all(scopes.iter().map(String::as_str))?,
            offline,
        })
    }
}

/// Makes a token that opens as much of `scopes` as policy does not certainly refuse. That is no error even where nothing
/// is left: policy decides again at each request, and says why there. Where it is asked for, and the access document gives them, whoever
/// came with a password gets a refresh token too.
pub(crate) fn issue(
    request: &Authorized<()>,
    scopes: &[Scope],
    offline: bool,
    tokens: &Tokens,
    now: Timestamp,
) -> Result<Response<ResponseBody>, Error> {
    let context = request.context();
    let granted: Vec<Scope> = scopes.iter().filter_map(|scope| grant(context, scope)).collect();
    let access = granted.iter().map(claim).collect();
    let shown = match &context.principal().proof {
        Proof::Password(credential) => Some((credential.as_str(), None)),
        Proof::Refresh { credential, ends } => Some((credential.as_str(), Some(*ends))),
        Proof::Issuer { credential, expires } => Some((*credential, Some(*expires))),
        // A proxy sends its word with each request, and a connection keeps its certificate; nobody needs a token for that.
        Proof::Nothing | Proof::Certificate | Proof::Proxy | Proof::Token(_) | Proof::TokenServer(_) => None,
    };
    let holder = shown
        .zip(context.identity())
        .map(|((credential, ends), identity)| Holder {
            identity,
            credential,
            account: context.caller().service_account,
            oidc: context.caller().oidc,
            ends,
        });
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let lifetime = context.snapshot().access().content.token.lifetime.get().as_secs();
    let left = holder
        .and_then(|holder| holder.ends)
        .map(|end| end.saturating_sub(seconds));
    let expires_in = left.map_or(lifetime, |left| left.min(lifetime));
    let token = tokens
        .issue(context.snapshot(), holder, access, seconds)
        .map_err(Error::Sign)?;
    let scope = granted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut answer = json!({
        "token": token,
        "access_token": token,
        "scope": scope,
        "expires_in": expires_in,
        "issued_at": now.strftime("%FT%TZ").to_string(),
    });
    if let (true, Proof::Password(credential), Some(identity)) =
        (offline, &context.principal().proof, context.identity())
    {
        let refresh = refresh::issue(context.snapshot(), identity, credential, seconds).map_err(Error::Sign)?;
        if let Some(refresh) = refresh {
            answer["refresh_token"] = refresh.into();
        }
    }
    let mut response = super::json(&answer);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What is left of a scope; `None` where nothing is.
fn grant(context: &Context, scope: &Scope) -> Option<Scope> {
    let policies = &context.snapshot().access().policies;
    let caller = context.caller();
    match &scope.target {
        ScopeTarget::Catalog => policies
            .may_allow(&caller, Action::ListCatalog, "")
            .then(|| scope.clone()),
        ScopeTarget::Repository(name) => {
            let may = |grant: Grant| {
                let mut actions = Action::ALL
                    .into_iter()
                    .filter(|action| Grant::of(*action) == Some(grant));
                actions.any(|action| policies.may_allow(&caller, action, name.as_str()))
            };
            let grants: Vec<Grant> = scope.grants.iter().copied().filter(|grant| may(*grant)).collect();
            (!grants.is_empty()).then(|| Scope {
                target: scope.target.clone(),
                grants,
            })
        }
    }
}

fn claim(scope: &Scope) -> AccessClaim {
    match &scope.target {
        ScopeTarget::Catalog => AccessClaim {
            kind: "registry".to_owned(),
            name: "catalog".to_owned(),
            actions: vec!["*".to_owned()],
        },
        ScopeTarget::Repository(name) => AccessClaim {
            kind: "repository".to_owned(),
            name: name.to_string(),
            actions: scope.grants.iter().map(|grant| grant.as_str().to_owned()).collect(),
        },
    }
}

//! Who is asking: from the `Authorization` header to a [`Principal`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use registry_config::{ClientCertificate, ClientVerifier, IdentityEntry, OidcProvider, TokenHolder};
use registry_policy::{Oidc, ServiceAccount};
use zeroize::Zeroizing;

use crate::access::{Current, Snapshot};
use crate::client::Client;
use crate::metrics::{Authentication, Metrics};
use crate::password::Passwords;
use crate::throttle::Throttle;
use crate::token::{
    AccessClaim, Claims, OidcTokens, Reviews, ServerTokens, ServiceAccountIssuer, ServiceAccounts, TokenError, Tokens,
    TrustedServer, claimed_issuer, refresh,
};

/// How long a request waits for an access document that its token was made under and that is not here yet.
const DOCUMENT_WAIT: Duration = Duration::from_secs(1);

/// Base64 with or without padding: both are sent.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a client offers to show who it is.
pub enum Credentials {
    /// Nothing.
    None,
    /// A username and a password (RFC 7617).
    Basic {
        /// The username; everything before the first colon.
        username: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// A token (RFC 6750).
    Bearer(Zeroizing<String>),
    /// A refresh token, which the token endpoint alone takes.
    Refresh(Zeroizing<String>),
    /// Something that cannot be read, or more than one thing.
    Unreadable,
}

/// Who is asking, as far as the credentials show.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The identity; `None` is an anonymous caller.
    pub username: Option<String>,
    /// How that was shown.
    pub proof: Proof,
    /// What somebody has vouched for whom the access document trusts.
    pub vouched: Option<Arc<Vouched>>,
    /// The certificate that the client has shown, whoever it says to be.
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Principal {
    /// A caller who has shown nothing.
    pub const ANONYMOUS: Self = Self {
        username: None,
        proof: Proof::Nothing,
        vouched: None,
        certificate: None,
    };
}

/// What somebody else has vouched for: a proxy of ours, or an issuer of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vouched {
    /// The identity, where the access document does not list it.
    pub identity: Option<IdentityEntry>,
    /// The ServiceAccount that a token was about.
    pub service_account: Option<ServiceAccount>,
    /// What an OpenID Connect token said.
    pub oidc: Option<Oidc>,
}

/// How a principal has shown who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Not at all.
    Nothing,
    /// By a password; the name of the credential, as tokens give it.
    Password(String),
    /// By a refresh token.
    Refresh {
        /// The name of the password that it was given for.
        credential: String,
        /// When it ends, in seconds since 1970.
        ends: u64,
    },
    /// By a token of an issuer whom the access document trusts.
    Issuer {
        /// What kind of token: `serviceaccount` or `oidc`.
        credential: &'static str,
        /// When it ends, in seconds since 1970.
        expires: u64,
    },
    /// By a certificate, and nothing else.
    Certificate,
    /// By a trusted proxy, which has let them sign in.
    Proxy,
    /// By a token, which also bounds what may be done.
    Token(Arc<Claims>),
    /// By a token of the token server, which opens this at most.
    TokenServer(Arc<[AccessClaim]>),
}

/// The credentials are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The header cannot be read.
    #[error("the Authorization header cannot be read")]
    Unreadable,
    /// Wrong password or unknown user; nobody is told which.
    #[error("username or password is wrong")]
    Password,
    /// The token is not believed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The username beside somebody else's token is not its bearer's.
    #[error("the username is not the one that the token is for; leave it empty, or write `token`")]
    BearerName,
    /// The registry lets nobody in without a certificate, and there is none that it believes.
    #[error("this registry asks for a client certificate, and none was shown that it believes")]
    Certificate,
    /// A proxy or a certificate names somebody who may not sign in.
    #[error("the identity that the proxy or the certificate names is not in force")]
    NotInForce,
}

impl Credentials {
    /// Reads the `Authorization` header.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Self::None };
        // Two headers could be two principals, and which one counts would depend on who reads them.
        if values.next().is_some() {
            return Self::Unreadable;
        }
        let Some((scheme, rest)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
            return Self::Unreadable;
        };
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() {
            Self::Bearer(Zeroizing::new(rest.to_owned()))
        } else if scheme.eq_ignore_ascii_case("basic") {
            Self::basic(rest).unwrap_or(Self::Unreadable)
        } else {
            Self::Unreadable
        }
    }

    fn basic(encoded: &str) -> Option<Self> {
        let decoded = Zeroizing::new(BASE64.decode(encoded).ok()?);
        let (username, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some(Self::Basic {
            username: username.to_owned(),
            password: Zeroizing::new(password.to_owned()),
        })
    }
}

/// What authentication needs beside the request.
pub struct Authenticator {
    /// The access document in force.
    pub current: Arc<Current>,
    /// Verifies passwords.
    pub passwords: Passwords,
    /// Slows down whoever guesses them.
    pub throttle: Throttle,
    /// Verifies tokens.
    pub tokens: Tokens,
    /// Verifies tokens of ServiceAccounts.
    pub service_accounts: ServiceAccounts,
    /// Asks the API server about tokens of ServiceAccounts, where the document says so.
    pub reviews: Reviews,
    /// Verifies OpenID Connect tokens.
    pub oidc: OidcTokens,
    /// Verifies tokens of the token server.
    pub server_tokens: ServerTokens,
    /// Counts.
    pub metrics: Metrics,
}

impl Authenticator {
    /// Finds out who offers `credentials`. The snapshot may be replaced by a newer one, where the token was made under
    /// a document that was not here yet; what is decided later is to be decided by that one.
    ///
    /// # Errors
    /// Where credentials are offered and not accepted, even where none would have been needed.
    pub async fn authenticate(
        &self,
        credentials: &Credentials,
        client: &Client<'_>,
        snapshot: &mut Arc<Snapshot>,
    ) -> Result<Principal, Rejection> {
        let shown = certificate(snapshot, client);
        let verifier = snapshot.access().client_verifier.as_ref();
        if shown.is_none() && verifier.is_some_and(ClientVerifier::is_required) {
            self.metrics.authentication(Authentication::BadCertificate);
            return Err(Rejection::Certificate);
        }
        let (result, counted) = match credentials {
            Credentials::None => match client.proxied_user {
                None => match &shown {
                    None => (Ok(Principal::ANONYMOUS), Authentication::Anonymous),
                    Some(certificate) => match of_certificate(snapshot, certificate) {
                        Ok(principal) => (Ok(principal), Authentication::Certificate),
                        Err(rejection) => (Err(rejection), Authentication::BadCertificate),
                    },
                },
                Some(username) => match named(snapshot, username, Proof::Proxy) {
                    Some(principal) => (Ok(principal), Authentication::Proxy),
                    None => (Err(Rejection::NotInForce), Authentication::BadProxy),
                },
            },
            Credentials::Unreadable => (Err(Rejection::Unreadable), Authentication::Unreadable),
            Credentials::Basic { username, password } => match Issuer::of(snapshot, password) {
                Some(issuer) => self.foreign(snapshot, issuer, password, username).await,
                None => self.password(snapshot, username, password, client.address).await,
            },
            Credentials::Refresh(token) => match self.refresh(snapshot, token).await {
                Ok(principal) => (Ok(principal), Authentication::Refresh),
                Err(error) => (Err(error.into()), Authentication::BadRefresh),
            },
            Credentials::Bearer(token) => self.bearer(snapshot, token).await,
        };
        self.metrics.authentication(counted);
        result.map(|principal| Principal {
            // By the document that decides the request, which may be a newer one now.
            certificate: certificate(snapshot, client),
            ..principal
        })
    }

    /// Whom a token shows, whoever made it.
    async fn bearer(
        &self,
        snapshot: &mut Arc<Snapshot>,
        token: &str,
    ) -> (Result<Principal, Rejection>, Authentication) {
        if let Some(server) = token_server(snapshot, token) {
            return match self.delegated(snapshot, server, token) {
                Ok(principal) => (Ok(principal), Authentication::TokenServer),
                Err(error) => (Err(error.into()), Authentication::BadTokenServer),
            };
        }
        if let Some(issuer) = Issuer::of(snapshot, token) {
            return self.foreign(snapshot, issuer, token, "").await;
        }
        match self.token(snapshot, token).await {
            Ok(principal) => (Ok(principal), Authentication::Token),
            Err(error) => (Err(whose(snapshot, token, error).into()), Authentication::BadToken),
        }
    }

    /// Whom a token of an issuer shows, and whether the username that came with it is theirs.
    async fn foreign(
        &self,
        snapshot: &Snapshot,
        issuer: Issuer<'_>,
        token: &str,
        username: &str,
    ) -> (Result<Principal, Rejection>, Authentication) {
        let (shown, good, bad, unavailable) = match issuer {
            Issuer::Cluster(issuer) => (
                self.account(snapshot, issuer, token).await,
                Authentication::Account,
                Authentication::BadAccount,
                Authentication::AccountUnavailable,
            ),
            Issuer::Oidc(provider) => (
                self.subject(snapshot, provider, token).await,
                Authentication::Oidc,
                Authentication::BadOidc,
                Authentication::OidcUnavailable,
            ),
        };
        match shown {
            // The name says nothing that the token does not; another one would be a mistake.
            Ok(principal) if issuer.is_name_of(&principal, username) => (Ok(principal), good),
            Ok(_) => (Err(Rejection::BearerName), bad),
            Err(error @ TokenError::IssuerUnavailable) => (Err(error.into()), unavailable),
            Err(error) => (Err(error.into()), bad),
        }
    }

    async fn account(
        &self,
        snapshot: &Snapshot,
        issuer: &ServiceAccountIssuer,
        token: &str,
    ) -> Result<Principal, TokenError> {
        let shown = self.service_accounts.verify(issuer, token, now())?;
        let holder = snapshot.access().account_holder(&shown.account);
        let holder = holder.ok_or(TokenError::Unmapped)?;
        let vouched = Vouched {
            service_account: Some(shown.account),
            ..Vouched::default()
        };
        let proof = Proof::Issuer {
            credential: "serviceaccount",
            expires: shown.expires,
        };
        in_force(&holder)?;
        // Last, because it costs others something: for whoever would get in otherwise.
        if let (Some(audiences), Some(account)) = (issuer.reviewed_audiences(), &vouched.service_account) {
            self.reviews.check(token, account, audiences).await?;
        }
        Ok(bearer(&holder, vouched, proof))
    }

    async fn subject(
        &self,
        snapshot: &Snapshot,
        provider: &OidcProvider,
        token: &str,
    ) -> Result<Principal, TokenError> {
        let issuer = &provider.settings;
        let inline = snapshot.issuer_keys(issuer);
        let shown = self.oidc.verify(issuer, inline, token, now()).await?;
        let holder = snapshot.access().oidc_holder(&shown.oidc)?;
        in_force(&holder)?;
        let proof = Proof::Issuer {
            credential: "oidc",
            expires: shown.expires,
        };
        let vouched = Vouched {
            oidc: Some(shown.oidc.clone()),
            ..Vouched::default()
        };
        Ok(bearer(&holder, vouched, proof))
    }

    fn delegated(&self, snapshot: &Snapshot, server: &TrustedServer, token: &str) -> Result<Principal, TokenError> {
        let shown = self.server_tokens.verify(server, token, now())?;
        let proof = Proof::TokenServer(shown.access);
        match shown.username {
            Some(username) => named(snapshot, &username, proof).ok_or(TokenError::Revoked),
            None => Ok(Principal {
                proof,
                ..Principal::ANONYMOUS
            }),
        }
    }

    async fn password(
        &self,
        snapshot: &Snapshot,
        username: &str,
        password: &Zeroizing<String>,
        address: Option<IpAddr>,
    ) -> (Result<Principal, Rejection>, Authentication) {
        let verified = self
            .passwords
            .verify(snapshot, username, password, Timestamp::now())
            .await;
        let Some(verified) = verified else {
            tokio::time::sleep(self.throttle.failed(username, address)).await;
            return (Err(Rejection::Password), Authentication::BadPassword);
        };
        self.throttle.succeeded(username, address);
        let counted = if verified.remembered {
            Authentication::RememberedPassword
        } else {
            Authentication::Password
        };
        let principal = Principal {
            username: Some(username.to_owned()),
            proof: Proof::Password(verified.credential),
            ..Principal::ANONYMOUS
        };
        (Ok(principal), counted)
    }

    async fn refresh(&self, snapshot: &mut Arc<Snapshot>, token: &str) -> Result<Principal, TokenError> {
        let mut claims = refresh::verify(snapshot, token)?;
        if self.catch_up(snapshot, claims.revision()).await {
            claims = refresh::verify(snapshot, token)?;
        }
        let refresh::Shown {
            identity,
            credential,
            ends,
        } = refresh::check(snapshot, claims, now())?;
        Ok(Principal {
            username: Some(identity.username.clone()),
            proof: Proof::Refresh { credential, ends },
            ..Principal::ANONYMOUS
        })
    }

    /// Waits for the document that a token was made under, where it is not here yet; whether it had to.
    async fn catch_up(&self, snapshot: &mut Arc<Snapshot>, revision: u64) -> bool {
        if revision <= snapshot.revision() {
            return false;
        }
        self.current.wait_for(revision, DOCUMENT_WAIT).await;
        if let Some(newer) = self.current.snapshot() {
            *snapshot = newer;
        }
        true
    }

    async fn token(&self, snapshot: &mut Arc<Snapshot>, token: &str) -> Result<Principal, TokenError> {
        let claims = self.tokens.verify(snapshot, token)?;
        if self.catch_up(snapshot, claims.rev).await {
            // The newer document may have retired the key.
            self.tokens.verify(snapshot, token)?;
        }
        let holder = Tokens::check(snapshot, &claims, now())?;
        let vouched = Vouched {
            identity: None,
            service_account: claims.account.clone(),
            oidc: claims.oidc.clone(),
        };
        let is_from_elsewhere = claims.is_from_elsewhere();
        let proof = Proof::Token(claims);
        Ok(match holder {
            Some(holder) if is_from_elsewhere => bearer(&holder, vouched, proof),
            holder => Principal {
                username: holder.map(|holder| holder.identity().username.clone()),
                proof,
                ..Principal::ANONYMOUS
            },
        })
    }
}

/// The certificate of a client, where it is believed now.
fn certificate(snapshot: &Snapshot, client: &Client<'_>) -> Option<Arc<ClientCertificate>> {
    let verifier = snapshot.access().client_verifier.as_ref()?;
    let shown = client.certificate.as_ref()?;
    verifier.believes(shown, Timestamp::now()).then(|| shown.clone())
}

/// Who has shown nothing but a certificate: the identity that names it, or somebody who has no name here, and whom policies
/// know by what the certificate says.
fn of_certificate(snapshot: &Snapshot, certificate: &ClientCertificate) -> Result<Principal, Rejection> {
    let identity = snapshot.access().identity_of_certificate(certificate);
    if identity.is_some_and(|identity| !identity.is_in_force(Timestamp::now())) {
        return Err(Rejection::NotInForce);
    }
    Ok(Principal {
        username: identity.map(|identity| identity.username.clone()),
        proof: Proof::Certificate,
        ..Principal::ANONYMOUS
    })
}

/// An issuer of tokens whom the access document trusts.
#[derive(Clone, Copy)]
enum Issuer<'s> {
    /// The cluster's, of ServiceAccount tokens.
    Cluster(&'s ServiceAccountIssuer),
    /// One of OpenID Connect tokens.
    Oidc(&'s OidcProvider),
}

impl<'s> Issuer<'s> {
    /// Who may have made a token, by what it says itself.
    fn of(snapshot: &'s Snapshot, text: &str) -> Option<Self> {
        let cluster = snapshot.service_accounts();
        if cluster.is_none() && snapshot.access().oidc.is_empty() {
            return None;
        }
        let claimed = claimed_issuer(text)?;
        match cluster {
            Some(cluster) if cluster.issuer() == claimed => Some(Self::Cluster(cluster)),
            _ => snapshot.access().oidc_provider(&claimed).map(Self::Oidc),
        }
    }

    /// Whether a client may send `username` beside a token that shows `principal`: none, `token`, or the principal's own; and that of the
    /// issuer, which credential helpers of kubelets send.
    fn is_name_of(self, principal: &Principal, username: &str) -> bool {
        let is_issuers = match self {
            Self::Cluster(_) => false,
            Self::Oidc(provider) => provider.settings.name == username,
        };
        matches!(username, "" | "token") || is_issuers || principal.username.as_deref() == Some(username)
    }
}

/// Whether a text is a token that an issuer may have made whom the document trusts.
pub(crate) fn is_from_elsewhere(snapshot: &Snapshot, text: &str) -> bool {
    Issuer::of(snapshot, text).is_some()
}

fn in_force(holder: &TokenHolder<'_>) -> Result<(), TokenError> {
    let is_in_force = holder.identity().is_in_force(Timestamp::now());
    if is_in_force { Ok(()) } else { Err(TokenError::Revoked) }
}

/// The bearer of a token that an issuer has vouched for.
fn bearer(holder: &TokenHolder<'_>, vouched: Vouched, proof: Proof) -> Principal {
    let identity = match holder {
        TokenHolder::Identity(_) => None,
        TokenHolder::Guest(guest) => Some(guest.as_ref().clone()),
    };
    Principal {
        username: Some(holder.identity().username.clone()),
        proof,
        vouched: Some(Arc::new(Vouched { identity, ..vouched })),
        certificate: None,
    }
}

/// Whom a trusted proxy or token server names. The access document need not list them, but whom it lists must be in force; `None` is
/// somebody who is not.
fn named(snapshot: &Snapshot, username: &str, proof: Proof) -> Option<Principal> {
    let vouched = match snapshot.access().identity(username) {
        Some(identity) if identity.is_in_force(Timestamp::now()) => None,
        Some(_) => return None,
        None => Some(Arc::new(Vouched {
            identity: Some(IdentityEntry::guest(username)),
            ..Vouched::default()
        })),
    };
    Some(Principal {
        username: Some(username.to_owned()),
        proof,
        vouched,
        certificate: None,
    })
}

/// Why a token is refused that is not one of the registry's own: what is wrong with it as such would only mislead.
fn whose(snapshot: &Snapshot, token: &str, error: TokenError) -> TokenError {
    let own = &snapshot.access().content.issuer;
    match claimed_issuer(token) {
        Some(issuer) if issuer != *own => TokenError::Issuer,
        _ => error,
    }
}

/// The token server of the document, where a token says that it is from there. Such a token is good as a Bearer alone: as a password it
/// would be exchanged for one that is not bounded as it is.
fn token_server<'s>(snapshot: &'s Snapshot, token: &str) -> Option<&'s TrustedServer> {
    let server = snapshot.token_server()?;
    (claimed_issuer(token)? == server.issuer()).then_some(server)
}

/// The present, in seconds since 1970.
pub(crate) fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        match Credentials::from_headers(&headers) {
            Credentials::None => "none".to_owned(),
            Credentials::Basic { username, password } => format!("basic {username}|{}", &*password),
            Credentials::Bearer(token) => format!("bearer {}", &*token),
            Credentials::Refresh(_) => "refresh".to_owned(),
            Credentials::Unreadable => "unreadable".to_owned(),
        }
    }

    #[test]
    fn reads_the_header_as_clients_send_it() {
        let basic = |text: &[u8]| format!("Basic {}", BASE64.encode(text));
        let long = "p".repeat(4096);
        for (header, want) in [
            (basic(b"alice:secret"), "basic alice|secret".to_owned()),
            (basic(b"alice:secret").replace('=', ""), "basic alice|secret".to_owned()),
            (
                basic(b"alice:secret").replace("Basic", "bASIC"),
                "basic alice|secret".to_owned(),
            ),
            (basic(b"alice:se:cr:et"), "basic alice|se:cr:et".to_owned()),
            (basic("alice:p\u{e4}ss".as_bytes()), "basic alice|p\u{e4}ss".to_owned()),
            (basic(b"alice:"), "basic alice|".to_owned()),
            (basic(b":x"), "basic |x".to_owned()),
            (basic(b"alice:a\0b"), "basic alice|a\0b".to_owned()),
            (basic(format!("alice:{long}").as_bytes()), format!("basic alice|{long}")),
            (basic(b"alice"), "unreadable".to_owned()),
            (basic(b"\xff:\xfe"), "unreadable".to_owned()),
            ("Basic ???".to_owned(), "unreadable".to_owned()),
            ("Basic".to_owned(), "unreadable".to_owned()),
            ("bearer a.b.c".to_owned(), "bearer a.b.c".to_owned()),
            ("Bearer ".to_owned(), "unreadable".to_owned()),
            ("Digest x".to_owned(), "unreadable".to_owned()),
            ("\u{e4}".to_owned(), "unreadable".to_owned()),
        ] {
            assert_eq!(read(&[&header]), want, "{header:?}");
        }
        assert_eq!(read(&[]), "none");
        assert_eq!(read(&["Bearer a", "Bearer a"]), "unreadable");
    }
}

//! Who is asking: from [`Credentials`] to a [`Principal`].

mod credentials;
mod issuer;
mod principal;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use registry_config::{ClientCertificate, ClientVerifier, IdentityEntry, TokenHolder};
use zeroize::Zeroizing;

use crate::access::{Current, Snapshot};
use crate::client::Client;
use crate::metrics::{Authentication, Metrics};
use crate::password::Passwords;
use crate::throttle::Throttle;
use crate::token::{
    OidcTokens, Reviews, ServerTokens, ServiceAccounts, TokenError, Tokens, TrustedServer, claimed_issuer, refresh,
};

pub use credentials::Credentials;
use issuer::Issuer;
pub(crate) use issuer::is_from_elsewhere;
pub use principal::{Principal, Proof, Vouched};

/// How long a request waits for an access document that its token was made under and that is not here yet.
const DOCUMENT_WAIT: Duration = Duration::from_secs(1);

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

//! [`Issuer`]: who else makes tokens, and whom these show.

use jiff::Timestamp;
use registry_config::{OidcProvider, TokenHolder};

use super::{Authenticator, Principal, Proof, Rejection, Vouched, bearer, now};
use crate::access::Snapshot;
use crate::metrics::Authentication;
use crate::token::{ServiceAccountIssuer, TokenError, claimed_issuer};

/// An issuer of tokens whom the access document trusts.
#[derive(Clone, Copy)]
pub(super) enum Issuer<'s> {
    /// The cluster's, of ServiceAccount tokens.
    Cluster(&'s ServiceAccountIssuer),
    /// One of OpenID Connect tokens.
    Oidc(&'s OidcProvider),
}

impl<'s> Issuer<'s> {
    /// Who may have made a token, by what it says itself.
    pub(super) fn of(snapshot: &'s Snapshot, text: &str) -> Option<Self> {
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

impl Authenticator {
    /// Whom a token of an issuer shows, and whether the username that came with it is theirs.
    pub(super) async fn foreign(
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
}

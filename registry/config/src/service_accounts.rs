//! [`ServiceAccountTokens`]: which tokens of a cluster's ServiceAccounts are accepted.

use registry_policy::ServiceAccount;
use serde::{Deserialize, Serialize};

use crate::{Access, IdentityEntry, TokenHolder};

/// Which tokens of a cluster's ServiceAccounts are accepted, and the keys that verify them, so that nobody has to be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountTokens {
    /// The issuer, exactly as tokens have it in `iss`.
    pub issuer: String,
    /// The cluster's keys: a JSON Web Key Set (RFC 7517). Keys of kinds that are not known are passed over.
    pub jwks: serde_json::Value,
    /// A token must be for one of these, and not for the API server as well.
    pub audiences: Vec<String>,
    /// Namespaces whose ServiceAccounts sign in although no identity names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Whether the API server is asked about each token as well, which knows of Pods that are gone. Without a cluster, and while it cannot
    /// be asked, no token of a ServiceAccount is accepted then. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub review: bool,
}

impl ServiceAccountTokens {
    /// What whoever signs in as a ServiceAccount without an identity is in; and in this with the account's namespace behind a colon.
    pub const GROUP: &str = "system:serviceaccounts";

    /// Whether ServiceAccounts of a namespace sign in although no identity names them.
    pub fn admits(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|admitted| admitted == namespace)
    }
}

impl Access {
    /// Who signs in with a token of `account`; nobody where no identity names it and its namespace is not admitted.
    pub fn account_holder(&self, account: &ServiceAccount) -> Option<TokenHolder<'_>> {
        let tokens = self.content.service_accounts.as_ref()?;
        if let Some(identity) = self.identity_of_account(&account.namespace, &account.name) {
            return Some(TokenHolder::Identity(identity));
        }
        tokens.admits(&account.namespace).then(|| {
            let guest = IdentityEntry::guest(&account.username());
            TokenHolder::Guest(Box::new(IdentityEntry {
                groups: vec![
                    ServiceAccountTokens::GROUP.to_owned(),
                    format!("{}:{}", ServiceAccountTokens::GROUP, account.namespace),
                ],
                ..guest
            }))
        })
    }
}

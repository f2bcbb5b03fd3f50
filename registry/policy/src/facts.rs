//! What is known about one request when it is decided.

mod json;
mod view;

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use view::{ClaimVariables, Facts, Variables};

use crate::Action;

/// How many groups or tags a condition sees. Reading a longer list is an evaluation error, because the time of an
/// evaluation may grow with the product of their lengths.
pub const MAX_LIST_LENGTH: usize = 256;

/// Facts about an identity that its owner chose, each a list of texts.
pub type Attributes = BTreeMap<String, Vec<String>>;

/// Who is asking. The default is an anonymous caller of whom nothing is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Caller<'a> {
    /// The identity that the request was authenticated as; none for an anonymous caller.
    pub identity: Option<Identity<'a>>,
    /// The address that the request came from, after trusted proxies; none where it is not known.
    pub client_ip: Option<IpAddr>,
    /// The client certificate of the connection, where there is one: `identity.certificate`.
    pub certificate: Option<&'a Certificate>,
    /// The OIDC token that the request came with, where there is one: `identity.oidc`.
    pub oidc: Option<&'a Oidc>,
    /// The ServiceAccount whose token the request came with, where there is one: `identity.service_account`.
    pub service_account: Option<&'a ServiceAccount>,
    /// When it came, by the registry's clock.
    pub at: Timestamp,
}

/// What a client certificate says of its holder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Certificate {
    /// The common names of the subject: `common_names`.
    pub common_names: Vec<String>,
    /// The organizations of the subject: `organizations`.
    pub organizations: Vec<String>,
    /// The DNS names among the subject alternative names: `dns_names`.
    pub dns_names: Vec<String>,
    /// The URIs among the subject alternative names: `uris`.
    pub uris: Vec<String>,
}

/// A verified OIDC token.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Oidc {
    /// The name of the issuer in the Registry: `provider_name`.
    pub provider_name: String,
    /// The URL of the issuer.
    pub issuer: String,
    /// Whom the token is about, as its issuer names them.
    pub subject: String,
    /// All claims: `claims`.
    pub claims: serde_json::Map<String, serde_json::Value>,
}

/// A ServiceAccount of the cluster, shown by a verified token.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ServiceAccount {
    /// Its namespace: `namespace`.
    pub namespace: String,
    /// Its name: `name`.
    pub name: String,
    /// The Pod that the token is bound to, if any: `pod`.
    pub pod: Option<String>,
    /// The Node that the token is bound to, if any: `node`.
    pub node: Option<String>,
}

/// What the usernames of ServiceAccounts begin with.
const ACCOUNT_PREFIX: &str = "system:serviceaccount:";

impl ServiceAccount {
    /// What Kubernetes calls it, in `sub` of its tokens too: `system:serviceaccount:<namespace>:<name>`.
    pub fn username(&self) -> String {
        format!("{ACCOUNT_PREFIX}{}:{}", self.namespace, self.name)
    }

    /// The namespace and the name in what Kubernetes calls a ServiceAccount.
    pub fn names_in(username: &str) -> Option<(&str, &str)> {
        username.strip_prefix(ACCOUNT_PREFIX)?.split_once(':')
    }
}

/// An identity, as the access document describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Identity<'a> {
    /// What stays the same when the username is given to somebody else: `identity.id`.
    pub id: &'a str,
    /// The full username, the prefix of an admitted identity included: `identity.username`.
    pub username: &'a str,
    /// The groups: `identity.groups`.
    pub groups: &'a [String],
    /// The attributes, each a list of texts: `identity.attributes`.
    pub attributes: Option<&'a Attributes>,
    /// Whether the identity belongs to the Registry's own namespace.
    pub home: bool,
}

/// What is asked for. A fact that the request does not have is absent for rules: `has()` is false, reading it is an
/// error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// The action: `request.action`.
    pub action: Action,
    /// The HTTP method: `request.method`.
    pub method: &'a str,
    /// The repository, for every action but `list-catalog`: `request.repository` and `request.namespace`.
    pub repository: Option<&'a str>,
    /// The tag or digest of a manifest as it stands in the URL: `request.reference`.
    pub reference: Option<&'a str>,
    /// The digest of a blob or manifest: `request.digest`.
    pub digest: Option<&'a str>,
    /// The tags that a manifest is pushed under, each `?tag=` included; empty for other actions: `request.tags`.
    pub tags: &'a [String],
    /// The upload session: `request.session_id`.
    pub session_id: Option<&'a str>,
    /// The repository that a blob is mounted from: `request.from`.
    pub from: Option<&'a str>,
    /// The page size asked for: `request.n`.
    pub n: Option<u64>,
    /// Where the page starts: `request.last`.
    pub last: Option<&'a str>,
    /// The artifact type that referrers are filtered by: `request.artifact_type`.
    pub artifact_type: Option<&'a str>,
    /// The digest algorithm asked for an upload: `request.digest_algorithm`.
    pub digest_algorithm: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A request of which nothing else is known.
    pub const fn bare(action: Action, method: &'a str) -> Self {
        Self {
            action,
            method,
            repository: None,
            reference: None,
            digest: None,
            tags: &[],
            session_id: None,
            from: None,
            n: None,
            last: None,
            artifact_type: None,
            digest_algorithm: None,
        }
    }

    /// The tags and the digest of manifests that the request carries.
    pub(crate) fn carried(&self) -> impl Iterator<Item = &'a str> {
        let named = match self.action {
            Action::GetReferrers => self.digest,
            _ => self.reference,
        };
        named.into_iter().chain(self.tags.iter().map(String::as_str))
    }
}

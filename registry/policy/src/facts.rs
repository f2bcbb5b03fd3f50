//! What is known about one request when it is decided.

mod view;

use std::net::IpAddr;

use jiff::Timestamp;

pub(crate) use view::{Facts, Variables};

use crate::Action;

/// How many groups or tags a condition sees. Reading a longer list is an evaluation error, because the time of an
/// evaluation may grow with the product of their lengths.
pub const MAX_LIST_LENGTH: usize = 256;

/// Who is asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller<'a> {
    /// The identity that the request was authenticated as; none for an anonymous caller.
    pub identity: Option<Identity<'a>>,
    /// The address that the request came from, after trusted proxies; none where it is not known.
    pub client_ip: Option<IpAddr>,
    /// When it came, by the registry's clock.
    pub at: Timestamp,
}

/// An identity, as the access document describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity<'a> {
    /// What stays the same when the username is given to somebody else: `identity.id`.
    pub id: &'a str,
    /// The full username, the prefix of an admitted identity included: `identity.username`.
    pub username: &'a str,
    /// The groups: `identity.groups`.
    pub groups: &'a [String],
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
    /// The tags and the digest of manifests that the request carries.
    pub(crate) fn carried(&self) -> impl Iterator<Item = &'a str> {
        let named = match self.action {
            Action::GetReferrers => self.digest,
            _ => self.reference,
        };
        named.into_iter().chain(self.tags.iter().map(String::as_str))
    }
}

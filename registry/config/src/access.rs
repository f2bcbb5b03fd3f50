//! The access document as it is written: who there is and what they may do.
//!
//! Stand-alone it is one YAML file with the content inside. In a cluster the index and the packed content are two keys
//! of a Secret, or the content is in shards (see [`crate::pack`]).

use registry_policy::{ActionSet, Attributes, Effect, Mode, Role, ServiceAccountName, Subject};
use serde::{Deserialize, Serialize};

use crate::document::{self, DocumentError, MAX_REVISION};
use crate::hashes;
use crate::{
    CertificateSubject, Challenge, ClientCertificates, Cors, DurationText, OidcIssuer, OidcSubject, PasswordHash,
    Problem, RuleAction, ServiceAccountTokens, Shards, SizeText, TokenServer,
};

/// The access document, `kind: AccessIndex`: which revision of the content is in force, and the content itself where it
/// is not kept beside the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessIndex {
    /// Always `AccessIndex`.
    pub kind: String,
    /// Version of the content's format; 1.
    pub format_version: u32,
    /// Grows with each publication; a document of a lower revision never replaces one of a higher. 0 in a file written by
    /// hand, where the file is the truth whatever it says here.
    #[serde(default)]
    pub revision: u64,
    /// `sha256:` and the hex digest of the content's JSON. Absent in a file written by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Where the content is kept, where it is neither here nor beside the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<Shards>,
    /// The content. Absent where it is kept beside the index, or in shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<AccessContent>,
}

impl AccessIndex {
    /// The document's `kind`.
    pub const KIND: &'static str = "AccessIndex";

    /// Parses the document from YAML or JSON.
    ///
    /// # Errors
    /// With line and column where the text is not such a document; an unknown field is an error. Of hashes that are none,
    /// all are named.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let parsed = document::parse(Self::KIND, text);
        let index: Self = parsed.map_err(|error| hashes::all_of(text, error))?;
        if index.revision > MAX_REVISION {
            let problem = Problem::new("revision", format!("{} is above {MAX_REVISION}", index.revision));
            return Err(DocumentError::Invalid(vec![problem]));
        }
        Ok(index)
    }
}

/// Identities, policies and all settings that change while the registry runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessContent {
    /// The `service` of challenges and the audience of tokens. Default `wharfinger`.
    #[serde(default = "default_service")]
    pub service: String,
    /// The issuer of this registry's tokens: the Registry's UID in a cluster. Default `wharfinger`.
    #[serde(default = "default_service")]
    pub issuer: String,
    /// Scheme, host and port under which clients reach the registry, such as `https://registry.example.com`. Absent: the
    /// scheme and Host of each request.
    #[serde(default, rename = "externalURL", skip_serializing_if = "Option::is_none")]
    pub external_url: Option<String>,
    /// Which pages of other origins may use the registry from a browser. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Networks whose addresses are those of proxies of ours, such as `10.0.0.0/8`: what they say in `X-Forwarded-For`,
    /// `-Proto`, `-Host` and `-Port` is believed, and what others say is not. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
    /// A header in which trusted proxies name who has signed in with them, such as `X-Forwarded-User`. It counts where a
    /// request has no `Authorization`, and is ignored from everybody else. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_header: Option<String>,
    /// Networks that clients may come from; others are answered with 403 whoever they are. None: from everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_source_ranges: Vec<String>,
    /// How clients are asked to sign in. Default `Bearer`.
    #[serde(default, skip_serializing_if = "Challenge::is_default")]
    pub challenge: Challenge,
    /// The realm of a `Basic` challenge, which browsers show. Default: the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_realm: Option<String>,
    /// The registry's own tokens.
    #[serde(default)]
    pub token: TokenSettings,
    /// Which manifests are accepted.
    #[serde(default, skip_serializing_if = "ManifestSettings::is_default")]
    pub manifests: ManifestSettings,
    /// Which blobs are accepted.
    #[serde(default, skip_serializing_if = "BlobSettings::is_default")]
    pub blobs: BlobSettings,
    /// Whether anybody may delete anything, whatever policies say. Default `Enabled`.
    #[serde(default, skip_serializing_if = "Deletion::is_default")]
    pub deletion: Deletion,
    /// Which certificates of clients are believed. Absent: clients are asked for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificates>,
    /// Which tokens of a cluster's ServiceAccounts are accepted. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<ServiceAccountTokens>,
    /// Issuers whose OpenID Connect tokens are accepted. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oidc: Vec<OidcIssuer>,
    /// A server that clients get tokens from, in place of this registry. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_server: Option<TokenServer>,
    /// Who may sign in. Usernames are unique.
    #[serde(default)]
    pub identities: Vec<IdentityEntry>,
    /// What they may do; nothing where there is none.
    #[serde(default)]
    pub policies: Vec<PolicyEntry>,
}

fn default_service() -> String {
    "wharfinger".to_owned()
}

/// Which manifests are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestSettings {
    /// What happens to a manifest that refers to content which is not in its repository. Default `Refuse`.
    #[serde(default)]
    pub missing_references: MissingReferences,
}

impl ManifestSettings {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which blobs are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlobSettings {
    /// The largest blob, such as `10Gi`; a larger one is refused with 413. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<SizeText>,
}

impl BlobSettings {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether manifests, tags and blobs can be deleted at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deletion {
    /// By whoever policies allow it.
    #[default]
    Enabled,
    /// By nobody: it is answered with 405. Uploads that are not complete can still be cancelled.
    Disabled,
}

impl Deletion {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens to a manifest that refers to content which is not in its repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MissingReferences {
    /// It is refused, so that whatever can be pulled can be pulled whole.
    #[default]
    Refuse,
    /// An index is accepted, as long as it says what it lacks: a copy of some platforms of a multi-platform image. An
    /// image is refused.
    AllowInIndexes,
    /// Every manifest is accepted.
    Allow,
}

impl MissingReferences {
    /// Whether an image may lack blobs.
    pub fn allows_blobs(self) -> bool {
        matches!(self, Self::Allow)
    }

    /// Whether an index may lack manifests.
    pub fn allows_manifests(self) -> bool {
        matches!(self, Self::Allow | Self::AllowInIndexes)
    }
}

/// How the registry's own tokens are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenSettings {
    /// How long a token is valid: 5m to 1h, default 5m.
    #[serde(default = "TokenSettings::default_lifetime")]
    pub lifetime: DurationText,
    /// How long a refresh token is valid, which clients may then keep instead of a password: 1h to 8760h. Absent: none are made, and none
    /// are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_lifetime: Option<DurationText>,
    /// Refresh tokens made under an earlier revision than this are refused, so that none comes back to life with the setting. Default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refresh_from: u64,
    /// The signing keys: the first signs, all verify. None: the registry makes one for as long as it runs.
    #[serde(default)]
    pub keys: Vec<TokenKey>,
}

impl TokenSettings {
    /// The default lifetime of a token.
    pub const DEFAULT_LIFETIME: DurationText = DurationText::from_secs(300);
    /// The longest lifetime of a token.
    pub const MAX_LIFETIME: DurationText = DurationText::from_secs(3600);
    /// The shortest lifetime of a refresh token: with a shorter one nobody would need any.
    pub const MIN_REFRESH_LIFETIME: DurationText = Self::MAX_LIFETIME;
    /// The longest lifetime of a refresh token, a year.
    pub const MAX_REFRESH_LIFETIME: DurationText = DurationText::from_secs(8760 * 3600);

    const fn default_lifetime() -> DurationText {
        Self::DEFAULT_LIFETIME
    }
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self {
            lifetime: Self::DEFAULT_LIFETIME,
            refresh_lifetime: None,
            refresh_from: 0,
            keys: Vec::new(),
        }
    }
}

/// A key that signs and verifies the registry's own tokens (ES256).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenKey {
    /// Names the key in the header of tokens.
    pub kid: String,
    /// The P-256 private key, PKCS #8 in PEM.
    pub private_key: String,
    /// Whether it verifies nothing but refresh tokens any more: another took its place so long ago that no other token lives that it has
    /// signed. Default false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub refresh_only: bool,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// Somebody who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityEntry {
    /// The name to sign in with. No `:`, and not `token`.
    pub username: String,
    /// Tells this identity from a later one of the same name. Default: the username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Groups that policies may name.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Facts about the identity that policies may use, each a list of texts.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
    /// Whether a changed password ends the tokens that were given for the old one, too. Default false: they live out their
    /// lifetime, because most clients do not ask for another in the middle of a push.
    #[serde(default, skip_serializing_if = "is_false")]
    pub revoke_tokens_on_change: bool,
    /// Whether the identity belongs to the Registry's own namespace. Default true.
    #[serde(default = "default_home")]
    pub home: bool,
    /// From this instant on nobody can sign in as this identity, and its tokens end, by the registry's clock. Absent: it does not
    /// end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<jiff::Timestamp>,
    /// The passwords that are accepted. None: nobody can sign in under this name with a password.
    #[serde(default)]
    pub passwords: Vec<PasswordEntry>,
    /// ServiceAccounts whose tokens sign in as this identity; each at most once in a document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_accounts: Vec<ServiceAccountName>,
    /// Subjects of OpenID Connect tokens that sign in as this identity; each at most once in a document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oidc_subjects: Vec<OidcSubject>,
    /// Names in certificates of clients who are this identity; each at most once in a document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_subjects: Vec<CertificateSubject>,
    /// Tokens made under an earlier revision than this are refused, so that a token does not come back to life with its
    /// identity. Default 0.
    #[serde(default)]
    pub tokens_from: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

const fn default_home() -> bool {
    true
}

impl IdentityEntry {
    /// An identity that the document does not list: somebody else has vouched for its name, and that is all it has.
    pub fn guest(username: &str) -> Self {
        Self {
            username: username.to_owned(),
            uid: None,
            groups: Vec::new(),
            attributes: Attributes::new(),
            revoke_tokens_on_change: false,
            home: false,
            not_after: None,
            passwords: Vec::new(),
            service_accounts: Vec::new(),
            oidc_subjects: Vec::new(),
            certificate_subjects: Vec::new(),
            tokens_from: 0,
        }
    }

    /// An identity of the Registry's own that has nothing but a password.
    pub fn with_password(username: &str, hash: PasswordHash) -> Self {
        Self {
            home: true,
            passwords: vec![PasswordEntry { hash, not_after: None }],
            ..Self::guest(username)
        }
    }

    /// Whether anybody can sign in as this identity at an instant.
    pub fn is_in_force(&self, at: jiff::Timestamp) -> bool {
        self.not_after.is_none_or(|end| at < end)
    }
}

/// A password that is accepted, as its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PasswordEntry {
    /// The hash.
    pub hash: PasswordHash,
    /// From this instant on the password is refused, by the registry's clock. Absent: it does not end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<jiff::Timestamp>,
}

/// A policy, as an AccessPolicy of the Kubernetes API has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyEntry {
    /// Names the policy in logs and in decisions; unique.
    pub name: String,
    /// Whether what matches is allowed or denied. An enforced Deny always wins.
    pub effect: Effect,
    /// Whether it decides: `Enforce` (default), or `Audit`: it is evaluated and recorded, and decides nothing.
    #[serde(default, skip_serializing_if = "is_enforced")]
    pub mode: Mode,
    /// From this instant on it is in force, by the registry's clock. Absent: since ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<jiff::Timestamp>,
    /// Until just before this instant it is. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<jiff::Timestamp>,
    /// Whom the policy is about: any of these.
    pub subjects: Vec<Subject>,
    /// What it is about: any of these.
    pub rules: Vec<RuleEntry>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_enforced(mode: &Mode) -> bool {
    *mode == Mode::Enforce
}

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleEntry {
    /// Names the rule; unique within its policy.
    pub name: String,
    /// Repositories: `*` stands for anything within a segment, `a/**` for everything below `a`, `**` for everything.
    pub repositories: Vec<String>,
    /// A named set of actions, for Allow only. Exactly one of `role` and `actions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The actions; in a Deny `*` stands for every one on a repository. Exactly one of `role` and `actions`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<RuleAction>,
    /// Tags and digests that it is about, with `*` for any characters, for the actions that name a manifest: an Allow needs all
    /// of a request's to match, a Deny one. Default all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// A CEL expression over `identity` and `request` that must be true as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Shown to a client that this rule refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl RuleEntry {
    /// What the rule is about: the actions of its role, or those that it lists.
    pub fn actions(&self) -> ActionSet {
        let listed = self.actions.iter().map(|listed| listed.actions());
        listed.fold(self.role.map_or(ActionSet::EMPTY, Role::actions), ActionSet::union)
    }
}

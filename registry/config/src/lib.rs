//! The two documents that the registry reads, as types: the operator writes these very types and the registry parses
//! them, so that the two cannot drift apart.
//!
//! * [`ServerConfig`]: listeners and storage; a change needs a restart.
//! * [`AccessIndex`] and its [`AccessContent`]: identities, policies, token keys and settings that change while the
//!   registry runs.
//!
//! This crate owns the format, its versions and its checks. It reads no file and knows no Kubernetes.

mod access;
mod audience;
mod certificate;
mod challenge;
mod client_certificates;
mod compile;
mod cors;
mod document;
mod duration;
mod hashes;
mod htpasswd;
mod observe;
mod oidc;
mod password;
mod position;
mod problem;
mod rule_action;
mod server;
mod service_accounts;
mod shards;
mod size;
mod slots;
mod token_holder;
mod token_server;

pub use access::{
    AccessContent, AccessIndex, BlobSettings, Deletion, IdentityEntry, ManifestSettings, MissingReferences,
    PasswordEntry, PolicyEntry, RuleEntry, TokenKey, TokenSettings,
};
pub use audience::{Audience, AudienceRefusal};
pub use certificate::{Certificate, InvalidTlsPair, TlsPair};
pub use challenge::Challenge;
pub use client_certificates::{
    CertificateSubject, ClientCertificate, ClientCertificateMode, ClientCertificates, ClientVerifier,
};
pub use compile::{Access, absences, broad_denies, check_username, parse_networks, parse_user_header};
pub use cors::Cors;
pub use document::{DocumentError, FORMAT_VERSION, FORMAT_VERSIONS};
pub use duration::{DurationText, InvalidDuration};
pub use htpasswd::{BadLine, Htpasswd, HtpasswdProblem};
pub use observe::{Audit, Traces};
pub use oidc::{OidcIssuer, OidcProvider, OidcRefusal, OidcSubject, RequiredClaim, SignatureAlgorithm};
pub use password::{HashCost, HashMemory, InvalidPasswordHash, InvalidPasswordHashing, PasswordHash, PasswordHashing};
pub use position::{describe_problems, position_of};
pub use problem::Problem;
pub use rule_action::RuleAction;
pub use server::{AccessSecret, FilesystemStorage, Limits, ServerConfig, Storage, TlsFiles, Uploads};
pub use service_accounts::ServiceAccountTokens;
pub use shards::{Layout, MAX_PACKED_BYTES, MAX_SHARD_BYTES, MAX_SHARDS, SHARD_KEY, Shards, Slot, digest};
pub use size::{InvalidSize, SizeText};
pub use slots::{CONTENT_KEY, INDEX_KEY, PackError, Packed, digest_of, index_from_secret, pack, parse_index};
pub use token_holder::TokenHolder;
pub use token_server::TokenServer;

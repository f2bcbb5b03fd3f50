//! [`PasswordSource`]: where the password of an identity is read from.

use std::time::Duration;

use crds::{GeneratedPassword, RegistryIdentity};
use registry_config::DurationText;
use serde::{Deserialize, Serialize};

use crate::names;

/// Key of the password that is to follow, within a generated Secret.
pub(crate) const NEXT_KEY: &str = "nextPassword";
/// How long the old password is accepted where Pods pull with Secrets that have to follow.
const PULL_SECRET_OVERLAP: Duration = Duration::from_secs(30);
/// How long at most, where a rotation does not say.
const DEFAULT_OVERLAP: Duration = Duration::from_secs(3600);

/// When a generated password is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RotationTimes {
    pub(crate) interval: Duration,
    pub(crate) overlap: Duration,
}

/// How an identity's generated password is rotated; `None` where it is not.
pub(crate) fn rotation(identity: &RegistryIdentity) -> Option<RotationTimes> {
    let rotation = PasswordSource::of(identity)?.generate?.rotation.as_ref()?;
    let parse = |text: &str| text.parse::<DurationText>().ok().map(DurationText::get);
    // The schema admits no other; an object older than the schema is not rotated.
    let interval = parse(&rotation.interval).filter(|interval| *interval >= Duration::from_secs(60))?;
    let overlap = rotation.overlap.as_deref().and_then(parse);
    let overlap = overlap.unwrap_or(DEFAULT_OVERLAP.min(interval / 2)).min(interval);
    Some(RotationTimes { interval, overlap })
}

/// How long a replaced password is still accepted; `None` where it ends at once. Only a rotation of the operator's own has its
/// overlap: whoever changes a password themselves may have reasons.
pub(crate) fn overlap(identity: &RegistryIdentity, was_announced: bool) -> Option<Duration> {
    let has_pull_secrets = identity.spec.pull_secrets.is_some();
    let rotated = rotation(identity).filter(|_| was_announced);
    rotated
        .map(|rotation| rotation.overlap)
        .or(has_pull_secrets.then_some(PULL_SECRET_OVERLAP))
}

/// Where a password, or its hash, is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PasswordSource<'a> {
    /// The Secret, in the identity's namespace.
    pub(crate) secret: String,
    /// The key within it.
    pub(crate) key: String,
    /// What stands there.
    pub(crate) form: SecretForm,
    /// How the operator makes the Secret, where it does.
    pub(crate) generate: Option<&'a GeneratedPassword>,
}

/// What a key of a Secret holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum SecretForm {
    /// A password.
    #[default]
    Password,
    /// The hash of one.
    Hash,
}

impl SecretForm {
    /// Whether it is a password.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    pub(crate) fn is_password(&self) -> bool {
        *self == Self::Password
    }
}

impl<'a> PasswordSource<'a> {
    /// The source that an identity names; `None` where it has no password.
    pub(crate) fn of(identity: &'a RegistryIdentity) -> Option<Self> {
        let password = identity.spec.password.as_ref()?;
        let named = |reference: &crds::SecretKeyReference, form| Self {
            secret: reference.name.clone(),
            key: reference.key.clone(),
            form,
            generate: None,
        };
        if let Some(reference) = &password.secret_key_ref {
            return Some(named(reference, SecretForm::Password));
        }
        if let Some(reference) = &password.hash_secret_key_ref {
            return Some(named(reference, SecretForm::Hash));
        }
        let generate = password.generate.as_ref()?;
        let chosen = generate.secret_name.clone();
        Some(Self {
            secret: chosen.unwrap_or_else(|| names::credentials_secret(identity)),
            key: "password".to_owned(),
            form: SecretForm::Password,
            generate: Some(generate),
        })
    }

    /// The source of a password that the operator makes; `None` where it makes none for this identity.
    pub(crate) fn generated(identity: &'a RegistryIdentity) -> Option<Self> {
        Self::of(identity).filter(|source| source.generate.is_some())
    }
}

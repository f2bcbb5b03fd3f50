//! Generated passwords: made once, and replaced where a rotation says so.
//!
//! A rotation takes two steps, each one write that replaces exactly the version that was read. First the password that is to
//! follow is put beside the one in use; the registry is told of both. Once every Pod accepts both, it takes the other's
//! place. An operator that ends in between goes on from what stands in the Secret.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::{RegistryIdentity, annotations, secret_types};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};
use rand::distr::{Alphanumeric, SampleString};

use super::admission::Admission;
use super::snapshot::{Rotation, Snapshot, Source, secrets_of};
use super::validate::Plan;
use crate::api;
use crate::context::Context;
use crate::names;
use crate::password_source::{NEXT_KEY, PasswordSource, rotation};
use crate::state::{LiveState, SourceVersion};

/// How many characters a password has where the spec does not say.
const DEFAULT_LENGTH: usize = 32;

/// Makes the Secrets that are missing, and begins the rotations that are due. Whether any Secret was written.
///
/// This is the one write before the pure steps: a password that was never stored cannot be hashed.
pub(super) async fn generate(snapshot: &Snapshot, context: &Context) -> bool {
    if !matches!(snapshot.state, LiveState::Ours { .. } | LiveState::Absent)
        || snapshot.registry.spec.paused == Some(true)
    {
        return false;
    }
    let mut written = false;
    for identity in &snapshot.identities {
        let uid = identity.uid().unwrap_or_default();
        let done = match snapshot.sources.get(&uid) {
            Some(Source::Missing) => make(identity, snapshot, context).await,
            Some(Source::Present { rotation, .. }) if is_due(identity, rotation, snapshot.now) => {
                begin_rotation(identity, context).await
            }
            _ => Ok(false),
        };
        written |= done.unwrap_or_else(|error| not_written(identity, &error));
    }
    written
}

/// Completes the rotations whose new password every Pod accepts.
pub(super) async fn complete_rotations(snapshot: &Snapshot, plan: &Plan, context: &Context) {
    for identity in &snapshot.identities {
        let uid = identity.uid().unwrap_or_default();
        let announced = plan
            .identities
            .get(&uid)
            .and_then(super::validate::Identity::announced_next);
        if let Some(version) = announced
            && let Err(error) = complete_rotation(identity, version, context).await
        {
            not_written(identity, &error);
        }
    }
}

/// How long until the next rotation is due.
pub(super) fn next_rotation(snapshot: &Snapshot) -> Option<Duration> {
    let ends = snapshot.identities.iter().filter_map(|identity| {
        let interval = rotation(identity)?.interval;
        let Some(Source::Present { rotation, .. }) = snapshot.sources.get(&identity.uid()?) else {
            return None;
        };
        let age = Duration::try_from(snapshot.now.duration_since(rotation.since?)).unwrap_or_default();
        Some(interval.saturating_sub(age))
    });
    // One that is due already waits for something else, which will be told.
    ends.filter(|left| !left.is_zero())
        .min()
        .map(|left| left + Duration::from_millis(50))
}

fn is_due(identity: &RegistryIdentity, found: &Rotation, now: Timestamp) -> bool {
    let (Some(times), Some(since), false) = (rotation(identity), found.since, found.is_pending) else {
        return false;
    };
    Duration::try_from(now.duration_since(since)).is_ok_and(|age| age >= times.interval)
}

/// One Secret that cannot be written must not keep others from anything; the next pass tries again.
fn not_written(identity: &RegistryIdentity, error: &api::Error) -> bool {
    tracing::warn!(
        identity = identity.name_any(),
        namespace = identity.namespace(),
        error = api::chain(error),
        "the Secret with the generated password is not written; tried again later"
    );
    false
}

fn new_password(source: &PasswordSource<'_>) -> ByteString {
    let length = source.generate.and_then(|generate| generate.length);
    let length = length
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(DEFAULT_LENGTH);
    ByteString(Alphanumeric.sample_string(&mut rand::rng(), length).into_bytes())
}

/// The name that an identity signs in with here.
fn full_username(identity: &RegistryIdentity, snapshot: &Snapshot) -> String {
    let namespace = identity.namespace().unwrap_or_default();
    Admission::of_identities(&snapshot.registry, &snapshot.namespaces, &namespace).username(identity)
}

async fn make(identity: &RegistryIdentity, snapshot: &Snapshot, context: &Context) -> Result<bool, api::Error> {
    let Some(source) = PasswordSource::generated(identity) else {
        return Ok(false);
    };
    let name = source.secret.clone();
    let mut secret = Secret {
        type_: Some(secret_types::CREDENTIAL.to_owned()),
        data: Some(BTreeMap::from([
            (
                "username".to_owned(),
                ByteString(full_username(identity, snapshot).into_bytes()),
            ),
            (source.key.clone(), new_password(&source)),
        ])),
        ..Secret::default()
    };
    secret.metadata.name = Some(name.clone());
    secret.metadata.labels = Some(names::identity_secret_labels(&snapshot.registry.name_any(), identity));
    let (secrets, params) = (secrets_of(identity, context), api::post_params());
    match api::call(format!("make Secret `{name}`"), secrets.create(&params, &secret)).await {
        Ok(_) => {
            let note = format!("a password was generated and stored in Secret `{name}`");
            tell(identity, context, "CredentialGenerated", &note).await;
            Ok(true)
        }
        // Somebody made one of this name in between; the next look tells whose it is.
        Err(error) if error.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}

async fn begin_rotation(identity: &RegistryIdentity, context: &Context) -> Result<bool, api::Error> {
    let Some(source) = PasswordSource::generated(identity) else {
        return Ok(false);
    };
    change(identity, &source.secret, context, |secret| {
        let data = secret.data.get_or_insert_default();
        data.insert(NEXT_KEY.to_owned(), new_password(&source));
        secret
            .annotations_mut()
            .insert(annotations::ROTATION_PENDING.to_owned(), "true".to_owned());
        true
    })
    .await
}

/// Completes a rotation whose new password stands in exactly this version of the Secret.
async fn complete_rotation(
    identity: &RegistryIdentity,
    version: &SourceVersion,
    context: &Context,
) -> Result<(), api::Error> {
    let Some(source) = PasswordSource::generated(identity) else {
        return Ok(());
    };
    let changed = change(identity, &source.secret, context, |secret| {
        if secret.resource_version().as_ref() != Some(&version.resource_version) {
            return false;
        }
        let data = secret.data.get_or_insert_default();
        let Some(next) = data.remove(NEXT_KEY) else {
            return false;
        };
        data.insert(source.key.clone(), next);
        let annotations = secret.annotations_mut();
        annotations.remove(annotations::ROTATION_PENDING);
        annotations.insert(annotations::ROTATED_AT.to_owned(), Timestamp::now().to_string());
        true
    })
    .await?;
    if changed {
        let note = format!("the password in Secret `{}` was replaced by a new one", source.secret);
        tell(identity, context, "CredentialRotated", &note).await;
    }
    Ok(())
}

/// Replaces a Secret by a changed one. Whether it was changed; not where somebody else was faster.
async fn change(
    identity: &RegistryIdentity,
    name: &str,
    context: &Context,
    change: impl FnOnce(&mut Secret) -> bool,
) -> Result<bool, api::Error> {
    let secrets = secrets_of(identity, context);
    let Some(mut secret) = api::find(format!("read Secret `{name}`"), secrets.get_opt(name)).await? else {
        return Ok(false);
    };
    if !change(&mut secret) {
        return Ok(false);
    }
    secret.managed_fields_mut().clear();
    match api::call(
        format!("write Secret `{name}`"),
        secrets.replace(name, &api::post_params(), &secret),
    )
    .await
    {
        Ok(_) => Ok(true),
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

async fn tell(identity: &RegistryIdentity, context: &Context, reason: &str, note: &str) {
    context
        .tell(&identity.object_ref(&()), EventType::Normal, reason, note)
        .await;
}

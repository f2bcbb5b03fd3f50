//! Secrets that Pods pull with: they follow the passwords of identities, after the registry has accepted those.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crds::{PullSecret, RegistryIdentity, labels, reasons};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use serde_json::{Map, Value, json};

use super::snapshot::{Snapshot, secrets_of};
use super::status::Findings;
use crate::api;
use crate::context::Context;
use crate::hashing::value_of;
use crate::names;
use crate::outcome::Verdict;
use crate::state::SourceVersion;

const TYPE: &str = "kubernetes.io/dockerconfigjson";
const KEY: &str = ".dockerconfigjson";

/// Writes the pull secrets that are missing or out of date, and removes those that no identity names any more. Returns what
/// is wrong with those of each identity, by UID.
pub(super) async fn keep(findings: &Findings<'_>, context: &Context) -> HashMap<String, Verdict> {
    let snapshot = findings.snapshot;
    let mut troubles = HashMap::new();
    for identity in &snapshot.identities {
        let kept = keep_of(identity, findings, context).await;
        let trouble = kept.unwrap_or_else(|error| {
            // One Secret that cannot be written must not keep others from anything.
            Err(Verdict::no(
                reasons::SECRET_NOT_WRITTEN,
                format!(
                    "a pull secret is not up to date: {}; tried again later",
                    api::chain(&error)
                ),
            ))
        });
        if let Err(why) = trouble {
            troubles.insert(identity.uid().unwrap_or_default(), why);
        }
    }
    if let Err(error) = remove_others(snapshot, context).await {
        tracing::warn!(
            error = api::chain(&error),
            "a pull secret is not removed; tried again later"
        );
    }
    troubles
}

/// Writes the pull secrets of one identity.
async fn keep_of(
    identity: &RegistryIdentity,
    findings: &Findings<'_>,
    context: &Context,
) -> Result<Result<(), Verdict>, api::Error> {
    let snapshot = findings.snapshot;
    let Some(pull_secrets) = &identity.spec.pull_secrets else {
        return Ok(Ok(()));
    };
    let uid = identity.uid().unwrap_or_default();
    let planned = findings
        .plan
        .identities
        .get(&uid)
        .filter(|planned| planned.entry.is_some());
    // A password that the registry does not know yet would be refused.
    let version = planned
        .and_then(|planned| planned.password_version())
        .filter(|_| findings.is_enforced());
    let (Some(planned), Some(version)) = (planned, version) else {
        return Ok(Ok(()));
    };
    let Some(password) = read_password(identity, version, context).await? else {
        return Ok(Ok(()));
    };
    let credentials = Credentials {
        username: &planned.username,
        password: &password,
    };
    for secret in pull_secrets {
        let hosts = secret.hosts.clone().unwrap_or_else(|| findings.hosts());
        if let Err(why) = write(identity, secret, &credentials, &hosts, snapshot, context).await? {
            return Ok(Err(why));
        }
    }
    Ok(Ok(()))
}

struct Credentials<'a> {
    username: &'a str,
    password: &'a str,
}

/// The password as the Secret has it in exactly this version.
async fn read_password(
    identity: &RegistryIdentity,
    version: &SourceVersion,
    context: &Context,
) -> Result<Option<zeroize::Zeroizing<String>>, api::Error> {
    let secrets = secrets_of(identity, context);
    let name = &version.secret;
    let found = api::find(format!("read Secret `{name}`"), secrets.get_opt(name)).await?;
    let found = found.filter(|secret| secret.resource_version().as_ref() == Some(&version.resource_version));
    let value = found.and_then(|secret| value_of(secret, &version.key).ok());
    let text = value.and_then(|value| String::from_utf8(value.to_vec()).ok());
    Ok(text.map(zeroize::Zeroizing::new))
}

/// The file that container runtimes read, `~/.docker/config.json`.
fn docker_config(credentials: &Credentials<'_>, hosts: &[String]) -> Vec<u8> {
    let Credentials { username, password } = credentials;
    let auth = STANDARD.encode(format!("{username}:{password}"));
    let entry = json!({ "username": username, "password": password, "auth": auth });
    let auths: Map<String, Value> = hosts.iter().map(|host| (host.clone(), entry.clone())).collect();
    json!({ "auths": auths }).to_string().into_bytes()
}

async fn write(
    identity: &RegistryIdentity,
    pull_secret: &PullSecret,
    credentials: &Credentials<'_>,
    hosts: &[String],
    snapshot: &Snapshot,
    context: &Context,
) -> Result<Result<(), Verdict>, api::Error> {
    let name = &pull_secret.name;
    let secrets = secrets_of(identity, context);
    let config = ByteString(docker_config(credentials, hosts));
    let found = api::find(format!("read Secret `{name}`"), secrets.get_opt(name)).await?;
    if let Some(found) = &found {
        if found.labels().get(labels::IDENTITY) != Some(&identity.name_any())
            || !found.labels().contains_key(labels::PULL_SECRET)
        {
            return Ok(Err(Verdict::no(
                reasons::CONFLICT,
                format!(
                    "Secret `{name}` exists and is not a pull secret of this identity, so it is left as it is; choose another name in `spec.pullSecrets`"
                ),
            )));
        }
        let has = found.data.as_ref().and_then(|data| data.get(KEY));
        if has == Some(&config) && found.type_.as_deref() == Some(TYPE) {
            return Ok(Ok(()));
        }
    }
    let mut written = Secret {
        type_: Some(TYPE.to_owned()),
        data: Some(BTreeMap::from([(KEY.to_owned(), config)])),
        ..Secret::default()
    };
    written.metadata.name = Some(name.clone());
    written.metadata.labels = Some(names::identity_secret_labels(&snapshot.registry.name_any(), identity));
    written
        .labels_mut()
        .insert(labels::PULL_SECRET.to_owned(), "true".to_owned());
    let (what, params) = (format!("write Secret `{name}`"), api::post_params());
    let done = match found {
        None => api::call(what, secrets.create(&params, &written)).await,
        Some(found) => {
            written.metadata.resource_version = found.resource_version();
            api::call(what, secrets.replace(name, &params, &written)).await
        }
    };
    match done {
        Ok(_) => Ok(Ok(())),
        // Somebody was faster; the watch tells.
        Err(error) if error.is_conflict() || error.is_already_exists() => Ok(Ok(())),
        Err(error) => Err(error),
    }
}

/// Removes the pull secrets of this Registry's identities that they do not name any more. Those of identities that are gone are
/// pruned with everything else of theirs.
async fn remove_others(snapshot: &Snapshot, context: &Context) -> Result<(), api::Error> {
    let identities: HashMap<(Option<String>, String), &RegistryIdentity> = snapshot
        .identities
        .iter()
        .map(|identity| ((identity.namespace(), identity.name_any()), identity.as_ref()))
        .collect();
    let left_over = context.stores.own_secrets.state_filter(|secret| {
        let owner = secret.labels().get(labels::IDENTITY);
        let owner = owner.and_then(|name| identities.get(&(secret.namespace(), name.clone())));
        secret.labels().contains_key(labels::PULL_SECRET)
            && owner.is_some_and(|identity| {
                let mut named = identity.spec.pull_secrets.iter().flatten();
                named.all(|named| named.name != secret.name_any())
            })
    });
    for secret in left_over {
        let name = secret.name_any();
        let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &secret.namespace().unwrap_or_default());
        api::delete_exactly(format!("delete Secret `{name}`"), &secrets, secret.as_ref()).await?;
    }
    Ok(())
}

//! `rotate`: a new password for an identity whose password the operator makes.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use crds::{RegistryIdentity, annotations, labels, secret_types};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::arguments::{Common, Rotate};
use crate::cluster::Cluster;
use crate::output;

/// Long enough ago for every interval.
const LONG_AGO: &str = "1970-01-01T00:00:00Z";

/// `rotate`
pub(crate) async fn run(common: &Common, arguments: &Rotate) -> Result<ExitCode> {
    let cluster = Cluster::connect(common).await?;
    let identity = identity(&cluster, &arguments.identity).await?;
    let generate = identity
        .spec
        .password
        .as_ref()
        .and_then(|password| password.generate.as_ref());
    let Some(generate) = generate else {
        bail!(
            "the password of `{}` is not made by the operator: change it in its own Secret",
            identity.name_any()
        );
    };
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let found = generated_secret(&secrets, &identity).await?;
    let secret = found.name_any();
    let said = if generate.rotation.is_some() {
        let due = json!({ "metadata": { "annotations": { annotations::ROTATED_AT: LONG_AGO } } });
        secrets
            .patch(&secret, &PatchParams::default(), &Patch::Merge(due))
            .await
            .with_context(|| format!("cannot annotate Secret `{secret}`"))?;
        format!(
            "A rotation is due: Secret `{secret}` gets another password once the registry accepts it, and the old one is accepted for the overlap."
        )
    } else if arguments.without_overlap {
        secrets
            .delete(&secret, &DeleteParams::default().preconditions(exactly(&found)))
            .await
            .with_context(|| format!("cannot delete Secret `{secret}`"))?;
        format!("Secret `{secret}` was deleted: the operator makes another password, and the old one ends.")
    } else {
        bail!(
            "`{}` has no `password.generate.rotation`, so the old password would end at once; add one, or say --without-overlap",
            identity.name_any()
        );
    };
    output::answer(common.output, &json!({ "secret": secret, "message": said }), |_| {
        said.clone()
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn identity(cluster: &Cluster, name: &str) -> Result<RegistryIdentity> {
    let identities: Api<RegistryIdentity> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let found = identities
        .get_opt(name)
        .await
        .context("cannot read the RegistryIdentity")?;
    found.with_context(|| {
        format!(
            "there is no RegistryIdentity `{name}` in namespace `{}`",
            cluster.namespace
        )
    })
}

/// The Secret with the password that the operator has made for an identity. A Secret of somebody else's is never touched, whatever a
/// status names.
pub(crate) async fn generated_secret(secrets: &Api<Secret>, identity: &RegistryIdentity) -> Result<Secret> {
    let name = secret_of(identity)?;
    let found = secrets
        .get(&name)
        .await
        .with_context(|| format!("cannot read Secret `{name}`"))?;
    let is_its = |label: &str, value: &str| found.labels().get(label).is_some_and(|found| found == value);
    if found.type_.as_deref() != Some(secret_types::CREDENTIAL)
        || !is_its(labels::MANAGED_BY, labels::MANAGER)
        || !is_its(labels::IDENTITY, &identity.name_any())
    {
        bail!(
            "Secret `{name}` was not made by the operator for `{}`, so it is left alone",
            identity.name_any()
        );
    }
    Ok(found)
}

/// Exactly this version of an object.
fn exactly(secret: &Secret) -> Preconditions {
    Preconditions {
        uid: secret.uid(),
        resource_version: secret.resource_version(),
    }
}

/// The name of that Secret.
fn secret_of(identity: &RegistryIdentity) -> Result<String> {
    let secret = identity
        .status
        .as_ref()
        .and_then(|status| status.credentials_secret.clone());
    secret.with_context(|| {
        format!(
            "the status of `{}` names no Secret with a password: the operator makes none for it, or not yet",
            identity.name_any()
        )
    })
}

//! `login`: signs a client of registries in. The password goes from the Secret to the client's input and nowhere else.

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};

use crate::arguments::{self, Client, Common};
use crate::cluster::Cluster;
use crate::output;
use crate::rotate::{generated_secret, identity};

/// `login`
pub(crate) async fn run(common: &Common, login: &arguments::Login) -> Result<ExitCode> {
    let cluster = Cluster::connect(common).await?;
    let identity = identity(&cluster, &login.identity).await?;
    let host = match &login.host {
        Some(host) => host.clone(),
        None => external_host(&cluster, &identity.spec.registry_ref).await?,
    };
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let secret = generated_secret(&secrets, &identity).await?;
    let name = secret.name_any();
    let mut data = secret.data.unwrap_or_default();
    let mut value = |key: &str| {
        let found = data
            .remove(key)
            .with_context(|| format!("Secret `{name}` has no `{key}`"));
        found.map(|ByteString(bytes)| bytes)
    };
    let (username, password) = (value("username")?, value("password")?);
    let username = String::from_utf8(username).context("the username is no text")?;
    let words = words(login.client);
    let (program, before) = words.split_first().context("the client has a name")?;
    let (user_flag, password_flag) = match login.client {
        Client::Regctl => ("--user", "--pass-stdin"),
        _ => ("--username", "--password-stdin"),
    };
    let mut child = Command::new(program)
        .args(before)
        .args([user_flag, &username, password_flag, &host])
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!("cannot run `{program}`: is it installed? Another client can be named with --client")
        })?;
    let mut input = child.stdin.take().context("the client takes no input")?;
    input
        .write_all(&password)
        .context("the client does not take the password")?;
    drop(input);
    let status = child.wait().context("the client does not end")?;
    if !status.success() {
        bail!("`{}` did not sign in: {status}", words.join(" "));
    }
    output::complain(&format!(
        "`{}` signed in to {host} as `{username}`.",
        identity.name_any()
    ));
    Ok(ExitCode::SUCCESS)
}

/// How each client is asked.
fn words(client: Client) -> &'static [&'static str] {
    match client {
        Client::Docker => &["docker", "login"],
        Client::Podman => &["podman", "login"],
        Client::Crane => &["crane", "auth", "login"],
        Client::Skopeo => &["skopeo", "login"],
        Client::Helm => &["helm", "registry", "login"],
        Client::Regctl => &["regctl", "registry", "login"],
    }
}

/// Host and port under which a Registry is reached from outside.
async fn external_host(cluster: &Cluster, reference: &crds::RegistryReference) -> Result<String> {
    let elsewhere = Cluster {
        client: cluster.client.clone(),
        namespace: reference.namespace.clone().unwrap_or_else(|| cluster.namespace.clone()),
    };
    let registry = elsewhere.registry(Some(&reference.name)).await?;
    let url = registry
        .status
        .and_then(|status| status.endpoints)
        .and_then(|found| found.external);
    let url = url.context("the Registry says no URL from outside the cluster: name host and port with --host")?;
    Ok(url
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .to_owned())
}

//! TLS from a Secret: clients that trust the certificate get in, a new one is taken over without a restart, and one that is
//! of no use changes nothing.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::cluster::PATIENCE;
use e2e::http::Credentials;
use e2e::objects::{allow, authenticated, identity, on_node_port, password, registry};
use e2e::program::{Person, fail, succeed};
use e2e::{Cluster, registry as registries, wait_for, with_namespace};
use serde_json::{Value, json};

const PASSWORD: &str = "alice's password";
/// How long the kubelet takes at most to bring a changed Secret into a Pod, and somewhat more.
const MOUNTED: Duration = Duration::from_secs(180);

/// A certificate for 127.0.0.1 that vouches for itself, and its key.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        Ok(Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        })
    }

    fn data(&self) -> Value {
        json!({ "tls.crt": STANDARD.encode(&self.certificate), "tls.key": STANDARD.encode(&self.key) })
    }

    /// A login by somebody who trusts this certificate and no other.
    fn login(&self, address: &str) -> Result<(Person, Command)> {
        let person = Person::new()?;
        let trusted = person.home().join("trusted.pem");
        fs::write(&trusted, &self.certificate)?;
        let mut command = person.crane(&["catalog", address])?;
        let account = json!({ "auths": { address: { "auth": STANDARD.encode(format!("alice:{PASSWORD}")) } } });
        fs::write(person.home().join("config.json"), account.to_string())?;
        command.env("SSL_CERT_FILE", trusted);
        Ok((person, command))
    }

    async fn is_served(&self, address: &str) -> Result<()> {
        let (_person, command) = self.login(address)?;
        succeed(command).await.map(drop)
    }
}

async fn set_up(cluster: &Cluster, pair: &Pair) -> Result<String> {
    let mut main = on_node_port(registry("main"));
    main["spec"]["tls"] = json!({ "secretRef": { "name": "certificate" } });
    let objects = [
        main,
        password("alice", PASSWORD),
        identity("alice"),
        allow("all", authenticated(), "admin", &["**"]),
    ];
    cluster.apply(objects).await?;
    // The Secret may come last.
    cluster
        .wait_for_condition("Registry", "main", "CertificateReady", ("False", "SecretNotFound"))
        .await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "certificate" },
        "type": "kubernetes.io/tls", "data": pair.data(),
    });
    cluster.apply([secret]).await?;
    cluster
        .wait_for_condition("Registry", "main", "CertificateReady", ("True", "Ok"))
        .await?;
    wait_for("the Registry is ready with its certificate", MOUNTED, async || {
        let ready = cluster.condition("Registry", "main", "Ready").await?;
        ensure!(ready.status == "True", "{ready:?}");
        Ok(())
    })
    .await?;
    let service = cluster.get("Service", "main").await?;
    let port = service["spec"]["ports"][0]["nodePort"].as_u64();
    Ok(format!(
        "127.0.0.1:{}",
        port.context("the Service has no port on the node")?
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_from_a_secret_is_served_replaced_without_a_restart_and_kept_when_the_next_is_broken()
-> Result<()> {
    with_namespace("tls", async |cluster| {
        let (first, second) = (Pair::new()?, Pair::new()?);
        let address = set_up(&cluster, &first).await?;
        wait_for("the first certificate is served", PATIENCE, async || {
            first.is_served(&address).await
        })
        .await?;
        let (_person, stranger) = second.login(&address)?;
        fail(stranger).await?;
        let target = registries::Target {
            address: address.parse()?,
        };
        let plain = target.status("/v2/", &Credentials::None).await;
        ensure!(plain.is_err(), "plain HTTP is answered with {plain:?}");
        let conditions = cluster.conditions("Registry", "main").await?;
        ensure!(
            conditions.iter().all(|condition| condition.type_ != "Insecure"),
            "{conditions:?}"
        );
        let endpoint = cluster.get("Registry", "main").await?["status"]["endpoints"]["internal"].clone();
        ensure!(
            endpoint.as_str().is_some_and(|url| url.starts_with("https://")),
            "{endpoint}"
        );

        let before = registries::incarnation(&cluster, "main").await?;
        cluster
            .patch("Secret", "certificate", json!({ "data": second.data() }))
            .await?;
        wait_for("the second certificate is served", MOUNTED, async || {
            second.is_served(&address).await
        })
        .await?;

        let mismatched = json!({ "data": { "tls.key": STANDARD.encode(&first.key) } });
        cluster.patch("Secret", "certificate", mismatched).await?;
        cluster
            .wait_for_condition("Registry", "main", "CertificateReady", ("False", "InvalidCertificate"))
            .await?;
        let misspelt = json!({ "spec": { "tls": { "secretRef": { "name": "misspelt" } } } });
        cluster.patch("Registry", "main", misspelt).await?;
        cluster
            .wait_for_condition("Registry", "main", "CertificateReady", ("False", "SecretNotFound"))
            .await?;
        let deployment = cluster.get("Deployment", "main").await?;
        let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array();
        ensure!(
            volumes
                .into_iter()
                .flatten()
                .any(|volume| volume["secret"]["secretName"] == "certificate"),
            "Pods would be replaced by some without a certificate: {deployment}"
        );
        second.is_served(&address).await?;
        ensure!(
            registries::incarnation(&cluster, "main").await? == before,
            "the registry was started again"
        );
        Ok(())
    })
    .await
}

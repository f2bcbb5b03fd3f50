//! TLS from a Secret: clients that trust the certificate get in, a new one is taken over without a restart, and one that is
//! of no use changes nothing.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::certificates::{Authority, Pair};
use e2e::cluster::PATIENCE;
use e2e::http::Credentials;
use e2e::image::Image;
use e2e::objects::{allow, authenticated, identity, known_by, on_node_port, password, registry};
use e2e::program::{Person, fail, succeed};
use e2e::{Cluster, registry as registries, wait_for, with_namespace};
use serde_json::{Value, json};

const PASSWORD: &str = "alice's password";
/// How long the kubelet takes at most to bring a changed Secret into a Pod, and somewhat more.
const MOUNTED: Duration = Duration::from_secs(180);

/// A login by somebody who trusts this certificate and no other.
fn login(pair: &Pair, address: &str) -> Result<(Person, Command)> {
    let person = Person::new()?;
    let trusted = person.home().join("trusted.pem");
    fs::write(&trusted, &pair.certificate)?;
    let mut command = person.crane(&["catalog", address])?;
    let account = json!({ "auths": { address: { "auth": STANDARD.encode(format!("alice:{PASSWORD}")) } } });
    fs::write(person.home().join("config.json"), account.to_string())?;
    command.env("SSL_CERT_FILE", trusted);
    Ok((person, command))
}

async fn is_served(pair: &Pair, address: &str) -> Result<()> {
    let (_person, command) = login(pair, address)?;
    succeed(command).await.map(drop)
}

/// A folder as container tools want it: whom to trust, and the certificate of `name` with its key.
fn folder(authority: &Authority, person: &Person, name: &str, server: &Pair) -> Result<String> {
    let client = authority.client(name, server)?;
    let folder = person.home().join(name);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("ca.crt"), &server.certificate)?;
    fs::write(folder.join("client.cert"), &client.certificate)?;
    fs::write(folder.join("client.key"), &client.key)?;
    Ok(folder.display().to_string())
}

async fn set_up(cluster: &Cluster, pair: &Pair) -> Result<String> {
    let main = on_node_port(registry("main"));
    set_up_as(cluster, pair, main).await
}

async fn set_up_as(cluster: &Cluster, pair: &Pair, mut main: Value) -> Result<String> {
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
    cluster.apply([pair.secret("certificate")]).await?;
    cluster
        .wait_for_condition("Registry", "main", "CertificateReady", ("True", "Ok"))
        .await?;
    wait_for("the Registry is ready with its certificate", MOUNTED, async || {
        let ready = cluster.condition("Registry", "main", "Ready").await?;
        ensure!(ready.status == "True", "{ready:?}");
        Ok(())
    })
    .await?;
    Ok(registries::on_node(cluster, "main").await?.address.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_from_a_secret_is_served_replaced_without_a_restart_and_kept_when_the_next_is_broken()
-> Result<()> {
    with_namespace("tls", async |cluster| {
        let (first, second) = (Pair::new()?, Pair::new()?);
        let address = set_up(&cluster, &first).await?;
        wait_for("the first certificate is served", PATIENCE, async || {
            is_served(&first, &address).await
        })
        .await?;
        let (_person, stranger) = login(&second, &address)?;
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
            is_served(&second, &address).await
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
        is_served(&second, &address).await?;
        ensure!(
            registries::incarnation(&cluster, "main").await? == before,
            "the registry was started again"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_certificate_pushes_without_a_login_and_a_new_authority_ends_that() -> Result<()> {
    with_namespace("mtls", async |cluster| {
        let (server, authority) = (Pair::new()?, Authority::new("clients")?);
        let mut main = on_node_port(registry("main"));
        main["spec"]["auth"] = json!({
            "clientCertificates": { "authoritiesSecretRef": { "name": "clients" }, "mode": "Required" },
        });
        let subjects = json!([{ "commonName": "builder" }]);
        let builder = known_by(identity("builder"), "certificateSubjects", subjects);
        let mut domains = allow("domains", json!({ "any": "Everyone" }), "pull", &["shared/**"]);
        domains["spec"]["rules"][0]["when"] =
            json!("identity.certificate.dns_names.exists(n, n.glob('*.clients.example.com'))");
        cluster.apply([authority.secret("clients"), builder, domains]).await?;
        let address = set_up_as(&cluster, &server, main).await?;
        let person = Person::new()?;
        let layout = person.home().join("layout");
        Image::random(10_000).write_layout(&layout)?;
        let layout = format!("oci:{}:latest", layout.display());
        let push = |folder: &str, repository: &str| {
            let image = format!("docker://{address}/{repository}:v1");
            person.skopeo(&["copy", "--insecure-policy", "--dest-cert-dir", folder, &layout, &image])
        };
        let known = folder(&authority, &person, "builder", &server)?;
        let unknown = folder(&authority, &person, "somebody", &server)?;
        let foreign = Authority::new("foreign")?;
        let forged = folder(&foreign, &person, "forged", &server)?;
        wait_for("the first image is pushed", PATIENCE, async || {
            succeed(push(&known, "shared/app")).await.map(drop)
        })
        .await?;
        // Who is known only by what the certificate says may do what policies say of that.
        let image = format!("docker://{address}/shared/app:v1");
        let inspect = |folder: &str| person.skopeo(&["inspect", "--cert-dir", folder, &image]);
        succeed(inspect(&unknown)).await?;
        fail(push(&unknown, "shared/app")).await?;
        let refused = fail(inspect(&forged)).await?;
        ensure!(refused.contains("tls") || refused.contains("certificate"), "{refused}");

        cluster.apply([foreign.secret("clients")]).await?;
        wait_for("the old authority's certificates are refused", PATIENCE, async || {
            fail(inspect(&known)).await.map(drop)
        })
        .await?;
        succeed(inspect(&forged)).await?;
        // One that cannot be read leaves the last in force, and says so.
        let broken = json!({ "data": { "ca.crt": STANDARD.encode("nonsense") } });
        cluster.patch("Secret", "clients", broken).await?;
        let condition = cluster
            .wait_for_condition("Registry", "main", "ResolvedRefs", ("False", "InvalidAuthorities"))
            .await?;
        ensure!(condition.message.contains("still believed"), "{condition:?}");
        succeed(inspect(&forged)).await?;
        Ok(())
    })
    .await
}

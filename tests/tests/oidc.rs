//! OpenID Connect through the operator, with an issuer that everybody has: the API server, whose discovery document and keys are behind a
//! certificate of the cluster's own authority.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::cluster::{PATIENCE, text};
use e2e::http::Credentials;
use e2e::image::Image;
use e2e::objects::{allow, identity, known_by, on_node_port, registry};
use e2e::program::{Person, fail, succeed};
use e2e::{Cluster, registry as registries, undo_after, wait_for, with_namespace};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use serde_json::{Value, json};

const AUDIENCE: &str = "registry.example.com";

/// Lets whoever is not known read the issuer's keys, as clouds do.
fn discovery(namespace: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": format!("{namespace}-discovery") },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:service-account-issuer-discovery" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated" }],
    })
}

/// The cluster's authority in a Secret, as its owner would copy it.
async fn authority(cluster: &Cluster) -> Result<Value> {
    let mut pem = String::new();
    wait_for("the cluster publishes its authority", PATIENCE, async || {
        let published = cluster.get("ConfigMap", "kube-root-ca.crt").await?;
        pem = text(&published["data"]["ca.crt"]);
        Ok(())
    })
    .await?;
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "issuer-ca", "labels": { "wharfinger.dev/credential": "true" } },
        "data": { "ca.crt": STANDARD.encode(pem) },
    }))
}

/// What the API server calls itself in its tokens: where Pods reach it.
async fn issuer(cluster: &Cluster) -> Result<String> {
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), "default");
    let service = services.get("kubernetes").await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip);
    let address = address.context("the API server has no address in the cluster")?;
    Ok(format!("https://{address}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_an_issuer_sign_in_by_what_it_says_of_them() -> Result<()> {
    with_namespace("oidc", async |cluster| {
        let binding = format!("{}-discovery", cluster.namespace);
        cluster.apply([discovery(&cluster.namespace)]).await?;
        undo_after(sign_in(&cluster), async {
            cluster.delete("ClusterRoleBinding", &binding).await
        })
        .await
    })
    .await
}

async fn sign_in(cluster: &Cluster) -> Result<()> {
    let namespace = &cluster.namespace;
    let issuer = issuer(cluster).await?;
    let mut registry = on_node_port(registry("main"));
    registry["spec"]["auth"] = json!({
        "serviceAccountTokens": { "mode": "Disabled" },
        "oidc": [{
            "name": "cluster",
            "issuerURL": issuer,
            "audiences": [AUDIENCE],
            "requiredClaims": [{ "claim": "aud", "values": [AUDIENCE] }],
            "username": "claims['kubernetes.io'].serviceaccount.name",
            "groups": "[claims['kubernetes.io'].namespace]",
            "authoritiesSecretRef": { "name": "issuer-ca" },
        }],
    });
    let subject = format!("system:serviceaccount:{namespace}:release");
    let subjects = json!([{ "issuer": issuer, "subject": subject }]);
    let releaser = known_by(identity("releaser"), "oidcSubjects", subjects);
    let account = |name: &str| json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
    let mut by_claim = allow(
        "build",
        json!({ "group": format!("cluster:{namespace}") }),
        "push",
        &["ci/**"],
    );
    by_claim["spec"]["rules"][0]["when"] =
        json!("identity.oidc != null && identity.oidc.claims['kubernetes.io'].serviceaccount.name == 'build'");
    let by_subject = json!({ "oidcSubject": { "issuer": issuer, "subject": subject } });
    cluster
        .apply([
            authority(cluster).await?,
            registry,
            releaser,
            by_claim,
            allow("release", json!({ "identity": "releaser" }), "push", &["release/**"]),
            allow("notes", by_subject, "pull", &["notes/**"]),
            account("build"),
            account("release"),
            account("other"),
        ])
        .await?;
    cluster.wait_until_all_ready().await?;
    let address = registries::ready_on_node_port(cluster, "main").await?;
    let target = registries::ready(cluster, "main").await?;
    let token = async |account: &str| cluster.token(account, &[AUDIENCE]).await;

    let person = Person::new()?;
    let layout = person.home().join("layout");
    Image::random(100_000).write_layout(&layout)?;
    let layout = layout.display().to_string();
    let push = |repository: &str| person.crane(&["push", "--insecure", &layout, &format!("{address}/{repository}:v1")]);
    let build = token("build").await?;
    // The way of credential helpers: the issuer's name beside the token.
    succeed(person.crane(&["auth", "login", &address, "--username", "cluster", "--password", &build])?).await?;
    succeed(push("ci/app")?).await?;
    let refused = fail(push("release/app")?).await?;
    ensure!(refused.contains("403"), "{refused}");
    let release = Credentials::Bearer(token("release").await?);
    for (repository, status) in [("release/app", 404), ("notes/app", 404), ("ci/app", 403)] {
        let found = target.pull_status(&release, repository).await?;
        ensure!(found == status, "{repository}: {found}");
    }
    let other = Credentials::Bearer(token("other").await?);
    ensure!(target.pull_status(&other, "ci/app").await? == 403, "anybody pulls");
    // Neither a token for the API server nor one for another registry.
    for audiences in [&[][..], &["registry.other"]] {
        let token = Credentials::Bearer(cluster.token("build", audiences).await?);
        let status = target.status("/v2/", &token).await?;
        ensure!(status == 401, "{audiences:?}: {status}");
    }

    // A mistake in the settings leaves them as they were, and says where it is.
    let build = Credentials::Bearer(build);
    let broken = json!({ "spec": { "auth": { "oidc": [{
        "name": "cluster", "issuerURL": issuer, "audiences": [AUDIENCE],
        "requiredClaims": [{ "claim": "aud", "values": [AUDIENCE] }], "username": "claim.sub",
    }] } } });
    cluster.patch("Registry", "main", broken).await?;
    let condition = cluster
        .wait_for_condition("Registry", "main", "Accepted", ("False", "Invalid"))
        .await?;
    ensure!(
        condition
            .message
            .contains("spec.auth.oidc[cluster].username: line 1, column 1"),
        "{condition:?}"
    );
    ensure!(
        target.pull_status(&build, "ci/app").await? == 404,
        "a mistake has shut people out"
    );
    // The issuer is taken back, and with it everybody whom it knows.
    cluster
        .patch("Registry", "main", json!({ "spec": { "auth": { "oidc": null } } }))
        .await?;
    wait_for("tokens of the issuer are refused", PATIENCE, async || {
        for who in [&build, &release] {
            let status = target.status("/v2/", who).await?;
            ensure!(status == 401, "one is answered with {status}");
        }
        Ok(())
    })
    .await
}

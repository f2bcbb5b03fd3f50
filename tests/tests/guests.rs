//! A tenant of another namespace: what the owner of a Registry admits of theirs, and nothing else, for as long as the label is there.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::cluster::{PATIENCE, text};
use e2e::http::Credentials;
use e2e::image::Image;
use e2e::objects::{allow, authenticated, deny, generated, identity, in_groups, password, registry, user};
use e2e::{Cluster, registry as registries, wait_for, with_namespace};
use serde_json::{Value, json};

/// The same object, about `main` in another namespace.
fn of_home(mut object: Value, home: &Cluster) -> Value {
    let reference = json!({ "name": "main", "namespace": home.namespace });
    if object["kind"] == "AccessPolicy" {
        object["spec"]["targetRefs"] = json!([reference]);
    } else {
        object["spec"]["registryRef"] = reference;
    }
    object
}

fn label(value: &Value) -> Value {
    json!({ "metadata": { "labels": { "registry": value } } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_what_is_admitted_and_loses_it_with_the_label() -> Result<()> {
    with_namespace("host", async |home| {
        with_namespace("tenant", async |tenant| admit_and_shut_out(&home, &tenant).await).await
    })
    .await
}

async fn admit_and_shut_out(home: &Cluster, tenant: &Cluster) -> Result<()> {
    let prefix = format!("{}.", tenant.namespace);
    let own = format!("{}/**", tenant.namespace);
    let admitted = json!({ "selector": { "matchLabels": { "registry": home.namespace } } });
    let mut main = registry("main");
    main["spec"]["allowedIdentities"] = json!([{ "namespaces": admitted, "groups": ["guests"] }]);
    main["spec"]["allowedPolicies"] = json!([{
        "namespaces": admitted, "repositoryPrefixes": [tenant.namespace], "role": "maintain", "effects": ["Allow", "Deny"],
    }]);
    home.apply([
        main,
        password("alice", "alice's password"),
        identity("alice"),
        allow("alice", user("alice"), "admin", &["**"]),
        allow("guests", json!({ "group": "guests" }), "pull", &["public/**"]),
        allow("admins", json!({ "group": "admins" }), "admin", &["**"]),
    ])
    .await?;
    home.wait_until_all_ready().await?;
    let target = registries::ready(home, "main").await?;
    let alice = Credentials::basic("alice", "alice's password");

    // What a tenant tries: a good identity, one with a name and groups of others, one with a Secret that is not theirs, and policies
    // about everything.
    let mut ci = of_home(in_groups(generated("ci"), &["guests", "admins"]), home);
    ci["spec"]["pullSecrets"] = json!([{ "name": "pull", "hosts": ["registry.example"] }]);
    let mut squatter = of_home(identity("squatter"), home);
    squatter["spec"]["username"] = json!("alice");
    let mut thief = of_home(identity("thief"), home);
    thief["spec"]["password"]["secretKeyRef"]["name"] = json!("alice-password");
    let everything = ["get-manifest", "put-manifest", "list-catalog", "get-blob"];
    tenant
        .apply([
            password("squatter", "squatted"),
            ci,
            squatter,
            thief,
            of_home(allow("greedy", authenticated(), "admin", &["**"]), home),
            of_home(deny("spite", user("alice"), &everything, &["**"]), home),
        ])
        .await?;
    for name in ["ci", "squatter"] {
        tenant
            .wait_for_condition("RegistryIdentity", name, "Accepted", ("False", "NotAllowedByRegistry"))
            .await?;
    }
    ensure!(
        tenant.find("Secret", "ci-credentials").await?.is_none(),
        "a password was made for somebody who is not admitted"
    );

    // The owner of the cluster admits the tenant.
    let set = async |value: Value| home.patch("Namespace", &tenant.namespace, label(&value)).await;
    set(json!(home.namespace)).await?;
    wait_for("the tenant can sign in", PATIENCE, async || {
        let ready = tenant.condition("RegistryIdentity", "ci", "Ready").await?;
        ensure!(ready.status == "True", "{ready:?}");
        Ok(())
    })
    .await?;
    let status = async |name: &str| -> Result<String> {
        Ok(text(&tenant.get("RegistryIdentity", name).await?["status"]["username"]))
    };
    ensure!(status("ci").await? == format!("{prefix}ci"), "{}", status("ci").await?);
    let secret = tenant.get("Secret", "ci-credentials").await?;
    let value =
        |field: &str| -> Result<String> { Ok(String::from_utf8(STANDARD.decode(text(&secret["data"][field]))?)?) };
    let (username, generated) = (value("username")?, value("password")?);
    ensure!(username == format!("{prefix}ci"), "{username}");
    target.wait_for_login(&username, &generated, 200).await?;
    let ci = Credentials::basic(&username, &generated);
    Image::random(10_000)
        .push(target, &ci, &format!("{}/app", tenant.namespace), "v1")
        .await?;
    for (repository, want) in [
        ("public/app", 404),
        ("private/app", 403),
        (tenant.namespace.as_str(), 403),
    ] {
        let found = target.pull_status(&ci, repository).await?;
        ensure!(found == want, "{repository}: {found}");
    }
    wait_for("the pull secret is there", PATIENCE, async || {
        tenant.get("Secret", "pull").await.map(|_| ())
    })
    .await?;
    // A name of somebody at home is not theirs, nor is a Secret of somebody at home.
    ensure!(
        target.login("alice", "squatted").await? == 401,
        "alice is somebody else"
    );
    ensure!(
        target.login(&format!("{prefix}alice"), "squatted").await? == 200,
        "the prefix is not put before the name"
    );
    tenant
        .wait_for_condition("RegistryIdentity", "thief", "ResolvedRefs", ("False", "SecretNotFound"))
        .await?;
    // The Deny of everything acts below the tenant's prefix and nowhere else.
    for (repository, want) in [("private/app", 404), (&own.replace("**", "app"), 403)] {
        let found = target.pull_status(&alice, repository).await?;
        ensure!(found == want, "{repository}: {found}");
    }

    // The label goes, and everything with it.
    set(Value::Null).await?;
    target.wait_for_login(&username, &generated, 401).await?;
    ensure!(
        target.pull_status(&alice, &own.replace("**", "app")).await? == 404,
        "the Deny outlives the label"
    );
    tenant
        .wait_for_condition("RegistryIdentity", "ci", "Accepted", ("False", "NotAllowedByRegistry"))
        .await?;
    Ok(())
}

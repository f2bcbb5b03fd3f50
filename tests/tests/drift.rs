//! What somebody else does to a Registry's objects is undone, and what somebody else owns is left alone.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::{PATIENCE, text};
use e2e::http::Credentials;
use e2e::objects::{allow, authenticated, identity, password, registry};
use e2e::program::kubectl;
use e2e::{Cluster, registry as registries, wait_for, with_namespace};
use serde_json::{Value, json};

/// How soon a repair is there; no watch has to be renewed for it.
const SOON: Duration = Duration::from_secs(20);

/// What of an object people meant when they wrote it.
fn meaning(object: &Value) -> Value {
    let mut meaning = object.clone();
    let metadata =
        json!({ "labels": object["metadata"]["labels"], "ownerReferences": object["metadata"]["ownerReferences"] });
    meaning["metadata"] = metadata;
    if let Value::Object(fields) = &mut meaning {
        // A list leaves out what all of its objects have in common.
        for field in ["status", "apiVersion", "kind"] {
            fields.remove(field);
        }
    }
    // What the API server hands out anew.
    if let Some(spec) = meaning.get_mut("spec").and_then(Value::as_object_mut) {
        for field in ["clusterIP", "clusterIPs"] {
            spec.remove(field);
        }
    }
    meaning
}

/// Everything of the Registry `main` that the operator made, by kind and name.
async fn owned(cluster: &Cluster) -> Result<Vec<(&'static str, String, Value)>> {
    let mut owned = Vec::new();
    for kind in [
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "ConfigMap",
        "Service",
        "Deployment",
    ] {
        for object in cluster.list(kind).await? {
            if object["metadata"]["labels"]["wharfinger.dev/registry"] == "main" {
                owned.push((kind, text(&object["metadata"]["name"]), object));
            }
        }
    }
    ensure!(owned.len() == 6, "there are {} objects", owned.len());
    Ok(owned)
}

async fn wait_until_as_before(cluster: &Cluster, kind: &str, name: &str, before: &Value) -> Result<()> {
    let wanted = meaning(before);
    wait_for(&format!("{kind} {name} is what it was"), SOON, async || {
        let now = meaning(&cluster.get(kind, name).await?);
        ensure!(now == wanted, "it is {now}, and was {wanted}");
        Ok(())
    })
    .await
}

async fn set_up(cluster: &Cluster) -> Result<()> {
    let policy = allow("all", authenticated(), "push", &["**"]);
    cluster
        .apply([
            registry("main"),
            password("alice", "alice's password"),
            identity("alice"),
            policy,
        ])
        .await?;
    cluster.wait_until_all_ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_comes_back() -> Result<()> {
    with_namespace("deleted-drift", async |cluster| {
        set_up(&cluster).await?;
        for (kind, name, before) in owned(&cluster).await? {
            cluster.delete_and_wait(kind, &name).await?;
            wait_until_as_before(&cluster, kind, &name, &before).await?;
        }
        cluster.wait_until_all_ready().await?;
        let target = registries::ready(&cluster, "main").await?;
        let alice = Credentials::basic("alice", "alice's password");
        wait_for("alice can push again", PATIENCE, async || {
            let status = target.push_status(&alice, "app").await?;
            ensure!(status == 202, "she gets {status}");
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_edited_is_put_right() -> Result<()> {
    with_namespace("edited-drift", async |cluster| {
        set_up(&cluster).await?;
        let namespace = cluster.namespace.clone();
        let every_secret = json!({ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] });
        let role = cluster.get("Role", "main-registry").await?;
        let more_rules = json!({ "rules": [role["rules"][0], every_secret] });
        let subject = json!({ "kind": "ServiceAccount", "name": "default", "namespace": namespace });
        let binding = cluster.get("RoleBinding", "main-registry").await?;
        let more_subjects = json!({ "subjects": [binding["subjects"][0], subject] });
        let edits = [
            ("Role", "main-registry", json!({ "rules": [] })),
            ("Role", "main-registry", more_rules),
            ("RoleBinding", "main-registry", more_subjects),
            (
                "ServiceAccount",
                "main-registry",
                json!({ "automountServiceAccountToken": true }),
            ),
            (
                "Service",
                "main",
                json!({ "spec": { "selector": { "wharfinger.dev/registry": "other" } } }),
            ),
            (
                "Service",
                "main",
                json!({ "spec": { "selector": { "more": "than-there-was" } } }),
            ),
            (
                "Service",
                "main",
                json!({ "metadata": { "labels": { "app.kubernetes.io/instance": "other" } } }),
            ),
            ("Deployment", "main", json!({ "spec": { "replicas": 0 } })),
            (
                "Deployment",
                "main",
                json!({ "spec": { "strategy": { "type": "RollingUpdate" } } }),
            ),
        ];
        let mut stayed = Vec::new();
        for (kind, name, edit) in edits {
            let before = cluster.get(kind, name).await?;
            cluster.patch(kind, name, edit.clone()).await?;
            if let Err(error) = wait_until_as_before(&cluster, kind, name, &before).await {
                stayed.push(format!("{edit}: {error:#}"));
                // The next edit is another matter.
                cluster.delete_and_wait(kind, name).await?;
                wait_until_as_before(&cluster, kind, name, &before).await?;
            }
        }
        ensure!(stayed.is_empty(), "edits that stayed: {stayed:#?}");
        let before = cluster.get("Deployment", "main").await?;
        let image = "registry=wharfinger.local/busybox:1";
        kubectl(&["--namespace", &namespace, "set", "image", "deployment/main", image]).await?;
        wait_until_as_before(&cluster, "Deployment", "main", &before).await?;
        cluster.wait_until_all_ready().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_add_to_an_object_stays() -> Result<()> {
    with_namespace("added", async |cluster| {
        set_up(&cluster).await?;
        let addition = json!({ "metadata": { "annotations": { "example.com/owner": "somebody" }, "labels": { "example.com/team": "a" } } });
        for (kind, name, _) in owned(&cluster).await? {
            if kind != "ConfigMap" {
                cluster.patch(kind, &name, addition.clone()).await?;
            }
        }
        // A repair of the very same objects must not take it away.
        cluster.patch("Role", "main-registry", json!({ "rules": [] })).await?;
        cluster.patch("Deployment", "main", json!({ "spec": { "revisionHistoryLimit": 7 } })).await?;
        wait_for("both are put right", PATIENCE, async || {
            let (role, deployment) = (cluster.get("Role", "main-registry").await?, cluster.get("Deployment", "main").await?);
            ensure!(role["rules"] != json!([]), "the Role has no rules");
            ensure!(deployment["spec"]["revisionHistoryLimit"] != 7, "the Deployment is as it was edited");
            Ok(())
        })
        .await?;
        for (kind, name, object) in owned(&cluster).await? {
            let metadata = &object["metadata"];
            let stays = metadata["annotations"]["example.com/owner"] == "somebody" && metadata["labels"]["example.com/team"] == "a";
            ensure!(stays || kind == "ConfigMap", "{kind} {name} lost what somebody added: {metadata}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_somebody_else_under_a_name_that_is_needed_is_a_conflict_and_is_left_alone() -> Result<()> {
    with_namespace("conflict", async |cluster| {
        let theirs = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "main" },
            "spec": { "selector": { "app": "theirs" }, "ports": [{ "port": 8080 }] },
        });
        cluster.apply([theirs]).await?;
        let before = cluster.get("Service", "main").await?;
        set_up_without_waiting(&cluster).await?;
        let accepted = cluster
            .wait_for_condition("Registry", "main", "Accepted", ("False", "Conflict"))
            .await?;
        ensure!(accepted.message.contains("Service `main`"), "{accepted:?}");
        assert_eq!(
            cluster.get("Service", "main").await?["metadata"]["resourceVersion"],
            before["metadata"]["resourceVersion"]
        );
        cluster.delete("Service", "main").await?;
        cluster.wait_until_all_ready().await?;
        let target = registries::ready(&cluster, "main").await?;
        target.wait_for_login("alice", "alice's password", 200).await
    })
    .await
}

async fn set_up_without_waiting(cluster: &Cluster) -> Result<()> {
    cluster
        .apply([
            registry("main"),
            password("alice", "alice's password"),
            identity("alice"),
        ])
        .await
}

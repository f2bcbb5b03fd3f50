//! What a Registry says of itself.

use anyhow::{Result, ensure};
use e2e::cluster::PATIENCE;
use e2e::http::Credentials;
use e2e::objects::{allow, authenticated, identity, password, registry, registry_on_volume};
use e2e::{Cluster, Target, registry as registries, wait_for, with_namespace};
use serde_json::json;

/// A registry, alice, and a policy by which everybody who signed in may push.
async fn set_up(cluster: &Cluster) -> Result<(Target, Credentials)> {
    let objects = [
        registry("main"),
        password("alice", "alice's password"),
        identity("alice"),
        allow("everybody", authenticated(), "push", &["**"]),
    ];
    cluster.apply(objects).await?;
    cluster.wait_until_all_ready().await?;
    let target = registries::ready(cluster, "main").await?;
    Ok((target, Credentials::basic("alice", "alice's password")))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_identities_and_policies_the_registry_says_so_and_a_refusal_names_user_action_and_repository()
-> Result<()> {
    with_namespace("no-policies", async |cluster| {
        cluster.apply([registry("main")]).await?;
        let target = registries::ready(&cluster, "main").await?;
        for type_ in ["NoIdentities", "NoPolicies", "Insecure", "Ephemeral"] {
            ensure!(
                cluster.condition("Registry", "main", type_).await?.status == "True",
                "{type_} is not True"
            );
        }
        cluster
            .apply([password("alice", "alice's password"), identity("alice")])
            .await?;
        cluster.wait_until_all_ready().await?;
        let alice = Credentials::basic("alice", "alice's password");
        assert_eq!(target.login("alice", "alice's password").await?, 200);
        let refused = target.get("/v2/team-a/app/manifests/v1", &alice).await?;
        assert_eq!(refused.status, 403);
        let error = refused.json()?["errors"][0].clone();
        assert_eq!(error["code"], "DENIED");
        for word in ["alice", "get-manifest", "team-a/app"] {
            ensure!(refused.text().contains(word), "`{word}` is not in {error}");
        }
        wait_for("NoIdentities is gone", PATIENCE, async || {
            let conditions = cluster.conditions("Registry", "main").await?;
            ensure!(
                !conditions.iter().any(|condition| condition.type_ == "NoIdentities"),
                "{conditions:?}"
            );
            Ok(())
        })
        .await?;
        let told = cluster.condition("Registry", "main", "NoPolicies").await?;
        ensure!(
            told.status == "True" && told.message.contains("AccessPolicy"),
            "{told:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_last_policy_leaves_everything_denied() -> Result<()> {
    with_namespace("default-deny", async |cluster| {
        let (target, alice) = set_up(&cluster).await?;
        assert_eq!(target.push_status(&alice, "app").await?, 202);
        cluster.delete("AccessPolicy", "everybody").await?;
        wait_for("alice is refused", PATIENCE, async || {
            let status = target.push_status(&alice, "app").await?;
            ensure!(status == 403, "she gets {status}");
            Ok(())
        })
        .await?;
        assert_eq!(target.pull_status(&alice, "app").await?, 403);
        assert_eq!(target.pull_status(&Credentials::None, "app").await?, 401);
        cluster
            .wait_for_condition("Registry", "main", "NoPolicies", ("True", "None"))
            .await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_does_not_come_is_explained_in_the_cluster_s_own_words() -> Result<()> {
    with_namespace("no-volume", async |cluster| {
        let mut main = registry_on_volume("main");
        main["spec"]["storage"]["persistentVolumeClaim"]["storageClassName"] = json!("nowhere");
        let mut other = registry_on_volume("other");
        other["spec"]["storage"]["persistentVolumeClaim"] = json!({ "claimName": "absent" });
        cluster.apply([main, other]).await?;
        wait_for("StorageReady quotes the event of the claim", PATIENCE, async || {
            let storage = cluster.condition("Registry", "main", "StorageReady").await?;
            let events = cluster.list("Event").await?;
            let mut about = events
                .iter()
                .filter(|event| event["involvedObject"]["name"] == "main-data");
            let quoted = about.any(|event| {
                event["message"]
                    .as_str()
                    .is_some_and(|said| storage.message.contains(said))
            });
            ensure!(
                quoted && storage.status == "False" && storage.message.contains("nowhere"),
                "{storage:?}"
            );
            Ok(())
        })
        .await?;
        cluster
            .wait_for_condition("Registry", "main", "Ready", ("False", "ClaimPending"))
            .await?;
        let resolved = cluster
            .wait_for_condition("Registry", "other", "ResolvedRefs", ("False", "ClaimNotFound"))
            .await?;
        ensure!(resolved.message.contains("`absent`"), "{resolved:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_registry_is_left_as_it_is_until_it_is_paused_no_more() -> Result<()> {
    with_namespace("paused", async |cluster| {
        let (target, _) = set_up(&cluster).await?;
        cluster
            .patch("Registry", "main", json!({ "spec": { "paused": true } }))
            .await?;
        cluster
            .wait_for_condition("Registry", "main", "Paused", ("True", "Paused"))
            .await?;
        let access = cluster.get("Secret", "main-access").await?;
        cluster
            .patch("RegistryIdentity", "alice", json!({ "spec": { "disabled": true } }))
            .await?;
        // Nobody who revokes may be told that it is done before it is.
        for (kind, name) in [("RegistryIdentity", "alice"), ("Registry", "main")] {
            cluster
                .wait_for_condition(kind, name, "Ready", ("False", "Paused"))
                .await?;
        }
        let programmed = cluster.condition("RegistryIdentity", "alice", "Programmed").await?;
        ensure!(
            programmed.status == "False",
            "what is not enforced is called enforced: {programmed:?}"
        );
        assert_eq!(
            target.login("alice", "alice's password").await?,
            200,
            "a paused Registry follows"
        );
        assert_eq!(cluster.get("Secret", "main-access").await?["data"], access["data"]);
        cluster
            .patch("Registry", "main", json!({ "spec": { "paused": null } }))
            .await?;
        target.wait_for_login("alice", "alice's password", 401).await?;
        cluster
            .wait_for_condition("RegistryIdentity", "alice", "Ready", ("False", "Disabled"))
            .await?;
        cluster
            .wait_for_condition("Registry", "main", "Ready", ("True", "Ok"))
            .await?;
        ensure!(
            cluster.condition("Registry", "main", "Paused").await.is_err(),
            "it still says that it is paused"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_allowed_changes_nothing_and_identities_are_still_followed() -> Result<()> {
    with_namespace("image", async |cluster| {
        let (target, _) = set_up(&cluster).await?;
        let before = registries::incarnation(&cluster, "main").await?;
        cluster
            .patch(
                "Registry",
                "main",
                json!({ "spec": { "image": "docker.io/somebody/registry:1" } }),
            )
            .await?;
        let accepted = cluster
            .wait_for_condition("Registry", "main", "Accepted", ("False", "ImageNotAllowed"))
            .await?;
        ensure!(
            accepted.message.contains("docker.io/somebody/registry:1"),
            "{accepted:?}"
        );
        cluster
            .apply([password("bob", "bob's password"), identity("bob")])
            .await?;
        target.wait_for_login("bob", "bob's password", 200).await?;
        cluster
            .wait_for_condition("RegistryIdentity", "bob", "Ready", ("True", "Ok"))
            .await?;
        assert_eq!(registries::incarnation(&cluster, "main").await?, before);
        cluster
            .patch("Registry", "main", json!({ "spec": { "image": null } }))
            .await?;
        cluster
            .wait_for_condition("Registry", "main", "Ready", ("True", "Ok"))
            .await?;
        assert_eq!(registries::incarnation(&cluster, "main").await?, before);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_of_no_replicas_stops_and_comes_back_with_what_changed_meanwhile() -> Result<()> {
    with_namespace("stopped", async |cluster| {
        let (target, _) = set_up(&cluster).await?;
        cluster
            .patch("Registry", "main", json!({ "spec": { "replicas": 0 } }))
            .await?;
        cluster
            .wait_for_condition("Registry", "main", "Ready", ("False", "ScaledToZero"))
            .await?;
        wait_for("its Pod is gone", PATIENCE, async || {
            let pods = cluster.list("Pod").await?;
            ensure!(pods.is_empty(), "there are {}", pods.len());
            Ok(())
        })
        .await?;
        cluster
            .wait_for_condition("Registry", "main", "Programmed", ("False", "NoReplicas"))
            .await?;
        cluster
            .patch("RegistryIdentity", "alice", json!({ "spec": { "disabled": true } }))
            .await?;
        cluster
            .apply([password("bob", "bob's password"), identity("bob")])
            .await?;
        cluster
            .wait_for_condition("RegistryIdentity", "bob", "Programmed", ("False", "NoReplicas"))
            .await?;
        cluster
            .patch("Registry", "main", json!({ "spec": { "replicas": 1 } }))
            .await?;
        cluster
            .wait_for_condition("Registry", "main", "Ready", ("True", "Ok"))
            .await?;
        target.wait_for_login("bob", "bob's password", 200).await?;
        assert_eq!(target.login("alice", "alice's password").await?, 401);
        Ok(())
    })
    .await
}

//! What becomes of a volume when its Registry goes.

use anyhow::{Result, ensure};
use e2e::cluster::PATIENCE;
use e2e::http::Credentials;
use e2e::image::Image;
use e2e::objects::{allow, authenticated, identity, password, registry_on_volume};
use e2e::{Cluster, registry as registries, wait_for, with_namespace};
use serde_json::json;

async fn gone(cluster: &Cluster, kind: &str, name: &str) -> Result<()> {
    wait_for(&format!("{kind} {name} is gone"), PATIENCE, async || {
        ensure!(cluster.find(kind, name).await?.is_none(), "it is still there");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_outlives_its_registry_and_the_next_one_of_that_name_has_the_images() -> Result<()> {
    with_namespace("retained", async |cluster| {
        let policy = allow("all", authenticated(), "push", &["**"]);
        cluster
            .apply([
                registry_on_volume("main"),
                password("alice", "alice's password"),
                identity("alice"),
                policy,
            ])
            .await?;
        cluster.wait_until_all_ready().await?;
        let target = registries::ready(&cluster, "main").await?;
        let alice = Credentials::basic("alice", "alice's password");
        let image = Image::random(50_000);
        image.push(target, &alice, "team-a/app", "v1").await?;
        let claim = cluster.get("PersistentVolumeClaim", "main-data").await?;

        cluster.delete("Registry", "main").await?;
        for (kind, name) in [
            ("Deployment", "main"),
            ("Service", "main"),
            ("Secret", "main-access"),
            ("Secret", "main-state"),
            ("Role", "main-registry"),
        ] {
            gone(&cluster, kind, name).await?;
        }
        cluster
            .wait_for_condition("RegistryIdentity", "alice", "Ready", ("False", "RegistryNotFound"))
            .await?;
        cluster
            .wait_for_condition("AccessPolicy", "all", "Ready", ("False", "RegistryNotFound"))
            .await?;
        wait_for("its Pods are gone", PATIENCE, async || {
            ensure!(cluster.list("Pod").await?.is_empty(), "one is still there");
            Ok(())
        })
        .await?;

        cluster.apply([registry_on_volume("main")]).await?;
        cluster.wait_until_all_ready().await?;
        let target = registries::ready(&cluster, "main").await?;
        let again = cluster.get("PersistentVolumeClaim", "main-data").await?;
        assert_eq!(
            claim["metadata"]["uid"], again["metadata"]["uid"],
            "it is another volume"
        );
        image.pull(target, &alice, "team-a/app", "v1").await?;
        image.pull(target, &alice, "team-a/app", &image.digest()).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_to_be_deleted_goes_with_its_registry() -> Result<()> {
    with_namespace("deleted", async |cluster| {
        let mut main = registry_on_volume("main");
        main["spec"]["storage"]["persistentVolumeClaim"]["retention"] = json!("Delete");
        cluster.apply([main]).await?;
        registries::ready(&cluster, "main").await?;
        cluster.delete("Registry", "main").await?;
        gone(&cluster, "PersistentVolumeClaim", "main-data").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_somebody_else_is_left_alone_unless_the_registry_names_it() -> Result<()> {
    with_namespace("claims", async |cluster| {
        let claim = |name: &str| {
            json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": name },
                "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
            })
        };
        let mut own = registry_on_volume("own");
        own["spec"]["storage"]["persistentVolumeClaim"] = json!({ "claimName": "theirs" });
        cluster.apply([claim("main-data"), claim("theirs")]).await?;
        cluster.apply([registry_on_volume("main"), own]).await?;
        let accepted = cluster
            .wait_for_condition("Registry", "main", "Accepted", ("False", "Conflict"))
            .await?;
        ensure!(accepted.message.contains("`main-data`"), "{accepted:?}");
        ensure!(
            cluster.get("PersistentVolumeClaim", "main-data").await?["metadata"]["labels"].is_null(),
            "it was taken over"
        );
        registries::ready(&cluster, "own").await?;
        cluster.delete("Registry", "own").await?;
        gone(&cluster, "Deployment", "own").await?;
        ensure!(
            cluster.find("PersistentVolumeClaim", "theirs").await?.is_some(),
            "a claim of somebody else was deleted"
        );
        Ok(())
    })
    .await
}

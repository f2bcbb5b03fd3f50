//! Registries know nothing of each other, and run where the strictest Pod standard is enforced.

use anyhow::{Context, Result, ensure};
use e2e::cluster::PATIENCE;
use e2e::http::Credentials;
use e2e::image::Image;
use e2e::objects::{about, allow, authenticated, identity, password, registry, registry_on_volume};
use e2e::{registry as registries, wait_for, with_strict_namespace};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn two_registries_side_by_side_share_neither_users_nor_tokens_nor_images() -> Result<()> {
    with_strict_namespace("isolation", async |cluster| {
        let loose = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "loose" },
            "spec": { "containers": [{ "name": "c", "image": "wharfinger.local/busybox:1" }] } });
        let refused = cluster
            .apply([loose])
            .await
            .err()
            .context("the namespace enforces nothing")?;
        ensure!(format!("{refused:#}").contains("restricted"), "{refused:#}");

        let named = |object: &str, registry: &str| {
            let mut identity = about(identity(object), registry);
            identity["spec"]["username"] = json!("alice");
            identity
        };
        let objects = [
            registry_on_volume("main"),
            registry("other"),
            password("one", "the first password"),
            password("two", "the second password"),
            named("one", "main"),
            named("two", "other"),
            allow("here", authenticated(), "push", &["**"]),
            about(allow("there", authenticated(), "push", &["**"]), "other"),
        ];
        cluster.apply(objects).await?;
        cluster.wait_until_all_ready().await?;
        let (main, other) = (
            registries::ready(&cluster, "main").await?,
            registries::ready(&cluster, "other").await?,
        );
        let (first, second) = (
            Credentials::basic("alice", "the first password"),
            Credentials::basic("alice", "the second password"),
        );

        for (target, own, foreign) in [(main, &first, &second), (other, &second, &first)] {
            assert_eq!(target.status("/v2/", own).await?, 200);
            assert_eq!(target.status("/v2/", foreign).await?, 401);
            assert_eq!(target.status("/token?service=any", foreign).await?, 401);
        }
        let (here, there) = (
            main.token(&first, "app", "pull,push").await?,
            other.token(&second, "app", "pull,push").await?,
        );
        for (target, own, foreign) in [(main, &here, &there), (other, &there, &here)] {
            assert_eq!(target.pull_status(own, "app").await?, 404);
            assert_eq!(target.pull_status(foreign, "app").await?, 401);
            assert_eq!(target.push_status(foreign, "app").await?, 401);
        }
        let image = Image::random(10_000);
        image.push(main, &here, "app", "v1").await?;
        image.pull(main, &here, "app", "v1").await?;
        assert_eq!(other.status("/v2/app/manifests/v1", &there).await?, 404);

        cluster.delete("Registry", "main").await?;
        wait_for("the first registry is gone", PATIENCE, async || {
            ensure!(
                cluster.find("Deployment", "main").await?.is_none(),
                "its Deployment is still there"
            );
            Ok(())
        })
        .await?;
        assert_eq!(
            other.pull_status(&there, "app").await?,
            404,
            "the other one went with it"
        );
        Ok(())
    })
    .await
}

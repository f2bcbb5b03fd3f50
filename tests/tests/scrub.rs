//! The guide's way to repair a store in a cluster, followed as it stands there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use e2e::cluster::{PATIENCE, documents, text};
use e2e::http::Credentials;
use e2e::image::Image;
use e2e::objects::{allow, authenticated, identity, password, registry_on_volume};
use e2e::{Cluster, registry as registries, wait_for, with_strict_namespace};
use serde_json::{Value, json};

const GUIDE: &str = include_str!("../../docs/guide/operations.md");
const REPOSITORY: &str = "team-a/app";

/// What the guide calls `scrub.yaml`, with the image that this cluster has.
fn scrub_yaml(image: &str) -> Result<Vec<Value>> {
    let (_, rest) = GUIDE
        .split_once("```yaml\n# scrub.yaml\n")
        .context("the guide has no `scrub.yaml`")?;
    let (yaml, _) = rest.split_once("```").context("`scrub.yaml` has no end")?;
    ensure!(
        yaml.contains("image: wharfinger/registry "),
        "another image stands in the guide"
    );
    documents(&yaml.replace("image: wharfinger/registry ", &format!("image: {image} ")))
}

/// Where a claim's volume is on this machine.
async fn volume(cluster: &Cluster, claim: &str) -> Result<PathBuf> {
    let claim = cluster.get("PersistentVolumeClaim", claim).await?;
    let volume = cluster
        .get("PersistentVolume", &text(&claim["spec"]["volumeName"]))
        .await?;
    let path = ["hostPath", "local"].map(|kind| text(&volume["spec"][kind]["path"]));
    let path = path.into_iter().find(|path| path.starts_with('/'));
    Ok(path.context("the volume has no path")?.into())
}

/// Changes one byte of a blob.
fn damage(volume: &Path, digest: &str) -> Result<()> {
    let hex = digest.trim_start_matches("sha256:");
    let path = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    let path = volume.join(path);
    let mut content = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    content[0] ^= 1;
    Ok(fs::write(&path, content)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_repaired_as_the_guide_says() -> Result<()> {
    with_strict_namespace("scrub", async |cluster| {
        let policy = allow("all", authenticated(), "push", &["**"]);
        let alice = [password("alice", "alice's password"), identity("alice")];
        cluster.apply([registry_on_volume("main"), policy]).await?;
        cluster.apply(alice).await?;
        cluster.wait_until_all_ready().await?;
        let target = registries::ready(&cluster, "main").await?;
        let alice = Credentials::basic("alice", "alice's password");
        let (whole, damaged) = (Image::random(10_000), Image::random(10_000));
        whole.push(target, &alice, REPOSITORY, "whole").await?;
        damaged.push(target, &alice, REPOSITORY, "damaged").await?;
        let pod = registries::pod(&cluster, "main").await?;
        let image = text(&pod["spec"]["containers"][0]["image"]);

        cluster
            .patch("Registry", "main", json!({ "spec": { "replicas": 0 } }))
            .await?;
        wait_for("the Pod is gone", PATIENCE, async || {
            ensure!(cluster.list("Pod").await?.is_empty(), "it is still there");
            Ok(())
        })
        .await?;
        damage(&volume(&cluster, "main-data").await?, &damaged.digest())?;
        let objects = scrub_yaml(&image)?;
        cluster.apply(objects.clone()).await?;
        // The Job fails because something was damaged.
        wait_for("the Job has ended", PATIENCE, async || {
            let job = cluster.get("Job", "scrub").await?;
            ensure!(job["status"]["failed"] == 1, "{}", job["status"]);
            Ok(())
        })
        .await?;
        let pods = cluster.list("Pod").await?;
        let pod = pods.first().context("the Job has no Pod")?;
        let log = cluster.log(&text(&pod["metadata"]["name"]), false).await?;
        ensure!(log.contains("damaged:") && log.contains(&damaged.digest()), "{log}");
        let code = &pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"];
        ensure!(code == 1, "it ended with {code}");
        for object in objects {
            cluster
                .delete(&text(&object["kind"]), &text(&object["metadata"]["name"]))
                .await?;
        }

        cluster
            .patch("Registry", "main", json!({ "spec": { "replicas": 1 } }))
            .await?;
        let target = registries::ready(&cluster, "main").await?;
        whole.pull(target, &alice, REPOSITORY, "whole").await?;
        let path = format!("/v2/{REPOSITORY}/manifests/damaged");
        let status = target.status(&path, &alice).await?;
        ensure!(status == 404, "what was moved aside is answered with {status}");
        damaged.push(target, &alice, REPOSITORY, "damaged").await?;
        damaged.pull(target, &alice, REPOSITORY, "damaged").await
    })
    .await
}

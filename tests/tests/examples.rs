//! What people copy works.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{PATIENCE, documents, text};
use e2e::{environment, wait_for, with_namespace};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn every_example_becomes_ready() -> Result<()> {
    let folder = environment::repository("examples");
    let mut tried = 0;
    for entry in fs::read_dir(&folder).with_context(|| format!("no folder `{}`", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let objects = documents(&fs::read_to_string(&path)?).with_context(|| format!("`{}`", path.display()))?;
        with_namespace("example", async |cluster| {
            let here = objects.into_iter().map(|mut object| {
                object["metadata"]["namespace"] = json!(cluster.namespace);
                object
            });
            cluster.apply(here).await?;
            cluster.wait_until_all_ready().await?;
            ensure!(
                !cluster.list("Registry").await?.is_empty(),
                "there is no Registry in it"
            );
            // The next example may use the same port of the node.
            for registry in cluster.list("Registry").await? {
                let name = text(&registry["metadata"]["name"]);
                cluster.delete("Registry", &name).await?;
                wait_for("its Service is gone", PATIENCE, async || {
                    ensure!(cluster.find("Service", &name).await?.is_none(), "it is still there");
                    Ok(())
                })
                .await?;
            }
            Ok(())
        })
        .await
        .with_context(|| format!("`{}`", path.display()))?;
        tried += 1;
    }
    ensure!(tried >= 7, "there are {tried} examples in `{}`", folder.display());
    Ok(())
}

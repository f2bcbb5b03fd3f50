//! ctr, containerd's own client.

use std::fs;

use anyhow::{Result, ensure};
use e2e::image::tar;
use e2e::program::{Person, fail, run, succeed};
use e2e::with_namespace;

use crate::{PASSWORD, WRONG, set_up};

#[tokio::test(flavor = "multi_thread")]
async fn ctr_pushes_and_pulls_with_a_password() -> Result<()> {
    with_namespace("ctr", async |cluster| {
        let address = set_up(&cluster).await?;
        let alice = Person::new()?;
        let image = format!("{address}/team-a/app:v1");
        let (rootfs, archive) = (alice.home().join("rootfs.tar"), alice.home().join("image.tar"));
        fs::write(&rootfs, tar("file", cluster.namespace.as_bytes()))?;
        let archive = archive.display().to_string();
        succeed(alice.docker(&["import", &rootfs.display().to_string(), &image])?).await?;
        succeed(alice.docker(&["save", "--output", &archive, &image])?).await?;
        succeed(alice.docker(&["rmi", "--force", &image])?).await?;
        succeed(alice.ctr(&["images", "import", &archive])?).await?;

        let (good, bad) = (format!("alice:{PASSWORD}"), format!("alice:{WRONG}"));
        let push = |user: &str, to: &str| alice.ctr(&["images", "push", "--plain-http", "--user", user, to, &image]);
        let pull = |user: &str| alice.ctr(&["images", "pull", "--plain-http", "--user", user, &image]);
        fail(push(&bad, &image)?).await?;
        succeed(push(&good, &image)?).await?;
        fail(push(&good, &format!("{address}/team-b/app:v1"))?).await?;
        let public = format!("{address}/public/app:v1");
        succeed(push(&good, &public)?).await?;

        // Somebody without a password may pull what is public, and nothing else.
        let push_as_nobody = |to: &str| alice.ctr(&["images", "push", "--plain-http", to, &image]);
        fail(push_as_nobody(&format!("{address}/public/app:v2"))?).await?;
        succeed(alice.ctr(&["images", "rm", "--sync", &image])?).await?;
        let pull_as_nobody = |from: &str| alice.ctr(&["images", "pull", "--plain-http", from]);
        fail(pull_as_nobody(&image)?).await?;
        succeed(pull_as_nobody(&public)?).await?;
        succeed(alice.ctr(&["images", "rm", "--sync", &public])?).await?;

        fail(pull(&bad)?).await?;
        succeed(pull(&good)?).await?;
        let all = succeed(alice.ctr(&["images", "ls", "--quiet"])?).await?;
        ensure!(all.contains(&image), "{all}");
        run(alice.ctr(&["images", "rm", "--sync", &image])?).await?;
        Ok(())
    })
    .await
}

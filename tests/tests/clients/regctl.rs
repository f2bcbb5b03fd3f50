//! regctl.

use anyhow::{Result, ensure};
use e2e::image::Image;
use e2e::program::{Person, fail, succeed};
use e2e::with_namespace;

use crate::{PASSWORD, WRONG, same_image, set_up};

#[tokio::test(flavor = "multi_thread")]
async fn regctl_signs_in_pushes_and_pulls() -> Result<()> {
    with_namespace("regctl", async |cluster| {
        let address = set_up(&cluster).await?;
        let alice = Person::new()?;
        succeed(alice.regctl(&["registry", "set", "--tls", "disabled", &address])?).await?;
        let login = |password| alice.regctl(&["registry", "login", "--user", "alice", "--pass", password, &address]);
        fail(login(WRONG)?).await?;
        succeed(login(PASSWORD)?).await?;

        let image = Image::random(100_000);
        let layout = alice.home().join("layout");
        image.write_layout(&layout)?;
        let source = format!("ocidir://{}:latest", layout.display());
        let app = format!("{address}/team-a/deep/app:v1");
        succeed(alice.regctl(&["image", "copy", &source, &app])?).await?;
        let digest = succeed(alice.regctl(&["image", "digest", &app])?).await?;
        ensure!(digest.trim() == image.digest(), "{digest}");
        let pulled = alice.home().join("pulled");
        let target = format!("ocidir://{}:latest", pulled.display());
        succeed(alice.regctl(&["image", "copy", &app, &target])?).await?;
        same_image(&image, &pulled)?;
        let tags = succeed(alice.regctl(&["tag", "ls", &format!("{address}/team-a/deep/app")])?).await?;
        ensure!(tags.trim() == "v1", "{tags}");

        fail(alice.regctl(&["image", "copy", &source, &format!("{address}/team-b/app:v1")])?).await?;
        let public = format!("{address}/public/app:v1");
        succeed(alice.regctl(&["image", "copy", &source, &public])?).await?;

        // Somebody who never signed in may pull what is public, and nothing else.
        let stranger = Person::new()?;
        succeed(stranger.regctl(&["registry", "set", "--tls", "disabled", &address])?).await?;
        let pulled = stranger.home().join("pulled");
        let target = format!("ocidir://{}:latest", pulled.display());
        succeed(stranger.regctl(&["image", "copy", &public, &target])?).await?;
        same_image(&image, &pulled)?;
        fail(stranger.regctl(&["image", "digest", &app])?).await?;
        fail(stranger.regctl(&["image", "copy", &target, &format!("{address}/public/app:v2")])?).await?;

        succeed(alice.regctl(&["registry", "logout", &address])?).await?;
        fail(alice.regctl(&["image", "digest", &app])?).await?;
        Ok(())
    })
    .await
}

//! crane, and with it whatever uses its library.

use anyhow::{Result, ensure};
use e2e::image::Image;
use e2e::program::{Person, fail, succeed};
use e2e::with_namespace;

use crate::{PASSWORD, WRONG, same_image, set_up};

#[tokio::test(flavor = "multi_thread")]
async fn crane_signs_in_pushes_and_pulls() -> Result<()> {
    with_namespace("crane", async |cluster| {
        let address = set_up(&cluster).await?;
        let alice = Person::new()?;
        let image = Image::random(100_000);
        let layout = alice.home().join("layout");
        image.write_layout(&layout)?;
        let layout = layout.display().to_string();

        // Its login asks nobody: a wrong password shows at the first use.
        succeed(alice.crane(&["auth", "login", "--username", "alice", "--password", WRONG, &address])?).await?;
        let refused = fail(alice.crane(&["push", &layout, &format!("{address}/team-a/app:v1")])?).await?;
        ensure!(
            refused.contains("401") || refused.to_lowercase().contains("denied"),
            "{refused}"
        );
        succeed(alice.crane(&["auth", "login", "--username", "alice", "--password", PASSWORD, &address])?).await?;

        for repository in ["team-a/app", "team-a/deep/down/app", "public/app"] {
            let tag = format!("{address}/{repository}:v1");
            succeed(alice.crane(&["push", &layout, &tag])?).await?;
            let digest = succeed(alice.crane(&["digest", &tag])?).await?;
            ensure!(digest.trim() == image.digest(), "{digest}");
            let by_digest = format!("{address}/{repository}@{}", image.digest());
            for (number, reference) in [&tag, &by_digest].into_iter().enumerate() {
                let folder = alice.home().join(format!("{}-{number}", repository.replace('/', "-")));
                succeed(alice.crane(&["pull", "--format=oci", reference, &folder.display().to_string()])?).await?;
                same_image(&image, &folder)?;
            }
        }
        let refused = fail(alice.crane(&["push", &layout, &format!("{address}/team-b/app:v1")])?).await?;
        // It asks for the blob with HEAD first, whose answer has no body.
        ensure!(refused.contains("403") && refused.contains("team-b/app"), "{refused}");

        let stranger = Person::new()?;
        let folder = stranger.home().join("pulled").display().to_string();
        succeed(stranger.crane(&["pull", "--format=oci", &format!("{address}/public/app:v1"), &folder])?).await?;
        fail(stranger.crane(&["push", &layout, &format!("{address}/public/app:v2")])?).await?;
        fail(stranger.crane(&["manifest", &format!("{address}/team-a/app:v1")])?).await?;
        Ok(())
    })
    .await
}

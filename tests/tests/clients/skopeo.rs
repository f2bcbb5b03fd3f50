//! skopeo, and with it whatever uses its library.

use anyhow::{Result, ensure};
use e2e::image::Image;
use e2e::program::{Person, fail, succeed};
use e2e::with_namespace;

use crate::{PASSWORD, WRONG, same_image, set_up};

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_signs_in_pushes_and_pulls() -> Result<()> {
    with_namespace("skopeo", async |cluster| {
        let address = set_up(&cluster).await?;
        let alice = Person::new()?;
        let login = |password| {
            alice.skopeo(&[
                "login",
                "--tls-verify=false",
                "--username",
                "alice",
                "--password",
                password,
                &address,
            ])
        };
        fail(login(WRONG)).await?;
        succeed(login(PASSWORD)).await?;

        let image = Image::random(100_000);
        let layout = alice.home().join("layout");
        image.write_layout(&layout)?;
        let source = format!("oci:{}:latest", layout.display());
        let copy = |person: &Person, from: &str, to: &str| {
            person.skopeo(&[
                "copy",
                "--insecure-policy",
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
                from,
                to,
            ])
        };
        for repository in ["team-a/app", "team-a/deep/down/app", "public/app"] {
            let tag = format!("docker://{address}/{repository}:v1");
            succeed(copy(&alice, &source, &tag)).await?;
            let digest = format!("docker://{address}/{repository}@{}", image.digest());
            for (number, reference) in [&tag, &digest].into_iter().enumerate() {
                let folder = alice.home().join(format!("{}-{number}", repository.replace('/', "-")));
                succeed(copy(&alice, reference, &format!("oci:{}:latest", folder.display()))).await?;
                same_image(&image, &folder)?;
            }
        }
        // It asks for the blob with HEAD first, whose answer has no body.
        let refused = fail(copy(&alice, &source, &format!("docker://{address}/team-b/app:v1"))).await?;
        ensure!(refused.contains("403") && refused.contains("team-b/app"), "{refused}");

        let stranger = Person::new()?;
        let folder = stranger.home().join("pulled");
        succeed(copy(
            &stranger,
            &format!("docker://{address}/public/app:v1"),
            &format!("oci:{}:latest", folder.display()),
        ))
        .await?;
        same_image(&image, &folder)?;
        fail(copy(&stranger, &source, &format!("docker://{address}/public/app:v2"))).await?;
        let private = format!("docker://{address}/team-a/app:v1");
        fail(copy(&stranger, &private, &format!("oci:{}:other", folder.display()))).await?;
        Ok(())
    })
    .await
}

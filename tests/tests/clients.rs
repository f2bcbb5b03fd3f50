//! The programs that people use sign in, push and pull.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::image::{Image, tar};
use e2e::objects::{allow, group, identity, in_groups, on_node_port, password, registry};
use e2e::program::{Person, fail, succeed};
use e2e::{Cluster, registry as registries, with_namespace};
use serde_json::json;

/// With characters that break where somebody forgets to quote or to encode.
const PASSWORD: &str = "a b:c/d+e%f\"g&h=i";
const WRONG: &str = "not the password";

/// A registry on 127.0.0.1: `team-a` pushes and pulls in `team-a/**` and `public/**`, everybody pulls from `public/**`.
async fn set_up(cluster: &Cluster) -> Result<String> {
    let objects = [
        on_node_port(registry("main")),
        password("alice", PASSWORD),
        in_groups(identity("alice"), &["team-a"]),
        allow("team-a", group("team-a"), "push", &["team-a/**", "public/**"]),
        allow("public", json!({ "any": "Everyone" }), "pull", &["public/**"]),
    ];
    cluster.apply(objects).await?;
    cluster.wait_until_all_ready().await?;
    registries::ready_on_node_port(cluster, "main").await
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_signs_in_pushes_and_pulls() -> Result<()> {
    with_namespace("docker", async |cluster| {
        let address = set_up(&cluster).await?;
        let alice = Person::new()?;
        let archive = alice.home().join("rootfs.tar");
        fs::write(&archive, tar("file", cluster.namespace.as_bytes()))?;
        let local = format!("{}:local", cluster.namespace);
        succeed(alice.docker(&["import", &archive.display().to_string(), &local])?).await?;

        let refused = fail(alice.docker(&["login", "--username", "alice", "--password", WRONG, &address])?).await?;
        ensure!(
            refused.contains("unauthorized") || refused.contains("denied") || refused.contains("401"),
            "{refused}"
        );
        succeed(alice.docker(&["login", "--username", "alice", "--password", PASSWORD, &address])?).await?;

        for repository in ["team-a/app", "team-a/deep/down/app", "public/app"] {
            let remote = format!("{address}/{repository}:v1");
            succeed(alice.docker(&["tag", &local, &remote])?).await?;
            let pushed = succeed(alice.docker(&["push", &remote])?).await?;
            let digest = digest_in(&pushed)?;
            let by_digest = format!("{address}/{repository}@{digest}");
            succeed(alice.docker(&["rmi", &remote])?).await?;
            for reference in [&remote, &by_digest] {
                let pulled = succeed(alice.docker(&["pull", reference])?).await?;
                ensure!(
                    pulled.contains(&digest),
                    "pulling {reference} gave something else: {pulled}"
                );
            }
        }

        let elsewhere = format!("{address}/team-b/app:v1");
        succeed(alice.docker(&["tag", &local, &elsewhere])?).await?;
        let refused = fail(alice.docker(&["push", &elsewhere])?).await?;
        ensure!(
            refused.contains("denied") && refused.contains("team-b/app"),
            "{refused}"
        );

        // Somebody who never signed in: the same client may pull what is public, and nothing else.
        let stranger = Person::new()?;
        let public = format!("{address}/public/app:v1");
        succeed(stranger.docker(&["rmi", "--force", &public])?).await?;
        succeed(stranger.docker(&["pull", &public])?).await?;
        fail(stranger.docker(&["pull", &format!("{address}/team-a/app:v1")])?).await?;
        fail(stranger.docker(&["push", &public])?).await?;
        succeed(alice.docker(&["push", &public])?).await?;

        let images =
            succeed(alice.docker(&["images", "--quiet", "--filter", &format!("reference={address}/*/*")])?).await?;
        ensure!(!images.is_empty(), "there are no images to remove");
        let all = succeed(alice.docker(&["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"])?).await?;
        for id in all
            .lines()
            .filter(|line| line.contains(&address) || line.contains(&local))
            .filter_map(|line| line.split(' ').nth(1))
        {
            // One ID may have several names, and goes with the first.
            e2e::program::run(alice.docker(&["rmi", "--force", id])?).await?;
        }
        Ok(())
    })
    .await
}

/// The digest that docker tells after a push.
fn digest_in(said: &str) -> Result<String> {
    let found = said
        .split_whitespace()
        .find(|word| word.starts_with("sha256:") && word.len() == 71);
    found.map(Into::into).with_context(|| format!("no digest in: {said}"))
}

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

/// Whether a layout on disk holds every byte of an image.
fn same_image(image: &Image, layout: &std::path::Path) -> Result<()> {
    for bytes in image.blobs.iter().chain([&image.manifest]) {
        let digest = e2e::image::digest(bytes);
        let file = layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
        let found = fs::read(&file).with_context(|| format!("{digest} was not pulled"))?;
        ensure!(found == bytes[..], "{digest} has other bytes");
    }
    Ok(())
}

//! podman.

use std::fs;

use anyhow::{Result, ensure};
use e2e::image::tar;
use e2e::program::{Person, fail, succeed};
use e2e::with_namespace;

use crate::{PASSWORD, WRONG, set_up};

#[tokio::test(flavor = "multi_thread")]
async fn podman_signs_in_pushes_and_pulls() -> Result<()> {
    with_namespace("podman", async |cluster| {
        let address = set_up(&cluster).await?;
        let alice = Person::new()?;
        let login = |password| {
            let account = ["--tls-verify=false", "--username", "alice", "--password", password];
            alice.podman(&[&["login"], &account[..], &[address.as_str()]].concat())
        };
        fail(login(WRONG)).await?;
        let said = succeed(login(PASSWORD)).await?;
        ensure!(said.contains("Login Succeeded"), "{said}");

        let archive = alice.home().join("rootfs.tar");
        fs::write(&archive, tar("file", cluster.namespace.as_bytes()))?;
        let image = format!("{address}/team-a/app:v1");
        succeed(alice.podman(&["import", &archive.display().to_string(), &image])).await?;
        succeed(alice.podman(&["push", "--tls-verify=false", &image])).await?;
        succeed(alice.podman(&["rmi", "--force", &image])).await?;
        succeed(alice.podman(&["pull", "--tls-verify=false", &image])).await?;

        let elsewhere = format!("{address}/team-b/app:v1");
        succeed(alice.podman(&["tag", &image, &elsewhere])).await?;
        fail(alice.podman(&["push", "--tls-verify=false", &elsewhere])).await?;
        let public = format!("{address}/public/app:v1");
        succeed(alice.podman(&["tag", &image, &public])).await?;
        succeed(alice.podman(&["push", "--tls-verify=false", &public])).await?;

        // Somebody who never signed in may pull what is public, and nothing else.
        let stranger = Person::new()?;
        // The file that the environment names must be there.
        fs::write(stranger.home().join("auth.json"), "{}")?;
        succeed(stranger.podman(&["pull", "--tls-verify=false", &public])).await?;
        fail(stranger.podman(&["pull", "--tls-verify=false", &image])).await?;
        let other = format!("{address}/public/app:v2");
        succeed(stranger.podman(&["tag", &public, &other])).await?;
        fail(stranger.podman(&["push", "--tls-verify=false", &other])).await?;

        succeed(alice.podman(&["logout", &address])).await?;
        fail(alice.podman(&["pull", "--tls-verify=false", &image])).await?;
        Ok(())
    })
    .await
}

//! The Docker Engine and its client: Debian's 20.10, and the current one, which keeps images in containerd.

use std::fs;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::image::tar;
use e2e::objects::new_password;
use e2e::program::{Docker, Person, fail, run, succeed};
use e2e::{registry as registries, with_namespace};
use serde_json::{Value, json};

use crate::{PASSWORD, WRONG, set_up, set_up_with};

#[tokio::test(flavor = "multi_thread")]
async fn docker_signs_in_pushes_and_pulls() -> Result<()> {
    sign_in_push_and_pull("docker", Person::docker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_current_docker_signs_in_pushes_and_pulls() -> Result<()> {
    sign_in_push_and_pull("current-docker", Person::current_docker).await
}

async fn sign_in_push_and_pull(namespace: &str, docker: Docker) -> Result<()> {
    with_namespace(namespace, async |cluster| {
        let address = set_up(&cluster).await?;
        let alice = Person::new()?;
        let archive = alice.home().join("rootfs.tar");
        fs::write(&archive, tar("file", cluster.namespace.as_bytes()))?;
        let local = format!("{}:local", cluster.namespace);
        succeed(docker(&alice, &["import", &archive.display().to_string(), &local])?).await?;

        let refused = fail(docker(
            &alice,
            &["login", "--username", "alice", "--password", WRONG, &address],
        )?)
        .await?;
        ensure!(
            refused.contains("unauthorized") || refused.contains("denied") || refused.contains("401"),
            "{refused}"
        );
        succeed(docker(
            &alice,
            &["login", "--username", "alice", "--password", PASSWORD, &address],
        )?)
        .await?;

        for repository in ["team-a/app", "team-a/deep/down/app", "public/app"] {
            let remote = format!("{address}/{repository}:v1");
            succeed(docker(&alice, &["tag", &local, &remote])?).await?;
            let pushed = succeed(docker(&alice, &["push", &remote])?).await?;
            let digest = digest_in(&pushed)?;
            let by_digest = format!("{address}/{repository}@{digest}");
            succeed(docker(&alice, &["rmi", &remote])?).await?;
            for reference in [&remote, &by_digest] {
                let pulled = succeed(docker(&alice, &["pull", reference])?).await?;
                ensure!(
                    pulled.contains(&digest),
                    "pulling {reference} gave something else: {pulled}"
                );
            }
        }

        let elsewhere = format!("{address}/team-b/app:v1");
        succeed(docker(&alice, &["tag", &local, &elsewhere])?).await?;
        let refused = fail(docker(&alice, &["push", &elsewhere])?).await?;
        // Debian's shows the error's code as well.
        ensure!(refused.contains("`alice` may not"), "{refused}");
        ensure!(refused.contains("in `team-b/app`"), "{refused}");

        // Somebody who never signed in: the same client may pull what is public, and nothing else.
        let stranger = Person::new()?;
        let public = format!("{address}/public/app:v1");
        succeed(docker(&stranger, &["rmi", "--force", &public])?).await?;
        succeed(docker(&stranger, &["pull", &public])?).await?;
        fail(docker(&stranger, &["pull", &format!("{address}/team-a/app:v1")])?).await?;
        // Under another name: a current docker asks whether the tag is what it would push, and has nothing to do then.
        let other = format!("{address}/public/app:v2");
        succeed(docker(&stranger, &["tag", &public, &other])?).await?;
        fail(docker(&stranger, &["push", &other])?).await?;
        fail(docker(&stranger, &["pull", &other])?).await?;
        succeed(docker(&alice, &["push", &public])?).await?;

        let images = succeed(docker(
            &alice,
            &["images", "--quiet", "--filter", &format!("reference={address}/*/*")],
        )?)
        .await?;
        ensure!(!images.is_empty(), "there are no images to remove");
        let all = succeed(docker(
            &alice,
            &["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"],
        )?)
        .await?;
        for id in all
            .lines()
            .filter(|line| line.contains(&address) || line.contains(&local))
            .filter_map(|line| line.split(' ').nth(1))
        {
            // One ID may have several names, and goes with the first.
            run(docker(&alice, &["rmi", "--force", id])?).await?;
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
async fn docker_keeps_a_refresh_token_instead_of_the_password() -> Result<()> {
    keep_a_refresh_token("refresh", Person::docker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_current_docker_keeps_a_refresh_token_instead_of_the_password() -> Result<()> {
    keep_a_refresh_token("current-refresh", Person::current_docker).await
}

async fn keep_a_refresh_token(namespace: &str, docker: Docker) -> Result<()> {
    with_namespace(namespace, async |cluster| {
        let address = set_up_with(&cluster, json!({ "refreshTokenLifetime": "1h" })).await?;
        let alice = Person::new()?;
        let image = format!("{address}/team-a/app:v1");
        let archive = alice.home().join("rootfs.tar");
        fs::write(&archive, tar("file", cluster.namespace.as_bytes()))?;
        succeed(docker(&alice, &["import", &archive.display().to_string(), &image])?).await?;
        let login = |password| {
            docker(
                &alice,
                &["login", "--username", "alice", "--password", password, &address],
            )
        };
        succeed(login(PASSWORD)?).await?;

        let kept: Value = serde_json::from_slice(&fs::read(alice.home().join("config.json"))?)?;
        let entry = &kept["auths"][&address];
        let account = STANDARD.decode(entry["auth"].as_str().context("docker keeps no account")?)?;
        ensure!(
            account == b"alice:",
            "a password is kept: {}",
            String::from_utf8_lossy(&account)
        );
        let token = entry["identitytoken"]
            .as_str()
            .context("docker keeps no refresh token")?;
        ensure!(!token.contains(PASSWORD), "{token}");

        succeed(docker(&alice, &["push", &image])?).await?;
        succeed(docker(&alice, &["rmi", &image])?).await?;
        succeed(docker(&alice, &["pull", &image])?).await?;

        // It ends with the password that it was given for.
        cluster
            .patch("Secret", "alice-password", new_password("another one"))
            .await?;
        let target = registries::Target {
            address: address.parse()?,
        };
        target.wait_for_login("alice", PASSWORD, 401).await?;
        fail(docker(&alice, &["push", &image])?).await?;
        succeed(login("another one")?).await?;
        succeed(docker(&alice, &["push", &image])?).await?;
        run(docker(&alice, &["rmi", "--force", &image])?).await?;
        Ok(())
    })
    .await
}

//! A push that is under way while its password changes.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use e2e::http::Credentials;
use e2e::image::{begin_upload, finish_upload, tar};
use e2e::objects::{allow, authenticated, identity, new_password, on_node_port, password, registry};
use e2e::program::{Person, succeed};
use e2e::{Cluster, Target, registry as registries, with_namespace};
use http::Method;

use crate::ALONE;

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_under_way_while_the_password_changes_ends_well() -> Result<()> {
    let _alone = ALONE.lock().await;
    with_namespace("rotated-push", async |cluster| {
        let objects = [
            on_node_port(registry("main")),
            password("alice", "password 0"),
            identity("alice"),
            allow("all", authenticated(), "push", &["**"]),
        ];
        cluster.apply(objects).await?;
        cluster.wait_until_all_ready().await?;
        let address = registries::ready_on_node_port(&cluster, "main").await?;
        let target = Target {
            address: address.parse()?,
        };
        let before = registries::incarnation(&cluster, "main").await?;

        // An upload by hand, in three requests, with a change between any two.
        let content = Bytes::from(vec![7; 3_000_000]);
        let token = target
            .token(&Credentials::basic("alice", "password 0"), "by/hand", "pull,push")
            .await?;
        let mut connection = target.connect().await?;
        let location = begin_upload(&mut connection, &token, "by/hand").await?;
        change(&cluster, target, 1).await?;
        let chunk = connection
            .send(Method::PATCH, &location, &token, content.slice(..1_000_000))
            .await?;
        ensure!(chunk.status == 202, "PATCH: {} {}", chunk.status, chunk.text());
        change(&cluster, target, 2).await?;
        let location = chunk.header("Location");
        let path = location
            .find("/v2/")
            .map(|at| location[at..].to_owned())
            .context("no Location")?;
        finish_upload(&mut connection, &token, &path, &content, content.slice(1_000_000..)).await?;

        // Docker, for as long as it takes it.
        let alice = Person::new()?;
        succeed(alice.docker(&["login", "--username", "alice", "--password", "password 2", &address])?).await?;
        let archive = alice.home().join("rootfs.tar");
        let mut noise = vec![0; 100 << 20];
        rand::RngCore::fill_bytes(&mut rand::rng(), &mut noise);
        fs::write(&archive, tar("file", &noise))?;
        let image = format!("{address}/by/docker:v1");
        succeed(alice.docker(&["import", &archive.display().to_string(), &image])?).await?;
        let push = tokio::spawn(succeed(alice.docker(&["push", &image])?));
        let mut changes = 2;
        while !push.is_finished() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if !push.is_finished() {
                changes += 1;
                change(&cluster, target, changes).await?;
            }
        }
        push.await??;
        ensure!(changes > 2, "the push ended before the password changed");
        succeed(alice.docker(&["rmi", "--force", &image])?).await?;
        succeed(alice.docker(&[
            "login",
            "--username",
            "alice",
            "--password",
            &format!("password {changes}"),
            &address,
        ])?)
        .await?;
        succeed(alice.docker(&["pull", &image])?).await?;
        succeed(alice.docker(&["rmi", "--force", &image])?).await?;
        assert_eq!(
            registries::incarnation(&cluster, "main").await?,
            before,
            "the registry was started again"
        );
        Ok(())
    })
    .await
}

/// Changes alice's password, and returns when the new one is in force.
async fn change(cluster: &Cluster, target: Target, number: usize) -> Result<()> {
    cluster
        .patch("Secret", "alice-password", new_password(&format!("password {number}")))
        .await?;
    target
        .wait_for_login("alice", &format!("password {number}"), 200)
        .await?;
    ensure!(
        target.login("alice", &format!("password {}", number - 1)).await? == 401,
        "the old password is still accepted"
    );
    Ok(())
}

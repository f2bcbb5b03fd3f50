//! A push that is under way while its password changes.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use e2e::http::Credentials;
use e2e::image::{begin_upload, finish_upload, tar};
use e2e::objects::{allow, authenticated, identity, new_password, on_node_port, password, registry};
use e2e::program::{Docker, Person, succeed};
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

        let mut changes = 2;
        for docker in [Person::docker as Docker, Person::current_docker] {
            changes = push_through_changes(docker, &cluster, &address, changes).await?;
        }
        assert_eq!(
            registries::incarnation(&cluster, "main").await?,
            before,
            "the registry was started again"
        );
        Ok(())
    })
    .await
}

/// Pushes with Docker while the password changes for as long as the push takes, after so many changes; tells how many there were then.
async fn push_through_changes(docker: Docker, cluster: &Cluster, address: &str, before: usize) -> Result<usize> {
    let target = Target {
        address: address.parse()?,
    };
    let alice = Person::new()?;
    let login = |changes: usize| {
        let password = format!("password {changes}");
        docker(
            &alice,
            &["login", "--username", "alice", "--password", &password, address],
        )
    };
    succeed(login(before)?).await?;
    let archive = alice.home().join("rootfs.tar");
    // A current engine pushes 100 MiB in less time than some changes take.
    let mut noise = vec![0; 300 << 20];
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut noise);
    fs::write(&archive, tar("file", &noise))?;
    let image = format!("{address}/by/docker:v1");
    succeed(docker(&alice, &["import", &archive.display().to_string(), &image])?).await?;
    let push = tokio::spawn(succeed(docker(&alice, &["push", &image])?));
    let mut changes = before;
    let mut in_time = 0;
    while !push.is_finished() {
        changes += 1;
        change(cluster, target, changes).await?;
        in_time += usize::from(!push.is_finished());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    push.await??;
    ensure!(in_time > 0, "the push ended before the password had changed");
    succeed(docker(&alice, &["rmi", "--force", &image])?).await?;
    succeed(login(changes)?).await?;
    succeed(docker(&alice, &["pull", &image])?).await?;
    succeed(docker(&alice, &["rmi", "--force", &image])?).await?;
    Ok(changes)
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

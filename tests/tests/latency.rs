//! How soon an edit is in force: on connections that were open before, under load, with passwords and with tokens.
//!
//! The clock starts before the write to the API server and stops when the answer has arrived that shows the change. What
//! is asserted is the outcome; the clock is printed, apart from a deadline that only a defect can miss.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use e2e::http::{Connection, Credentials};
use e2e::image::{Image, begin_upload, finish_upload, tar};
use e2e::measure::{self, Series};
use e2e::objects::{
    allow, authenticated, identity, new_password, on_node_port, password, registry, registry_on_volume, user,
};
use e2e::program::{Person, succeed};
use e2e::{Cluster, Target, environment, registry as registries, wait_for, with_namespace};
use http::Method;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Longest that one change may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// What is asked for again and again.
const MANIFEST: &str = "/v2/load/app/manifests/v1";
/// Connections that ask without a pause worth the name.
const LOAD: usize = 4;

/// One measurement at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_in_force_at_the_next_request_on_connections_that_were_open_before() -> Result<()> {
    let _alone = ALONE.lock().await;
    with_namespace("latency", async |cluster| {
        let objects = [
            registry_on_volume("main"),
            password("load", "load's password"),
            identity("load"),
            allow("all", authenticated(), "pull", &["**"]),
            allow("load", user("load"), "push", &["load/**"]),
        ];
        cluster.apply(objects).await?;
        cluster.wait_until_all_ready().await?;
        let target = registries::ready(&cluster, "main").await?;
        let load = Credentials::basic("load", "load's password");
        Image::random(10_000).push(target, &load, "load/app", "v1").await?;
        let before = registries::incarnation(&cluster, "main").await?;
        let changes = environment::changes();

        let background = Load::start(target, &load).await?;
        let rotations = rotate(&cluster, target, changes).await?;
        let [disabled, disabled_token] = disable(&cluster, target, changes).await?;
        let [deleted, deleted_token] = delete(&cluster, target, changes).await?;
        let [edited, edited_token] = edit_policies(&cluster, target, changes).await?;
        let requests = background.stop().await?;

        measure::print(
            &format!(
                "from the write to the first request that shows it, with {LOAD} busy connections ({requests} requests)"
            ),
            &[
                ("password changed: old refused, new accepted", &rotations),
                ("identity disabled: password refused", &disabled),
                ("identity disabled: token refused", &disabled_token),
                ("identity deleted: password refused", &deleted),
                ("identity deleted: token refused", &deleted_token),
                ("policy edited: password refused", &edited),
                ("policy edited: token refused", &edited_token),
            ],
        );
        assert_eq!(
            registries::incarnation(&cluster, "main").await?,
            before,
            "the registry was started again"
        );
        Ok(())
    })
    .await
}

/// Connections that send one request after the other until they are told to stop; each must succeed.
struct Load {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    connections: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    async fn start(target: Target, who: &Credentials) -> Result<Self> {
        let mut load = Self {
            stop: Arc::default(),
            requests: Arc::default(),
            connections: Vec::new(),
        };
        for _ in 0..LOAD {
            let mut connection = target.connect().await?;
            let (stop, requests, who) = (load.stop.clone(), load.requests.clone(), who.clone());
            load.connections.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let status = connection.status(MANIFEST, &who).await?;
                    ensure!(status == 200, "a request of the load got {status}");
                    requests.fetch_add(1, Ordering::Relaxed);
                    // Two cores have a whole cluster to run.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Ok(())
            }));
        }
        Ok(load)
    }

    async fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for connection in self.connections {
            connection.await??;
        }
        Ok(self.requests.load(Ordering::Relaxed))
    }
}

/// Asks until the status is the wanted one; anything else than 200 before that is an error.
async fn until(status: u16, connection: &mut Connection, who: &Credentials, begun: Instant) -> Result<Duration> {
    loop {
        let now = connection.status(MANIFEST, who).await?;
        if now == status {
            return Ok(begun.elapsed());
        }
        ensure!(now == 200, "a change that was to end in {status} gave {now}");
        ensure!(
            begun.elapsed() < DEADLINE,
            "after {} s it is still {now} instead of {status}",
            DEADLINE.as_secs()
        );
    }
}

/// A connection that has been used, and so is kept alive.
async fn used(target: Target, who: &Credentials) -> Result<Connection> {
    let mut connection = target.connect().await?;
    let status = connection.status(MANIFEST, who).await?;
    ensure!(status == 200, "{status} before any change");
    Ok(connection)
}

/// Changes a password: the old one is refused, the new one accepted, and a token lives on.
async fn rotate(cluster: &Cluster, target: Target, changes: usize) -> Result<Series> {
    cluster
        .apply([password("rotated", "password 0"), identity("rotated")])
        .await?;
    target.wait_for_login("rotated", "password 0", 200).await?;
    let mut series = Series::default();
    for change in 1..=changes {
        let old = Credentials::basic("rotated", &format!("password {}", change - 1));
        let (text, token) = (
            format!("password {change}"),
            target.token(&old, "load/app", "pull").await?,
        );
        let new = Credentials::basic("rotated", &text);
        let (mut with_old, mut with_token) = (used(target, &old).await?, used(target, &token).await?);
        let begun = Instant::now();
        cluster.patch("Secret", "rotated-password", new_password(&text)).await?;
        until(401, &mut with_old, &old, begun).await?;
        // The same document brings the new one.
        let status = with_old.status(MANIFEST, &new).await?;
        ensure!(
            status == 200,
            "the old password is refused, and the new one gets {status}"
        );
        series.note(begun.elapsed());
        let status = with_token.status(MANIFEST, &token).await?;
        ensure!(status == 200, "a token that was issued before the change gets {status}");
    }
    Ok(series)
}

/// Waits for a refusal with a password and with a token at once.
async fn both(
    status: u16,
    basic: (&mut Connection, &Credentials),
    token: (&mut Connection, &Credentials),
    begun: Instant,
    series: &mut [Series; 2],
) -> Result<()> {
    let (by_password, by_token) = tokio::try_join!(
        until(status, basic.0, basic.1, begun),
        until(status, token.0, token.1, begun)
    )?;
    series[0].note(by_password);
    series[1].note(by_token);
    Ok(())
}

async fn disable(cluster: &Cluster, target: Target, changes: usize) -> Result<[Series; 2]> {
    cluster
        .apply([password("disabled", "disabled's password"), identity("disabled")])
        .await?;
    let who = Credentials::basic("disabled", "disabled's password");
    let mut series = [Series::default(), Series::default()];
    for _ in 0..changes {
        target.wait_for_login("disabled", "disabled's password", 200).await?;
        let token = target.token(&who, "load/app", "pull").await?;
        let (mut with_password, mut with_token) = (used(target, &who).await?, used(target, &token).await?);
        let begun = Instant::now();
        cluster
            .patch("RegistryIdentity", "disabled", json!({ "spec": { "disabled": true } }))
            .await?;
        both(
            401,
            (&mut with_password, &who),
            (&mut with_token, &token),
            begun,
            &mut series,
        )
        .await?;
        cluster
            .patch("RegistryIdentity", "disabled", json!({ "spec": { "disabled": false } }))
            .await?;
        target.wait_for_login("disabled", "disabled's password", 200).await?;
        let status = with_token.status(MANIFEST, &token).await?;
        ensure!(status == 401, "a token lives again with its identity: {status}");
    }
    Ok(series)
}

async fn delete(cluster: &Cluster, target: Target, changes: usize) -> Result<[Series; 2]> {
    let mut series = [Series::default(), Series::default()];
    let names: Vec<String> = (0..changes).map(|number| format!("deleted-{number}")).collect();
    for name in &names {
        cluster.apply([password(name, "some password"), identity(name)]).await?;
    }
    for name in &names {
        target.wait_for_login(name, "some password", 200).await?;
        let who = Credentials::basic(name, "some password");
        let token = target.token(&who, "load/app", "pull").await?;
        let (mut with_password, mut with_token) = (used(target, &who).await?, used(target, &token).await?);
        let begun = Instant::now();
        cluster.delete("RegistryIdentity", name).await?;
        both(
            401,
            (&mut with_password, &who),
            (&mut with_token, &token),
            begun,
            &mut series,
        )
        .await?;
    }
    Ok(series)
}

async fn edit_policies(cluster: &Cluster, target: Target, changes: usize) -> Result<[Series; 2]> {
    // Only this policy lets the user of this measurement in.
    cluster.delete("AccessPolicy", "all").await?;
    let allowing = |repositories: &str| allow("edited", user("edited"), "pull", &[repositories]);
    cluster
        .apply([
            password("edited", "edited's password"),
            identity("edited"),
            allowing("load/**"),
        ])
        .await?;
    target.wait_for_login("edited", "edited's password", 200).await?;
    let who = Credentials::basic("edited", "edited's password");
    let mut series = [Series::default(), Series::default()];
    for _ in 0..changes {
        wait_for("the policy allows", DEADLINE, async || {
            let status = target.status(MANIFEST, &who).await?;
            ensure!(status == 200, "{status}");
            Ok(())
        })
        .await?;
        let token = target.token(&who, "load/app", "pull").await?;
        let (mut with_password, mut with_token) = (used(target, &who).await?, used(target, &token).await?);
        let begun = Instant::now();
        cluster.apply([allowing("elsewhere/**")]).await?;
        both(
            403,
            (&mut with_password, &who),
            (&mut with_token, &token),
            begun,
            &mut series,
        )
        .await?;
        cluster.apply([allowing("load/**")]).await?;
    }
    Ok(series)
}

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

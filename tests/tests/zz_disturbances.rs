//! Parts of the cluster stop, come back, go back in time, or get company. One test at a time: each disturbs all.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::audit;
use e2e::cluster::{PATIENCE, text};
use e2e::http::Credentials;
use e2e::image::Image;
use e2e::objects::{allow, authenticated, identity, new_password, password, registry_on_volume};
use e2e::operator::Operator;
use e2e::program::helm;
use e2e::{Cluster, Target, environment, registry as registries, undo_after, wait_for, with_namespace};
use jiff::Timestamp;
use node::{Component, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// One disturbance at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// How long the API server stays away.
const OUTAGE: Duration = Duration::from_secs(60);

/// A registry on a volume; alice and bob may push.
async fn set_up(cluster: &Cluster) -> Result<Target> {
    let objects = [
        registry_on_volume("main"),
        password("alice", "alice's password"),
        identity("alice"),
        password("bob", "bob's password"),
        identity("bob"),
        allow("all", authenticated(), "push", &["**"]),
    ];
    cluster.apply(objects).await?;
    cluster.wait_until_all_ready().await?;
    let target = registries::ready(cluster, "main").await?;
    target.wait_for_login("alice", "alice's password", 200).await?;
    target.wait_for_login("bob", "bob's password", 200).await?;
    Ok(target)
}

fn disabled(is: bool) -> Value {
    json!({ "spec": { "disabled": is } })
}

/// The revision that the Registry's status tells.
async fn revision(cluster: &Cluster) -> Result<u64> {
    let status = cluster.get("Registry", "main").await?["status"].clone();
    status["access"]["revision"]
        .as_u64()
        .with_context(|| format!("no revision in {status}"))
}

/// Shows that edits are followed: the registry and its operator do their work.
async fn wait_until_followed(cluster: &Cluster, target: Target) -> Result<()> {
    let secret = format!("at {}", Timestamp::now());
    cluster.patch("Secret", "alice-password", new_password(&secret)).await?;
    target.wait_for_login("alice", &secret, 200).await?;
    cluster
        .patch("Secret", "alice-password", new_password("alice's password"))
        .await?;
    target.wait_for_login("alice", "alice's password", 200).await?;
    ensure!(
        target.login("alice", &secret).await? == 401,
        "an old password is accepted"
    );
    cluster
        .wait_for_condition("Registry", "main", "Ready", ("True", "Ok"))
        .await?;
    cluster
        .wait_for_condition("RegistryIdentity", "alice", "Ready", ("True", "Ok"))
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_operator_a_registry_pod_that_was_deleted_comes_back_and_lets_people_in() -> Result<()> {
    let _alone = ALONE.lock().await;
    with_namespace("no-operator", async |cluster| {
        let target = set_up(&cluster).await?;
        let operator = Operator::new(&cluster);
        operator.scale(0).await?;
        let meanwhile = async {
            let before = registries::pod(&cluster, "main").await?;
            cluster
                .delete_and_wait("Pod", &text(&before["metadata"]["name"]))
                .await?;
            target.wait_for_login("alice", "alice's password", 200).await?;
            let after = registries::pod(&cluster, "main").await?;
            ensure!(
                before["metadata"]["uid"] != after["metadata"]["uid"],
                "it is the same Pod"
            );
            assert_eq!(
                target
                    .push_status(&Credentials::basic("bob", "bob's password"), "app")
                    .await?,
                202
            );
            // What is written meanwhile waits.
            cluster.patch("RegistryIdentity", "bob", disabled(true)).await
        };
        undo_after(meanwhile, operator.scale(1)).await?;
        target.wait_for_login("bob", "bob's password", 401).await?;
        wait_until_followed(&cluster, target).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_api_server_a_registry_serves_and_a_killed_one_forgets_no_revocation() -> Result<()> {
    let _alone = ALONE.lock().await;
    with_namespace("no-api-server", async |cluster| {
        let node = environment::node()?;
        let target = set_up(&cluster).await?;
        let (alice, bob) = (
            Credentials::basic("alice", "alice's password"),
            Credentials::basic("bob", "bob's password"),
        );
        let image = Image::random(50_000);
        image.push(target, &alice, "before", "v1").await?;
        let pod = text(&registries::pod(&cluster, "main").await?["metadata"]["uid"]);
        let (_, restarts) = registries::incarnation(&cluster, "main").await?;
        let token = target.token(&bob, "app", "pull").await?;
        // Longer than this, and the kubelet's copy of the Secret would have it as well.
        let revoked = Instant::now();
        cluster.patch("RegistryIdentity", "bob", disabled(true)).await?;
        target.wait_for_login("bob", "bob's password", 401).await?;
        node.stop(Component::ApiServer, Signal::Kill)?;
        let (stopped, since) = (Instant::now(), revoked.elapsed());
        let meanwhile = async {
            ensure!(
                since < Duration::from_secs(5),
                "the API server was stopped only {since:?} after the revocation"
            );
            let refuses_bob = async || {
                ensure!(
                    target.login("bob", "bob's password").await? == 401,
                    "bob's password is accepted again"
                );
                ensure!(
                    target.pull_status(&token, "app").await? == 401,
                    "bob's token is accepted again"
                );
                anyhow::Ok(())
            };
            while stopped.elapsed() < OUTAGE / 6 {
                ensure!(
                    target.login("alice", "alice's password").await? == 200,
                    "alice cannot sign in"
                );
                refuses_bob().await?;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            image.pull(target, &alice, "before", "v1").await?;
            Image::random(50_000).push(target, &alice, "meanwhile", "v1").await?;

            registries::kill(&pod, "wharfinger-registry")?;
            wait_for("the killed registry is back", OUTAGE / 2, async || {
                let status = target.login("alice", "alice's password").await?;
                ensure!(status == 200, "alice gets {status}");
                Ok(())
            })
            .await?;
            while stopped.elapsed() < OUTAGE {
                refuses_bob().await?;
                ensure!(
                    target.login("alice", "alice's password").await? == 200,
                    "alice cannot sign in"
                );
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            image.pull(target, &alice, "before", "v1").await
        };
        undo_after(meanwhile, async { node.start(Component::ApiServer) }).await?;

        Operator::new(&cluster).wait_for_replicas(1).await?;
        wait_until_followed(&cluster, target).await?;
        ensure!(
            target.login("bob", "bob's password").await? == 401,
            "bob came back with the API server"
        );
        cluster.patch("RegistryIdentity", "bob", disabled(false)).await?;
        target.wait_for_login("bob", "bob's password", 200).await?;
        wait_for("the kubelet has told of the one restart", PATIENCE, async || {
            let now = registries::incarnation(&cluster, "main").await?;
            ensure!(now == (pod.clone(), restarts + 1), "it tells of {now:?}");
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn access_secrets_that_are_deleted_come_back_with_a_higher_revision_and_lock_nobody_out() -> Result<()> {
    let _alone = ALONE.lock().await;
    with_namespace("lost-access", async |cluster| {
        let target = set_up(&cluster).await?;
        let before = revision(&cluster).await?;
        let alice = Credentials::basic("alice", "alice's password");
        let token = target.token(&alice, "app", "pull").await?;
        let mut connection = target.connect().await?;
        cluster.delete_and_wait("Secret", "main-access").await?;
        wait_for("the access document has a higher revision", PATIENCE, async || {
            for who in [&alice, &token] {
                let status = connection.status("/v2/app/manifests/none", who).await?;
                assert_eq!(status, 404, "somebody is locked out");
            }
            let (now, secret) = (revision(&cluster).await?, cluster.find("Secret", "main-access").await?);
            ensure!(now > before && secret.is_some(), "it is {now}, and was {before}");
            Ok(())
        })
        .await?;
        cluster
            .wait_for_condition("Registry", "main", "Programmed", ("True", "Programmed"))
            .await?;
        wait_until_followed(&cluster, target).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupted_or_older_index_is_refused_and_the_document_before_it_stays_until_it_is_repaired() -> Result<()> {
    let _alone = ALONE.lock().await;
    with_namespace("corrupted", async |cluster| {
        let target = set_up(&cluster).await?;
        let older = cluster.get("Secret", "main-access").await?["data"].clone();
        cluster.patch("RegistryIdentity", "bob", disabled(true)).await?;
        target.wait_for_login("bob", "bob's password", 401).await?;
        cluster
            .wait_for_condition("Registry", "main", "Programmed", ("True", "Programmed"))
            .await?;
        let before = revision(&cluster).await?;
        let operator = Operator::new(&cluster);
        operator.scale(0).await?;
        let meanwhile = async {
            let garbage = json!({ "index": STANDARD.encode("{ this is no index"), "content": older["content"] });
            let torn = json!({ "index": older["index"], "content": STANDARD.encode("no gzip") });
            for (name, data) in [("garbage", garbage), ("torn", torn), ("older", older)] {
                cluster.patch("Secret", "main-access", json!({ "data": data })).await?;
                wait_for(&format!("the registry refuses {name}"), PATIENCE, async || {
                    let status = registries::admin(&cluster, "main")
                        .await?
                        .get("/status", &Credentials::None)
                        .await?
                        .json()?;
                    ensure!(!status["refused"].is_null(), "it says {status}");
                    ensure!(status["revision"] == before, "another document is in force: {status}");
                    Ok(())
                })
                .await
                .with_context(|| name.to_owned())?;
                ensure!(
                    target.login("alice", "alice's password").await? == 200,
                    "{name}: alice is locked out"
                );
                ensure!(
                    target.login("bob", "bob's password").await? == 401,
                    "{name}: bob is let in"
                );
            }
            anyhow::Ok(())
        };
        undo_after(meanwhile, operator.scale(1)).await?;
        wait_for("the index is repaired", PATIENCE, async || {
            let now = revision(&cluster).await?;
            ensure!(now > before, "the revision is {now}");
            let status = registries::admin(&cluster, "main")
                .await?
                .get("/status", &Credentials::None)
                .await?
                .json()?;
            ensure!(
                status["refused"].is_null() && status["revision"] == now,
                "the registry says {status}"
            );
            Ok(())
        })
        .await?;
        ensure!(
            target.login("bob", "bob's password").await? == 401,
            "the repair let bob in"
        );
        wait_until_followed(&cluster, target).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_back_in_time_ends_with_a_newer_document_that_says_what_the_objects_say() -> Result<()> {
    let _alone = ALONE.lock().await;
    with_namespace("back-in-time", async |cluster| {
        let node = environment::node()?;
        let target = set_up(&cluster).await?;
        let folder = TempDir::new()?;
        let snapshot = folder.path().join("etcd.db");
        node.save_etcd(&snapshot)?;

        cluster.patch("RegistryIdentity", "bob", disabled(true)).await?;
        cluster
            .patch("Secret", "alice-password", new_password("alice's later password"))
            .await?;
        target.wait_for_login("bob", "bob's password", 401).await?;
        target.wait_for_login("alice", "alice's later password", 200).await?;
        cluster
            .wait_for_condition("Registry", "main", "Programmed", ("True", "Programmed"))
            .await?;
        let before = revision(&cluster).await?;

        node.restore_etcd(&snapshot)?;
        wait_for(
            "a document that is newer than all before is programmed",
            PATIENCE * 2,
            async || {
                let now = revision(&cluster).await?;
                ensure!(now > before, "its revision is {now}, and was {before}");
                let programmed = cluster.condition("Registry", "main", "Programmed").await?;
                ensure!(programmed.status == "True", "{programmed:?}");
                Ok(())
            },
        )
        .await?;
        // The objects are the truth, and they are those of the snapshot.
        let spec = cluster.get("RegistryIdentity", "bob").await?["spec"].clone();
        ensure!(spec["disabled"] != true, "the database did not go back: {spec}");
        target.wait_for_login("bob", "bob's password", 200).await?;
        target.wait_for_login("alice", "alice's password", 200).await?;
        ensure!(
            target.login("alice", "alice's later password").await? == 401,
            "a password that no Secret holds is accepted"
        );
        Operator::new(&cluster).wait_for_replicas(1).await?;
        // The revocation, made again, is in force again.
        cluster.patch("RegistryIdentity", "bob", disabled(true)).await?;
        target.wait_for_login("bob", "bob's password", 401).await?;
        wait_until_followed(&cluster, target).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_installation_finds_a_conflict_and_changes_nothing() -> Result<()> {
    let _alone = ALONE.lock().await;
    with_namespace("second", async |cluster| {
        let target = set_up(&cluster).await?;
        let first = Operator::new(&cluster);
        let folder = TempDir::new()?;
        let values = folder.path().join("values.json");
        let (namespace, release) = (environment::operator_namespace(), environment::release());
        fs::write(
            &values,
            helm(&["get", "values", &release, "--namespace", &namespace, "--output", "json"]).await?,
        )?;
        let elsewhere = format!("{}-system", cluster.namespace);
        let (chart, values) = (
            environment::repository("charts/wharfinger"),
            values.display().to_string(),
        );
        let chart = chart.display().to_string();
        helm(&[
            "install",
            "second",
            &chart,
            "--namespace",
            &elsewhere,
            "--create-namespace",
            "--values",
            &values,
            "--set",
            "crds.enabled=false",
            "--wait",
            "--timeout",
            "2m",
        ])
        .await?;
        let undo = async {
            first.scale(1).await?;
            // It is stopped before its rights are taken away: what it asks for in between would be refused.
            Operator::of_release(&cluster, &elsewhere, "second").scale(0).await?;
            helm(&["uninstall", "second", "--namespace", &elsewhere, "--wait"]).await?;
            cluster.delete("Namespace", &elsewhere).await
        };
        undo_after(beside(&cluster, target, &first, &elsewhere), undo).await?;
        target.wait_for_login("bob", "bob's password", 401).await?;
        wait_until_followed(&cluster, target).await
    })
    .await
}

/// What the second installation does beside the first, and then without it.
async fn beside(cluster: &Cluster, target: Target, first: &Operator, elsewhere: &str) -> Result<()> {
    let second = format!("system:serviceaccount:{elsewhere}:second-wharfinger");
    // Beside the one that manages the Registry: no fight, and edits are followed.
    let since = Timestamp::now();
    wait_until_followed(cluster, target).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let written = || -> Result<Vec<audit::Request>> {
        let mut written = audit::requests(since, |user| user == second)?;
        written.retain(|request| request.is_write() && request.namespace == cluster.namespace);
        let touched: Vec<_> = written
            .iter()
            .filter(|request| request.subresource != "status" && request.resource != "events")
            .collect();
        ensure!(touched.is_empty(), "the second installation wrote: {touched:#?}");
        Ok(written)
    };
    let statuses = written()?
        .into_iter()
        .filter(|request| request.subresource == "status")
        .count();
    ensure!(
        statuses == 0,
        "the second installation wrote {statuses} statuses beside the first"
    );
    let events = cluster.list("Event").await?;
    let told = events
        .iter()
        .any(|event| event["reason"] == "Conflict" && event["involvedObject"]["name"] == "main");
    ensure!(told, "no event tells of the conflict");

    // Alone: it says that nobody follows, and leaves everything as it is.
    first.scale(0).await?;
    let access = cluster.get("Secret", "main-access").await?["metadata"]["resourceVersion"].clone();
    let state = cluster.get("Secret", "main-state").await?["metadata"]["resourceVersion"].clone();
    cluster.patch("RegistryIdentity", "bob", disabled(true)).await?;
    cluster
        .patch(
            "Registry",
            "main",
            json!({ "spec": { "auth": { "tokenLifetime": "6m" } } }),
        )
        .await?;
    let accepted = cluster
        .wait_for_condition("Registry", "main", "Accepted", ("False", "Conflict"))
        .await?;
    ensure!(accepted.message.contains("wharfinger.dev/hand-over-to"), "{accepted:?}");
    let enforced = cluster.condition("RegistryIdentity", "bob", "Programmed").await;
    ensure!(
        enforced.is_err(),
        "an edit that nobody followed is called enforced: {enforced:?}"
    );
    ensure!(
        target.login("bob", "bob's password").await? == 200,
        "the second installation published"
    );
    ensure!(
        cluster.get("Secret", "main-access").await?["metadata"]["resourceVersion"] == access,
        "the access Secret was written"
    );
    ensure!(
        cluster.get("Secret", "main-state").await?["metadata"]["resourceVersion"] == state,
        "the state Secret was written"
    );
    written().map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_one_leads_and_the_other_takes_over_when_it_is_killed() -> Result<()> {
    let _alone = ALONE.lock().await;
    with_namespace("leaders", async |cluster| {
        let target = set_up(&cluster).await?;
        let before = registries::incarnation(&cluster, "main").await?;
        let operator = Operator::new(&cluster);
        operator.scale(2).await?;
        let meanwhile = async {
            let leader = operator.leader().await?;
            let pods = operator.pods().await?;
            let leading = pods
                .iter()
                .find(|pod| pod["metadata"]["name"] == leader.as_str())
                .context("no Pod leads")?;
            let standing_by = pods
                .iter()
                .find(|pod| pod["metadata"]["name"] != leader.as_str())
                .context("nobody stands by")?;
            // Forced, and so without a chance to release the Lease.
            let (name, uid) = (text(&leading["metadata"]["name"]), text(&leading["metadata"]["uid"]));
            registries::kill(&uid, "wharfinger-operator")?;
            operator.cluster().delete("Pod", &name).await?;
            wait_for("the other one leads", PATIENCE, async || {
                let now = operator.leader().await?;
                ensure!(
                    standing_by["metadata"]["name"] == now.as_str() || (!now.is_empty() && now != leader),
                    "the leader is `{now}`"
                );
                Ok(())
            })
            .await?;
            wait_until_followed(&cluster, target).await
        };
        undo_after(meanwhile, operator.scale(1)).await?;
        wait_until_followed(&cluster, target).await?;
        assert_eq!(
            registries::incarnation(&cluster, "main").await?,
            before,
            "the registry was started again"
        );
        Ok(())
    })
    .await
}

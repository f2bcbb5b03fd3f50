//! Documents that do not fit one Secret.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::cluster::{Cluster, PATIENCE, text};
use e2e::http::Credentials;
use e2e::objects::{allow, authenticated, identity, password, policy, registry, user};
use e2e::{registry as registries, wait_for, with_namespace};
use rand::Rng;
use serde_json::{Value, json};

/// How many policies do not fit one Secret, and fit four.
const POLICIES: usize = 8;

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";

/// A policy of 250 KB that does not get much smaller when it is compressed; it allows alice to push to `large/<number>`.
fn large(number: usize) -> Value {
    let mut random = rand::rng();
    let mut noise = || -> String {
        let letter = |_| char::from(LETTERS[random.random_range(0..LETTERS.len())]);
        (0..240).map(letter).collect()
    };
    let rules: Vec<Value> = (0..64)
        .map(|rule| {
            let mut patterns: Vec<String> = (0..16).map(|_| noise()).collect();
            patterns[0] = format!("large/{number}");
            json!({ "name": format!("r{rule}"), "repositories": patterns, "role": "push" })
        })
        .collect();
    let mut large = policy(&format!("large-{number}"), "Allow", user("alice"), Value::Null);
    large["spec"]["rules"] = json!(rules);
    large
}

/// Those of the Registry's Secrets that carry what does not fit one.
async fn shards(cluster: &Cluster) -> Result<Vec<String>> {
    let secrets = cluster.list("Secret").await?;
    let names = secrets.iter().filter_map(|secret| secret["metadata"]["name"].as_str());
    let is_shard = |name: &&str| name.starts_with("main-access-") || name.starts_with("main-state-");
    Ok(names.filter(is_shard).map(str::to_owned).collect())
}

/// The slot that the index lists, `a` or `b`; what the operator keeps is in shards, too.
async fn slot(cluster: &Cluster) -> Result<String> {
    let read = |secret: &Value, key: &str| -> Result<Value> {
        ensure!(secret["data"][key].is_string(), "there is no key `{key}`");
        Ok(serde_json::from_slice(&STANDARD.decode(text(&secret["data"][key]))?)?)
    };
    let state = cluster.get("Secret", "main-state").await?;
    ensure!(state["data"]["state"].is_null(), "the state is in its Secret");
    let listed = read(&state, "shards")?["shards"].as_array().map(Vec::len);
    ensure!(listed > Some(1), "the state lists {listed:?} shards");
    let index = cluster.get("Secret", "main-access").await?;
    ensure!(index["data"]["content"].is_null(), "the document is in its Secret");
    let index = read(&index, "index")?;
    index["shards"]["slot"].as_str().map(str::to_owned).context("no slot")
}

async fn all_programmed(cluster: &Cluster) -> Result<()> {
    for number in 0..POLICIES {
        cluster
            .wait_for_condition(
                "AccessPolicy",
                &format!("large-{number}"),
                "Programmed",
                ("True", "Programmed"),
            )
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_outgrows_its_secret_goes_to_shards_and_comes_back_and_nobody_notices() -> Result<()> {
    with_namespace("shards", async |cluster| {
        cluster
            .apply([
                registry("main"),
                password("alice", "alice's password"),
                identity("alice"),
                allow("all", authenticated(), "pull", &["**"]),
            ])
            .await?;
        let target = registries::ready(&cluster, "main").await?;
        target.wait_for_login("alice", "alice's password", 200).await?;
        let alice = Credentials::basic("alice", "alice's password");
        ensure!(shards(&cluster).await?.is_empty(), "there are shards from the start");

        cluster.apply((0..POLICIES).map(large)).await?;
        all_programmed(&cluster).await?;
        let first = slot(&cluster).await?;
        for number in [0, POLICIES - 1] {
            let status = target.push_status(&alice, &format!("large/{number}")).await?;
            ensure!(status == 202, "what large-{number} allows is answered with {status}");
        }

        // The next document goes to the other slot, and is in force at once.
        let disabled = |disabled: bool| json!({ "spec": { "disabled": disabled } });
        cluster.patch("RegistryIdentity", "alice", disabled(true)).await?;
        target.wait_for_login("alice", "alice's password", 401).await?;
        let second = slot(&cluster).await?;
        ensure!(first != second, "`{first}` was written to while it was listed");
        cluster.patch("RegistryIdentity", "alice", disabled(false)).await?;
        target.wait_for_login("alice", "alice's password", 200).await?;

        // A Pod that starts finds all of it.
        let pod = registries::pod(&cluster, "main").await?;
        cluster.delete_and_wait("Pod", &text(&pod["metadata"]["name"])).await?;
        let target = registries::ready(&cluster, "main").await?;
        target.wait_for_login("alice", "alice's password", 200).await?;
        let status = target.push_status(&alice, "large/3").await?;
        ensure!(status == 202, "after a restart it is answered with {status}");

        // What somebody deletes comes back, and what was in force stays meanwhile.
        let listed = slot(&cluster).await?;
        cluster
            .delete_and_wait("Secret", &format!("main-access-{listed}0"))
            .await?;
        wait_for("another slot is listed", PATIENCE, async || {
            ensure!(
                target.login("alice", "alice's password").await? == 200,
                "alice is locked out"
            );
            ensure!(slot(&cluster).await? != listed, "`{listed}` still is");
            Ok(())
        })
        .await?;
        all_programmed(&cluster).await?;

        for number in 0..POLICIES {
            cluster.delete("AccessPolicy", &format!("large-{number}")).await?;
        }
        wait_for("what fits is in one Secret again", PATIENCE, async || {
            let left = shards(&cluster).await?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await?;
        target.wait_for_login("alice", "alice's password", 200).await?;
        let status = target.push_status(&alice, "large/3").await?;
        ensure!(status == 403, "what was deleted is answered with {status}");

        // Nothing of a Registry that is deleted stays.
        cluster.apply((0..POLICIES).map(large)).await?;
        all_programmed(&cluster).await?;
        slot(&cluster).await?;
        cluster.delete_and_wait("Registry", "main").await?;
        wait_for("all shards are gone", PATIENCE, async || {
            let left = shards(&cluster).await?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await
    })
    .await
}

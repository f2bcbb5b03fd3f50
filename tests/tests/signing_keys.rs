//! The keys that sign tokens, when they get old.
//!
//! The least interval of rotation is an hour. The test does not wait: it writes into what the operator keeps that more time has passed.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use e2e::cluster::{Cluster, PATIENCE, text};
use e2e::http::Credentials;
use e2e::objects::{allow, authenticated, identity, password, registry};
use e2e::registry::Target;
use e2e::{registry as registries, wait_for, with_namespace};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Longer than any token lives that is no refresh token: an hour, and what clocks may be apart.
const LONGER: SignedDuration = SignedDuration::from_mins(62);

/// Sets in the Registry's state since when something is so of a key.
async fn write_into_the_past(cluster: &Cluster, key: &str, what: &str, ago: SignedDuration) -> Result<()> {
    let then = Timestamp::now() - ago;
    // The operator may write as well, and then the API server refuses this.
    wait_for(&format!("`{what}` of {key} is written"), PATIENCE, async || {
        let secret = cluster.get("Secret", "main-state").await?;
        let mut json = Vec::new();
        GzDecoder::new(STANDARD.decode(text(&secret["data"]["state"]))?.as_slice()).read_to_end(&mut json)?;
        let mut state: Value = serde_json::from_slice(&json)?;
        let times = &mut state["keyTimes"][key];
        ensure!(times.is_object(), "the state knows nothing of {key}");
        times[what] = json!(then.to_string());
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&serde_json::to_vec(&state)?)?;
        let change = json!({
            "metadata": { "resourceVersion": secret["metadata"]["resourceVersion"] },
            "data": { "state": STANDARD.encode(packed.finish()?) },
        });
        cluster.patch("Secret", "main-state", change).await
    })
    .await
}

/// The name of the key that signed a token.
fn key_of(token: &Credentials) -> Result<String> {
    let Credentials::Bearer(token) = token else {
        anyhow::bail!("this is no token")
    };
    let header = token.split('.').next().unwrap_or_default();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
    header["kid"].as_str().map(str::to_owned).context("no `kid`")
}

/// The names of the keys that the registry publishes.
async fn published(target: Target) -> Result<Vec<String>> {
    let answer = target.get("/.well-known/jwks.json", &Credentials::None).await?.json()?;
    let keys = answer["keys"].as_array().context("no keys")?;
    Ok(keys.iter().map(|key| text(&key["kid"])).collect())
}

/// Uses new tokens and an old one until another key signs, which is returned. Every token is good at once, whichever key has signed it:
/// whoever verifies knows each key before it signs.
async fn until_replaced(target: Target, who: &Credentials, old: &Credentials) -> Result<String> {
    let first = key_of(old)?;
    loop {
        let token = target.token(who, "team-a/app", "pull").await?;
        for (what, token) in [("the old one", old), ("a new one", &token)] {
            let status = target.pull_status(token, "team-a/app").await?;
            ensure!(status == 404, "{what} is answered with {status}");
        }
        let key = key_of(&token)?;
        if key != first {
            return Ok(key);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_has_signed_for_long_is_replaced_and_no_token_is_refused_before_its_end() -> Result<()> {
    with_namespace("signing-keys", async |cluster| {
        let mut main = registry("main");
        main["spec"]["auth"] = json!({ "signingKeyRotation": "1h" });
        cluster
            .apply([
                main,
                password("alice", "alice's password"),
                identity("alice"),
                allow("all", authenticated(), "pull", &["**"]),
            ])
            .await?;
        let target = registries::ready(&cluster, "main").await?;
        target.wait_for_login("alice", "alice's password", 200).await?;
        let alice = Credentials::basic("alice", "alice's password");
        let old = target.token(&alice, "team-a/app", "pull").await?;
        let first = key_of(&old)?;
        ensure!(published(target).await? == [first.as_str()], "there are other keys");

        write_into_the_past(&cluster, &first, "signsSince", SignedDuration::from_hours(2)).await?;
        let replaced = tokio::time::timeout(PATIENCE, until_replaced(target, &alice, &old));
        let second = replaced.await.context("the first key still signs")??;
        let mut keys = published(target).await?;
        keys.sort();
        let mut both = vec![first.clone(), second.clone()];
        both.sort();
        ensure!(keys == both, "{keys:?} are published, and not {both:?}");

        // Once nothing that it has signed can be valid, the first one is gone.
        write_into_the_past(&cluster, &first, "replaced", LONGER).await?;
        wait_for("the old key is gone", PATIENCE, async || {
            let keys = published(target).await?;
            ensure!(keys == [second.as_str()], "{keys:?} are published");
            Ok(())
        })
        .await?;
        let status = target.pull_status(&old, "team-a/app").await?;
        ensure!(status == 401, "a token of a key that is gone is answered with {status}");
        let token = target.token(&alice, "team-a/app", "pull").await?;
        ensure!(key_of(&token)? == second, "yet another key signs");
        ensure!(
            target.pull_status(&token, "team-a/app").await? == 404,
            "the new key's token opens nothing"
        );
        Ok(())
    })
    .await
}

//! What ends by itself.

use anyhow::{Result, ensure};
use e2e::http::Credentials;
use e2e::objects::{allow, authenticated, identity, password, registry};
use e2e::{registry as registries, with_namespace};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// Long enough to be published before it is over.
const LIFE: SignedDuration = SignedDuration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_expires_is_refused_at_its_time_and_says_so() -> Result<()> {
    with_namespace("expiry", async |cluster| {
        let policy = allow("all", authenticated(), "pull", &["**"]);
        cluster
            .apply([
                registry("main"),
                password("alice", "alice's password"),
                identity("alice"),
                policy,
            ])
            .await?;
        let target = registries::ready(&cluster, "main").await?;
        target.wait_for_login("alice", "alice's password", 200).await?;
        let token = target
            .token(&Credentials::basic("alice", "alice's password"), "team-a/app", "pull")
            .await?;
        ensure!(
            target.pull_status(&token, "team-a/app").await? == 404,
            "the token opens nothing"
        );
        let end = Timestamp::now() + LIFE;
        let change = json!({ "spec": { "expiresAt": end.to_string() } });
        cluster.patch("RegistryIdentity", "alice", change).await?;
        let left = end.duration_since(Timestamp::now());
        tokio::time::sleep(left.try_into().unwrap_or_default()).await;
        for (what, status) in [
            ("the password", target.login("alice", "alice's password").await?),
            ("the token", target.pull_status(&token, "team-a/app").await?),
        ] {
            ensure!(status == 401, "{what} is answered with {status} after its end");
        }
        let expired = cluster
            .wait_for_condition("RegistryIdentity", "alice", "Accepted", ("False", "Expired"))
            .await?;
        ensure!(expired.message.contains("set a later `spec.expiresAt`"), "{expired:?}");

        let later = json!({ "spec": { "expiresAt": (end + SignedDuration::from_hours(1)).to_string() } });
        cluster.patch("RegistryIdentity", "alice", later).await?;
        target.wait_for_login("alice", "alice's password", 200).await
    })
    .await
}

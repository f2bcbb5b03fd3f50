//! Where nothing changes, nothing is written.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::audit::{self, Request};
use e2e::cluster::PATIENCE;
use e2e::objects::{
    allow, authenticated, deny, generated, identity, in_groups, new_password, password, registry_on_volume, user,
};
use e2e::operator::Operator;
use e2e::{Cluster, registry as registries, wait_for, with_namespace};
use jiff::Timestamp;
use serde_json::{Value, json};

/// How long nothing may be written.
const QUIET: Duration = Duration::from_secs(180);

/// What a user wrote since then, leases apart.
fn writes(since: Timestamp, user: impl Fn(&str) -> bool) -> Result<Vec<Request>> {
    let mut requests = audit::requests(since, user)?;
    requests.retain(|request| request.is_write() && request.resource != "leases");
    Ok(requests)
}

/// The versions of all objects that the operator writes.
async fn versions(cluster: &Cluster) -> Result<Vec<(String, Value)>> {
    let mut versions = Vec::new();
    for kind in [
        "Registry",
        "RegistryIdentity",
        "AccessPolicy",
        "Secret",
        "ConfigMap",
        "Service",
        "Deployment",
        "Role",
        "RoleBinding",
    ] {
        for object in cluster.list(kind).await? {
            versions.push((
                format!("{kind} {}", object["metadata"]["name"]),
                object["metadata"]["resourceVersion"].clone(),
            ));
        }
    }
    Ok(versions)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_three_minutes_nothing_is_written_but_leases_and_a_new_operator_writes_nothing_either() -> Result<()> {
    with_namespace("steady", async |cluster| {
        let operator = Operator::new(&cluster);
        let objects = [
            registry_on_volume("main"),
            password("alice", "alice's password"),
            in_groups(identity("alice"), &["team-a"]),
            generated("robot"),
            // What is wrong stays wrong, and must not be told again and again.
            identity("without-secret"),
            allow("all", authenticated(), "push", &["**"]),
            deny("some", user("robot"), &["put-manifest"], &["stable/**"]),
        ];
        cluster.apply(objects).await?;
        let mut broken = allow("broken", authenticated(), "pull", &["**"]);
        broken["spec"]["rules"][0]["when"] = json!("nonsense(");
        cluster.apply([broken]).await?;
        let target = registries::ready(&cluster, "main").await?;
        cluster
            .wait_for_condition("RegistryIdentity", "robot", "Ready", ("True", "Ok"))
            .await?;
        cluster
            .wait_for_condition(
                "RegistryIdentity",
                "without-secret",
                "Ready",
                ("False", "SecretNotFound"),
            )
            .await?;
        cluster
            .wait_for_condition("AccessPolicy", "broken", "Accepted", ("False", "InvalidExpression"))
            .await?;
        let is_operator = |user: &str| user == operator.user();
        let of_registry = format!("system:serviceaccount:{}:main-registry", cluster.namespace);

        // A positive: the log does show what the operator writes.
        let before = Timestamp::now();
        cluster
            .patch("Secret", "alice-password", new_password("another password"))
            .await?;
        wait_for("the operator's writes are in the audit log", PATIENCE, async || {
            ensure!(!writes(before, is_operator)?.is_empty(), "there is none");
            Ok(())
        })
        .await?;
        // What earlier tests left to be removed is over when the operator has been silent for a while.
        wait_for("the operator has been silent for 15 s", PATIENCE * 2, async || {
            let since = Timestamp::now() - jiff::SignedDuration::from_secs(15);
            let last = writes(since, is_operator)?;
            ensure!(last.is_empty(), "{last:?}");
            Ok(())
        })
        .await?;

        let (begun, unchanged) = (Timestamp::now(), versions(&cluster).await?);
        tokio::time::sleep(QUIET).await;
        let written = writes(begun, is_operator)?;
        ensure!(
            written.is_empty(),
            "the operator wrote in the steady state: {written:#?}"
        );
        let written = writes(begun, |user| user == of_registry)?;
        ensure!(written.is_empty(), "the registry wrote: {written:#?}");
        let leases = audit::requests(begun, is_operator)?
            .into_iter()
            .filter(|request| request.resource == "leases");
        ensure!(
            leases.filter(Request::is_write).count() > 30,
            "the operator did not renew its lease, so nothing is proven"
        );

        let restarted = Timestamp::now();
        operator.restart().await?;
        tokio::time::sleep(Duration::from_secs(15)).await;
        let written = writes(restarted, is_operator)?;
        ensure!(written.is_empty(), "the operator wrote after its restart: {written:#?}");
        assert_eq!(versions(&cluster).await?, unchanged, "an object has another version");
        // It does follow: what was silence was no death.
        cluster
            .patch("Secret", "alice-password", new_password("a third password"))
            .await?;
        target.wait_for_login("alice", "a third password", 200).await?;
        Ok(())
    })
    .await
}

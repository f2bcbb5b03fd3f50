//! The order in which people apply things does not matter.

use std::sync::Mutex;

use anyhow::{Result, ensure};
use e2e::http::Credentials;
use e2e::objects::{allow, authenticated, group, identity, in_groups, password, registry};
use e2e::{Cluster, registry as registries, with_namespace};
use futures::StreamExt;
use serde_json::Value;

/// How many orders are tried at once.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_applying_the_kinds_ends_in_the_same_conditions_and_the_same_access() -> Result<()> {
    let outcomes = Mutex::new(Vec::new());
    let orders = futures::stream::iter(orders()).map(|order| {
        let outcomes = &outcomes;
        async move {
            with_namespace("order", async |cluster| {
                for kind in order {
                    cluster.apply(objects(kind)).await?;
                }
                let outcome = outcome(&cluster).await?;
                outcomes.lock().unwrap().push((order, outcome));
                Ok(())
            })
            .await
        }
    });
    // All of them to their end: each takes its namespace away.
    let tried: Vec<Result<()>> = orders.buffer_unordered(AT_ONCE).collect().await;
    tried.into_iter().collect::<Result<()>>()?;
    let outcomes = outcomes.into_inner()?;
    ensure!(outcomes.len() == 24, "{} orders were tried", outcomes.len());
    let (first_order, first) = &outcomes[0];
    ensure!(
        first.iter().any(|line| line == "alice pushes to team-a/app: 202"),
        "nobody can do anything: {first:#?}"
    );
    for (order, outcome) in &outcomes {
        assert_eq!(outcome, first, "{order:?} is not like {first_order:?}");
    }
    Ok(())
}

/// All orders of four things.
fn orders() -> Vec<[usize; 4]> {
    let mut orders = Vec::new();
    for a in 0..4 {
        for b in 0..4 {
            for c in 0..4 {
                let order = [a, b, c, 6_usize.saturating_sub(a + b + c)];
                let mut sorted = order;
                sorted.sort_unstable();
                if sorted == [0, 1, 2, 3] {
                    orders.push(order);
                }
            }
        }
    }
    orders
}

/// The objects of one kind.
fn objects(kind: usize) -> Vec<Value> {
    match kind {
        0 => vec![registry("main")],
        1 => vec![password("alice", "alice's password"), password("bob", "bob's password")],
        2 => vec![in_groups(identity("alice"), &["team-a"]), identity("bob")],
        _ => vec![
            allow("team-a", group("team-a"), "push", &["team-a/**"]),
            allow("all", authenticated(), "pull", &["**"]),
        ],
    }
}

/// The conditions of every object, without what is different each time, and who may do what.
async fn outcome(cluster: &Cluster) -> Result<Vec<String>> {
    cluster.wait_until_all_ready().await?;
    let target = registries::ready(cluster, "main").await?;
    let mut lines = Vec::new();
    for kind in ["Registry", "RegistryIdentity", "AccessPolicy"] {
        for object in cluster.list(kind).await? {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            for condition in cluster.conditions(kind, name).await? {
                lines.push(format!(
                    "{kind} {name} {} {} {}",
                    condition.type_, condition.status, condition.reason
                ));
            }
        }
    }
    for (name, who) in [
        ("alice", Credentials::basic("alice", "alice's password")),
        ("bob", Credentials::basic("bob", "bob's password")),
        ("mallory", Credentials::basic("alice", "bob's password")),
        ("nobody", Credentials::None),
    ] {
        for repository in ["team-a/app", "other/app"] {
            lines.push(format!(
                "{name} pulls from {repository}: {}",
                target.pull_status(&who, repository).await?
            ));
            lines.push(format!(
                "{name} pushes to {repository}: {}",
                target.push_status(&who, repository).await?
            ));
        }
    }
    Ok(lines)
}

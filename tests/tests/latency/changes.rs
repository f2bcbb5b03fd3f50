//! The kinds of changes that take a right away, each many times, and how soon each is in force.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::http::{Connection, Credentials};
use e2e::measure::Series;
use e2e::objects::{allow, group, identity, in_groups, new_password, password, user};
use e2e::{Cluster, Target, wait_for};
use serde_json::{Value, json};

use crate::{DEADLINE, MANIFEST};

/// Asks until the status is the wanted one; anything else than 200 before that is an error.
async fn until(status: u16, connection: &mut Connection, who: &Credentials, begun: Instant) -> Result<Duration> {
    until_at(MANIFEST, status, connection, who, begun).await
}

/// The same at another path.
pub(crate) async fn until_at(
    path: &str,
    status: u16,
    connection: &mut Connection,
    who: &Credentials,
    begun: Instant,
) -> Result<Duration> {
    loop {
        let now = connection.status(path, who).await?;
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
    used_at(MANIFEST, target.connect().await?, who).await
}

/// The same of a connection that is open, at another path.
pub(crate) async fn used_at(path: &str, mut connection: Connection, who: &Credentials) -> Result<Connection> {
    let status = connection.status(path, who).await?;
    ensure!(status == 200, "{status} before any change");
    Ok(connection)
}

/// Changes a password: the old one is refused, the new one accepted, and a token lives on.
pub(crate) async fn rotate(cluster: &Cluster, target: Target, changes: usize) -> Result<Series> {
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

pub(crate) async fn disable(cluster: &Cluster, target: Target, changes: usize) -> Result<[Series; 2]> {
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

pub(crate) async fn delete(cluster: &Cluster, target: Target, changes: usize) -> Result<[Series; 2]> {
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

/// Gives a right by `give` and takes it away by `take` again and again: how soon password and token are then answered with `status`.
async fn withdraw(
    target: Target,
    who: &Credentials,
    (status, changes): (u16, usize),
    give: impl AsyncFn() -> Result<()>,
    take: impl AsyncFn() -> Result<()>,
) -> Result<[Series; 2]> {
    let mut series = [Series::default(), Series::default()];
    for _ in 0..changes {
        give().await?;
        wait_for("the right is there", DEADLINE, async || {
            let status = target.status(MANIFEST, who).await?;
            ensure!(status == 200, "{status}");
            Ok(())
        })
        .await?;
        let token = target.token(who, "load/app", "pull").await?;
        let (mut with_password, mut with_token) = (used(target, who).await?, used(target, &token).await?);
        let begun = Instant::now();
        take().await?;
        both(
            status,
            (&mut with_password, who),
            (&mut with_token, &token),
            begun,
            &mut series,
        )
        .await?;
    }
    Ok(series)
}

/// Takes the repositories away from a policy that lets somebody read.
pub(crate) async fn edit_policies(cluster: &Cluster, target: Target, changes: usize) -> Result<[Series; 2]> {
    cluster
        .apply([password("edited", "edited's password"), identity("edited")])
        .await?;
    let who = Credentials::basic("edited", "edited's password");
    let allowing = async |repositories: &str| {
        let policy = allow("edited", user("edited"), "pull", &[repositories]);
        cluster.apply([policy]).await
    };
    let (give, take) = (
        async || allowing("load/**").await,
        async || allowing("elsewhere/**").await,
    );
    withdraw(target, &who, (403, changes), give, take).await
}

/// Takes the group away that a policy is for.
pub(crate) async fn regroup(cluster: &Cluster, target: Target, changes: usize) -> Result<[Series; 2]> {
    cluster
        .apply([
            password("member", "member's password"),
            allow("readers", group("readers"), "pull", &["load/**"]),
        ])
        .await?;
    let who = Credentials::basic("member", "member's password");
    let join = async |name: &str| cluster.apply([in_groups(identity("member"), &[name])]).await;
    let (give, take) = (async || join("readers").await, async || join("others").await);
    withdraw(target, &who, (403, changes), give, take).await
}

/// Takes the label away that a namespace's identities are admitted for.
pub(crate) async fn unlabel(
    cluster: &Cluster,
    tenant: &Cluster,
    target: Target,
    changes: usize,
) -> Result<[Series; 2]> {
    let mut guest = identity("guest");
    guest["spec"]["registryRef"] = json!({ "name": "main", "namespace": cluster.namespace });
    tenant.apply([password("guest", "guest's password"), guest]).await?;
    let name = format!("{}.guest", tenant.namespace);
    cluster
        .apply([allow("guests", user(&name), "pull", &["load/**"])])
        .await?;
    let who = Credentials::basic(&name, "guest's password");
    let label = async |value: Value| {
        let change = json!({ "metadata": { "labels": { "registry": value } } });
        cluster.patch("Namespace", &tenant.namespace, change).await
    };
    let give = async || label(json!(cluster.namespace)).await;
    let take = async || label(Value::Null).await;
    withdraw(target, &who, (401, changes), give, take).await
}

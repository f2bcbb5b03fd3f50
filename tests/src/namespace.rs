//! A namespace for each test, which goes with it.

use std::panic::{AssertUnwindSafe, resume_unwind};

use anyhow::{Result, bail};
use futures::FutureExt;
use rand::Rng;
use serde_json::json;

use crate::Cluster;

/// Runs a test in a namespace of its own and removes the namespace afterwards, whatever came of the test. A test that
/// fails is followed by what the cluster says.
///
/// # Errors
/// That of the test.
pub async fn with_namespace(purpose: &str, test: impl AsyncFnOnce(Cluster) -> Result<()>) -> Result<()> {
    with_labels(purpose, json!({}), test).await
}

/// The same in a namespace that enforces the `restricted` Pod Security Standard.
///
/// # Errors
/// That of the test.
pub async fn with_strict_namespace(purpose: &str, test: impl AsyncFnOnce(Cluster) -> Result<()>) -> Result<()> {
    let standard =
        json!({ "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted" });
    with_labels(purpose, standard, test).await
}

async fn with_labels(
    purpose: &str,
    labels: serde_json::Value,
    test: impl AsyncFnOnce(Cluster) -> Result<()>,
) -> Result<()> {
    let name = format!("{purpose}-{:05x}", rand::rng().random_range(0..0x10_0000));
    let cluster = Cluster::connect(&name).await?;
    cluster.ensure_no_pressure().await?;
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } });
    cluster.apply([namespace]).await?;
    let done = AssertUnwindSafe(test(cluster.clone())).catch_unwind().await;
    if !matches!(done, Ok(Ok(()))) {
        cluster.complain().await;
    }
    let removed = cluster.delete("Namespace", &name).await;
    match done {
        Err(panic) => resume_unwind(panic),
        Ok(Err(error)) => bail!("in namespace {name}: {error:#}"),
        Ok(Ok(())) => removed,
    }
}

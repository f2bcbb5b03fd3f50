//! The operator that the chart installed: its Pods, starting it again, and stopping it.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::{PATIENCE, text};
use crate::{Cluster, environment, wait_for};

/// The Lease by which the operators agree on one.
const LEASE: &str = "wharfinger-operator";

/// The operator.
pub struct Operator {
    cluster: Cluster,
    release: String,
    deployment: String,
}

impl Operator {
    /// The operator of the release under test.
    pub fn new(cluster: &Cluster) -> Self {
        Self {
            cluster: cluster.within(&environment::operator_namespace()),
            release: environment::release(),
            deployment: environment::release(),
        }
    }

    /// The operator of another release, whose name does not hold the chart's.
    pub fn of_release(cluster: &Cluster, namespace: &str, release: &str) -> Self {
        Self {
            cluster: cluster.within(namespace),
            release: release.to_owned(),
            deployment: format!("{release}-wharfinger"),
        }
    }

    /// The operator's namespace.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The user that the API server knows it as.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.cluster.namespace, self.deployment)
    }

    /// Its Pods.
    ///
    /// # Errors
    /// Where the API server cannot be asked.
    pub async fn pods(&self) -> Result<Vec<Value>> {
        let mut pods = self.cluster.list("Pod").await?;
        pods.retain(|pod| pod["metadata"]["labels"]["app.kubernetes.io/instance"] == self.release.as_str());
        Ok(pods)
    }

    /// The name of the Pod that leads; empty where none does.
    ///
    /// # Errors
    /// Where there is no Lease.
    pub async fn leader(&self) -> Result<String> {
        Ok(text(&self.cluster.get("Lease", LEASE).await?["spec"]["holderIdentity"]))
    }

    /// Changes how many run, and waits until exactly so many are ready and one of them leads.
    ///
    /// # Errors
    /// Where that does not come to pass.
    pub async fn scale(&self, replicas: usize) -> Result<()> {
        self.cluster
            .patch(
                "Deployment",
                &self.deployment,
                json!({ "spec": { "replicas": replicas } }),
            )
            .await?;
        self.wait_for_replicas(replicas).await
    }

    /// Waits until exactly so many are ready, and one of them leads.
    ///
    /// # Errors
    /// Where that does not come to pass.
    pub async fn wait_for_replicas(&self, replicas: usize) -> Result<()> {
        wait_for(&format!("{replicas} operators run"), PATIENCE, async || {
            let pods = self.pods().await?;
            ensure!(pods.len() == replicas, "there are {} Pods", pods.len());
            ensure!(pods.iter().all(is_ready), "not all are ready");
            if replicas > 0 {
                let leader = self.leader().await?;
                ensure!(
                    pods.iter().any(|pod| pod["metadata"]["name"] == leader.as_str()),
                    "the leader is `{leader}`"
                );
            }
            Ok(())
        })
        .await
    }

    /// Ends all operators, and waits until as many new ones run.
    ///
    /// # Errors
    /// Where they do not come back.
    pub async fn restart(&self) -> Result<()> {
        let pods = self.pods().await?;
        for pod in &pods {
            self.cluster.delete("Pod", &text(&pod["metadata"]["name"])).await?;
        }
        wait_for("the operator's Pods are other ones", PATIENCE, async || {
            let now = self.pods().await?;
            let stays = now
                .iter()
                .find(|now| pods.iter().any(|pod| pod["metadata"]["uid"] == now["metadata"]["uid"]));
            ensure!(stays.is_none(), "one is still there");
            Ok(())
        })
        .await?;
        self.wait_for_replicas(pods.len()).await
    }

    /// The level of its log, as in `RUST_LOG`.
    ///
    /// # Errors
    /// Where the Deployment does not say.
    pub async fn log_level(&self) -> Result<String> {
        let deployment = self.cluster.get("Deployment", &self.deployment).await?;
        let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let level = variables
            .iter()
            .find(|variable| variable["name"] == "RUST_LOG")
            .map(|variable| text(&variable["value"]));
        level.context("the operator's Deployment has no RUST_LOG")
    }

    /// Changes the level of its log, which starts it again.
    ///
    /// # Errors
    /// Where it does not come back.
    pub async fn set_log_level(&self, level: &str) -> Result<()> {
        let before = self.pods().await?;
        // As a person would: a field that somebody else than helm had set would be a conflict at the next upgrade.
        let chart = environment::repository("charts/wharfinger").display().to_string();
        let value = format!("log.level={}", json!(level));
        let namespace = &self.cluster.namespace;
        let upgrade = [
            "upgrade",
            &self.deployment,
            &chart,
            "--namespace",
            namespace,
            "--reuse-values",
            "--set-json",
            &value,
        ];
        crate::program::helm(&upgrade).await?;
        wait_for("the operator has the new level", PATIENCE, async || {
            for pod in self.pods().await? {
                let variables = pod["spec"]["containers"][0]["env"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                let has = variables
                    .iter()
                    .any(|variable| variable["name"] == "RUST_LOG" && variable["value"] == level);
                ensure!(has, "Pod {} has not", pod["metadata"]["name"]);
            }
            Ok(())
        })
        .await?;
        self.wait_for_replicas(before.len()).await
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    ready && pod["metadata"]["deletionTimestamp"].is_null()
}

//! `status`: Registries, and what each of their Pods enforces.

use std::process::ExitCode;

use anyhow::{Context, Result};
use crds::{Registry, labels};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde::Serialize;
use serde_json::Value;

use crate::arguments::{Common, Which};
use crate::cluster::Cluster;
use crate::output;

/// The port of a registry's own status, in its Pod.
const ADMIN_PORT: u16 = 5001;

/// A Registry.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RegistryReport {
    name: String,
    url: Option<String>,
    conditions: Vec<ConditionReport>,
    /// The revision that was published last.
    published: Option<i64>,
    identities: Option<crds::Counts>,
    policies: Option<crds::Counts>,
    replicas: Vec<Replica>,
}

#[derive(Debug, Serialize)]
struct ConditionReport {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: String,
    message: String,
}

/// A Pod of a Registry.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replica {
    pod: String,
    phase: String,
    /// The revision that it enforces.
    revision: Option<u64>,
    /// Why that is not known.
    trouble: Option<String>,
}

/// `status`
pub(crate) async fn run(common: &Common, which: &Which) -> Result<ExitCode> {
    let cluster = Cluster::connect(common).await?;
    let registries = if let Some(name) = &which.registry {
        vec![cluster.registry(Some(name)).await?]
    } else {
        let all: Api<Registry> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        all.list(&ListParams::default())
            .await
            .context("cannot list Registries")?
            .items
    };
    let mut reports = Vec::new();
    for registry in &registries {
        reports.push(report(&cluster, registry).await?);
    }
    output::answer(common.output, &reports, |reports| match reports.as_slice() {
        [] => format!("no Registry in namespace `{}`", cluster.namespace),
        reports => reports.iter().map(text).collect::<Vec<_>>().join("\n\n"),
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn report(cluster: &Cluster, registry: &Registry) -> Result<RegistryReport> {
    let name = registry.name_any();
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let own = ListParams::default().labels(&format!("{}={name}", labels::REGISTRY));
    let pods = pods.list(&own).await.context("cannot list the Registry's Pods")?.items;
    let status = registry.status.clone().unwrap_or_default();
    let conditions = status.conditions.into_iter().map(|condition| ConditionReport {
        type_: condition.type_,
        status: condition.status,
        reason: condition.reason,
        message: condition.message,
    });
    let endpoints = status.endpoints.unwrap_or_default();
    Ok(RegistryReport {
        url: endpoints.external.or(endpoints.internal),
        conditions: conditions.collect(),
        published: status.access.map(|access| access.revision),
        identities: status.identities,
        policies: status.policies,
        replicas: join_all(pods.iter().map(|pod| replica(cluster, pod))).await,
        name,
    })
}

/// Asks a Pod, through the API server, what it enforces.
async fn replica(cluster: &Cluster, pod: &Pod) -> Replica {
    let name = pod.name_any();
    let path = format!(
        "/api/v1/namespaces/{}/pods/{name}:{ADMIN_PORT}/proxy/status",
        cluster.namespace
    );
    let asked = async {
        let request = http::Request::get(path).body(Vec::new())?;
        let said: Value = cluster.client.request(request).await?;
        anyhow::Ok(said["revision"].as_u64())
    };
    let (revision, trouble) = match asked.await {
        Ok(Some(revision)) => (Some(revision), None),
        Ok(None) => (None, Some("it has no access document yet".to_owned())),
        Err(error) => (None, Some(format!("cannot be asked: {error:#}"))),
    };
    let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
    Replica {
        pod: name,
        phase: phase.unwrap_or_default(),
        revision,
        trouble,
    }
}

fn text(report: &RegistryReport) -> String {
    let count = |counts: &Option<crds::Counts>| match counts {
        Some(counts) => format!("{} accepted, {} rejected", counts.accepted, counts.rejected),
        None => "not counted yet".to_owned(),
    };
    let published = report
        .published
        .map_or_else(|| "none".to_owned(), |revision| revision.to_string());
    let mut lines = vec![
        format!("{}   {}", report.name, report.url.as_deref().unwrap_or("(no URL yet)")),
        format!(
            "identities: {}; policies: {}",
            count(&report.identities),
            count(&report.policies)
        ),
        format!("published revision: {published}"),
    ];
    let conditions: Vec<Vec<String>> = report
        .conditions
        .iter()
        .map(|one| {
            vec![
                one.type_.clone(),
                one.status.clone(),
                one.reason.clone(),
                one.message.clone(),
            ]
        })
        .collect();
    lines.push(output::table(
        &["CONDITION", "STATUS", "REASON", "MESSAGE"],
        &conditions,
    ));
    let replicas: Vec<Vec<String>> = report
        .replicas
        .iter()
        .map(|one| {
            let revision = one.revision.map(|revision| revision.to_string());
            let is_current = one.revision.and_then(|found| i64::try_from(found).ok()) == report.published;
            let state = match (&one.trouble, is_current) {
                (Some(trouble), _) => trouble.clone(),
                (None, true) => "enforces what was published".to_owned(),
                (None, false) => "is behind".to_owned(),
            };
            vec![one.pod.clone(), one.phase.clone(), revision.unwrap_or_default(), state]
        })
        .collect();
    lines.push(output::table(&["POD", "PHASE", "REVISION", "STATE"], &replicas));
    lines.join("\n")
}

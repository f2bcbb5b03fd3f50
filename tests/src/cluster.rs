//! The API server, and one namespace of it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::{environment, wait_for};

/// Longest that anything may take that is not measured: machines of two cores start 24 Pods in a while.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Whom the API server takes for the tests, as the owner of fields.
const FIELD_MANAGER: &str = "e2e";

/// Every kind that the tests handle: its name, group, plural, and whether it belongs to namespaces.
const KINDS: [(&str, &str, &str, bool); 21] = [
    ("Registry", "wharfinger.dev/v1alpha1", "registries", true),
    (
        "RegistryIdentity",
        "wharfinger.dev/v1alpha1",
        "registryidentities",
        true,
    ),
    ("AccessPolicy", "wharfinger.dev/v1alpha1", "accesspolicies", true),
    ("Secret", "v1", "secrets", true),
    ("ConfigMap", "v1", "configmaps", true),
    ("Service", "v1", "services", true),
    ("ServiceAccount", "v1", "serviceaccounts", true),
    ("PersistentVolumeClaim", "v1", "persistentvolumeclaims", true),
    ("PersistentVolume", "v1", "persistentvolumes", false),
    ("Pod", "v1", "pods", true),
    ("Job", "batch/v1", "jobs", true),
    ("Event", "v1", "events", true),
    ("Namespace", "v1", "namespaces", false),
    ("Node", "v1", "nodes", false),
    ("Deployment", "apps/v1", "deployments", true),
    ("Role", "rbac.authorization.k8s.io/v1", "roles", true),
    ("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings", true),
    ("ClusterRole", "rbac.authorization.k8s.io/v1", "clusterroles", false),
    (
        "ClusterRoleBinding",
        "rbac.authorization.k8s.io/v1",
        "clusterrolebindings",
        false,
    ),
    ("Lease", "coordination.k8s.io/v1", "leases", true),
    ("StorageClass", "storage.k8s.io/v1", "storageclasses", false),
];

/// The API server, seen from one namespace.
#[derive(Clone)]
pub struct Cluster {
    /// The client, with the rights of the administrator.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

/// A condition, as a status shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// Its type.
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

impl Cluster {
    /// Connects as `KUBECONFIG` says.
    ///
    /// # Errors
    /// Outside of a node.
    pub async fn connect(namespace: &str) -> Result<Self> {
        environment::required("KUBECONFIG")?;
        environment::required("WHARFINGER_NODE")?;
        let client = Client::try_default().await.context("no cluster to connect to")?;
        Ok(Self {
            client,
            namespace: namespace.into(),
        })
    }

    /// The same API server, seen from another namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        Self {
            client: self.client.clone(),
            namespace: namespace.into(),
        }
    }

    /// The objects of a kind in this namespace.
    ///
    /// # Errors
    /// Where the tests do not know the kind.
    pub fn objects(&self, kind: &str) -> Result<Api<DynamicObject>> {
        let found = KINDS.into_iter().find(|(name, ..)| *name == kind);
        let (kind, api_version, plural, namespaced) = found.with_context(|| format!("unknown kind {kind}"))?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: api_version.into(),
            kind: kind.into(),
            plural: plural.into(),
        };
        Ok(if namespaced {
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        })
    }

    /// Applies objects in their order, as `kubectl apply --server-side` does.
    ///
    /// # Errors
    /// Where the API server refuses one.
    pub async fn apply(&self, objects: impl IntoIterator<Item = Value>) -> Result<()> {
        for object in objects {
            let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
            let params = PatchParams::apply(FIELD_MANAGER).force();
            let applied = self.objects(&kind)?.patch(&name, &params, &Patch::Apply(&object)).await;
            applied.with_context(|| format!("cannot apply {kind} {name}"))?;
        }
        Ok(())
    }

    /// An object, which must exist.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn get(&self, kind: &str, name: &str) -> Result<Value> {
        let found = self.find(kind, name).await?;
        found.with_context(|| format!("there is no {kind} {name}"))
    }

    /// An object, where it exists.
    ///
    /// # Errors
    /// Where the API server cannot be asked.
    pub async fn find(&self, kind: &str, name: &str) -> Result<Option<Value>> {
        let found = self
            .objects(kind)?
            .get_opt(name)
            .await
            .with_context(|| format!("cannot read {kind} {name}"))?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    /// All objects of a kind in this namespace.
    ///
    /// # Errors
    /// Where the API server cannot be asked.
    pub async fn list(&self, kind: &str) -> Result<Vec<Value>> {
        let list = self
            .objects(kind)?
            .list(&ListParams::default())
            .await
            .with_context(|| format!("cannot list {kind}"))?;
        Ok(list
            .items
            .into_iter()
            .map(serde_json::to_value)
            .collect::<Result<_, _>>()?)
    }

    /// Changes parts of an object (a JSON merge patch, RFC 7386).
    ///
    /// # Errors
    /// Where the API server refuses.
    pub async fn patch(&self, kind: &str, name: &str, change: Value) -> Result<()> {
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let patched = self.objects(kind)?.patch(name, &params, &Patch::Merge(&change)).await;
        patched
            .map(drop)
            .with_context(|| format!("cannot change {kind} {name}"))
    }

    /// Deletes an object without waiting for its end.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn delete(&self, kind: &str, name: &str) -> Result<()> {
        let deleted = self.objects(kind)?.delete(name, &DeleteParams::background()).await;
        deleted
            .map(drop)
            .with_context(|| format!("cannot delete {kind} {name}"))
    }

    /// Deletes an object and waits until it is gone, or another one of its name is there.
    ///
    /// # Errors
    /// Where there is none, or it stays.
    pub async fn delete_and_wait(&self, kind: &str, name: &str) -> Result<()> {
        let before = self.get(kind, name).await?["metadata"]["uid"].clone();
        self.delete(kind, name).await?;
        wait_for(&format!("{kind} {name} is gone"), PATIENCE, async || {
            let now = self.find(kind, name).await?;
            ensure!(
                now.is_none_or(|now| now["metadata"]["uid"] != before),
                "it is still there"
            );
            Ok(())
        })
        .await
    }

    /// The conditions of an object, if they are about its latest form.
    ///
    /// # Errors
    /// Where the object does not exist, or its status is about an earlier form.
    pub async fn conditions(&self, kind: &str, name: &str) -> Result<Vec<Condition>> {
        let object = self.get(kind, name).await?;
        let (generation, observed) = (
            &object["metadata"]["generation"],
            &object["status"]["observedGeneration"],
        );
        ensure!(
            generation == observed,
            "{kind} {name} is of generation {generation}, its status of {observed}"
        );
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions
            .iter()
            .map(|condition| Condition {
                type_: text(&condition["type"]),
                status: text(&condition["status"]),
                reason: text(&condition["reason"]),
                message: text(&condition["message"]),
            })
            .collect())
    }

    /// One condition of an object, if it is about the object's latest form.
    ///
    /// # Errors
    /// Where the object has no such condition.
    pub async fn condition(&self, kind: &str, name: &str, type_: &str) -> Result<Condition> {
        let conditions = self.conditions(kind, name).await?;
        let found = conditions.iter().find(|condition| condition.type_ == type_).cloned();
        found.with_context(|| format!("{kind} {name} has no condition {type_}, but {conditions:?}"))
    }

    /// Waits until a condition of an object has this status and reason, and returns it.
    ///
    /// # Errors
    /// Where that does not come to pass.
    pub async fn wait_for_condition(
        &self,
        kind: &str,
        name: &str,
        type_: &str,
        (status, reason): (&str, &str),
    ) -> Result<Condition> {
        wait_for(
            &format!("{kind} {name} has {type_}={status}/{reason}"),
            PATIENCE,
            async || {
                let condition = self.condition(kind, name, type_).await?;
                ensure!(
                    condition.status == status && condition.reason == reason,
                    "{condition:?}"
                );
                Ok(condition)
            },
        )
        .await
    }

    /// Waits until all objects of our kinds in this namespace are Ready in their latest form.
    ///
    /// # Errors
    /// Where one does not become so.
    pub async fn wait_until_all_ready(&self) -> Result<()> {
        wait_for(
            &format!("everything in {} is Ready", self.namespace),
            PATIENCE,
            async || {
                for kind in ["Registry", "RegistryIdentity", "AccessPolicy"] {
                    for object in self.list(kind).await? {
                        let name = text(&object["metadata"]["name"]);
                        let ready = self.condition(kind, &name, "Ready").await?;
                        ensure!(ready.status == "True", "{kind} {name}: {ready:?}");
                    }
                }
                Ok(())
            },
        )
        .await
    }

    /// A token of a ServiceAccount for these audiences; for the API server where there is none.
    ///
    /// # Errors
    /// Where the API server gives none.
    pub async fn token(&self, service_account: &str, audiences: &[&str]) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(audiences.iter().map(ToString::to_string).collect()),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let made = accounts
            .create_token_request(service_account, &PostParams::default(), &request)
            .await?;
        let token = made.status.and_then(|status| status.token);
        token.context("there is no token in the answer")
    }

    /// The log of a Pod's first container; `previous` for the container before the running one.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn log(&self, pod: &str, previous: bool) -> Result<String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = LogParams {
            previous,
            ..LogParams::default()
        };
        pods.logs(pod, &params)
            .await
            .with_context(|| format!("cannot read the log of Pod {pod}"))
    }

    /// Fails where a node is short of something: it then evicts Pods and lets in no new ones, and every test would wait in vain.
    ///
    /// # Errors
    /// With the node's own words.
    pub async fn ensure_no_pressure(&self) -> Result<()> {
        for node in self.list("Node").await? {
            for condition in node["status"]["conditions"].as_array().into_iter().flatten() {
                let is_pressure = text(&condition["type"]).ends_with("Pressure");
                ensure!(
                    !is_pressure || condition["status"] == "False",
                    "Node {} has {}: {}",
                    node["metadata"]["name"],
                    condition["type"],
                    condition["message"]
                );
            }
        }
        Ok(())
    }

    /// Tells people what the cluster says about this namespace, after a failure.
    pub async fn complain(&self) {
        eprintln!("---- namespace {}", self.namespace);
        for kind in ["Registry", "RegistryIdentity", "AccessPolicy"] {
            for object in self.list(kind).await.unwrap_or_default() {
                eprintln!("{kind} {}: {}", object["metadata"]["name"], object["status"]);
            }
        }
        for event in self.list("Event").await.unwrap_or_default() {
            let about = &event["involvedObject"];
            eprintln!(
                "event: {} {}: {}: {}",
                about["kind"], about["name"], event["reason"], event["message"]
            );
        }
        let operator = self.within(&environment::operator_namespace());
        for cluster in [self, &operator] {
            for pod in cluster.list("Pod").await.unwrap_or_default() {
                let name = text(&pod["metadata"]["name"]);
                let log = cluster
                    .log(&name, false)
                    .await
                    .unwrap_or_else(|error| format!("{error:#}"));
                let lines: Vec<&str> = log
                    .lines()
                    .filter(|line| !line.contains("\"level\":\"TRACE\""))
                    .collect();
                let status = &pod["status"];
                eprintln!(
                    "---- {}/{name}: {} {} {}",
                    cluster.namespace, status["phase"], status["reason"], status["message"]
                );
                for part in ["conditions", "containerStatuses"] {
                    eprintln!("{part}: {}", status[part]);
                }
                lines
                    .iter()
                    .skip(lines.len().saturating_sub(30))
                    .for_each(|line| eprintln!("{line}"));
            }
        }
    }
}

/// A JSON value as text; nothing where it is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Parses YAML of one or several documents.
///
/// # Errors
/// Where it is none.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml)?;
    let documents: Vec<Value> = documents
        .into_iter()
        .filter(|document| *document != json!(null))
        .collect();
    if documents.is_empty() {
        bail!("there is no document");
    }
    Ok(documents)
}

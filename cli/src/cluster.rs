//! What the caller may read in a cluster. No Secret is read here.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail};
use crds::{AccessPolicy, Registry, RegistryIdentity};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use wharfinger_operator::preview::Objects;

use crate::arguments::Common;
use crate::output;

/// A cluster, and the namespace that is meant.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Cluster {
    /// The cluster of the kubeconfig.
    pub(crate) async fn connect(common: &Common) -> Result<Self> {
        let options = KubeConfigOptions {
            context: common.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = match Kubeconfig::read() {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
            // Within a Pod there is none.
            Err(error) => match Config::incluster() {
                Ok(config) if common.context.is_none() => return Self::of(config, common),
                _ => Err(error),
            },
        };
        Self::of(config.context("cannot tell which cluster is meant")?, common)
    }

    fn of(config: Config, common: &Common) -> Result<Self> {
        let namespace = common
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self {
            client: Client::try_from(config).context("cannot reach the cluster")?,
            namespace,
        })
    }

    /// The Registry of this name, or the only one of the namespace.
    pub(crate) async fn registry(&self, name: Option<&str>) -> Result<Registry> {
        let registries: Api<Registry> = Api::namespaced(self.client.clone(), &self.namespace);
        if let Some(name) = name {
            let found = registries.get_opt(name).await.context("cannot read the Registry")?;
            return found.with_context(|| format!("there is no Registry `{name}` in namespace `{}`", self.namespace));
        }
        let mut all = registries
            .list(&ListParams::default())
            .await
            .context("cannot list Registries")?
            .items;
        match (all.pop(), all.as_slice()) {
            (Some(only), []) => Ok(only),
            (None, _) => bail!(
                "there is no Registry in namespace `{}`; name another with --namespace",
                self.namespace
            ),
            (Some(last), others) => {
                let names: Vec<String> = others.iter().chain([&last]).map(ResourceExt::name_any).collect();
                bail!(
                    "there are several Registries, so name one with --registry: {}",
                    names.join(", ")
                )
            }
        }
    }
}

/// A Registry and everything about it that the caller may read.
pub(crate) async fn objects(common: &Common, registry: Option<&str>) -> Result<Objects> {
    let cluster = Cluster::connect(common).await?;
    let registry = cluster.registry(registry).await?;
    let admits_others = registry.spec.allowed_identities.is_some() || registry.spec.allowed_policies.is_some();
    let (identities, policies, namespaces) = if admits_others {
        everywhere(&cluster).await?
    } else {
        (
            cluster.list(&cluster.namespace).await?,
            cluster.list(&cluster.namespace).await?,
            HashMap::new(),
        )
    };
    Ok(Objects::about(registry, identities, policies, namespaces))
}

type Everything = (
    Vec<RegistryIdentity>,
    Vec<AccessPolicy>,
    HashMap<String, BTreeMap<String, String>>,
);

/// Objects of all namespaces, or of this one alone where the caller may read no more.
async fn everywhere(cluster: &Cluster) -> Result<Everything> {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let found = async {
        let identities: Api<RegistryIdentity> = Api::all(cluster.client.clone());
        let policies: Api<AccessPolicy> = Api::all(cluster.client.clone());
        let all = ListParams::default();
        let labels = namespaces.list(&all).await?.items;
        let labels = labels
            .into_iter()
            .map(|found| (found.name_any(), found.labels().clone()));
        Ok::<_, kube::Error>((
            identities.list(&all).await?.items,
            policies.list(&all).await?.items,
            labels.collect(),
        ))
    };
    match found.await {
        Ok(found) => Ok(found),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            output::complain(
                "This Registry admits other namespaces, which you may not read: what is there is missing from the answer.",
            );
            let home = &cluster.namespace;
            Ok((cluster.list(home).await?, cluster.list(home).await?, HashMap::new()))
        }
        Err(error) => Err(error).context("cannot list what other namespaces have"),
    }
}

impl Cluster {
    async fn list<K>(&self, namespace: &str) -> Result<Vec<K>>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let kind = K::kind(&K::DynamicType::default()).into_owned();
        let found = api.list(&ListParams::default()).await;
        Ok(found
            .with_context(|| format!("cannot list objects of kind {kind}"))?
            .items)
    }
}

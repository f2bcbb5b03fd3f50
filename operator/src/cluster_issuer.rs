//! [`ClusterIssuer`]: who issues the tokens of ServiceAccounts in this cluster, and the keys that verify them.
//!
//! The operator asks the API server and writes the keys into access documents, so that a registry verifies tokens without
//! asking anybody, also while no API server can be reached.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::api;
use crate::context::Context;

/// How often the keys are read. A cluster publishes new ones before they sign.
const PERIOD: Duration = Duration::from_secs(60);
/// How soon after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// The issuer of a cluster's ServiceAccount tokens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClusterIssuer {
    /// Its name, as tokens have it in `iss`.
    pub(crate) issuer: String,
    /// Its keys: a JSON Web Key Set.
    pub(crate) jwks: Value,
}

/// The issuer as it was read last; nothing before the first time.
#[derive(Debug, Default)]
pub(crate) struct KnownIssuer(Mutex<Option<Arc<ClusterIssuer>>>);

impl KnownIssuer {
    pub(crate) fn get(&self) -> Option<Arc<ClusterIssuer>> {
        self.0.lock().expect("no holder panics").clone()
    }

    /// Keeps what was read; whether it is new.
    fn replace(&self, found: ClusterIssuer) -> bool {
        let mut known = self.0.lock().expect("no holder panics");
        if known.as_deref() == Some(&found) {
            return false;
        }
        *known = Some(Arc::new(found));
        true
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

/// Follows the issuer for as long as the operator leads.
pub(crate) async fn follow(context: &Arc<Context>) {
    loop {
        let pause = match read(&context.client).await {
            Ok(found) => {
                if context.cluster_issuer.replace(found) {
                    context.stores.queue_all(&context.queues);
                }
                PERIOD
            }
            Err(error) => {
                tracing::warn!(
                    error = api::chain(&error),
                    "the keys of ServiceAccount tokens are not read; what is in force stays"
                );
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Reads the issuer's discovery document and its keys (Kubernetes, "ServiceAccount token issuer discovery").
async fn read(client: &Client) -> Result<ClusterIssuer, api::Error> {
    let get = |path: &str| http::Request::get(path).body(Vec::new()).expect("the path is one");
    let discovery: Discovery = api::call(
        "read the issuer of ServiceAccount tokens",
        client.request(get("/.well-known/openid-configuration")),
    )
    .await?;
    let jwks = api::call(
        "read the keys of ServiceAccount tokens",
        client.request(get("/openid/v1/jwks")),
    )
    .await?;
    Ok(ClusterIssuer {
        issuer: discovery.issuer,
        jwks,
    })
}

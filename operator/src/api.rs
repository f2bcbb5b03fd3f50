//! Calls to the API server: each has a deadline of its own, and errors are put in words once.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;

/// Longest that one call may take; the client's own retries count.
const DEADLINE: Duration = Duration::from_secs(10);

/// Name under which the operator owns fields (server-side apply).
pub const FIELD_MANAGER: &str = "wharfinger";

/// A call to the API server that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or could not be reached.
    #[error("cannot {what}")]
    Call {
        /// What was tried, such as "read Secret `main-state`".
        what: String,
        /// Why it did not succeed.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer came in time.
    #[error("cannot {what}: no answer within {} s", DEADLINE.as_secs())]
    Deadline {
        /// What was tried.
        what: String,
    },
}

impl Error {
    /// What the API server says to whoever wrote too late, said before anything is written.
    pub fn conflict(what: impl Into<String>, why: &str) -> Self {
        Self::Call {
            what: what.into(),
            source: Box::new(kube::Error::Api(
                kube::core::Status::failure(why, "Conflict").with_code(409).boxed(),
            )),
        }
    }

    /// Whether somebody else wrote the object first.
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(kube::core::Status::is_conflict)
    }

    /// Whether an object of that name exists already.
    pub fn is_already_exists(&self) -> bool {
        self.status().is_some_and(kube::core::Status::is_already_exists)
    }

    /// Whether the object, or its namespace, does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status()
            .is_some_and(|status| status.is_not_found() || status.code == 404)
    }

    /// Whether the namespace is being deleted, so that nothing can be made there any more.
    pub fn is_terminating(&self) -> bool {
        self.status().is_some_and(|status| {
            let causes = status.details.iter().flat_map(|details| details.causes.iter());
            status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
        })
    }

    /// The API server's words where it refused, for a condition.
    pub fn refusal(&self) -> Option<String> {
        self.status().map(|status| status.message.clone())
    }

    fn status(&self) -> Option<&kube::core::Status> {
        match self {
            Self::Call { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Deadline { .. } => None,
        }
    }
}

/// Makes one call with its deadline; `what` completes the sentence "cannot …".
///
/// # Errors
/// Where the API server refuses, cannot be reached, or does not answer in time.
pub async fn call<T>(what: impl Into<String>, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(Error::Call {
            what: what.into(),
            source: Box::new(source),
        }),
        Err(_) => Err(Error::Deadline { what: what.into() }),
    }
}

/// Makes one call that may find nothing.
///
/// # Errors
/// Like [`call`], apart from an object that does not exist.
pub async fn find<T>(
    what: impl Into<String>,
    get: impl Future<Output = Result<Option<T>, kube::Error>>,
) -> Result<Option<T>, Error> {
    call(what, get).await
}

/// Makes a Secret, or replaces the one of this version and no other: whoever was overtaken gets a conflict. The result is the Secret as it is then.
///
/// # Errors
/// Like [`call`].
pub async fn put(secrets: &Api<Secret>, mut secret: Secret, version: Option<String>) -> Result<Secret, Error> {
    let name = secret.name_any();
    let (what, params) = (format!("write Secret `{name}`"), post_params());
    if version.is_none() {
        return call(what, secrets.create(&params, &secret)).await;
    }
    secret.metadata.resource_version = version;
    call(what, secrets.replace(&name, &params, &secret)).await
}

/// Deletes an object as it was found, and no other version of it; whether it was still there as it was. `what` completes the sentence
/// "cannot …".
///
/// # Errors
/// Like [`call`], apart from an object that is another now, or gone.
pub async fn delete_exactly<K>(
    what: impl Into<String>,
    objects: &Api<K>,
    found: &impl ResourceExt,
) -> Result<bool, Error>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let params = DeleteParams::default().preconditions(Preconditions {
        uid: found.uid(),
        resource_version: found.resource_version(),
    });
    match call(what, objects.delete(&found.name_any(), &params)).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(false),
        Err(error) => Err(error),
    }
}

/// How the operator makes and replaces objects: what it writes is its own.
pub fn post_params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// An error and its causes in one line, for logs.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

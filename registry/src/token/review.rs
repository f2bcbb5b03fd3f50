//! [`Reviews`]: asks the API server whether a ServiceAccount's token is still good. It alone knows that a Pod is gone.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use moka::sync::Cache;
use registry_policy::ServiceAccount;
use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, Semaphore};

use super::TokenError;
use crate::access::secret::ClientError;

/// How long an answer counts. The API server remembers its own for as long again.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// How many answers are remembered.
const REMEMBERED: u64 = 20_000;
/// How many questions are asked at once.
const QUESTIONS: usize = 4;
/// How long a question may take, with the wait for others.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the registry asks the API server with; outside of a cluster there is nobody to ask.
pub type Connect = fn() -> Result<Client, ClientError>;

/// Asks about tokens, and remembers the answers for a moment.
pub struct Reviews {
    connect: Option<Connect>,
    client: OnceCell<Client>,
    answers: Cache<[u8; 32], bool>,
    questions: Semaphore,
}

/// Why nobody can tell whether a token is good.
#[derive(Debug, thiserror::Error)]
enum ReviewError {
    #[error("this registry does not run in a cluster, so there is no API server to ask")]
    Nobody,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(
        "the registry's ServiceAccount must be allowed to create tokenreviews: bind it to the ClusterRole `system:auth-delegator`"
    )]
    Forbidden(#[source] kube::Error),
    #[error("the API server does not say")]
    Api(#[source] kube::Error),
    #[error("the API server does not answer in time")]
    Time,
}

impl Reviews {
    /// Asks with a client that `connect` makes; `None` where there is no cluster.
    pub fn new(connect: Option<Connect>) -> Self {
        Self {
            connect,
            client: OnceCell::new(),
            answers: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(REMEMBERED_FOR)
                .build(),
            questions: Semaphore::new(QUESTIONS),
        }
    }

    /// Whether the API server believes a token of `account` for one of the audiences, now or a moment ago.
    pub(crate) async fn check(
        &self,
        token: &str,
        account: &ServiceAccount,
        audiences: &[String],
    ) -> Result<(), TokenError> {
        let mut digest = Sha256::new().chain_update(token);
        for audience in audiences {
            digest = digest.chain_update([0]).chain_update(audience);
        }
        let digest = digest.finalize().into();
        let answer = tokio::time::timeout(PATIENCE, self.answer(digest, token, account, audiences)).await;
        match answer.unwrap_or(Err(ReviewError::Time)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(TokenError::Reviewed),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "tokens of ServiceAccounts cannot be reviewed"
                );
                Err(TokenError::IssuerUnavailable)
            }
        }
    }

    async fn answer(
        &self,
        digest: [u8; 32],
        token: &str,
        account: &ServiceAccount,
        audiences: &[String],
    ) -> Result<bool, ReviewError> {
        if let Some(answer) = self.answers.get(&digest) {
            return Ok(answer);
        }
        let _permit = self.questions.acquire().await.expect("it is never closed");
        // Somebody may have asked the same meanwhile: a pull sends its token many times at once.
        if let Some(answer) = self.answers.get(&digest) {
            return Ok(answer);
        }
        let answer = is_good(&self.ask(token, audiences).await?, account, audiences);
        self.answers.insert(digest, answer);
        Ok(answer)
    }

    async fn ask(&self, token: &str, audiences: &[String]) -> Result<TokenReviewStatus, ReviewError> {
        let connect = self.connect.ok_or(ReviewError::Nobody)?;
        let client = self.client.get_or_try_init(async || connect()).await?;
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                audiences: Some(audiences.to_vec()),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(client.clone());
        match reviews.create(&PostParams::default(), &review).await {
            Ok(review) => Ok(review.status.unwrap_or_default()),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                Err(ReviewError::Forbidden(kube::Error::Api(status)))
            }
            Err(error) => Err(ReviewError::Api(error)),
        }
    }
}

/// Whether the API server says that the token is the account's and for one of the audiences. One that knows nothing of audiences names none.
fn is_good(status: &TokenReviewStatus, account: &ServiceAccount, audiences: &[String]) -> bool {
    let named = status.audiences.as_deref().unwrap_or_default();
    let user = status.user.as_ref().and_then(|user| user.username.as_deref());
    status.authenticated == Some(true)
        && named.iter().any(|audience| audiences.contains(audience))
        && user == Some(&format!("system:serviceaccount:{}:{}", account.namespace, account.name))
}

impl std::fmt::Debug for Reviews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reviews")
            .field("is_in_cluster", &self.connect.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_a_clear_yes_about_the_same_account_and_audience_counts() {
        let account = ServiceAccount {
            namespace: "ci".to_owned(),
            name: "build".to_owned(),
            ..ServiceAccount::default()
        };
        let ours = ["registry".to_owned()];
        let yes = json!({
            "authenticated": true, "audiences": ["registry"], "user": { "username": "system:serviceaccount:ci:build" },
        });
        let is_good = |change: &[(&str, Value)]| {
            let mut status = yes.clone();
            for (field, value) in change {
                status[*field] = value.clone();
            }
            is_good(&serde_json::from_value(status).unwrap(), &account, &ours)
        };
        assert!(is_good(&[]));
        for change in [
            ("authenticated", json!(false)),
            ("authenticated", Value::Null),
            ("audiences", json!(["other"])),
            ("audiences", Value::Null),
            ("user", json!({ "username": "system:serviceaccount:ci:other" })),
            ("user", Value::Null),
        ] {
            assert!(!is_good(std::slice::from_ref(&change)), "{change:?}");
        }
    }

    #[tokio::test]
    async fn where_there_is_nobody_to_ask_nobody_is_let_in() {
        let reviews = Reviews::new(None);
        let answer = reviews.check("token", &ServiceAccount::default(), &[]).await;
        assert_eq!(answer, Err(TokenError::IssuerUnavailable));
    }
}

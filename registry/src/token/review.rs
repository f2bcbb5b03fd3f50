//! [`Reviews`]: asks the API server whether a ServiceAccount's token is still good. It alone knows that a Pod is gone.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use moka::Expiry;
use moka::future::Cache;
use registry_policy::ServiceAccount;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::TokenError;
use crate::access::secret::ClientError;

/// How long an answer counts. The API server remembers its own for as long again.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// How long it counts that there was none: whoever does not answer is not asked by everybody.
const SILENT_FOR: Duration = Duration::from_secs(2);
/// How many answers are remembered.
const REMEMBERED: u64 = 20_000;
/// How many questions are asked at once.
const QUESTIONS: usize = 4;
/// How long a question may take, with the wait for others.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the registry asks the API server with; there is nobody to ask where the access document is a file.
pub type Connect = fn() -> Result<Client, ClientError>;

/// Asks about tokens, each once at a time, and remembers the answers for a moment.
pub struct Reviews {
    answers: Cache<[u8; 32], Answer>,
    asker: Arc<Asker>,
}

/// What is known about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Good,
    Bad,
    Unknown,
}

struct Asker {
    connect: Option<Connect>,
    client: Mutex<Option<Client>>,
    questions: Semaphore,
    /// Why there was no answer the last time, where there was none.
    trouble: Mutex<Option<String>>,
}

/// How long each kind of answer counts.
struct Counts;

impl Expiry<[u8; 32], Answer> for Counts {
    fn expire_after_create(&self, _: &[u8; 32], answer: &Answer, _: Instant) -> Option<Duration> {
        Some(match answer {
            Answer::Good | Answer::Bad => REMEMBERED_FOR,
            Answer::Unknown => SILENT_FOR,
        })
    }
}

/// Why nobody can tell whether a token is good.
#[derive(Debug, thiserror::Error)]
enum ReviewError {
    #[error("the access document comes from a file, so that no API server is known that could be asked")]
    Nobody,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the registry's ServiceAccount is not allowed to create `tokenreviews`: bind it to a ClusterRole that is")]
    Forbidden(#[source] kube::Error),
    #[error("the API server does not say")]
    Api(#[source] kube::Error),
    #[error("the API server does not answer in time")]
    Time,
}

impl Reviews {
    /// Asks with clients that `connect` makes; `None` where there is nobody to ask.
    pub fn new(connect: Option<Connect>) -> Self {
        Self {
            answers: Cache::builder().max_capacity(REMEMBERED).expire_after(Counts).build(),
            asker: Arc::new(Asker {
                connect,
                client: Mutex::default(),
                questions: Semaphore::new(QUESTIONS),
                trouble: Mutex::default(),
            }),
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
        let answer = if let Some(answer) = self.answers.get(&digest).await {
            answer
        } else {
            let (answers, asker) = (self.answers.clone(), self.asker.clone());
            let (token, account, audiences) = (token.to_owned(), account.clone(), audiences.to_vec());
            // A question goes on when whoever asked first is gone: others wait for the same answer.
            let question = async move {
                answers
                    .get_with(digest, asker.answer(&token, &account, &audiences))
                    .await
            };
            tokio::spawn(question).await.unwrap_or(Answer::Unknown)
        };
        match answer {
            Answer::Good => Ok(()),
            Answer::Bad => Err(TokenError::Reviewed),
            Answer::Unknown => Err(TokenError::IssuerUnavailable),
        }
    }
}

impl Asker {
    async fn answer(&self, token: &str, account: &ServiceAccount, audiences: &[String]) -> Answer {
        let asked = tokio::time::timeout(PATIENCE, self.ask(token, audiences)).await;
        let asked = asked.unwrap_or(Err(ReviewError::Time));
        if matches!(asked, Err(ReviewError::Api(_) | ReviewError::Time)) {
            // Another may find the API server where it is now.
            *self.client.lock().expect("no holder panics") = None;
        }
        self.tell(asked.as_ref().err());
        match asked {
            Ok(status) if is_good(&status, account, audiences) => Answer::Good,
            Ok(status) => {
                tracing::debug!(error = status.error, "a token of a ServiceAccount is not believed");
                Answer::Bad
            }
            Err(_) => Answer::Unknown,
        }
    }

    async fn ask(&self, token: &str, audiences: &[String]) -> Result<TokenReviewStatus, ReviewError> {
        let _permit = self.questions.acquire().await.expect("it is never closed");
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                audiences: Some(audiences.to_vec()),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client()?);
        match reviews.create(&PostParams::default(), &review).await {
            Ok(review) => Ok(review.status.unwrap_or_default()),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                Err(ReviewError::Forbidden(kube::Error::Api(status)))
            }
            Err(error) => Err(ReviewError::Api(error)),
        }
    }

    fn client(&self) -> Result<Client, ReviewError> {
        let mut client = self.client.lock().expect("no holder panics");
        if let Some(client) = client.as_ref() {
            return Ok(client.clone());
        }
        let made = self.connect.ok_or(ReviewError::Nobody)?()?;
        *client = Some(made.clone());
        Ok(made)
    }

    /// Says in the log what has changed: once, whoever else asks.
    fn tell(&self, error: Option<&ReviewError>) {
        let mut trouble = self.trouble.lock().expect("no holder panics");
        let now = error.map(ToString::to_string);
        if *trouble == now {
            return;
        }
        if let Some(error) = error {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "tokens of ServiceAccounts cannot be reviewed, and none is accepted until they can"
            );
        } else {
            tracing::info!("tokens of ServiceAccounts are reviewed again");
        }
        *trouble = now;
    }
}

/// Whether the API server says that the token is the account's and for one of the audiences. One that knows nothing of audiences names none.
fn is_good(status: &TokenReviewStatus, account: &ServiceAccount, audiences: &[String]) -> bool {
    let named = status.audiences.as_deref().unwrap_or_default();
    let user = status.user.as_ref().and_then(|user| user.username.as_deref());
    status.authenticated == Some(true)
        && named.iter().any(|audience| audiences.contains(audience))
        && user == Some(&account.username())
}

impl std::fmt::Debug for Reviews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reviews")
            .field("has_somebody_to_ask", &self.asker.connect.is_some())
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

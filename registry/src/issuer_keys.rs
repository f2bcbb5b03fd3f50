//! [`IssuerKeys`]: the keys of issuers of OpenID Connect tokens, asked for when they are needed and not more often.

mod fetch;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use moka::sync::Cache;
use registry_config::OidcIssuer;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::token::ForeignKeys;

/// After this time keys are asked for again.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// For this long the old ones count meanwhile, so that nobody waits; whoever comes later waits for the answer.
const WHILE_ASKING: Duration = Duration::from_secs(60);
/// After this time keys count no longer where the issuer cannot be asked: it could have withdrawn them.
const USABLE: Duration = Duration::from_secs(60 * 60);
/// Whoever sends tokens with keys that nobody knows makes the registry ask no more often than this.
const BETWEEN: Duration = Duration::from_secs(10);
/// An issuer that did not answer is asked again after this time.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How many issuers' keys are kept; those that no document has any more go first.
const ISSUERS: u64 = 256;

/// The keys of issuers. Each is asked by one task at a time, which goes on when whoever waits for it goes; others wait for its answer.
#[derive(Debug)]
pub struct IssuerKeys {
    sets: Cache<Source, Arc<KeySet>>,
    metrics: Metrics,
}

/// What tells where keys are from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Source {
    issuer: String,
    jwks_url: Option<String>,
    authorities: Option<String>,
}

/// The keys of one issuer.
#[derive(Debug, Default)]
struct KeySet {
    known: ArcSwapOption<Known>,
    /// When it did not answer, as long as it has not answered since.
    failed: ArcSwapOption<Instant>,
    client: Mutex<Option<reqwest::Client>>,
}

/// Keys that an issuer has published.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) keys: ForeignKeys,
    at: Instant,
}

/// The issuer's keys cannot be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unavailable;

impl IssuerKeys {
    /// Knows nobody's keys yet.
    pub fn new(metrics: Metrics) -> Self {
        Self {
            sets: Cache::new(ISSUERS),
            metrics,
        }
    }

    /// The keys of an issuer.
    pub(crate) async fn of(self: &Arc<Self>, issuer: &OidcIssuer) -> Result<Arc<Known>, Unavailable> {
        let set = self.set(issuer);
        let known = set.known.load_full();
        match &known {
            Some(known) if known.at.elapsed() < FRESH => return Ok(known.clone()),
            Some(known) if known.at.elapsed() < FRESH + WHILE_ASKING => {
                // Nobody has to wait for it, and one is enough.
                if set.client.try_lock().is_ok() && !set.has_just_failed() {
                    self.start_asking(set.clone(), issuer, FRESH);
                }
                return Ok(known.clone());
            }
            _ => {}
        }
        let asked = self.ask(set, issuer, FRESH).await;
        // What is known counts for some time where nobody can tell what became of it.
        asked.or_else(|unavailable| known.filter(|known| known.at.elapsed() < USABLE).ok_or(unavailable))
    }

    /// The keys of an issuer that has signed with one that is not known. They may be the same.
    pub(crate) async fn newer(self: &Arc<Self>, issuer: &OidcIssuer) -> Result<Arc<Known>, Unavailable> {
        self.ask(self.set(issuer), issuer, BETWEEN).await
    }

    fn set(&self, issuer: &OidcIssuer) -> Arc<KeySet> {
        let source = Source {
            issuer: issuer.issuer.clone(),
            jwks_url: issuer.jwks_url.clone(),
            authorities: issuer.authorities.clone(),
        };
        self.sets.get_with(source, Arc::default)
    }

    /// Asks the issuer, unless its answer is younger than `age`, or it has just not answered.
    async fn ask(
        self: &Arc<Self>,
        set: Arc<KeySet>,
        issuer: &OidcIssuer,
        age: Duration,
    ) -> Result<Arc<Known>, Unavailable> {
        if let Some(settled) = set.settled(age) {
            return settled;
        }
        self.start_asking(set, issuer, age).await.unwrap_or(Err(Unavailable))
    }

    /// In a task of its own: whoever sends a token and goes must not make the issuer be asked over and over.
    fn start_asking(
        self: &Arc<Self>,
        set: Arc<KeySet>,
        issuer: &OidcIssuer,
        age: Duration,
    ) -> JoinHandle<Result<Arc<Known>, Unavailable>> {
        let (keys, issuer) = (self.clone(), issuer.clone());
        tokio::spawn(async move {
            let mut client = set.client.lock().await;
            // Somebody else may have asked before it was this one's turn.
            if let Some(settled) = set.settled(age) {
                return settled;
            }
            keys.ask_now(&set, &mut client, &issuer).await
        })
    }

    async fn ask_now(
        &self,
        set: &KeySet,
        client: &mut Option<reqwest::Client>,
        issuer: &OidcIssuer,
    ) -> Result<Arc<Known>, Unavailable> {
        match fetch::ask(client, issuer).await {
            Ok(keys) => {
                self.metrics.issuer_asked(true);
                set.failed.store(None);
                let at = Instant::now();
                let known = Arc::new(Known { keys, at });
                set.known.store(Some(known.clone()));
                Ok(known)
            }
            Err(error) => {
                self.metrics.issuer_asked(false);
                set.failed.store(Some(Arc::new(Instant::now())));
                tracing::warn!(
                    issuer = issuer.issuer,
                    error = &error as &dyn std::error::Error,
                    "the keys of an issuer of tokens cannot be read; those that are known of it count for an hour"
                );
                Err(Unavailable)
            }
        }
    }
}

impl KeySet {
    /// What can be said without asking the issuer, whose answer may be as old as `age`.
    fn settled(&self, age: Duration) -> Option<Result<Arc<Known>, Unavailable>> {
        let known = self.known.load_full().filter(|known| known.at.elapsed() < age);
        match known {
            Some(known) => Some(Ok(known)),
            None => self.has_just_failed().then_some(Err(Unavailable)),
        }
    }

    fn has_just_failed(&self) -> bool {
        self.failed
            .load()
            .as_ref()
            .is_some_and(|at| at.elapsed() < AFTER_FAILURE)
    }
}

//! Waiting for something to become true, with a deadline and what was seen last.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

const PAUSE: Duration = Duration::from_millis(50);

/// Looks again and again until `look` succeeds. An error means: not yet, and says what was seen instead.
///
/// # Errors
/// With the last error of `look` once `patience` is over.
pub async fn wait_for<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        let seen = match look().await {
            Ok(value) => return Ok(value),
            Err(seen) => seen,
        };
        if Instant::now() > deadline {
            return Err(anyhow!(
                "waited {} s in vain until {what}; seen last: {seen:#}",
                patience.as_secs()
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

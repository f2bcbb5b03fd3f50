//! [`Throttle`]: makes guessing passwords slow, for whoever guesses and for nobody else.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;

/// How many pairs of username and address are remembered; those that failed longest ago are forgotten first.
const REMEMBERED: u64 = 100_000;
/// After this time without a failure a pair starts anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);
/// Failures that are answered at once: people mistype.
const FREE: u32 = 3;
/// The delay after the first failure that is not free; it doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(250);
/// The longest delay: clients give up not much later, and take that for a broken registry.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// Counts the failures of each pair of username and address. Only the answer to a failure is held back, so nobody is locked
/// out by somebody else's guesses; whether a user exists makes no difference.
#[derive(Debug)]
pub struct Throttle {
    failures: Cache<(String, Option<IpAddr>), Arc<AtomicU32>>,
    /// Whether there was ever any.
    has_failures: AtomicBool,
}

impl Default for Throttle {
    fn default() -> Self {
        let failures = Cache::builder()
            .max_capacity(REMEMBERED)
            .time_to_idle(FORGOTTEN_AFTER)
            .build();
        Self {
            failures,
            has_failures: AtomicBool::new(false),
        }
    }
}

impl Throttle {
    /// Notes a failure, and tells how long its answer is to be held back.
    pub fn failed(&self, username: &str, address: Option<IpAddr>) -> Duration {
        self.has_failures.store(true, Ordering::Relaxed);
        // Names longer than any identity's would fill the memory.
        let name: String = username.chars().take(128).collect();
        let count = self.failures.get_with((name, address), Arc::default);
        delay(count.fetch_add(1, Ordering::Relaxed).saturating_add(1))
    }

    /// Forgets the failures of a pair that has signed in.
    pub fn succeeded(&self, username: &str, address: Option<IpAddr>) {
        // It is asked with each request, and costs nothing where nobody has ever failed.
        if self.has_failures.load(Ordering::Relaxed) {
            self.failures.invalidate(&(username.to_owned(), address));
        }
    }
}

/// The delay of the answer to a failure, counted from 1.
fn delay(failure: u32) -> Duration {
    let Some(doublings) = failure.checked_sub(FREE + 1) else {
        return Duration::ZERO;
    };
    let factor = 2_u32.saturating_pow(doublings);
    FIRST_DELAY.saturating_mul(factor).min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_limit_for_each_pair_alone() {
        let throttle = Throttle::default();
        let (here, there) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        let delays: Vec<u128> = (0..11).map(|_| throttle.failed("a", here).as_millis()).collect();
        assert_eq!(delays, [0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        for _ in 0..40 {
            throttle.failed("a", here);
        }
        assert_eq!(throttle.failed("a", here), LONGEST_DELAY);
        assert_eq!(throttle.failed("a", there), Duration::ZERO);
        assert_eq!(throttle.failed("b", here), Duration::ZERO);
        throttle.succeeded("a", here);
        assert_eq!(throttle.failed("a", here), Duration::ZERO);
    }
}

//! The keys that sign tokens: each is replaced in time, and no token is refused for it.
//!
//! A new key is published first and signs nothing; once every Pod says that it has the document with it, it signs. The key before it
//! goes on verifying for as long as any token lives that it has signed. Every step is one more pass over the Registry, so
//! an operator that ends in between goes on from what the state says.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::Registry;
use jiff::{SignedDuration, Timestamp};
use registry_config::{DurationText, TokenKey, TokenSettings};

use crate::registry::snapshot::Snapshot;
use crate::state::{KeyTimes, State};

/// How long a key signs where the Registry does not say.
const INTERVAL: Duration = Duration::from_hours(720);
/// How far the clocks of Pods may be apart.
const CLOCKS: Duration = Duration::from_secs(60);
/// The most keys that are kept, whatever the tokens live that the oldest have signed: a document has bounds.
const MOST_KEYS: usize = 16;

/// How tokens are made.
pub(super) fn settings(registry: &Registry, state: &State) -> TokenSettings {
    let asked = registry
        .spec
        .auth
        .as_ref()
        .and_then(|auth| auth.token_lifetime.as_ref());
    // The schema admits only durations in range; anything else would be an object older than the schema.
    let lifetime = asked.and_then(|text| text.parse::<DurationText>().ok());
    let lifetime = lifetime.unwrap_or(TokenSettings::DEFAULT_LIFETIME);
    TokenSettings {
        lifetime: lifetime.clamp(TokenSettings::DEFAULT_LIFETIME, TokenSettings::MAX_LIFETIME),
        refresh_lifetime: refresh_lifetime(registry),
        refresh_from: state.refresh_from.unwrap_or_default(),
        keys: state.keys.clone(),
    }
}

/// The revision from which on refresh tokens count: since they are given without a break.
pub(super) fn refresh_from(registry: &Registry, state: &State, next_revision: u64) -> Option<u64> {
    let is_given = refresh_lifetime(registry).is_some();
    is_given.then(|| state.refresh_from.unwrap_or(next_revision))
}

fn refresh_lifetime(registry: &Registry) -> Option<DurationText> {
    let asked = registry
        .spec
        .auth
        .as_ref()?
        .refresh_token_lifetime
        .as_ref()?
        .parse::<DurationText>();
    let (least, most) = (TokenSettings::MIN_REFRESH_LIFETIME, TokenSettings::MAX_REFRESH_LIFETIME);
    asked.ok().map(|lifetime| lifetime.clamp(least, most))
}

/// How long a key verifies after it has signed for the last time: as long as a token may live, and what clocks are apart.
fn keep(longest: DurationText) -> Duration {
    longest.get().saturating_add(CLOCKS)
}

/// The keys and their times, as they are to be now. The first signs.
pub(super) fn rotate(state: &State, snapshot: &Snapshot) -> (Vec<TokenKey>, BTreeMap<String, KeyTimes>) {
    let now = snapshot.now;
    let mut keys = state.keys.clone();
    let mut times: BTreeMap<String, KeyTimes> = BTreeMap::new();
    for (index, key) in keys.iter().enumerate() {
        let known = state.key_times.get(&key.kid).cloned().unwrap_or_default();
        // A key of which nothing is known has signed since it was there.
        let signs_since = known.signs_since.or((index == 0).then_some(now));
        times.insert(key.kid.clone(), KeyTimes { signs_since, ..known });
    }
    let is_replaced = |key: &TokenKey, since| times[&key.kid].replaced.is_some_and(|at| has_passed(at, since, now));
    let longest = refresh_lifetime(&snapshot.registry).unwrap_or(TokenSettings::MAX_LIFETIME);
    keys.retain(|key| !is_replaced(key, keep(longest)));
    // Whoever finds an old key should be able to make as little of it as possible.
    for key in &mut keys {
        key.refresh_only = is_replaced(key, keep(TokenSettings::MAX_LIFETIME));
    }
    let Some(signing) = keys.first().map(|key| key.kid.clone()) else {
        return (keys, times);
    };
    let waiting = keys.iter().position(|key| times[&key.kid].signs_since.is_none());
    match waiting {
        Some(position) if snapshot.proven_keys.contains(&keys[position].kid) => {
            let key = keys.remove(position);
            times.entry(signing).or_default().replaced = Some(now);
            times.entry(key.kid.clone()).or_default().signs_since = Some(now);
            keys.insert(0, key);
        }
        Some(_) => {}
        None => {
            let since = times[&signing].signs_since.unwrap_or(now);
            if has_passed(since, interval(&snapshot.registry), now) {
                // Behind the one that signs, the one that was replaced last comes first.
                keys.truncate(MOST_KEYS - 1);
                times.insert(snapshot.fresh_key.kid.clone(), KeyTimes::default());
                keys.push(snapshot.fresh_key.clone());
            }
        }
    }
    times.retain(|kid, _| keys.iter().any(|key| key.kid == *kid));
    (keys, times)
}

fn has_passed(since: Timestamp, time: Duration, now: Timestamp) -> bool {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    now.duration_since(since) >= time
}

fn interval(registry: &Registry) -> Duration {
    let auth = registry.spec.auth.as_ref();
    let asked = auth.and_then(|auth| auth.signing_key_rotation.as_deref()?.parse::<DurationText>().ok());
    asked.map_or(INTERVAL, DurationText::get)
}

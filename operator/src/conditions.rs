//! Verdicts as conditions of the Kubernetes API.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::outcome::Verdict;

/// The longest message; the API allows 32,768 characters, but nobody reads them.
const MAX_MESSAGE: usize = 2048;

/// Turns verdicts into conditions, in their order. The time of a transition is kept while the status stays the same.
pub(crate) fn conditions(
    verdicts: &[(&str, &Verdict)],
    generation: Option<i64>,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    verdicts
        .iter()
        .map(|(type_, verdict)| condition(type_, verdict, generation, before, now))
        .collect()
}

fn condition(
    type_: &str,
    verdict: &Verdict,
    generation: Option<i64>,
    before: &[Condition],
    now: Timestamp,
) -> Condition {
    let status = match verdict.holds {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let since = before
        .iter()
        .find(|old| old.type_ == type_ && old.status == status)
        .map_or_else(|| Time(whole_seconds(now)), |old| old.last_transition_time.clone());
    let mut message: String = verdict.message.chars().take(MAX_MESSAGE).collect();
    if message.len() < verdict.message.len() {
        message.push('…');
    }
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: since,
    }
}

/// The API keeps whole seconds; a finer time would differ from what is read back.
fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_is_dated_only_when_the_status_changes() {
        let early = Timestamp::from_second(1_000).unwrap();
        let late = Timestamp::from_second(2_000).unwrap();
        let yes = Verdict::yes("Ok", "");
        let no = Verdict::no("Broken", "why");
        let first = conditions(&[("Ready", &yes)], Some(1), &[], early);
        let same = conditions(&[("Ready", &yes)], Some(2), &first, late);
        assert_eq!(
            (same[0].last_transition_time.0, same[0].observed_generation),
            (early, Some(2))
        );
        let flipped = conditions(&[("Ready", &no)], Some(2), &same, late);
        assert_eq!(
            (flipped[0].last_transition_time.0, flipped[0].status.as_str()),
            (late, "False")
        );
    }
}

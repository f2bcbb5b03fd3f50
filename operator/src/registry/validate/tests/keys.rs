//! How the keys of tokens follow each other.

use super::*;

/// A pass at an hour, over what the last one left; `proven` are the keys that every Pod is known to have.
fn pass(state: Option<State>, hour: i64, fresh: &str, proven: &[&str]) -> State {
    let auth = json!({ "signingKeyRotation": "24h" });
    pass_with(&auth, state, hour, fresh, proven)
}

fn pass_with(auth: &Value, state: Option<State>, hour: i64, fresh: &str, proven: &[&str]) -> State {
    let mut snapshot = snapshot();
    snapshot.now = Timestamp::from_second(1_000_000 + hour * 3600).unwrap();
    snapshot.fresh_key.kid = fresh.into();
    snapshot.proven_keys = proven.iter().map(|kid| (*kid).to_owned()).collect();
    snapshot.registry = registry(&json!({
        "storage": { "emptyDir": {} }, "auth": auth,
    }));
    let snapshot = match state {
        Some(state) => snapshot.with_state(state),
        None => snapshot,
    };
    let plan = validate(&snapshot, &settings());
    let published = plan.content.token.keys.clone();
    let state = state_of(plan);
    assert_eq!(published, state.keys, "the document has other keys than the state");
    state
}

fn kids(state: &State) -> Vec<&str> {
    state.keys.iter().map(|key| key.kid.as_str()).collect()
}

#[test]
fn a_key_verifies_everywhere_before_it_signs_and_as_long_as_its_tokens_live() {
    let state = pass(None, 0, "a", &[]);
    assert_eq!(kids(&state), ["a"]);
    let state = pass(Some(state), 23, "b", &["a"]);
    assert_eq!(kids(&state), ["a"], "it is not time yet");
    // The next key is there, and does not sign, for as long as some Pod may not have it.
    let state = pass(Some(state), 24, "b", &["a"]);
    assert_eq!(kids(&state), ["a", "b"]);
    let state = pass(Some(state), 100, "c", &["a"]);
    assert_eq!(kids(&state), ["a", "b"]);
    let state = pass(Some(state), 101, "c", &["a", "b"]);
    assert_eq!(kids(&state), ["b", "a"]);
    // The one before it verifies what it has signed, and then goes.
    let state = pass(Some(state), 102, "c", &["a", "b"]);
    assert_eq!(kids(&state), ["b", "a"]);
    let state = pass(Some(state), 103, "c", &["a", "b"]);
    assert_eq!(kids(&state), ["b"]);
    assert_eq!(state.key_times.len(), 1);
    // And so on, from when the key began to sign.
    let state = pass(Some(state), 124, "c", &["b"]);
    assert_eq!(kids(&state), ["b"]);
    let state = pass(Some(state), 125, "c", &["b"]);
    assert_eq!(kids(&state), ["b", "c"]);
}

#[test]
fn a_state_of_before_begins_to_count_when_it_is_first_seen() {
    let mut state = pass(None, 0, "a", &[]);
    state.key_times.clear();
    let state = pass(Some(state), 1000, "b", &["a"]);
    assert_eq!(kids(&state), ["a"]);
    let state = pass(Some(state), 1024, "b", &["a"]);
    assert_eq!(kids(&state), ["a", "b"]);
}

#[test]
fn where_refresh_tokens_are_given_a_key_verifies_as_long_as_those_live() {
    let auth = json!({ "signingKeyRotation": "24h", "refreshTokenLifetime": "48h" });
    let state = pass_with(&auth, None, 0, "a", &[]);
    let state = pass_with(&auth, Some(state), 24, "b", &[]);
    let state = pass_with(&auth, Some(state), 24, "unused", &["b"]);
    assert_eq!(kids(&state), ["b", "a"]);
    let state = pass_with(&auth, Some(state), 47, "unused", &["b"]);
    let state = pass_with(&auth, Some(state), 72, "c", &["b"]);
    assert_eq!(kids(&state), ["b", "a", "c"], "its last refresh token may be used yet");
    let for_refresh = |state: &State| -> Vec<bool> { state.keys.iter().map(|key| key.refresh_only).collect() };
    assert_eq!(
        for_refresh(&state),
        [false, true, false],
        "no other token lives that it has signed"
    );
    let state = pass_with(&auth, Some(state), 73, "unused", &["c"]);
    assert_eq!(kids(&state), ["c", "b"]);
    assert_eq!(for_refresh(&state), [false, false]);
    // Taken back, the setting takes with it what only refresh tokens needed.
    let state = pass(Some(state), 75, "unused", &["c"]);
    assert_eq!(kids(&state), ["c"]);
}

#[test]
fn only_so_many_keys_are_kept_whatever_refresh_tokens_live() {
    let auth = json!({ "signingKeyRotation": "1h", "refreshTokenLifetime": "8760h" });
    let mut state = pass_with(&auth, None, 0, "k0", &[]);
    for hour in 1..=20 {
        let fresh = format!("k{hour}");
        state = pass_with(&auth, Some(state), hour, &fresh, &[]);
        state = pass_with(&auth, Some(state), hour, "unused", &[&fresh]);
    }
    let want: Vec<String> = (5..=20).rev().map(|index| format!("k{index}")).collect();
    assert_eq!(
        kids(&state),
        want,
        "the newest signs, and of the others the latest are kept"
    );
}

#[test]
fn refresh_tokens_do_not_come_back_to_life_with_the_setting() {
    let on = json!({ "refreshTokenLifetime": "48h" });
    let state = pass_with(&on, None, 0, "a", &[]);
    let first = state.refresh_from.unwrap();
    let state = pass_with(&on, Some(state), 1, "a", &[]);
    assert_eq!(state.refresh_from, Some(first));
    let state = pass_with(&json!({}), Some(state), 2, "a", &[]);
    assert_eq!(state.refresh_from, None);
    let state = pass_with(&on, Some(state), 3, "a", &[]);
    assert!(state.refresh_from.unwrap() > first, "{:?}", state.refresh_from);
}

//! What hashes of passwords cost.

use super::*;
use crate::hashing::HashJob;
use crate::password_source::NEXT_KEY;
use crate::registry::validate::Reloadable;

fn wanting(hashing: &Value) -> Snapshot {
    Snapshot {
        registry: registry(&json!({ "storage": { "emptyDir": {} }, "auth": { "passwordHashing": hashing } })),
        ..snapshot()
    }
}

/// The one job that is left.
fn job(plan: &Plan) -> &HashJob {
    let jobs: Vec<_> = plan.jobs().collect();
    let [job] = jobs[..] else {
        panic!("{jobs:?}");
    };
    job
}

#[test]
fn passwords_are_hashed_anew_where_the_cost_changes_and_work_meanwhile() {
    // With pull secrets a replaced password would be accepted for a while; here none is replaced.
    let identity = json!({ "pullSecrets": [{ "name": "pull" }] });
    let before = validate(&snapshot().with_identity("alice", "a", identity.clone()), &settings());
    assert_eq!(before.jobs().count(), 0);
    let state = state_of(before);
    let wanted = json!({ "memory": "46Mi", "iterations": 1 });
    let changed = wanting(&wanted).with_identity("alice", "a", identity).with_state(state);
    let plan = validate(&changed, &settings());
    assert_eq!(passwords(&plan), [(HASH, None)]);
    let alice = &plan.identities["a"];
    assert!(alice.resolved.is_yes() && alice.is_hashed() && alice.password_version().is_some());
    let job = job(&plan);
    assert!(job.renews);
    let strong = job.hashing.of_nobody();
    assert!(strong.as_str().contains("$m=47104,t=1,p=1$"));

    let mut done = changed;
    let mut found = hash("1");
    found.hash = strong.clone();
    done.hashes.insert(slot("a"), HashResult::Hashed(found));
    let plan = validate(&done, &settings());
    assert_eq!(passwords(&plan), [(strong.as_str(), None)]);
    assert_eq!(plan.jobs().count(), 0);
}

#[test]
fn a_password_that_changes_with_the_cost_is_that_of_the_rotation_that_announced_it() {
    let identity = json!({
        "password": { "secretKeyRef": null, "generate": { "secretName": "pw", "rotation": { "interval": "1h", "overlap": "10m" } } },
    });
    let mut state = state_of(validate(
        &snapshot().with_identity("alice", "a", identity.clone()),
        &settings(),
    ));
    let mut next = hash("2");
    next.hash = PasswordHash::parse(OTHER).unwrap();
    next.source.key = NEXT_KEY.into();
    state.identities.get_mut("a").unwrap().next = Some(next);
    // The next password is in its place, and what hashes are to cost has changed before anybody has seen that.
    let mut snapshot = changed(&identity, &state, "3", OTHER, Rotation::default());
    snapshot.registry = wanting(&json!({ "iterations": 3 })).registry;
    let computed = snapshot.hashes.remove(&slot("a")).unwrap();
    let plan = validate(&snapshot, &settings());
    let first = job(&plan);
    assert!(!first.renews && first.in_force.iter().any(|hash| hash.as_str() == OTHER));
    // The hash that it was known by stays until it is renewed, so it is the one that was announced.
    snapshot.hashes.insert(slot("a"), computed);
    let plan = validate(&snapshot, &settings());
    assert_eq!(passwords(&plan), [(OTHER, None), (HASH, Some(1600))]);
    assert!(job(&plan).renews);
}

#[test]
fn a_hash_that_was_brought_along_stays_whatever_new_ones_cost() {
    let own_hash =
        json!({ "password": { "secretKeyRef": null, "hashSecretKeyRef": { "name": "pw", "key": "password" } } });
    let mut snapshot = wanting(&json!({ "iterations": 5 })).with_identity("alice", "a", own_hash);
    let mut found = hash("1");
    found.source.form = SecretForm::Hash;
    snapshot.hashes.insert(slot("a"), HashResult::Hashed(found));
    let plan = validate(&snapshot, &settings());
    assert_eq!(passwords(&plan), [(HASH, None)]);
    assert_eq!(plan.jobs().count(), 0);
}

#[test]
fn a_cost_that_is_not_taken_is_told_and_hashes_are_made_as_by_default() {
    for wanted in [
        json!({ "memory": "7Mi" }),
        json!({ "memory": "1Gi" }),
        json!({ "memory": "much" }),
        json!({ "iterations": -2 }),
        json!({ "parallelism": 0 }),
    ] {
        let snapshot = wanting(&wanted).with_identity("alice", "a", json!({}));
        let why = Reloadable::of(&snapshot.registry).accepted.unwrap_err();
        assert!(why.message.contains("spec.auth.passwordHashing: "), "{}", why.message);
        assert_eq!(passwords(&validate(&snapshot, &settings())), [(HASH, None)]);
    }
}

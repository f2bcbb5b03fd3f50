//! What becomes of identities and policies, good and bad, from snapshots made by hand.

mod guests;
mod hashing;
mod issuers;
mod keys;
mod token_server;

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::{AccessPolicy, Registry, RegistryIdentity, condition_types, reasons};
use jiff::Timestamp;
use registry_config::{AccessContent, PasswordHash, TokenKey};
use serde_json::{Value, json};

use super::{Manage, Plan, validate};
use crate::hashing::{HashResult, HashSlot, Which};
use crate::password_source::SecretForm;
use crate::registry::snapshot::{
    CertificateSource, LiveIndex, Published, Rotation, Snapshot, Source, TrustFile, UserFile,
};
use crate::registry::status::special;
use crate::settings::{LogFormat, Settings};
use crate::state::{LiveState, SecretVersion, SourceVersion, State, StoredHash};

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";

/// A Registry on an emptyDir with some more in its spec.
pub(super) fn registry_with(spec: &Value) -> Registry {
    let mut whole = json!({ "storage": { "emptyDir": {} } });
    merge(&mut whole, spec.clone());
    let registry = json!({
        "apiVersion": "wharfinger.dev/v1alpha1", "kind": "Registry", "metadata": { "name": "main" }, "spec": whole,
    });
    serde_json::from_value(registry).unwrap()
}

fn settings() -> Settings {
    Settings {
        registry_image: "example.com/registry:1".into(),
        allowed_image_prefixes: vec!["example.com/mirror/".into()],
        installation: "system/wharfinger".into(),
        namespace: "system".into(),
        pod_name: "operator-0".into(),
        listen: ([127, 0, 0, 1], 0).into(),
        log_format: LogFormat::Text,
    }
}

fn key() -> TokenKey {
    TokenKey {
        kid: "k".into(),
        private_key: "p".into(),
        refresh_only: false,
    }
}

fn registry(spec: &Value) -> Arc<Registry> {
    Arc::new(
        serde_json::from_value(json!({
            "apiVersion": "wharfinger.dev/v1alpha1", "kind": "Registry",
            "metadata": { "name": "main", "namespace": "team", "uid": "registry" }, "spec": spec,
        }))
        .unwrap(),
    )
}

fn snapshot() -> Snapshot {
    Snapshot::alone(
        registry(&json!({ "storage": { "emptyDir": {} } })),
        key(),
        Timestamp::from_millisecond(1_000_000).unwrap(),
    )
}

impl Snapshot {
    /// Adds an identity whose password is in Secret `pw` in version 1, hashed already.
    fn with_identity(mut self, name: &str, uid: &str, extra: Value) -> Self {
        let mut spec = json!({ "registryRef": { "name": "main" }, "password": { "secretKeyRef": { "name": "pw", "key": "password" } } });
        merge(&mut spec, extra);
        let identity: RegistryIdentity = serde_json::from_value(json!({
            "apiVersion": "wharfinger.dev/v1alpha1", "kind": "RegistryIdentity",
            "metadata": { "name": name, "namespace": "team", "uid": uid, "generation": 1 }, "spec": spec,
        }))
        .unwrap();
        self.identities.push(Arc::new(identity));
        self.sources.insert(
            uid.into(),
            Source::Present {
                uid: "s".into(),
                resource_version: "1".into(),
                rotation: Rotation::default(),
            },
        );
        self.hashes.insert(slot(uid), HashResult::Hashed(hash("1")));
        self
    }

    fn with_policy(mut self, name: &str, spec: &Value) -> Self {
        let policy: AccessPolicy = serde_json::from_value(json!({
            "apiVersion": "wharfinger.dev/v1alpha1", "kind": "AccessPolicy",
            "metadata": { "name": name, "namespace": "team", "uid": name, "generation": 2 }, "spec": spec,
        }))
        .unwrap();
        self.policies.push(Arc::new(policy));
        self
    }

    fn with_state(mut self, state: State) -> Self {
        self.state = LiveState::Ours {
            state,
            secret: SecretVersion::default(),
            taken_over: false,
        };
        self
    }
}

#[test]
fn an_identity_ends_by_the_registrys_clock_and_is_told_to_have_expired() {
    let at = |seconds: i64| json!({ "expiresAt": Timestamp::from_second(seconds).unwrap().to_string() });
    // It is now second 1,000.
    let plan = validate(
        &snapshot()
            .with_identity("later", "1", at(1_001))
            .with_identity("over", "2", at(1_000)),
        &settings(),
    );
    assert_eq!(usernames(&plan), ["later"]);
    assert_eq!(
        plan.content.identities[0].not_after,
        Some(Timestamp::from_second(1_001).unwrap())
    );
    let over = &plan.identities["2"];
    assert_eq!(over.accepted.reason, reasons::EXPIRED);
    assert!(
        over.accepted.message.contains("expired at 1970-01-01T00:16:40Z"),
        "{}",
        over.accepted.message
    );
    assert!(over.holds_username, "nobody else is to sign in under its name");
}

#[test]
fn what_bounds_a_policy_stands_in_the_document() {
    let mut spec = policy(
        "Deny",
        json!({ "name": "r", "repositories": ["**"], "actions": ["put-manifest"], "references": ["latest"] }),
    );
    merge(
        &mut spec,
        json!({ "mode": "Audit", "notBefore": "2026-01-31T12:00:00Z", "notAfter": "2026-02-28T12:00:00Z" }),
    );
    let plan = validate(&snapshot().with_policy("bounded", &spec), &settings());
    let entry = &plan.content.policies[0];
    assert_eq!(entry.mode, registry_policy::Mode::Audit);
    assert_eq!(entry.not_before, Some("2026-01-31T12:00:00Z".parse().unwrap()));
    assert_eq!(entry.not_after, Some("2026-02-28T12:00:00Z".parse().unwrap()));
    assert_eq!(entry.rules[0].references, ["latest"]);
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn slot(uid: &str) -> HashSlot {
    HashSlot {
        identity: uid.to_owned(),
        which: Which::Current,
    }
}

fn hash(resource_version: &str) -> StoredHash {
    StoredHash {
        hash: PasswordHash::parse(HASH).unwrap(),
        source: SourceVersion {
            secret: "pw".into(),
            key: "password".into(),
            uid: "s".into(),
            resource_version: resource_version.into(),
            form: SecretForm::Password,
        },
    }
}

fn state_of(plan: Plan) -> State {
    match plan.manage {
        Manage::Everything { state } => state,
        Manage::Nothing { why } => panic!("{}", why.message),
    }
}

/// The published index, with this content.
fn index_of(content: AccessContent) -> LiveIndex {
    index_at(1, content)
}

/// The same, under this revision.
fn index_at(revision: u64, content: AccessContent) -> LiveIndex {
    let document = Published {
        revision,
        digest: String::new(),
        access: registry_config::Access::compile(content).unwrap(),
    };
    LiveIndex::Read {
        document: Arc::new(document),
        secret: SecretVersion::default(),
    }
}

fn usernames(plan: &Plan) -> Vec<&str> {
    plan.content
        .identities
        .iter()
        .map(|identity| identity.username.as_str())
        .collect()
}

fn policy(effect: &str, rule: Value) -> Value {
    let mut full = json!({ "name": "r", "repositories": ["**"], "actions": ["put-manifest"] });
    merge(&mut full, rule);
    json!({ "targetRefs": [{ "name": "main" }], "effect": effect, "subjects": [{ "any": "Everyone" }], "rules": [full] })
}

#[test]
fn lists_identities_with_their_hash_and_never_without() {
    let mut snapshot = snapshot()
        .with_identity("alice", "a", json!({}))
        .with_identity("bob", "b", json!({}))
        .with_identity("carol", "c", json!({ "disabled": true }));
    snapshot.hashes.remove(&slot("b"));
    let plan = validate(&snapshot, &settings());
    assert_eq!(usernames(&plan), ["alice"]);
    assert_eq!(
        plan.jobs().map(|job| job.slot.identity.as_str()).collect::<Vec<_>>(),
        ["b"]
    );
    assert_eq!(
        plan.content.identities[0].tokens_from, plan.next_revision,
        "tokens from before do not count"
    );
}

#[test]
fn the_same_input_gives_the_same_document_and_state() {
    let first = validate(&snapshot().with_identity("alice", "a", json!({})), &settings());
    let content = first.content.clone();
    let state = state_of(first);
    let mut later = snapshot()
        .with_identity("alice", "a", json!({}))
        .with_state(state.clone());
    later.hashes.clear();
    later.now = Timestamp::from_millisecond(9_000_000).unwrap();
    let second = validate(&later, &settings());
    assert_eq!(second.content, content);
    assert_eq!(second.jobs().count(), 0, "an unchanged password is not hashed again");
    assert_eq!(state_of(second), state);
}

#[test]
fn enabling_an_identity_again_does_not_revive_its_tokens() {
    let listed = state_of(validate(
        &snapshot().with_identity("alice", "a", json!({})),
        &settings(),
    ));
    let before = listed.identities["a"].listed_since.unwrap();
    let disabled = state_of(validate(
        &snapshot()
            .with_identity("alice", "a", json!({ "disabled": true }))
            .with_state(State {
                revision: before,
                ..listed
            }),
        &settings(),
    ));
    assert_eq!(disabled.identities["a"].listed_since, None);
    let again = validate(
        &snapshot().with_identity("alice", "a", json!({})).with_state(disabled),
        &settings(),
    );
    assert!(again.content.identities[0].tokens_from > before);
}

#[test]
fn a_secret_that_goes_missing_or_bad_leaves_the_last_password_in_force() {
    let state = state_of(validate(
        &snapshot().with_identity("alice", "a", json!({})),
        &settings(),
    ));
    let why = crate::outcome::Verdict::no(reasons::SECRET_KEY_NOT_FOUND, "no key");
    let version = SourceVersion {
        resource_version: "2".into(),
        ..hash("2").source
    };
    for (source, result, reason) in [
        (Source::Missing, None, reasons::SECRET_NOT_FOUND),
        (Source::NotMarked, None, reasons::SECRET_NOT_MARKED),
        (
            Source::Present {
                uid: "s".into(),
                resource_version: "2".into(),
                rotation: Rotation::default(),
            },
            Some(HashResult::Unusable { source: version, why }),
            reasons::SECRET_KEY_NOT_FOUND,
        ),
    ] {
        let mut snapshot = snapshot()
            .with_identity("alice", "a", json!({}))
            .with_state(state.clone());
        snapshot.sources.insert("a".into(), source);
        snapshot.hashes = result.into_iter().map(|result| (slot("a"), result)).collect();
        let plan = validate(&snapshot, &settings());
        assert_eq!(usernames(&plan), ["alice"], "{reason}");
        assert_eq!(plan.identities["a"].resolved.reason, reason);
        assert!(
            plan.identities["a"]
                .resolved
                .message
                .contains("the last password stays in force")
        );
    }
}

#[test]
fn a_username_stays_with_whoever_has_it() {
    // `b` is the older object here, but `a` was first to be accepted.
    let state = State {
        usernames: [("ann".to_owned(), "a".to_owned())].into(),
        ..State::new("system/wharfinger", key())
    };
    let both = || {
        snapshot()
            .with_identity("b", "b", json!({ "username": "ann" }))
            .with_identity("a", "a", json!({ "username": "ann" }))
    };
    for (snapshot, winner, loser) in [(both(), "b", "a"), (both().with_state(state.clone()), "a", "b")] {
        let plan = validate(&snapshot, &settings());
        assert_eq!(plan.content.identities[0].uid.as_deref(), Some(winner));
        assert_eq!(plan.identities[loser].accepted.reason, reasons::USERNAME_CONFLICT);
        assert!(
            plan.identities[loser]
                .accepted
                .message
                .contains(&format!("RegistryIdentity `{winner}`"))
        );
    }
    let mut disabled = snapshot()
        .with_identity("a", "a", json!({ "username": "ann", "disabled": true }))
        .with_identity("b", "b", json!({ "username": "ann" }))
        .with_state(state);
    disabled.identities.reverse();
    assert!(
        usernames(&validate(&disabled, &settings())).is_empty(),
        "nobody else signs in under a disabled name"
    );
}

#[test]
fn a_misspelt_field_is_refused_by_its_path() {
    let plan = validate(
        &snapshot()
            .with_identity("alice", "a", json!({ "disable": true }))
            .with_policy("p", &policy("Deny", json!({ "whn": "true" }))),
        &settings(),
    );
    assert_eq!(plan.identities["a"].accepted.reason, reasons::UNKNOWN_FIELD);
    assert!(plan.identities["a"].accepted.message.contains("`spec.disable`"));
    assert!(usernames(&plan).is_empty());
    assert_eq!(plan.policies["p"].accepted.reason, reasons::UNKNOWN_FIELD);
    assert!(plan.policies["p"].accepted.message.contains("`spec.rules[0].whn`"));
}

#[test]
fn a_condition_that_reads_what_may_be_missing_is_refused_of_a_deny_and_told_of_an_allow() {
    let reads = json!({ "actions": ["get-manifest"], "when": "request.digest == 'sha256:x'" });
    let asks = json!({ "actions": ["get-manifest"], "when": "has(request.digest) && request.digest == 'sha256:x'" });
    let judged = |effect: &str, rule: &Value| {
        let plan = validate(&snapshot().with_policy("p", &policy(effect, rule.clone())), &settings());
        let judged = plan.policies.values().next().unwrap().clone();
        (judged.accepted, plan.content.policies)
    };
    for effect in ["Allow", "Deny"] {
        let (accepted, in_force) = judged(effect, &asks);
        assert!(accepted.is_yes() && accepted.message.is_empty(), "{accepted:?}");
        assert_eq!(in_force.len(), 1);
    }
    let (accepted, in_force) = judged("Allow", &reads);
    assert!(accepted.is_yes(), "{accepted:?}");
    let told = "spec.rules[0].when: `request.digest` may be missing for get-manifest";
    assert!(accepted.message.starts_with(told), "{accepted:?}");
    assert!(in_force[0].rules[0].when.is_some());
    let (accepted, in_force) = judged("Deny", &reads);
    assert_eq!(accepted.reason, "InvalidExpression", "{accepted:?}");
    for words in [
        told,
        "`!has(request.digest) || …`",
        "until it is corrected, it acts as it is",
    ] {
        assert!(accepted.message.contains(words), "{accepted:?}");
    }
    assert!(
        in_force[0].rules[0].when.is_some(),
        "it would deny what it does not say"
    );

    // An edit does not take the place of what was right, and what an earlier version accepted stays.
    let good = validate(&snapshot().with_policy("p", &policy("Deny", asks)), &settings());
    let before = good.content.policies.clone();
    let mut state = state_of(good);
    state.policies.get_mut("p").unwrap().generation = 1;
    let again = |state: State| {
        let snapshot = snapshot().with_policy("p", &policy("Deny", reads.clone()));
        let plan = validate(&snapshot.with_state(state), &settings());
        let message = plan.policies["p"].accepted.message.clone();
        (plan.content.policies, message)
    };
    let (edited, message) = again(state.clone());
    assert_eq!(edited, before);
    assert!(
        message.contains("generation 1 of this policy stays in force"),
        "{message}"
    );
    let kept = state.policies.get_mut("p").unwrap();
    kept.generation = 2;
    kept.policy = in_force[0].clone();
    let (upgraded, message) = again(state);
    assert_eq!(upgraded, in_force);
    assert!(message.contains("it acts as it is"), "{message}");
}

#[test]
fn a_broken_edit_keeps_the_last_accepted_generation() {
    let good = validate(
        &snapshot().with_policy("p", &policy("Allow", json!({ "when": "identity.username == 'ann'" }))),
        &settings(),
    );
    let in_force = good.content.policies.clone();
    let state = state_of(good);
    for (when, reason) in [
        ("identity.usrname == 'ann'", reasons::INVALID_EXPRESSION),
        ("identity.username ==", reasons::INVALID_EXPRESSION),
        ("identity.username", reasons::INVALID_EXPRESSION),
    ] {
        let plan = validate(
            &snapshot()
                .with_policy("p", &policy("Allow", json!({ "when": when })))
                .with_state(state.clone()),
            &settings(),
        );
        assert_eq!(plan.content.policies, in_force, "{when}");
        assert_eq!(plan.policies["p"].accepted.reason, reason);
        let message = &plan.policies["p"].accepted.message;
        assert!(
            message.contains("spec.rules[0].when: line 1, column ")
                && message.contains("generation 2 of this policy stays in force"),
            "{message}"
        );
    }
}

#[test]
fn a_deny_whose_condition_was_never_valid_denies_and_an_allow_does_nothing() {
    for (effect, in_force) in [("Deny", 1), ("Allow", 0)] {
        let plan = validate(
            &snapshot().with_policy("p", &policy(effect, json!({ "when": "nonsense(" }))),
            &settings(),
        );
        assert_eq!(plan.content.policies.len(), in_force, "{effect}");
        assert!(
            plan.content
                .policies
                .iter()
                .all(|policy| policy.rules[0].when.is_none())
        );
        assert!(!plan.policies["p"].accepted.is_yes());
    }
    let bad_pattern = policy("Deny", json!({ "repositories": ["a**"], "when": "nonsense(" }));
    assert!(
        validate(&snapshot().with_policy("p", &bad_pattern), &settings())
            .content
            .policies
            .is_empty()
    );
}

#[test]
fn objects_of_other_namespaces_do_nothing() {
    let mut snapshot = snapshot()
        .with_identity("alice", "a", json!({}))
        .with_policy("p", &policy("Deny", json!({})));
    for object in &mut snapshot.identities {
        Arc::get_mut(object).unwrap().metadata.namespace = Some("elsewhere".into());
    }
    for object in &mut snapshot.policies {
        Arc::get_mut(object).unwrap().metadata.namespace = Some("elsewhere".into());
    }
    let plan = validate(&snapshot, &settings());
    assert_eq!((plan.content.identities.len(), plan.content.policies.len()), (0, 0));
    assert_eq!(plan.identities["a"].accepted.reason, reasons::NOT_ALLOWED_BY_REGISTRY);
    assert_eq!(plan.policies["p"].accepted.reason, reasons::NOT_ALLOWED_BY_REGISTRY);
}

#[test]
fn over_the_limit_additions_are_refused_and_removals_go_out() {
    use sha2::{Digest, Sha256};
    let noise = |seed: usize| {
        (0..256)
            .map(|n| hex::encode(Sha256::digest(format!("{seed}/{n}"))))
            .collect::<Vec<_>>()
    };
    let many = |count: usize| {
        (0..count).fold(snapshot(), |snapshot, n| {
            snapshot.with_identity(&format!("i{n}"), &format!("i{n}"), json!({ "groups": noise(n) }))
        })
    };
    let fits = validate(&many(200), &settings());
    assert_eq!(fits.content.identities.len(), 200);
    let mut over = many(600).with_policy("deny", &policy("Deny", json!({})));
    over.index = index_of(fits.content.clone());
    over.identities.remove(0);
    let plan = validate(&over, &settings());
    assert_eq!(
        plan.content.identities.len(),
        199,
        "what was in force stays, what was deleted is gone, nothing is added"
    );
    assert_eq!(plan.content.policies.len(), 1, "a Deny is never dropped");
    assert_eq!(plan.identities["i599"].accepted.reason, reasons::LIMIT_EXCEEDED);
}

/// A policy whose text does not get smaller when it is compressed.
fn large_policy(effect: &str, seed: &str) -> Value {
    use sha2::{Digest, Sha256};
    let texts: Vec<String> = (0..1600)
        .map(|n| hex::encode(Sha256::digest(format!("{seed}/{n}"))))
        .collect();
    let rules = texts.chunks(25).enumerate().map(|(n, texts)| {
        json!({ "name": format!("r{n}"), "repositories": ["**"], "actions": ["put-manifest"],
            "when": format!("identity.username in ['{}']", texts.join("','")) })
    });
    let rules: Vec<Value> = rules.collect();
    json!({ "targetRefs": [{ "name": "main" }], "effect": effect, "subjects": [{ "any": "Everyone" }], "rules": rules })
}

#[test]
fn a_flood_of_policies_of_either_effect_never_keeps_a_revocation_from_going_out() {
    let before = || {
        snapshot()
            .with_identity("ann", "ann", json!({}))
            .with_policy("deny", &policy("Deny", json!({})))
    };
    let published = validate(&before(), &settings());
    assert_eq!(usernames(&published), ["ann"]);
    let in_force = published.content.clone();
    let state = state_of(published);
    for effect in ["Allow", "Deny"] {
        let mut flooded = (0..80).fold(before(), |snapshot, n| {
            let name = format!("flood-{n}");
            snapshot.with_policy(&name, &large_policy(effect, &name))
        });
        flooded = flooded.with_state(state.clone()).with_identity("new", "new", json!({}));
        flooded.index = index_of(in_force.clone());
        flooded
            .identities
            .retain(|identity| identity.metadata.name.as_deref() != Some("ann"));
        let plan = validate(&flooded, &settings());
        assert!(
            plan.content.identities.is_empty(),
            "ann is revoked, and nobody is added"
        );
        assert!(registry_config::pack(&plan.content, plan.next_revision, registry_config::Slot::A).is_ok());
        assert!(plan.content.policies.iter().any(|policy| policy.name == "deny"));
        assert_eq!(plan.policies["flood-0"].accepted.reason, reasons::LIMIT_EXCEEDED);
        assert_eq!(plan.identities["new"].accepted.reason, reasons::LIMIT_EXCEEDED);
        let state = state_of(plan);
        assert_eq!(state.excess(), None, "{effect}");
        assert!(!state.policies.contains_key("flood-0") && !state.identities.contains_key("new"));
    }
}

#[test]
fn pods_that_serve_are_not_replaced_by_some_without_a_certificate() {
    let deployment = |secret: Option<&str>| {
        let volumes = secret.map(|secret| json!([{ "name": "tls", "secret": { "secretName": secret } }]));
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "main" },
            "spec": { "template": { "spec": { "volumes": volumes } } },
        }))
        .unwrap()
    };
    let waits = |deployed: Option<Option<&str>>, certificate| {
        let snapshot = Snapshot {
            registry: registry(&json!({ "storage": { "emptyDir": {} }, "tls": { "secretRef": { "name": "new" } } })),
            deployment: deployed.map(|secret| Arc::new(deployment(secret))),
            certificate,
            ..snapshot()
        };
        validate(&snapshot, &settings()).waits_for_certificate
    };
    assert!(waits(Some(Some("old")), CertificateSource::Missing));
    assert!(waits(Some(Some("old")), CertificateSource::WrongType("Opaque".into())));
    assert!(
        waits(Some(None), CertificateSource::Missing),
        "clear text is served until then"
    );
    assert!(!waits(None, CertificateSource::Missing), "nobody is served yet");
    assert!(
        !waits(Some(Some("new")), CertificateSource::Missing),
        "its Pods have one"
    );
}

#[test]
fn a_revision_is_above_everything_ever_seen() {
    let mut snapshot = snapshot();
    assert_eq!(validate(&snapshot, &settings()).next_revision, 1_000_001, "the clock");
    snapshot.highest_reported = 5_000_000;
    assert_eq!(validate(&snapshot, &settings()).next_revision, 5_000_001, "a Pod");
    snapshot.index = index_at(6_000_000, validate(&snapshot, &settings()).content);
    assert_eq!(validate(&snapshot, &settings()).next_revision, 6_000_001, "the index");
    let snapshot = snapshot.with_state(State {
        revision: 7_000_000,
        ..State::new("system/wharfinger", key())
    });
    assert_eq!(validate(&snapshot, &settings()).next_revision, 7_000_001, "the state");
}

#[test]
fn another_installation_a_damaged_state_and_a_pause_stop_all_writes() {
    let paused = Snapshot {
        registry: registry(&json!({ "storage": { "emptyDir": {} }, "paused": true })),
        ..snapshot()
    };
    let foreign = Snapshot {
        state: LiveState::Foreign {
            installation: "other/one".into(),
        },
        ..snapshot()
    };
    let damaged = Snapshot {
        state: LiveState::Unreadable { why: "no".into() },
        ..snapshot()
    };
    let taken = Snapshot {
        index: LiveIndex::Foreign,
        ..snapshot()
    };
    for (snapshot, reason) in [
        (paused, reasons::PAUSED),
        (foreign, reasons::CONFLICT),
        (damaged, reasons::CONFLICT),
        (taken, reasons::CONFLICT),
    ] {
        match validate(&snapshot, &settings()).manage {
            Manage::Nothing { why } => assert_eq!(why.reason, reason),
            Manage::Everything { .. } => panic!("{reason}"),
        }
    }
}

#[test]
fn an_image_must_be_the_default_or_begin_with_an_allowed_prefix() {
    for (image, allowed) in [
        (None, true),
        (Some("example.com/registry:1"), true),
        (Some("example.com/mirror/registry:2"), true),
        (Some("evil.example/registry"), false),
    ] {
        let mut spec = json!({ "storage": { "emptyDir": {} } });
        if let Some(image) = image {
            spec["image"] = json!(image);
        }
        let plan = validate(
            &Snapshot {
                registry: registry(&spec),
                ..snapshot()
            },
            &settings(),
        );
        assert_eq!(plan.workload.is_ok(), allowed, "{image:?}");
        assert!(
            matches!(plan.manage, Manage::Everything { .. }),
            "identities and policies are followed all the same"
        );
    }
}

const OTHER: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";

/// A snapshot one pass later, in which the Secret of `alice` has another version, with that hash.
fn changed(identity: &Value, state: &State, resource_version: &str, phc: &str, rotation: Rotation) -> Snapshot {
    let mut snapshot = snapshot()
        .with_identity("alice", "a", identity.clone())
        .with_state(state.clone());
    let mut found = hash(resource_version);
    found.hash = PasswordHash::parse(phc).unwrap();
    snapshot.hashes.insert(slot("a"), HashResult::Hashed(found));
    snapshot.sources.insert(
        "a".into(),
        Source::Present {
            uid: "s".into(),
            resource_version: resource_version.into(),
            rotation,
        },
    );
    snapshot
}

/// The hashes of `alice` in the document, each with its end in seconds.
fn passwords(plan: &Plan) -> Vec<(&str, Option<i64>)> {
    let entries = plan.content.identities[0].passwords.iter();
    entries
        .map(|entry| (entry.hash.as_str(), entry.not_after.map(Timestamp::as_second)))
        .collect()
}

#[test]
fn a_replaced_password_ends_at_once_unless_pull_secrets_have_to_follow() {
    for (identity, still) in [
        (json!({}), vec![]),
        (json!({ "pullSecrets": [{ "name": "pull" }] }), vec![(HASH, Some(1030))]),
    ] {
        let first = validate(&snapshot().with_identity("alice", "a", identity.clone()), &settings());
        assert_eq!(passwords(&first), [(HASH, None)]);
        let state = state_of(first);
        let second = validate(
            &changed(&identity, &state, "2", OTHER, Rotation::default()),
            &settings(),
        );
        assert_eq!(passwords(&second), [vec![(OTHER, None)], still].concat(), "{identity}");
        let state = state_of(second);
        // Half a minute later the old one goes, in a document of its own.
        let mut later = changed(&identity, &state, "2", OTHER, Rotation::default());
        later.now = Timestamp::from_second(1030).unwrap();
        assert_eq!(passwords(&validate(&later, &settings())), [(OTHER, None)]);
        // Whoever changes back has the first again, without an end.
        let back = validate(&changed(&identity, &state, "3", HASH, Rotation::default()), &settings());
        let first = passwords(&back).into_iter().filter(|(hash, _)| *hash == HASH);
        assert_eq!(first.collect::<Vec<_>>(), [(HASH, None)]);
    }
}

#[test]
fn a_rotation_announces_the_new_password_before_it_is_in_use_and_lets_the_old_one_run_out() {
    let identity = json!({
        "password": { "secretKeyRef": null, "generate": { "secretName": "pw", "rotation": { "interval": "1h", "overlap": "10m" } } },
    });
    let state = state_of(validate(
        &snapshot().with_identity("alice", "a", identity.clone()),
        &settings(),
    ));
    let pending = || Rotation {
        since: None,
        is_pending: true,
    };
    // The next password stands in the Secret: both are hashed, and then both are accepted.
    let mut snapshot = changed(&identity, &state, "2", HASH, pending());
    let plan = validate(&snapshot, &settings());
    assert_eq!(passwords(&plan), [(HASH, None)]);
    let keys: Vec<(Which, &str)> = plan.jobs().map(|job| (job.slot.which, job.key.as_str())).collect();
    assert_eq!(keys, [(Which::Next, "nextPassword")]);
    assert_eq!(plan.identities["a"].announced_next(), None);
    let mut next = hash("2");
    next.source.key = "nextPassword".into();
    next.hash = PasswordHash::parse(OTHER).unwrap();
    let next_slot = HashSlot {
        which: Which::Next,
        ..slot("a")
    };
    snapshot.hashes.insert(next_slot, HashResult::Hashed(next));
    let plan = validate(&snapshot, &settings());
    assert_eq!(passwords(&plan), [(HASH, None), (OTHER, None)]);
    assert_eq!(plan.identities["a"].announced_next().unwrap().key, "nextPassword");
    let state = state_of(plan);
    // It has taken the other's place in the Secret: until it is recognised nothing changes.
    let mut swapped = changed(&identity, &state, "3", OTHER, Rotation::default());
    let recognised = swapped.hashes.remove(&slot("a")).unwrap();
    let plan = validate(&swapped, &settings());
    assert_eq!(passwords(&plan), [(HASH, None), (OTHER, None)]);
    let candidates: Vec<&str> = plan
        .jobs()
        .flat_map(|job| &job.in_force)
        .map(PasswordHash::as_str)
        .collect();
    assert_eq!(
        candidates,
        [HASH, OTHER],
        "the password is one of these, and is not hashed anew"
    );
    swapped.hashes.insert(slot("a"), recognised);
    let plan = validate(&swapped, &settings());
    assert_eq!(passwords(&plan), [(OTHER, None), (HASH, Some(1000 + 600))]);
}

#[test]
fn a_password_that_somebody_replaces_has_no_overlap_of_a_rotation_and_disabling_ends_all_but_the_last() {
    let identity = json!({
        "password": { "secretKeyRef": null, "generate": { "secretName": "pw", "rotation": { "interval": "720h", "overlap": "24h" } } },
    });
    let state = state_of(validate(
        &snapshot().with_identity("alice", "a", identity.clone()),
        &settings(),
    ));
    let edited = validate(
        &changed(&identity, &state, "2", OTHER, Rotation::default()),
        &settings(),
    );
    assert_eq!(passwords(&edited), [(OTHER, None)]);
    // With pull secrets half a minute is left to it, and not across a time in which the identity is disabled.
    let mut with_pull = identity.clone();
    with_pull["pullSecrets"] = json!([{ "name": "pull" }]);
    let edited = validate(
        &changed(&with_pull, &state, "2", OTHER, Rotation::default()),
        &settings(),
    );
    assert_eq!(passwords(&edited), [(OTHER, None), (HASH, Some(1030))]);
    let state = state_of(edited);
    let mut disabled = with_pull.clone();
    disabled["disabled"] = json!(true);
    let state = state_of(validate(
        &changed(&disabled, &state, "2", OTHER, Rotation::default()),
        &settings(),
    ));
    let again = validate(
        &changed(&with_pull, &state, "2", OTHER, Rotation::default()),
        &settings(),
    );
    assert_eq!(passwords(&again), [(OTHER, None)]);
}

#[test]
fn a_name_that_the_registry_would_refuse_is_refused_here_and_touches_nobody_else() {
    let snapshot = snapshot().with_identity("alice", "a", json!({})).with_identity(
        "odd",
        "b",
        json!({ "username": "a\u{85}b", "serviceAccounts": [{ "name": "x" }] }),
    );
    let plan = validate(&snapshot, &settings());
    assert_eq!(plan.identities["b"].accepted.reason, reasons::INVALID);
    assert_eq!(usernames(&plan), ["alice"]);
    registry_config::Access::compile(plan.content).unwrap();
}

#[test]
fn whoever_must_not_sign_in_keeps_the_names_that_guests_could_come_by() {
    let bot = |changes: Value| {
        let mut identity = json!({
            "password": null, "serviceAccounts": [{ "name": "bot" }], "certificateSubjects": [{ "commonName": "bot" }],
        });
        merge(&mut identity, changes);
        identity
    };
    for changes in [
        json!({ "disabled": true }),
        json!({ "expiresAt": "1970-01-01T00:00:01Z" }),
        json!({ "misspelt": 1 }),
    ] {
        let plan = validate(
            &snapshot().with_identity("builder", "a", bot(changes.clone())),
            &settings(),
        );
        let [over] = plan.content.identities.as_slice() else {
            panic!("{changes}: {:?}", plan.content.identities)
        };
        assert!(!over.is_in_force(snapshot().now), "{changes}");
        assert_eq!(
            (over.service_accounts.len(), over.certificate_subjects.len()),
            (1, 1),
            "{changes}"
        );
    }
    // Who has a name in the document in force keeps it, whoever older names it later.
    let newer = snapshot().with_identity("builder", "b", bot(json!({})));
    let content = validate(&newer, &settings()).content;
    let mut both = snapshot()
        .with_identity("older", "a", bot(json!({})))
        .with_identity("builder", "b", bot(json!({})));
    both.index = index_of(content);
    let plan = validate(&both, &settings());
    assert_eq!(plan.identities["a"].accepted.reason, reasons::SERVICE_ACCOUNT_CONFLICT);
    assert!(plan.identities["b"].accepted.is_yes());
}

#[test]
fn users_of_a_file_sign_in_beside_identities_and_stay_when_the_file_goes_missing() {
    let file = |text: &str| UserFile::Read {
        secret: "users".into(),
        file: registry_config::Htpasswd::parse(text),
    };
    let line = |name: &str| format!("{name}:$2y$05$Kq2ADEwl.sLO6gyHXQ2kce1aC5cHPtnDlsGhkTvvQrzCmuPJ8ZMl6\n");
    let mut first = snapshot().with_identity("alice", "a", json!({ "disabled": true }));
    first.users = file(&(line("alice") + &line("bob") + "carol:$apr1$x$y\n"));
    let plan = validate(&first, &settings());
    // A disabled identity keeps its name, so that nobody signs in under it.
    assert_eq!(usernames(&plan), ["bob"]);
    assert_eq!(plan.content.identities[0].uid.as_deref(), Some("htpasswd:bob"));
    let why = plan.references.clone().unwrap_err();
    assert!(
        why.reason == reasons::INVALID_HTPASSWD && why.message.contains("`carol`"),
        "{}",
        why.message
    );
    let revision = plan.next_revision;
    let state = state_of(plan);
    for (users, listed, reason) in [
        (
            UserFile::Missing { secret: "users".into() },
            vec!["bob"],
            reasons::SECRET_NOT_FOUND,
        ),
        (
            UserFile::NotMarked { secret: "users".into() },
            vec!["bob"],
            reasons::SECRET_NOT_MARKED,
        ),
        (UserFile::NotNeeded, vec![], ""),
        (file(""), vec![], ""),
    ] {
        let mut later = snapshot().with_state(state.clone());
        later.users = users;
        let plan = validate(&later, &settings());
        assert_eq!(usernames(&plan), listed);
        assert_eq!(plan.references.clone().err().map_or("", |why| why.reason), reason);
        if let [bob] = plan.content.identities.as_slice() {
            assert_eq!(bob.tokens_from, revision, "tokens of before still count");
        }
    }
}

#[test]
fn service_accounts_are_of_the_identitys_own_namespace_and_stand_for_one_identity() {
    let issuer = Arc::new(crate::cluster_issuer::ClusterIssuer {
        issuer: "https://issuer".into(),
        jwks: json!({ "keys": [] }),
    });
    let bot = json!({ "password": null, "serviceAccounts": [{ "name": "bot" }] });
    let mut snapshot = snapshot()
        .with_identity("builder", "a", bot.clone())
        .with_identity("thief", "b", bot);
    snapshot.cluster_issuer = Some(issuer.clone());
    let plan = validate(&snapshot, &settings());
    assert_eq!(usernames(&plan), ["builder"]);
    let accounts = &plan.content.identities[0].service_accounts;
    assert_eq!(
        (accounts[0].namespace.as_str(), accounts[0].name.as_str()),
        ("team", "bot")
    );
    assert!(plan.content.identities[0].passwords.is_empty());
    assert_eq!(plan.identities["b"].accepted.reason, reasons::SERVICE_ACCOUNT_CONFLICT);
    let tokens = plan.content.service_accounts.clone().unwrap();
    assert_eq!(tokens.audiences, ["wharfinger.dev/team/main"]);
    assert_eq!(tokens.issuer, "https://issuer");
    assert_eq!(tokens.namespaces, [""; 0]);
    snapshot.registry = registry(&json!({
        "storage": { "emptyDir": {} },
        "auth": { "serviceAccountTokens": { "audience": "registry.example.com", "namespaces": ["ci", "build", "ci"] } },
    }));
    let tokens = validate(&snapshot, &settings()).content.service_accounts.unwrap();
    assert_eq!(tokens.audiences, ["registry.example.com"]);
    assert_eq!(tokens.namespaces, ["build", "ci"]);
    // Switched off, or for an audience of the cluster's own, nobody's is accepted.
    for settings_ in [
        json!({ "mode": "Disabled" }),
        json!({ "audience": "https://kubernetes.default.svc.cluster.local" }),
        json!({ "audience": "https://kubernetes.default.svc" }),
    ] {
        snapshot.registry = registry(&json!({
            "storage": { "emptyDir": {} }, "auth": { "serviceAccountTokens": settings_ },
        }));
        assert_eq!(validate(&snapshot, &settings()).content.service_accounts, None);
    }
}

#[test]
fn what_an_identity_says_of_itself_stands_in_the_document() {
    let attributes = json!({ "team": ["a", "b"] });
    let snapshot = snapshot()
        .with_identity(
            "alice",
            "a",
            json!({ "revokeTokensOnChange": true, "attributes": attributes }),
        )
        .with_identity("bob", "b", json!({ "revokeTokensOnChange": false }));
    let plan = validate(&snapshot, &settings());
    let told: Vec<_> = plan
        .content
        .identities
        .iter()
        .map(|entry| {
            (
                entry.username.as_str(),
                entry.revoke_tokens_on_change,
                json!(entry.attributes),
            )
        })
        .collect();
    assert_eq!(told, [("alice", true, attributes), ("bob", false, json!({}))]);
    assert!(plan.content.identities.iter().all(|entry| entry.home));
}

#[test]
fn who_must_not_sign_in_is_listed_as_over_where_a_proxy_names_people() {
    let mut snapshot = snapshot().with_identity("alice", "a", json!({ "disabled": true }));
    assert_eq!(usernames(&validate(&snapshot, &settings())), [""; 0]);
    snapshot.registry = registry(&json!({
        "storage": { "emptyDir": {} },
        "auth": { "trustedProxies": { "cidrs": ["10.0.0.0/8"], "userHeader": "X-Forwarded-User" } },
    }));
    let plan = validate(&snapshot, &settings());
    assert_eq!(plan.content.user_header.as_deref(), Some("X-Forwarded-User"));
    let [alice] = plan.content.identities.as_slice() else {
        panic!("{:?}", plan.content.identities)
    };
    assert!(alice.username == "alice" && !alice.is_in_force(snapshot.now));
}

#[test]
fn a_registry_has_no_identities_while_all_who_are_listed_are_over() {
    let has_none = |snapshot: &Snapshot| {
        let found = special(snapshot, &validate(snapshot, &settings()));
        found.iter().any(|(type_, _)| *type_ == condition_types::NO_IDENTITIES)
    };
    assert!(has_none(&snapshot()));
    for changes in [
        json!({ "disabled": true }),
        json!({ "expiresAt": "1970-01-01T00:00:01Z" }),
    ] {
        let mut bot = json!({ "password": null, "serviceAccounts": [{ "name": "bot" }] });
        merge(&mut bot, changes.clone());
        let over = snapshot().with_identity("builder", "a", bot);
        assert_eq!(usernames(&validate(&over, &settings())), ["builder"], "{changes}");
        assert!(has_none(&over), "{changes}");
        assert!(!has_none(&over.with_identity("alice", "b", json!({}))), "{changes}");
    }
}

#[test]
fn addresses_that_rules_ask_for_and_the_service_hides_are_told() {
    let rule = |when: &str| policy("Allow", json!({ "when": when }));
    let is_told = |spec: &Value, when: &str| {
        let mut whole = json!({ "storage": { "emptyDir": {} } });
        merge(&mut whole, spec.clone());
        let snapshot = Snapshot {
            registry: registry(&whole),
            ..snapshot()
        };
        let snapshot = snapshot.with_policy("office", &rule(when));
        let found = special(&snapshot, &validate(&snapshot, &settings()));
        found
            .iter()
            .any(|(type_, _)| *type_ == condition_types::CLIENT_ADDRESS_HIDDEN)
    };
    let exposed =
        |policy: Value| json!({ "expose": { "service": { "type": "NodePort", "externalTrafficPolicy": policy } } });
    let by_address = "identity.client_ip != null && cidr('10.0.0.0/8').containsIP(identity.client_ip)";
    let (hidden, shown) = (exposed(json!("Cluster")), exposed(json!("Local")));
    assert!(is_told(&hidden, by_address));
    assert!(is_told(&exposed(json!(null)), by_address));
    assert!(!is_told(&hidden, "identity.username != null"));
    assert!(!is_told(&shown, by_address));
    assert!(!is_told(&json!({}), by_address), "nobody comes from outside");
    let mut ranges = hidden;
    ranges["auth"] = json!({ "allowedSourceRanges": ["10.0.0.0/8"] });
    assert!(is_told(&ranges, "true"));
}

#[test]
fn certificates_of_clients_are_believed_by_the_authorities_that_were_good_last() {
    let authority = rcgen::generate_simple_self_signed(vec!["ca".to_owned()])
        .unwrap()
        .cert
        .pem();
    let spec = |mode: &str| {
        registry(&json!({
            "storage": { "emptyDir": {} }, "tls": { "secretRef": { "name": "tls" } },
            "auth": { "clientCertificates": { "authoritiesSecretRef": { "name": "ca" }, "mode": mode } },
        }))
    };
    let bot = json!({ "password": null, "certificateSubjects": [{ "commonName": "bot" }] });
    let mut snapshot = snapshot()
        .with_identity("builder", "a", bot.clone())
        .with_identity("thief", "b", bot);
    snapshot.registry = spec("Required");
    snapshot.authorities = TrustFile::Read(authority.clone());
    let plan = validate(&snapshot, &settings());
    assert!(plan.references.is_ok());
    let believed = plan.content.client_certificates.clone().unwrap();
    assert_eq!(believed.authorities, authority);
    assert_eq!(believed.mode, registry_config::ClientCertificateMode::Required);
    assert_eq!(usernames(&plan), ["builder"]);
    assert_eq!(plan.identities["b"].accepted.reason, reasons::CERTIFICATE_CONFLICT);
    let content = plan.content;
    for (authorities, reason) in [
        (TrustFile::Missing, reasons::SECRET_NOT_FOUND),
        (TrustFile::NotMarked, reasons::SECRET_NOT_MARKED),
        (TrustFile::Read("nonsense".into()), reasons::INVALID_AUTHORITIES),
        (TrustFile::Read(String::new()), reasons::INVALID_AUTHORITIES),
    ] {
        snapshot.authorities = authorities;
        // Where there were none, nobody's certificate is believed, and nobody without one gets in.
        snapshot.index = LiveIndex::Absent;
        let plan = validate(&snapshot, &settings());
        assert_eq!(plan.references.clone().unwrap_err().reason, reason);
        let believed = plan.content.client_certificates.unwrap();
        let required = registry_config::ClientCertificateMode::Required;
        assert_eq!((believed.authorities.as_str(), believed.mode), ("", required));
        snapshot.index = index_of(content.clone());
        let plan = validate(&snapshot, &settings());
        assert_eq!(
            plan.content.client_certificates.unwrap().authorities,
            authority,
            "{reason}"
        );
    }
}

//! Identities and policies of other namespaces: what is admitted of them, and what their owners cannot do.

use registry_config::pack;
use registry_policy::{Action, Caller, Identity, PolicySet, Request};

use super::*;
use crate::registry::admission::Namespaces;

/// A Registry of namespace `team` with these settings, in a cluster where `tenant` is labelled and `stranger` is not.
fn admitting(spec: &Value) -> Snapshot {
    let mut whole = json!({ "storage": { "emptyDir": {} } });
    merge(&mut whole, spec.clone());
    let mut snapshot = snapshot();
    snapshot.registry = registry(&whole);
    snapshot.namespaces = Namespaces::from([
        ("team".into(), BTreeMap::new()),
        ("tenant".into(), BTreeMap::from([("registry".into(), "allowed".into())])),
        ("stranger".into(), BTreeMap::new()),
    ]);
    snapshot
}

fn labelled() -> Value {
    json!({ "selector": { "matchLabels": { "registry": "allowed" } } })
}

impl Snapshot {
    /// The identity that was added last, in another namespace.
    fn of(mut self, namespace: &str) -> Self {
        let identity = Arc::make_mut(self.identities.last_mut().unwrap());
        identity.metadata.namespace = Some(namespace.into());
        self
    }

    /// The policy that was added last, in another namespace.
    fn policy_of(mut self, namespace: &str) -> Self {
        let policy = Arc::make_mut(self.policies.last_mut().unwrap());
        policy.metadata.namespace = Some(namespace.into());
        self
    }
}

#[test]
fn guests_sign_in_under_their_prefix_with_the_groups_that_are_allowed_them() {
    let entry = json!([{ "namespaces": labelled(), "groups": ["readers"] }]);
    let snapshot = admitting(&json!({ "allowedIdentities": entry }))
        .with_identity(
            "ci",
            "a",
            json!({ "groups": ["readers", "admins"], "attributes": { "clearance": ["top"] } }),
        )
        .of("tenant")
        .with_identity("tenant.bot", "b", json!({}))
        .of("tenant")
        .with_identity("ci", "c", json!({}))
        .of("stranger");
    let plan = validate(&snapshot, &settings());
    assert_eq!(usernames(&plan), ["tenant.bot", "tenant.ci"]);
    let ci = &plan.content.identities[1];
    assert_eq!(ci.groups, ["readers"]);
    assert!(ci.attributes.is_empty() && !ci.home);
    let refused = &plan.identities["c"].accepted;
    assert_eq!(refused.reason, reasons::NOT_ALLOWED_BY_REGISTRY);
    assert!(
        refused
            .message
            .contains("does not admit identities of namespace `stranger`"),
        "{}",
        refused.message
    );
    // Another prefix, and no groups.
    let entry = json!([{ "namespaces": { "names": ["tenant"] }, "usernamePrefix": "ext-" }]);
    let snapshot = admitting(&json!({ "allowedIdentities": entry }))
        .with_identity("ci", "a", json!({ "groups": ["readers"] }))
        .of("tenant");
    let plan = validate(&snapshot, &settings());
    assert_eq!(usernames(&plan), ["ext-ci"]);
    assert_eq!(plan.content.identities[0].groups, [""; 0]);
}

#[test]
fn a_namespace_that_loses_its_label_loses_everything() {
    let spec = json!({
        "allowedIdentities": [{ "namespaces": labelled() }],
        "allowedPolicies": [{ "namespaces": labelled(), "repositoryPrefixes": ["tenant"], "role": "push" }],
    });
    let mut snapshot = admitting(&spec)
        .with_identity("ci", "a", json!({}))
        .of("tenant")
        .with_policy("own", &about("Allow", json!({})))
        .policy_of("tenant");
    let plan = validate(&snapshot, &settings());
    assert_eq!((usernames(&plan).len(), plan.content.policies.len()), (1, 1));
    snapshot.namespaces.insert("tenant".into(), BTreeMap::new());
    snapshot.index = index_of(plan.content.clone());
    let snapshot = snapshot.with_state(state_of(plan));
    let plan = validate(&snapshot, &settings());
    assert_eq!((usernames(&plan).len(), plan.content.policies.len()), (0, 0));
    assert_eq!(plan.identities["a"].accepted.reason, reasons::NOT_ALLOWED_BY_REGISTRY);
    assert_eq!(plan.policies["own"].accepted.reason, reasons::NOT_ALLOWED_BY_REGISTRY);
}

#[test]
fn nobody_takes_a_name_that_somebody_at_home_has() {
    let entry = json!([{ "namespaces": labelled() }]);
    let squat = admitting(&json!({ "allowedIdentities": entry }))
        .with_identity("squatter", "a", json!({ "username": "admin" }))
        .of("tenant")
        .with_identity("boss", "b", json!({ "username": "tenant.admin" }))
        .of("tenant");
    // The younger guest asks for the name that the older one has by its prefix.
    let plan = validate(&squat, &settings());
    assert_eq!(usernames(&plan), ["tenant.admin"]);
    assert_eq!(plan.identities["b"].accepted.reason, reasons::USERNAME_CONFLICT);
    // At home it is taken from them both, although it is in force there.
    let mut later = admitting(&json!({ "allowedIdentities": entry }))
        .with_identity("squatter", "a", json!({ "username": "admin" }))
        .of("tenant")
        .with_identity("tenant.admin", "h", json!({}))
        .with_state(state_of(plan));
    later.identities.sort_by_key(|identity| identity.metadata.uid.clone());
    let plan = validate(&later, &settings());
    assert!(
        plan.content
            .identities
            .iter()
            .all(|entry| entry.uid.as_deref() == Some("h"))
    );
    let conflict = &plan.identities["a"].accepted;
    assert_eq!(conflict.reason, reasons::USERNAME_CONFLICT);
    assert!(
        !conflict.message.contains("RegistryIdentity"),
        "it names an object of another namespace: {}",
        conflict.message
    );
}

#[test]
fn a_flood_of_guests_ends_at_the_cap_and_those_in_force_stay() {
    let entry = json!([{ "namespaces": labelled(), "maxIdentities": 3 }]);
    let mut snapshot = admitting(&json!({ "allowedIdentities": entry })).with_identity("alice", "alice", json!({}));
    for number in 0..3 {
        snapshot = snapshot
            .with_identity(&format!("n{number}"), &format!("u{number}"), json!({}))
            .of("tenant");
    }
    let before = validate(&snapshot, &settings());
    assert_eq!(usernames(&before), ["alice", "tenant.n0", "tenant.n1", "tenant.n2"]);
    snapshot.index = index_of(before.content.clone());
    let mut snapshot = snapshot.with_state(state_of(before));
    for number in 0..200 {
        snapshot = snapshot
            .with_identity(&format!("f{number}"), &format!("f{number}"), json!({}))
            .of("tenant");
        // They pretend to be the oldest.
        let flood = snapshot.identities.pop().unwrap();
        snapshot.identities.insert(0, flood);
    }
    let plan = validate(&snapshot, &settings());
    assert_eq!(usernames(&plan), ["alice", "tenant.n0", "tenant.n1", "tenant.n2"]);
    assert_eq!(plan.identities["f7"].accepted.reason, reasons::LIMIT_EXCEEDED);
    let state = state_of(plan);
    assert_eq!(state.identities.len(), 4, "the state grows with what is not admitted");
    // Without a number there is one all the same.
    let entry = json!([{ "namespaces": labelled() }]);
    let mut many = admitting(&json!({ "allowedIdentities": entry }));
    for number in 0..150 {
        many = many
            .with_identity(&format!("n{number}"), &format!("u{number}"), json!({}))
            .of("tenant");
    }
    assert_eq!(usernames(&validate(&many, &settings())).len(), 100);
}

#[test]
fn one_tenant_does_not_take_the_places_of_another() {
    let entry = json!([{ "namespaces": { "names": ["tenant", "stranger"] }, "maxIdentities": 2 }]);
    let mut snapshot = admitting(&json!({ "allowedIdentities": entry }));
    for number in 0..5 {
        snapshot = snapshot
            .with_identity(&format!("n{number}"), &format!("u{number}"), json!({}))
            .of("tenant");
    }
    let snapshot = snapshot.with_identity("ci", "s", json!({})).of("stranger");
    assert_eq!(
        usernames(&validate(&snapshot, &settings())),
        ["stranger.ci", "tenant.n0", "tenant.n1"]
    );
}

#[test]
fn what_is_not_admitted_or_disabled_fills_no_document() {
    // Names of ServiceAccounts that do not compress.
    let names = |seed: u64| -> Vec<Value> {
        let name = |number: u64| {
            let mixed = (seed * 64 + number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let words = (0..15).map(|word| {
                format!(
                    "{:016x}",
                    mixed.rotate_left(word * 4).wrapping_mul(u64::from(word) * 2 + 1)
                )
            });
            json!({ "name": words.collect::<String>() })
        };
        (0..64).map(name).collect()
    };
    let entry = json!([{ "namespaces": labelled() }]);
    let mut snapshot = admitting(&json!({ "allowedIdentities": entry }))
        .with_identity("alice", "alice", json!({}))
        .with_identity("bob", "bob", json!({}));
    let before = validate(&snapshot, &settings());
    snapshot.index = index_of(before.content.clone());
    let mut snapshot = snapshot.with_state(state_of(before));
    for number in 0..10_000 {
        let flood = json!({ "password": null, "disabled": true, "serviceAccounts": names(number) });
        snapshot = snapshot
            .with_identity(&format!("f{number}"), &format!("f{number}"), flood)
            .of("tenant");
    }
    // The owner takes one identity back and makes another.
    snapshot
        .identities
        .retain(|identity| identity.metadata.name.as_deref() != Some("bob"));
    let snapshot = snapshot.with_identity("carol", "carol", json!({}));
    let plan = validate(&snapshot, &settings());
    let own: Vec<&str> = usernames(&plan)
        .into_iter()
        .filter(|name| !name.starts_with("tenant."))
        .collect();
    assert_eq!(own, ["alice", "carol"]);
    assert!(
        pack(&plan.content, plan.next_revision, registry_config::Slot::A).is_ok(),
        "the document cannot be published"
    );
    let state = state_of(plan);
    assert!(
        state.excess().is_none() && state.usernames.len() <= 102,
        "{}",
        state.usernames.len()
    );
}

#[test]
fn what_guests_add_is_refused_before_what_the_owner_adds() {
    let long = |number: usize| {
        let word = |word: usize| format!("{:016x}", (number * 1000 + word).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        format!("request.reference != '{}'", (0..100).map(word).collect::<String>())
    };
    let spec = json!({ "allowedPolicies": [{
        "namespaces": labelled(), "repositoryPrefixes": ["tenant"], "role": "push", "effects": ["Allow", "Deny"],
    }] });
    let mut snapshot = admitting(&spec);
    for number in 0..100 {
        let rules: Vec<Value> = (0..64)
            .map(|rule| json!({
                "name": format!("r{rule}"), "repositories": ["tenant/**"], "actions": ["get-manifest"], "when": long(number * 64 + rule),
            }))
            .collect();
        let mut deny = about("Deny", json!({}));
        deny["rules"] = json!(rules);
        snapshot = snapshot.with_policy(&format!("p{number}"), &deny).policy_of("tenant");
    }
    let snapshot = snapshot
        .with_policy(
            "own",
            &about(
                "Allow",
                json!({ "name": "all", "repositories": ["**"], "role": "pull" }),
            ),
        )
        .with_identity("alice", "a", json!({}));
    let plan = validate(&snapshot, &settings());
    assert_eq!(usernames(&plan), ["alice"]);
    assert!(plan.content.policies.iter().any(|entry| entry.name == "own"));
    assert_eq!(plan.policies["p7"].accepted.reason, reasons::LIMIT_EXCEEDED);
}

#[test]
fn a_guest_does_not_take_a_name_of_the_user_file() {
    let entry = json!([{ "namespaces": labelled(), "usernamePrefix": "dev-" }]);
    let mut snapshot = admitting(&json!({ "allowedIdentities": entry }))
        .with_identity("dev-admin", "a", json!({}))
        .of("tenant");
    snapshot.users = UserFile::Read {
        secret: "users".into(),
        file: registry_config::Htpasswd::parse(
            "dev-admin:$2y$05$UXbPYmtXM4R/7B7I0kKYF.3lY8rbP0lZsWcGFq1C6RgnqiHnV7nHe\n",
        ),
    };
    let plan = validate(&snapshot, &settings());
    let [entry] = plan.content.identities.as_slice() else {
        panic!("{:?}", plan.content.identities)
    };
    assert_eq!(entry.uid.as_deref(), Some("htpasswd:dev-admin"));
    assert_eq!(plan.identities["a"].accepted.reason, reasons::USERNAME_CONFLICT);
}

#[test]
fn a_guest_brings_no_costly_hash_and_no_name_of_anybody() {
    let costly = PasswordHash::parse(
        "$argon2id$v=19$m=65536,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
    )
    .unwrap();
    let own_hash = json!({ "password": { "hashSecretKeyRef": { "name": "pw", "key": "password" } } });
    let with = |snapshot: Snapshot, uid: &str| {
        let mut snapshot = snapshot;
        let mut stored = hash("1");
        stored.hash = costly.clone();
        stored.source.form = SecretForm::Hash;
        snapshot.hashes.insert(slot(uid), HashResult::Hashed(stored));
        snapshot
    };
    let entry = json!([{ "namespaces": labelled() }]);
    let snapshot = admitting(&json!({ "allowedIdentities": entry }))
        .with_identity("ci", "a", own_hash.clone())
        .of("tenant")
        .with_identity("home", "h", own_hash);
    let plan = validate(&with(with(snapshot, "a"), "h"), &settings());
    assert_eq!(usernames(&plan), ["home"]);
    let why = &plan.identities["a"].resolved;
    assert_eq!(why.reason, reasons::INVALID_PASSWORD_HASH, "{}", why.message);
    for names in [
        json!({ "certificateSubjects": [{ "commonName": "root" }] }),
        json!({ "oidcSubjects": [{ "issuer": "https://id.example", "subject": "root" }] }),
    ] {
        let snapshot = admitting(&json!({ "allowedIdentities": entry }))
            .with_identity("ci", "a", names)
            .of("tenant");
        let plan = validate(&snapshot, &settings());
        assert_eq!(usernames(&plan), [""; 0]);
        assert_eq!(plan.identities["a"].accepted.reason, reasons::NOT_ALLOWED_BY_REGISTRY);
    }
    // Unless the Registry's owner says that they may; and even then nobody becomes whom an identity of the Registry's namespace stands for.
    let names = json!({
        "oidcSubjects": [{ "issuer": "https://id.example", "subject": "root" }],
        "certificateSubjects": [{ "commonName": "root" }],
    });
    let entry_with = json!([{ "namespaces": labelled(), "allowExternalSubjects": true }]);
    let snapshot = admitting(&json!({ "allowedIdentities": entry_with }))
        .with_identity("ci", "a", names.clone())
        .of("tenant");
    let plan = validate(&snapshot, &settings());
    let [guest] = plan.content.identities.as_slice() else {
        panic!("{:?}", plan.content.identities)
    };
    assert_eq!((guest.oidc_subjects.len(), guest.certificate_subjects.len()), (1, 1));
    assert!(!guest.home);
    let mut snapshot = snapshot.with_identity("root", "h", names);
    snapshot.index = index_of(plan.content);
    let plan = validate(&snapshot, &settings());
    let root = plan
        .content
        .identities
        .iter()
        .find(|entry| entry.username == "root")
        .unwrap();
    assert_eq!((root.oidc_subjects.len(), root.certificate_subjects.len()), (1, 1));
    let guest = plan
        .content
        .identities
        .iter()
        .find(|entry| entry.username == "tenant.ci");
    assert!(guest.is_none_or(|guest| guest.oidc_subjects.is_empty() && guest.certificate_subjects.is_empty()));
    assert_eq!(plan.identities["a"].accepted.reason, reasons::OIDC_SUBJECT_CONFLICT);
    // ServiceAccounts are of the guest's own namespace, whatever others are called.
    let account = json!({ "password": null, "serviceAccounts": [{ "name": "bot" }] });
    let mut snapshot = admitting(&json!({ "allowedIdentities": entry }))
        .with_identity("ci", "a", account.clone())
        .of("tenant")
        .with_identity("home", "h", account);
    snapshot.cluster_issuer = Some(Arc::new(crate::cluster_issuer::ClusterIssuer {
        issuer: "https://issuer".into(),
        jwks: json!({ "keys": [] }),
    }));
    let plan = validate(&snapshot, &settings());
    let accounts: Vec<_> = plan
        .content
        .identities
        .iter()
        .flat_map(|entry| &entry.service_accounts)
        .collect();
    let namespaces: Vec<&str> = accounts.iter().map(|account| account.namespace.as_str()).collect();
    assert_eq!(namespaces, ["team", "tenant"]);
}

/// A policy about everybody.
fn open_to_all(effect: &str, rule: Value) -> Value {
    let has_role = rule.get("role").is_some();
    let mut spec = policy(effect, rule);
    if has_role {
        spec["rules"][0].as_object_mut().unwrap().remove("actions");
    }
    spec
}

/// A policy about everybody who signed in.
fn about(effect: &str, rule: Value) -> Value {
    let mut spec = open_to_all(effect, rule);
    merge(&mut spec, json!({ "subjects": [{ "any": "Authenticated" }] }));
    spec
}

/// Whether somebody signed in may do it by the policies of a plan.
fn allows(plan: &Plan, action: Action, repository: &str) -> bool {
    let compiled = plan.content.policies.iter().map(|entry| entry.compile().unwrap());
    let caller = Caller {
        identity: Some(Identity {
            id: "i",
            username: "somebody",
            ..Identity::default()
        }),
        ..Caller::default()
    };
    let request = Request {
        repository: Some(repository),
        reference: Some("v1"),
        ..Request::bare(action, "GET")
    };
    PolicySet::new(compiled.collect())
        .decide(&caller, &request)
        .is_allowed()
}

#[test]
fn a_guests_policy_acts_within_its_prefixes_and_actions_and_nowhere_else() {
    let spec = json!({ "allowedPolicies": [{
        "namespaces": labelled(), "repositoryPrefixes": ["tenant", "shared/tenant"], "role": "push", "effects": ["Allow", "Deny"],
    }] });
    let allow = about(
        "Allow",
        json!({ "name": "all", "repositories": ["**"], "role": "admin" }),
    );
    let snapshot = admitting(&spec).with_policy("greedy", &allow).policy_of("tenant");
    let plan = validate(&snapshot, &settings());
    assert_eq!(plan.content.policies[0].name, "tenant/greedy");
    assert!(
        plan.policies["greedy"]
            .accepted
            .message
            .contains("admits less than `all` ask for"),
        "{:?}",
        plan.policies["greedy"].accepted
    );
    for (action, repository, want) in [
        (Action::PutManifest, "tenant/app", true),
        (Action::GetManifest, "shared/tenant/app", true),
        (Action::DeleteManifest, "tenant/app", false),
        (Action::GetManifest, "tenant", false),
        (Action::GetManifest, "tenants/app", false),
        (Action::GetManifest, "shared/other", false),
        (Action::GetManifest, "team/app", false),
    ] {
        assert_eq!(allows(&plan, action, repository), want, "{action} {repository}");
    }
    // A Deny of everything denies nothing of others, the catalog included.
    let everything: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    for everything in [everything, vec!["*"]] {
        let deny = about(
            "Deny",
            json!({ "name": "all", "repositories": ["**"], "actions": everything }),
        );
        let open = about(
            "Allow",
            json!({ "name": "all", "repositories": ["**"], "role": "admin" }),
        );
        let snapshot = admitting(&spec)
            .with_policy("open", &open)
            .with_policy("spite", &deny)
            .policy_of("tenant");
        let plan = validate(&snapshot, &settings());
        for (action, repository, want) in [
            (Action::GetManifest, "team/app", true),
            (Action::GetManifest, "tenant/app", false),
            (Action::DeleteManifest, "tenant/app", true),
        ] {
            assert_eq!(allows(&plan, action, repository), want, "{action} {repository}");
        }
        assert!(plan.content.policies.iter().all(|entry| {
            entry.name == "open"
                || entry
                    .rules
                    .iter()
                    .all(|rule| !rule.actions().contains(Action::ListCatalog))
        }));
    }
}

#[test]
fn a_guests_deny_of_everything_is_about_the_actions_that_are_known_here() {
    let all = json!({ "allowedPolicies": [{
        "namespaces": labelled(), "repositoryPrefixes": ["tenant"], "role": "admin", "effects": ["Deny"],
    }] });
    let deny = about(
        "Deny",
        json!({ "name": "all", "repositories": ["tenant/**"], "actions": ["*"] }),
    );
    let snapshot = admitting(&all).with_policy("spite", &deny).policy_of("tenant");
    let plan = validate(&snapshot, &settings());
    let [entry] = plan.content.policies.as_slice() else {
        panic!("{:?}", plan.content.policies)
    };
    let named: Vec<String> = entry.rules[0].actions.iter().map(ToString::to_string).collect();
    assert_eq!(named.len(), Action::ALL.len() - 1, "{named:?}");
    assert!(!named.iter().any(|name| name == "*"), "{named:?}");
}

#[test]
fn what_is_not_admitted_of_a_guests_policy_is_refused_as_a_whole() {
    let entry = |changes: Value| {
        let mut entry = json!({ "namespaces": labelled(), "repositoryPrefixes": ["tenant"], "role": "push" });
        merge(&mut entry, changes);
        json!({ "allowedPolicies": [entry] })
    };
    let rule = || json!({ "name": "all", "repositories": ["tenant/**"], "role": "pull" });
    let everyone = open_to_all("Allow", rule());
    let deny = about(
        "Deny",
        json!({ "name": "all", "repositories": ["**"], "actions": ["get-manifest"] }),
    );
    let elsewhere = about(
        "Allow",
        json!({ "name": "all", "repositories": ["team/**"], "role": "pull" }),
    );
    let deletes = about(
        "Allow",
        json!({ "name": "all", "repositories": ["tenant/**"], "actions": ["delete-blob"] }),
    );
    for (spec, policy, says) in [
        (entry(json!({})), &everyone, "callers who did not sign in"),
        (entry(json!({})), &deny, "whose effect is Deny"),
        (
            entry(json!({ "effects": ["Deny"] })),
            &elsewhere,
            "whose effect is Allow",
        ),
        (entry(json!({})), &elsewhere, "nothing of it is below `tenant`"),
        (entry(json!({})), &deletes, "about actions that are admitted"),
    ] {
        let plan = validate(
            &admitting(&spec).with_policy("p", policy).policy_of("tenant"),
            &settings(),
        );
        assert!(plan.content.policies.is_empty(), "{says}");
        let accepted = &plan.policies["p"].accepted;
        assert_eq!(accepted.reason, reasons::NOT_ALLOWED_BY_REGISTRY);
        assert!(accepted.message.contains(says), "{}", accepted.message);
    }
    let open = admitting(&entry(json!({ "allowAnonymous": true })))
        .with_policy("p", &everyone)
        .policy_of("tenant");
    assert_eq!(validate(&open, &settings()).content.policies.len(), 1);
    // A Deny that was never right denies at home what it is about, and of a guest's nothing.
    let broken = about(
        "Deny",
        json!({ "name": "all", "repositories": ["tenant/**"], "actions": ["get-manifest"], "when": "request." }),
    );
    let spec = entry(json!({ "effects": ["Deny"] }));
    let of_a_guest = admitting(&spec).with_policy("p", &broken).policy_of("tenant");
    let plan = validate(&of_a_guest, &settings());
    assert!(plan.content.policies.is_empty());
    assert_eq!(plan.policies["p"].accepted.reason, reasons::INVALID_EXPRESSION);
    assert_eq!(
        validate(&admitting(&spec).with_policy("p", &broken), &settings())
            .content
            .policies
            .len(),
        1
    );
    // And there are not more of them than the entry says.
    let mut many = admitting(&entry(json!({ "maxPolicies": 2 })));
    for number in 0..5 {
        many = many
            .with_policy(&format!("p{number}"), &about("Allow", rule()))
            .policy_of("tenant");
    }
    let plan = validate(&many, &settings());
    assert_eq!(plan.content.policies.len(), 2);
    assert_eq!(plan.policies["p4"].accepted.reason, reasons::LIMIT_EXCEEDED);
}

#[test]
fn a_selector_that_is_wrong_is_told_and_stops_nothing() {
    let snapshot = admitting(&json!({ "allowedIdentities": [{ "namespaces": { "selector": { "matchLabel": {} } } }] }))
        .with_identity("ci", "a", json!({}))
        .of("tenant")
        .with_identity("alice", "h", json!({}));
    let plan = validate(&snapshot, &settings());
    assert_eq!(usernames(&plan), ["alice"]);
    assert!(plan.workload.is_ok());
    let why = plan.references.unwrap_err().message;
    assert!(why.contains("spec.allowedIdentities[0].namespaces.selector"), "{why}");
}

//! Issuers of OpenID Connect tokens, and the identities that name people of theirs.

use super::*;

fn issuer(name: &str) -> Value {
    json!({
        "name": name, "issuerURL": format!("https://{name}.example"), "audiences": ["registry.example"],
        "requiredClaims": [{ "claim": "org", "values": ["acme"] }],
    })
}

fn with_issuers(issuers: &[Value]) -> Snapshot {
    let mut snapshot = snapshot();
    snapshot.registry = registry(&json!({ "storage": { "emptyDir": {} }, "auth": { "oidc": issuers } }));
    snapshot
}

/// The same, after what `before` asked for was put in force.
fn with_issuers_after(issuers: &[Value], before: &Snapshot) -> Snapshot {
    let plan = validate(before, &settings());
    let mut snapshot = with_issuers(issuers);
    snapshot.index = index_of(plan.content.clone());
    snapshot
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.content.oidc.iter().map(|issuer| issuer.name.as_str()).collect()
}

#[test]
fn issuers_go_into_the_document_as_they_are_asked_for() {
    let mut whole = issuer("ci");
    merge(
        &mut whole,
        json!({
            "username": "claims.email", "groups": "claims.groups", "algorithms": ["ES256"],
            "jwksURL": "https://keys.example/jwks",
        }),
    );
    let plan = validate(&with_issuers(&[whole, issuer("id")]), &settings());
    assert!(plan.workload.is_ok(), "{:?}", plan.workload.err());
    assert_eq!(
        serde_json::to_value(&plan.content.oidc).unwrap(),
        json!([
            {
                "name": "ci", "issuer": "https://ci.example", "audiences": ["registry.example"],
                "requiredClaims": [{ "claim": "org", "values": ["acme"] }],
                "username": "claims.email", "groups": "claims.groups", "algorithms": ["ES256"],
                "jwksURL": "https://keys.example/jwks",
            },
            {
                "name": "id", "issuer": "https://id.example", "audiences": ["registry.example"],
                "requiredClaims": [{ "claim": "org", "values": ["acme"] }],
            },
        ])
    );
}

#[test]
fn an_issuer_that_is_broken_stays_as_it_was_and_touches_no_other() {
    let good = with_issuers(&[issuer("ci"), issuer("id")]);
    let mut broken = issuer("ci");
    merge(
        &mut broken,
        json!({ "username": "claim.email", "audiences": ["other"] }),
    );
    // It was never right.
    let plan = validate(&with_issuers(&[broken.clone(), issuer("id")]), &settings());
    assert_eq!(names(&plan), ["id"]);
    let why = plan.workload.unwrap_err();
    assert_eq!(why.reason, reasons::INVALID);
    assert!(
        why.message
            .contains("spec.auth.oidc[ci].username: line 1, column 1: unknown variable `claim`"),
        "{}",
        why.message
    );
    // It was right before.
    let plan = validate(&with_issuers_after(&[broken, issuer("id")], &good), &settings());
    assert_eq!(names(&plan), ["ci", "id"]);
    assert_eq!(plan.content.oidc[0].audiences, ["registry.example"]);
    // What is taken away goes, whatever is wrong with another.
    let plan = validate(&with_issuers_after(&[issuer("id")], &good), &settings());
    assert_eq!(names(&plan), ["id"]);
    // Nobody takes another's place under its URL.
    let mut twin = issuer("twin");
    twin["issuerURL"] = json!("https://ci.example");
    let plan = validate(&with_issuers(&[issuer("ci"), twin]), &settings());
    assert_eq!(names(&plan), ["ci"]);
    assert!(
        plan.workload
            .unwrap_err()
            .message
            .contains("another entry has the same")
    );
}

#[test]
fn the_clusters_own_issuer_is_not_another_one() {
    let cluster = Arc::new(crate::cluster_issuer::ClusterIssuer {
        issuer: "https://ci.example".into(),
        jwks: json!({ "keys": [] }),
    });
    let mut snapshot = with_issuers(&[issuer("ci")]);
    snapshot.cluster_issuer = Some(cluster.clone());
    let plan = validate(&snapshot, &settings());
    assert_eq!(names(&plan), [""; 0]);
    let why = plan.workload.unwrap_err().message;
    assert!(why.contains("serviceAccountTokens: {mode: Disabled}"), "{why}");
    snapshot.registry = registry(&json!({
        "storage": { "emptyDir": {} },
        "auth": { "oidc": [issuer("ci")], "serviceAccountTokens": { "mode": "Disabled" } },
    }));
    assert_eq!(names(&validate(&snapshot, &settings())), ["ci"]);
}

#[test]
fn authorities_that_cannot_be_read_leave_an_issuer_as_it_was() {
    let mut private = issuer("ci");
    private["authoritiesSecretRef"] = json!({ "name": "ca" });
    let with = |authorities| {
        let mut snapshot = with_issuers(&[private.clone(), issuer("id")]);
        snapshot.issuer_authorities.insert("ci".into(), authorities);
        snapshot
    };
    for (authorities, reason) in [
        (TrustFile::Missing, reasons::SECRET_NOT_FOUND),
        (TrustFile::NotMarked, reasons::SECRET_NOT_MARKED),
        (TrustFile::Read(" \n".into()), reasons::INVALID_AUTHORITIES),
        (TrustFile::Read("-----BEGIN".into()), reasons::INVALID_AUTHORITIES),
    ] {
        let plan = validate(&with(authorities), &settings());
        assert_eq!(names(&plan), ["id"], "{reason}");
        assert_eq!(plan.references.unwrap_err().reason, reason);
        assert!(
            plan.workload.is_ok(),
            "a Secret of somebody's keeps the registry from being made"
        );
    }
    let authority = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
    let good = with(TrustFile::Read(authority.cert.pem()));
    let plan = validate(&good, &settings());
    assert_eq!(names(&plan), ["ci", "id"]);
    assert_eq!(
        plan.content.oidc[0].authorities.as_deref(),
        Some(authority.cert.pem().as_str())
    );
    let mut gone = with(TrustFile::Missing);
    gone.index = index_of(plan.content.clone());
    let kept = validate(&gone, &settings());
    assert_eq!(kept.content.oidc, plan.content.oidc);
    assert_eq!(kept.references.unwrap_err().reason, reasons::SECRET_NOT_FOUND);
}

#[test]
fn a_subject_of_an_issuer_stands_for_one_identity_and_for_it_alone() {
    let subject =
        json!({ "password": null, "oidcSubjects": [{ "issuer": "https://ci.example", "subject": "release" }] });
    let snapshot = with_issuers(&[issuer("ci")])
        .with_identity("releaser", "a", subject.clone())
        .with_identity("thief", "b", subject);
    let plan = validate(&snapshot, &settings());
    assert_eq!(usernames(&plan), ["releaser"]);
    assert_eq!(plan.content.identities[0].oidc_subjects[0].subject, "release");
    assert_eq!(plan.identities["b"].accepted.reason, reasons::OIDC_SUBJECT_CONFLICT);
    // Whoever must not sign in does not come back as somebody who is known by the claims alone.
    let disabled = json!({
        "password": null, "disabled": true,
        "oidcSubjects": [{ "issuer": "https://ci.example", "subject": "release" }],
    });
    let snapshot = with_issuers(&[issuer("ci")]).with_identity("releaser", "a", disabled);
    let plan = validate(&snapshot, &settings());
    let [over] = plan.content.identities.as_slice() else {
        panic!("{:?}", plan.content.identities)
    };
    assert!(over.oidc_subjects.len() == 1 && !over.is_in_force(snapshot.now));
}

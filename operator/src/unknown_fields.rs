//! Fields of an identity or a policy that this version does not know: kept by the API server so that they can be refused
//! by name instead of being dropped, which could widen access.

use std::collections::BTreeMap;

use crds::{AccessPolicySpec, RegistryIdentitySpec};
use serde_json::Value;

/// Paths of the unknown fields in a policy's spec.
pub(crate) fn in_policy(spec: &AccessPolicySpec) -> Vec<String> {
    let mut paths = Vec::new();
    note("spec", &spec.unknown, &mut paths);
    for (index, target) in spec.target_refs.iter().enumerate() {
        note(&format!("spec.targetRefs[{index}]"), &target.unknown, &mut paths);
    }
    for (index, subject) in spec.subjects.iter().enumerate() {
        note(&format!("spec.subjects[{index}]"), &subject.unknown, &mut paths);
        if let Some(account) = &subject.service_account {
            note(
                &format!("spec.subjects[{index}].serviceAccount"),
                &account.unknown,
                &mut paths,
            );
        }
        if let Some(found) = &subject.oidc_subject {
            note(
                &format!("spec.subjects[{index}].oidcSubject"),
                &found.unknown,
                &mut paths,
            );
        }
    }
    for (index, rule) in spec.rules.iter().enumerate() {
        note(&format!("spec.rules[{index}]"), &rule.unknown, &mut paths);
    }
    paths
}

/// Paths of the unknown fields in an identity's spec.
pub(crate) fn in_identity(spec: &RegistryIdentitySpec) -> Vec<String> {
    let mut paths = Vec::new();
    note("spec", &spec.unknown, &mut paths);
    note("spec.registryRef", &spec.registry_ref.unknown, &mut paths);
    if let Some(password) = &spec.password {
        note("spec.password", &password.unknown, &mut paths);
        if let Some(reference) = &password.secret_key_ref {
            note("spec.password.secretKeyRef", &reference.unknown, &mut paths);
        }
        if let Some(reference) = &password.hash_secret_key_ref {
            note("spec.password.hashSecretKeyRef", &reference.unknown, &mut paths);
        }
        if let Some(generate) = &password.generate {
            note("spec.password.generate", &generate.unknown, &mut paths);
            if let Some(rotation) = &generate.rotation {
                note("spec.password.generate.rotation", &rotation.unknown, &mut paths);
            }
        }
    }
    for (index, account) in spec.service_accounts.iter().flatten().enumerate() {
        note(&format!("spec.serviceAccounts[{index}]"), &account.unknown, &mut paths);
    }
    for (index, subject) in spec.oidc_subjects.iter().flatten().enumerate() {
        note(&format!("spec.oidcSubjects[{index}]"), &subject.unknown, &mut paths);
    }
    for (index, subject) in spec.certificate_subjects.iter().flatten().enumerate() {
        note(
            &format!("spec.certificateSubjects[{index}]"),
            &subject.unknown,
            &mut paths,
        );
    }
    for (index, secret) in spec.pull_secrets.iter().flatten().enumerate() {
        note(&format!("spec.pullSecrets[{index}]"), &secret.unknown, &mut paths);
    }
    paths
}

fn note(path: &str, unknown: &BTreeMap<String, Value>, paths: &mut Vec<String>) {
    paths.extend(unknown.keys().map(|field| format!("{path}.{field}")));
}

//! Objects in files, and the program that is asked about them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A Registry with two people and a tenant, as a repository of objects has them.
pub(crate) const OBJECTS: &str = r#"
apiVersion: wharfinger.dev/v1alpha1
kind: Registry
metadata: {name: main, namespace: team}
spec:
  storage: {emptyDir: {}}
---
apiVersion: wharfinger.dev/v1alpha1
kind: RegistryIdentity
metadata: {name: ann, namespace: team}
spec:
  registryRef: {name: main}
  groups: [dev]
  password: {generate: {}}
---
apiVersion: wharfinger.dev/v1alpha1
kind: RegistryIdentity
metadata: {name: bob, namespace: team}
spec:
  registryRef: {name: main}
  disabled: true
  password: {generate: {}}
---
apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: developers, namespace: team}
spec:
  targetRefs: [{name: main}]
  effect: Allow
  subjects: [{group: dev}]
  rules:
  - name: own
    repositories: ["apps/**"]
    role: push
    when: "request.action != 'put-manifest' || request.reference != 'latest'"
    message: use a version
---
apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: public, namespace: team}
spec:
  targetRefs: [{name: main}]
  effect: Allow
  subjects: [{any: Everyone}]
  rules:
  - {name: read, repositories: ["public/**"], role: pull}
"#;

/// The same, as a registry that stands alone has it.
pub(crate) const DOCUMENT: &str = r#"
kind: AccessIndex
formatVersion: 1
content:
  identities:
  - username: ann
    groups: [dev]
  policies:
  - name: developers
    effect: Allow
    subjects: [{group: dev}]
    rules:
    - {name: own, repositories: ["apps/**"], role: push}
"#;

/// Files in a folder of their own.
pub(crate) struct Files(pub(crate) TempDir);

impl Files {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// What the program does about files, where there is no cluster.
pub(crate) fn run(arguments: &[&str]) -> Output {
    // No cluster is to be asked: where there were one, this would find none.
    Command::new(env!("CARGO_BIN_EXE_kubectl-wharfinger"))
        .args(arguments)
        .env("KUBECONFIG", Path::new("/nonexistent"))
        .output()
        .unwrap()
}

/// The exit code, and what was printed as an answer and beside it.
pub(crate) fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().trim_end().to_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

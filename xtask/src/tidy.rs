//! Rules about the repository that no compiler checks: who may know whom, and that texts say what the code does.

mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{exec, repository};

/// Each package and which others of ours it may use. What is missing here may use none.
const EDGES: [(&str, &[&str]); 13] = [
    ("crds", &[]),
    ("registry-policy", &[]),
    ("registry-config", &["registry-policy"]),
    ("wharfinger-registry", &["registry-config", "registry-policy"]),
    ("wharfinger-operator", &["crds", "registry-config", "registry-policy"]),
    (
        "kubectl-wharfinger",
        &["crds", "registry-config", "registry-policy", "wharfinger-operator"],
    ),
    ("faults", &[]),
    ("neighbours", &["faults"]),
    ("bench", &["faults", "registry-policy"]),
    ("fuzz", &["wharfinger-registry"]),
    ("node", &[]),
    ("e2e", &["crds", "node"]),
    ("xtask", &["node"]),
];

/// What these packages must do without, because they are pure, or because the other side has its place.
const BANNED: [(&str, &[&str]); 4] = [
    ("crds", &["cel", "tokio", "reqwest"]),
    ("registry-policy", &["tokio", "axum", "hyper", "kube", "k8s-openapi"]),
    ("registry-config", &["tokio", "axum", "hyper", "kube", "k8s-openapi"]),
    ("xtask", &["tokio", "kube", "k8s-openapi"]),
];

/// Files of the repository below `folder`, whose names end so.
fn files(folder: &str, suffix: &str) -> Vec<PathBuf> {
    let mut folders = vec![repository::path(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository::root())
        .unwrap_or(path)
        .display()
        .to_string()
}

#[test]
fn packages_know_only_whom_the_architecture_lets_them_know() {
    let mut metadata = repository::cargo("metadata");
    let said = exec::capture(metadata.args(["--no-deps", "--format-version=1", "--offline"])).unwrap();
    let metadata: Value = serde_json::from_str(&said).unwrap();
    let allowed: BTreeMap<_, _> = EDGES.into_iter().collect();
    let banned: BTreeMap<_, _> = BANNED.into_iter().collect();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["kind"].is_null())
        {
            let other = dependency["name"].as_str().unwrap();
            let is_ours = dependency["path"].is_string();
            let is_allowed = allowed.get(name).is_some_and(|names| names.contains(&other));
            let is_banned = banned.get(name).is_some_and(|names| names.contains(&other));
            if (is_ours && !is_allowed) || is_banned {
                wrong.push(format!("{name} uses {other}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_file_says_first_what_it_owns() {
    let silent = |path: &&PathBuf| !fs::read_to_string(path).unwrap().starts_with("//! ");
    // The tests of a module are that module's, whose own first line says what it is.
    let mut found = files("", ".rs");
    found.retain(|path| !path.ends_with("tests.rs"));
    assert!(found.len() > 30);
    assert_eq!(
        found.iter().filter(silent).map(|path| shown(path)).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
}

#[test]
fn every_reason_of_a_condition_is_in_the_reference() {
    let source = fs::read_to_string(repository::path("crds/src/conditions.rs")).unwrap();
    let constant = |line: &str| Some(line.split_once(": &str = \"")?.1.split_once('"')?.0.to_owned());
    let constants: BTreeSet<String> = source.lines().filter_map(constant).collect();
    assert!(constants.len() > 30);
    let reference = fs::read_to_string(repository::path("docs/reference/conditions.md")).unwrap();
    let missing: Vec<_> = constants
        .iter()
        .filter(|name| !reference.contains(&format!("`{name}`")))
        .collect();
    assert_eq!(missing, Vec::<&String>::new());
}

#[test]
fn every_test_that_the_table_of_features_names_exists() {
    let table = fs::read_to_string(repository::path("docs/features.md")).unwrap();
    let sources: String = files("", ".rs")
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut rows = 0;
    let mut missing = Vec::new();
    for line in table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Row"))
    {
        rows += 1;
        let tests = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "a row without a test: {line}");
        missing.extend(
            names
                .into_iter()
                .filter(|name| !sources.contains(&format!("fn {name}(")))
                .map(ToOwned::to_owned),
        );
    }
    assert!(rows > 0);
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn links_between_the_texts_lead_somewhere() {
    let mut broken = Vec::new();
    for file in files("", ".md") {
        let text = fs::read_to_string(&file).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if !file.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {link}", shown(&file)));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

//! `lint`: what it complains about, and where.

use std::fs;
use std::path::Path;

use crate::fixture::{DOCUMENT, Files, OBJECTS, run, said};

#[test]
fn lint_names_file_line_and_column_of_what_would_be_refused() {
    let broken = OBJECTS.replace("request.reference != 'latest'\"", "request.referenc != 'latest'\"");
    let misspelt = OBJECTS.replace("    role: push", "    rol: push");
    let widened = OBJECTS.replace(
        "spec:\n  storage: {emptyDir: {}}",
        "spec:\n  storage: {emptyDir: {}}\n  deletoin: Disabled",
    );
    let twice = format!(
        "{OBJECTS}---\napiVersion: wharfinger.dev/v1alpha1\nkind: RegistryIdentity\nmetadata: {{name: eve, namespace: team}}\nspec:\n  registryRef: {{name: main}}\n  username: ann\n  password: {{generate: {{}}}}\n"
    );
    let document = DOCUMENT.replace("role: push", "role: pusher");
    let policy = |effect: &str, rule: &str| {
        format!(
            "---\napiVersion: wharfinger.dev/v1alpha1\nkind: AccessPolicy\nmetadata: {{name: more, namespace: team}}\nspec:\n  targetRefs: [{{name: main}}]\n  effect: {effect}\n  subjects: [{{group: dev}}]\n  rules:\n  - {rule}\n"
        )
    };
    let denies = policy(
        "Deny",
        "{name: r, repositories: ['**'], actions: [get-manifest], when: \"request.digest == 'x'\"}",
    );
    let allows = OBJECTS.to_owned()
        + &policy(
            "Allow",
            "{name: r, repositories: ['**'], role: admin, when: \"request.repository != 'x'\"}",
        );
    let broad = "kind: AccessIndex\nformatVersion: 1\ncontent:\n  policies:\n  - name: p\n    effect: Deny\n    subjects: [{any: Everyone}]\n    rules: [{name: r, repositories: ['**'], actions: [get-manifest], when: \"request.digest == 'x'\"}]\n";
    let files = Files::new(&[
        ("good.yaml", OBJECTS),
        ("access.yaml", DOCUMENT),
        ("broken.yaml", &broken),
        ("misspelt.yaml", &misspelt),
        ("widened.yaml", &widened),
        ("twice.yaml", &twice),
        ("document.yaml", &document),
        ("denies.yaml", &denies),
        ("allows.yaml", &allows),
        ("broad.yaml", broad),
        ("other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"),
    ]);
    for name in ["good.yaml", "access.yaml", "allows.yaml", "other.yaml"] {
        let output = run(&["lint", &files.path(name)]);
        assert_eq!(said(&output).0, 0, "{output:?}");
    }
    for (name, place, what) in [
        ("broken.yaml", ":35:11: ", "did you mean `reference`?"),
        ("misspelt.yaml", ":", "rol"),
        ("widened.yaml", ":6:3: ", "deletoin"),
        ("twice.yaml", ":", "username `ann` is taken"),
        ("document.yaml", ":13:52: ", "pusher"),
        ("denies.yaml", ":10:68: ", "may be missing for get-manifest"),
        ("broad.yaml", ":8:76: ", "`has(request.digest) && …`"),
    ] {
        let path = files.path(name);
        let (code, answer, _) = said(&run(&["lint", &path]));
        assert_eq!(code, 1, "{name}: {answer}");
        assert!(
            answer
                .lines()
                .any(|line| line.starts_with(&format!("{path}{place}")) && line.contains(what)),
            "{name}: {answer}"
        );
    }
    // A whole folder at once.
    let (code, answer, _) = said(&run(&["lint", &files.0.path().display().to_string()]));
    assert_eq!(code, 1);
    assert!(answer.lines().count() >= 5, "{answer}");
}

#[test]
fn there_is_nothing_to_complain_about_in_the_examples() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    // Each is for a namespace of its own, and their names are alike.
    for entry in fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let (code, answer, _) = said(&run(&["lint", &path.display().to_string()]));
        assert_eq!(code, 0, "{answer}");
        assert!(!answer.starts_with("0 objects"), "{}: {answer}", path.display());
    }
}

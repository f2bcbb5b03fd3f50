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
        ("misspelt.yaml", ":34:10: ", "unknown field `rol`; did you mean `role`?"),
        ("widened.yaml", ":7:13: ", "did you mean `deletion`?"),
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

/// What `lint` says of one file, without the name of the file.
fn complaints(text: &str) -> (i32, Vec<String>) {
    let files = Files::new(&[("it.yaml", text)]);
    let path = files.path("it.yaml");
    let (code, answer, _) = said(&run(&["lint", &path]));
    let lines = answer.lines();
    (
        code,
        lines.map(|line| line.replacen(&format!("{path}:"), "", 1)).collect(),
    )
}

#[test]
fn a_misspelt_field_is_told_with_the_one_that_was_meant_at_any_depth() {
    let registry = |spec: &str| {
        format!(
            "apiVersion: wharfinger.dev/v1alpha1\nkind: Registry\nmetadata: {{name: main}}\nspec:\n  storage: {{emptyDir: {{}}}}\n  {spec}\n"
        )
    };
    let identity = |metadata: &str, password: &str| {
        format!(
            "apiVersion: wharfinger.dev/v1alpha1\nkind: RegistryIdentity\nmetadata: {{name: ann{metadata}}}\nspec:\n  registryRef: {{name: main}}\n  password: {password}\n"
        )
    };
    for (text, want) in [
        (
            registry("externalUrl: https://registry.example.com"),
            "6:16: spec.externalUrl: unknown field `externalUrl`; did you mean `externalURL`?",
        ),
        (
            registry("expose: {service: {tpe: NodePort}}"),
            "6:27: spec.expose.service.tpe: unknown field `tpe`; did you mean `type`?",
        ),
        (
            registry(
                "allowedPolicies:\n  - {namespaces: {selector: {matchLabel: {a: b}}}, repositoryPrefixes: [a], role: pull}",
            ),
            "7:42: spec.allowedPolicies[0].namespaces.selector.matchLabel: unknown field `matchLabel`; did you mean `matchLabels`?",
        ),
        (
            identity("", "{generate: {rotaton: {interval: 720h}}}"),
            "6:34: spec.password.generate.rotaton: unknown field `rotaton`; did you mean `rotation`?",
        ),
        (
            identity(", namepsace: team", "{generate: {}}"),
            "3:34: metadata.namepsace: unknown field `namepsace`; did you mean `namespace`?",
        ),
        (
            identity("", "{generate: {}, wombat: 1}"),
            "6:36: spec.password.wombat: unknown field `wombat`: there are generate, hashSecretKeyRef, secretKeyRef",
        ),
        (
            OBJECTS.replace("kind: Registry\n", "kind: Registry\nspek: {}\n"),
            "4:7: spek: unknown field `spek`; did you mean `spec`?",
        ),
    ] {
        assert_eq!(complaints(&text), (1, vec![want.to_owned()]), "{text}");
    }
    // What else is wrong with a policy is told as well.
    let both = OBJECTS
        .replace("    message: use", "    mesage: use")
        .replace("reference != 'latest'\"", "referenc != 'latest'\"");
    let (_, lines) = complaints(&both);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("did you mean `message`?") && lines[1].contains("did you mean `reference`?"),
        "{lines:?}"
    );
}

#[test]
fn a_server_document_is_checked_as_the_registry_does_at_its_start() {
    let good = "kind: ServerConfig\nformatVersion: 1\nlisten: 127.0.0.1:5000\nadminListen: 127.0.0.1:5001\nstorage:\n  filesystem:\n    root: /data\n";
    assert_eq!(complaints(good).0, 0);
    let foreign = "apiVersion: example.com/v1\nkind: ServerConfig\nmetadata: {name: x}\n";
    assert_eq!(complaints(foreign).0, 0, "that is not ours");
    let commented = format!("# ours\n---\n{good}");
    for (text, place, what) in [
        (
            commented.replace("127.0.0.1:5000", "localhost:5000"),
            "5:9: ",
            "no address to listen on",
        ),
        (commented.replace("adminListen", "adminlisten"), "6:1: ", "adminlisten"),
        (
            commented.replace("5001", "5000"),
            "6:14: adminListen: ",
            "the admin port must not be the one that clients reach",
        ),
        (
            format!("{good}uploads:\n  expireAfter: 0s\n"),
            "9:16: uploads.expireAfter: ",
            "at least `1s`",
        ),
        (
            good.replace("formatVersion: 1", "formatVersion: 9"),
            "2:16: ",
            "formatVersion 9",
        ),
    ] {
        let (code, lines) = complaints(&text);
        assert_eq!((code, lines.len()), (1, 1), "{lines:?}");
        assert!(lines[0].starts_with(place) && lines[0].contains(what), "{lines:?}");
    }
}

#[test]
fn an_object_that_stands_twice_is_told_at_the_second_place_and_nothing_is_answered_about_it() {
    let ann = |metadata: &str| {
        format!(
            "apiVersion: wharfinger.dev/v1alpha1\nkind: RegistryIdentity\nmetadata: {{{metadata}}}\nspec:\n  registryRef: {{name: main}}\n  password: {{generate: {{}}}}\n"
        )
    };
    let namespace = |label: &str| {
        format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: team\n  labels: {{team: {label}}}\n")
    };
    let files = Files::new(&[
        ("a.yaml", OBJECTS),
        ("again.yaml", &ann("name: ann, namespace: team")),
        (
            "home.yaml",
            &format!("{}---\n{}", ann("name: ann"), ann("name: ann, namespace: default")),
        ),
        ("elsewhere.yaml", &ann("name: ann, namespace: other")),
        ("blue.yaml", &namespace("blue")),
        ("azure.yaml", &namespace("blue, kubernetes.io/metadata.name: team")),
        ("red.yaml", &namespace("red")),
    ]);
    let path = |name: &str| files.path(name);
    let told = |place: &str, what: &str, first: &str| {
        let advice = if what.starts_with("Namespace") {
            "give both the same labels, or remove one"
        } else {
            "remove it, or give it another name"
        };
        format!("{place}: metadata.name: {what} is in {first} as well; one of them would replace the other: {advice}")
    };
    for (names, want) in [
        (
            &["a.yaml", "again.yaml"][..],
            told(
                &format!("{}:3:18", path("again.yaml")),
                "RegistryIdentity team/ann",
                &format!("{}:10", path("a.yaml")),
            ),
        ),
        (
            &["home.yaml"],
            told(
                &format!("{}:10:18", path("home.yaml")),
                "RegistryIdentity default/ann",
                &format!("{}:3", path("home.yaml")),
            ),
        ),
        (
            &["blue.yaml", "red.yaml"],
            told(
                &format!("{}:4:9", path("red.yaml")),
                "Namespace team",
                &format!("{}:4", path("blue.yaml")),
            ),
        ),
    ] {
        let paths: Vec<String> = names.iter().map(|name| path(name)).collect();
        let mut lint = vec!["lint"];
        lint.extend(paths.iter().map(String::as_str));
        let (code, answer, _) = said(&run(&lint));
        assert_eq!((code, answer.as_str()), (1, want.as_str()));
        let mut question = vec!["can-i", "pull", "apps/web", "--as", "ann"];
        question.extend(paths.iter().flat_map(|path| ["-f", path.as_str()]));
        let (code, answer, complaint) = said(&run(&question));
        assert_eq!((code, answer.as_str(), complaint.as_str()), (2, "", want.as_str()));
    }
    // The same name elsewhere, the same labels, and a file that is named twice are nothing to complain about.
    let (objects, folder) = (path("a.yaml"), files.0.path().display().to_string());
    for names in [
        vec![objects.as_str(), &path("elsewhere.yaml")],
        vec![&path("blue.yaml"), &path("azure.yaml")],
        vec![&objects, &objects],
    ] {
        let (code, answer, _) = said(&run(&[&["lint"], names.as_slice()].concat()));
        assert_eq!(code, 0, "{answer}");
    }
    let (_, answer, _) = said(&run(&["lint", &folder, &objects]));
    assert_eq!(answer.lines().count(), 3, "{answer}");
}

#[test]
fn what_is_in_lists_counts_and_what_has_no_name_or_no_content_is_told() {
    let indented = |text: &str| format!("    {}\n", text.trim_end().replace('\n', "\n    "));
    let deny = "apiVersion: wharfinger.dev/v1alpha1\nkind: AccessPolicy\nmetadata: {name: shut, namespace: team}\nspec:\n  targetRefs: [{name: main}]\n  effect: Deny\n  subjects: [{any: Everyone}]\n  rules: [{name: all, repositories: ['**'], actions: ['*']}]\n";
    let within = |text: &str| format!("apiVersion: v1\nkind: List\nitems:\n  -\n{}", indented(text));
    let files = Files::new(&[
        ("objects.yaml", OBJECTS),
        ("deeper.yaml", &within(&within(deny))),
        ("item.yaml", &within(deny).replace("items:", "item:")),
        (
            "nameless.yaml",
            &deny.replace("{name: shut, ", "{generateName: shut-, "),
        ),
        ("contentless.yaml", "kind: AccessIndex\nformatVersion: 1\n"),
        ("nothing.yaml", "# nothing yet\n"),
    ]);
    let path = |name: &str| files.path(name);
    let pull = ["can-i", "get-blob", "public/x", "-f", &path("objects.yaml"), "-f"];
    let (code, answer, _) = said(&run(&[&pull[..], &[path("deeper.yaml").as_str()]].concat()));
    assert!(code == 1 && answer.contains("policy `shut`"), "{answer}");
    for (name, want) in [
        ("item.yaml", ":1:1: : this is a list without `items`"),
        ("nameless.yaml", ":3:11: metadata.name: this AccessPolicy has no name"),
    ] {
        let (code, answer, complaint) = said(&run(&[&pull[..], &[path(name).as_str()]].concat()));
        assert_eq!((code, answer.as_str()), (2, ""), "{name}");
        let (code, answer, _) = said(&run(&["lint", &path(name)]));
        assert_eq!(code, 1, "{name}: {answer}");
        assert!(
            answer.contains(want) && complaint.contains(want),
            "{answer} {complaint}"
        );
    }
    let (code, answer, _) = said(&run(&["lint", &path("contentless.yaml")]));
    assert!(code == 1 && answer.contains("`content` is missing"), "{answer}");
    let (code, _, complaint) = said(&run(&["lint", &path("nothing.yaml")]));
    assert!(code == 2 && complaint.contains("nothing was checked"), "{complaint}");
}

//! `wharfinger-registry scrub`: what it finds, that it changes nothing unasked, and what a repair leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use http::Method;
use serde_json::json;

use crate::fixture::{Answer, Call, INDEX, Image, MANIFEST, PASSWORD, Registry, digest};

/// How many images are pushed and deleted while the store is being looked through.
const ROUNDS: usize = 200;
const REPOSITORY: &str = "docker/registry/v2/repositories/team/app";

/// What a scrub printed, and how it ended.
struct Scrubbed {
    code: i32,
    lines: Vec<String>,
    errors: String,
}

impl Scrubbed {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            lines: String::from_utf8(output.stdout)
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The line that names a place, or panics.
    fn at(&self, place: &Path) -> &str {
        let place = format!("in `{}`; ", place.display());
        let line = self.lines.iter().find(|line| line.contains(&place));
        line.unwrap_or_else(|| panic!("{place}\n{}", self.lines.join("\n")))
    }

    fn findings(&self, level: &str) -> Vec<&String> {
        self.lines
            .iter()
            .filter(|line| line.starts_with(&format!("{level}: ")) && line.contains(" in `"))
            .collect()
    }
}

fn scrub(root: &Path, options: &[&str]) -> Scrubbed {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("server.yaml");
    let document = json!({
        "kind": "ServerConfig",
        "formatVersion": 1,
        "listen": "127.0.0.1:0",
        "adminListen": "127.0.0.1:0",
        "storage": { "filesystem": { "root": root } },
    });
    fs::write(&config, document.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger-registry"));
    command.arg("scrub").arg("--config").arg(&config).args(options);
    Scrubbed::new(command.output().unwrap())
}

/// Every file of a store with its content, and every directory.
fn tree(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let content = path.is_file().then(|| fs::read(&path).unwrap());
            if content.is_none() {
                pending.push(path.clone());
            }
            found.insert(path, content);
        }
    }
    found
}

fn data(hex: &str) -> String {
    format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
}

fn flip(path: &Path) {
    let mut content = fs::read(path).unwrap();
    content[3] ^= 1;
    fs::write(path, content).unwrap();
}

fn make_old(path: &Path) {
    let long_ago = SystemTime::now() - Duration::from_hours(24 * 30);
    fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
}

#[tokio::test]
async fn a_clean_store_is_clean_and_stays_as_it_is() {
    let registry = Registry::new();
    registry.seed("team/app", "v1").await;
    registry.seed("team/other/app", "v2").await;
    registry
        .stopped(|root| {
            let before = tree(root);
            let scrubbed = scrub(root, &[]);
            assert_eq!((scrubbed.code, scrubbed.errors.as_str()), (0, ""));
            // Two images of two blobs and a manifest; a link for each, and two for the tag.
            assert!(
                scrubbed.lines[0].starts_with("read 6 blobs and manifests (")
                    && scrubbed.lines[0].contains(" and 10 links in 2 repositories in "),
                "{:?}",
                scrubbed.lines
            );
            assert_eq!(scrubbed.lines[1..], ["in all 0 damaged, 0 notes"]);
            assert_eq!(tree(root), before);

            let repaired = scrub(root, &["--repair"]);
            assert_eq!((repaired.code, &repaired.lines[1..]), (0, &scrubbed.lines[1..]));
            assert!(!root.join("wharfinger/quarantine").exists());
        })
        .seed("team/app", "v1")
        .await;
}

/// A way to damage an image, below the store's root.
struct Damage {
    name: &'static str,
    /// The file that is damaged.
    place: fn(&Image) -> String,
    inflict: fn(&Path),
    /// What the finding says, with the image's digests put in.
    text: &'static str,
    /// Whether the file that was damaged is kept.
    is_kept: bool,
}

const DAMAGES: [Damage; 11] = [
    Damage {
        name: "a flipped byte",
        place: |image| data(image.layer.hex()),
        inflict: flip,
        text: "damaged: the content of blob LAYER has the digest sha256:",
        is_kept: true,
    },
    Damage {
        name: "a truncated blob",
        place: |image| data(image.layer.hex()),
        inflict: |path| fs::File::options().write(true).open(path).unwrap().set_len(2).unwrap(),
        text: "damaged: the content of blob LAYER has the digest sha256:",
        is_kept: true,
    },
    Damage {
        name: "a flipped byte in a manifest",
        place: |image| data(image.manifest.hex()),
        inflict: flip,
        text: "damaged: the content of blob MANIFEST has the digest sha256:",
        is_kept: true,
    },
    Damage {
        name: "an empty blob link",
        place: |image| format!("{REPOSITORY}/_layers/sha256/{}/link", image.layer.hex()),
        inflict: |path| fs::write(path, "").unwrap(),
        text: "damaged: the link to blob LAYER of repository `team/app` is empty",
        is_kept: true,
    },
    Damage {
        name: "a blob link to another digest",
        place: |image| format!("{REPOSITORY}/_layers/sha256/{}/link", image.layer.hex()),
        inflict: |path| fs::write(path, digest(b"other").as_str()).unwrap(),
        text: "damaged: the link to blob LAYER of repository `team/app` holds sha256:",
        is_kept: true,
    },
    Damage {
        name: "a manifest link that holds no digest",
        place: |image| format!("{REPOSITORY}/_manifests/revisions/sha256/{}/link", image.manifest.hex()),
        inflict: flip,
        text: "damaged: the link to manifest MANIFEST of repository `team/app` holds no digest",
        is_kept: true,
    },
    Damage {
        name: "an empty link of a tag's history",
        place: |image| {
            format!(
                "{REPOSITORY}/_manifests/tags/v1/index/sha256/{}/link",
                image.manifest.hex()
            )
        },
        inflict: |path| fs::write(path, "").unwrap(),
        text: "damaged: the link to former manifest MANIFEST of repository `team/app` is empty",
        is_kept: true,
    },
    Damage {
        name: "an empty tag",
        place: |_| format!("{REPOSITORY}/_manifests/tags/v1/current/link"),
        inflict: |path| fs::write(path, "").unwrap(),
        text: "damaged: the link of tag `team/app:v1` is empty",
        is_kept: true,
    },
    Damage {
        name: "a tag to a missing revision",
        place: |_| format!("{REPOSITORY}/_manifests/tags/v1/current/link"),
        inflict: |path| fs::write(path, digest(b"gone").as_str()).unwrap(),
        text: "damaged: tag `team/app:v1` points at manifest sha256:",
        is_kept: true,
    },
    Damage {
        name: "a missing data file of a manifest",
        place: |image| data(image.manifest.hex()),
        inflict: |path| fs::remove_file(path).unwrap(),
        text: "damaged: the content of manifest MANIFEST of repository `team/app` is not there",
        is_kept: false,
    },
    Damage {
        name: "a missing data file of a blob",
        place: |image| data(image.manifest.hex()),
        inflict: |path| {
            let content = Image::of("v1").layer;
            let blobs = path.ancestors().nth(4).unwrap();
            fs::remove_file(blobs.join(format!("sha256/{}/{}/data", &content.hex()[..2], content.hex()))).unwrap();
        },
        text: "damaged: manifest MANIFEST of repository `team/app` refers to blob LAYER, which is not there",
        is_kept: false,
    },
];

#[tokio::test]
async fn each_damage_is_found_in_its_place_moved_aside_when_asked_and_healed_by_a_push() {
    for Damage {
        name,
        place,
        inflict,
        text,
        is_kept,
    } in DAMAGES
    {
        let registry = Registry::new();
        let image = registry.seed("team/app", "v1").await;
        let place = place(&image);
        let text = text
            .replace("LAYER", image.layer.as_str())
            .replace("MANIFEST", image.manifest.as_str());
        let registry = registry.stopped(|root| {
            inflict(&root.join(&place));
            let before = tree(root);
            let found = scrub(root, &[]);
            assert_eq!(found.code, 1, "{name}: {:?} {}", found.lines, found.errors);
            assert!(
                found.at(&root.join(&place)).starts_with(&text),
                "{name}: {:#?}",
                found.lines
            );
            assert!(
                found.lines.last().unwrap().contains("run this again with `--repair`"),
                "{name}"
            );
            assert_eq!(tree(root), before, "{name}: a scrub changed something");

            let repaired = scrub(root, &["--repair"]);
            assert_eq!(repaired.code, 1, "{name}: {:?} {}", repaired.lines, repaired.errors);
            assert!(
                repaired.at(&root.join(&place)).starts_with(&text),
                "{name}: {:#?}",
                repaired.lines
            );
            let after = tree(root);
            let mut runs: Vec<PathBuf> = after.keys().cloned().collect();
            runs.retain(|path| path.parent() == Some(&root.join("wharfinger/quarantine")));
            if is_kept {
                let kept = runs[0].join(&place);
                assert_eq!(
                    after.get(&kept),
                    before.get(&root.join(&place)),
                    "{name}: it is not kept"
                );
            }
            // Whatever was in the store is in it, or in the quarantine.
            for (path, content) in &before {
                let inside = path.strip_prefix(root).unwrap();
                let is_ours = inside.starts_with("wharfinger");
                let is_there = after.get(path) == Some(content)
                    || runs.iter().any(|run| after.get(&run.join(inside)) == Some(content));
                assert!(is_ours || is_there, "{name}: {} is lost", path.display());
            }
        });
        registry.seed("team/app", "v1").await;
        let get = Call::get("/v2/team/app/manifests/v1").basic("puller", PASSWORD);
        assert_eq!(registry.send(get).await.body, image.manifest_content, "{name}");
        let get = Call::get(&format!("/v2/team/app/blobs/{}", image.layer)).basic("puller", PASSWORD);
        assert_eq!(registry.send(get).await.body, image.layer_content, "{name}");
        let healed = scrub(registry.directory.path(), &[]);
        assert_eq!(
            (healed.code, healed.findings("damaged").len()),
            (0, 0),
            "{name}: {:?}",
            healed.lines
        );
    }
}

#[tokio::test]
async fn what_a_repair_took_is_unknown_until_it_is_pushed_and_then_is_back_in_every_repository() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    registry.seed("team/other", "v1").await;
    let registry = registry.stopped(|root| {
        flip(&root.join(data(image.layer.hex())));
        // The second time there is nothing left to be done, and links to what is gone stay.
        for _ in 0..2 {
            assert_eq!(scrub(root, &["--repair"]).code, 1);
        }
        // Damage that is not there any more, but images that cannot be pulled, by repository and tag.
        let again = scrub(root, &[]);
        assert_eq!(
            (again.code, again.findings("damaged").len()),
            (1, 2),
            "{:#?}",
            again.lines
        );
    });
    let uri = |repository: &str| format!("/v2/{repository}/blobs/{}", image.layer);
    for repository in ["team/app", "team/other"] {
        let get = Call::get(&uri(repository)).basic("puller", PASSWORD);
        assert_eq!(registry.send(get).await.error(), (404, "BLOB_UNKNOWN".to_owned()));
        let head = Call::new(Method::HEAD, &uri(repository)).basic("puller", PASSWORD);
        assert_eq!(registry.send(head).await.status, 404);
    }
    registry.seed("team/app", "v1").await;
    let get = Call::get(&uri("team/other")).basic("puller", PASSWORD);
    assert_eq!(registry.send(get).await.body, image.layer_content);
    assert_eq!(scrub(registry.directory.path(), &[]).code, 0);
}

#[tokio::test]
async fn a_manifest_whose_content_is_damaged_is_never_served() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    // A digit of a size: still a manifest, but not this one.
    let path = registry.directory.path().join(data(image.manifest.hex()));
    let content = String::from_utf8(image.manifest_content.to_vec()).unwrap();
    let changed = content.replacen("\"size\":1", "\"size\":2", 1);
    assert_ne!(changed, content);
    fs::write(path, changed).unwrap();
    let references = ["v1".to_owned(), image.manifest.to_string()];
    let call = |method: Method, reference: &String| {
        Call::new(method, &format!("/v2/team/app/manifests/{reference}")).basic("puller", PASSWORD)
    };
    for reference in &references {
        let answer = registry.send(call(Method::GET, reference)).await;
        assert_eq!(answer.error(), (500, "UNKNOWN".to_owned()), "{reference}");
        let head = registry.send(call(Method::HEAD, reference)).await;
        assert_eq!(head.status, 500, "{reference}");
    }
    let registry = registry.stopped(|root| assert_eq!(scrub(root, &["--repair"]).code, 1));
    for reference in &references {
        let answer = registry.send(call(Method::GET, reference)).await;
        assert_eq!(answer.error(), (404, "MANIFEST_UNKNOWN".to_owned()), "{reference}");
    }
}

#[tokio::test]
async fn what_is_no_damage_is_a_note() {
    let registry = Registry::new();
    registry.seed("team/app", "v1").await;
    let root = registry.directory.path();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{ "mediaType": MANIFEST, "digest": digest(b"elsewhere").as_str(), "size": 9 }],
    })
    .to_string();
    let sparse = digest(index.as_bytes());
    let put = |path: &Path, content: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let repository = root.join(REPOSITORY);
    let revision = repository.join(format!("_manifests/revisions/sha256/{}/link", sparse.hex()));
    put(&root.join(data(sparse.hex())), &index);
    put(&revision, sparse.as_str());
    // Another registry's garbage collection leaves links behind.
    let collected = digest(b"collected");
    let link = repository.join(format!("_layers/sha256/{}/link", collected.hex()));
    put(&link, collected.as_str());
    // A tag's history outlives the manifest.
    let former = digest(b"former");
    put(
        &repository.join(format!("_manifests/tags/v1/index/sha256/{}/link", former.hex())),
        former.as_str(),
    );
    let cut_off = root.join(data(digest(b"cut off").hex())).parent().unwrap().to_owned();
    let stray = root.join("docker/registry/v2/blobs/sha256/00/none");
    let upload = repository.join("_uploads/1234");
    for directory in [&cut_off, &stray, &upload] {
        fs::create_dir_all(directory).unwrap();
    }
    put(&upload.join("data"), "half");
    for path in [&cut_off, &upload.join("data"), &upload] {
        make_old(path);
    }
    let recent = root.join(data(digest(b"recent").hex())).parent().unwrap().to_owned();
    fs::create_dir_all(recent).unwrap();

    let scrubbed = scrub(root, &[]);
    assert_eq!(
        (scrubbed.code, scrubbed.findings("damaged").len()),
        (0, 0),
        "{:#?}",
        scrubbed.lines
    );
    for (place, text) in [
        (
            root.join(data(sparse.hex())),
            "refers to 1 manifests that repository `team/app` does not have",
        ),
        (link, "whose content is not in the store"),
        (cut_off, "left by a push that was cut off"),
        (stray, "is no part of a store's layout"),
        (upload, "has stood still for a week"),
    ] {
        assert!(
            scrubbed.at(&place).starts_with("note: ") && scrubbed.at(&place).contains(text),
            "{text}"
        );
    }
    assert_eq!(scrubbed.findings("note").len(), 5, "{:#?}", scrubbed.lines);
}

#[tokio::test]
async fn a_repair_beside_a_running_registry_is_refused_and_changes_nothing() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let root = registry.directory.path();
    flip(&root.join(data(image.layer.hex())));
    let files = registry.files();
    let refused = scrub(root, &["--repair"]);
    assert_eq!((refused.code, refused.lines.len()), (2, 0), "{:?}", refused.lines);
    assert!(
        refused
            .errors
            .starts_with("error: cannot repair: stop the registry that serves this store first"),
        "{}",
        refused.errors
    );
    assert_eq!(registry.files(), files);
    assert!(!root.join("wharfinger/quarantine").exists());
    let found = scrub(root, &[]);
    assert_eq!(found.code, 1);
    found.at(&root.join(data(image.layer.hex())));
}

#[test]
fn without_a_store_nothing_is_said_to_be_clean() {
    let directory = tempfile::tempdir().unwrap();
    for options in [&[] as &[&str], &["--repair"]] {
        let scrubbed = scrub(directory.path(), options);
        assert_eq!(scrubbed.code, 2);
        assert!(
            scrubbed.errors.starts_with("error: there is no store in `"),
            "{}",
            scrubbed.errors
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger-registry"));
    let scrubbed = Scrubbed::new(command.args(["scrub", "--config", "/none.yaml"]).output().unwrap());
    assert_eq!(scrubbed.code, 2);
    assert!(scrubbed.errors.contains("/none.yaml"), "{}", scrubbed.errors);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn beside_a_registry_under_load_nothing_is_reported() {
    let registry = Arc::new(Registry::new());
    let root = registry.directory.path().to_owned();
    let rounds = Arc::new(AtomicUsize::new(0));
    let load = (0..3).map(|client| {
        let (registry, rounds) = (registry.clone(), rounds.clone());
        tokio::spawn(async move {
            while rounds.fetch_add(1, Ordering::Relaxed) < ROUNDS {
                let repository = format!("team/app{}", client % 2);
                let image = registry.seed(&repository, &format!("v{client}")).await;
                for path in [
                    format!("manifests/{}", image.manifest),
                    format!("blobs/{}", image.layer),
                    format!("blobs/{}", image.config),
                ] {
                    let uri = format!("/v2/{repository}/{path}");
                    let delete = Call::new(Method::DELETE, &uri).basic("admin", PASSWORD);
                    assert_eq!(registry.send(delete).await.status, 202);
                }
            }
        })
    });
    let load: Vec<_> = load.collect();
    while rounds.load(Ordering::Relaxed) < ROUNDS {
        let root = root.clone();
        let scrubbed = tokio::task::spawn_blocking(move || scrub(&root, &[])).await.unwrap();
        assert_eq!(
            (scrubbed.code, scrubbed.findings("damaged").len()),
            (0, 0),
            "{:#?}",
            scrubbed.lines
        );
    }
    for client in load {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn what_a_repair_took_is_in_no_list() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    registry.seed("team/app", "v2").await;
    let referrer = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.example", "digest": image.config.as_str(), "size": image.config_content.len() },
        "layers": [],
        "subject": { "mediaType": MANIFEST, "digest": image.manifest.as_str(), "size": image.manifest_content.len() },
    })
    .to_string();
    let digest = digest(referrer.as_bytes());
    let put = Call::new(Method::PUT, &format!("/v2/team/app/manifests/{digest}")).basic("admin", PASSWORD);
    let put = put.header("content-type", MANIFEST).body(referrer);
    assert_eq!(registry.send(put).await.status, 201);
    let referrers = || Call::get(&format!("/v2/team/app/referrers/{}", image.manifest)).basic("puller", PASSWORD);
    let tags = || Call::get("/v2/team/app/tags/list").basic("puller", PASSWORD);
    let count = |answer: Answer, field: &str| answer.json()[field].as_array().unwrap().len();
    assert_eq!(count(registry.send(referrers()).await, "manifests"), 1);
    assert_eq!(count(registry.send(tags()).await, "tags"), 2);
    let registry = registry.stopped(|root| {
        flip(&root.join(data(digest.hex())));
        fs::write(root.join(REPOSITORY).join("_manifests/tags/v2/current/link"), "").unwrap();
        assert_eq!(scrub(root, &["--repair"]).code, 1);
    });
    assert_eq!(count(registry.send(referrers()).await, "manifests"), 0);
    assert_eq!(registry.send(tags()).await.json()["tags"], json!(["v1"]));
}

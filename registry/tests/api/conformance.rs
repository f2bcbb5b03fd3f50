//! The distribution specification as a matrix: every kind of content, under each digest algorithm, pushed in each way; then
//! found, pulled, listed, referred to, and deleted.

mod kinds;
mod ways;

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use wharfinger_registry::oci::{Algorithm, Digest};

use crate::fixture::{Answer, Call, INDEX, MANIFEST, PASSWORD, Registry, content, digest};
use kinds::{Content, KINDS, Pushed};
use ways::{SOURCE, WAYS, Way, ask, check_blob, delete, push, push_well};

#[tokio::test]
async fn a_blob_comes_in_each_way_under_each_algorithm_and_goes_at_once() {
    let registry = Registry::new();
    let large: Bytes = (0..1_500_001_u32).map(|index| (index % 251) as u8).collect();
    for content in [Bytes::new(), "{}".into(), "0123456789".into(), large] {
        for algorithm in Algorithm::ALL {
            for way in WAYS {
                let digest = Digest::of(algorithm, &content);
                let uri = format!("/v2/team/app/blobs/{digest}");
                assert_eq!(
                    ask(&registry, Method::GET, &uri).await.error(),
                    (404, "BLOB_UNKNOWN".to_owned())
                );
                push_well(&registry, "team/app", way, &digest, &content).await;
                check_blob(&registry, "team/app", &digest, &content).await;
                delete(&registry, &uri, "BLOB_UNKNOWN").await;
                if matches!(way, Way::Mount | Way::MountFromAnywhere) {
                    check_blob(&registry, SOURCE, &digest, &content).await;
                    delete(&registry, &format!("/v2/{SOURCE}/blobs/{digest}"), "BLOB_UNKNOWN").await;
                }
            }
        }
    }
    let left: Vec<_> = registry
        .files()
        .into_iter()
        .filter(|path| path.contains("_uploads/"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[tokio::test]
async fn content_of_another_digest_is_refused_in_each_way_under_each_algorithm() {
    let registry = Registry::new();
    let content: Bytes = vec![b'x'; 30_000].into();
    for algorithm in Algorithm::ALL {
        let wrong = Digest::of(algorithm, b"something else");
        for way in WAYS {
            if matches!(way, Way::Mount | Way::MountFromAnywhere) {
                continue;
            }
            let answer = push(&registry, "team/app", way, &wrong, &content).await;
            assert_eq!(answer.error(), (400, "DIGEST_INVALID".to_owned()), "{way:?}");
            for digest in [&wrong, &Digest::of(algorithm, &content)] {
                let answer = ask(&registry, Method::GET, &format!("/v2/team/app/blobs/{digest}")).await;
                assert_eq!(answer.error(), (404, "BLOB_UNKNOWN".to_owned()), "{way:?}");
            }
        }
    }
    let left: Vec<_> = registry
        .files()
        .into_iter()
        .filter(|path| path.contains("data"))
        .collect();
    assert_eq!(left, [""; 0]);
}

/// How manifests get their tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tagging {
    /// By a push under the tag's name, which is always one by SHA-256.
    ByName,
    /// By a parameter of the push by digest.
    ByParameter,
}

async fn put_manifest(registry: &Registry, repository: &str, reference: &str, pushed: &Pushed) -> Answer {
    let call = Call::new(Method::PUT, &format!("/v2/{repository}/manifests/{reference}")).basic("admin", PASSWORD);
    let call = call
        .header("content-type", pushed.media_type)
        .body(pushed.content.clone());
    let answer = registry.send(call).await;
    let location = format!("/v2/{repository}/manifests/{}", pushed.digest);
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.header("location"),
            answer.header("docker-content-digest")
        ),
        (201, Some(location.as_str()), Some(pushed.digest.as_str())),
        "{reference}: {answer:?}"
    );
    assert_eq!(answer.header("oci-subject"), pushed.subject.as_deref(), "{reference}");
    answer
}

async fn push_manifest(registry: &Registry, repository: &str, tagging: Tagging, pushed: &Pushed) {
    let other =
        Call::new(Method::PUT, &format!("/v2/{repository}/manifests/{}", pushed.digest)).basic("admin", PASSWORD);
    let other = other.header("content-type", pushed.media_type);
    let refused = registry.send(other.body([&pushed.content[..], b"  "].concat())).await;
    assert_eq!(refused.error(), (400, "DIGEST_INVALID".to_owned()));

    let digest = pushed.digest.as_str();
    match tagging {
        Tagging::ByName => {
            put_manifest(registry, repository, digest, pushed).await;
            for tag in &pushed.tags {
                put_manifest(registry, repository, tag, pushed).await;
            }
        }
        Tagging::ByParameter => {
            let parameters: Vec<_> = pushed.tags.iter().map(|tag| format!("tag={tag}")).collect();
            let reference = format!("{digest}?{}", parameters.join("&"));
            let answer = put_manifest(registry, repository, &reference, pushed).await;
            let tags: Vec<_> = answer.headers.get_all("oci-tag").iter().collect();
            assert_eq!(tags, pushed.tags);
        }
    }
}

async fn check_manifest(registry: &Registry, repository: &str, reference: &str, pushed: &Pushed) {
    for method in [Method::HEAD, Method::GET] {
        let uri = format!("/v2/{repository}/manifests/{reference}");
        let call = Call::new(method.clone(), &uri).basic("puller", PASSWORD);
        let answer = registry
            .send(call.header("accept", &format!("{INDEX}, {MANIFEST}")))
            .await;
        let headers = ["content-type", "content-length", "docker-content-digest"].map(|name| answer.header(name));
        let length = pushed.content.len().to_string();
        let want = [pushed.media_type, length.as_str(), pushed.digest.as_str()].map(Some);
        assert_eq!((answer.status.as_u16(), headers), (200, want), "{method} {reference}");
        assert!(
            method == Method::HEAD || answer.body == pushed.content,
            "{method} {reference}"
        );
    }
}

/// The entries of a list of referrers, by their digests.
fn sorted(mut entries: Vec<Value>) -> Vec<Value> {
    entries.sort_by_key(|entry| entry["digest"].as_str().unwrap().to_owned());
    entries
}

async fn check_referrers(registry: &Registry, repository: &str, content: &Content) {
    let list = async |subject: &str, query: &str| {
        let uri = format!("/v2/{repository}/referrers/{subject}{query}");
        let answer = ask(registry, Method::GET, &uri).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, Some(INDEX)),
            "{uri}"
        );
        let filters = answer.header("oci-filters-applied").map(str::to_owned);
        let entries: Vec<Value> = serde_json::from_value(answer.json()["manifests"].clone()).unwrap();
        (sorted(entries), filters)
    };
    let subjects: BTreeSet<&str> = content
        .manifests
        .iter()
        .filter_map(|pushed| pushed.subject.as_deref())
        .collect();
    for subject in subjects {
        let referrers = content
            .manifests
            .iter()
            .filter(|pushed| pushed.subject.as_deref() == Some(subject));
        let entries: Vec<Value> = referrers.map(|pushed| pushed.entry.clone()).collect();
        assert_eq!(list(subject, "").await, (sorted(entries.clone()), None));
        for entry in &entries {
            let of_this_type = entries
                .iter()
                .filter(|other| other["artifactType"] == entry["artifactType"]);
            let of_this_type = sorted(of_this_type.cloned().collect());
            let query = entry["artifactType"]
                .as_str()
                .unwrap()
                .replace('/', "%2F")
                .replace('+', "%2B");
            let query = format!("?artifactType={query}");
            assert_eq!(
                list(subject, &query).await,
                (of_this_type, Some("artifactType".to_owned())),
                "{query}"
            );
        }
    }
    for pushed in &content.manifests {
        if !content
            .manifests
            .iter()
            .any(|other| other.subject.as_deref() == Some(pushed.digest.as_str()))
        {
            assert_eq!(list(pushed.digest.as_str(), "").await, (vec![], None));
        }
    }
}

async fn lists(registry: &Registry, repository: &str) -> (Value, bool) {
    let tags = ask(registry, Method::GET, &format!("/v2/{repository}/tags/list")).await;
    let catalog = ask(registry, Method::GET, "/v2/_catalog").await;
    let repositories = catalog.json()["repositories"].as_array().unwrap().clone();
    (tags.json()["tags"].clone(), repositories.contains(&json!(repository)))
}

#[tokio::test]
async fn content_of_each_kind_is_pushed_pulled_listed_and_deleted_under_each_algorithm() {
    let registry = Registry::new();
    let mut ways = WAYS.into_iter().cycle();
    for (number, (kind, fill)) in KINDS.into_iter().enumerate() {
        for (algorithm, tagging) in [
            (Algorithm::Sha256, Tagging::ByName),
            (Algorithm::Sha256, Tagging::ByParameter),
            (Algorithm::Sha512, Tagging::ByParameter),
        ] {
            println!("{kind}, {algorithm:?}, {tagging:?}");
            let all = Content::of(algorithm, fill);
            let mut settings = content();
            settings["manifests"] = json!({ "missingReferences": all.missing_references });
            registry.publish(2, settings);
            let repository = &format!("team/{number}");

            for ((digest, content), way) in all.blobs.iter().zip(&mut ways) {
                push_well(&registry, repository, way, digest, content).await;
            }
            for pushed in &all.manifests {
                push_manifest(&registry, repository, tagging, pushed).await;
            }
            assert_eq!(
                lists(&registry, repository).await,
                (json!(all.tags()), !all.tags().is_empty())
            );
            for (digest, content) in &all.blobs {
                check_blob(&registry, repository, digest, content).await;
            }
            for pushed in &all.manifests {
                for reference in pushed.tags.iter().copied().chain([pushed.digest.as_str()]) {
                    check_manifest(&registry, repository, reference, pushed).await;
                }
            }
            check_referrers(&registry, repository, &all).await;

            // From the top, so that nothing is deleted that something else refers to.
            let uri = |kind: &str, name: &str| format!("/v2/{repository}/{kind}/{name}");
            for tag in all.tags() {
                delete(&registry, &uri("manifests", tag), "MANIFEST_UNKNOWN").await;
            }
            assert_eq!(lists(&registry, repository).await, (json!([]), false));
            for pushed in all.manifests.iter().rev() {
                delete(&registry, &uri("manifests", pushed.digest.as_str()), "MANIFEST_UNKNOWN").await;
                if let Some(subject) = &pushed.subject {
                    let answer = ask(&registry, Method::GET, &uri("referrers", subject)).await;
                    assert!(!answer.json()["manifests"].as_array().unwrap().contains(&pushed.entry));
                }
            }
            for (digest, _) in &all.blobs {
                delete(&registry, &uri("blobs", digest.as_str()), "BLOB_UNKNOWN").await;
            }
        }
    }
}

#[tokio::test]
async fn what_was_meant_as_a_digest_and_is_none_is_refused_everywhere() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let before = registry.files();
    let upper = image.manifest.as_str().replace("sha256:", "sha256:A");
    let md5 = "md5:d41d8cd98f00b204e9800998ecf8427e";
    let unequal = format!("sha512:{}", digest(b"x").hex());
    for text in [
        "sha256:baddigeststring",
        "sha256:",
        upper.as_str(),
        md5,
        unequal.as_str(),
    ] {
        for (kind, methods) in [
            (
                "manifests",
                vec![Method::PUT, Method::GET, Method::HEAD, Method::DELETE],
            ),
            ("blobs", vec![Method::GET, Method::HEAD, Method::DELETE]),
            ("referrers", vec![Method::GET]),
        ] {
            for method in methods {
                let call = Call::new(method.clone(), &format!("/v2/team/app/{kind}/{text}")).basic("admin", PASSWORD);
                let call = call
                    .header("content-type", MANIFEST)
                    .body(image.manifest_content.clone());
                let answer = registry.send(call).await;
                assert_eq!(
                    answer.error(),
                    (400, "DIGEST_INVALID".to_owned()),
                    "{method} {kind} {text}"
                );
            }
        }
        let uploads = format!("/v2/team/app/blobs/uploads/?digest={text}");
        let answer = ask(&registry, Method::POST, &uploads).await;
        assert_eq!(answer.error(), (400, "DIGEST_INVALID".to_owned()), "{text}");
    }
    assert_eq!(registry.files(), before);
}

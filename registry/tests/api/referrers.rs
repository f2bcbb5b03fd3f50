//! Referrers: what says something about a manifest, listed by what it says it about.

use http::Method;
use serde_json::{Value, json};
use wharfinger_registry::oci::{Algorithm, Digest};

use crate::fixture::{Answer, Call, INDEX, Image, MANIFEST, PASSWORD, Registry, digest};

/// Pushes a manifest by its digest, and returns it with the answer.
async fn push(registry: &Registry, manifest: &Value) -> (String, Answer) {
    let content = manifest.to_string();
    let digest = digest(content.as_bytes()).to_string();
    let media_type = manifest["mediaType"].as_str().unwrap();
    let call = Call::new(Method::PUT, &format!("/v2/team/app/manifests/{digest}")).basic("admin", PASSWORD);
    let answer = registry
        .send(call.header("content-type", media_type).body(content))
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    (digest, answer)
}

/// An artifact that refers to `subject`.
fn artifact(image: &Image, subject: &str, artifact_type: &str, note: &str) -> Value {
    let mut manifest: Value = serde_json::from_slice(&image.manifest_content).unwrap();
    manifest["artifactType"] = json!(artifact_type);
    manifest["subject"] = json!({ "mediaType": MANIFEST, "digest": subject, "size": 7 });
    manifest["annotations"] = json!({ "note": note });
    manifest
}

async fn list(registry: &Registry, query: &str) -> Answer {
    let uri = format!("/v2/team/app/referrers/{query}");
    registry.send(Call::get(&uri).basic("puller", PASSWORD)).await
}

fn digests(answer: &Answer) -> Vec<String> {
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, Some(INDEX)),
        "{answer:?}"
    );
    let list = answer.json();
    assert_eq!((&list["schemaVersion"], &list["mediaType"]), (&json!(2), &json!(INDEX)));
    let entries = list["manifests"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| entry["digest"].as_str().unwrap().to_owned())
        .collect()
}

fn sorted(mut digests: Vec<String>) -> Vec<String> {
    digests.sort();
    digests
}

#[tokio::test]
async fn a_subject_lists_its_referrers_until_they_are_deleted() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let subject = image.manifest.to_string();
    assert_eq!(digests(&list(&registry, &subject).await), Vec::<String>::new());

    let signed = artifact(&image, &subject, "application/x-signature", "one");
    let (signature, answer) = push(&registry, &signed).await;
    assert_eq!(answer.header("oci-subject"), Some(subject.as_str()));
    let (bill, _) = push(&registry, &artifact(&image, &subject, "application/x-bill", "two")).await;
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [],
        "subject": { "mediaType": MANIFEST, "digest": subject, "size": 7 },
    });
    let (index, _) = push(&registry, &index).await;
    let all = list(&registry, &subject).await;
    assert_eq!(
        digests(&all),
        sorted(vec![signature.clone(), bill.clone(), index.clone()])
    );
    assert_eq!(all.header("oci-filters-applied"), None);
    let entries = all.json()["manifests"].as_array().unwrap().clone();
    let entry = |digest: &str| entries.iter().find(|entry| entry["digest"] == digest).unwrap().clone();
    assert_eq!(
        entry(&signature),
        json!({
            "mediaType": MANIFEST, "digest": signature, "size": signed.to_string().len(),
            "artifactType": "application/x-signature", "annotations": { "note": "one" },
        })
    );
    assert_eq!(entry(&index).get("artifactType"), None);

    let filtered = list(&registry, &format!("{subject}?artifactType=application%2Fx-bill")).await;
    assert_eq!(digests(&filtered), [bill.as_str()]);
    assert_eq!(filtered.header("oci-filters-applied"), Some("artifactType"));
    assert_eq!(
        digests(&list(&registry, &format!("{subject}?artifactType=none")).await),
        [""; 0]
    );

    // Pushed again, it is listed once; deleted, not at all; and the subject's own deletion takes nothing from the list.
    push(&registry, &signed).await;
    for deleted in [&bill, &subject] {
        let call = Call::new(Method::DELETE, &format!("/v2/team/app/manifests/{deleted}")).basic("admin", PASSWORD);
        assert_eq!(registry.send(call).await.status, 202);
    }
    assert_eq!(
        digests(&list(&registry, &subject).await),
        sorted(vec![signature, index])
    );
}

#[tokio::test]
async fn a_subject_need_not_exist_and_may_have_a_sha512_digest() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    for subject in [digest(b"nowhere"), Digest::of(Algorithm::Sha512, b"nowhere")] {
        let (referrer, answer) = push(&registry, &artifact(&image, subject.as_str(), "t", "x")).await;
        assert_eq!(answer.header("oci-subject"), Some(subject.as_str()));
        assert_eq!(digests(&list(&registry, subject.as_str()).await), [referrer]);
    }
    let elsewhere = Call::get(&format!("/v2/team/other/referrers/{}", digest(b"nowhere"))).basic("puller", PASSWORD);
    assert_eq!(digests(&registry.send(elsewhere).await), [""; 0]);
    let broken = list(&registry, "sha256:x").await;
    assert_eq!(broken.error(), (400, "DIGEST_INVALID".to_owned()));
}

#[tokio::test]
async fn referrers_come_in_pages_that_keep_the_filter() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let subject = image.manifest.to_string();
    let mut expected = Vec::new();
    for index in 0..7 {
        let artifact_type = if index % 2 == 0 { "a/even" } else { "a/odd" };
        // Four of these fill a page of 3 MiB.
        let note = format!("{index}{}", "x".repeat(900_000));
        let (digest, _) = push(&registry, &artifact(&image, &subject, artifact_type, &note)).await;
        if index % 2 == 0 {
            expected.push(digest);
        }
    }
    let mut uri = format!("/v2/team/app/referrers/{subject}?artifactType=a%2Feven");
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        let answer = registry.send(Call::get(&uri).basic("puller", PASSWORD)).await;
        assert!(answer.body.len() < 4 * 1024 * 1024);
        found.extend(digests(&answer));
        pages += 1;
        let Some(next) = answer.next_page() else { break };
        uri = next;
        assert!(pages < 10, "the pages never end");
    }
    assert_eq!((found, pages), (sorted(expected), 2));
}

#[tokio::test]
async fn what_another_registry_left_is_listed() {
    // A registry without the API keeps referrers as ordinary manifests, with a list under a tag of the subject's name.
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let content = artifact(&image, image.manifest.as_str(), "t", "x").to_string();
    let referrer = digest(content.as_bytes());
    let root = registry.directory.path().join("docker/registry/v2");
    let write = |path: String, content: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    let hex = referrer.hex();
    write(format!("blobs/sha256/{}/{hex}/data", &hex[..2]), &content);
    let revisions = "repositories/team/app/_manifests/revisions/sha256";
    write(format!("{revisions}/{hex}/link"), referrer.as_str());
    let tag = format!("repositories/team/app/_manifests/tags/sha256-{}", image.manifest.hex());
    write(format!("{tag}/current/link"), image.manifest.as_str());
    let listed = digests(&list(&registry, image.manifest.as_str()).await);
    assert_eq!(listed, [referrer.as_str()]);
}

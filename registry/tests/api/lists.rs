//! Lists of tags and repositories.

use http::Method;
use registry_config::Uploads;
use serde_json::json;
use wharfinger_registry::metrics::StoreMetrics;
use wharfinger_registry::oci::RepositoryName;
use wharfinger_registry::store::{FilesystemStore, Store};

use crate::fixture::{Call, Image, MANIFEST, PASSWORD, Registry};

/// Tags the one image of a repository.
async fn tag(registry: &Registry, repository: &str, image: &Image, tag: &str) {
    let call = Call::new(Method::PUT, &format!("/v2/{repository}/manifests/{tag}")).basic("admin", PASSWORD);
    let answer = registry
        .send(
            call.header("content-type", MANIFEST)
                .body(image.manifest_content.clone()),
        )
        .await;
    assert_eq!(answer.status, 201);
}

/// All pages of a list from `uri` on, by following the links.
async fn pages(registry: &Registry, uri: &str, field: &str) -> Vec<Vec<String>> {
    let mut uri = uri.to_owned();
    let mut pages = Vec::new();
    loop {
        let answer = registry.send(Call::get(&uri).basic("admin", PASSWORD)).await;
        assert_eq!(answer.status, 200, "{uri}: {answer:?}");
        pages.push(serde_json::from_value(answer.json()[field].clone()).unwrap());
        let Some(next) = answer.next_page() else {
            return pages;
        };
        uri = next;
        assert!(pages.len() < 100, "the pages never end");
    }
}

#[tokio::test]
async fn tags_come_in_order_and_in_pages() {
    let registry = Registry::new();
    let image = registry.seed("a/b", "v1").await;
    for name in ["v2", "latest", "V1", "_x", "1", "v1-rc.1"] {
        tag(&registry, "a/b", &image, name).await;
    }
    let all = ["1", "V1", "_x", "latest", "v1", "v1-rc.1", "v2"].map(str::to_owned);
    let list = "/v2/a/b/tags/list";
    assert_eq!(pages(&registry, list, "tags").await, [all.to_vec()]);
    for n in [1, 2, 3, 7, 8, 1000, 100_000] {
        let pages = pages(&registry, &format!("{list}?n={n}"), "tags").await;
        assert!(pages.iter().all(|page| page.len() <= n && !page.is_empty()));
        assert_eq!(pages.concat(), all, "n={n}");
    }
    assert_eq!(
        pages(&registry, &format!("{list}?n=0"), "tags").await,
        [Vec::<String>::new()]
    );
    assert_eq!(
        pages(&registry, &format!("{list}?n=99999999999999999999999"), "tags")
            .await
            .concat(),
        all
    );
    for (last, want) in [("v1", 2), ("v1-", 2), ("zzz", 0), ("", 7), ("a%2F..%00%ff", 4)] {
        assert_eq!(
            pages(&registry, &format!("{list}?last={last}"), "tags").await.concat(),
            all[7 - want..],
            "{last}"
        );
    }
    for n in ["-1", "abc", "", "1e3"] {
        let answer = registry
            .send(Call::get(&format!("{list}?n={n}")).basic("admin", PASSWORD))
            .await;
        assert_eq!(answer.error(), (400, "PAGINATION_NUMBER_INVALID".to_owned()), "{n}");
    }
    let unknown = registry
        .send(Call::get("/v2/a/c/tags/list").basic("admin", PASSWORD))
        .await;
    assert_eq!(unknown.error(), (404, "NAME_UNKNOWN".to_owned()));
}

#[tokio::test]
async fn thousands_of_tags_come_without_asking_for_pages() {
    let registry = Registry::new();
    let image = registry.seed("a", "t0").await;
    // By the disk, since the way there is not what is tested.
    let tags = registry
        .directory
        .path()
        .join("docker/registry/v2/repositories/a/_manifests/tags");
    for index in 0..3000 {
        let current = tags.join(format!("t{index}/current"));
        std::fs::create_dir_all(&current).unwrap();
        std::fs::write(current.join("link"), image.manifest.as_str()).unwrap();
    }
    let answer = registry
        .send(Call::get("/v2/a/tags/list").basic("admin", PASSWORD))
        .await;
    assert_eq!(answer.json()["tags"].as_array().unwrap().len(), 3000);
    assert_eq!(answer.header("link"), None);
}

#[tokio::test]
async fn the_catalog_shows_what_the_caller_may_read_in_order_and_in_pages() {
    let registry = Registry::new();
    for repository in ["team/b", "team/a", "team-a", "a", "public/x", "team/a/deep/er"] {
        registry.seed(repository, "v1").await;
    }
    let all = ["a", "public/x", "team-a", "team/a", "team/a/deep/er", "team/b"];
    assert_eq!(pages(&registry, "/v2/_catalog", "repositories").await.concat(), all);
    for n in [1, 2, 5, 6, 7] {
        assert_eq!(
            pages(&registry, &format!("/v2/_catalog?n={n}"), "repositories")
                .await
                .concat(),
            all,
            "n={n}"
        );
    }
    for (user, want) in [
        ("puller", json!(["public/x", "team/a", "team/a/deep/er", "team/b"])),
        ("nobody", json!(["public/x"])),
    ] {
        let answer = registry.send(Call::get("/v2/_catalog").basic(user, PASSWORD)).await;
        assert_eq!(answer.json()["repositories"], want, "{user}");
        let first = registry.send(Call::get("/v2/_catalog?n=1").basic(user, PASSWORD)).await;
        assert_eq!(first.json()["repositories"], json!([want[0]]), "{user}");
        assert_eq!(
            first.header("link").is_some(),
            want.as_array().unwrap().len() > 1,
            "{user}"
        );
    }
    let token = registry.token("puller", "registry:catalog:*").await;
    let answer = registry
        .send(Call::get("/v2/_catalog?last=public/x&n=1").bearer(&token))
        .await;
    assert_eq!(answer.json()["repositories"], json!(["team/a"]));
}

#[tokio::test]
async fn a_catalog_of_any_length_may_be_asked_for_and_comes_in_pages_of_ten_thousand() {
    let registry = Registry::new();
    registry.seed("r00000", "v1").await;
    for n in [1000, 100_000] {
        let few = pages(&registry, &format!("/v2/_catalog?n={n}"), "repositories").await;
        assert_eq!(few, [["r00000"]], "n={n}");
    }
    // By the disk, since the way there is not what is tested; all have the manifests of the first.
    let registry = registry.stopped(|root| {
        let repositories = root.join("docker/registry/v2/repositories");
        for index in 1..=10_000 {
            let repository = repositories.join(format!("r{index:05}"));
            std::fs::create_dir(&repository).unwrap();
            std::os::unix::fs::symlink("../r00000/_manifests", repository.join("_manifests")).unwrap();
        }
    });
    for (n, want) in [(1000, "n=1000&last=r00999"), (100_000, "n=10000&last=r09999")] {
        let call = Call::get(&format!("/v2/_catalog?n={n}")).basic("admin", PASSWORD);
        let next = registry.send(call).await.next_page();
        assert_eq!(next, Some(format!("/v2/_catalog?{want}")));
    }
    let last = pages(&registry, "/v2/_catalog?n=10000&last=r09999", "repositories").await;
    assert_eq!(last, [["r10000"]]);
}

#[tokio::test]
async fn what_was_pushed_is_in_the_lists_at_the_next_request() {
    let registry = Registry::new();
    let ask = async |uri: &str, field: &str| {
        let answer = registry.send(Call::get(uri).basic("puller", PASSWORD)).await;
        assert_eq!(answer.status, 200, "{uri}: {answer:?}");
        answer.json()[field].clone()
    };
    let mut repositories = Vec::new();
    for round in 0..30 {
        let repository = format!("team/{round:02}");
        let image = registry.seed(&repository, "v1").await;
        repositories.push(repository.clone());
        assert_eq!(ask("/v2/_catalog", "repositories").await, json!(repositories));
        let list = format!("/v2/{repository}/tags/list");
        assert_eq!(ask(&list, "tags").await, json!(["v1"]));
        tag(&registry, &repository, &image, "v2").await;
        assert_eq!(ask(&list, "tags").await, json!(["v1", "v2"]));
        tag(
            &registry,
            &repository,
            &image,
            &format!("{}?tag=v0&tag=v3", image.manifest),
        )
        .await;
        assert_eq!(ask(&list, "tags").await, json!(["v0", "v1", "v2", "v3"]));
    }
}

#[tokio::test]
async fn an_upload_that_was_only_begun_is_no_repository() {
    let registry = Registry::new();
    let call = Call::new(Method::POST, "/v2/team/new/blobs/uploads/").basic("pusher", PASSWORD);
    assert_eq!(registry.send(call).await.status, 202);
    let answer = registry.send(Call::get("/v2/_catalog").basic("pusher", PASSWORD)).await;
    assert_eq!(answer.json()["repositories"], json!([]));
}

#[tokio::test]
async fn a_repository_leaves_the_catalog_with_its_last_tag() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    tag(&registry, "team/app", &image, "v2").await;
    for (tag, left) in [("v1", json!(["team/app"])), ("v2", json!([]))] {
        let uri = format!("/v2/team/app/manifests/{tag}");
        let call = Call::new(Method::DELETE, &uri).basic("admin", PASSWORD);
        assert_eq!(registry.send(call).await.status, 202);
        let catalog = registry.send(Call::get("/v2/_catalog").basic("admin", PASSWORD)).await;
        assert_eq!(catalog.json()["repositories"], left, "without {tag}");
    }
    // Its manifest is still there, and so is the repository for whoever knows its name.
    let tags = registry
        .send(Call::get("/v2/team/app/tags/list").basic("admin", PASSWORD))
        .await;
    assert_eq!(tags.json()["tags"], json!([]));
}

/// Opens the store of `registry` anew, as a process that starts does, and waits until it has looked at everything.
async fn reopen(registry: Registry) -> (tempfile::TempDir, FilesystemStore) {
    let Registry { directory, service, .. } = registry;
    drop(service);
    let store = FilesystemStore::open(directory.path(), &Uploads::default(), &StoreMetrics::default()).unwrap();
    for _ in 0..6000 {
        if store.is_listed() {
            return (directory, store);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the store never finished looking at its repositories");
}

#[tokio::test]
async fn lists_survive_a_restart_and_see_what_was_changed_meanwhile() {
    let registry = Registry::new();
    for repository in ["a", "b", "c"] {
        registry.seed(repository, "v1").await;
    }
    let root = registry.directory.path().join("docker/registry/v2/repositories");
    let name = |name: &str| name.parse::<RepositoryName>().unwrap();
    let (directory, store) = reopen(registry).await;
    assert_eq!(
        store.repositories(None, 10).await.unwrap(),
        [name("a"), name("b"), name("c")]
    );
    drop(store);

    // Another registry works on the directories for a while.
    std::fs::remove_dir_all(root.join("a")).unwrap();
    std::fs::remove_dir_all(root.join("b/_manifests/tags/v1")).unwrap();
    std::fs::create_dir_all(root.join("b/_manifests/tags/v2/current")).unwrap();
    let link = std::fs::read(root.join("c/_manifests/tags/v1/current/link")).unwrap();
    std::fs::write(root.join("b/_manifests/tags/v2/current/link"), link).unwrap();
    let store = FilesystemStore::open(directory.path(), &Uploads::default(), &StoreMetrics::default()).unwrap();
    // At once, before everything was looked at.
    assert_eq!(store.repositories(None, 10).await.unwrap(), [name("b"), name("c")]);
    assert_eq!(store.tags(&name("b"), None, 10).await.unwrap(), ["v2"]);
    drop(store);

    // The database is damaged, or gone: it holds nothing that cannot be read again.
    for damage in [Some("damaged"), None] {
        let database = directory.path().join("wharfinger/listing.redb");
        match damage {
            Some(text) => std::fs::write(database, text).unwrap(),
            None => std::fs::remove_file(database).unwrap(),
        }
        let store = FilesystemStore::open(directory.path(), &Uploads::default(), &StoreMetrics::default()).unwrap();
        assert_eq!(store.tags(&name("b"), None, 10).await.unwrap(), ["v2"]);
        assert_eq!(store.repositories(Some("b"), 10).await.unwrap(), [name("c")]);
    }
}

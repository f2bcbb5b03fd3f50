//! The store beneath: what other registries and crashes left in its directories.

use std::fs;

use http::Method;
use registry_config::Uploads;
use serde_json::json;
use wharfinger_registry::metrics::StoreMetrics;
use wharfinger_registry::store::{FilesystemStore, Store};

use crate::fixture::{Call, Image, PASSWORD, Registry};

/// The paths of an image, as the CNCF Distribution registry lays them out.
fn layout(repository: &str, tag: &str, image: &Image) -> Vec<String> {
    let (layer, config, manifest) = (image.layer.hex(), image.config.hex(), image.manifest.hex());
    let mut files: Vec<String> = [layer, config, manifest]
        .iter()
        .map(|hex| format!("blobs/sha256/{}/{hex}/data", &hex[..2]))
        .collect();
    let repository = format!("repositories/{repository}");
    files.extend(
        [layer, config]
            .iter()
            .map(|hex| format!("{repository}/_layers/sha256/{hex}/link")),
    );
    files.push(format!("{repository}/_manifests/revisions/sha256/{manifest}/link"));
    files.push(format!("{repository}/_manifests/tags/{tag}/current/link"));
    files.push(format!(
        "{repository}/_manifests/tags/{tag}/index/sha256/{manifest}/link"
    ));
    files.sort();
    files
}

#[tokio::test]
async fn an_image_lies_where_other_registries_look_for_it() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let root = registry.directory.path().join("docker/registry/v2");
    let files: Vec<String> = registry
        .files()
        .into_iter()
        .filter(|path| root.join(path).is_file())
        .collect();
    assert_eq!(files, layout("team/app", "v1", &image));
    for path in files {
        let content = fs::read(root.join(&path)).unwrap();
        let expected = match path.as_str() {
            path if path.ends_with("/data") => {
                let known = [&image.layer_content, &image.config_content, &image.manifest_content];
                assert!(known.contains(&&content.into()), "{path}");
                continue;
            }
            path if path.contains(image.layer.hex()) => &image.layer,
            path if path.contains(image.config.hex()) => &image.config,
            _ => &image.manifest,
        };
        assert_eq!(content, expected.as_str().as_bytes(), "{path}");
    }
}

#[tokio::test]
async fn what_a_crash_cut_off_is_not_shown_and_what_it_left_is_removed() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let repository = registry
        .directory
        .path()
        .join("docker/registry/v2/repositories/team/app");
    // The first push of a tag got as far as its index.
    let index = repository
        .join("_manifests/tags/torn/index/sha256")
        .join(image.manifest.hex());
    fs::create_dir_all(&index).unwrap();
    fs::write(index.join("link"), image.manifest.as_str()).unwrap();
    // A tag outlived what it pointed at.
    let current = repository.join("_manifests/tags/dangling/current");
    fs::create_dir_all(&current).unwrap();
    fs::write(current.join("link"), crate::fixture::digest(b"gone").as_str()).unwrap();
    let get = |path: &str| Call::get(&format!("/v2/team/app/{path}")).basic("puller", PASSWORD);
    let tags = registry.send(get("tags/list")).await.json()["tags"].clone();
    assert_eq!(tags, json!(["dangling", "v1"]));
    for tag in ["torn", "dangling"] {
        let answer = registry.send(get(&format!("manifests/{tag}"))).await;
        assert_eq!(answer.error(), (404, "MANIFEST_UNKNOWN".to_owned()), "{tag}");
    }
    // A blob's bytes are gone, its link is not.
    let hex = image.layer.hex();
    let data = registry
        .directory
        .path()
        .join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
    fs::remove_file(data).unwrap();
    let answer = registry.send(get(&format!("blobs/{}", image.layer))).await;
    assert_eq!(answer.error(), (404, "BLOB_UNKNOWN".to_owned()));

    let temporary = registry.directory.path().join("wharfinger/tmp");
    fs::write(temporary.join("half"), "x").unwrap();
    let Registry { directory, service, .. } = registry;
    drop(service);
    let store = FilesystemStore::open(directory.path(), &Uploads::default(), &StoreMetrics::default()).unwrap();
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
    assert!(store.probe().await.is_ok());
}

#[tokio::test]
async fn a_damaged_blob_is_healed_by_the_next_push() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let hex = image.layer.hex();
    let data = registry
        .directory
        .path()
        .join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
    fs::write(&data, "damaged").unwrap();
    registry.seed("team/app", "v1").await;
    assert_eq!(fs::read(data).unwrap(), image.layer_content);
}

#[tokio::test]
async fn directories_that_were_deleted_are_made_again() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let delete = |path: String| Call::new(Method::DELETE, &format!("/v2/team/app/{path}")).basic("admin", PASSWORD);
    for path in [
        format!("manifests/{}", image.manifest),
        format!("blobs/{}", image.layer),
    ] {
        assert_eq!(registry.send(delete(path)).await.status, 202);
    }
    registry.seed("team/app", "v1").await;
    fs::remove_dir_all(registry.directory.path().join("docker/registry/v2/repositories/team")).unwrap();
    registry.seed("team/app", "v1").await;
    let get = Call::get("/v2/team/app/manifests/v1").basic("puller", PASSWORD);
    assert_eq!(registry.send(get).await.body, image.manifest_content);
}

#[tokio::test]
async fn many_pushes_at_once_all_arrive() {
    let registry = Registry::new();
    let names: Vec<String> = (0..24).map(|index| format!("v{index}")).collect();
    let pushes = names.iter().map(|name| registry.seed("team/app", name));
    let images = futures::future::join_all(pushes).await;
    for (name, image) in names.iter().zip(images) {
        let get = Call::get(&format!("/v2/team/app/manifests/{name}")).basic("puller", PASSWORD);
        assert_eq!(registry.send(get).await.body, image.manifest_content);
    }
}

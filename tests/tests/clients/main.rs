//! The programs that people use sign in, push and pull.

#[cfg(test)]
mod crane;
#[cfg(test)]
mod ctr;
#[cfg(test)]
mod docker;
#[cfg(test)]
mod helm;
#[cfg(test)]
mod podman;
#[cfg(test)]
mod regctl;
#[cfg(test)]
mod skopeo;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::image::Image;
use e2e::objects::{allow, group, identity, in_groups, on_node_port, password, registry};
use e2e::{Cluster, registry as registries};
use serde_json::{Value, json};

/// With characters that break where somebody forgets to quote or to encode.
pub(crate) const PASSWORD: &str = "a b:c/d+e%f\"g&h=i";
pub(crate) const WRONG: &str = "not the password";

/// A registry on 127.0.0.1: `team-a` pushes and pulls in `team-a/**` and `public/**`, everybody pulls from `public/**`.
pub(crate) async fn set_up(cluster: &Cluster) -> Result<String> {
    set_up_with(cluster, json!({})).await
}

/// The same, with these settings of how people sign in.
pub(crate) async fn set_up_with(cluster: &Cluster, auth: Value) -> Result<String> {
    let mut main = on_node_port(registry("main"));
    main["spec"]["auth"] = auth;
    let objects = [
        main,
        password("alice", PASSWORD),
        in_groups(identity("alice"), &["team-a"]),
        allow("team-a", group("team-a"), "push", &["team-a/**", "public/**"]),
        allow("public", json!({ "any": "Everyone" }), "pull", &["public/**"]),
    ];
    cluster.apply(objects).await?;
    cluster.wait_until_all_ready().await?;
    registries::ready_on_node_port(cluster, "main").await
}

/// Whether a layout on disk holds every byte of an image.
pub(crate) fn same_image(image: &Image, layout: &Path) -> Result<()> {
    for bytes in image.blobs.iter().chain([&image.manifest]) {
        let digest = e2e::image::digest(bytes);
        let file = layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
        let found = fs::read(&file).with_context(|| format!("{digest} was not pulled"))?;
        ensure!(found == bytes[..], "{digest} has other bytes");
    }
    Ok(())
}

//! Wharfinger on a node: its images, and the chart with its own rights.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use node::{Node, Progress};

use crate::image::Image;
use crate::{exec, image, repository};

/// The namespace of the operator.
pub(crate) const NAMESPACE: &str = "wharfinger-system";
/// The Helm release, which gives its name to everything of the operator.
pub(crate) const RELEASE: &str = "wharfinger";

/// What the chart is told besides the images.
pub(crate) struct Settings {
    /// As in `RUST_LOG`.
    pub(crate) log_level: &'static str,
}

/// Gives the node those images that it does not have.
pub(crate) fn load_images(node: &Node, images: &[Image], progress: &Progress) -> Result<()> {
    let known = node.kubectl(&[
        "get",
        "nodes",
        "--output=jsonpath={.items[*].status.images[*].names[*]}",
    ])?;
    for image in images {
        let reference = image.reference();
        if !known.split(' ').any(|name| name == reference) {
            progress.step(format!("building and importing the image {reference}"));
            node.build_image(
                &repository::path("Dockerfile"),
                image.stage,
                &image::context(),
                &reference,
            )?;
        }
    }
    Ok(())
}

/// Installs the chart, or upgrades it, and returns when the operator is ready.
pub(crate) fn install(node: &Node, images: &[Image], settings: &Settings, progress: &Progress) -> Result<()> {
    progress.step("installing the chart");
    // The strictest standard: what the chart makes must do without any privilege.
    apply(
        node,
        &format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}, \
             labels: {{pod-security.kubernetes.io/enforce: restricted}}}}}}"
        ),
    )?;
    let values = values(images, settings)?;
    let folder = repository::target().join("xtask");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("values.json");
    std::fs::write(&file, values)?;
    let chart = repository::path("charts/wharfinger");
    let installed = exec::capture(
        node.command("helm")
            .args(["upgrade", "--install", RELEASE])
            .arg(chart)
            .args(["--namespace", NAMESPACE, "--wait", "--timeout", "3m", "--values"])
            .arg(file),
    );
    installed
        .map(drop)
        .with_context(|| format!("the operator does not start:\n{}", complaints(node)))
}

/// Hands a manifest to `kubectl apply`.
pub(crate) fn apply(node: &Node, manifest: &str) -> Result<()> {
    let mut child = node
        .command("kubectl")
        .args(["apply", "--server-side", "--filename", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start kubectl")?;
    child
        .stdin
        .take()
        .expect("standard input is piped")
        .write_all(manifest.as_bytes())?;
    if !child.wait()?.success() {
        bail!("kubectl apply failed");
    }
    Ok(())
}

/// The Helm values, as JSON, which is YAML too.
fn values(images: &[Image], settings: &Settings) -> Result<String> {
    let [operator, registry] = images else {
        bail!("there are two images, not {}", images.len())
    };
    let image = |image: &Image| serde_json::json!({"repository": image.repository(), "tag": image.tag});
    let values = serde_json::json!({
        "image": image(operator),
        "registryImage": image(registry),
        "log": {"level": settings.log_level},
    });
    Ok(values.to_string())
}

/// What the cluster says about the operator's Pods.
fn complaints(node: &Node) -> String {
    let ask = |words: &[&str]| {
        let mut command: Command = node.command("kubectl");
        let output = exec::finish(command.args(["--namespace", NAMESPACE]).args(words));
        output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
    };
    let selector = "--selector=app.kubernetes.io/name=wharfinger";
    [
        ask(&["get", "pods", selector]),
        ask(&["get", "events", "--field-selector=type=Warning"]),
        ask(&["logs", selector, "--tail=20"]),
    ]
    .join("")
}

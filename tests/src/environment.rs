//! Where the tests run, as `cargo xtask test` tells them. A test never skips: without its environment it fails.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use node::{Node, Options, Progress, Tools};

/// What a person is told who ran the tests in the wrong place.
const ADVICE: &str = "run these with cargo xtask test";

/// A variable that the tests cannot do without.
///
/// # Errors
/// Where it is not set, with the advice how to run the tests.
pub fn required(variable: &str) -> Result<String> {
    std::env::var(variable)
        .ok()
        .with_context(|| format!("{variable} is not set: {ADVICE}"))
}

/// The node that the tests run on.
///
/// # Errors
/// Outside of a node.
pub fn node() -> Result<Node> {
    let name = required("WHARFINGER_NODE")?;
    let tools = Tools::install(&Progress::quiet())?;
    let node = Node::find(&Options::new(&name), &tools)?;
    anyhow::ensure!(node.is_up(), "the node `{name}` is not up: {ADVICE}");
    Ok(node)
}

/// One of the programs that come with the node, such as `crane`, `helm` and `kubectl`.
///
/// # Errors
/// Where the folder of the programs is not known.
pub fn tool(program: &str) -> Result<PathBuf> {
    Ok(Path::new(&required("WHARFINGER_TOOLS")?).join(program))
}

/// The namespace of the operator.
pub fn operator_namespace() -> String {
    std::env::var("WHARFINGER_OPERATOR_NAMESPACE").unwrap_or_else(|_| "wharfinger-system".into())
}

/// The Helm release of the operator, which is also the name of its Deployment and its ServiceAccount.
pub fn release() -> String {
    std::env::var("WHARFINGER_RELEASE").unwrap_or_else(|_| "wharfinger".into())
}

/// How many changes of each kind are measured.
pub fn changes() -> usize {
    std::env::var("WHARFINGER_CHANGES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(50)
}

/// A path of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .join(path)
}

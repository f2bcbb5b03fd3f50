//! The chart without a cluster: it is well formed, and values that it does not know are refused.

use std::process::Command;

use anyhow::{Result, bail};
use node::Tools;

use crate::{exec, repository, terminal};

/// Sets of values that between them render every template and every branch.
pub(crate) const VALUES: [&[&str]; 3] = [
    &[],
    &[
        "replicas=2",
        "metrics.service.enabled=true",
        "metrics.service.labels.a=b",
        "metrics.service.annotations.a=b",
    ],
    &[
        "crds.keep=false",
        "image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
        "allowedImagePrefixes={registry.example.com/team:,registry.example.com/other@}",
        "serviceAccount.annotations.a=b",
        "podAnnotations.a=b",
        "podLabels.a=b",
        "imagePullSecrets[0].name=pull",
        "nodeSelector.a=b",
        "tolerations[0].operator=Exists",
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key=metadata.name",
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].operator=Exists",
        "priorityClassName=system-cluster-critical",
    ],
];

/// Lints and renders the chart with each set of values.
pub(crate) fn check(tools: &Tools) -> Result<()> {
    for values in VALUES {
        let mut lint = helm(tools, &["lint", "--strict", "--quiet"], values);
        terminal::output(&exec::capture(&mut lint)?);
        exec::capture(&mut render(tools, values))?;
    }
    for misspelt in ["replica=2", "image.repo=x", "log.format=xml", "crds.enabled=maybe"] {
        if exec::finish(&mut render(tools, &[misspelt]))?.status.success() {
            bail!("the chart accepts the value `{misspelt}`, which means nothing");
        }
    }
    Ok(())
}

/// A command that prints what the chart makes of these values.
pub(crate) fn render(tools: &Tools, values: &[&str]) -> Command {
    helm(
        tools,
        &["template", "wharfinger", "--namespace", "wharfinger-system"],
        values,
    )
}

fn helm(tools: &Tools, words: &[&str], values: &[&str]) -> Command {
    let mut command = Command::new(tools.path("helm"));
    command
        .args(words)
        .arg("charts/wharfinger")
        .current_dir(repository::root());
    for value in values {
        command.args(["--set", value]);
    }
    command
}

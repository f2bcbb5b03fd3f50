//! Why Pods do not run, in the words of the scheduler, the kubelet or the registry itself.

use std::sync::Arc;

use crds::reasons;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use crate::names;
use crate::outcome::Verdict;

/// What keeps a Pod from running, where something does.
pub(super) fn trouble(pods: &[Arc<Pod>]) -> Option<Verdict> {
    pods.iter().find_map(|pod| {
        let why = unscheduled(pod).or_else(|| containers(pod).find_map(failure))?;
        Some(Verdict::no(
            reasons::POD_FAILING,
            format!("Pod `{}`: {why}", pod.name_any()),
        ))
    })
}

/// The registry's own words where it could not use its storage.
pub(super) fn storage_trouble(pods: &[Arc<Pod>]) -> Option<Verdict> {
    pods.iter().find_map(|pod| {
        let last = containers(pod).filter(|status| !status.ready).find_map(last_words)?;
        last.contains(names::DATA_DIR)
            .then(|| Verdict::no(reasons::STORAGE_FAILING, format!("Pod `{}`: {last}", pod.name_any())))
    })
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref())
        .into_iter()
        .flatten()
}

fn unscheduled(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    scheduled.message.clone()
}

fn failure(status: &ContainerStatus) -> Option<String> {
    let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
    if let Some(waiting) = waiting {
        let reason = waiting.reason.clone().unwrap_or_default();
        if reason == "ContainerCreating" || reason == "PodInitializing" {
            return None;
        }
        let message = last_words(status)
            .or_else(|| waiting.message.clone())
            .unwrap_or_default();
        return Some(format!("{reason}: {message}"));
    }
    last_words(status)
}

/// The last line that a container which failed wrote.
fn last_words(status: &ContainerStatus) -> Option<String> {
    let now = status.state.as_ref().and_then(|state| state.terminated.as_ref());
    let before = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let terminated = now.or(before).filter(|terminated| terminated.exit_code != 0)?;
    let message = terminated.message.as_deref().unwrap_or_default();
    let line = message.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().to_owned())
}

//! The node's part of the cgroup hierarchies: every container of the node lies below it, so it also tells which
//! processes are the node's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::mounts;
use crate::process::Process;

/// Makes the group `name` in every hierarchy. The kubelet wants to find its root there.
pub(crate) fn create(name: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        share_controllers(&hierarchy);
        let group = hierarchy.join(name);
        fs::create_dir_all(&group).with_context(|| format!("cannot make the cgroup `{}`", group.display()))?;
        share_controllers(&group);
    }
    Ok(())
}

/// The processes in `name` and below, in whichever hierarchy.
pub(crate) fn processes(name: &str) -> Result<BTreeSet<Process>> {
    let mut found = BTreeSet::new();
    for group in groups(name)? {
        let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        found.extend(
            text.lines()
                .filter_map(|line| Process::of(line.parse().ok()?))
                .filter(Process::is_alive),
        );
    }
    Ok(found)
}

/// Removes `name` and everything below it; only groups without processes can be removed.
pub(crate) fn remove(name: &str) -> Result<()> {
    for group in groups(name)? {
        // Failures show in `groups`, which is what the caller looks at last.
        let _ = fs::remove_dir(group);
    }
    Ok(())
}

/// The groups that exist, each after those below it.
pub(crate) fn groups(name: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for hierarchy in hierarchies()? {
        collect(&hierarchy.join(name), &mut found);
    }
    Ok(found)
}

fn collect(group: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), found);
        }
    }
    found.push(group.into());
}

/// Version 1 has one hierarchy for each controller, version 2 one for all, and a hybrid machine has both.
fn hierarchies() -> Result<BTreeSet<PathBuf>> {
    let mounts = mounts::all()?;
    Ok(mounts
        .into_iter()
        .filter(|mount| matches!(&*mount.kind, "cgroup" | "cgroup2"))
        .map(|mount| mount.point)
        .collect())
}

/// Version 2: a group has only the controllers that the one above shares with it. Version 1 has no such file.
fn share_controllers(group: &Path) {
    let Ok(controllers) = fs::read_to_string(group.join("cgroup.controllers")) else {
        return;
    };
    for controller in controllers.split_whitespace() {
        // One at a time: a controller that cannot be shared must not keep the others back.
        let _ = fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

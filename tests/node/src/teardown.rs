//! Taking a node away so that nothing of it is left, however much of it is there and without being told what is.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::layout::{BRIDGE, Layout};
use crate::node::{Node, poll};
use crate::process::{self, Process, Signal};
use crate::state::Lock;
use crate::tools::remove;
use crate::{Progress, cgroups, mounts, network};

/// Folders that the node's programs use without asking, shared by all nodes of a machine. Each is
/// removed with the last thing in it.
const SHARED: [&str; 13] = [
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/lib/cni/results",
    "/var/lib/cni",
    "/run/containerd",
    "/run/docker/plugins",
    "/run/docker",
    "/run/mount",
    "/etc/cni/net.d",
    "/etc/cni",
    "/var/lib/wharfinger/nodes",
    "/var/lib/wharfinger",
];

impl Node {
    /// Ends every program, Pod and container of the node and removes all that they made, with all data. The cache of
    /// programs stays. A node that is half there or not at all is no error.
    pub fn down(&self, progress: &Progress) -> Result<()> {
        let lock = Lock::acquire(self.layout())?;
        progress.step(format!("taking down the node `{}`", self.layout().name()));
        self.clear()?;
        remove(&self.layout().run())?;
        remove_empty_shared();
        drop(lock);
        let left = self.leftovers()?;
        if !left.is_empty() {
            bail!(
                "the node `{}` leaves something behind: {}",
                self.layout().name(),
                left.join("; ")
            );
        }
        progress.step(format!("nothing is left of the node `{}`", self.layout().name()));
        Ok(())
    }

    /// What there is of the node, each thing in words: processes, mounts, namespaces, interfaces, cgroups, files. Empty
    /// for a node that was taken down.
    pub fn leftovers(&self) -> Result<Vec<String>> {
        let layout = self.layout();
        let mut left = self.leftovers_besides_run()?;
        left.extend(
            layout
                .run()
                .exists()
                .then(|| format!("folder {}", layout.run().display())),
        );
        Ok(left)
    }

    /// The same but for the folder of sockets, where whoever works on the node keeps the lock.
    pub(crate) fn leftovers_besides_run(&self) -> Result<Vec<String>> {
        let layout = self.layout();
        let mut left = Vec::new();
        for process in processes(layout)? {
            left.push(format!("process {} ({})", process.pid, process.arguments().join(" ")));
        }
        for folder in [layout.root().to_path_buf(), layout.run(), layout.namespace()] {
            left.extend(
                mounts::below(&folder)?
                    .iter()
                    .map(|point| format!("mount {}", point.display())),
            );
        }
        left.extend(
            cgroups::groups(&layout.full_name())?
                .iter()
                .map(|group| format!("cgroup {}", group.display())),
        );
        let paths = [
            layout.root().to_path_buf(),
            layout.namespace(),
            Path::new("/sys/class/net").join(BRIDGE),
        ];
        let paths = paths
            .into_iter()
            .filter(|path| path.exists())
            .chain(shared_entries(layout));
        left.extend(paths.map(|path| format!("file {}", path.display())));
        Ok(left)
    }

    /// Removes all but the folder of sockets, where the caller keeps the lock.
    pub(crate) fn clear(&self) -> Result<()> {
        let layout = self.layout();
        let root = layout.root();
        if root.read_dir().is_ok_and(|mut entries| entries.next().is_some()) && !layout.marker().exists() {
            bail!(
                "`{}` holds something that is not a node's: move it away first",
                root.display()
            );
        }
        end_processes(layout)?;
        for folder in [root.to_path_buf(), layout.run()] {
            mounts::unmount_below(&folder)?;
        }
        network::remove(layout)?;
        // The kernel takes a moment to see that a group's last process is gone.
        let name = layout.full_name();
        poll(Duration::from_secs(20), || {
            cgroups::remove(&name)?;
            Ok(cgroups::groups(&name)?.is_empty())
        })
        .context("cannot remove the node's cgroups")?;
        for path in shared_entries(layout) {
            remove(&path)?;
        }
        for entry in fs::read_dir(layout.run()).into_iter().flatten().filter_map(Result::ok) {
            if entry.file_name() != "lock" {
                remove(&entry.path())?;
            }
        }
        remove(root)
    }
}

/// Ends the node's processes by what they are, so that no list of them is needed.
fn end_processes(layout: &Layout) -> Result<()> {
    // The kubelet first, or it would start again what ends; then everything, until nothing new appears.
    let kubelet = |process: &&Process| {
        process
            .arguments()
            .first()
            .is_some_and(|word| word.ends_with("/kubelet"))
    };
    for process in network::processes(layout).iter().filter(kubelet) {
        process.end(Signal::Kill, Duration::from_secs(10))?;
    }
    poll(Duration::from_mins(1), || {
        let found = processes(layout)?;
        for process in &found {
            process.signal(Signal::Kill);
        }
        Ok(found.is_empty())
    })
    .context("cannot end the node's processes")
}

/// Those inside the namespace, those in the node's cgroups (containers), and the shims that look after containers.
fn processes(layout: &Layout) -> Result<BTreeSet<Process>> {
    let mut found: BTreeSet<_> = network::processes(layout).into_iter().collect();
    found.extend(cgroups::processes(&layout.full_name())?);
    let socket = layout.containerd_socket().display().to_string();
    found.extend(process::others().into_iter().filter(|process| {
        let arguments = process.arguments();
        arguments
            .first()
            .is_some_and(|program| program.ends_with("containerd-shim-runc-v2"))
            && arguments.contains(&socket)
    }));
    Ok(found)
}

/// What the node has in shared folders: links to logs of its Pods, and CNI's notes about them.
fn shared_entries(layout: &Layout) -> Vec<PathBuf> {
    let entries = |folder: &str| fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let pod_logs = layout.pod_logs();
    let logs = entries("/var/log/containers")
        .map(|entry| entry.path())
        .filter(|path| fs::read_link(path).is_ok_and(|target| target.starts_with(&pod_logs)));
    let notes_begin = format!("{}-", layout.full_name());
    let notes = entries("/var/lib/cni/results")
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&notes_begin))
        });
    // Each kubelet makes this one anew. Nobody listens: it was ours, or that of another that is gone.
    let devices = Path::new("/var/lib/kubelet/device-plugins/kubelet.sock");
    let devices = (devices.exists() && UnixStream::connect(devices).is_err()).then(|| devices.to_path_buf());
    logs.chain(notes).chain(devices).collect()
}

fn remove_empty_shared() {
    for folder in SHARED {
        // Fails while somebody else has something in it, which is what is wanted.
        let _ = fs::remove_dir(folder);
    }
}

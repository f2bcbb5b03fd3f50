//! What a running node remembers between the commands that use it, and the lock that keeps two of those apart.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::component::Component;
use crate::layout::Layout;
use crate::process::Process;

/// The node as it was last known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// The kernel's number for this run of the machine: process numbers mean nothing in the next.
    pub(crate) boot: String,
    /// The programs the node was started from.
    pub(crate) tools: PathBuf,
    pub(crate) audit: bool,
    pub(crate) api_server_args: Vec<String>,
    pub(crate) processes: BTreeMap<Component, Process>,
    pub(crate) forwards: Vec<ForwardState>,
}

/// A listening socket outside that leads into the namespace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ForwardState {
    pub(crate) listen: SocketAddr,
    pub(crate) target: String,
    pub(crate) process: Process,
}

impl State {
    /// Nothing when there is none, and when what is there cannot be read: then the node is started anew.
    pub(crate) fn load(layout: &Layout) -> Option<Self> {
        serde_json::from_slice(&fs::read(layout.in_run("state.json")).ok()?).ok()
    }

    pub(crate) fn save(&self, layout: &Layout) -> Result<()> {
        let path = layout.in_run("state.json");
        let draft = layout.in_run("state.json.new");
        fs::write(&draft, serde_json::to_vec_pretty(self)?)
            .and_then(|()| fs::rename(&draft, &path))
            .with_context(|| format!("cannot write `{}`", path.display()))
    }

    pub(crate) fn is_alive(&self, component: Component) -> bool {
        self.processes.get(&component).is_some_and(Process::is_alive)
    }
}

/// Changes for every start of the machine.
pub(crate) fn boot() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(fs::read_to_string(path)
        .with_context(|| format!("cannot read `{path}`"))?
        .trim()
        .into())
}

/// Held while a node is started, changed or taken down; the kernel lets go of it when the holder ends in any way.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl Lock {
    /// Waits until nobody else holds it.
    pub(crate) fn acquire(layout: &Layout) -> Result<Self> {
        let path = layout.in_run("lock");
        loop {
            fs::create_dir_all(layout.run())
                .with_context(|| format!("cannot make `{}`: a node is run by root", layout.run().display()))?;
            let Ok(file) = File::create(&path) else {
                // The folder has just been removed by `down`; a folder that cannot be written ends the loop above.
                continue;
            };
            file.lock()
                .with_context(|| format!("cannot lock `{}`", path.display()))?;
            // `down` removes the file while it holds the lock: then this one locks nothing any more.
            let same =
                fs::metadata(&path).is_ok_and(|there| file.metadata().is_ok_and(|ours| ours.ino() == there.ino()));
            if same {
                return Ok(Self(file));
            }
        }
    }
}

//! Going back in time: snapshots of the API server's database.

use std::path::Path;

use anyhow::{Context, Result};

use crate::component::Component;
use crate::layout::ETCD_URL;
use crate::node::Node;
use crate::process::Signal;
use crate::tools::{remove, run};

/// How far revisions jump at a restore: more than were made since the snapshot, so that no revision is ever seen with two
/// meanings (etcd's `--bump-revision`, as its manual on disaster recovery recommends for Kubernetes).
const REVISION_BUMP: &str = "1000000000";

impl Node {
    /// Writes a snapshot of the running etcd to `file`, which is replaced.
    pub fn save_etcd(&self, file: &Path) -> Result<()> {
        remove(file)?;
        run(self.command("etcd-save").arg(ETCD_URL).arg(file)).map(drop)
    }

    /// Puts the cluster back to a snapshot and returns when the API server serves it.
    ///
    /// The API server, the controller manager, the scheduler and the provisioner are started again, as the Kubernetes
    /// documentation demands. The kubelet and kube-proxy go on, and learn from their ended watches that history is gone.
    pub fn restore_etcd(&self, file: &Path) -> Result<()> {
        let again = [
            Component::Etcd,
            Component::ApiServer,
            Component::ControllerManager,
            Component::Scheduler,
            Component::Provisioner,
        ];
        for component in again.into_iter().rev() {
            self.stop(component, Signal::Kill)?;
        }
        let data = self.layout().etcd_data();
        remove(&data)?;
        let mut restore = self.command("etcdutl");
        restore.args([
            "snapshot",
            "restore",
            "--bump-revision",
            REVISION_BUMP,
            "--mark-compacted",
        ]);
        // As etcd is started: it refuses data of a member with another name or address.
        let peers = "http://127.0.0.1:2380";
        restore.args(["--name=default", &format!("--initial-cluster=default={peers}")]);
        restore.arg(format!("--initial-advertise-peer-urls={peers}"));
        run(restore.arg("--data-dir").arg(&data).arg(file))
            .with_context(|| format!("cannot restore `{}`", file.display()))?;
        for component in again {
            self.start(component)?;
        }
        Ok(())
    }
}

//! Where everything of a node is: folders, sockets, files, names and addresses. Pure; it creates nothing.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The node's own address, on the bridge inside its namespace. The same for every node: namespaces keep them apart.
pub const NODE_ADDRESS: &str = "10.123.0.1";
/// The addresses of Services.
pub const SERVICE_RANGE: &str = "10.96.0.0/16";
/// The addresses of Pods.
pub const POD_RANGE: &str = "10.244.0.0/16";
/// Where the API server is, as seen from inside the namespace.
pub const API_SERVER_ADDRESS: &str = "127.0.0.1:6443";
/// The default `StorageClass`: a folder for each claim, which honours a Pod's `fsGroup`.
pub const STORAGE_CLASS: &str = "wharf-local";

/// The first address of [`SERVICE_RANGE`], where Pods find the API server.
pub(crate) const API_SERVICE_ADDRESS: &str = "10.96.0.1";
/// Where Pods are told to ask for names. Nothing answers; the namespace refuses it at once instead of letting it wait.
pub(crate) const DNS_SERVICE_ADDRESS: &str = "10.96.0.10";
/// The bridge that carries [`NODE_ADDRESS`].
pub(crate) const BRIDGE: &str = "wharf0";
/// The port in [`API_SERVER_ADDRESS`].
pub(crate) const API_SERVER_PORT: u16 = 6443;
/// The port in [`ETCD_URL`].
pub(crate) const ETCD_PORT: u16 = 2379;
/// Where etcd serves the API server, inside the namespace.
pub(crate) const ETCD_URL: &str = "http://127.0.0.1:2379";
/// A folder without this file in it is never deleted.
const MARKER: &str = "wharf-node";
const DEFAULT_PARENT: &str = "/var/lib/wharfinger/nodes";

/// The places of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    name: String,
    root: PathBuf,
}

impl Layout {
    /// The node's folder is `parent`/`name`.
    pub(crate) fn new(name: &str, parent: Option<&Path>) -> Result<Self> {
        let fits = !name.is_empty()
            && name.len() <= 20
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-');
        if !fits {
            bail!(
                "`{name}` cannot name a node: use up to 20 lower-case letters, digits and hyphens, with no hyphen at an end"
            );
        }
        let parent = parent.unwrap_or(Path::new(DEFAULT_PARENT));
        if !parent.is_absolute() {
            bail!(
                "the folder for nodes must be given from the root on, not as `{}`",
                parent.display()
            );
        }
        Ok(Self {
            name: name.into(),
            root: parent.join(name),
        })
    }

    /// `wharf-NAME`: the Kubernetes node, the namespace and the cgroup are all called so.
    pub(crate) fn full_name(&self) -> String {
        format!("wharf-{}", self.name)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What is kept while the node runs: data, keys, logs.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn in_root(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(crate) fn marker(&self) -> PathBuf {
        self.root.join(MARKER)
    }

    /// Exists once the node was ready for the first time.
    pub(crate) fn finished(&self) -> PathBuf {
        self.in_run("finished")
    }

    /// Sockets and other things of the running machine. Socket paths may have 107 bytes, hence the short name.
    pub(crate) fn run(&self) -> PathBuf {
        Path::new("/run").join(self.full_name())
    }

    pub(crate) fn in_run(&self, path: &str) -> PathBuf {
        self.run().join(path)
    }

    pub(crate) fn namespace(&self) -> PathBuf {
        Path::new("/run/netns").join(self.full_name())
    }

    pub(crate) fn containerd_socket(&self) -> PathBuf {
        self.in_run("containerd.sock")
    }

    pub(crate) fn docker_socket(&self) -> PathBuf {
        self.in_run("docker.sock")
    }

    pub(crate) fn current_docker_socket(&self) -> PathBuf {
        self.in_run("current-docker.sock")
    }

    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.root.join("pki").join(file)
    }

    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.root.join("kubeconfig").join(user)
    }

    pub(crate) fn config(&self, file: &str) -> PathBuf {
        self.root.join("config").join(file)
    }

    pub(crate) fn log(&self, program: &str) -> PathBuf {
        self.root.join("logs").join(format!("{program}.log"))
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.root.join("logs").join("audit.jsonl")
    }

    pub(crate) fn etcd_data(&self) -> PathBuf {
        self.root.join("etcd")
    }

    pub(crate) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    pub(crate) fn pod_logs(&self) -> PathBuf {
        self.root.join("pod-logs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_the_folder_or_a_socket_path_is_refused() {
        for name in ["", "a/b", "..", "Demo", "-a", "a-", "a b", "abcdefghijklmnopqrstu"] {
            assert!(Layout::new(name, None).is_err(), "`{name}`");
        }
        let layout = Layout::new("demo-2", None).unwrap();
        assert_eq!(layout.run(), Path::new("/run/wharf-demo-2"));
        assert_eq!(layout.root(), Path::new("/var/lib/wharfinger/nodes/demo-2"));
    }

    #[test]
    fn a_relative_folder_is_refused() {
        assert!(Layout::new("demo", Some(Path::new("state"))).is_err());
    }
}

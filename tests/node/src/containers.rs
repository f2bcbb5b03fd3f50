//! The containers of Pods as containerd knows them, which also works while the API server does not.

use anyhow::{Context, Result, ensure};

use crate::node::Node;
use crate::tools::run;

impl Node {
    /// Kills a container of a Pod with SIGKILL, as if it had crashed; the kubelet starts it again after a moment.
    pub fn kill_container(&self, namespace: &str, pod: &str, container: &str) -> Result<()> {
        let labels = [
            ("pod.namespace", namespace),
            ("pod.name", pod),
            ("container.name", container),
        ]
        .map(|(label, value)| format!("labels.\"io.kubernetes.{label}\"==\"{value}\""))
        .join(",");
        let found = self.ctr(&["containers", "list", "--quiet", &labels])?;
        // A container that has ended stays in the list until the kubelet removes it.
        let running = self.ctr(&["tasks", "list"])?;
        let runs = |id: &&str| {
            let mut tasks = running.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            tasks.any(|words| words.first() == Some(id) && words.last() == Some(&"RUNNING"))
        };
        let running: Vec<_> = found.lines().filter(runs).collect();
        ensure!(
            !running.is_empty(),
            "no container `{container}` of the Pod `{namespace}/{pod}` runs"
        );
        for id in running {
            self.ctr(&["tasks", "kill", "--signal", "SIGKILL", id])
                .with_context(|| format!("cannot kill the container `{container}` of `{namespace}/{pod}`"))?;
        }
        Ok(())
    }

    /// Runs containerd's own client on the containers and images of Pods and returns what it printed.
    pub fn ctr(&self, arguments: &[&str]) -> Result<String> {
        let socket = self.layout().containerd_socket();
        run(self
            .command("ctr")
            .arg("--address")
            .arg(socket)
            .args(["--namespace", "k8s.io"])
            .args(arguments))
    }
}

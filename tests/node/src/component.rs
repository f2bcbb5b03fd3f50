//! The programs that make up a node: their names, what they are started with, and how each shows that it serves.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::layout::{API_SERVER_PORT, API_SERVICE_ADDRESS, ETCD_URL, Layout, NODE_ADDRESS, POD_RANGE, SERVICE_RANGE};
use crate::state::State;

/// One program of the node, in the order in which they are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// The database of the API server.
    Etcd,
    /// What runs containers.
    Containerd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// What runs Pods.
    Kubelet,
    /// kube-proxy, which makes Services reachable.
    Proxy,
    /// What makes a volume for each claim.
    Provisioner,
    /// Debian's Docker Engine; started only by [`crate::Node::docker`].
    Docker,
    /// The current Docker Engine; started only by [`crate::Node::current_docker`].
    CurrentDocker,
}

impl Component {
    /// Those that every node has.
    pub const NODE: [Self; 8] = [
        Self::Etcd,
        Self::Containerd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kubelet,
        Self::Proxy,
        Self::Provisioner,
    ];

    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::Etcd,
        Self::Containerd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kubelet,
        Self::Proxy,
        Self::Provisioner,
        Self::Docker,
        Self::CurrentDocker,
    ];

    /// The name of the program, where it is the only one of its kind, and of its log.
    pub fn program(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Containerd => "containerd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Proxy => "kube-proxy",
            Self::Provisioner => "provisioner",
            Self::Docker => "dockerd",
            Self::CurrentDocker => "current-docker",
        }
    }

    pub(crate) fn arguments(self, layout: &Layout, state: &State) -> Vec<String> {
        let kubeconfig = layout.kubeconfig(self.program());
        let kubeconfig = kubeconfig.display();
        match self {
            Self::Etcd => etcd(layout),
            Self::Containerd => vec![format!("--config={}", layout.config("containerd.toml").display())],
            Self::ApiServer => api_server(layout, state),
            Self::ControllerManager => controller_manager(layout),
            // Leader election would only add writes, and end the program when the API server is away for a while.
            Self::Scheduler => vec![
                format!("--kubeconfig={kubeconfig}"),
                "--leader-elect=false".into(),
                "--bind-address=127.0.0.1".into(),
            ],
            Self::Kubelet => vec![
                format!("--config={}", layout.config("kubelet.json").display()),
                format!("--kubeconfig={kubeconfig}"),
                format!("--root-dir={}", layout.in_root("kubelet").display()),
                format!("--cert-dir={}", layout.pki("").display()),
                format!("--hostname-override={}", layout.full_name()),
                format!("--node-ip={NODE_ADDRESS}"),
            ],
            Self::Proxy => vec![format!("--config={}", layout.config("kube-proxy.json").display())],
            Self::Provisioner => {
                vec![
                    kubeconfig.to_string(),
                    layout.volumes().display().to_string(),
                    layout.full_name(),
                ]
            }
            Self::Docker => docker(layout, &layout.docker_socket(), "docker"),
            Self::CurrentDocker => {
                let mut arguments = docker(layout, &layout.current_docker_socket(), self.program());
                // It keeps its images in containerd, apart from those of Pods and of the other engine.
                arguments.extend([
                    format!("--containerd-namespace={self}"),
                    format!("--containerd-plugins-namespace={self}-plugins"),
                    "--ip6tables=false".into(),
                ]);
                arguments
            }
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

fn etcd(layout: &Layout) -> Vec<String> {
    let peers = "http://127.0.0.1:2380";
    vec![
        format!("--data-dir={}", layout.etcd_data().display()),
        format!("--listen-client-urls={ETCD_URL}"),
        format!("--advertise-client-urls={ETCD_URL}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        // A crash of the machine may lose the data of a test cluster; then it is made anew.
        "--unsafe-no-fsync=true".into(),
        "--log-level=warn".into(),
    ]
}

fn api_server(layout: &Layout, state: &State) -> Vec<String> {
    let pki = |file: &str| layout.pki(file).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers={ETCD_URL}"),
        format!("--secure-port={API_SERVER_PORT}"),
        format!("--advertise-address={NODE_ADDRESS}"),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--allow-privileged=true".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        // One API server needs no leases to find its peers.
        "--endpoint-reconciler-type=master-count".into(),
        // Logs and exec go to the node's address, since nobody resolves its name.
        "--kubelet-preferred-address-types=InternalIP".into(),
        format!("--kubelet-certificate-authority={}", pki("ca.crt")),
        format!("--kubelet-client-certificate={}", pki("apiserver-kubelet-client.crt")),
        format!("--kubelet-client-key={}", pki("apiserver-kubelet-client.key")),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        // Pods look up no names; under its address they find the issuer's discovery document, too.
        format!("--service-account-issuer=https://{API_SERVICE_ADDRESS}"),
        format!("--service-account-key-file={}", pki("service-accounts.pub")),
        format!("--service-account-signing-key-file={}", pki("service-accounts.key")),
        format!("--proxy-client-cert-file={}", pki("front-proxy-client.crt")),
        format!("--proxy-client-key-file={}", pki("front-proxy-client.key")),
        format!("--requestheader-client-ca-file={}", pki("front-proxy-ca.crt")),
        "--requestheader-allowed-names=front-proxy-client".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        "--profiling=false".into(),
        // Ends watches when it is told to end, instead of waiting for them until it is killed.
        "--shutdown-watch-termination-grace-period=1s".into(),
    ];
    if state.audit {
        arguments.extend([
            format!("--audit-policy-file={}", layout.config("audit.json").display()),
            format!("--audit-log-path={}", layout.audit_log().display()),
            // Megabytes: tests read one file from its beginning, so it should not be rotated under them.
            "--audit-log-maxsize=4096".into(),
            "--audit-log-maxbackup=1".into(),
        ]);
    }
    arguments.extend(state.api_server_args.iter().cloned());
    arguments
}

fn controller_manager(layout: &Layout) -> Vec<String> {
    let pki = |file: &str| layout.pki(file).display().to_string();
    vec![
        format!(
            "--kubeconfig={}",
            layout.kubeconfig(Component::ControllerManager.program()).display()
        ),
        "--leader-elect=false".into(),
        "--bind-address=127.0.0.1".into(),
        "--use-service-account-credentials=true".into(),
        // It asks for a token for each of its controllers; the default of 20 requests in a second takes it 4 s.
        "--kube-api-qps=500".into(),
        "--kube-api-burst=500".into(),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--service-account-private-key-file={}", pki("service-accounts.key")),
        format!("--cluster-signing-cert-file={}", pki("ca.crt")),
        format!("--cluster-signing-key-file={}", pki("ca.key")),
        format!("--cluster-cidr={POD_RANGE}"),
        "--allocate-node-cidrs=false".into(),
        // The kubelet's is in its configuration; the default is a folder of the machine.
        format!(
            "--flex-volume-plugin-dir={}",
            layout.in_root("kubelet/volume-plugins").display()
        ),
        // Tests stop the API server for a minute; the node must not be called lost for that.
        "--node-monitor-grace-period=3m".into(),
    ]
}

/// An engine whose files have this name.
fn docker(layout: &Layout, socket: &Path, name: &str) -> Vec<String> {
    let configuration = layout.config(&format!("{name}.json"));
    vec![
        format!("--config-file={}", configuration.display()),
        format!("--host=unix://{}", socket.display()),
        format!("--data-root={}", layout.in_root(name).display()),
        format!("--exec-root={}", layout.in_run(name).display()),
        format!("--pidfile={}", layout.in_run(&format!("{name}.pid")).display()),
        format!("--containerd={}", layout.containerd_socket().display()),
        format!("--cgroup-parent=/{}/docker", layout.full_name()),
        "--bridge=none".into(),
        "--iptables=false".into(),
        "--ip-forward=false".into(),
    ]
}

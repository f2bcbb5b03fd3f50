//! The configuration files of the node's programs, rendered from the layout alone.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::component::Component;
use crate::images::PAUSE_IMAGE;
use crate::layout::{DNS_SERVICE_ADDRESS, Layout, NODE_ADDRESS, POD_RANGE, STORAGE_CLASS};

/// Must be what the provisioner calls itself.
const PROVISIONER: &str = "wharfinger.dev/local";

/// Makes the folders and writes every file.
pub(crate) fn create(layout: &Layout) -> Result<()> {
    for folder in ["config/cni", "logs", "pod-logs", "volumes", "certs.d"] {
        let folder = layout.in_root(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    fs::write(layout.config("containerd.toml"), containerd(layout))?;
    let current_docker = format!("{}.json", Component::CurrentDocker.program());
    for (file, value) in [
        ("cni/10-wharf.conflist", cni(layout)),
        ("kubelet.json", kubelet(layout)),
        ("kube-proxy.json", kube_proxy(layout)),
        ("audit.json", audit()),
        ("docker.json", docker(layout)),
        (&current_docker, json!({})),
        ("objects.json", objects()),
    ] {
        fs::write(layout.config(file), serde_json::to_vec_pretty(&value)?)?;
    }
    Ok(())
}

fn containerd(layout: &Layout) -> String {
    let show = |path: &Path| format!("'{}'", path.display());
    format!(
        "version = 3
root = {root}
state = {state}
# Optional software below /opt, and plug-ins of the machine: none of them is the node's.
disabled_plugins = ['io.containerd.internal.v1.opt', 'io.containerd.nri.v1.nri']

[grpc]
address = {socket}

# The default folder is shared by all containerds of a machine.
[plugins.'io.containerd.shim.v1.manager']
socket_dir = {shims}

[plugins.'io.containerd.cri.v1.images']
snapshotter = 'overlayfs'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{PAUSE_IMAGE}'
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = {registries}

[plugins.'io.containerd.cri.v1.runtime']
# Root in a container may not be allowed to lower the score that it inherits.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['/usr/lib/cni']
conf_dir = {cni}
# Without a plug-in that keeps notes below /var/lib/cni.
use_internal_loopback = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
Root = {runc}
",
        root = show(&layout.in_root("containerd")),
        state = show(&layout.in_run("containerd")),
        socket = show(&layout.containerd_socket()),
        shims = show(&layout.in_run("s")),
        runc = show(&layout.in_run("runc")),
        registries = show(&layout.in_root("certs.d")),
        cni = show(&layout.config("cni")),
    )
}

fn cni(layout: &Layout) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": layout.full_name(),
        "plugins": [
            // A cable for each Pod instead of a bridge for all: then each packet between Pods is routed, and passes
            // kube-proxy's rules whether or not the kernel shows bridged packets to them.
            {"type": "ptp", "ipMasq": false, "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": POD_RANGE}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": layout.in_run("cni"),
            }},
            {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true},
        ],
    })
}

fn kubelet(layout: &Layout) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{}", layout.containerd_socket().display()),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": layout.pki("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": layout.pki("kubelet-server.crt"),
        "tlsPrivateKeyFile": layout.pki("kubelet-server.key"),
        "address": "0.0.0.0",
        "healthzBindAddress": "127.0.0.1",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", layout.full_name()),
        "failCgroupV1": false,
        "enforceNodeAllocatable": [],
        // Resource limits may not be raised, nor scores lowered, on a machine without CAP_SYS_RESOURCE.
        "featureGates": {"KubeletInUserNamespace": true},
        "oomScoreAdj": 0,
        "failSwapOn": false,
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "podLogsDir": layout.pod_logs(),
        "containerLogMaxSize": "200Mi",
        "volumePluginDir": layout.in_root("kubelet/volume-plugins"),
        "staticPodPath": "",
        "maxPods": 250,
        // Images cannot be fetched again, and the disk is shared with everything else on the machine.
        "imageGCHighThresholdPercent": 100,
        // Shares of a disk would be gibibytes on a large one, of which only the last few hundred mebibytes may be free for us.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "200Mi", "imagefs.available": "200Mi"},
    })
}

fn kube_proxy(layout: &Layout) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": layout.kubeconfig("kube-proxy")},
        "mode": "iptables",
        "iptables": {"localhostNodePorts": true},
        "nodePortAddresses": ["127.0.0.0/8", format!("{NODE_ADDRESS}/32")],
        "hostnameOverride": layout.full_name(),
        "clusterCIDR": POD_RANGE,
        "bindAddress": "127.0.0.1",
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        // These belong to the machine, not to the namespace.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
            "udpTimeout": "0s",
            "udpStreamTimeout": "0s",
        },
    })
}

/// Who did what to which object, for every request, without bodies.
fn audit() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    })
}

fn docker(layout: &Layout) -> Value {
    // Docker 20.10 writes a key below /etc otherwise.
    json!({"deprecated-key-path": layout.in_root("docker-key.json")})
}

/// What every node has in its API server from the beginning.
fn objects() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    })
}

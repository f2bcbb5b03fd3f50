//! The node's network namespace, where every program of the node and the node's own address live.
//!
//! Host interfaces, routes and packet filters are never touched: taking the node away is deleting the namespace.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::mount::UnmountFlags;

use crate::layout::{BRIDGE, Layout, NODE_ADDRESS, SERVICE_RANGE};
use crate::process::{self, Process};
use crate::tools::run;

/// Makes the namespace with its loopback, the bridge with the node's address, and forwarding between Pods.
pub(crate) fn create(layout: &Layout) -> Result<()> {
    let name = layout.full_name();
    run(Command::new("ip").args(["netns", "add", &name])).context("cannot make a network namespace")?;
    let ip = |words: &str| run(Command::new("ip").args(["-n", &name]).args(words.split(' '))).map(drop);
    ip("link set lo up")?;
    // A Kubernetes node may not have a loopback address, and some kernels come without the `dummy` kind.
    ip(&format!("link add {BRIDGE} type bridge"))?;
    ip(&format!("addr add {NODE_ADDRESS}/24 dev {BRIDGE}"))?;
    ip(&format!("link set {BRIDGE} up"))?;
    // The kernel wants a route before it looks at kube-proxy's rules, which then give the packet its real destination.
    ip(&format!("route add {SERVICE_RANGE} dev {BRIDGE}"))?;
    run(enter(layout, "sh").args(["-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]))?;
    // What still carries a Service's address after those rules has nobody behind it, as cluster DNS here: say so at once.
    for chain in ["OUTPUT", "FORWARD"] {
        run(enter(layout, "iptables").args(["-w", "-A", chain, "-d", SERVICE_RANGE, "-j", "REJECT"]))?;
    }
    Ok(())
}

/// A command that runs inside the namespace and shares everything else with its caller, mounts among it
/// (`ip netns exec` would give each program mounts of its own, and a volume mounted by one would be missing for the next).
pub(crate) fn enter(layout: &Layout, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net={}", layout.namespace().display()))
        .arg("--")
        .arg(program);
    command
}

/// The processes inside the namespace, Pods excepted: those have namespaces of their own.
pub(crate) fn processes(layout: &Layout) -> Vec<Process> {
    let Some(namespace) = identity(&layout.namespace()) else {
        return Vec::new();
    };
    let inside = |process: &Process| identity(Path::new(&format!("/proc/{}/ns/net", process.pid))) == Some(namespace);
    process::others().into_iter().filter(inside).collect()
}

/// Whether the namespace exists and is one: after a reboot an empty file may be left in its place.
pub(crate) fn exists(layout: &Layout) -> bool {
    match (identity(&layout.namespace()), identity(Path::new("/run/netns"))) {
        (Some((device, _)), Some((folder, _))) => device != folder,
        _ => false,
    }
}

/// Whether somebody listens on the TCP port, in the namespace that the process is in.
pub(crate) fn listens(process: Process, port: u16) -> bool {
    // proc_pid_net(5): the second field is the local address and port in hexadecimal, the fourth is 0A for listening.
    let is_it = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields
            .get(1)
            .is_some_and(|local| local.ends_with(&format!(":{port:04X}")))
            && fields.get(3) == Some(&"0A")
    };
    ["tcp", "tcp6"].into_iter().any(|table| {
        fs::read_to_string(format!("/proc/{}/net/{table}", process.pid)).is_ok_and(|text| text.lines().any(is_it))
    })
}

/// Removes the namespace, and with it every interface and packet filter rule in it.
pub(crate) fn remove(layout: &Layout) -> Result<()> {
    let path = layout.namespace();
    // What ip does, but it also works when only one half is left.
    let _ = rustix::mount::unmount(&path, UnmountFlags::DETACH);
    if path.exists() {
        fs::remove_file(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
    }
    // `ip netns add` mounts this folder on itself for the first namespace of a machine; the last one takes that away.
    let folder = Path::new("/run/netns");
    while fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none()) {
        if rustix::mount::unmount(folder, UnmountFlags::empty()).is_err() {
            let _ = fs::remove_dir(folder);
            break;
        }
    }
    Ok(())
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

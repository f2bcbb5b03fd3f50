//! The Debian packages that a node needs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::run;
use crate::Progress;

/// Package, and a file of it that shows on another distribution that the same is there.
const PACKAGES: [(&str, &[&str]); 11] = [
    ("runc", &["/usr/sbin/runc", "/usr/bin/runc"]),
    ("buildah", &["/usr/bin/buildah"]),
    ("skopeo", &["/usr/bin/skopeo"]),
    ("podman", &["/usr/bin/podman"]),
    ("curl", &["/usr/bin/curl"]),
    ("openssl", &["/usr/bin/openssl"]),
    ("containernetworking-plugins", &["/usr/lib/cni/ptp"]),
    ("docker.io", &["/usr/sbin/dockerd", "/usr/bin/dockerd"]),
    ("busybox-static", &["/usr/bin/busybox", "/bin/busybox"]),
    ("iptables", &["/usr/sbin/iptables", "/sbin/iptables"]),
    ("iproute2", &["/usr/bin/ip", "/sbin/ip", "/usr/sbin/ip"]),
];

/// The registry that the tests of adoption hand a store to.
const REGISTRY: [(&str, &[&str]); 1] = [("docker-registry", &["/usr/bin/docker-registry"])];

/// The proxy that clients reach the registry through.
const PROXY: [(&str, &[&str]); 1] = [("nginx-light", &["/usr/sbin/nginx"])];

/// What sends many small requests, for the benchmarks.
const LOAD: [(&str, &[&str]); 1] = [("wrk", &["/usr/bin/wrk"])];

/// Debian asks this program before it starts a service at installation; 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what a node misses, and starts none of the services that come with it.
pub(super) fn install(progress: &Progress) -> Result<()> {
    install_packages(&PACKAGES, progress)
}

/// Installs Debian's registry, and does not start it.
pub(super) fn install_registry(progress: &Progress) -> Result<()> {
    install_packages(&REGISTRY, progress)
}

/// Installs nginx, and does not start it.
pub(super) fn install_proxy(progress: &Progress) -> Result<()> {
    install_packages(&PROXY, progress)
}

/// Installs `wrk`.
pub fn install_load_generator(progress: &Progress) -> Result<()> {
    install_packages(&LOAD, progress)
}

fn install_packages(packages: &[(&'static str, &[&str])], progress: &Progress) -> Result<()> {
    let missing: Vec<&str> = if Path::new("/usr/bin/dpkg-query").exists() {
        packages
            .iter()
            .map(|(package, _)| *package)
            .filter(|package| !is_installed(package))
            .collect()
    } else {
        let absent = |files: &[&str]| !files.iter().any(|file| Path::new(file).exists());
        packages
            .iter()
            .filter(|(_, files)| absent(files))
            .map(|(package, _)| *package)
            .collect()
    };
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "please install what Debian calls {}: this machine has no apt-get to do it with",
            missing.join(", ")
        );
    }
    progress.step(format!("installing Debian packages: {}", missing.join(", ")));
    let policy = NoServices::set()?;
    run(&mut apt(&["update", "--quiet"])).context("cannot refresh Debian's list of packages")?;
    run(apt(&["install", "--yes", "--quiet", "--no-install-recommends"]).args(&missing))
        .context("cannot install Debian packages")?;
    drop(policy);
    progress.step("Debian packages installed");
    Ok(())
}

fn is_installed(package: &str) -> bool {
    let asked = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .output();
    asked.is_ok_and(|output| output.stdout == b"installed")
}

fn apt(words: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(words);
    command
}

/// Keeps services from being started while it lives; a policy that the machine already has stays in force.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn set() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        let write = fs::write(POLICY, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)));
        write.with_context(|| format!("cannot write `{POLICY}`: packages are installed by root"))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

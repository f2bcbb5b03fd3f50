//! One `go build` for all programs, and the two images made of them.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{cache, remove};
use crate::Progress;
use crate::images::{self, BUSYBOX_IMAGE, PAUSE_IMAGE};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/go");

/// All that go.mod declares: its own programs, and its `tool` lines, which are main packages of other modules.
const PACKAGES: [&str; 2] = ["./...", "tool"];

/// The names under which the one binary is each of its programs.
const LINKS: [&str; 11] = [
    "etcd",
    "etcd-save",
    "etcdutl",
    "forward",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
    "provisioner",
];

/// The folder with the programs, built first if the cache has no build of the same sources and flags.
pub(super) fn cached(progress: &Progress) -> Result<PathBuf> {
    let flags = flags()?;
    let mut key_parts = flags.clone();
    key_parts.extend([std::env::consts::ARCH.into(), images::RECIPE.into()]);
    let folder = cache::folder("tools")?;
    let entry = folder.join(cache::key(Path::new(SOURCES), &key_parts)?);
    let bin = entry.join("bin");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    // Whoever comes second waits for the first one's build instead of doing the same beside it.
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the cache of programs")?;
    if !bin.exists() {
        let draft = folder.join("draft");
        remove(&draft)?;
        compile(&flags, &draft.join("bin"), progress)?;
        make_images(&draft, progress)?;
        fs::rename(&draft, &entry).context("cannot keep the programs")?;
    }
    cache::keep(&folder, &entry)?;
    Ok(bin)
}

fn flags() -> Result<Vec<String>> {
    // A program that is built from a module does not know its own version.
    let go_mod = Path::new(SOURCES).join("go.mod");
    let go_mod = fs::read_to_string(&go_mod).with_context(|| format!("cannot read `{}`", go_mod.display()))?;
    let version =
        |module: &str| version(&go_mod, module).with_context(|| format!("go.mod does not require `{module}`"));
    let kubernetes = version("k8s.io/kubernetes")?;
    let mut numbers = kubernetes.trim_start_matches('v').split('.');
    let (major, minor) = numbers
        .next()
        .zip(numbers.next())
        .context("the version of Kubernetes has no two numbers")?;
    let linker = [
        ("k8s.io/component-base/version.gitVersion", kubernetes),
        ("k8s.io/component-base/version.gitMajor", major),
        ("k8s.io/component-base/version.gitMinor", minor),
        ("k8s.io/component-base/version.gitTreeState", "clean"),
        (
            "github.com/containerd/containerd/v2/version.Version",
            version("github.com/containerd/containerd/v2")?,
        ),
        ("helm.sh/helm/v4/internal/version.version", version("helm.sh/helm/v4")?),
        // Which Kubernetes `helm template` and `helm lint` assume.
        ("helm.sh/helm/v4/pkg/chart/common.k8sVersionMajor", major),
        ("helm.sh/helm/v4/pkg/chart/common.k8sVersionMinor", minor),
    ]
    .map(|(variable, value)| format!("-X {variable}={value}"))
    .join(" ");
    let linker = format!("-s -w {linker}");
    // Snapshotters that need libraries or kernel modules of their own.
    let tags = "no_btrfs,no_zfs,no_devmapper";
    let words = [
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-mod=readonly",
        "-tags",
        tags,
        "-ldflags",
        &linker,
    ];
    Ok(words.into_iter().chain(PACKAGES).map(Into::into).collect())
}

/// The version in the `require` line of a module.
fn version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(module))
            .then(|| words.next())?
            .filter(|word| word.starts_with('v'))
    })
}

fn compile(flags: &[String], bin: &Path, progress: &Progress) -> Result<()> {
    progress.step("building Kubernetes, etcd, containerd and helm from their Go modules (once; several minutes)");
    fs::create_dir_all(bin)?;
    let log = bin.with_file_name("build.log");
    let (verb, rest) = flags.split_first().context("no flags")?;
    let child = Command::new("go")
        .arg(verb)
        .arg("-o")
        .arg(bin)
        .args(rest)
        .current_dir(SOURCES)
        .env("CGO_ENABLED", "0")
        .env_remove("GOFLAGS")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()
        .context("cannot start `go`: please install Go 1.26 or newer")?;
    if !wait_aloud(child, progress)? {
        bail!(
            "the Go build failed: {}",
            fs::read_to_string(&log).unwrap_or_default().trim()
        );
    }
    for link in LINKS {
        symlink("wharf-node", bin.join(link))?;
    }
    Ok(())
}

/// Waits for the end and says every ten seconds that it still waits.
fn wait_aloud(mut child: Child, progress: &Progress) -> Result<bool> {
    let started = Instant::now();
    let mut said = 0;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        let now = started.elapsed().as_secs() / 10;
        if now > said {
            said = now;
            progress.step(format!("  still building after {} s", now * 10));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The pause image that holds each Pod's namespaces, and a busybox to test with: neither can be fetched from anywhere.
fn make_images(entry: &Path, progress: &Progress) -> Result<()> {
    progress.step("making the pause and busybox images");
    let archives = entry.join("images");
    fs::create_dir_all(&archives)?;
    let context = entry.join("image-context");
    for folder in ["bin", "tmp", "etc"] {
        fs::create_dir_all(context.join(folder))?;
    }
    fs::set_permissions(context.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::write(
        context.join("etc/passwd"),
        "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    )?;
    fs::copy(entry.join("bin/pause"), context.join("pause"))?;
    let busybox = context.join("bin/busybox");
    fs::copy("/usr/bin/busybox", &busybox).or_else(|_| fs::copy("/bin/busybox", &busybox))?;
    for name in super::run(Command::new(&busybox).arg("--list"))?
        .lines()
        .filter(|name| *name != "busybox")
    {
        symlink("busybox", context.join("bin").join(name))?;
    }
    let dockerfile = context.join("Dockerfile");
    fs::write(&dockerfile, images::RECIPE)?;
    let store = images::Store::new(&entry.join("buildah"), &entry.join("buildah-run"));
    for (target, name) in [("pause", PAUSE_IMAGE), ("busybox", BUSYBOX_IMAGE)] {
        store.build(
            &dockerfile,
            target,
            &context,
            name,
            &archives.join(format!("{target}.tar")),
        )?;
    }
    store.remove()?;
    remove(&context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_version_that_is_required_and_not_one_that_something_is_replaced_by() {
        let go_mod = [
            "tool helm.sh/helm/v4/cmd/helm",
            "require (",
            "\thelm.sh/helm v1.0.0",
            "\thelm.sh/helm/v4 v4.2.4 // indirect",
            ")",
            "replace (",
            "\tk8s.io/api => k8s.io/api v0.36.3",
            ")",
        ];
        let go_mod = &go_mod.join("\n");
        assert_eq!(version(go_mod, "helm.sh/helm/v4"), Some("v4.2.4"));
        assert_eq!(version(go_mod, "k8s.io/api"), None);
        assert_eq!(version(go_mod, "k8s.io/kubernetes"), None);
    }

    #[test]
    fn the_programs_learn_their_versions_from_the_module_file() {
        let flags = flags().unwrap().join(" ");
        assert!(
            flags.contains("-X k8s.io/component-base/version.gitVersion=v1."),
            "{flags}"
        );
        assert!(
            flags.contains("-X github.com/containerd/containerd/v2/version.Version=v2."),
            "{flags}"
        );
    }
}

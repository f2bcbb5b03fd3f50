//! Container images without a registry: put together from built files, kept as archives, and given to the node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::mounts;
use crate::node::Node;
use crate::tools::{remove, run};

/// A busybox that every node has, for Pods that test something.
pub const BUSYBOX_IMAGE: &str = "wharfinger.local/busybox:1";
/// Holds the namespaces of each Pod.
pub(crate) const PAUSE_IMAGE: &str = "wharfinger.local/pause:1";

/// The Dockerfile of both.
pub(crate) const RECIPE: &str = "FROM scratch AS pause
COPY pause /pause
ENTRYPOINT [\"/pause\"]

FROM scratch AS busybox
COPY bin /bin
COPY etc /etc
COPY tmp /tmp
ENV PATH=/bin
CMD [\"sh\"]
";

impl Node {
    /// Gives the node the image in an archive (`docker-archive`, as [`Self::build_image`] and `docker save` make it, or
    /// `oci-archive`) under the name `reference`, for example `wharfinger.local/registry:dev`.
    ///
    /// A Pod uses it with `imagePullPolicy: IfNotPresent`. An image of the same name is replaced for new containers.
    pub fn import_image(&self, archive: &Path, reference: &str) -> Result<()> {
        let name = format!(
            "import-{}-{}.tar",
            std::process::id(),
            reference.replace(['/', ':', '@'], "-")
        );
        let renamed = self.layout().in_run(&name);
        // The name inside an archive can be anything or missing; containerd takes the full one of this form as it is.
        let kind = archive_kind(archive)?;
        run(Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet"])
            .arg(format!("{kind}:{}", archive.display()))
            .arg(format!("docker-archive:{}:{reference}", renamed.display())))?;
        let imported = self.import_archive(&renamed);
        remove(&renamed)?;
        imported.with_context(|| format!("cannot import `{}`", archive.display()))
    }

    /// Builds a stage of a Dockerfile that only copies files (`FROM scratch` and `COPY`), gives the image to the node
    /// as `reference`, and returns the archive, which [`Self::import_image`] of another node takes as well.
    ///
    /// The archive stays until the node is taken down or the same reference is built again.
    pub fn build_image(&self, dockerfile: &Path, target: &str, context: &Path, reference: &str) -> Result<PathBuf> {
        let archives = self.layout().in_root("images");
        fs::create_dir_all(&archives)?;
        let archive = archives.join(format!("{}.tar", reference.replace(['/', ':', '@'], "-")));
        let unique = format!("buildah-{}-{:?}", std::process::id(), std::thread::current().id());
        let unique = unique.replace(['(', ')'], "-");
        let store = Store::new(&self.layout().in_root(&unique), &self.layout().in_run(&unique));
        let built = store.build(dockerfile, target, context, reference, &archive);
        store.remove()?;
        built?;
        self.import_archive(&archive)?;
        Ok(archive)
    }

    /// Imports an archive whose image already has a full name.
    pub(crate) fn import_archive(&self, archive: &Path) -> Result<()> {
        self.ctr(&["images", "import", &archive.display().to_string()])
            .map(drop)
    }
}

/// A place of its own for buildah, which shares nothing with a person's images.
pub(crate) struct Store {
    root: PathBuf,
    run: PathBuf,
}

impl Store {
    pub(crate) fn new(root: &Path, run: &Path) -> Self {
        Self {
            root: root.into(),
            run: run.into(),
        }
    }

    /// Builds one stage into a `docker-archive`.
    pub(crate) fn build(
        &self,
        dockerfile: &Path,
        target: &str,
        context: &Path,
        reference: &str,
        archive: &Path,
    ) -> Result<()> {
        remove(archive)?;
        run(self
            .buildah("build")
            // Made even though nothing is run; the default is below /etc.
            .arg("--cni-config-dir")
            .arg(self.run.join("cni"))
            .args([
                "--isolation",
                "chroot",
                "--quiet",
                "--target",
                target,
                "--tag",
                reference,
                "--file",
            ])
            .arg(dockerfile)
            .arg(context))
        .with_context(|| format!("cannot build the image `{reference}`"))?;
        run(self
            .buildah("push")
            .arg("--quiet")
            .arg(reference)
            .arg(format!("docker-archive:{}:{reference}", archive.display())))?;
        Ok(())
    }

    /// Removes all that it holds.
    pub(crate) fn remove(&self) -> Result<()> {
        for folder in [&self.run, &self.root] {
            mounts::unmount_below(folder)?;
            remove(folder)?;
        }
        Ok(())
    }

    fn buildah(&self, verb: &str) -> Command {
        let mut command = Command::new("buildah");
        // It would look for credentials there, and fail where that folder is gone.
        command.env_remove("DOCKER_CONFIG").env_remove("REGISTRY_AUTH_FILE");
        command
            .arg("--root")
            .arg(&self.root)
            .arg("--runroot")
            .arg(&self.run)
            // Needs neither a kernel module nor a mount.
            .args(["--storage-driver", "vfs", verb]);
        command
    }
}

/// skopeo's word for the archive: an OCI layout says so in a file of that name.
fn archive_kind(archive: &Path) -> Result<&'static str> {
    let names = run(Command::new("tar").arg("--list").arg("--file").arg(archive))
        .with_context(|| format!("`{}` is no archive of an image", archive.display()))?;
    let oci = names.lines().any(|name| name.trim_start_matches("./") == "oci-layout");
    Ok(if oci { "oci-archive" } else { "docker-archive" })
}

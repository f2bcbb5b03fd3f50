//! The programs that people use: docker, podman, skopeo, crane, regctl, ctr, helm, kubectl. Each test has its own files of credentials.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::environment;

/// A person at a terminal, with a home of its own.
pub struct Person {
    home: TempDir,
}

/// A Docker Engine's client, as a person uses it: [`Person::docker`] or [`Person::current_docker`].
pub type Docker = fn(&Person, &[&str]) -> Result<Command>;

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The command, for messages.
    pub command: String,
    /// Whether it succeeded.
    pub success: bool,
    /// What it printed, errors included.
    pub said: String,
}

impl Person {
    /// A person who has not signed in anywhere.
    ///
    /// # Errors
    /// Where no folder can be made.
    pub fn new() -> Result<Self> {
        Ok(Self { home: TempDir::new()? })
    }

    /// The person's folder.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A command of the client of Debian's Docker Engine.
    ///
    /// # Errors
    /// Where there is no engine to be its client.
    pub fn docker(&self, arguments: &[&str]) -> Result<Command> {
        environment::required("DOCKER_HOST")?;
        Ok(self.command("docker", arguments))
    }

    /// A command of the client of the current Docker Engine.
    ///
    /// # Errors
    /// Where there is no engine to be its client.
    pub fn current_docker(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.command(environment::required("WHARFINGER_CURRENT_DOCKER")?, arguments);
        command.env("DOCKER_HOST", environment::required("WHARFINGER_CURRENT_DOCKER_HOST")?);
        Ok(command)
    }

    /// A command of skopeo, which is told to use plain HTTP.
    pub fn skopeo(&self, arguments: &[&str]) -> Command {
        self.command("skopeo", arguments)
    }

    /// A command of crane.
    ///
    /// # Errors
    /// Where the node's programs are not known.
    pub fn crane(&self, arguments: &[&str]) -> Result<Command> {
        Ok(self.command(environment::tool("crane")?, arguments))
    }

    /// A command of podman, whose images are the person's alone.
    pub fn podman(&self, arguments: &[&str]) -> Command {
        let storage = |name: &str| self.home().join(name).display().to_string();
        let (images, running) = (storage("podman"), storage("podman-run"));
        let folders = ["--root", &images, "--runroot", &running, "--storage-driver", "vfs"];
        self.command("podman", &[&folders[..], arguments].concat())
    }

    /// A command of helm.
    ///
    /// # Errors
    /// Where the node's programs are not known.
    pub fn helm(&self, arguments: &[&str]) -> Result<Command> {
        Ok(self.command(environment::tool("helm")?, arguments))
    }

    /// A command of regctl.
    ///
    /// # Errors
    /// Where the program is not known.
    pub fn regctl(&self, arguments: &[&str]) -> Result<Command> {
        Ok(self.command(environment::required("WHARFINGER_REGCTL")?, arguments))
    }

    /// A command of containerd's client, whose images are apart from those of Pods.
    ///
    /// # Errors
    /// Where the node's programs are not known.
    pub fn ctr(&self, arguments: &[&str]) -> Result<Command> {
        environment::required("CONTAINERD_ADDRESS")?;
        let mut command = self.command(environment::tool("ctr")?, arguments);
        command.env("CONTAINERD_NAMESPACE", "people");
        Ok(command)
    }

    /// The plugin of `kubectl`, which finds the other programs in its path.
    ///
    /// # Errors
    /// Where the plugin is not known.
    pub fn plugin(&self, arguments: &[&str]) -> Result<Command> {
        self.with_tools(environment::required("WHARFINGER_PLUGIN")?, arguments)
    }

    /// A line as it is typed at a terminal in the person's folder, where the node's programs and the plugin are found.
    ///
    /// # Errors
    /// Where they are not known.
    pub fn shell(&self, typed: &str) -> Result<Command> {
        let mut command = self.with_tools("sh", &["-c", typed])?;
        command.current_dir(self.home());
        Ok(command)
    }

    fn with_tools(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<Command> {
        let mut command = self.command(program, arguments);
        let tools = environment::required("WHARFINGER_TOOLS")?;
        let plugin = environment::required("WHARFINGER_PLUGIN")?;
        let plugins = Path::new(&plugin).parent().context("a program is in a folder")?;
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{tools}:{path}:{}", plugins.display()));
        Ok(command)
    }

    fn command(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("HOME", self.home())
            .env("DOCKER_CONFIG", self.home());
        command
            .env("REGISTRY_AUTH_FILE", self.home().join("auth.json"))
            .env("XDG_RUNTIME_DIR", self.home());
        command.stdin(Stdio::null());
        command
    }
}

/// Runs a command to its end.
///
/// # Errors
/// Where it cannot be started.
pub async fn run(mut command: Command) -> Result<Ended> {
    let shown: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    let shown = shown.join(" ");
    let output: Output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .with_context(|| format!("cannot start `{shown}`"))?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(Ended {
        command: shown,
        success: output.status.success(),
        said,
    })
}

/// Runs a command that must succeed, and returns what it said.
///
/// # Errors
/// Where it does not.
pub async fn succeed(command: Command) -> Result<String> {
    let ended = run(command).await?;
    ensure!(ended.success, "`{}` failed: {}", ended.command, ended.said);
    Ok(ended.said)
}

/// Runs a command that must fail, and returns what it said.
///
/// # Errors
/// Where it succeeds.
pub async fn fail(command: Command) -> Result<String> {
    let ended = run(command).await?;
    ensure!(!ended.success, "`{}` succeeded: {}", ended.command, ended.said);
    Ok(ended.said)
}

/// Runs `kubectl` as the administrator.
///
/// # Errors
/// Where it fails.
pub async fn kubectl(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(environment::tool("kubectl")?);
    command.args(arguments).stdin(Stdio::null());
    succeed(command).await
}

/// Runs `helm` as the administrator.
///
/// # Errors
/// Where it fails.
pub async fn helm(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(environment::tool("helm")?);
    command.args(arguments).stdin(Stdio::null());
    succeed(command).await
}

//! [`Other`]: a registry of CNCF Distribution that runs, or one of its programs that runs to its end.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use faults::http::Connection;
use tempfile::TempDir;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `docker-registry` 2.8.2, as Debian has it.
    Debian,
    /// `registry` of distribution 3.
    Version3,
}

impl Kind {
    fn program(self) -> Result<PathBuf> {
        match self {
            Self::Debian => Ok("/usr/bin/docker-registry".into()),
            Self::Version3 => built("registry"),
        }
    }

    fn command(self, verb: &str, settings: &Path) -> Result<Command> {
        let program = self.program()?;
        ensure!(
            program.is_file(),
            "there is no `{}`: run `cargo xtask test --only neighbours`, which installs it",
            program.display()
        );
        let mut command = Command::new(program);
        command.arg(verb).arg(settings).stdin(Stdio::null());
        // It would send traces to a collector on this machine.
        command.env("OTEL_TRACES_EXPORTER", "none");
        Ok(command)
    }

    /// Deletes what no manifest refers to, as is done while no registry runs, and returns what was said.
    ///
    /// # Errors
    /// Where that did not end well.
    pub fn collect_garbage(self, root: &Path) -> Result<String> {
        let folder = tempfile::tempdir()?;
        output(&mut self.command("garbage-collect", &settings(folder.path(), root)?)?)
    }
}

/// A program of the Go module.
fn built(name: &str) -> Result<PathBuf> {
    let folder = std::env::var_os("WHARFINGER_DISTRIBUTION");
    let folder = folder.context(
        "WHARFINGER_DISTRIBUTION does not name the folder with distribution's programs: run `cargo xtask test --only neighbours`",
    )?;
    Ok(PathBuf::from(folder).join(name))
}

/// Deletes the upload sessions that were started before `before` (RFC 3339), as distribution does once a day, and returns
/// their paths.
///
/// # Errors
/// Where one of them cannot be understood or deleted.
pub fn purge_uploads(root: &Path, before: &str) -> Result<Vec<String>> {
    let said = output(Command::new(built("purge-uploads")?).arg(root).arg(before))?;
    Ok(said.lines().map(str::to_owned).collect())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {complaint}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn settings(folder: &Path, root: &Path) -> Result<PathBuf> {
    let path = folder.join("config.yml");
    let text = format!(
        "version: 0.1\n\
         log: {{level: info, accesslog: {{disabled: true}}}}\n\
         storage:\n\
         \x20 filesystem: {{rootdirectory: {}}}\n\
         \x20 delete: {{enabled: true}}\n\
         \x20 maintenance: {{uploadpurging: {{enabled: false}}}}\n\
         http: {{addr: '127.0.0.1:0', secret: shared}}\n",
        root.display()
    );
    fs::write(&path, text)?;
    Ok(path)
}

/// A registry that runs.
#[derive(Debug)]
pub struct Other {
    child: Child,
    address: SocketAddr,
    _settings: TempDir,
}

impl Other {
    /// Starts one on the store below `root`.
    ///
    /// # Errors
    /// With what it said, where it does not come to listen.
    pub fn start(kind: Kind, root: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = kind.command("serve", &settings(folder.path(), root)?)?;
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().context("the log was asked for")?;
        let (lines, log) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // Nobody listens any more once the address is known.
                let _ = lines.send(line);
            }
        });
        let mut other = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            _settings: folder,
        };
        let mut said = String::new();
        while let Ok(line) = log.recv_timeout(PATIENCE) {
            let address = line.split_once("listening on ").and_then(|(_, after)| {
                let end = after.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':')?;
                after[..end].parse().ok()
            });
            if let Some(address) = address {
                other.address = address;
                return Ok(other);
            }
            said.extend([line.as_str(), "\n"]);
        }
        let ended = other.child.try_wait()?;
        bail!("{kind:?} does not listen ({ended:?}):\n{said}");
    }

    /// Connects to it.
    ///
    /// # Errors
    /// Where it does not listen.
    pub fn connect(&self) -> Result<Connection> {
        Connection::open(self.address).context("cannot connect")
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The real binary on a directory, started and killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everybody may do everything: what is proven here is not who may.
const ACCESS: &str = "\
kind: AccessIndex
formatVersion: 1
content:
  identities: []
  policies:
    - name: everything
      effect: Allow
      subjects: [{any: Everyone}]
      rules: [{name: all, repositories: ['**'], role: admin}]
";

/// How to start the registry.
#[derive(Debug)]
pub struct Program {
    binary: PathBuf,
    documents: TempDir,
}

impl Program {
    /// Finds the binary beside the tests, and writes documents for a store below `root`.
    ///
    /// # Errors
    /// Where it was not built.
    pub fn find(root: &Path) -> Result<Self> {
        let test = std::env::current_exe()?;
        let folder = test.parent().and_then(Path::parent).context("tests lie in a folder")?;
        let binary = folder.join("wharfinger-registry");
        ensure!(
            binary.is_file(),
            "there is no `{}`: build it with `cargo build --package wharfinger-registry`",
            binary.display()
        );
        let documents = tempfile::tempdir()?;
        let server = format!(
            "kind: ServerConfig\nformatVersion: 1\nlisten: 127.0.0.1:0\nadminListen: 127.0.0.1:0\nstorage:\n  filesystem:\n    root: {}\n",
            root.display()
        );
        fs::write(documents.path().join("server.yaml"), server)?;
        fs::write(documents.path().join("access.yaml"), ACCESS)?;
        Ok(Self { binary, documents })
    }

    /// Adds settings to the documents: to the server document, and to the content of the access document.
    ///
    /// # Errors
    /// Where the documents cannot be written.
    pub fn with(self, server: &str, content: &str) -> Result<Self> {
        for (file, settings) in [
            ("server.yaml", server.to_owned()),
            ("access.yaml", format!("  {content}")),
        ] {
            let path = self.documents.path().join(file);
            fs::write(&path, format!("{}{settings}\n", fs::read_to_string(&path)?))?;
        }
        Ok(self)
    }

    /// The same with another access document.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn with_access(self, access: &str) -> Result<Self> {
        fs::write(self.documents.path().join("access.yaml"), access)?;
        Ok(self)
    }

    /// Looks through the store, and repairs it if asked to, while no registry runs; `spawn` is how. Returns the exit code, none
    /// where the process was killed, and what it said.
    ///
    /// # Errors
    /// Where it cannot be started or waited for.
    pub fn scrub(
        &self,
        repair: bool,
        spawn: impl FnOnce(&mut Command) -> Result<Child>,
    ) -> Result<(Option<i32>, String)> {
        let mut command = Command::new(&self.binary);
        command
            .arg("scrub")
            .arg("--config")
            .arg(self.documents.path().join("server.yaml"));
        if repair {
            command.arg("--repair");
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = spawn(&mut command)?.wait_with_output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
    }

    /// Starts the process; `spawn` is how.
    ///
    /// # Errors
    /// With what it said, where it ends before it listens.
    pub fn start(&self, spawn: impl FnOnce(&mut Command) -> Result<Child>) -> Result<Server> {
        let mut command = Command::new(&self.binary);
        command.arg("serve");
        for (option, file) in [("--config", "server.yaml"), ("--access", "access.yaml")] {
            command.arg(option).arg(self.documents.path().join(file));
        }
        command
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = spawn(&mut command)?;
        let stderr = child.stderr.take().context("the log was asked for")?;
        let log = Arc::new(Mutex::new(String::new()));
        let (addresses, found) = mpsc::channel();
        thread::spawn({
            let log = log.clone();
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if let Some((_, after)) = line.split_once("listening for ") {
                        // Nobody may be waiting any more.
                        let _ = addresses.send(after.to_owned());
                    }
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
        let mut server = Server {
            child,
            log,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        loop {
            match found.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let address = line.rsplit('=').next().and_then(|address| address.trim().parse().ok());
                    let address = address.with_context(|| format!("no address in `{line}`"))?;
                    if line.starts_with("`adminListen`") {
                        server.admin = address;
                    } else {
                        server.address = address;
                        return Ok(server);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let status = server.end()?;
                    bail!("the registry did not start ({status}):\n{}", server.log());
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    bail!("the registry did not start in time:\n{}", server.log())
                }
            }
        }
    }
}

/// A registry that runs.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: Arc<Mutex<String>>,
    /// Where clients connect.
    pub address: SocketAddr,
    /// Where probes ask.
    pub admin: SocketAddr,
}

impl Server {
    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// Where the system does not let it be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.end().map(drop)
    }

    /// Asks it to end with SIGTERM, and waits until it has.
    ///
    /// # Errors
    /// Where the system does not let it be signalled or waited for.
    pub fn stop(&mut self) -> Result<()> {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        self.end().map(drop)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Where the system does not let it be waited for.
    pub fn end(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

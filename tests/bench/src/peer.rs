//! The servers that are compared, and how each is started on a store of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use faults::http::{Connection, free_address};

use crate::process::Process;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How soon a start is looked at again.
const LOOK: Duration = Duration::from_millis(1);

/// Who signs in where somebody must.
pub(crate) const USER: &str = "bench";
pub(crate) const PASSWORD: &str = "bench-password";

/// A server that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Wharfinger,
    DockerRegistry,
    Distribution,
}

impl Peer {
    pub(crate) const ALL: [Self; 3] = [Self::Wharfinger, Self::DockerRegistry, Self::Distribution];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wharfinger => "wharfinger",
            Self::DockerRegistry => "docker-registry",
            Self::Distribution => "distribution",
        }
    }
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    pub(crate) wharfinger: PathBuf,
    pub(crate) docker_registry: PathBuf,
    pub(crate) distribution: PathBuf,
}

impl Binaries {
    fn path(&self, peer: Peer) -> &Path {
        match peer {
            Peer::Wharfinger => &self.wharfinger,
            Peer::DockerRegistry => &self.docker_registry,
            Peer::Distribution => &self.distribution,
        }
    }

    /// What each program says that it is.
    pub(crate) fn versions(&self) -> Result<Vec<String>> {
        Peer::ALL
            .into_iter()
            .map(|peer| {
                let path = self.path(peer);
                let output = Command::new(path)
                    .arg("--version")
                    .output()
                    .with_context(|| format!("cannot start `{}`", path.display()))?;
                let said = String::from_utf8_lossy(&output.stdout);
                let number = said
                    .split_whitespace()
                    .find(|word| {
                        word.trim_start_matches('v')
                            .starts_with(|first: char| first.is_ascii_digit())
                    })
                    .unwrap_or("of an unknown version");
                Ok(format!("{} {number}", peer.name()))
            })
            .collect()
    }

    /// Starts a server on the store below `folder`, which may hold one already, and waits until it answers.
    pub(crate) fn start(&self, peer: Peer, folder: &Path) -> Result<Server> {
        fs::create_dir_all(folder)?;
        let (address, admin) = (free_address()?, free_address()?);
        let mut command = Command::new(self.path(peer));
        match peer {
            Peer::Wharfinger => {
                fs::write(folder.join("server.yaml"), server_document(folder, address, admin))?;
                let access = folder.join("access.yaml");
                if !access.exists() {
                    fs::write(&access, self.access_document()?)?;
                }
                command.arg("serve").arg("--config").arg(folder.join("server.yaml"));
                command.arg("--access").arg(access);
            }
            Peer::DockerRegistry | Peer::Distribution => {
                fs::write(folder.join("config.yml"), distribution_document(folder, address))?;
                command.arg("serve").arg(folder.join("config.yml"));
                command.env("OTEL_TRACES_EXPORTER", "none");
            }
        }
        let log = File::create(folder.join("log"))?;
        let begun = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", peer.name()))?;
        let mut server = Server {
            process: Process::new(child.id()),
            child,
            address,
            ready_after: Duration::ZERO,
        };
        while !answers(address) {
            if server.child.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
                bail!(
                    "{} did not start: {}",
                    peer.name(),
                    fs::read_to_string(folder.join("log"))?
                );
            }
            std::thread::sleep(LOOK);
        }
        server.ready_after = begun.elapsed();
        Ok(server)
    }

    /// Everybody may do everything, and one may sign in.
    fn access_document(&self) -> Result<String> {
        let mut child = Command::new(&self.wharfinger)
            .arg("hash-password")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("standard input is piped")?;
        std::io::Write::write_all(&mut stdin, PASSWORD.as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "hash-password ended with {}", output.status);
        let hash = String::from_utf8(output.stdout)?;
        Ok(format!(
            "\
kind: AccessIndex
formatVersion: 1
content:
  identities:
    - {{username: {USER}, passwords: [{{hash: '{}'}}]}}
  policies:
    - name: everything
      effect: Allow
      subjects: [{{any: Everyone}}]
      rules: [{{name: all, repositories: ['**'], role: admin}}]
",
            hash.trim()
        ))
    }
}

fn server_document(folder: &Path, address: SocketAddr, admin: SocketAddr) -> String {
    format!(
        "kind: ServerConfig\nformatVersion: 1\nlisten: {address}\nadminListen: {admin}\nstorage:\n  filesystem:\n    root: {}\n",
        folder.join("data").display()
    )
}

fn distribution_document(folder: &Path, address: SocketAddr) -> String {
    format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n",
        folder.join("data").display()
    )
}

fn answers(address: SocketAddr) -> bool {
    let asked = Connection::open(address).and_then(|mut connection| connection.ask("GET", "/v2/", &[], &[]));
    asked.is_ok_and(|reply| reply.status < 500)
}

/// A server that runs. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// From its start to its first answer.
    pub(crate) ready_after: Duration,
}

impl Server {
    pub(crate) fn connect(&self) -> Result<Connection> {
        Ok(Connection::open(self.address)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

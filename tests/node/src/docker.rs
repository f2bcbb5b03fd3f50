//! The Docker Engines of a node, Debian's and the current one, each with its own data and socket, in the node's namespace and on its
//! containerd.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::Progress;
use crate::component::Component;
use crate::node::Node;
use crate::tools::neighbours::install_current_docker;

/// An engine that runs, and the client that was made for it.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The `DOCKER_HOST` under which a client finds the engine.
    pub host: String,
    /// The client.
    pub client: PathBuf,
}

impl Node {
    /// Starts Debian's Docker Engine unless it runs, and returns the `DOCKER_HOST` under which a client finds it.
    ///
    /// The engine is in the namespace, so `127.0.0.1` in an image's name is the node's, with every `NodePort`; the client
    /// may be anywhere on the machine. The engine has no network for containers. It ends with the node.
    pub fn docker(&self) -> Result<String> {
        self.start(Component::Docker)?;
        Ok(self.docker_host())
    }

    /// Builds the current Docker Engine and its client where the cache has no build of the same sources, and starts the engine unless it
    /// runs. Everything else is as with [`Self::docker`].
    pub fn current_docker(&self, progress: &Progress) -> Result<Engine> {
        let client = install_current_docker(progress)?.join("docker");
        self.start(Component::CurrentDocker)?;
        let host = format!("unix://{}", self.layout().current_docker_socket().display());
        Ok(Engine { host, client })
    }

    /// What [`Self::docker`] returns, without starting anything.
    pub(crate) fn docker_host(&self) -> String {
        format!("unix://{}", self.layout().docker_socket().display())
    }
}

/// Whether an engine that can do its work is behind the socket (`GET /_ping` of the Engine API).
pub(crate) fn answers(socket: &Path) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut connection = UnixStream::connect(socket)?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        connection.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.lines().next().is_some_and(|status| status.contains(" 200 ")))
}

//! The way into a node's namespace for those outside.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::layout::API_SERVER_ADDRESS;
use crate::node::Node;
use crate::process::{self, Signal};
use crate::state::{ForwardState, Lock};
use crate::{network, pki};

/// An address outside of the namespace that leads to one inside. It stays until [`Node::stop_forward`] or [`Node::down`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Where to connect to from outside.
    pub listen: SocketAddr,
    /// Where that leads to, inside.
    pub target: String,
}

impl Node {
    /// Makes `target` (for example `127.0.0.1:30500`, a `NodePort`) reachable at `127.0.0.1:port` outside of the
    /// namespace; port 0 takes a free one. Asking again for the same changes nothing.
    pub fn forward(&self, port: u16, target: &str) -> Result<Forward> {
        let _lock = Lock::acquire(self.layout())?;
        let mut state = self.state()?;
        state.forwards.retain(|forward| forward.process.is_alive());
        let same = |forward: &&ForwardState| forward.target == target && (port == 0 || forward.listen.port() == port);
        if let Some(known) = state.forwards.iter().find(same) {
            return Ok(Forward {
                listen: known.listen,
                target: target.into(),
            });
        }
        let listener = TcpListener::bind(("127.0.0.1", port)).with_context(|| {
            format!("cannot listen on 127.0.0.1:{port}: another program may have that port, choose another")
        })?;
        let listen = listener.local_addr()?;
        let program = self.tools().path("forward");
        let mut command = network::enter(self.layout(), &program.to_string_lossy());
        command.arg(target);
        let log = self.layout().log("forward");
        // The socket stays in the namespace where it was made, whoever holds it.
        let process = process::spawn_detached(&command, Stdio::from(OwnedFd::from(listener)), &log)?;
        state.forwards.push(ForwardState {
            listen,
            target: target.into(),
            process,
        });
        state.save(self.layout())?;
        Ok(Forward {
            listen,
            target: target.into(),
        })
    }

    /// Every forward that works.
    pub fn forwards(&self) -> Result<Vec<Forward>> {
        let alive = self
            .state()?
            .forwards
            .into_iter()
            .filter(|forward| forward.process.is_alive());
        Ok(alive
            .map(|forward| Forward {
                listen: forward.listen,
                target: forward.target,
            })
            .collect())
    }

    /// Ends one; one that has ended already is no error.
    pub fn stop_forward(&self, forward: &Forward) -> Result<()> {
        let _lock = Lock::acquire(self.layout())?;
        let mut state = self.state()?;
        for known in state.forwards.iter().filter(|known| known.listen == forward.listen) {
            known.process.end(Signal::Term, Duration::from_secs(5))?;
        }
        state.forwards.retain(|known| known.listen != forward.listen);
        state.save(self.layout())
    }

    /// Forwards to the API server and returns an administrator's kubeconfig for use outside of the namespace.
    pub fn kubeconfig_through(&self, port: u16) -> Result<PathBuf> {
        let forward = self.forward(port, API_SERVER_ADDRESS)?;
        let path = self
            .layout()
            .kubeconfig(&format!("admin-outside-{}", forward.listen.port()));
        pki::write_kubeconfig(self.layout(), &path, "admin", &forward.listen.to_string())?;
        Ok(path)
    }
}

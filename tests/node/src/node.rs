//! Starting a node, finding it again, and its programs one by one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::component::Component;
use crate::layout::{API_SERVER_PORT, ETCD_PORT, Layout};
use crate::process::{self, Signal};
use crate::state::{Lock, State, boot};
use crate::tools::neighbours::install_current_docker;
use crate::tools::run;
use crate::{Progress, Tools, cgroups, disk, docker, files, network, pki};

/// How long a program may take to come up on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// What kind of node is wanted.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tells nodes of one machine apart: up to 20 lower-case letters, digits and hyphens.
    pub name: String,
    /// The folder in which the node makes a folder of its name; `/var/lib/wharfinger/nodes` by default.
    pub parent: Option<PathBuf>,
    /// Whether the API server writes who did what into [`Node::audit_log`]; yes by default.
    pub audit: bool,
    /// Put behind the API server's own arguments, for example `--v=4`.
    pub api_server_args: Vec<String>,
}

impl Options {
    /// The defaults for a node of this name.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            parent: None,
            audit: true,
            api_server_args: Vec::new(),
        }
    }
}

/// A node, running or not.
///
/// Dropping it changes nothing: the node's programs outlive whoever started them, until [`Node::down`].
#[derive(Debug, Clone)]
pub struct Node {
    layout: Layout,
    tools: Tools,
}

impl Node {
    /// The node of this name, as it is; nothing is started or checked.
    pub fn find(options: &Options, tools: &Tools) -> Result<Self> {
        Ok(Self {
            layout: Layout::new(&options.name, options.parent.as_deref())?,
            tools: tools.clone(),
        })
    }

    /// Starts the node, or attaches to it if it runs, and returns when it is Ready and Pods can be made in the `default`
    /// namespace.
    ///
    /// Programs that have ended are started again. A node that was left by an earlier run of the machine or by other
    /// versions of the programs is removed with all its data first, and so is one that was never finished.
    pub fn up(options: &Options, tools: &Tools, progress: &Progress) -> Result<Self> {
        let node = Self::find(options, tools)?;
        let _lock = Lock::acquire(&node.layout)?;
        let running = State::load(&node.layout).filter(|state| node.is_usable(state));
        if let Some(state) = running {
            node.attach(state, options, progress)?;
        } else {
            if node.layout.root().exists() || !node.leftovers_besides_run()?.is_empty() {
                progress.step(format!(
                    "removing what is left of an earlier node `{}`",
                    node.layout.name()
                ));
                node.clear()?;
            }
            node.create(options, progress)?;
        }
        Ok(node)
    }

    /// Whether every program of the node runs.
    pub fn is_up(&self) -> bool {
        State::load(&self.layout)
            .is_some_and(|state| self.is_usable(&state) && Component::NODE.into_iter().all(|c| state.is_alive(c)))
    }

    /// Each program, and its process number if it runs.
    pub fn status(&self) -> Vec<(Component, Option<i32>)> {
        let state = State::load(&self.layout);
        let pid = |component| {
            let process = state.as_ref()?.processes.get(&component)?;
            process.is_alive().then_some(process.pid)
        };
        Component::ALL
            .into_iter()
            .map(|component| (component, pid(component)))
            .collect()
    }

    /// Starts one program and returns when it serves; one that runs already is left alone.
    pub fn start(&self, component: Component) -> Result<()> {
        let _lock = Lock::acquire(&self.layout)?;
        let mut state = self.state()?;
        self.launch(component, &mut state)?;
        self.wait_until_serving(component)
    }

    /// Ends one program and returns when it is gone. SIGTERM is followed by SIGKILL after 30 s.
    pub fn stop(&self, component: Component, signal: Signal) -> Result<()> {
        let _lock = Lock::acquire(&self.layout)?;
        let mut state = self.state()?;
        self.halt(component, signal, &mut state)
    }

    /// A command that runs inside the node's network namespace, where `127.0.0.1` has the API server and every
    /// `NodePort`. The node's programs are in its `PATH`, and `KUBECONFIG`, `DOCKER_HOST` and `CONTAINERD_ADDRESS` are the node's.
    ///
    /// Everything but the network is the caller's: working directory, environment, files.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = network::enter(&self.layout, &program.as_ref().to_string_lossy());
        command.envs(self.environment());
        command
    }

    /// Runs `kubectl` as the administrator and returns what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        run(self.command("kubectl").args(arguments))
    }

    /// The variables that [`Self::command`] sets.
    pub fn environment(&self) -> [(&'static str, OsString); 4] {
        [
            ("PATH", self.tools.search_path()),
            ("KUBECONFIG", self.kubeconfig().into()),
            ("DOCKER_HOST", self.docker_host().into()),
            ("CONTAINERD_ADDRESS", self.layout.containerd_socket().into()),
        ]
    }

    /// The words that put a command into the namespace, for people: `nsenter --net=... --`.
    pub fn prefix(&self) -> String {
        format!("nsenter --net={} --", self.layout.namespace().display())
    }

    /// The administrator's kubeconfig, for use inside the namespace; [`Self::kubeconfig_through`] is for outside.
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.kubeconfig("admin")
    }

    /// What the API server did, one JSON object of `audit.k8s.io/v1` in each line, with metadata only.
    pub fn audit_log(&self) -> PathBuf {
        self.layout.audit_log()
    }

    /// What a program wrote, since the node was made.
    pub fn log(&self, component: Component) -> PathBuf {
        self.layout.log(component.program())
    }

    /// The name of the one Node object.
    pub fn kubernetes_name(&self) -> String {
        self.layout.full_name()
    }

    /// containerd's `certs.d` folder: a `hosts.toml` in `HOST:PORT/` below it tells the node how to pull from there.
    pub fn registry_hosts(&self) -> PathBuf {
        self.layout.in_root("certs.d")
    }

    /// The programs that this node runs on.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The state of a node that runs or is being started.
    pub(crate) fn state(&self) -> Result<State> {
        State::load(&self.layout)
            .filter(|_| network::exists(&self.layout))
            .with_context(|| format!("the node `{}` is not up: start it first", self.layout.name()))
    }

    /// Starts a program unless it runs, without waiting for it to serve.
    pub(crate) fn launch(&self, component: Component, state: &mut State) -> Result<()> {
        if state.is_alive(component) {
            return Ok(());
        }
        let program = match component {
            Component::Docker => component.program().into(),
            Component::CurrentDocker => install_current_docker(&Progress::quiet())?.join("dockerd"),
            _ => self.tools.path(component.program()),
        };
        let mut command = self.command(program);
        command.args(component.arguments(&self.layout, state));
        let process = process::spawn_detached(&command, Stdio::null(), &self.log(component))?;
        state.processes.insert(component, process);
        state.save(&self.layout)
    }

    /// Ends a program and forgets it.
    pub(crate) fn halt(&self, component: Component, signal: Signal, state: &mut State) -> Result<()> {
        if let Some(process) = state.processes.get(&component) {
            process
                .end(signal, Duration::from_secs(30))
                .with_context(|| format!("cannot end {component}"))?;
        }
        state.processes.remove(&component);
        state.save(&self.layout)
    }

    /// Waits until a program does its work, and fails as soon as it has ended instead.
    pub(crate) fn wait_until_serving(&self, component: Component) -> Result<()> {
        let state = self.state()?;
        let process = *state
            .processes
            .get(&component)
            .with_context(|| format!("{component} was not started"))?;
        poll(PATIENCE, || {
            if !process.is_alive() {
                bail!("{component} has ended");
            }
            Ok(match component {
                Component::Etcd => network::listens(process, ETCD_PORT),
                Component::ApiServer => {
                    network::listens(process, API_SERVER_PORT) && self.kubectl(&["get", "--raw=/readyz"]).is_ok()
                }
                Component::Containerd => UnixStream::connect(self.layout.containerd_socket()).is_ok(),
                Component::Docker => docker::answers(&self.layout.docker_socket()),
                Component::CurrentDocker => docker::answers(&self.layout.current_docker_socket()),
                // Whether these work shows in the objects that they are responsible for.
                Component::ControllerManager
                | Component::Scheduler
                | Component::Kubelet
                | Component::Proxy
                | Component::Provisioner => true,
            })
        })
        .with_context(|| {
            format!(
                "{component} does not come up; its last words were:\n{}",
                self.last_words(component)
            )
        })
    }

    fn create(&self, options: &Options, progress: &Progress) -> Result<()> {
        progress.step(format!(
            "starting the node `{}`: etcd, containerd, API server",
            self.layout.name()
        ));
        let root = self.layout.root();
        disk::require(root)?;
        fs::create_dir_all(root).with_context(|| format!("cannot make `{}`", root.display()))?;
        fs::write(self.layout.marker(), "")?;
        // Nobody but root has a reason to look at keys and Secrets.
        fs::set_permissions(root, fs::Permissions::from_mode(0o711))?;
        files::create(&self.layout)?;
        pki::create(&self.layout)?;
        cgroups::create(&self.layout.full_name())?;
        network::create(&self.layout)?;
        let mut state = State {
            boot: boot()?,
            tools: self.tools.bin().into(),
            audit: options.audit,
            api_server_args: options.api_server_args.clone(),
            processes: BTreeMap::new(),
            forwards: Vec::new(),
        };
        // The API server waits for etcd by itself, and the controller manager and the scheduler for the API server.
        for component in [
            Component::Containerd,
            Component::Etcd,
            Component::ApiServer,
            Component::ControllerManager,
            Component::Scheduler,
        ] {
            self.launch(component, &mut state)?;
        }
        self.wait_until_serving(Component::Containerd)?;
        for image in ["pause", "busybox"] {
            self.import_archive(&self.tools.images().join(format!("{image}.tar")))?;
        }
        self.wait_until_serving(Component::ApiServer)?;
        progress.step("API server is ready; starting the rest");
        for component in Component::NODE {
            self.launch(component, &mut state)?;
        }
        let objects = self.layout.config("objects.json").display().to_string();
        self.kubectl(&["create", "--validate=false", "--filename", &objects])?;
        self.wait_until_ready()?;
        fs::write(self.layout.finished(), "")?;
        progress.step(format!("node `{}` is ready", self.layout.name()));
        Ok(())
    }

    /// Brings a node that runs, or ran until some of its programs ended, to what is wanted.
    fn attach(&self, mut state: State, options: &Options, progress: &Progress) -> Result<()> {
        if state.audit != options.audit || state.api_server_args != options.api_server_args {
            progress.step("starting the API server again with other arguments");
            self.halt(Component::ApiServer, Signal::Term, &mut state)?;
            state.audit = options.audit;
            state.api_server_args.clone_from(&options.api_server_args);
        }
        let missing: Vec<_> = Component::NODE
            .into_iter()
            .filter(|component| !state.is_alive(*component))
            .collect();
        for component in &missing {
            progress.step(format!("{component} does not run: starting it"));
            self.launch(*component, &mut state)?;
            self.wait_until_serving(*component)?;
        }
        if missing.is_empty() {
            self.wait_until_serving(Component::ApiServer)?;
        } else {
            self.wait_until_ready()?;
        }
        progress.step(format!("attached to the node `{}`", self.layout.name()));
        Ok(())
    }

    /// Waits for the Node object and for the `ServiceAccount` without which no Pod can be made.
    fn wait_until_ready(&self) -> Result<()> {
        let node = format!("node/{}", self.layout.full_name());
        let ready = ["wait", "--for=condition=Ready", "--timeout=5s", &node];
        poll(PATIENCE, || {
            let state = self.state()?;
            for component in Component::NODE {
                if !state.is_alive(component) {
                    bail!(
                        "{component} has ended; its last words were:\n{}",
                        self.last_words(component)
                    );
                }
            }
            Ok(self.kubectl(&["get", "serviceaccount", "default"]).is_ok() && self.kubectl(&ready).is_ok())
        })
        .with_context(|| {
            format!(
                "the node does not become ready: look into `{}`",
                self.layout.log("").display()
            )
        })
    }

    /// Whether a node can go on from this state.
    fn is_usable(&self, state: &State) -> bool {
        boot().is_ok_and(|boot| state.boot == boot)
            && state.tools == self.tools.bin()
            && network::exists(&self.layout)
            // Written last: an earlier `up` that was cut short has to begin again.
            && self.layout.finished().exists()
    }

    fn last_words(&self, component: Component) -> String {
        let log = fs::read(self.log(component)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

/// Looks again and again until the answer is yes; no answer and no time left are errors.
pub(crate) fn poll(patience: Duration, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !look()? {
        if started.elapsed() > patience {
            bail!("gave up after {} s", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

//! Tries everything that a node promises, on a real one, and then that nothing is left of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use node::{Component, Node, Options, Progress, STORAGE_CLASS, Signal, Tools};

/// A Pod of the `restricted` standard that serves its volume, and a Service with a `NodePort`.
const WEB: &str = include_str!("selftest/web.yaml");
const WEB_ADDRESS: &str = "127.0.0.1:30080";
const IMAGE: &str = "wharfinger.local/selftest:1";

/// Starts a node, tries it, and takes it away; also when something fails, so that the next run begins clean.
pub(crate) fn run(options: &Options, tools: &Tools, progress: &Progress) -> Result<()> {
    let options = Options {
        name: format!("{}-selftest", options.name),
        ..options.clone()
    };
    let node = Node::find(&options, tools)?;
    node.down(progress)?;
    let before = host(&options)?;
    let tried = attempt(&options, tools, progress);
    node.down(progress)?;
    tried?;
    let after = host(&options)?;
    let changed: Vec<_> = before.symmetric_difference(&after).collect();
    ensure!(
        changed.is_empty(),
        "the host is not what it was; this has come or gone: {changed:?}"
    );
    ensure!(node.leftovers()?.is_empty(), "something is left");
    progress.step("selftest passed");
    Ok(())
}

fn attempt(options: &Options, tools: &Tools, progress: &Progress) -> Result<()> {
    let node = Node::up(options, tools, progress)?;
    let started = Instant::now();
    Node::up(options, tools, progress)?;
    ensure!(
        started.elapsed() < Duration::from_secs(2),
        "attaching took {:?}",
        started.elapsed()
    );

    progress.step("a Pod of the `restricted` standard writes to its volume; logs, exec, NodePort and forward");
    let web = pods_and_services(&node)?;
    progress.step("the audit log has it");
    let audit = fs::read_to_string(node.audit_log())?;
    let created = |line: &str| line.contains("\"verb\":\"create\"") && line.contains("\"name\":\"web\"");
    ensure!(
        audit.lines().any(created),
        "the audit log does not tell who made the Pod"
    );
    progress.step("an image built from files runs, and the Docker Engine loads it");
    images(&node)?;
    progress.step("the API server stops: Pods go on; a component that was killed is started again");
    interruptions(&node, options, tools, progress, web)?;
    progress.step("etcd goes back to a snapshot");
    snapshot(&node)?;
    progress.step("a second node beside the first");
    neighbour(&node, options, tools, progress)?;
    progress.step("deleted claims give their folders back");
    node.kubectl(&["-n", "strict", "delete", "pod/web", "pvc/data", "--timeout=60s"])?;
    wait("the volume's folder goes away", || Ok(volumes(options)?.is_empty()))?;
    progress.step("a node whose state was lost starts anew, and one that is half gone comes down");
    lost(&node, options, tools, progress)
}

fn pods_and_services(node: &Node) -> Result<SocketAddr> {
    apply(node, WEB)?;
    ready(node, "web")?;
    let class = node.kubectl(&[
        "-n",
        "strict",
        "get",
        "pvc",
        "data",
        "-o",
        "jsonpath={.spec.storageClassName}",
    ])?;
    ensure!(class == STORAGE_CLASS, "the default StorageClass is `{class}`");
    let log = node.kubectl(&["-n", "strict", "logs", "web"])?;
    ensure!(log.contains("written as uid=65532"), "unexpected log: {log}");
    let read = node.kubectl(&["-n", "strict", "exec", "web", "--", "cat", "/data/index.html"])?;
    ensure!(read == "hello\n", "exec printed `{read}`");
    let web = node.forward(0, WEB_ADDRESS)?;
    ensure!(
        node.forward(0, WEB_ADDRESS)? == web,
        "the second request made a second forward"
    );
    wait("the NodePort answers on 127.0.0.1", || Ok(serves(web.listen)))?;
    let kubeconfig = node.kubeconfig_through(0)?;
    let outside = Command::new(node.tools().path("kubectl"))
        .env("KUBECONFIG", kubeconfig)
        .args(["get", "--raw=/readyz"])
        .output()?;
    ensure!(
        outside.stdout == b"ok",
        "the API server cannot be reached from outside: {outside:?}"
    );
    Ok(web.listen)
}

fn images(node: &Node) -> Result<()> {
    let context = Scratch::new("image")?;
    fs::copy(node.tools().path("pause"), context.0.join("pause"))?;
    let dockerfile = context.0.join("Dockerfile");
    fs::write(
        &dockerfile,
        "FROM scratch AS other\nFROM scratch AS wanted\nCOPY pause /pause\nENTRYPOINT [\"/pause\"]\n",
    )?;
    let archive = node.build_image(&dockerfile, "wanted", &context.0, IMAGE)?;
    node.import_image(&archive, "wharfinger.local/selftest:2")?;
    for (name, image) in [("built", IMAGE), ("imported", "wharfinger.local/selftest:2")] {
        node.kubectl(&["run", name, "--image", image, "--image-pull-policy=Never"])?;
        node.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", &format!("pod/{name}")])?;
    }
    node.docker()?;
    let mut docker = node.command("docker");
    let loaded = docker.arg("load").arg("--input").arg(&archive).output()?;
    let said = String::from_utf8_lossy(&loaded.stdout);
    ensure!(said.contains(IMAGE), "docker load: {loaded:?}");
    Ok(())
}

fn interruptions(node: &Node, options: &Options, tools: &Tools, progress: &Progress, web: SocketAddr) -> Result<()> {
    node.stop(Component::ApiServer, Signal::Term)?;
    ensure!(
        node.kubectl(&["get", "--raw=/readyz"]).is_err(),
        "the API server answers though it was stopped"
    );
    ensure!(serves(web), "the Pod does not answer while the API server is away");
    node.kill_container("strict", "web", "web")?;
    wait("the killed container is started again", || Ok(serves(web)))?;
    node.start(Component::ApiServer)?;
    for component in [Component::Kubelet, Component::Containerd, Component::ApiServer] {
        node.stop(component, Signal::Kill)?;
    }
    ensure!(!node.is_up(), "a node without its kubelet is called up");
    Node::up(options, tools, progress)?;
    ensure!(node.is_up(), "not every component was started again");
    ensure!(serves(web), "the Pod did not live through the restart of its kubelet");
    ready(node, "web")
}

fn snapshot(node: &Node) -> Result<()> {
    let folder = Scratch::new("snapshot")?;
    let file = folder.0.join("etcd.db");
    node.kubectl(&["create", "configmap", "before"])?;
    node.save_etcd(&file)?;
    node.kubectl(&["create", "configmap", "after"])?;
    let revision = || -> Result<u64> {
        let list = node.kubectl(&["get", "--raw=/api/v1/namespaces/default/configmaps"])?;
        let list: serde_json::Value = serde_json::from_str(&list)?;
        let text = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        text.parse().with_context(|| format!("`{text}` is no revision"))
    };
    let latest = revision()?;
    node.restore_etcd(&file)?;
    ensure!(
        node.kubectl(&["get", "configmap", "before"]).is_ok(),
        "what was in the snapshot is gone"
    );
    ensure!(
        node.kubectl(&["get", "configmap", "after"]).is_err(),
        "what came after the snapshot is there"
    );
    ensure!(
        revision()? > latest,
        "revisions went back, and clients would take new objects for old ones"
    );
    node.kubectl(&["run", "later", "--image", IMAGE, "--image-pull-policy=Never"])?;
    node.kubectl(&["wait", "--for=condition=Ready", "--timeout=120s", "pod/later"])
        .map(drop)
}

fn neighbour(node: &Node, options: &Options, tools: &Tools, progress: &Progress) -> Result<()> {
    let options = Options {
        name: format!("{}2", options.name),
        ..options.clone()
    };
    let other = Node::find(&options, tools)?;
    let tried = Node::up(&options, tools, progress).and_then(|other| {
        let names = other.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"])?;
        ensure!(
            names == other.kubernetes_name(),
            "the second node's cluster has the nodes `{names}`"
        );
        ensure!(
            node.is_up(),
            "the first node did not live through the start of the second"
        );
        Ok(())
    });
    other.down(progress)?;
    tried?;
    ready(node, "web").context("the first node did not live through the end of the second")
}

fn lost(node: &Node, options: &Options, tools: &Tools, progress: &Progress) -> Result<()> {
    fs::remove_file(format!("/run/wharf-{}/state.json", options.name))?;
    Node::up(options, tools, progress)?;
    ensure!(
        node.kubectl(&["get", "configmap", "before"]).is_err(),
        "the node still has its old data"
    );
    node.kubectl(&["run", "web", "--image", node::BUSYBOX_IMAGE, "--", "sleep", "1000"])?;
    node.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "pod/web"])?;
    node.stop(Component::Containerd, Signal::Kill)?;
    node.stop(Component::Etcd, Signal::Kill)?;
    fs::remove_file(format!("/run/wharf-{}/state.json", options.name))?;
    node.down(progress)
}

/// What of the host a node could have touched, each thing in words. Other nodes of the machine come and go meanwhile.
fn host(options: &Options) -> Result<BTreeSet<String>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mounts = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| format!("mount {point}"));
    let interfaces = names("/sys/class/net")
        .into_iter()
        .map(|name| format!("interface {name}"));
    let namespaces = names("/run/netns").into_iter().map(|name| format!("namespace {name}"));
    let filter = Command::new("iptables-save")
        .output()
        .context("cannot start `iptables-save`")?;
    let filter = String::from_utf8_lossy(&filter.stdout).into_owned();
    // Comments carry the time, and brackets what was counted.
    let rules = filter.lines().filter(|line| !line.starts_with('#'));
    let rules = rules.map(|line| format!("rule {}", line.split(" [").next().unwrap_or(line)));
    let anothers = |thing: &String| {
        let of_a_node = ["wharf-", "/var/lib/wharfinger/", "mount /run/netns"]
            .iter()
            .any(|mark| thing.contains(mark));
        of_a_node && !thing.contains(&options.name)
    };
    Ok(mounts
        .chain(interfaces)
        .chain(namespaces)
        .chain(rules)
        .filter(|thing| !anothers(thing))
        .collect())
}

/// A folder that is removed with this value.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(purpose: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("wharf-selftest-{purpose}-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn apply(node: &Node, manifest: &str) -> Result<()> {
    let folder = Scratch::new("manifest")?;
    let file = folder.0.join("manifest.yaml");
    fs::write(&file, manifest)?;
    node.kubectl(&["apply", "--filename", &file.display().to_string()])
        .map(drop)
}

fn ready(node: &Node, pod: &str) -> Result<()> {
    let pod = format!("pod/{pod}");
    node.kubectl(&["-n", "strict", "wait", "--for=condition=Ready", "--timeout=60s", &pod])
        .map(drop)
}

fn serves(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        connection.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.ends_with("\r\n\r\nhello\n"))
}

fn volumes(options: &Options) -> Result<Vec<fs::DirEntry>> {
    let parent = options
        .parent
        .as_deref()
        .unwrap_or(Path::new("/var/lib/wharfinger/nodes"));
    Ok(fs::read_dir(parent.join(&options.name).join("volumes"))?.collect::<Result<_, _>>()?)
}

fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn wait(what: &str, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !look()? {
        ensure!(
            started.elapsed() < Duration::from_mins(1),
            "waited a minute in vain until {what}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

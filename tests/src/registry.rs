//! A running registry: where it is, what it answers, and its Pod.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::Value;

use crate::cluster::{PATIENCE, text};
use crate::http::{Answer, Connection, Credentials};
use crate::{Cluster, wait_for};

/// Where a registry is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its address and port.
    pub address: SocketAddr,
}

/// Waits until a Registry is Ready and returns the address of its Service.
///
/// # Errors
/// Where it does not become Ready.
pub async fn ready(cluster: &Cluster, registry: &str) -> Result<Target> {
    cluster
        .wait_for_condition("Registry", registry, "Ready", ("True", "Ok"))
        .await?;
    let service = cluster.get("Service", registry).await?;
    let address = format!(
        "{}:{}",
        text(&service["spec"]["clusterIP"]),
        service["spec"]["ports"][0]["port"]
    );
    let target = Target {
        address: address.parse().with_context(|| format!("`{address}` is no address"))?,
    };
    target.wait_until_reachable().await?;
    Ok(target)
}

/// Waits until a Registry is Ready and returns its port on 127.0.0.1.
///
/// # Errors
/// Where it does not become Ready, or has no such port.
pub async fn ready_on_node_port(cluster: &Cluster, registry: &str) -> Result<String> {
    cluster
        .wait_for_condition("Registry", registry, "Ready", ("True", "Ok"))
        .await?;
    let target = on_node(cluster, registry).await?;
    target.wait_until_reachable().await?;
    Ok(target.address.to_string())
}

/// A Registry's port on 127.0.0.1, whether anything answers there or not.
///
/// # Errors
/// Where it has no such port.
pub async fn on_node(cluster: &Cluster, registry: &str) -> Result<Target> {
    let service = cluster.get("Service", registry).await?;
    let port = service["spec"]["ports"][0]["nodePort"].as_u64();
    let port = port.context("the Service has no port on the node")?;
    Ok(Target {
        address: format!("127.0.0.1:{port}").parse()?,
    })
}

impl Target {
    /// Opens a connection.
    ///
    /// # Errors
    /// Where nobody listens.
    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(self.address).await
    }

    /// Waits until kube-proxy leads there, which takes it a moment after the Pod is ready.
    async fn wait_until_reachable(&self) -> Result<()> {
        wait_for("the Service leads to the Pod", PATIENCE, async || {
            self.status("/v2/", &Credentials::None).await
        })
        .await?;
        Ok(())
    }

    /// The answer to a GET on a connection of its own.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn get(&self, path: &str, who: &Credentials) -> Result<Answer> {
        self.connect().await?.get(path, who).await
    }

    /// The status of a GET on a connection of its own.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn status(&self, path: &str, who: &Credentials) -> Result<u16> {
        Ok(self.get(path, who).await?.status)
    }

    /// The status of a login: 200, or 401.
    ///
    /// # Errors
    /// Where the registry does not answer.
    pub async fn login(&self, username: &str, password: &str) -> Result<u16> {
        self.status("/token?service=any", &Credentials::basic(username, password))
            .await
    }

    /// Waits until a login has this status.
    ///
    /// # Errors
    /// Where it keeps another.
    pub async fn wait_for_login(&self, username: &str, password: &str, status: u16) -> Result<()> {
        wait_for(
            &format!("the login of {username} gives {status}"),
            PATIENCE,
            async || {
                let now = self.login(username, password).await?;
                ensure!(now == status, "it gives {now}");
                Ok(())
            },
        )
        .await
    }

    /// A token for a repository, `pull` or `pull,push`.
    ///
    /// # Errors
    /// Where none is given.
    pub async fn token(&self, who: &Credentials, repository: &str, actions: &str) -> Result<Credentials> {
        let answer = self
            .get(
                &format!("/token?service=any&scope=repository:{repository}:{actions}"),
                who,
            )
            .await?;
        ensure!(answer.status == 200, "/token: {} {}", answer.status, answer.text());
        Ok(Credentials::Bearer(text(&answer.json()?["token"])))
    }

    /// The status of asking for a manifest that does not exist: 404 means that the caller may pull.
    ///
    /// # Errors
    /// Where the registry does not answer.
    pub async fn pull_status(&self, who: &Credentials, repository: &str) -> Result<u16> {
        self.status(&format!("/v2/{repository}/manifests/none"), who).await
    }

    /// The status of beginning an upload: 202 means that the caller may push.
    ///
    /// # Errors
    /// Where the registry does not answer.
    pub async fn push_status(&self, who: &Credentials, repository: &str) -> Result<u16> {
        let mut connection = self.connect().await?;
        Ok(connection
            .send(
                Method::POST,
                &format!("/v2/{repository}/blobs/uploads/"),
                who,
                Bytes::new(),
            )
            .await?
            .status)
    }
}

/// The one Pod of a Registry that is not about to end.
///
/// # Errors
/// Where there is none, or more than one.
pub async fn pod(cluster: &Cluster, registry: &str) -> Result<Value> {
    let mut pods = cluster.list("Pod").await?;
    pods.retain(|pod| {
        pod["metadata"]["labels"]["wharfinger.dev/registry"] == registry
            && pod["metadata"]["deletionTimestamp"].is_null()
    });
    ensure!(pods.len() == 1, "{} Pods of {registry} instead of one", pods.len());
    pods.pop().context("no Pod")
}

/// What tells one start of a registry from another: the Pod, and how often its container was started again.
///
/// # Errors
/// Where there is not exactly one Pod.
pub async fn incarnation(cluster: &Cluster, registry: &str) -> Result<(String, u64)> {
    let pod = pod(cluster, registry).await?;
    let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
    Ok((
        text(&pod["metadata"]["uid"]),
        restarts.context("the container has no status yet")?,
    ))
}

/// `/status` and `/metrics` of a registry are at this address.
///
/// # Errors
/// Where the Pod has no address.
pub async fn admin(cluster: &Cluster, registry: &str) -> Result<Target> {
    let pod = pod(cluster, registry).await?;
    let address = format!("{}:5001", text(&pod["status"]["podIP"]));
    Ok(Target {
        address: address.parse().with_context(|| format!("`{address}` is no address"))?,
    })
}

/// The processes of a Pod with this program name, by their numbers on the machine.
///
/// # Errors
/// Where the machine's processes cannot be listed.
pub fn processes(pod_uid: &str, program: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let cgroup = read("cgroup");
        // The kubelet writes the UID with underscores where systemd keeps the groups.
        let inside = cgroup.contains(pod_uid) || cgroup.contains(&pod_uid.replace('-', "_"));
        if inside
            && read("cmdline")
                .split('\0')
                .next()
                .is_some_and(|path| path.ends_with(program))
        {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Kills the process of a registry's or an operator's container, as a crash would.
///
/// # Errors
/// Where there is not exactly one.
pub fn kill(pod_uid: &str, program: &str) -> Result<()> {
    let found = processes(pod_uid, program)?;
    let [pid] = found[..] else {
        bail!("{} processes {program} in Pod {pod_uid}", found.len())
    };
    let status = Command::new("kill").args(["-KILL", &pid.to_string()]).status()?;
    ensure!(status.success(), "kill ended with {status}");
    let gone = std::time::Instant::now() + Duration::from_secs(10);
    while processes(pod_uid, program)?.contains(&pid) {
        ensure!(std::time::Instant::now() < gone, "process {pid} does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

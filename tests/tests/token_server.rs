//! A token server in front of a registry, that of CNCF Distribution: clients sign in there, and its tokens bound what they may do here.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::cluster::PATIENCE;
use e2e::image::{Image, tar};
use e2e::objects::{allow, on_node_port, registry};
use e2e::program::{Person, fail, run, succeed};
use e2e::{Cluster, environment, registry as registries, wait_for, with_namespace};
use serde_json::{Value, json};

const ISSUER: &str = "acme auth";
const SERVICE: &str = "registry.acme.example";
const PASSWORD: &str = "alice's password";

/// The token server, on loopback. It ends with this.
struct Server {
    child: Child,
    /// Where clients get tokens.
    realm: String,
    /// The certificate of the key that it signs with.
    certificate: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts one with a new key, whose only user is alice. She may do anything in `alice/**`: its policy is as simple as that.
    async fn start(folder: &Path) -> Result<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let path = |name: &str| folder.join(name);
        let (key, certificate, users) = (path("token.key"), path("token.crt"), path("users"));
        openssl(&["ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out"], &key).await?;
        let subject = [
            "req",
            "-new",
            "-x509",
            "-days",
            "30",
            "-subj",
            "/CN=token server",
            "-key",
        ];
        let key = key.display().to_string();
        openssl(&[&subject[..], &[&key, "-out"]].concat(), &certificate).await?;
        std::fs::write(&users, format!("alice:{}\n", bcrypt::hash(PASSWORD, 4)?))?;
        // By a name: crane refuses to be sent to another private address.
        let realm = format!("http://localhost:{}/token/", free.port());
        let mut command = Command::new(environment::required("WHARFINGER_TOKEN_SERVER")?);
        command
            .args(["-issuer", ISSUER, "-realm", &realm, "-key", &key])
            .args(["-addr", &free.to_string()])
            .arg("-passwd")
            .arg(users)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = Self {
            child: command.spawn().context("cannot start the token server")?,
            realm,
            certificate: std::fs::read_to_string(certificate)?,
        };
        wait_for("the token server answers", PATIENCE, async || {
            TcpStream::connect(free)?;
            Ok(())
        })
        .await?;
        Ok(server)
    }

    fn keys(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "token-keys", "labels": { "wharfinger.dev/credential": "true" } },
            "stringData": { "tls.crt": self.certificate },
        })
    }
}

async fn openssl(arguments: &[&str], output: &PathBuf) -> Result<String> {
    let mut command = Command::new("openssl");
    command.args(arguments).arg(output);
    succeed(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_sign_in_with_a_token_server_and_policies_decide_as_well() -> Result<()> {
    with_namespace("token-server", async |cluster| {
        let folder = tempfile::tempdir()?;
        let server = Server::start(folder.path()).await?;
        let mut main = on_node_port(registry("main"));
        main["spec"]["auth"]["tokenServer"] = json!({
            "realm": server.realm, "service": SERVICE, "issuer": ISSUER, "keysSecretRef": { "name": "token-keys" },
        });
        // She is no RegistryIdentity: the server alone knows her.
        let may = json!({ "identity": "alice" });
        cluster
            .apply([
                main,
                server.keys(),
                allow("alice", may, "push", &["alice/app", "bob/app"]),
            ])
            .await?;
        cluster.wait_until_all_ready().await?;
        let address = registries::ready_on_node_port(&cluster, "main").await?;
        push_and_pull(&address).await?;
        with_docker(&cluster, &address).await?;
        policies_decide(&cluster, &address).await?;
        another_key(&cluster, &address).await
    })
    .await
}

/// crane and skopeo, each as itself.
async fn push_and_pull(address: &str) -> Result<()> {
    let alice = Person::new()?;
    let layout = layout(&alice)?;
    let login = |password| alice.crane(&["auth", "login", "--username", "alice", "--password", password, address]);
    let push = |repository: &str| alice.crane(&["push", "--insecure", &layout, &format!("{address}/{repository}:v1")]);
    fail(push("alice/app")?).await?;
    succeed(login("wrong")?).await?;
    let refused = fail(push("alice/app")?).await?;
    ensure!(refused.contains("UNAUTHORIZED"), "{refused}");
    succeed(login(PASSWORD)?).await?;
    succeed(push("alice/app")?).await?;
    // Policy would allow it, and the server does not.
    fail(push("bob/app")?).await?;
    // The server would allow it, and policy does not.
    let refused = fail(push("alice/other")?).await?;
    ensure!(refused.contains("403"), "{refused}");
    let (image, copy) = (format!("docker://{address}/alice/app:v1"), alice.home().join("copy"));
    let credentials = format!("alice:{PASSWORD}");
    let to = format!("oci:{}:v1", copy.display());
    succeed(alice.skopeo(&[
        "copy",
        "--src-tls-verify=false",
        "--src-creds",
        &credentials,
        &image,
        &to,
    ]))
    .await?;
    fail(alice.skopeo(&["inspect", "--tls-verify=false", "--creds", "alice:wrong", &image])).await?;
    Ok(())
}

async fn with_docker(cluster: &Cluster, address: &str) -> Result<()> {
    let alice = Person::new()?;
    let archive = alice.home().join("rootfs.tar");
    std::fs::write(&archive, tar("file", cluster.namespace.as_bytes()))?;
    let image = format!("{address}/alice/app:docker");
    succeed(alice.docker(&["import", &archive.display().to_string(), &image])?).await?;
    let login = |password| alice.docker(&["login", "--username", "alice", "--password", password, address]);
    fail(login("wrong")?).await?;
    succeed(login(PASSWORD)?).await?;
    succeed(alice.docker(&["push", &image])?).await?;
    run(alice.docker(&["rmi", "--force", &image])?).await?;
    succeed(alice.docker(&["pull", &image])?).await?;
    run(alice.docker(&["rmi", "--force", &image])?).await?;
    Ok(())
}

/// What policy says counts at once, whatever is in a token that was given before.
async fn policies_decide(cluster: &Cluster, address: &str) -> Result<()> {
    let alice = signed_in(address).await?;
    cluster.delete("AccessPolicy", "alice").await?;
    wait_for("nothing allows it any more", PATIENCE, async || {
        let refused = fail(alice.crane(&["digest", &format!("{address}/alice/app:v1")])?).await?;
        ensure!(refused.contains("403"), "{refused}");
        Ok(())
    })
    .await?;
    let may = json!({ "identity": "alice" });
    cluster.apply([allow("alice", may, "push", &["alice/app"])]).await?;
    wait_for("it is allowed again", PATIENCE, async || {
        succeed(alice.crane(&["digest", &format!("{address}/alice/app:v1")])?).await
    })
    .await?;
    Ok(())
}

/// Keys that cannot be read leave the last ones in force; others take their place.
async fn another_key(cluster: &Cluster, address: &str) -> Result<()> {
    let alice = signed_in(address).await?;
    let digest = || alice.crane(&["digest", &format!("{address}/alice/app:v1")]);
    let broken =
        json!({ "stringData": { "tls.crt": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" } });
    cluster.patch("Secret", "token-keys", broken).await?;
    let condition = cluster
        .wait_for_condition("Registry", "main", "ResolvedRefs", ("False", "InvalidKeys"))
        .await?;
    ensure!(condition.message.contains("certificate 1"), "{condition:?}");
    succeed(digest()?).await?;
    // Of somebody else, who has not signed her tokens.
    let folder = tempfile::tempdir()?;
    let other = Server::start(folder.path()).await?;
    cluster.apply([other.keys()]).await?;
    wait_for("the key does not count any more", PATIENCE, async || {
        let refused = fail(digest()?).await?;
        ensure!(refused.contains("401"), "{refused}");
        Ok(())
    })
    .await
}

async fn signed_in(address: &str) -> Result<Person> {
    let alice = Person::new()?;
    succeed(alice.crane(&["auth", "login", "--username", "alice", "--password", PASSWORD, address])?).await?;
    Ok(alice)
}

fn layout(person: &Person) -> Result<String> {
    let layout = person.home().join("layout");
    Image::random(100_000).write_layout(&layout)?;
    Ok(layout.display().to_string())
}

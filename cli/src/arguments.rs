//! The command line.

use std::net::{AddrParseError, IpAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

/// Who may do what on a Wharfinger registry, why, and what is wrong.
#[derive(Debug, Parser)]
#[command(name = "kubectl wharfinger", bin_name = "kubectl wharfinger", version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Namespace of the Registry; default that of the current context.
    #[arg(short, long, global = true)]
    pub(crate) namespace: Option<String>,
    /// Context of the kubeconfig; default the current one.
    #[arg(long, global = true)]
    pub(crate) context: Option<String>,
    /// How answers are written.
    #[arg(short, long, global = true, default_value = "text")]
    pub(crate) output: Format,
}

impl Common {
    /// The namespace of objects in files that name none.
    pub(crate) fn home(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }
}

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Whether somebody may do something: `can-i push team-a/app --as alice`. Exits with 1 where not.
    CanI(Question),
    /// Why somebody may do something or not: each rule that is about it, and what its conditions give.
    Explain(Question),
    /// Who may do something: every identity that is listed, groups of people whom nobody lists, and callers who do not sign in.
    WhoCan(Question),
    /// What the operator would refuse in files, with line and column; for CI of repositories. Exits with 1 where there is anything.
    Lint(Files),
    /// The state of Registries, and what each of their Pods enforces.
    Status(Which),
    /// Makes a new password for an identity whose password the operator makes.
    Rotate(Rotate),
    /// Signs docker, or another client, in with the password of an identity that the operator has made.
    Login(Login),
}

/// What is asked, and about whom.
#[derive(Debug, Args)]
pub(crate) struct Question {
    /// `pull`, `push`, `delete`, or an action of policies such as `get-manifest`.
    pub(crate) action: String,
    /// The repository; not for `list-catalog`.
    pub(crate) repository: Option<String>,
    /// The Registry; default the only one.
    #[arg(long)]
    pub(crate) registry: Option<String>,
    /// A username; default: a caller who does not sign in.
    #[arg(long = "as")]
    pub(crate) username: Option<String>,
    /// A group of somebody whom no identity lists, such as one of an OpenID Connect issuer; may be given again.
    #[arg(long = "as-group", requires = "username")]
    pub(crate) groups: Vec<String>,
    /// A file with the token of a caller, of a ServiceAccount or an OpenID Connect issuer, or with its claims in JSON: who that is, and what
    /// conditions see of them. Signature and time are not looked at.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["username", "groups"])]
    pub(crate) token: Option<PathBuf>,
    /// The tag that is asked for; default `latest`.
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// The digest that is asked for.
    #[arg(long)]
    pub(crate) digest: Option<String>,
    /// The address that the request comes from.
    #[arg(long, value_parser = address)]
    pub(crate) from: Option<IpAddr>,
    /// When; default now.
    #[arg(long)]
    pub(crate) at: Option<Timestamp>,
    /// Objects in YAML, or the access document of a registry that stands alone, instead of the cluster; may be given again.
    #[arg(short = 'f', long = "filename")]
    pub(crate) files: Vec<PathBuf>,
}

/// Files to be checked.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Files with Kubernetes objects, or with documents of a registry that stands alone, or directories of such.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// Which Registry.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The Registry; default all of the namespace.
    pub(crate) registry: Option<String>,
}

/// Which identity's password is made anew.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The RegistryIdentity.
    pub(crate) identity: String,
    /// Makes it also where no overlap is configured: the old password then ends at once.
    #[arg(long)]
    pub(crate) without_overlap: bool,
}

/// Who signs in, where, and with what.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The RegistryIdentity.
    pub(crate) identity: String,
    /// Host and port of the registry; default that of its external URL.
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// The client: its `login` takes `--username` and `--password-stdin`.
    #[arg(long, default_value = "docker")]
    pub(crate) client: Client,
}

/// Clients of registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// `docker login`
    Docker,
    /// `podman login`
    Podman,
    /// `crane auth login`
    Crane,
    /// `skopeo login`
    Skopeo,
    /// `helm registry login`
    Helm,
    /// `regctl registry login`
    Regctl,
}

/// An address as a registry knows it: one of IPv4 in the form of IPv6 is the same.
fn address(text: &str) -> Result<IpAddr, AddrParseError> {
    text.parse().map(|address: IpAddr| address.to_canonical())
}

//! The pages of docs/migrate, followed to the letter on a real cluster: what stands in a `yaml` block is applied, what stands behind a `$` in a
//! `console` block is typed. A command that ends in `# refused` must fail, every other must succeed, and each line below one must be in what it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use e2e::cluster::PATIENCE;
use e2e::image::tar;
use e2e::program::{Person, run, succeed};
use e2e::{environment, wait_for, with_namespace};

/// What the pages call images of the reader's own.
const IMAGES: [&str; 3] = ["app", "nginx", "whoami"];

/// What docker and curl say where nobody listens.
const UNREACHED: [&str; 2] = ["connection refused", "Couldn't connect to server"];

/// What they say where they are refused, or where there is nothing for them; any other failure is a mistake of the page.
const REFUSALS: [&str; 8] = [
    "no basic auth credentials",
    "denied",
    "unauthorized",
    "401 Unauthorized",
    "error: 401",
    "error: 403",
    "certificate required",
    "manifest unknown",
];

/// A step of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Objects to apply.
    Apply(String),
    /// A command to type, and what comes of it.
    Type {
        command: String,
        is_refused: bool,
        says: Vec<String>,
    },
}

/// The steps of a page, in order.
fn steps(page: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let block: Vec<&str> = match line {
            "```yaml" | "```console" => lines.by_ref().take_while(|line| *line != "```").collect(),
            _ => continue,
        };
        if line == "```yaml" {
            steps.push(Step::Apply(block.join("\n")));
            continue;
        }
        for line in block {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(typed), _) => {
                    let (command, comment) = typed.split_once(" # ").unwrap_or((typed, ""));
                    steps.push(Step::Type {
                        command: command.trim_end().to_owned(),
                        is_refused: comment.starts_with("refused"),
                        says: Vec::new(),
                    });
                }
                (None, Some(Step::Type { says, .. })) => says.push(line.to_owned()),
                (None, _) => bail!("`{line}` is below no command"),
            }
        }
    }
    Ok(steps)
}

/// A person with a terminal of their own, whose `kubectl` speaks of a namespace.
struct Reader(Person);

impl Reader {
    async fn new(namespace: &str) -> Result<Self> {
        let reader = Self(Person::new()?);
        fs::copy(environment::required("KUBECONFIG")?, reader.kubeconfig())?;
        succeed(reader.shell(&format!("kubectl config set-context --current --namespace {namespace}"))?).await?;
        let archive = reader.0.home().join("rootfs.tar");
        fs::write(&archive, tar("file", namespace.as_bytes()))?;
        for image in IMAGES {
            succeed(reader.shell(&format!("docker import {} {image}", archive.display()))?).await?;
        }
        Ok(reader)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.0.home().join("kubeconfig")
    }

    fn shell(&self, typed: &str) -> Result<Command> {
        let mut command = self.0.shell(typed)?;
        command.env("KUBECONFIG", self.kubeconfig());
        Ok(command)
    }

    async fn follow(&self, step: &Step) -> Result<()> {
        match step {
            Step::Apply(yaml) => {
                fs::write(self.0.home().join("objects.yaml"), yaml)?;
                succeed(self.shell("kubectl apply --server-side --filename objects.yaml")?).await?;
            }
            Step::Type {
                command,
                is_refused,
                says,
            } => {
                // kube-proxy leads to a Pod a moment after it is ready, and people try again. Above all this is no refusal.
                let ended = wait_for("the registry is reached", PATIENCE, async || {
                    let ended = run(self.shell(command)?).await?;
                    let is_reached = !UNREACHED.iter().any(|words| ended.said.contains(words));
                    ensure!(is_reached, "{}", ended.said);
                    Ok(ended)
                })
                .await?;
                ensure!(
                    ended.success != *is_refused,
                    "`{command}` {}: {}",
                    if *is_refused { "succeeded" } else { "failed" },
                    ended.said
                );
                let is_refusal = REFUSALS.iter().any(|words| ended.said.contains(words));
                ensure!(
                    !is_refused || is_refusal,
                    "`{command}` failed in another way: {}",
                    ended.said
                );
                for line in says {
                    ensure!(
                        ended.said.contains(line),
                        "`{command}` does not say `{line}`, but: {}",
                        ended.said
                    );
                }
            }
        }
        Ok(())
    }

    /// Takes the images away again that the engine has now.
    async fn clean_up(&self) -> Result<()> {
        let all = succeed(self.shell("docker images --quiet --no-trunc")?).await?;
        for id in all.lines() {
            // One ID may have several names, and goes with the first.
            run(self.shell(&format!("docker rmi --force {id}"))?).await?;
        }
        Ok(())
    }
}

async fn follow(path: &Path) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("no page `{}`", path.display()))?;
    let page = path.display();
    let steps = steps(&text)?;
    let count = |kind: fn(&Step) -> bool| steps.iter().filter(|step| kind(step)).count();
    ensure!(
        count(|step| matches!(step, Step::Apply(_))) > 0,
        "{page} has nothing to apply"
    );
    ensure!(
        count(|step| matches!(step, Step::Type { is_refused: true, .. })) > 0,
        "{page} refuses nothing"
    );
    ensure!(
        count(|step| matches!(step, Step::Type { says, .. } if !says.is_empty())) > 0,
        "{page} shows no answer"
    );
    let name = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .context("a page has a name")?;
    with_namespace(name, async |cluster| {
        let reader = Reader::new(&cluster.namespace).await?;
        let mut followed = Ok(());
        for step in &steps {
            followed = reader.follow(step).await;
            if followed.is_err() {
                break;
            }
        }
        reader.clean_up().await?;
        followed.with_context(|| format!("in {page}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_for_those_who_come_from_elsewhere_leads_there() -> Result<()> {
    let folder = environment::repository("docs/migrate");
    let mut pages = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("no folder `{}`", folder.display()))? {
        pages.push(entry?.path());
    }
    pages.sort();
    ensure!(pages.len() >= 6, "{pages:?}");
    let mut failures = Vec::new();
    for page in &pages {
        if let Err(error) = follow(page).await {
            failures.push(format!("{error:#}"));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

//! What the README tells the reader to do, done with a real Docker Engine: each command is shown, run by a shell as it
//! stands there, and its result is shown and checked.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use node::Node;

use crate::{exec, repository, terminal};

/// Prints the password that the operator has made.
pub(crate) const PASSWORD: &str =
    "kubectl get secret robot-credentials --output go-template='{{.data.password | base64decode}}'";

/// A shell outside of the node, as the reader's own: it reaches the API server and the Docker Engine.
pub(crate) struct Shell {
    variables: Vec<(&'static str, String)>,
}

impl Shell {
    /// Starts the Docker Engine. `files` gets the client's configuration, so that the reader's own stays as it is.
    pub(crate) fn new(node: &Node, files: &Path) -> Result<Self> {
        let config = files.join("docker");
        if config.exists() {
            fs::remove_dir_all(&config)?;
        }
        fs::create_dir_all(&config)?;
        let variables = vec![
            ("PATH", node.tools().search_path().to_string_lossy().into_owned()),
            ("KUBECONFIG", node.kubeconfig_through(0)?.display().to_string()),
            ("DOCKER_HOST", node.docker().context("cannot start the Docker Engine")?),
            ("DOCKER_CONFIG", config.display().to_string()),
        ];
        Ok(Self { variables })
    }

    /// What the reader's shell needs to do the same, as lines to paste.
    pub(crate) fn exports(&self) -> Vec<String> {
        let export = |(name, value): &(&str, String)| match *name {
            "PATH" => format!(
                "export PATH='{}':\"$PATH\"",
                value.split(':').next().unwrap_or_default()
            ),
            _ => format!("export {name}='{value}'"),
        };
        self.variables.iter().map(export).collect()
    }

    /// Shows and runs a command that must succeed, and returns what it said.
    pub(crate) fn run(&self, line: &str) -> Result<String> {
        let (success, said) = self.show(line)?;
        if !success {
            bail!("`{line}` should have succeeded");
        }
        Ok(said)
    }

    /// Shows and runs a command that must be refused.
    pub(crate) fn refused(&self, line: &str) -> Result<String> {
        let (success, said) = self.show(line)?;
        if success {
            bail!("`{line}` should have been refused");
        }
        Ok(said)
    }

    /// Runs a command that nobody needs to see.
    fn quietly(&self, line: &str) -> Result<()> {
        exec::capture(&mut self.command(line)).map(drop)
    }

    fn show(&self, line: &str) -> Result<(bool, String)> {
        terminal::command(line);
        let output = exec::finish(&mut self.command(line))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        terminal::output(&said);
        Ok((output.status.success(), said))
    }

    fn command(&self, line: &str) -> Command {
        // Docker writes part of what it says to standard error.
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{{ {line}\n}} 2>&1"))
            .current_dir(repository::root());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Logs in, pushes, pulls by digest, and is refused where the policies say so.
pub(crate) fn tour(shell: &Shell, port: u16) -> Result<()> {
    let registry = format!("127.0.0.1:{port}");
    let hello = format!("{registry}/team-a/hello");
    // What an earlier run has left would make this one look as if nothing were pulled.
    shell.quietly(&format!(
        "docker image ls --quiet '{registry}/*/*' | sort --unique | xargs --no-run-if-empty docker image rm --force"
    ))?;
    remark("`robot` has a password that the operator made:");
    shell.run(&format!(
        "{PASSWORD} | docker login --username robot --password-stdin {registry}"
    ))?;

    remark("a small image to push:");
    let busybox = ["/usr/bin/busybox", "/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let folder =
        Path::new(busybox.context("busybox is missing; Debian has it in the package busybox-static")?).parent();
    let folder = folder.unwrap_or(Path::new("/")).display();
    shell.run(&format!(
        "tar --create --directory {folder} busybox | docker import --change 'CMD [\"/busybox\"]' - {hello}:1"
    ))?;

    remark("`robot` is in the group `team-a`, which may push to team-a/**:");
    let pushed = shell.run(&format!("docker push {hello}:1"))?;
    let digest = digest(&pushed).context("docker push names no digest")?;

    remark("by its digest the image is the same for ever:");
    shell.run(&format!("docker image rm {hello}:1"))?;
    shell.run(&format!("docker pull {hello}@{digest}"))?;

    remark("team-b/** is not robot's, so this push is refused, and the registry says why:");
    shell.run(&format!("docker tag {hello}@{digest} {registry}/team-b/hello:1"))?;
    let said = shell.refused(&format!("docker push {registry}/team-b/hello:1"))?;
    if !said.contains("denied") {
        bail!("the push was refused, but not by the policies");
    }

    remark("everybody who signed in may pull; the password of `alice` comes from a Secret that somebody wrote:");
    let secret = "kubectl get secret alice-password --output go-template='{{.data.password | base64decode}}'";
    shell.run(&format!(
        "{secret} | docker login --username alice --password-stdin {registry}"
    ))?;
    shell.run(&format!("docker pull {hello}:1"))?;
    Ok(())
}

fn remark(text: &str) {
    terminal::line("");
    terminal::line(format_args!("# {text}"));
}

/// `docker push` ends with `1: digest: sha256:… size: 527`.
fn digest(said: &str) -> Option<&str> {
    said.lines()
        .find_map(|line| line.split_once("digest: ")?.1.split(' ').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_push_is_found() {
        let said =
            "The push refers to repository [127.0.0.1:30500/a/b]\nabc: Pushed\n1: digest: sha256:12ab size: 527\n";
        assert_eq!(digest(said), Some("sha256:12ab"));
        assert_eq!(digest("abc: Preparing\ndenied: no\n"), None);
    }
}

//! One build of the workspace, and what came out of it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::exec::{self, End};
use crate::repository;

/// Something executable that cargo built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// The package it belongs to.
    pub(crate) package: String,
    /// Name of the binary, or of the file of integration tests.
    pub(crate) name: String,
    /// Whether it runs tests.
    pub(crate) is_test: bool,
    pub(crate) executable: PathBuf,
    /// The package's folder, where tests expect to be run.
    pub(crate) folder: PathBuf,
}

/// Builds the programs, with the profile `dev` or `release`.
pub(crate) fn programs(profile: &str) -> Result<Vec<Program>> {
    build(&["--bins", "--profile", profile])
}

/// Builds everything there is, the tests among it. The whole workspace at once, because cargo chooses the features of
/// dependencies for what is built together, and would compile them again for each other choice.
pub(crate) fn everything() -> Result<Vec<Program>> {
    build(&["--all-targets"])
}

/// The program of this name that is no test.
pub(crate) fn find<'a>(programs: &'a [Program], name: &str) -> Result<&'a Path> {
    let found = programs.iter().find(|program| program.name == name && !program.is_test);
    Ok(&found
        .with_context(|| format!("the workspace has no program `{name}`"))?
        .executable)
}

fn build(arguments: &[&str]) -> Result<Vec<Program>> {
    let mut command = repository::cargo("build");
    command
        .args(["--workspace", "--message-format=json-render-diagnostics"])
        .args(arguments)
        .stderr(Stdio::inherit());
    let mut programs = Vec::new();
    let end = exec::watch(&mut command, Duration::from_hours(1), |line| {
        programs.extend(program(line));
    })?;
    match end {
        End::Exited(status) if status.success() => {
            // Cargo tells them as they are done; tests run in the order of their names.
            programs.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
            Ok(programs)
        }
        End::Exited(status) => bail!("the build failed ({status})"),
        End::TooLate => bail!("the build took more than an hour"),
    }
}

/// <https://doc.rust-lang.org/cargo/reference/external-tools.html#artifact-messages>
fn program(line: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(line).ok()?;
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let folder = manifest.parent()?.to_path_buf();
    // `path+file:///folder/xtask#0.1.0`, or `path+file:///folder/crate#name@0.1.0` where the folder is called otherwise.
    let (location, version) = message["package_id"].as_str()?.rsplit_once('#')?;
    let package = match version.split_once('@') {
        Some((name, _)) => name,
        None => location.rsplit('/').next()?,
    };
    Some(Program {
        package: package.into(),
        name: message["target"]["name"].as_str()?.into(),
        is_test: message["profile"]["test"].as_bool()?,
        executable: message["executable"].as_str()?.into(),
        folder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, executable: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"{id}","manifest_path":"/src/tests/Cargo.toml",
            "target":{{"kind":["test"],"name":"order"}},"profile":{{"test":true}},"executable":{executable}}}"#
        )
        .replace('\n', "")
    }

    #[test]
    fn reads_what_cargo_says_about_a_test() {
        let want = Program {
            package: "e2e".into(),
            name: "order".into(),
            is_test: true,
            executable: "/t/order-1".into(),
            folder: "/src/tests".into(),
        };
        assert_eq!(
            program(&message("path+file:///src/tests#e2e@0.1.0", r#""/t/order-1""#)),
            Some(want)
        );
    }

    #[test]
    fn the_folder_names_the_package_where_cargo_leaves_the_name_out() {
        let found = program(&message("path+file:///src/e2e#0.1.0", r#""/t/order-1""#)).unwrap();
        assert_eq!(found.package, "e2e");
    }

    #[test]
    fn libraries_and_other_messages_are_no_programs() {
        assert_eq!(program(&message("path+file:///src/tests#e2e@0.1.0", "null")), None);
        assert_eq!(program(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(program("   Compiling e2e"), None);
    }
}

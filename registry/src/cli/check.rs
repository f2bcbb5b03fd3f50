//! `check`: every problem of the documents, before a registry meets them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use registry_config::{DocumentError, Problem, ServerConfig};

use super::CheckArguments;
use crate::access::file;
use crate::tls;
use crate::token::Key;

/// Prints every problem of the documents.
pub(super) fn run(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let mut problems = Vec::new();
    if let Some(path) = &arguments.config {
        problems.extend(server_problems(path)?);
    }
    if let Some(path) = &arguments.access {
        problems.extend(access_problems(path, arguments.htpasswd.as_deref())?);
    }
    let mut output = io::stdout().lock();
    for problem in &problems {
        writeln!(output, "{problem}").context("cannot print the problems")?;
    }
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn server_problems(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let problems = |config: ServerConfig| {
        let tls = config.tls.and_then(|files| tls::pair(&files).err());
        tls.map(|why| DocumentError::Invalid(vec![Problem::new("tls", why)]))
    };
    Ok(
        match ServerConfig::accept(&text).and_then(|config| problems(config).map_or(Ok(()), Err)) {
            Ok(()) => Vec::new(),
            Err(error) => registry_config::describe_problems(path, &text, "", &error),
        },
    )
}

fn access_problems(document: &Path, htpasswd: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let own_key = Arc::new(Key::generate()?);
    let files = file::Files {
        document: document.to_owned(),
        htpasswd: htpasswd.map(Path::to_owned),
    };
    match file::read(&files, &own_key) {
        Ok(contents) => {
            let file = htpasswd.map(|path| path.display().to_string()).unwrap_or_default();
            let users = contents.bad_users.into_iter().map(|line| format!("{file}: {line}"));
            Ok(users.chain(contents.broad_denies).collect())
        }
        Err(file::Error::Refused { lines, .. }) => Ok(lines),
        Err(error @ file::Error::Read { .. }) => Err(error.into()),
    }
}

//! `check`: every problem of the documents, before a registry meets them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use registry_config::{DocumentError, ServerConfig};

use super::CheckArguments;
use crate::access::file;
use crate::position;
use crate::token::Key;

/// Prints every problem of the documents.
pub(super) fn run(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let mut problems = Vec::new();
    if let Some(path) = &arguments.config {
        problems.extend(server_problems(path)?);
    }
    if let Some(path) = &arguments.access {
        problems.extend(access_problems(path)?);
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
    Ok(match server_config(&text) {
        Ok(_) => Vec::new(),
        Err(error) => position::describe(path, &text, "", &error),
    })
}

/// Parses a server document and checks what its parts say together.
pub(super) fn server_config(text: &str) -> Result<ServerConfig, DocumentError> {
    let config = ServerConfig::parse(text)?;
    if config.listen == config.admin_listen && config.listen.port() != 0 {
        let message = "the admin port must not be the one that clients reach: give it another port";
        return Err(DocumentError::Invalid(vec![registry_config::Problem::new(
            "adminListen",
            message,
        )]));
    }
    Ok(config)
}

fn access_problems(path: &Path) -> anyhow::Result<Vec<String>> {
    let own_key = Arc::new(Key::generate()?);
    match file::read(path, &own_key) {
        Ok(_) => Ok(Vec::new()),
        Err(file::Error::Refused { lines, .. }) => Ok(lines),
        Err(error @ file::Error::Read { .. }) => Err(error.into()),
    }
}

//! [`World`]: what a registry would decide by, from wherever it was read.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use registry_config::{Access, AccessContent};
use wharfinger_operator::preview::{Objects, Refused};

use crate::arguments::{Common, Question};
use crate::{cluster, files};

/// Who and what a registry knows.
pub(crate) struct World {
    /// Ready for decisions.
    pub(crate) access: Access,
    /// What of the objects does not count, or not as it is written.
    pub(crate) refused: Vec<Refused>,
    /// Usernames that nobody can sign in under, with why.
    pub(crate) nobody: BTreeMap<String, String>,
}

impl World {
    /// Reads what a question is about: files where there are any, else the cluster.
    pub(crate) async fn read(common: &Common, question: &Question) -> Result<Self> {
        let objects = if question.files.is_empty() {
            cluster::objects(common, question.registry.as_deref()).await?
        } else {
            match files::read(&question.files, common.home())? {
                files::Contents::Document(content) => return Self::of(*content, Vec::new(), BTreeMap::new()),
                files::Contents::Objects(objects) => objects.about(question.registry.as_deref(), common)?,
            }
        };
        Self::of_objects(objects)
    }

    pub(crate) fn of_objects(objects: Objects) -> Result<Self> {
        let preview = objects.preview();
        Self::of(preview.content, preview.refused, preview.nobody)
    }

    fn of(content: AccessContent, refused: Vec<Refused>, nobody: BTreeMap<String, String>) -> Result<Self> {
        match Access::compile(content) {
            Ok(access) => Ok(Self {
                access,
                refused,
                nobody,
            }),
            Err(problems) => {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                bail!("a registry would refuse this:\n{}", lines.join("\n"))
            }
        }
    }
}

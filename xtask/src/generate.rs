//! Files that are made from others: the definitions of our kinds from their types, the chart's copies of them, and the
//! reference of what expressions may say.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{exec, repository, terminal};

const MANIFESTS: &str = "crds/manifests";
const COPIES: &str = "charts/wharfinger/files/crds";

/// Rewrites all of them.
pub(crate) fn all() -> Result<()> {
    exec::run(repository::cargo("run").args(["--quiet", "--package", "crds", "--", MANIFESTS]))?;
    let copies = repository::path(COPIES);
    fs::create_dir_all(&copies)?;
    for stale in files(COPIES)? {
        fs::remove_file(&stale)?;
    }
    for manifest in files(MANIFESTS)? {
        let name = manifest.file_name().context("a manifest without a name")?;
        fs::copy(&manifest, copies.join(name))?;
    }
    // The reference is written by the test that compares it, because only tests may know the policy engine: it would
    // make every other command of xtask wait for its compilation.
    let mut reference = repository::cargo("test");
    reference
        .args(["--quiet", "--package", "xtask", "--", "reference_of_expressions"])
        .env("WHARFINGER_GENERATE", "1");
    exec::run(&mut reference)?;
    terminal::line("generated files are up to date");
    Ok(())
}

fn files(folder: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(repository::path(folder)).with_context(|| format!("cannot read `{folder}`"))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_has_the_definitions_of_the_types() {
        let read = |folder: &str| {
            let read_one = |file: PathBuf| (file.file_name().unwrap().to_owned(), fs::read_to_string(&file).unwrap());
            files(folder).unwrap().into_iter().map(read_one).collect::<Vec<_>>()
        };
        let manifests = read(MANIFESTS);
        assert_eq!(manifests.len(), 3);
        for (copy, manifest) in read(COPIES).iter().zip(&manifests) {
            assert_eq!(copy.0, manifest.0);
            assert!(
                copy.1 == manifest.1,
                "{COPIES}/{:?} is out of date: run `cargo xtask generate`",
                copy.0
            );
        }
        assert_eq!(read(COPIES).len(), manifests.len());
    }
}

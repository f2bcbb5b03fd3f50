//! A store goes from CNCF Distribution to this registry, and back, and over once more, with the real servers.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use faults::http::Connection;
use faults::server::{Program, Server};
use neighbours::{Contents, Image, Kind, Other, expect, location, purge_uploads};

const APP: &str = "app";
const NESTED: &str = "team/deep/app/sub-app";
/// In the other registry's walk this comes between `team` and `team/deep`.
const BESIDE: &str = "team-b/tool";

/// A push that has not come to its end.
struct Unfinished {
    session: String,
    content: Vec<u8>,
    sent: usize,
}

impl Unfinished {
    fn begin(at: &mut Connection, repository: &str, content: &[u8], sent: usize) -> Result<Self> {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let begun = expect(202, at.ask("POST", &path, &[], b"")?, &path)?;
        let mut unfinished = Self {
            session: location(&begun)?,
            content: content.to_owned(),
            sent: 0,
        };
        if sent > 0 {
            unfinished.send(at, sent)?;
        }
        Ok(unfinished)
    }

    fn send(&mut self, at: &mut Connection, to: usize) -> Result<()> {
        let range = format!("{}-{}", self.sent, to - 1);
        let headers = [
            ("Content-Type", "application/octet-stream"),
            ("Content-Range", range.as_str()),
        ];
        let body = &self.content[self.sent..to];
        let reply = expect(202, at.ask("PATCH", &self.session, &headers, body)?, &self.session)?;
        assert_eq!(reply.header("range"), Some(format!("0-{}", to - 1).as_str()));
        self.session = location(&reply)?;
        self.sent = to;
        Ok(())
    }

    fn check(&self, at: &mut Connection) -> Result<()> {
        let reply = expect(204, at.ask("GET", &self.session, &[], b"")?, &self.session)?;
        let range = format!("0-{}", self.sent.saturating_sub(1));
        assert_eq!(reply.header("range"), Some(range.as_str()));
        Ok(())
    }

    fn complete(self, at: &mut Connection, repository: &str, contents: &mut Contents) -> Result<()> {
        let Self { session, content, sent } = self;
        contents.complete(at, repository, &session, &content[sent..], &content)
    }

    fn files(&self, root: &Path, repository: &str) -> PathBuf {
        let path = self.session.split('?').next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let repositories = root.join("docker/registry/v2/repositories");
        repositories.join(repository).join("_uploads").join(name)
    }
}

fn ours(root: &Path) -> Result<Server> {
    Program::find(root)?.start(|command| command.spawn().context("cannot start the registry"))
}

/// Images, an index, a signature, and what is deleted again, in three repositories whose names begin alike.
fn fill(at: &mut Connection, contents: &mut Contents, round: &str) -> Result<()> {
    let image = |name: &str| Image::oci(&format!("{round} {name}"));
    let first = image("first");
    contents.push(at, APP, &format!("{round}-v1"), &first)?;
    contents.push(at, APP, "latest", &first)?;
    contents.push(
        at,
        NESTED,
        &format!("{round}-v1"),
        &Image::docker(&format!("{round} docker")),
    )?;
    contents.push(at, BESIDE, &format!("{round}_v1.0"), &image("beside"))?;

    let (amd, arm) = (image("amd64"), image("arm64"));
    contents.push_untagged(at, APP, &amd)?;
    contents.push_untagged(at, APP, &arm)?;
    let index = Image::index(&[&amd, &arm]);
    contents.put(at, APP, Some(&format!("{round}-multi")), &index)?;

    let tag = format!("{}.sig", first.manifest.digest().replace(':', "-"));
    contents.push(at, APP, &tag, &Image::signature(&first.manifest))?;

    contents.push_untagged(at, APP, &Image::referring(&first.manifest, &format!("{round} sbom")))?;

    let gone = image("gone");
    for tag in ["gone", "gone-too"] {
        contents.push(at, APP, &format!("{round}-{tag}"), &gone)?;
    }
    contents.delete(at, APP, &gone.manifest)?;
    contents.delete_blob(at, APP, &gone.blobs[1].bytes)
}

fn handed_over_and_back(kind: Kind) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    let mut contents = Contents::default();
    let layer = |name: &str| format!("layer of {name}\n").into_bytes().repeat(20_000);

    // Theirs.
    let other = Other::start(kind, root)?;
    let at = &mut other.connect()?;
    fill(at, &mut contents, "theirs")?;
    let moved = Image::oci("moved");
    contents.push(at, APP, "moved", &moved)?;
    let mut chunked = Unfinished::begin(at, NESTED, &layer("chunked"), 100_000)?;
    let at_once = Unfinished::begin(at, NESTED, &layer("at once"), 100_000)?;
    let barely = Unfinished::begin(at, NESTED, &layer("barely begun"), 0)?;
    contents.check(at)?;
    drop(other);

    // Ours: all of it is there at once, and pushes go on.
    let mut server = ours(root)?;
    let at = &mut Connection::open(server.address)?;
    contents.check(at)?;
    contents.check_referrers(at)?;
    for push in [&chunked, &at_once, &barely] {
        push.check(at)?;
    }
    chunked.send(at, 200_000)?;
    for push in [chunked, at_once, barely] {
        push.complete(at, NESTED, &mut contents)?;
    }
    fill(at, &mut contents, "ours")?;
    contents.push(at, APP, "moved", &Image::oci("moved by us"))?;
    contents.untag(at, APP, "theirs-multi")?;
    contents.delete(at, NESTED, &Image::docker("theirs docker").manifest)?;
    let left = Unfinished::begin(at, NESTED, &layer("never completed"), 100_000)?;
    contents.check(at)?;
    server.kill()?;
    let mut server = ours(root)?;
    let at = &mut Connection::open(server.address)?;
    contents.check(at)?;
    contents.check_referrers(at)?;
    left.check(at)?;
    // With the lists that it keeps saved.
    server.stop()?;

    // Theirs again: they find what we have done, and clean up after us as after themselves.
    let other = Other::start(kind, root)?;
    let at = &mut other.connect()?;
    contents.check(at)?;
    drop(other);
    assert_eq!(purge_uploads(root, "2020-01-01T00:00:00Z")?, Vec::<String>::new());
    assert!(left.files(root, NESTED).exists());
    let purged = purge_uploads(root, "2200-01-01T00:00:00Z")?;
    assert_eq!(purged.len(), 1, "{purged:?}");
    assert!(!left.files(root, NESTED).exists());
    kind.collect_garbage(root)?;
    contents.forget_unreferenced();
    let other = Other::start(kind, root)?;
    let at = &mut other.connect()?;
    contents.check(at)?;
    fill(at, &mut contents, "again")?;
    let subject = Image::oci("ours first").manifest;
    contents.delete(at, APP, &Image::referring(&subject, "ours sbom").manifest)?;
    contents.untag(at, APP, "ours-multi").or_else(|error| match kind {
        // It knows no deletion by tag.
        Kind::Debian => contents.delete(at, APP, &Image::oci("moved by us").manifest),
        Kind::Version3 => Err(error),
    })?;
    contents.check(at)?;
    drop(other);

    // And ours once more: the lists that we keep are not those of last time.
    let server = ours(root)?;
    let at = &mut Connection::open(server.address)?;
    contents.check(at)?;
    contents.check_referrers(at)?;
    contents.push(at, BESIDE, "last", &moved)?;
    contents.check(at)
}

#[test]
fn a_store_of_docker_registry_2_8_is_served_as_it_is_and_handed_back() -> Result<()> {
    handed_over_and_back(Kind::Debian)
}

#[test]
fn a_store_of_distribution_3_is_served_as_it_is_and_handed_back() -> Result<()> {
    handed_over_and_back(Kind::Version3)
}

#[test]
fn a_referrer_that_another_registry_has_deleted_is_not_listed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    let mut contents = Contents::default();
    let mut server = ours(root)?;
    let at = &mut Connection::open(server.address)?;
    let image = Image::oci("image");
    contents.push(at, APP, "v1", &image)?;
    let referring = Image::referring(&image.manifest, "sbom");
    contents.push_untagged(at, APP, &referring)?;
    contents.check_referrers(at)?;
    server.stop()?;

    // It takes the link away and leaves the folder, so no folder that lists are read from looks any different.
    let other = Other::start(Kind::Version3, root)?;
    contents.delete(&mut other.connect()?, APP, &referring.manifest)?;
    drop(other);
    let server = ours(root)?;
    contents.check_referrers(&mut Connection::open(server.address)?)
}

//! [`Contents`]: what was pushed to a store and deleted from it, by whichever registry, and whether it is there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use faults::http::{Connection, Reply};
use serde_json::Value;

use crate::{Content, Image};

/// What is in a store, by repository; nothing else may be.
#[derive(Debug, Default)]
pub struct Contents {
    tags: BTreeMap<String, BTreeMap<String, String>>,
    manifests: BTreeMap<(String, String), Content>,
    blobs: BTreeMap<(String, String), Vec<u8>>,
    /// What refers to a manifest, also to one that nothing refers to any more.
    referrers: BTreeMap<(String, String), BTreeSet<String>>,
    gone: BTreeSet<String>,
}

impl Contents {
    /// Pushes a blob in one request after the one that begins.
    ///
    /// # Errors
    /// Where it is refused.
    pub fn push_blob(&mut self, at: &mut Connection, repository: &str, content: &[u8]) -> Result<()> {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let begun = expect(202, at.ask("POST", &path, &[], b"")?, &path)?;
        let location = location(&begun)?;
        self.complete(at, repository, &location, content, content)
    }

    /// Completes an upload session with its last bytes.
    ///
    /// # Errors
    /// Where it is refused.
    pub fn complete(
        &mut self,
        at: &mut Connection,
        repository: &str,
        session: &str,
        last: &[u8],
        content: &[u8],
    ) -> Result<()> {
        let digest = crate::digest(content);
        let separator = if session.contains('?') { '&' } else { '?' };
        let path = format!("{session}{separator}digest={digest}");
        expect(201, at.ask("PUT", &path, &[OCTETS], last)?, &path)?;
        self.gone.remove(&format!("/v2/{repository}/blobs/{digest}"));
        self.blobs.insert((repository.to_owned(), digest), content.to_owned());
        Ok(())
    }

    /// Pushes an image under a tag.
    ///
    /// # Errors
    /// Where anything of it is refused.
    pub fn push(&mut self, at: &mut Connection, repository: &str, tag: &str, image: &Image) -> Result<()> {
        for blob in &image.blobs {
            self.push_blob(at, repository, &blob.bytes)?;
        }
        self.put(at, repository, Some(tag), &image.manifest)
    }

    /// Pushes an image by its digest alone.
    ///
    /// # Errors
    /// Where anything of it is refused.
    pub fn push_untagged(&mut self, at: &mut Connection, repository: &str, image: &Image) -> Result<()> {
        for blob in &image.blobs {
            self.push_blob(at, repository, &blob.bytes)?;
        }
        self.put(at, repository, None, &image.manifest)
    }

    /// Pushes a manifest whose content is there.
    ///
    /// # Errors
    /// Where it is refused.
    pub fn put(&mut self, at: &mut Connection, repository: &str, tag: Option<&str>, manifest: &Content) -> Result<()> {
        let digest = manifest.digest();
        let path = format!("/v2/{repository}/manifests/{}", tag.unwrap_or(&digest));
        let headers = [("Content-Type", manifest.media_type.as_str())];
        expect(201, at.ask("PUT", &path, &headers, &manifest.bytes)?, &path)?;
        self.gone.remove(&path);
        if let Some(tag) = tag {
            let tags = self.tags.entry(repository.to_owned()).or_default();
            tags.insert(tag.to_owned(), digest.clone());
        }
        if let Some(subject) = subject(manifest)? {
            let referrers = self.referrers.entry((repository.to_owned(), subject)).or_default();
            referrers.insert(digest.clone());
        }
        self.manifests.insert((repository.to_owned(), digest), manifest.clone());
        Ok(())
    }

    /// Deletes a manifest with its tags.
    ///
    /// # Errors
    /// Where it is refused.
    pub fn delete(&mut self, at: &mut Connection, repository: &str, manifest: &Content) -> Result<()> {
        let digest = manifest.digest();
        let path = format!("/v2/{repository}/manifests/{digest}");
        expect(202, at.ask("DELETE", &path, &[], b"")?, &path)?;
        self.manifests.remove(&(repository.to_owned(), digest.clone()));
        for referrers in self.referrers.values_mut() {
            referrers.remove(&digest);
        }
        let tags = self.tags.entry(repository.to_owned()).or_default();
        tags.retain(|tag, target| {
            let stays = *target != digest;
            if !stays {
                self.gone.insert(format!("/v2/{repository}/manifests/{tag}"));
            }
            stays
        });
        self.gone.insert(path);
        Ok(())
    }

    /// Deletes a tag alone.
    ///
    /// # Errors
    /// Where it is refused.
    pub fn untag(&mut self, at: &mut Connection, repository: &str, tag: &str) -> Result<()> {
        let path = format!("/v2/{repository}/manifests/{tag}");
        expect(202, at.ask("DELETE", &path, &[], b"")?, &path)?;
        self.tags.entry(repository.to_owned()).or_default().remove(tag);
        self.gone.insert(path);
        Ok(())
    }

    /// Deletes a blob.
    ///
    /// # Errors
    /// Where it is refused.
    pub fn delete_blob(&mut self, at: &mut Connection, repository: &str, content: &[u8]) -> Result<()> {
        let digest = crate::digest(content);
        let path = format!("/v2/{repository}/blobs/{digest}");
        expect(202, at.ask("DELETE", &path, &[], b"")?, &path)?;
        self.blobs.remove(&(repository.to_owned(), digest));
        self.gone.insert(path);
        Ok(())
    }

    /// Forgets the blobs that no manifest refers to: a garbage collection takes them.
    pub fn forget_unreferenced(&mut self) {
        let texts: Vec<String> = self
            .manifests
            .values()
            .map(|manifest| String::from_utf8_lossy(&manifest.bytes).into_owned())
            .collect();
        self.blobs
            .retain(|(_, digest), _| texts.iter().any(|text| text.contains(digest.as_str())));
    }

    /// Checks that all of it is there, byte for byte, that lists name nothing else, and that what was deleted is gone.
    ///
    /// # Errors
    /// With the first difference.
    pub fn check(&self, at: &mut Connection) -> Result<()> {
        let catalog = strings(at, "/v2/_catalog?n=1000", "repositories")?;
        let expected: BTreeSet<String> = self.tags.keys().cloned().collect();
        ensure!(catalog == expected, "the catalog is {catalog:?}, not {expected:?}");
        for (repository, tags) in &self.tags {
            let listed = strings(at, &format!("/v2/{repository}/tags/list"), "tags")?;
            let expected: BTreeSet<String> = tags.keys().cloned().collect();
            ensure!(
                listed == expected,
                "{repository} has the tags {listed:?}, not {expected:?}"
            );
            for (tag, digest) in tags {
                self.check_manifest(at, repository, tag, digest)?;
            }
        }
        for (repository, digest) in self.manifests.keys() {
            self.check_manifest(at, repository, digest, digest)?;
        }
        for ((repository, digest), content) in &self.blobs {
            let path = format!("/v2/{repository}/blobs/{digest}");
            let reply = expect(200, at.ask("GET", &path, &[], b"")?, &path)?;
            ensure!(reply.body == *content, "{path} has other content");
        }
        for path in &self.gone {
            expect(404, at.ask("GET", path, &[ACCEPT], b"")?, path)?;
        }
        Ok(())
    }

    /// Checks the lists of referrers, which only this registry has.
    ///
    /// # Errors
    /// With the first difference.
    pub fn check_referrers(&self, at: &mut Connection) -> Result<()> {
        for ((repository, subject), expected) in &self.referrers {
            let path = format!("/v2/{repository}/referrers/{subject}");
            let reply = expect(200, at.ask("GET", &path, &[], b"")?, &path)?;
            let body: Value = serde_json::from_slice(&reply.body)?;
            let listed = body["manifests"].as_array().cloned().unwrap_or_default();
            let listed = listed.iter().filter_map(|one| Some(one["digest"].as_str()?.to_owned()));
            let listed: BTreeSet<String> = listed.collect();
            ensure!(listed == *expected, "{path} lists {listed:?}, not {expected:?}");
        }
        Ok(())
    }

    fn check_manifest(&self, at: &mut Connection, repository: &str, reference: &str, digest: &str) -> Result<()> {
        let manifest = self.manifests.get(&(repository.to_owned(), digest.to_owned()));
        let manifest = manifest.with_context(|| format!("{repository}:{reference} points at what was deleted"))?;
        let path = format!("/v2/{repository}/manifests/{reference}");
        let reply = expect(200, at.ask("GET", &path, &[ACCEPT], b"")?, &path)?;
        ensure!(reply.body == manifest.bytes, "{path} has other content");
        let media_type = reply.header("content-type");
        ensure!(
            media_type == Some(&manifest.media_type),
            "{path} is served as {media_type:?}"
        );
        let named = reply.header("docker-content-digest");
        ensure!(named == Some(digest), "{path} is called {named:?}, not {digest}");
        Ok(())
    }
}

/// What some registries want to see on uploads.
const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");

/// What clients send who understand everything.
const ACCEPT: (&str, &str) = (
    "Accept",
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json",
);

/// The path of a `Location`, with its query.
///
/// # Errors
/// Where there is none.
pub fn location(reply: &Reply) -> Result<String> {
    let location = reply.header("location").context("there is no Location")?;
    let path = match location.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/').context("the Location has no path")?..],
        None => location,
    };
    Ok(path.to_owned())
}

/// Checks a reply's status.
///
/// # Errors
/// With the reply, where it is another one.
pub fn expect(status: u16, reply: Reply, what: &str) -> Result<Reply> {
    ensure!(reply.status == status, "{what}: {} instead of {status}", reply.shown());
    Ok(reply)
}

fn subject(manifest: &Content) -> Result<Option<String>> {
    let text: Value = serde_json::from_slice(&manifest.bytes)?;
    Ok(text["subject"]["digest"].as_str().map(str::to_owned))
}

fn strings(at: &mut Connection, path: &str, field: &str) -> Result<BTreeSet<String>> {
    let reply = expect(200, at.ask("GET", path, &[], b"")?, path)?;
    let body: Value = serde_json::from_slice(&reply.body)?;
    let list = body[field].as_array().cloned().unwrap_or_default();
    Ok(list.iter().filter_map(|one| Some(one.as_str()?.to_owned())).collect())
}

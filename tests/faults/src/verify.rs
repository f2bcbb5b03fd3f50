//! The registry compared with the ledgers: what was acknowledged is there, byte for byte, and nothing is half.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, bail};

use crate::http::{Connection, Reply};
use crate::ledger::{Fate, Key, Ledger, Upload, digest};

/// What the registry has been through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// Its process was killed, or had trouble. What was not synced is still seen, so doubts stay.
    Killed,
    /// It cannot write. Doubts stay, and uploads are not completed.
    Stuck,
    /// Its disk lost power. What is seen now is on the disk, so all doubts end.
    Cut,
}

/// Compares everything, ends the doubts that can be ended, and completes the uploads that go on. Returns what is wrong.
///
/// # Errors
/// Where the registry goes away meanwhile.
pub fn verify<'a>(
    address: SocketAddr,
    ledgers: impl IntoIterator<Item = &'a mut Ledger>,
    past: Past,
) -> Result<Vec<String>> {
    let mut check = Check {
        connection: Connection::open(address)?,
        past,
        listed: BTreeMap::new(),
        wrong: Vec::new(),
    };
    for ledger in ledgers {
        if past != Past::Stuck {
            check.uploads(ledger)?;
        }
        check.blobs(ledger)?;
        check.manifests(ledger)?;
        check.tags(ledger)?;
    }
    Ok(check.wrong)
}

/// Checks what no request shows: each blob has the digest of its name, each link names what its path names, and the history
/// of each tag, which other registries read on such a tree, holds what the tag points at. Files as from
/// [`crate::Layer::files`].
pub fn files(files: &[(String, Vec<u8>)]) -> Vec<String> {
    let links: BTreeMap<&str, &[u8]> = files
        .iter()
        .filter(|(path, _)| path.ends_with("/link"))
        .map(|(path, content)| (path.as_str(), content.as_slice()))
        .collect();
    let mut wrong = Vec::new();
    for (path, content) in files {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let hex = folder.rsplit('/').next().unwrap_or_default();
        if path.ends_with("/data") && path.contains("/blobs/sha256/") {
            if digest(content) != format!("sha256:{hex}") {
                wrong.push(format!("the file `{path}` has other bytes than its name says"));
            }
        } else if let Some(tag) = path.strip_suffix("/current/link") {
            let hex = String::from_utf8_lossy(content).replace("sha256:", "");
            if links.get(format!("{tag}/index/sha256/{hex}/link").as_str()) != Some(&content.as_slice()) {
                wrong.push(format!("`{path}` is not in the tag's history"));
            }
        } else if path.ends_with("/link") && *content != format!("sha256:{hex}").into_bytes() {
            wrong.push(format!("the link `{path}` does not name what its path names"));
        }
    }
    wrong
}

struct Check {
    connection: Connection,
    past: Past,
    /// The tags of each repository.
    listed: BTreeMap<String, BTreeSet<String>>,
    wrong: Vec<String>,
}

impl Check {
    fn get(&mut self, path: &str) -> Result<Reply> {
        Ok(self.connection.ask("GET", path, &[], &[])?)
    }

    /// Whether something is there, which must be as its fate has it; then the fate after this.
    fn thing(&mut self, path: &str, fate: Fate, content: &Arc<[u8]>) -> Result<(bool, Fate)> {
        let reply = self.get(path)?;
        let is_there = match reply.status {
            200 => true,
            404 => false,
            _ => {
                self.wrong
                    .push(format!("GET {path} is answered with {}", reply.shown()));
                return Ok((false, fate));
            }
        };
        match fate {
            Fate::Present if !is_there => self.wrong.push(format!("acknowledged, but lost: {path}")),
            Fate::Absent if is_there => self.wrong.push(format!("deleted, but back: {path}")),
            Fate::Present | Fate::Absent | Fate::Doubt => {}
        }
        if is_there && reply.body != **content {
            self.wrong.push(format!("other bytes than were pushed: {path}"));
        }
        let after = match (self.past, is_there) {
            (Past::Cut, true) => Fate::Present,
            // Another client may push the same.
            (Past::Cut, false) | (Past::Killed | Past::Stuck, _) => fate,
        };
        Ok((is_there, after))
    }

    fn blobs(&mut self, ledger: &mut Ledger) -> Result<()> {
        for ((repository, digest), blob) in &mut ledger.blobs {
            let path = format!("/v2/{repository}/blobs/{digest}");
            (_, blob.fate) = self.thing(&path, blob.fate, &blob.content)?;
        }
        Ok(())
    }

    fn manifests(&mut self, ledger: &mut Ledger) -> Result<()> {
        for ((repository, digest), manifest) in &mut ledger.manifests {
            let path = format!("/v2/{repository}/manifests/{digest}");
            let is_there;
            (is_there, manifest.fate) = self.thing(&path, manifest.fate, &manifest.content)?;
            for blob in manifest.blobs.iter().filter(|_| is_there) {
                let blob = format!("/v2/{repository}/blobs/{blob}");
                if self.connection.ask("HEAD", &blob, &[], &[])?.status != 200 {
                    self.wrong.push(format!("{path} is there, but not {blob}"));
                }
            }
        }
        Ok(())
    }

    fn tags(&mut self, ledger: &mut Ledger) -> Result<()> {
        for ((repository, tag), allowed) in &mut ledger.tags {
            let path = format!("/v2/{repository}/manifests/{tag}");
            let reply = self.get(&path)?;
            let found = match reply.status {
                200 => Some(digest(&reply.body)),
                404 => None,
                _ => {
                    self.wrong
                        .push(format!("GET {path} is answered with {}", reply.shown()));
                    continue;
                }
            };
            if !allowed.contains(&found) {
                self.wrong
                    .push(format!("{path} is {found:?}, but can only be one of {allowed:?}"));
            }
            let is_listed = self.list(repository)?.contains(tag);
            if is_listed != found.is_some() {
                self.wrong
                    .push(format!("{path} is {found:?}, but listed is {is_listed}"));
            }
            if self.past == Past::Cut {
                *allowed = BTreeSet::from([found]);
            }
        }
        Ok(())
    }

    fn list(&mut self, repository: &str) -> Result<&BTreeSet<String>> {
        if !self.listed.contains_key(repository) {
            let reply = self.get(&format!("/v2/{repository}/tags/list"))?;
            let tags = match reply.status {
                200 => serde_json::from_slice::<serde_json::Value>(&reply.body)?["tags"].clone(),
                404 => serde_json::Value::Null,
                _ => bail!("the tags of {repository} are answered with {}", reply.shown()),
            };
            let tags = tags.as_array().into_iter().flatten();
            let tags = tags.filter_map(|tag| Some(tag.as_str()?.to_owned())).collect();
            self.listed.insert(repository.to_owned(), tags);
        }
        Ok(&self.listed[repository])
    }

    /// Every session goes on where the registry says, or is gone.
    fn uploads(&mut self, ledger: &mut Ledger) -> Result<()> {
        for upload in std::mem::take(&mut ledger.uploads) {
            let key: Key = (upload.repository.clone(), digest(&upload.content));
            let location = &upload.location;
            let reply = self.get(location)?;
            let end = match reply.status {
                204 => reply
                    .header("range")
                    .and_then(|range| range.split('-').nth(1)?.parse().ok()),
                404 => None,
                _ => {
                    self.wrong
                        .push(format!("GET {location} is answered with {}", reply.shown()));
                    continue;
                }
            };
            let Some(end) = end else {
                if self.past == Past::Killed && upload.fate == Fate::Present {
                    self.wrong.push(format!("the upload {location} is gone"));
                }
                continue;
            };
            if upload.fate == Fate::Absent {
                self.wrong.push(format!("ended, but back: {location}"));
                continue;
            }
            self.resume(ledger, &upload, &key, end)?;
        }
        Ok(())
    }

    /// Sends what is missing behind byte `end`.
    fn resume(&mut self, ledger: &mut Ledger, upload: &Upload, key: &Key, end: usize) -> Result<()> {
        let location = &upload.location;
        if end >= upload.sent || (self.past == Past::Killed && end + 1 < upload.acknowledged) {
            self.wrong.push(format!(
                "the upload {location} is at byte {end}, but {} were acknowledged and {} sent",
                upload.acknowledged, upload.sent
            ));
            return Ok(());
        }
        ledger.doubt_blob(key, &upload.content);
        // No byte and one byte are told with the same words.
        let starts = if end == 0 { vec![0, 1] } else { vec![end + 1] };
        let mut status = 416;
        for start in starts.into_iter().filter(|start| *start <= upload.content.len()) {
            if status != 416 {
                break;
            }
            let range = format!("{start}-{}", upload.content.len().saturating_sub(1).max(start));
            let headers = [("Content-Range", range.as_str())];
            let headers = if start == upload.content.len() {
                &[][..]
            } else {
                &headers[..]
            };
            let put = format!("{location}?digest={}", key.1);
            status = self
                .connection
                .ask("PUT", &put, headers, &upload.content[start..])?
                .status;
        }
        match (status, self.past) {
            (201, _) => ledger.settle_blob(key, Fate::Present),
            // A disk that lost power may give back other bytes than were written and not synced.
            (400, Past::Cut) => {}
            _ => self
                .wrong
                .push(format!("the upload {location} does not go on: {status}")),
        }
        Ok(())
    }
}

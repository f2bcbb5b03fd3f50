//! What clients do. Each first notes what is in doubt, then asks, then notes what it was told.

use std::sync::Arc;

use rand::Rng;
use rand::seq::IndexedRandom;

use super::{Client, Mood, Outcome, REPOSITORIES, Stop, content};
use crate::http::{Connection, Reply};
use crate::ledger::{Fate, Key, Upload, digest};

/// A client's turn.
pub(super) struct Asking<'a> {
    pub(super) connection: Connection,
    pub(super) outcome: &'a mut Outcome,
    pub(super) mood: Mood,
}

impl Asking<'_> {
    /// Asks, and expects one of these statuses.
    fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        expected: &[u16],
    ) -> Result<Reply, Stop> {
        let reply = self
            .connection
            .ask(method, path, headers, body)
            .map_err(|_| Stop::Gone)?;
        if expected.contains(&reply.status) {
            Ok(reply)
        } else if self.mood == Mood::Patient && matches!(reply.status, 500 | 503 | 507) {
            *self.outcome.trouble.entry(reply.status).or_default() += 1;
            Err(Stop::Trouble)
        } else {
            Err(Stop::Wrong(format!(
                "{method} {path} was answered with {}, expected {expected:?}",
                reply.shown()
            )))
        }
    }
}

/// A header that must be there.
fn header<'a>(reply: &'a Reply, name: &str) -> Result<&'a str, Stop> {
    let value = reply.header(name);
    value.ok_or_else(|| Stop::Wrong(format!("there is no `{name}` in the answer {}", reply.shown())))
}

/// A path with one more parameter.
fn with(location: &str, parameter: &str) -> String {
    let mark = if location.contains('?') { '&' } else { '?' };
    format!("{location}{mark}{parameter}")
}

impl Client {
    /// Pushes a blob that others push too, unless it is there: as clients do, this one asks first and believes the answer.
    pub(super) fn push_shared(&mut self, asking: &mut Asking<'_>, repository: &str) -> Result<(), Stop> {
        let content = content::shared(&mut self.random);
        let key = (repository.to_owned(), digest(&content));
        self.ledger.doubt_blob(&key, &content);
        self.push_unless_there(asking, &key, &content)
    }

    fn push_unless_there(&mut self, asking: &mut Asking<'_>, key: &Key, content: &Arc<[u8]>) -> Result<(), Stop> {
        let path = format!("/v2/{}/blobs/{}", key.0, key.1);
        if asking.ask("HEAD", &path, &[], &[], &[200, 404])?.status == 200 {
            return self.push_manifest_of(asking, &key.0, std::slice::from_ref(&key.1));
        }
        self.push_blob(asking, key, content)
    }

    /// A blob of which nobody has told this client whether it is there.
    pub(super) fn doubtful_blob(&mut self) -> Option<Key> {
        let name = self.name.clone();
        Self::pick(&mut self.random, &self.ledger.blobs, |_, blob| {
            blob.fate == Fate::Doubt && !blob.content.starts_with(name.as_bytes())
        })
    }

    /// Goes on with an image of which one blob was interrupted: asks whether it is there.
    pub(super) fn push_again(&mut self, asking: &mut Asking<'_>, key: &Key) -> Result<(), Stop> {
        let content = self.ledger.blobs[key].content.clone();
        self.push_unless_there(asking, key, &content)
    }

    /// Pushes a blob that nobody else has and no manifest will refer to.
    pub(super) fn push_own(&mut self, asking: &mut Asking<'_>, repository: &str) -> Result<(), Stop> {
        let content = self.own_content();
        let key = (repository.to_owned(), digest(&content));
        self.ledger.doubt_blob(&key, &content);
        self.push_blob(asking, &key, &content)
    }

    fn own_content(&mut self) -> Arc<[u8]> {
        self.made += 1;
        let name = format!("{}-{}-", self.name, self.made);
        content::own(&mut self.random, &name)
    }

    /// Pushes a blob in one of the ways that there are.
    fn push_blob(&mut self, asking: &mut Asking<'_>, key: &Key, content: &Arc<[u8]>) -> Result<(), Stop> {
        let start = format!("/v2/{}/blobs/uploads/", key.0);
        match self.random.random_range(0..3) {
            0 => {
                asking.ask(
                    "POST",
                    &with(&start, &format!("digest={}", key.1)),
                    &[],
                    content,
                    &[201],
                )?;
            }
            1 => {
                let location = open(asking, &start)?;
                let location = with(&location, &format!("digest={}", key.1));
                asking.ask("PUT", &location, &[], content, &[201])?;
            }
            _ => {
                let mut upload = self.open_upload(asking, &key.0, content)?;
                let middle = self.random.random_range(1..content.len());
                append(asking, &mut upload, middle)?;
                finish(asking, &upload)?;
                if let Some(upload) = self.ledger.uploads.last_mut() {
                    upload.fate = Fate::Absent;
                }
            }
        }
        self.ledger.settle_blob(key, Fate::Present);
        Ok(())
    }

    /// Opens a session, which the ledger then has as its last.
    fn open_upload(&mut self, asking: &mut Asking<'_>, repository: &str, content: &Arc<[u8]>) -> Result<Upload, Stop> {
        let location = open(asking, &format!("/v2/{repository}/blobs/uploads/"))?;
        let upload = Upload {
            repository: repository.to_owned(),
            location,
            content: content.clone(),
            acknowledged: 0,
            sent: content.len(),
            fate: Fate::Doubt,
        };
        self.ledger.uploads.push(upload.clone());
        Ok(upload)
    }

    /// Begins an upload and goes away.
    pub(super) fn leave_upload(&mut self, asking: &mut Asking<'_>, repository: &str) -> Result<(), Stop> {
        let content = self.own_content();
        let mut upload = self.open_upload(asking, repository, &content)?;
        let middle = self.random.random_range(2..content.len());
        upload.sent = middle;
        let acknowledged = append(asking, &mut upload, middle);
        if acknowledged.is_ok() {
            upload.fate = Fate::Present;
        }
        self.ledger.uploads.pop();
        self.ledger.uploads.push(upload);
        acknowledged
    }

    /// Goes on with an upload that was left.
    pub(super) fn resume_upload(&mut self, asking: &mut Asking<'_>) -> Result<(), Stop> {
        let Some(at) = self.left_upload() else {
            return self.leave_upload(asking, REPOSITORIES[0]);
        };
        let upload = &mut self.ledger.uploads[at];
        upload.fate = Fate::Doubt;
        upload.sent = upload.content.len();
        let upload = upload.clone();
        let key = (upload.repository.clone(), digest(&upload.content));
        self.ledger.doubt_blob(&key, &upload.content);
        finish(asking, &upload)?;
        self.ledger.uploads[at].fate = Fate::Absent;
        self.ledger.settle_blob(&key, Fate::Present);
        Ok(())
    }

    /// Ends an upload that was left.
    pub(super) fn cancel_upload(&mut self, asking: &mut Asking<'_>) -> Result<(), Stop> {
        let Some(at) = self.left_upload() else {
            return self.leave_upload(asking, REPOSITORIES[0]);
        };
        self.ledger.uploads[at].fate = Fate::Doubt;
        let location = self.ledger.uploads[at].location.clone();
        asking.ask("DELETE", &location, &[], &[], &[204])?;
        self.ledger.acknowledged += 1;
        self.ledger.uploads[at].fate = Fate::Absent;
        Ok(())
    }

    fn left_upload(&mut self) -> Option<usize> {
        let left = self.ledger.uploads.iter().enumerate();
        let left: Vec<usize> = left
            .filter(|(_, upload)| upload.fate == Fate::Present)
            .map(|(at, _)| at)
            .collect();
        left.choose(&mut self.random).copied()
    }

    /// Deletes a blob that no manifest refers to.
    pub(super) fn delete_blob(&mut self, asking: &mut Asking<'_>) -> Result<(), Stop> {
        let name = self.name.clone();
        let own = Self::pick(&mut self.random, &self.ledger.blobs, |_, blob| {
            blob.fate == Fate::Present && blob.content.starts_with(name.as_bytes())
        });
        let Some(key) = own else {
            return self.push_own(asking, REPOSITORIES[0]);
        };
        self.ledger.doubt_blob_deletion(&key);
        asking.ask("DELETE", &format!("/v2/{}/blobs/{}", key.0, key.1), &[], &[], &[202])?;
        self.ledger.settle_blob(&key, Fate::Absent);
        Ok(())
    }

    /// Takes a blob over from another repository, and sends it where the registry wants that.
    pub(super) fn mount(&mut self, asking: &mut Asking<'_>, repository: &str) -> Result<(), Stop> {
        let known = Self::pick(&mut self.random, &self.ledger.blobs, |key, blob| {
            blob.fate == Fate::Present && key.0 != repository
        });
        let Some((from, digest)) = known else {
            return self.push_own(asking, repository);
        };
        let content = self.ledger.blobs[&(from.clone(), digest.clone())].content.clone();
        let key = (repository.to_owned(), digest);
        self.ledger.doubt_blob(&key, &content);
        let path = format!("/v2/{repository}/blobs/uploads/?mount={}&from={from}", key.1);
        let reply = asking.ask("POST", &path, &[], &[], &[201, 202])?;
        if reply.status == 202 {
            let location = with(header(&reply, "location")?, &format!("digest={}", key.1));
            asking.ask("PUT", &location, &[], &content, &[201])?;
        }
        self.ledger.settle_blob(&key, Fate::Present);
        Ok(())
    }

    /// Pushes a manifest of blobs that are there.
    pub(super) fn push_manifest(&mut self, asking: &mut Asking<'_>, repository: &str) -> Result<(), Stop> {
        let name = self.name.clone();
        let known = self.ledger.blobs.iter().filter(|((place, _), blob)| {
            place == repository && blob.fate == Fate::Present && !blob.content.starts_with(name.as_bytes())
        });
        let known: Vec<String> = known.map(|((_, digest), _)| digest.clone()).collect();
        let wanted = self.random.random_range(1..4);
        let blobs: Vec<String> = known.choose_multiple(&mut self.random, wanted).cloned().collect();
        if blobs.is_empty() {
            return self.push_shared(asking, repository);
        }
        self.push_manifest_of(asking, repository, &blobs)
    }

    fn push_manifest_of(&mut self, asking: &mut Asking<'_>, repository: &str, blobs: &[String]) -> Result<(), Stop> {
        self.made += 1;
        let described: Vec<(String, usize)> = blobs
            .iter()
            .map(|digest| {
                let blob = &self.ledger.blobs[&(repository.to_owned(), digest.clone())];
                (digest.clone(), blob.content.len())
            })
            .collect();
        let content = content::manifest(&format!("{}-{}", self.name, self.made), &described);
        let key = (repository.to_owned(), digest(&content));
        let tag = self.random.random_bool(0.7).then(|| self.tag());
        self.ledger.doubt_manifest(&key, &content, blobs, tag.as_deref());
        self.put_manifest(asking, &key, &content, tag.as_deref())
    }

    /// Points a tag at a manifest that is there.
    pub(super) fn move_tag(&mut self, asking: &mut Asking<'_>) -> Result<(), Stop> {
        let Some(key) = self.present_manifest() else {
            return self.push_manifest(asking, REPOSITORIES[1]);
        };
        let manifest = self.ledger.manifests[&key].clone();
        let tag = self.tag();
        self.ledger
            .doubt_manifest(&key, &manifest.content, &manifest.blobs, Some(&tag));
        self.put_manifest(asking, &key, &manifest.content, Some(&tag))
    }

    fn put_manifest(
        &mut self,
        asking: &mut Asking<'_>,
        key: &Key,
        content: &Arc<[u8]>,
        tag: Option<&str>,
    ) -> Result<(), Stop> {
        let reference = tag.unwrap_or(&key.1);
        let path = format!("/v2/{}/manifests/{reference}", key.0);
        asking.ask("PUT", &path, &[("Content-Type", content::MANIFEST)], content, &[201])?;
        self.ledger.settle_manifest(key, tag);
        Ok(())
    }

    fn tag(&mut self) -> String {
        format!("{}-v{}", self.name, self.random.random_range(0..3))
    }

    /// Deletes a tag that is there.
    pub(super) fn delete_tag(&mut self, asking: &mut Asking<'_>) -> Result<(), Stop> {
        let there = Self::pick(&mut self.random, &self.ledger.tags, |_, allowed| {
            !allowed.contains(&None)
        });
        let Some((repository, tag)) = there else {
            return self.push_manifest(asking, REPOSITORIES[2]);
        };
        self.ledger.doubt_tag(&repository, &tag);
        asking.ask("DELETE", &format!("/v2/{repository}/manifests/{tag}"), &[], &[], &[202])?;
        self.ledger.settle_tag(&repository, &tag);
        Ok(())
    }

    /// Deletes a manifest that is there, and its tags with it.
    pub(super) fn delete_manifest(&mut self, asking: &mut Asking<'_>) -> Result<(), Stop> {
        let Some(key) = self.present_manifest() else {
            return self.push_manifest(asking, REPOSITORIES[0]);
        };
        self.ledger.doubt_deletion(&key);
        asking.ask(
            "DELETE",
            &format!("/v2/{}/manifests/{}", key.0, key.1),
            &[],
            &[],
            &[202],
        )?;
        self.ledger.settle_deletion(&key);
        Ok(())
    }

    /// Reads a manifest, and the blobs of it.
    pub(super) fn read(&mut self, asking: &mut Asking<'_>) -> Result<(), Stop> {
        let Some(key) = self.present_manifest() else {
            return self.push_manifest(asking, REPOSITORIES[1]);
        };
        let manifest = self.ledger.manifests[&key].clone();
        let mut wanted = vec![(format!("/v2/{}/manifests/{}", key.0, key.1), manifest.content)];
        for digest in manifest.blobs {
            let blob = &self.ledger.blobs[&(key.0.clone(), digest.clone())];
            wanted.push((format!("/v2/{}/blobs/{digest}", key.0), blob.content.clone()));
        }
        for (path, content) in wanted {
            let reply = asking.ask("GET", &path, &[], &[], &[200])?;
            if reply.body != *content {
                return Err(Stop::Wrong(format!("GET {path} has other bytes than were pushed")));
            }
        }
        Ok(())
    }
}

fn open(asking: &mut Asking<'_>, start: &str) -> Result<String, Stop> {
    let reply = asking.ask("POST", start, &[], &[], &[202])?;
    Ok(header(&reply, "location")?.to_owned())
}

/// Appends up to byte `end`.
fn append(asking: &mut Asking<'_>, upload: &mut Upload, end: usize) -> Result<(), Stop> {
    let start = upload.acknowledged;
    let range = format!("{start}-{}", end - 1);
    let chunk = &upload.content[start..end];
    let reply = asking.ask("PATCH", &upload.location, &[("Content-Range", &range)], chunk, &[202])?;
    header(&reply, "location")?.clone_into(&mut upload.location);
    upload.acknowledged = end;
    Ok(())
}

/// Sends the rest.
fn finish(asking: &mut Asking<'_>, upload: &Upload) -> Result<(), Stop> {
    let start = upload.acknowledged;
    let range = format!("{start}-{}", upload.content.len() - 1);
    let location = with(&upload.location, &format!("digest={}", digest(&upload.content)));
    let rest = &upload.content[start..];
    asking
        .ask("PUT", &location, &[("Content-Range", &range)], rest, &[201])
        .map(drop)
}

//! [`Step`]: one kind of operation on one kind of path, the unit in which faults are planned and counted.

use std::fmt;

/// What is done to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A file is made.
    Create,
    /// Bytes are written to a file.
    Write,
    /// Bytes are read from a file.
    Read,
    /// A file is cut off, or lengthened.
    Truncate,
    /// A file or directory is synced.
    Sync,
    /// A name is moved; the path is the new one.
    Rename,
    /// A file's name is taken away.
    Unlink,
    /// A directory is made.
    Mkdir,
    /// A directory is taken away.
    Rmdir,
}

impl Operation {
    /// Whether it changes what is seen.
    pub fn is_change(self) -> bool {
        !matches!(self, Self::Read | Self::Sync)
    }
}

/// An operation on a path, with everything replaced that differs between two pushes of the same kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// What is done.
    pub operation: Operation,
    /// To what: `docker/registry/v2/blobs/sha256/<aa>/<hex>/data`.
    pub place: String,
}

impl Step {
    /// Names what is done to a path below the mount point.
    pub(super) fn new(operation: Operation, path: &str) -> Self {
        Self {
            operation,
            place: place(path),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = format!("{:?}", self.operation).to_lowercase();
        write!(f, "{operation} {}", self.place)
    }
}

/// The path with digests, names, tags and identifiers replaced by what they are. What is not known stays, so that a new kind
/// of file makes a new kind of step.
fn place(path: &str) -> String {
    let mut shown: Vec<&str> = Vec::new();
    let mut is_name = false;
    for part in path.split('/') {
        let before = shown.last().copied().unwrap_or_default();
        if part.starts_with('_') {
            is_name = false;
        }
        let kind = if is_name {
            "<name>"
        } else if before == "tags" {
            "<tag>"
        } else if before == "quarantine" {
            "<time>"
        } else if is_hex(part, 64) || is_hex(part, 128) {
            "<hex>"
        } else if is_hex(part, 2) {
            "<aa>"
        } else if part.len() == 36 && part.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()) {
            "<id>"
        } else {
            part
        };
        if part == "repositories" {
            is_name = true;
        }
        shown.push(kind);
    }
    shown.join("/")
}

fn is_hex(part: &str, length: usize) -> bool {
    part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_paths_of_one_kind_have_one_name() {
        let hex = "0123456789abcdef".repeat(4);
        for (path, shown) in [
            (String::new(), ""),
            (
                format!("d/docker/registry/v2/blobs/sha256/01/{hex}/data"),
                "d/docker/registry/v2/blobs/sha256/<aa>/<hex>/data",
            ),
            (
                "d/docker/registry/v2/repositories/team/app/_manifests/tags/v1/current/link".into(),
                "d/docker/registry/v2/repositories/<name>/<name>/_manifests/tags/<tag>/current/link",
            ),
            (
                "repositories/a/_uploads/5b4f2e0c-5d0b-4d5e-9b57-7f2b1f0c9a11/data".into(),
                "repositories/<name>/_uploads/<id>/data",
            ),
            (
                "d/wharfinger/quarantine/20260131T120000.123456Z/docker".into(),
                "d/wharfinger/quarantine/<time>/docker",
            ),
            ("d/wharfinger/lock".into(), "d/wharfinger/lock"),
        ] {
            assert_eq!(place(&path), shown);
        }
    }
}

//! What is mounted, and taking it away.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::mount::UnmountFlags;

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    /// For example `ext4` or `cgroup2`.
    pub(crate) kind: String,
}

/// Everything that is mounted, in the order in which it was.
pub(crate) fn all() -> Result<Vec<Mount>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("cannot read the list of mounts")?;
    Ok(text.lines().filter_map(parse).collect())
}

/// What is mounted at `folder` or below it.
pub(crate) fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(all()?
        .into_iter()
        .map(|mount| mount.point)
        .filter(|point| point.starts_with(folder))
        .collect())
}

/// Unmounts everything at `folder` and below it.
pub(crate) fn unmount_below(folder: &Path) -> Result<()> {
    // A mount point can carry several mounts, and one mount can hide others, which show up once it is gone.
    for _ in 0..8 {
        let points = deepest_first(below(folder)?);
        if points.is_empty() {
            return Ok(());
        }
        for point in points {
            // Detached, because a process that is just ending may still hold it.
            let _ = rustix::mount::unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
    }
    bail!("cannot unmount {:?}", below(folder)?)
}

/// Every point before the one that holds it; of several mounts at one point the kernel takes the last away first.
fn deepest_first(mut points: Vec<PathBuf>) -> Vec<PathBuf> {
    points.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    points
}

/// `proc_pid_mountinfo(5)`. Only the fifth field is the mount point: others, such as the options of an overlay, hold paths too.
fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let point = unescape(before.split(' ').nth(4)?);
    Some(Mount {
        point: point.into(),
        kind: after.split(' ').next()?.into(),
    })
}

/// Space, tab, line feed and backslash are written as a backslash and three octal digits.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(code) = code {
            text.push(code.into());
            rest = &after[3..];
        } else {
            text.push('\\');
            rest = after;
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_mount_point_and_not_a_path_among_the_options() {
        let line = "36 35 98:0 /mnt1 /srv/a\\040b rw,noatime master:1 shared:7 - overlay overlay rw,lowerdir=/var/x,upperdir=/var/y";
        assert_eq!(
            parse(line),
            Some(Mount {
                point: "/srv/a b".into(),
                kind: "overlay".into()
            })
        );
    }

    #[test]
    fn reads_a_line_without_optional_fields() {
        let line = "25 1 0:22 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu";
        assert_eq!(
            parse(line),
            Some(Mount {
                point: "/sys/fs/cgroup/cpu".into(),
                kind: "cgroup".into()
            })
        );
    }

    #[test]
    fn unescapes_octal_codes_only() {
        assert_eq!(unescape("a\\134b\\011c\\x"), "a\\b\tc\\x");
    }

    #[test]
    fn what_lies_deeper_is_unmounted_first() {
        let points = ["/a", "/a/b", "/a/b/c", "/a/b"].map(PathBuf::from).to_vec();
        assert_eq!(
            deepest_first(points),
            ["/a/b/c", "/a/b", "/a/b", "/a"].map(PathBuf::from)
        );
    }

    #[test]
    fn a_folder_with_the_same_beginning_is_not_below() {
        assert!(!Path::new("/run/wharf-a2").starts_with("/run/wharf-a"));
        assert!(below(Path::new("/proc")).unwrap().contains(&PathBuf::from("/proc")));
    }
}

//! The file system as the kernel sees it: each request becomes a step, and goes to the disk if the plan lets it.
//!
//! The kernel remembers names and attributes, since nobody changes them but through it, and is told to forget them where
//! that is not so ([`super::Layer::plan`]). It keeps no contents: files are read and written directly. Locks are its own.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    AccessFlags, BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};

use super::disk::{Inode, Refusal};
use super::{Operation, Shared, Step, lock};

/// For how long the kernel remembers: without limit.
const ALWAYS: Duration = Duration::from_hours(24);
/// A disk without limits says that it has this many bytes.
const PLENTY: u64 = 1 << 40;
const BLOCK: u32 = 512;

impl From<Refusal> for Errno {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => Self::ENOENT,
            Refusal::Exists => Self::EEXIST,
            Refusal::NotDirectory => Self::ENOTDIR,
            Refusal::IsDirectory => Self::EISDIR,
            Refusal::NotEmpty => Self::ENOTEMPTY,
            Refusal::Full => Self::ENOSPC,
        }
    }
}

/// Mounts it and serves it from a thread.
pub(super) fn at(path: &Path, shared: Arc<Mutex<Shared>>) -> io::Result<BackgroundSession> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("wharfinger-faults".into()),
        MountOption::NoDev,
        MountOption::NoSuid,
    ];
    fuser::spawn_mount(Mounted { shared }, path, &config)
}

struct Mounted {
    shared: Arc<Mutex<Shared>>,
}

impl Mounted {
    /// Takes a step at a path, if the plan lets it.
    fn step<T>(
        &self,
        operation: Operation,
        path: impl FnOnce(&Shared) -> String,
        take: impl FnOnce(&mut Shared, &Step) -> Result<T, Refusal>,
    ) -> Result<T, Errno> {
        let mut shared = lock(&self.shared);
        let step = Step::new(operation, &path(&shared));
        shared.before(&step)?;
        let taken = take(&mut shared, &step);
        if matches!(taken, Err(Refusal::Full)) {
            shared.record.failed += 1;
        }
        let taken = taken?;
        shared.after(&step)?;
        Ok(taken)
    }

    fn attributes(&self, inode: Inode) -> Result<FileAttr, Errno> {
        attributes(&lock(&self.shared), inode)
    }

    fn sync(&self, inode: INodeNo, reply: ReplyEmpty) {
        answer(
            reply,
            self.step(
                Operation::Sync,
                |shared| shared.disk.path(inode.0),
                |shared, step| shared.sync(step, inode.0),
            ),
        );
    }
}

fn attributes(shared: &Shared, inode: Inode) -> Result<FileAttr, Errno> {
    let is_directory = shared.disk.is_directory(inode)?;
    let mtime = if is_directory {
        UNIX_EPOCH + Duration::from_nanos(shared.disk.changed(inode)?)
    } else {
        // How old a file is matters to nobody here, as long as it is not old: uploads that are end.
        SystemTime::now()
    };
    let size = if is_directory {
        0
    } else {
        shared.disk.bytes(inode)?.len() as u64
    };
    Ok(FileAttr {
        ino: INodeNo(inode),
        size,
        blocks: size.div_ceil(u64::from(BLOCK)),
        atime: UNIX_EPOCH,
        mtime,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: if is_directory {
            FileType::Directory
        } else {
            FileType::RegularFile
        },
        perm: if is_directory { 0o755 } else { 0o644 },
        nlink: 1,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

fn answer(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn below(shared: &Shared, parent: INodeNo, name: &str) -> String {
    let parent = shared.disk.path(parent.0);
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}/{name}")
    }
}

/// Names that are no UTF-8 are nobody's here.
fn text(name: &OsStr) -> &str {
    name.to_str().unwrap_or("?")
}

/// Offsets and lengths fit: everything is in memory.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let shared = lock(&self.shared);
        let found = shared.disk.lookup(parent.0, text(name)).map_err(Errno::from);
        match found.and_then(|inode| attributes(&shared, inode)) {
            Ok(attributes) => reply.entry(&ALWAYS, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode.0) {
            Ok(attributes) => reply.attr(&ALWAYS, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        length: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let done = length.map_or(Ok(()), |length| {
            self.step(
                Operation::Truncate,
                |shared| shared.disk.path(inode.0),
                |shared, _| shared.disk.truncate(inode.0, size(length)),
            )
        });
        match done.and_then(|()| self.attributes(inode.0)) {
            Ok(attributes) => reply.attr(&ALWAYS, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        let name = text(name);
        let made = self.step(
            Operation::Mkdir,
            |shared| below(shared, parent, name),
            |shared, _| shared.disk.make_directory(parent.0, name),
        );
        match made.and_then(|inode| self.attributes(inode)) {
            Ok(attributes) => reply.entry(&ALWAYS, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let name = text(name);
        let made = self.step(
            Operation::Create,
            |shared| below(shared, parent, name),
            |shared, _| shared.disk.create(parent.0, name),
        );
        match made.and_then(|inode| self.attributes(inode)) {
            Ok(attributes) => reply.created(
                &ALWAYS,
                &attributes,
                Generation(0),
                FileHandle(0),
                FopenFlags::FOPEN_DIRECT_IO,
            ),
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = text(name);
        answer(
            reply,
            self.step(
                Operation::Unlink,
                |shared| below(shared, parent, name),
                |shared, _| shared.disk.unlink(parent.0, name),
            ),
        );
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = text(name);
        answer(
            reply,
            self.step(
                Operation::Rmdir,
                |shared| below(shared, parent, name),
                |shared, _| shared.disk.remove_directory(parent.0, name),
            ),
        );
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (name, new_name) = (text(name), text(new_name));
        answer(
            reply,
            self.step(
                Operation::Rename,
                |shared| below(shared, new_parent, new_name),
                |shared, _| shared.disk.rename(parent.0, name, new_parent.0, new_name),
            ),
        );
    }

    fn open(&self, _: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let shared = lock(&self.shared);
        let is_reading = matches!(flags.acc_mode(), OpenAccMode::O_RDONLY);
        if let Err(refusal) = shared.disk.bytes(inode.0) {
            reply.error(refusal.into());
        } else if shared.faults.read_only && !is_reading {
            reply.error(Errno::EROFS);
        } else {
            reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u32,
        _flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.step(
            Operation::Read,
            |shared| shared.disk.path(inode.0),
            |shared, _| {
                let bytes = shared.disk.bytes(inode.0)?;
                let start = size(offset).min(bytes.len());
                let end = (start + length as usize).min(bytes.len());
                Ok(bytes[start..end].to_vec())
            },
        );
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.step(
            Operation::Write,
            |shared| shared.disk.path(inode.0),
            |shared, _| shared.disk.write(inode.0, size(offset), data),
        );
        match written {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.sync(inode, reply);
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.sync(inode, reply);
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let shared = lock(&self.shared);
        let entries = match shared.disk.entries(inode.0) {
            Ok(entries) => entries,
            Err(refusal) => return reply.error(refusal.into()),
        };
        for (index, (name, child)) in entries.iter().enumerate().skip(size(offset)) {
            let is_directory = shared.disk.is_directory(*child).unwrap_or_default();
            let kind = if is_directory {
                FileType::Directory
            } else {
                FileType::RegularFile
            };
            if reply.add(INodeNo(*child), index as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let shared = lock(&self.shared);
        let total = shared.disk.capacity.unwrap_or(PLENTY) / u64::from(BLOCK);
        let free = total.saturating_sub(shared.disk.used() / u64::from(BLOCK));
        reply.statfs(total, free, free, 1 << 20, 1 << 20, BLOCK, 255, BLOCK);
    }

    fn access(&self, _: &Request, _: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        if mask.contains(AccessFlags::W_OK) && lock(&self.shared).faults.read_only {
            reply.error(Errno::EROFS);
        } else {
            reply.ok();
        }
    }
}

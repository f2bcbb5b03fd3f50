//! [`Disk`]: files and directories in two states, what is seen and what would be left after a power cut.
//!
//! The model is the strictest that POSIX allows. Syncing a file keeps its bytes and nothing else; syncing a directory keeps
//! which names it has and nothing else. A new file needs both, a rename between two directories needs both of them, and the
//! same inode may come back under both names where only one was synced. Any file system that people use keeps more.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use rand::Rng;
use rand::rngs::StdRng;

/// Names an inode. Numbers are never used twice, so that a handle from before a power cut finds nothing.
pub(super) type Inode = u64;

/// The directory that is always there.
pub(super) const ROOT: Inode = 1;

/// How many bytes a name or an inode costs, so that a full disk refuses directories too.
const ENTRY_BYTES: u64 = 512;

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Missing,
    Exists,
    NotDirectory,
    IsDirectory,
    NotEmpty,
    Full,
}

/// What a power cut takes.
#[derive(Debug)]
pub enum Loss {
    /// Everything that was not synced.
    Unsynced,
    /// Of everything that was not synced, each piece with a chance of one half: disks also write by themselves.
    Some(Box<StdRng>),
}

impl Loss {
    fn takes(&mut self) -> bool {
        match self {
            Self::Unsynced => true,
            Self::Some(random) => random.random(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    File { seen: Vec<u8>, kept: Vec<u8> },
    Directory { seen: Names, kept: Names },
}

/// The names in a directory. When they were changed last comes and goes with them, as on every file system that people use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    entries: BTreeMap<String, Inode>,
    changed: u64,
}

/// A disk in memory.
#[derive(Debug)]
pub(super) struct Disk {
    inodes: HashMap<Inode, Content>,
    /// Where each inode was last seen: the directory and the name in it.
    places: HashMap<Inode, (Inode, String)>,
    next: Inode,
    /// When a directory was changed last.
    clock: u64,
    /// Bytes that fit; `None` for as many as there is memory.
    pub(super) capacity: Option<u64>,
}

/// The time now, or a nanosecond after the last one.
fn tick(clock: &mut u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_nanos()).unwrap_or_default();
    *clock = now.max(*clock + 1);
    *clock
}

impl Disk {
    pub(super) fn new() -> Self {
        let root = Content::Directory {
            seen: Names::default(),
            kept: Names::default(),
        };
        Self {
            inodes: HashMap::from([(ROOT, root)]),
            places: HashMap::new(),
            next: ROOT + 1,
            clock: 0,
            capacity: None,
        }
    }

    pub(super) fn lookup(&self, parent: Inode, name: &str) -> Result<Inode, Refusal> {
        self.entries(parent)?.get(name).copied().ok_or(Refusal::Missing)
    }

    pub(super) fn entries(&self, inode: Inode) -> Result<&BTreeMap<String, Inode>, Refusal> {
        self.names(inode).map(|names| &names.entries)
    }

    /// When a directory was changed last, in nanoseconds since 1970; no two changes have the same time.
    pub(super) fn changed(&self, inode: Inode) -> Result<u64, Refusal> {
        self.names(inode).map(|names| names.changed)
    }

    fn names(&self, inode: Inode) -> Result<&Names, Refusal> {
        match self.inodes.get(&inode) {
            Some(Content::Directory { seen, .. }) => Ok(seen),
            Some(Content::File { .. }) => Err(Refusal::NotDirectory),
            None => Err(Refusal::Missing),
        }
    }

    /// The path below the mount point, without a slash in front; empty for the root.
    pub(super) fn path(&self, inode: Inode) -> String {
        let mut names = Vec::new();
        let mut at = inode;
        while let Some((parent, name)) = self.places.get(&at) {
            names.push(name.as_str());
            at = *parent;
        }
        names.reverse();
        names.join("/")
    }

    /// All files with their paths.
    pub(super) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut waiting = vec![(String::new(), ROOT)];
        let mut found = Vec::new();
        while let Some((path, inode)) = waiting.pop() {
            match &self.inodes[&inode] {
                Content::File { seen, .. } => found.push((path, seen.clone())),
                Content::Directory { seen, .. } => {
                    let children = seen.entries.iter();
                    waiting.extend(children.map(|(name, child)| (format!("{path}/{name}"), *child)));
                }
            }
        }
        found
    }

    /// The bytes of a file.
    pub(super) fn bytes(&self, inode: Inode) -> Result<&[u8], Refusal> {
        match self.inodes.get(&inode) {
            Some(Content::File { seen, .. }) => Ok(seen),
            Some(Content::Directory { .. }) => Err(Refusal::IsDirectory),
            None => Err(Refusal::Missing),
        }
    }

    pub(super) fn is_directory(&self, inode: Inode) -> Result<bool, Refusal> {
        let content = self.inodes.get(&inode).ok_or(Refusal::Missing)?;
        Ok(matches!(content, Content::Directory { .. }))
    }

    /// Makes an empty file.
    pub(super) fn create(&mut self, parent: Inode, name: &str) -> Result<Inode, Refusal> {
        let empty = Content::File {
            seen: Vec::new(),
            kept: Vec::new(),
        };
        self.add(parent, name, empty)
    }

    /// Makes an empty directory.
    pub(super) fn make_directory(&mut self, parent: Inode, name: &str) -> Result<Inode, Refusal> {
        let empty = Content::Directory {
            seen: Names::default(),
            kept: Names::default(),
        };
        self.add(parent, name, empty)
    }

    fn add(&mut self, parent: Inode, name: &str, content: Content) -> Result<Inode, Refusal> {
        if self.entries(parent)?.contains_key(name) {
            return Err(Refusal::Exists);
        }
        self.reserve(ENTRY_BYTES)?;
        let inode = self.next;
        self.next += 1;
        self.inodes.insert(inode, content);
        self.places.insert(inode, (parent, name.to_owned()));
        self.entries_mut(parent)?.insert(name.to_owned(), inode);
        Ok(inode)
    }

    pub(super) fn write(&mut self, inode: Inode, offset: usize, data: &[u8]) -> Result<(), Refusal> {
        let length = self.bytes(inode)?.len();
        let end = offset + data.len();
        self.reserve(end.saturating_sub(length) as u64)?;
        let file = self.file_mut(inode)?;
        file.resize(length.max(end), 0);
        file[offset..end].copy_from_slice(data);
        Ok(())
    }

    pub(super) fn truncate(&mut self, inode: Inode, length: usize) -> Result<(), Refusal> {
        let grown = length.saturating_sub(self.bytes(inode)?.len());
        self.reserve(grown as u64)?;
        self.file_mut(inode)?.resize(length, 0);
        Ok(())
    }

    /// Takes a file's name away.
    pub(super) fn unlink(&mut self, parent: Inode, name: &str) -> Result<(), Refusal> {
        if self.is_directory(self.lookup(parent, name)?)? {
            return Err(Refusal::IsDirectory);
        }
        self.entries_mut(parent)?.remove(name);
        Ok(())
    }

    /// Takes an empty directory's name away.
    pub(super) fn remove_directory(&mut self, parent: Inode, name: &str) -> Result<(), Refusal> {
        if !self.entries(self.lookup(parent, name)?)?.is_empty() {
            return Err(Refusal::NotEmpty);
        }
        self.entries_mut(parent)?.remove(name);
        Ok(())
    }

    /// Moves a name, over a file that has it already.
    pub(super) fn rename(
        &mut self,
        parent: Inode,
        name: &str,
        new_parent: Inode,
        new_name: &str,
    ) -> Result<(), Refusal> {
        let inode = self.lookup(parent, name)?;
        match self.lookup(new_parent, new_name) {
            Ok(target) if self.is_directory(target)? => return Err(Refusal::Exists),
            Ok(_) | Err(Refusal::Missing) => {}
            Err(refusal) => return Err(refusal),
        }
        self.entries_mut(parent)?.remove(name);
        self.entries_mut(new_parent)?.insert(new_name.to_owned(), inode);
        self.places.insert(inode, (new_parent, new_name.to_owned()));
        Ok(())
    }

    /// Keeps what a file or a directory holds.
    pub(super) fn sync(&mut self, inode: Inode) -> Result<(), Refusal> {
        match self.inodes.get_mut(&inode).ok_or(Refusal::Missing)? {
            Content::File { seen, kept } => kept.clone_from(seen),
            Content::Directory { seen, kept } => kept.clone_from(seen),
        }
        Ok(())
    }

    /// Keeps everything, as a disk does that has had time.
    pub(super) fn sync_all(&mut self) {
        let all: Vec<Inode> = self.inodes.keys().copied().collect();
        for inode in all {
            let _ = self.sync(inode);
        }
    }

    /// Removes everything, and the limit. No number is used again.
    pub(super) fn wipe(&mut self) {
        *self = Self {
            next: self.next,
            clock: self.clock,
            ..Self::new()
        };
    }

    /// Forgets what `loss` takes. Every inode gets a new number.
    pub(super) fn cut_power(&mut self, mut loss: Loss) {
        let old = std::mem::take(&mut self.inodes);
        self.places.clear();
        let mut numbers = HashMap::from([(ROOT, ROOT)]);
        let mut waiting = vec![ROOT];
        while let Some(inode) = waiting.pop() {
            let new = numbers[&inode];
            let content = match &old[&inode] {
                Content::File { seen, kept } => {
                    let bytes = if seen == kept || loss.takes() { kept } else { seen };
                    Content::File {
                        seen: bytes.clone(),
                        kept: bytes.clone(),
                    }
                }
                Content::Directory { seen, kept } => {
                    let mut names: Vec<&String> = seen.entries.keys().chain(kept.entries.keys()).collect();
                    names.sort_unstable();
                    names.dedup();
                    let mut left = BTreeMap::new();
                    let (mut is_kept, mut is_seen) = (true, true);
                    for name in names {
                        let (was, is) = (kept.entries.get(name), seen.entries.get(name));
                        let stays = if was == is || loss.takes() { was } else { is };
                        is_kept &= stays == was;
                        is_seen &= stays == is;
                        let Some(child) = stays else { continue };
                        let number = *numbers.entry(*child).or_insert_with(|| {
                            waiting.push(*child);
                            self.next += 1;
                            self.next - 1
                        });
                        self.places.insert(number, (new, name.clone()));
                        left.insert(name.clone(), number);
                    }
                    let changed = if is_kept {
                        kept.changed
                    } else if is_seen {
                        seen.changed
                    } else {
                        tick(&mut self.clock)
                    };
                    let left = Names { entries: left, changed };
                    Content::Directory {
                        seen: left.clone(),
                        kept: left,
                    }
                }
            };
            self.inodes.insert(new, content);
        }
    }

    /// How many bytes are in use by what can be reached.
    pub(super) fn used(&self) -> u64 {
        let mut waiting = vec![ROOT];
        let mut used = 0;
        while let Some(inode) = waiting.pop() {
            used += ENTRY_BYTES;
            match &self.inodes[&inode] {
                Content::File { seen, .. } => used += seen.len() as u64,
                Content::Directory { seen, .. } => waiting.extend(seen.entries.values()),
            }
        }
        used
    }

    fn reserve(&self, more: u64) -> Result<(), Refusal> {
        match self.capacity {
            Some(capacity) if more > 0 && self.used() + more > capacity => Err(Refusal::Full),
            Some(_) | None => Ok(()),
        }
    }

    fn entries_mut(&mut self, inode: Inode) -> Result<&mut BTreeMap<String, Inode>, Refusal> {
        match self.inodes.get_mut(&inode) {
            Some(Content::Directory { seen, .. }) => {
                seen.changed = tick(&mut self.clock);
                Ok(&mut seen.entries)
            }
            Some(Content::File { .. }) => Err(Refusal::NotDirectory),
            None => Err(Refusal::Missing),
        }
    }

    fn file_mut(&mut self, inode: Inode) -> Result<&mut Vec<u8>, Refusal> {
        match self.inodes.get_mut(&inode) {
            Some(Content::File { seen, .. }) => Ok(seen),
            Some(Content::Directory { .. }) => Err(Refusal::IsDirectory),
            None => Err(Refusal::Missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn read(disk: &Disk, path: &[&str]) -> Result<Vec<u8>, Refusal> {
        let mut inode = ROOT;
        for name in path {
            inode = disk.lookup(inode, name)?;
        }
        disk.bytes(inode).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_new_file_needs_its_bytes_and_its_name_synced() {
        for (bytes, name, left) in [
            (true, true, Ok(b"x".to_vec())),
            (true, false, Err(Refusal::Missing)),
            (false, true, Ok(Vec::new())),
        ] {
            let mut disk = Disk::new();
            let file = disk.create(ROOT, "f").unwrap();
            disk.write(file, 0, b"x").unwrap();
            for inode in [bytes.then_some(file), name.then_some(ROOT)].into_iter().flatten() {
                disk.sync(inode).unwrap();
            }
            assert_eq!(read(&disk, &["f"]), Ok(b"x".to_vec()));
            disk.cut_power(Loss::Unsynced);
            assert_eq!(read(&disk, &["f"]), left, "{bytes} {name}");
        }
    }

    #[test]
    fn a_rename_needs_both_directories_synced() {
        for (synced, old, new) in [
            ("", true, false),
            ("a", false, false),
            ("b", true, true),
            ("ab", false, true),
        ] {
            let mut disk = Disk::new();
            let a = disk.make_directory(ROOT, "a").unwrap();
            let b = disk.make_directory(ROOT, "b").unwrap();
            disk.create(a, "f").unwrap();
            disk.sync_all();
            disk.rename(a, "f", b, "g").unwrap();
            for (name, inode) in [('a', a), ('b', b)] {
                if synced.contains(name) {
                    disk.sync(inode).unwrap();
                }
            }
            disk.cut_power(Loss::Unsynced);
            assert_eq!(read(&disk, &["a", "f"]).is_ok(), old, "{synced}");
            assert_eq!(read(&disk, &["b", "g"]).is_ok(), new, "{synced}");
        }
    }

    #[test]
    fn a_disk_that_writes_by_itself_keeps_some() {
        let mut disk = Disk::new();
        for index in 0..100 {
            disk.create(ROOT, &index.to_string()).unwrap();
        }
        disk.cut_power(Loss::Some(Box::new(StdRng::seed_from_u64(1))));
        let left = disk.entries(ROOT).unwrap().len();
        assert!((20..80).contains(&left), "{left}");
    }

    #[test]
    fn a_full_disk_refuses_and_takes_again_what_was_freed() {
        let mut disk = Disk::new();
        let file = disk.create(ROOT, "f").unwrap();
        disk.capacity = Some(disk.used() + ENTRY_BYTES);
        assert_eq!(disk.write(file, 0, &[0; 513]), Err(Refusal::Full));
        disk.write(file, 0, &[0; 512]).unwrap();
        assert_eq!(disk.make_directory(ROOT, "d"), Err(Refusal::Full));
        disk.truncate(file, 0).unwrap();
        disk.make_directory(ROOT, "d").unwrap();
        assert_eq!(disk.truncate(file, 1), Err(Refusal::Full));
    }

    #[test]
    fn names_go_as_posix_says() {
        let mut disk = Disk::new();
        let a = disk.make_directory(ROOT, "a").unwrap();
        disk.create(a, "f").unwrap();
        assert_eq!(disk.remove_directory(ROOT, "a"), Err(Refusal::NotEmpty));
        assert_eq!(disk.unlink(ROOT, "a"), Err(Refusal::IsDirectory));
        assert_eq!(disk.create(ROOT, "a"), Err(Refusal::Exists));
        assert_eq!(disk.rename(ROOT, "x", ROOT, "y"), Err(Refusal::Missing));
        disk.unlink(a, "f").unwrap();
        disk.remove_directory(ROOT, "a").unwrap();
        assert_eq!(disk.lookup(ROOT, "a"), Err(Refusal::Missing));
    }
}

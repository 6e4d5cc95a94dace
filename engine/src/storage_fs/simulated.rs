//! A disk in memory that loses, tears and refuses what a real one may.
//!
//! Everything random comes from one seed, so a run replays exactly. Content is kept twice: as a
//! program sees it, and as it would be found after a power cut; the difference is the list of
//! un-synced changes, any subset of which may survive. Not built: links, permissions, races.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{CrashPoint, FileEntry, StorageFile, StorageFs};

#[cfg(test)]
mod tests;

/// A disk loses or keeps sectors, not bytes; now and then one is torn all the same.
const SECTOR_BYTES: u64 = 512;

/// How often, in one of 1000 calls, each kind of call fails.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Writes: some of the bytes may have been written.
    pub(crate) write: u32,
    /// Syncs of files: some un-synced writes are lost for good, and the next sync succeeds.
    pub(crate) sync: u32,
    /// Syncs of folders: nothing is lost yet.
    pub(crate) sync_dir: u32,
    /// Creating, renaming and removing: nothing has happened.
    pub(crate) name: u32,
    /// Bytes that fit on the disk, if limited.
    pub(crate) disk_bytes: Option<u64>,
}

/// The simulated disk; clones are the same disk.
#[derive(Debug, Clone)]
pub(crate) struct SimulatedFs {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug)]
struct Disk {
    rng: StdRng,
    faults: Faults,
    dirs: BTreeSet<PathBuf>,
    /// Folders whose own name is durable; without it, what is in them is gone too.
    durable_dirs: BTreeSet<PathBuf>,
    nodes: BTreeMap<u64, Node>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    name_changes: Vec<NameChange>,
    /// Handles of an earlier run of the program are dead.
    run: u64,
    next_node: u64,
    syncs: u64,
    stop: Option<Stop>,
    /// Nothing works any more before the next start.
    stopped: bool,
    on_stop: OnStop,
}

/// When the program is to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// When it has come to this point so many times more.
    At(CrashPoint, u64),
    /// Instead of its n-th change from now on.
    AfterChanges(u64),
}

/// What else has to see the moment of death.
#[derive(Default)]
struct OnStop(Option<Box<dyn FnOnce() + Send>>);

impl fmt::Debug for OnStop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OnStop")
    }
}

#[derive(Debug, Default, Clone)]
struct Node {
    content: Vec<u8>,
    durable: Vec<u8>,
    writes: Vec<Write>,
}

#[derive(Debug, Clone)]
struct Write {
    offset: u64,
    bytes: Vec<u8>,
    /// Only sets the length.
    extend_to: u64,
}

#[derive(Debug, Clone)]
enum NameChange {
    Add {
        path: PathBuf,
        node: u64,
    },
    Remove {
        path: PathBuf,
        node: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        node: u64,
    },
}

impl SimulatedFs {
    /// An empty disk.
    pub(crate) fn new(seed: u64) -> Self {
        let disk = Disk {
            rng: StdRng::seed_from_u64(seed),
            faults: Faults::default(),
            dirs: BTreeSet::new(),
            durable_dirs: BTreeSet::new(),
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            run: 0,
            next_node: 1,
            syncs: 0,
            stop: None,
            stopped: false,
            on_stop: OnStop::default(),
        };
        Self {
            disk: Arc::new(Mutex::new(disk)),
        }
    }

    /// Sets which calls fail from now on.
    pub(crate) fn set_faults(&self, faults: Faults) {
        self.disk.lock().faults = faults;
    }

    /// Lets the program die at a moment that is still to come; `on_stop` runs in that moment.
    pub(crate) fn stop_at(&self, stop: Stop, on_stop: Box<dyn FnOnce() + Send>) {
        let mut disk = self.disk.lock();
        disk.stop = Some(stop);
        disk.on_stop = OnStop(Some(on_stop));
    }

    /// Whether that moment has come.
    pub(crate) fn is_stopped(&self) -> bool {
        self.disk.lock().stopped
    }

    /// Kills the program: open files are gone, all that was written is still there.
    pub(crate) fn kill(&self) {
        self.disk.lock().end_run();
    }

    /// Cuts the power: of what was not synced, any subset survives.
    pub(crate) fn crash(&self) {
        let mut disk = self.disk.lock();
        disk.end_run();
        // Sometimes nearly all or nearly nothing survives: both are frequent in reality.
        let survival = [0.0, 0.1, 0.5, 0.9, 1.0][disk.rng.random_range(0..5)];
        let Disk { rng, nodes, .. } = &mut *disk;
        for node in nodes.values_mut() {
            node.lose(rng, survival);
            node.content.clone_from(&node.durable);
        }
        let changes = std::mem::take(&mut disk.name_changes);
        for change in changes {
            if disk.rng.random_bool(survival) {
                change.apply(&mut disk.durable_names);
            }
        }
        disk.lose_dirs(survival);
        disk.names = disk.durable_names.clone();
    }

    /// Content of a file, to look at or to compare.
    pub(crate) fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.disk.lock();
        Some(disk.nodes[disk.names.get(path)?].content.clone())
    }

    /// Replaces a file's content durably, as rot or a restored copy would.
    pub(crate) fn overwrite(&self, path: &Path, content: Vec<u8>) {
        let mut disk = self.disk.lock();
        let node = disk.names.get(path).copied().unwrap_or(disk.next_node);
        disk.next_node = disk.next_node.max(node + 1);
        disk.names.insert(path.into(), node);
        disk.durable_names.insert(path.into(), node);
        disk.nodes.insert(
            node,
            Node {
                durable: content.clone(),
                content,
                writes: Vec::new(),
            },
        );
    }

    /// Removes a file durably, as an operator would.
    pub(crate) fn erase(&self, path: &Path) {
        let mut disk = self.disk.lock();
        disk.names.remove(path);
        disk.durable_names.remove(path);
    }

    /// A copy of the disk that goes its own way, with its own randomness.
    pub(crate) fn fork(&self, seed: u64) -> Self {
        let fork = Self::new(seed);
        let disk = self.disk.lock();
        {
            let mut copy = fork.disk.lock();
            copy.dirs = disk.dirs.clone();
            copy.durable_dirs = disk.durable_dirs.clone();
            copy.nodes = disk.nodes.clone();
            copy.names = disk.names.clone();
            copy.durable_names = disk.durable_names.clone();
            copy.name_changes = disk.name_changes.clone();
            copy.next_node = disk.next_node;
        }
        fork
    }

    /// File syncs so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.disk.lock().syncs
    }

    fn handle(&self, node: u64, run: u64) -> Box<dyn StorageFile> {
        Box::new(SimulatedFile {
            fs: self.clone(),
            node,
            run,
        })
    }
}

impl Disk {
    fn end_run(&mut self) {
        self.run += 1;
        self.stop = None;
        self.stopped = false;
        self.on_stop = OnStop::default();
    }

    fn die(&mut self) -> io::Error {
        self.stopped = true;
        if let Some(on_stop) = self.on_stop.0.take() {
            on_stop();
        }
        dead()
    }

    /// Nothing is read or changed by the dead.
    fn check_alive(&self) -> io::Result<()> {
        match self.stopped {
            true => Err(dead()),
            false => Ok(()),
        }
    }

    /// To be asked before every change.
    fn before_change(&mut self) -> io::Result<()> {
        self.check_alive()?;
        match &mut self.stop {
            Some(Stop::AfterChanges(0)) => Err(self.die()),
            Some(Stop::AfterChanges(left)) => {
                *left -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Of a folder that is gone, everything in it is gone.
    fn lose_dirs(&mut self, survival: f64) {
        let mut lost = Vec::new();
        for dir in self.dirs.difference(&self.durable_dirs) {
            // Those below the root stand for mounted disks.
            let mounted = dir.parent().is_none_or(|above| above.parent().is_none());
            if !mounted && !self.rng.random_bool(survival) {
                lost.push(dir.clone());
            }
        }
        let stays = |path: &Path| !lost.iter().any(|dir| path.starts_with(dir));
        self.dirs.retain(|dir| stays(dir));
        self.durable_names.retain(|path, _| stays(path));
        self.durable_dirs.clone_from(&self.dirs);
    }

    fn fails(&mut self, per_mille: u32) -> io::Result<()> {
        if per_mille > 0 && self.rng.random_range(0..1000) < per_mille {
            return Err(io::Error::other("injected fault"));
        }
        Ok(())
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn node_of(&self, path: &Path) -> io::Result<u64> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// How many of the bytes up to `end` a file may grow by.
    fn room(&self, node: u64, end: u64) -> u64 {
        let Some(limit) = self.faults.disk_bytes else {
            return end;
        };
        let used: u64 = self
            .names
            .values()
            .map(|id| self.nodes[id].content.len() as u64)
            .sum();
        let length = self.nodes[&node].content.len() as u64;
        length + limit.saturating_sub(used)
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Add { path, node } => {
                names.insert(path.clone(), *node);
            }
            Self::Remove { path, node } => {
                // If the name's own creation was lost, another file may be there.
                if names.get(path) == Some(node) {
                    names.remove(path);
                }
            }
            Self::Rename { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
        }
    }
}

impl Write {
    fn apply(&self, content: &mut Vec<u8>) {
        let end = (self.offset + self.bytes.len() as u64).max(self.extend_to) as usize;
        if content.len() < end {
            content.resize(end, 0);
        }
        let start = self.offset as usize;
        content[start..start + self.bytes.len()].copy_from_slice(&self.bytes);
    }

    /// The write in pieces that a disk takes or loses one by one.
    fn sectors(&self) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < self.bytes.len() {
            let offset = self.offset + at as u64;
            let room = (SECTOR_BYTES - offset % SECTOR_BYTES) as usize;
            let end = self.bytes.len().min(at + room);
            pieces.push(Self {
                offset,
                bytes: self.bytes[at..end].to_vec(),
                extend_to: 0,
            });
            at = end;
        }
        if self.extend_to > 0 {
            pieces.push(Self {
                offset: 0,
                bytes: Vec::new(),
                extend_to: self.extend_to,
            });
        }
        pieces
    }
}

impl Node {
    fn write(&mut self, write: Write) {
        write.apply(&mut self.content);
        self.writes.push(write);
    }

    /// Settles all un-synced writes: each sector of each either reaches the disk or never will.
    fn lose(&mut self, rng: &mut StdRng, survival: f64) {
        for write in std::mem::take(&mut self.writes) {
            for mut sector in write.sectors() {
                if rng.random_ratio(1, 50) {
                    let torn = rng.random_range(0..=sector.bytes.len());
                    sector.bytes.truncate(torn);
                    sector.apply(&mut self.durable);
                } else if rng.random_bool(survival) {
                    sector.apply(&mut self.durable);
                }
            }
        }
    }
}

impl StorageFs for SimulatedFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut disk = self.disk.lock();
        disk.before_change()?;
        let per_mille = disk.faults.name;
        disk.fails(per_mille)?;
        let node = disk.next_node;
        disk.next_node += 1;
        disk.nodes.insert(node, Node::default());
        disk.change_name(NameChange::Add {
            path: path.into(),
            node,
        });
        Ok(self.handle(node, disk.run))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let taken = self.disk.lock().names.contains_key(path);
        match taken {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => self.create(path),
        }
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.open(path)
    }

    fn is_dir(&self, dir: &Path) -> bool {
        self.disk.lock().dirs.contains(dir)
    }

    fn reached(&self, point: CrashPoint) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.check_alive()?;
        match &mut disk.stop {
            Some(Stop::At(wanted, 0)) if *wanted == point => Err(disk.die()),
            Some(Stop::At(wanted, left)) if *wanted == point => {
                *left -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let disk = self.disk.lock();
        disk.check_alive()?;
        Ok(self.handle(disk.node_of(path)?, disk.run))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FileEntry>> {
        let disk = self.disk.lock();
        disk.check_alive()?;
        let entry = |(path, node): (&PathBuf, &u64)| {
            let name = path.strip_prefix(dir).ok()?.to_str()?.to_owned();
            let bytes = disk.nodes[node].content.len() as u64;
            (!name.contains('/')).then_some(FileEntry { name, bytes })
        };
        Ok(disk.names.iter().filter_map(entry).collect())
    }

    fn find(&self, dir: &Path, suffix: &str) -> io::Result<Vec<PathBuf>> {
        let disk = self.disk.lock();
        disk.check_alive()?;
        let matches = |path: &&PathBuf| {
            path.starts_with(dir) && path.to_str().is_some_and(|path| path.ends_with(suffix))
        };
        Ok(disk.names.keys().filter(matches).cloned().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.before_change()?;
        let per_mille = disk.faults.name;
        disk.fails(per_mille)?;
        let node = disk.node_of(from)?;
        disk.change_name(NameChange::Rename {
            from: from.into(),
            to: to.into(),
            node,
        });
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.before_change()?;
        let per_mille = disk.faults.name;
        disk.fails(per_mille)?;
        let node = disk.node_of(from)?;
        if disk.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.change_name(NameChange::Add {
            path: to.into(),
            node,
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.before_change()?;
        let per_mille = disk.faults.name;
        disk.fails(per_mille)?;
        let node = disk.node_of(path)?;
        disk.change_name(NameChange::Remove {
            path: path.into(),
            node,
        });
        Ok(())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk
            .lock()
            .dirs
            .extend(dir.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.before_change()?;
        let per_mille = disk.faults.sync_dir;
        disk.fails(per_mille)?;
        let in_dir = |change: &NameChange| match change {
            NameChange::Add { path, .. } | NameChange::Remove { path, .. } => {
                path.parent() == Some(dir)
            }
            NameChange::Rename { from, to, .. } => {
                [from, to].iter().any(|p| p.parent() == Some(dir))
            }
        };
        let changes = std::mem::take(&mut disk.name_changes);
        let (durable, rest): (Vec<_>, Vec<_>) = changes.into_iter().partition(in_dir);
        durable
            .iter()
            .for_each(|change| change.apply(&mut disk.durable_names));
        disk.name_changes = rest;
        let Disk {
            dirs, durable_dirs, ..
        } = &mut *disk;
        let below = dirs.iter().filter(|below| below.parent() == Some(dir));
        durable_dirs.extend(below.cloned());
        Ok(())
    }
}

#[derive(Debug)]
struct SimulatedFile {
    fs: SimulatedFs,
    node: u64,
    run: u64,
}

impl SimulatedFile {
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.fs.disk.lock();
        disk.check_alive()?;
        if disk.run == self.run {
            Ok(disk)
        } else {
            Err(io::Error::other("handle of a dead run"))
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the program is dead")
}

fn node(disk: &mut Disk, id: u64) -> &mut Node {
    disk.nodes.get_mut(&id).expect("nodes are never taken away")
}

impl StorageFile for SimulatedFile {
    fn write_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut disk = self.disk()?;
        disk.before_change()?;
        let wanted = bytes.len() as u64;
        let room = disk.room(self.node, offset + wanted).saturating_sub(offset);
        let mut result = Ok(());
        if room < wanted {
            bytes.truncate(room as usize);
            result = Err(io::ErrorKind::StorageFull.into());
        }
        let per_mille = disk.faults.write;
        if let Err(error) = disk.fails(per_mille) {
            let written = disk.rng.random_range(0..=bytes.len());
            bytes.truncate(written);
            result = Err(error);
        }
        if !bytes.is_empty() {
            node(&mut disk, self.node).write(Write {
                offset,
                bytes,
                extend_to: 0,
            });
        }
        result
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let disk = self.disk()?;
        let content = &disk.nodes[&self.node].content;
        let rest = content.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.before_change()?;
        disk.syncs += 1;
        let per_mille = disk.faults.sync;
        let result = disk.fails(per_mille);
        let Disk { rng, nodes, .. } = &mut *disk;
        let node = nodes
            .get_mut(&self.node)
            .expect("nodes are never taken away");
        if result.is_ok() {
            // Not the content: what an earlier failed sync lost stays lost.
            std::mem::take(&mut node.writes)
                .iter()
                .for_each(|w| w.apply(&mut node.durable));
        } else {
            // The pages count as clean now: they are seen until the power is cut, and gone then.
            node.lose(rng, 0.5);
        }
        result
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        if disk.room(self.node, bytes) < bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let write = Write {
            offset: 0,
            bytes: Vec::new(),
            extend_to: bytes,
        };
        node(&mut disk, self.node).write(write);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk()?.nodes[&self.node].content.len() as u64)
    }
}

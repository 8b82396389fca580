//! What a disk has after a power cut: what was synced, and any part of what was written since.

use std::{collections::BTreeMap, fs, path::Path};

use rand::{RngExt as _, rngs::StdRng};

/// Something that a server did to one of its files.
pub(super) struct DiskWrite {
    /// `d` for the database, `l` for its log.
    file: u8,
    action: DiskAction,
    /// Where it ends in the record.
    pub(super) end: u64,
}

enum DiskAction {
    Write { offset: usize, data: Vec<u8> },
    Truncate { length: usize },
    Sync,
}

/// The two files, as the disk has them for certain, and what it may have.
#[derive(Default)]
pub(super) struct DiskState {
    synced: BTreeMap<u8, Vec<u8>>,
    unsynced: BTreeMap<u8, Vec<DiskAction>>,
}

/// Reads the record of `write_log.c`.
pub(super) fn read_record(path: &Path) -> Vec<DiskWrite> {
    let record = fs::read(path).expect("it was written");
    let number = |at: usize| {
        let bytes = record[at..at + 8].try_into().expect("eight bytes");
        usize::try_from(u64::from_ne_bytes(bytes)).expect("a size")
    };
    let mut writes = Vec::new();
    let mut at = 0;
    while at < record.len() {
        let (what, file) = (record[at], record[at + 1]);
        let (offset, length) = (number(at + 2), number(at + 10));
        at += HEADER;
        let action = match what {
            b'W' => {
                let data = record[at..at + length].to_vec();
                at += length;
                DiskAction::Write { offset, data }
            }
            b'T' => DiskAction::Truncate { length: offset },
            _ => DiskAction::Sync,
        };
        let end = at as u64;
        writes.push(DiskWrite { file, action, end });
    }
    writes
}

impl DiskState {
    pub(super) fn take(&mut self, write: DiskWrite) {
        let unsynced = self.unsynced.entry(write.file).or_default();
        if let DiskAction::Sync = write.action {
            let synced = self.synced.entry(write.file).or_default();
            unsynced.drain(..).for_each(|it| it.apply(synced, None));
        } else {
            unsynced.push(write.action);
        }
    }

    /// Makes the files of a disk that lost some of what was not synced, and tore some.
    pub(super) fn cut(&self, rng: &mut StdRng, path: &Path) {
        // From nearly all to nearly nothing.
        let lost = rng.random_range(0.0..=1.0);
        for (suffix, file) in [("", b'd'), ("-wal", b'l')] {
            let mut content = self.synced.get(&file).cloned().unwrap_or_default();
            for action in self.unsynced.get(&file).into_iter().flatten() {
                if rng.random_bool(lost) {
                    continue;
                }
                let torn = rng.random_ratio(1, 4);
                action.apply(&mut content, torn.then(|| rng.random_range(0..=8)));
            }
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            fs::write(name, content).expect("a file");
        }
    }
}

impl DiskAction {
    /// With `sectors`, only so many of a write arrive.
    fn apply(&self, content: &mut Vec<u8>, sectors: Option<usize>) {
        match self {
            Self::Write { offset, data } => {
                let arrives = sectors.map_or(data.len(), |it| data.len().min(it * SECTOR));
                let end = offset + arrives;
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(&data[..arrives]);
            }
            Self::Truncate { length } => content.resize(*length, 0),
            Self::Sync => {}
        }
    }
}

/// Of an entry of the record.
const HEADER: usize = 18;

/// What a disk writes as a whole.
const SECTOR: usize = 512;

//! Digests of files, remembered from one command to the next, as git's index does it.
//!
//! In: the files of a dataset, and the folder in which programs keep what they make. Out: the digest
//! of every file, of which only those are read that are not remembered. The invariants: a digest is
//! remembered together with the file's name and [`Stamp`], and only of a file that had been left alone
//! for [`SETTLED`] before anything was read, since a change within a tick of the file system's clock
//! would not show in the stamp. The file of digests is whole or absent. One that is damaged, of another
//! version or not to be had is as good as absent, so that deleting it is harmless, and nothing fails
//! where it cannot be written.
//!
//! Files of images may be looked at for faults while they are read ([`FileDigests::scanning`]). One that has a fault
//! is not remembered, so that it is looked at again by every command, which then knows its fault.
//!
//! The file of digests, whose format `entries.rs` describes, is also where the digests are while the
//! dataset is in use: it is mapped. Only where there is none are they in memory.

mod entries;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use blake3::Hasher;
use durable::{Digest, Stamp};
use rayon::prelude::*;

use crate::digests::Digests;
use crate::faults::Faults;
use crate::forms::{DatasetFiles, SourceFile};
use crate::{Decoding, Error, Source, digest, name};
use entries::{Entry, EntryWriter, Key, digest_of, entry};

pub(crate) use entries::Entries;

/// The time for which a file must have been left alone. The coarsest clock, that of FAT, ticks every two
/// seconds.
const SETTLED: Duration = Duration::from_secs(2);

/// Files whose digests are found at a time, by all threads.
const CHUNK: usize = 1 << 12;

/// Added to the key of an image's file that was looked at for faults; the number is the version of how that is done.
const SCANNED: &[u8] = b"\0scan 1";

/// Most characters of the dataset's name in the name of its file of digests: four bytes each at most,
/// and most file systems allow 255.
const NAME_LEN: usize = 48;
/// Digits of the digest of the dataset's path in the name of its file of digests.
const DIGITS: usize = 12;

/// The digests of a dataset's files, as far as they are remembered.
#[derive(Debug)]
pub struct FileDigests {
    /// The file of digests; `None` if there is no place for it.
    path: Option<PathBuf>,
    /// Files whose times are after it are not remembered.
    settled: Option<SystemTime>,
    remembered: Arc<Entries>,
    /// How images are decoded, if their files are looked at for faults.
    scan: Option<Decoding>,
    files: usize,
    read: usize,
    faults: Faults,
    /// The errors of files that cannot be read; `None` if the first one ends the reading.
    unreadable: Option<Vec<Error>>,
}

/// The entries of consecutive files.
#[derive(Default)]
struct Found {
    /// The number of the first file.
    first: usize,
    entries: Vec<Entry>,
    /// Files that were read, since they were not remembered.
    read: usize,
    /// The faults of those that are images.
    faults: Faults,
    /// The errors of those that cannot be read.
    unreadable: Vec<Error>,
}

/// A file whose digest is known.
struct Looked {
    entry: Entry,
    was_read: bool,
    /// The reason why it is not a good image; `None` if it may be one.
    fault: Option<String>,
    /// Why the entry has a digest that stands for the file's; `None` if it is the file's.
    unreadable: Option<Error>,
}

/// The end of an attempt to put all digests into the file of digests.
enum Remembered {
    /// They are in it.
    Mapped(Arc<Entries>),
    /// It cannot be written. These are the entries that were found last.
    Unwritten(Found),
}

impl FileDigests {
    /// The folder of the files of digests, in the folder in which a program keeps what it makes.
    pub const FOLDER: &str = ".file-digests";

    /// Those that earlier commands remembered for the dataset under `root`, the folder in which the
    /// program keeps what it makes.
    pub fn under(root: &Path, source: &Source) -> FileDigests {
        FileDigests::remembered_at(path_under(root, source), SystemTime::now())
    }

    /// The same, for a program that leaves the folder as it is: what it reads is not remembered.
    pub fn unchanged_under(root: &Path, source: &Source) -> FileDigests {
        FileDigests { path: None, ..FileDigests::under(root, source) }
    }

    /// None, so that every file is read and remembered anew.
    pub fn anew(root: &Path, source: &Source) -> FileDigests {
        FileDigests { remembered: Arc::default(), ..FileDigests::under(root, source) }
    }

    /// None, and none are remembered.
    pub fn none() -> FileDigests {
        FileDigests::remembered_at(None, SystemTime::now())
    }

    /// Those in the file at `path`. `now` is a moment before the first file is looked at.
    fn remembered_at(path: Option<PathBuf>, now: SystemTime) -> FileDigests {
        let remembered = path.as_deref().and_then(Entries::open).unwrap_or_default();
        let (remembered, settled) = (Arc::new(remembered), now.checked_sub(SETTLED));
        let (scan, faults) = (None, Faults::default());
        let unreadable = None;
        FileDigests { path, settled, remembered, scan, files: 0, read: 0, faults, unreadable }
    }

    /// The same, where the files of images are looked at for faults while they are read: their headers and ends, and
    /// where these are not as they should be, all of them. `decoding` is how they will be decoded.
    #[must_use]
    pub fn scanning(self, decoding: Decoding) -> FileDigests {
        FileDigests { scan: Some(decoding), ..self }
    }

    /// The same, where the reading goes on after a file that cannot be read. Its error is kept, and a digest that no
    /// file has stands for its own, so that no cache is to be made of the dataset. No digest is remembered.
    #[must_use]
    pub fn keeping_errors(self) -> FileDigests {
        FileDigests { path: None, unreadable: Some(Vec::new()), ..self }
    }

    /// Number of remembered digests, of files that may have changed or vanished.
    pub fn remembered(&self) -> usize {
        self.remembered.remembered()
    }

    /// Number of files whose digests were asked for.
    pub fn files(&self) -> usize {
        self.files
    }

    /// Number of those that were read, or looked for and missing.
    pub fn read(&self) -> usize {
        self.read
    }

    /// The faults of the files that are images, as far as they were looked for and found.
    pub fn into_faults(self) -> Faults {
        self.faults
    }

    /// The errors of the files that cannot be read, if [they are kept](FileDigests::keeping_errors).
    pub fn into_unreadable(self) -> Vec<Error> {
        self.unreadable.unwrap_or_default()
    }

    /// The digests of the dataset's files, in their order. All that may be remembered are.
    ///
    /// # Errors
    /// If a file cannot be read, or `stop` becomes true. The digests that are known by then are remembered.
    pub(crate) fn of_files(
        &mut self,
        dataset: &dyn DatasetFiles,
        stop: &AtomicBool,
    ) -> Result<Digests, Error> {
        self.files = dataset.files();
        let Some(path) = self.path.clone() else { return self.hold(dataset, None, stop) };
        match self.remember(&path, dataset, stop)? {
            Remembered::Mapped(entries) => Ok(Digests::Mapped(entries)),
            Remembered::Unwritten(found) => self.hold(dataset, Some(found), stop),
        }
    }

    /// The digests, in memory. Some of them may be known.
    fn hold(
        &mut self,
        dataset: &dyn DatasetFiles,
        mut known: Option<Found>,
        stop: &AtomicBool,
    ) -> Result<Digests, Error> {
        self.read = 0;
        let mut digests = Vec::with_capacity(self.files);
        while digests.len() < self.files {
            let mut found = match known.take_if(|known| known.first == digests.len()) {
                Some(known) => known,
                None => self.find_chunk(digests.len(), dataset, stop)?,
            };
            self.note(&mut found);
            digests.extend(found.entries.iter().map(digest_of));
        }
        Ok(Digests::Held(digests.into()))
    }

    /// Puts the digests into the file of digests, which is replaced unless it has them already.
    fn remember(
        &mut self,
        path: &Path,
        dataset: &dyn DatasetFiles,
        stop: &AtomicBool,
    ) -> Result<Remembered, Error> {
        self.read = 0;
        // The files that are as they were, and what comes after them.
        let (mut same, mut found) = (0, Found::default());
        while same < self.files {
            found = self.find_chunk(same, dataset, stop)?;
            self.note(&mut found);
            if !self.remembered.has_at(same, &found.entries) {
                break;
            }
            same += found.entries.len();
        }
        if same == self.files && same == self.remembered.len() {
            return Ok(Remembered::Mapped(self.remembered.clone()));
        }
        let (mut fault, mut digest) = (None, None);
        let len = (self.files * size_of::<Entry>()) as u64;
        let written = durable::replace_with(path, len, |file| {
            let mut out = EntryWriter::new(file)?;
            out.add(self.remembered.until(same))?;
            let mut done = same;
            while done < self.files {
                out.add(&found.entries)?;
                done += found.entries.len();
                match self.find_chunk(done, dataset, stop) {
                    Ok(next) => found = next,
                    Err(error) => {
                        // Those that are not looked at yet may still be right.
                        out.add(self.remembered.from(done))?;
                        fault = Some(error);
                        break;
                    }
                }
                self.note(&mut found);
            }
            digest = Some(out.finish()?);
            Ok(())
        });
        let _ = written.and_then(|()| durable::remove_leftovers_of(path));
        if let Some(fault) = fault {
            return Err(fault);
        }
        // What is not remembered is read again, which costs time alone.
        let Some(entries) = Entries::open(path) else { return Ok(Remembered::Unwritten(found)) };
        self.remembered = Arc::new(entries);
        // Another command may have put its own file in place of this one.
        if digest.is_none() || self.remembered.digest_of_all() != digest {
            return Ok(Remembered::Unwritten(found));
        }
        Ok(Remembered::Mapped(self.remembered.clone()))
    }

    /// Counts the files that were read, and keeps their faults.
    fn note(&mut self, found: &mut Found) {
        self.read += found.read;
        self.faults.extend(found.faults.clone());
        if let Some(unreadable) = &mut self.unreadable {
            unreadable.append(&mut found.unreadable);
        }
    }

    /// Finds the digests of files from `first` on; none if there are no more.
    ///
    /// # Errors
    /// If a file cannot be read, or `stop` becomes true.
    fn find_chunk(
        &self,
        first: usize,
        dataset: &dyn DatasetFiles,
        stop: &AtomicBool,
    ) -> Result<Found, Error> {
        let files = first..self.files.min(first + CHUNK);
        let find = |index| match stop.load(Ordering::SeqCst) {
            true => Err(Error::Stopped),
            false => self.find(index, &dataset.file(index)),
        };
        let looked: Vec<Result<Looked, Error>> = files.into_par_iter().map(find).collect();
        let mut found = Found { first, ..Found::default() };
        // Of several files that cannot be read, the first one is named, whichever thread was faster.
        for looked in looked {
            let Looked { entry, was_read, fault, unreadable } = looked?;
            found.entries.push(entry);
            found.unreadable.extend(unreadable);
            found.read += usize::from(was_read);
            if let Some(reason) = fault {
                found.faults.insert(digest_of(&entry), reason);
            }
        }
        Ok(found)
    }

    /// Finds the digest of a file.
    fn find(&self, index: usize, file: &SourceFile<'_>) -> Result<Looked, Error> {
        let SourceFile { name, path, is_image, is_missing } = file;
        let absent = |unreadable| {
            let entry = entry(None, digest::of_missing(name));
            Ok(Looked { entry, was_read: true, fault: None, unreadable })
        };
        if *is_missing {
            return absent(None);
        }
        let before = Stamp::of(path);
        let is_settled = |stamp: &Stamp| self.settled.is_some_and(|moment| stamp.is_by(moment));
        let stamp = before.filter(is_settled);
        let scan = self.scan.filter(|_| *is_image);
        // Without a need to look for faults, it does not matter whether somebody did.
        let scanned: &[bool] = match (is_image, scan) {
            (false, _) => &[false],
            (true, Some(_)) => &[true],
            (true, None) => &[true, false],
        };
        for &scanned in scanned {
            let key = stamp.map(|stamp| key(stamp, name, scanned));
            if let Some(digest) = key.and_then(|key| self.remembered.find(key, index)) {
                let entry = entry(key, digest);
                return Ok(Looked { entry, was_read: false, fault: None, unreadable: None });
            }
        }
        let read = match scan {
            Some(decoding) => digest::of_image_file(path, decoding),
            None => digest::of_file(path).map(|digest| (digest, None)),
        };
        let (digest, fault) = match read {
            Err(error) if self.unreadable.is_some() => return absent(Some(error)),
            read => read?,
        };
        // Unless the bytes are those of the file that the first look was at.
        let stamp = stamp.filter(|_| fault.is_none() && Stamp::of(path) == before);
        let key = stamp.map(|stamp| key(stamp, name, scan.is_some()));
        let fault = fault.map(|fault| fault.reason());
        Ok(Looked { entry: entry(key, digest), was_read: true, fault, unreadable: None })
    }
}

/// The path of the dataset's file of digests; `None` if a link leads it out of `root`.
fn path_under(root: &Path, source: &Source) -> Option<PathBuf> {
    let path = std::path::absolute(source.path()).unwrap_or_else(|_| source.path().to_path_buf());
    // Without a separator at the end.
    let path: PathBuf = path.components().collect();
    let digest = Digest::of(name::bytes(path.as_os_str())).prefix(DIGITS);
    let name: String = source.name().chars().take(NAME_LEN).collect();
    durable::inside(root, &format!("{}/{name}-{digest}", FileDigests::FOLDER))
}

fn key(stamp: Stamp, name: &OsStr, scanned: bool) -> Key {
    let mut key = Hasher::new();
    key.update(&stamp.to_bytes()).update(name::bytes(name));
    if scanned {
        key.update(SCANNED);
    }
    *key.finalize().as_bytes().first_chunk().expect("a digest is longer than a key")
}

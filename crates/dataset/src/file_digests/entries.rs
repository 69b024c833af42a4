//! The file of digests: its format, reading and writing.
//!
//! ```text
//! file digests 2\n\0      16 bytes
//! entry, entry, …         48 bytes each, in the order of the dataset's files:
//!                         16 of the key, the start of BLAKE3(stamp, name), or zeros if the digest is not
//!                         remembered for a later command; 32 of the file's digest
//! BLAKE3                  32 bytes, of all before
//! ```
//!
//! Since no name and no count stand in it, there is none to check. For 100,000 files it is 4.8 MB. It is
//! mapped, so that it does not count as this program's memory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::OnceLock;

use blake3::Hasher;
use durable::Digest;
use memmap2::Mmap;

/// Begins the file; the number is the version of its format.
pub(super) const MAGIC: &[u8; 16] = b"file digests 2\n\0";
pub(super) const KEY_LEN: usize = 16;
pub(super) const ENTRY_LEN: usize = KEY_LEN + DIGEST_LEN;
pub(super) const DIGEST_LEN: usize = 32;

/// What tells files apart, and one state of a file from another.
pub(super) type Key = [u8; KEY_LEN];

/// The key of a digest that is not to be remembered.
const NO_KEY: Key = [0; KEY_LEN];

/// An entry: a key and a digest.
pub(super) type Entry = [u8; ENTRY_LEN];

/// The content of a file of digests; no entries if there is none.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    map: Option<Mmap>,
    /// The positions of the entries in the order of their keys, once an entry is looked for that is not where
    /// it is expected.
    by_key: OnceLock<Vec<u32>>,
}

impl Entries {
    /// Those in the file at `path`; `None` if it does not hold any that this version can read.
    pub(super) fn open(path: &Path) -> Option<Entries> {
        // Of a pipe or a device, there would be no end.
        if !fs::metadata(path).ok()?.is_file() {
            return None;
        }
        let file = File::open(path).ok()?;
        #[allow(unsafe_code)]
        // SAFETY: files of digests are replaced by renaming another one and not changed. If another program
        // changes one while it is read, digests are wrong or there is a bus error, as with every memory map.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        is_sound(&map).then(|| Entries { map: Some(map), by_key: OnceLock::new() })
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries().len()
    }

    /// The digest of an entry.
    ///
    /// # Panics
    /// If there are not as many.
    pub(crate) fn digest(&self, index: usize) -> Digest {
        digest_of(&self.entries()[index])
    }

    /// The digest of the whole content, which stands at its end; `None` if there is no content.
    pub(super) fn digest_of_all(&self) -> Option<Digest> {
        let digest: &[u8; DIGEST_LEN] = self.map.as_deref()?.last_chunk()?;
        Some((*digest).into())
    }

    /// Number of entries whose digests are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.entries().iter().filter(|entry| *key_of(entry) != NO_KEY).count()
    }

    /// The digest that is remembered under a key; `None` if there is none. `expected` is the entry that has it
    /// if no file was added or removed.
    pub(super) fn find(&self, key: Key, expected: usize) -> Option<Digest> {
        let entries = self.entries();
        let is_found = |entry: &&Entry| *key_of(entry) == key;
        let found = entries.get(expected).filter(is_found).or_else(|| {
            let by_key = self.by_key.get_or_init(|| sorted_by_key(entries));
            let key_at = |&position: &u32| *key_of(&entries[position as usize]);
            let at = by_key.binary_search_by(|position| key_at(position).cmp(&key)).ok()?;
            Some(&entries[by_key[at] as usize])
        });
        found.map(digest_of)
    }

    /// Whether these are the entries from `first` on.
    pub(super) fn has_at(&self, first: usize, entries: &[Entry]) -> bool {
        self.from(first).starts_with(entries)
    }

    /// The entries up to `end`, excluded.
    pub(super) fn until(&self, end: usize) -> &[Entry] {
        &self.entries()[..end]
    }

    /// The entries from `first` on; none if there are not as many.
    pub(super) fn from(&self, first: usize) -> &[Entry] {
        self.entries().get(first..).unwrap_or_default()
    }

    fn entries(&self) -> &[Entry] {
        let bytes = self.map.as_deref().unwrap_or_default();
        let end = bytes.len().saturating_sub(DIGEST_LEN);
        bytes.get(MAGIC.len()..end).unwrap_or_default().as_chunks().0
    }
}

/// The positions of the entries in the order of their keys. Those after the first 2³² are left out, so the
/// files that they are of are read.
fn sorted_by_key(entries: &[Entry]) -> Vec<u32> {
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let mut positions: Vec<u32> = (0..count).collect();
    positions.sort_unstable_by_key(|&position| key_of(&entries[position as usize]));
    positions
}

/// Whether a file has this format and was not damaged.
pub(super) fn is_sound(bytes: &[u8]) -> bool {
    let Some((content, digest)) = bytes.split_last_chunk::<DIGEST_LEN>() else { return false };
    let Some(entries) = content.strip_prefix(MAGIC) else { return false };
    entries.len().is_multiple_of(ENTRY_LEN) && blake3::hash(content).as_bytes() == digest
}

/// The entry of a digest that is remembered under `key`, or not at all.
pub(super) fn entry(key: Option<Key>, digest: Digest) -> Entry {
    let mut entry = [0; ENTRY_LEN];
    entry[..KEY_LEN].copy_from_slice(&key.unwrap_or(NO_KEY));
    entry[KEY_LEN..].copy_from_slice(digest.as_bytes());
    entry
}

fn key_of(entry: &Entry) -> &Key {
    entry.first_chunk().expect("an entry is longer than a key")
}

pub(super) fn digest_of(entry: &Entry) -> Digest {
    let digest: &[u8; DIGEST_LEN] = entry.last_chunk().expect("an entry is longer than a digest");
    (*digest).into()
}

/// Writes a file of digests.
pub(super) struct EntryWriter<W: Write> {
    out: BufWriter<W>,
    hasher: Hasher,
}

impl<W: Write> EntryWriter<W> {
    /// Bytes written at a time.
    const CHUNK: usize = 1 << 16;

    pub(super) fn new(out: W) -> io::Result<EntryWriter<W>> {
        let out = BufWriter::with_capacity(Self::CHUNK, out);
        let mut writer = EntryWriter { out, hasher: Hasher::new() };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    pub(super) fn add(&mut self, entries: &[Entry]) -> io::Result<()> {
        self.write(entries.as_flattened())
    }

    /// Ends the file. Returns the digest of the whole content.
    pub(super) fn finish(mut self) -> io::Result<Digest> {
        let digest = self.hasher.finalize();
        self.out.write_all(digest.as_bytes())?;
        self.out.flush()?;
        Ok(digest.into())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.out.write_all(bytes)
    }
}

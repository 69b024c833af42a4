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
//! ```text
//! file digests 1\n\0      16 bytes
//! entry, entry, …         48 bytes each, in ascending order of the keys, none twice:
//!                         16 of the key, the start of BLAKE3(stamp, name); 32 of the file's digest
//! BLAKE3                  32 bytes, of all before
//! ```
//!
//! Since no name and no count stand in it, there is none to check. For 100,000 files it is 4.8 MB.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use blake3::Hasher;
use durable::{Digest, Stamp};
use rayon::prelude::*;

use crate::forms::{Form, SourceFile};
use crate::{Error, Source, digest, name};

/// The time for which a file must have been left alone. The coarsest clock, that of FAT, ticks every two
/// seconds.
const SETTLED: Duration = Duration::from_secs(2);

/// Begins the file; the number is the version of its format.
const MAGIC: &[u8; 16] = b"file digests 1\n\0";
const KEY_LEN: usize = 16;
const ENTRY_LEN: usize = KEY_LEN + DIGEST_LEN;
const DIGEST_LEN: usize = 32;

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
    remembered: Entries,
    files: usize,
    read: usize,
}

/// What tells files apart, and one state of a file from another.
type Key = [u8; KEY_LEN];

/// The content of a file of digests; no bytes at all if there is none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entries(Vec<u8>);

/// The digest of a file.
struct Found {
    digest: Digest,
    /// That under which it is remembered; `None` if it is not to be.
    key: Option<Key>,
    /// Whether it was not remembered, so that the file was read.
    was_read: bool,
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
        FileDigests { remembered: Entries::default(), ..FileDigests::under(root, source) }
    }

    /// None, and none are remembered.
    pub fn none() -> FileDigests {
        FileDigests::remembered_at(None, SystemTime::now())
    }

    /// Those in the file at `path`. `now` is a moment before the first file is looked at.
    fn remembered_at(path: Option<PathBuf>, now: SystemTime) -> FileDigests {
        let remembered = path.as_deref().and_then(Entries::read).unwrap_or_default();
        FileDigests { path, settled: now.checked_sub(SETTLED), remembered, files: 0, read: 0 }
    }

    /// The file in which they are remembered; `None` if there is no place for it, since a link leads
    /// out of the program's folder, or none was asked for.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Number of remembered digests, of files that may have changed or vanished.
    pub fn remembered(&self) -> usize {
        self.remembered.entries().len()
    }

    /// Number of files whose digests were asked for.
    pub fn files(&self) -> usize {
        self.files
    }

    /// Number of those that were read.
    pub fn read(&self) -> usize {
        self.read
    }

    /// The digests of the form's files, in their order. All that may be remembered are.
    pub(crate) fn of_files(&mut self, form: &dyn Form) -> Result<Vec<Digest>, Error> {
        let find = |index| self.find(&form.file(index));
        let found: Vec<Found> =
            (0..form.files()).into_par_iter().map(find).collect::<Result<_, Error>>()?;
        self.files = found.len();
        self.read = found.iter().filter(|found| found.was_read).count();
        if let Some(path) = &self.path
            && (self.read > 0 || self.files != self.remembered())
        {
            let entries = Entries::of(&found);
            let is_new = !entries.entries().is_empty() || self.remembered() > 0;
            if is_new && entries != self.remembered {
                // What is not remembered is read again, which costs time alone.
                let written = durable::replace(path, &entries.0);
                let _ = written.and_then(|()| durable::remove_leftovers_of(path));
            }
        }
        Ok(found.into_iter().map(|found| found.digest).collect())
    }

    fn find(&self, SourceFile { name, path }: &SourceFile<'_>) -> Result<Found, Error> {
        let before = Stamp::of(path);
        let is_settled = |stamp: &Stamp| self.settled.is_some_and(|moment| stamp.is_by(moment));
        let key = before.filter(is_settled).map(|stamp| key(stamp, name));
        if let Some(digest) = key.and_then(|key| self.remembered.get(key)) {
            return Ok(Found { digest, key, was_read: false });
        }
        let digest = digest::of_file(path)?;
        // Unless the bytes are those of the file that the first look was at.
        let key = key.filter(|_| Stamp::of(path) == before);
        Ok(Found { digest, key, was_read: true })
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

fn key(stamp: Stamp, name: &OsStr) -> Key {
    let mut key = Hasher::new();
    key.update(&stamp.to_bytes()).update(name::bytes(name));
    *key.finalize().as_bytes().first_chunk().expect("a digest is longer than a key")
}

impl Entries {
    /// Those in the file at `path`; `None` if it does not hold any that this version can read.
    fn read(path: &Path) -> Option<Entries> {
        // Of a pipe or a device, there would be no end.
        if !fs::metadata(path).ok()?.is_file() {
            return None;
        }
        let entries = Entries(fs::read(path).ok()?);
        entries.is_sound().then_some(entries)
    }

    fn is_sound(&self) -> bool {
        let Some((content, digest)) = self.0.split_last_chunk::<DIGEST_LEN>() else { return false };
        let Some(entries) = content.strip_prefix(MAGIC) else { return false };
        blake3::hash(content).as_bytes() == digest
            && entries.len().is_multiple_of(ENTRY_LEN)
            && self.entries().is_sorted_by(|a, b| a[..KEY_LEN] < b[..KEY_LEN])
    }

    /// Those of the digests that are to be remembered.
    fn of(found: &[Found]) -> Entries {
        // Room for what comes before and after them: of millions of files, there is one copy.
        let mut entries: Vec<[u8; ENTRY_LEN]> = Vec::with_capacity(found.len() + 1);
        for Found { digest, key, .. } in found {
            let Some(key) = key else { continue };
            let mut entry = [0; ENTRY_LEN];
            entry[..KEY_LEN].copy_from_slice(key);
            entry[KEY_LEN..].copy_from_slice(digest.as_bytes());
            entries.push(entry);
        }
        entries.sort_unstable();
        // One file under two names that are links to it has two keys; equal keys have equal digests.
        entries.dedup();
        let mut bytes = entries.into_flattened();
        bytes.splice(..0, *MAGIC);
        bytes.extend(blake3::hash(&bytes).as_bytes());
        Entries(bytes)
    }

    fn entries(&self) -> &[[u8; ENTRY_LEN]] {
        let end = self.0.len().saturating_sub(DIGEST_LEN);
        self.0.get(MAGIC.len()..end).unwrap_or_default().as_chunks().0
    }

    fn get(&self, key: Key) -> Option<Digest> {
        let entries = self.entries();
        let at = entries.binary_search_by(|entry| entry[..KEY_LEN].cmp(&key)).ok()?;
        let digest: [u8; DIGEST_LEN] = *entries[at].last_chunk()?;
        Some(blake3::Hash::from_bytes(digest).into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use durable::faults::{Fault, inject};
    use tempfile::TempDir;

    use super::*;

    /// The dataset `photos/`, of two classes with two images each, and beside it the folder `out/`.
    struct Fixture(TempDir);

    impl Fixture {
        fn new() -> Fixture {
            let fixture = Fixture(tempfile::tempdir().unwrap());
            for name in ["cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png"] {
                fixture.write(name, name.as_bytes());
            }
            fixture
        }

        fn image(&self, name: &str) -> PathBuf {
            self.0.path().join("photos").join(name)
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            let path = self.image(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }

        fn out(&self) -> PathBuf {
            self.0.path().join("out")
        }

        fn source(&self) -> Source {
            Source::find(&self.0.path().join("photos")).unwrap()
        }

        fn index(&self) -> PathBuf {
            path_under(&self.out(), &self.source()).unwrap()
        }

        /// Computes the digests as if `now`; the number of files read. The dataset's digest must be
        /// right.
        fn read_at(&self, now: SystemTime) -> usize {
            self.read_with(FileDigests::remembered_at(Some(self.index()), now))
        }

        fn read_with(&self, mut files: FileDigests) -> usize {
            let digest = self.source().digest_with(&mut files).unwrap();
            assert_eq!(digest, self.source().digest().unwrap());
            assert_eq!(files.files(), 4);
            files.read()
        }

        /// The same when all files have been left alone for long.
        fn read(&self) -> usize {
            self.read_at(SystemTime::now() + Duration::from_secs(60))
        }
    }

    /// The clock that changes are stamped with ticks every few milliseconds.
    fn tick() {
        std::thread::sleep(Duration::from_millis(30));
    }

    fn modified(path: &Path) -> SystemTime {
        fs::metadata(path).unwrap().modified().unwrap()
    }

    #[test]
    fn unchanged_files_are_not_read_again() {
        let fixture = Fixture::new();
        assert_eq!([fixture.read(), fixture.read()], [4, 0]);
        let index = Stamp::of(&fixture.index());
        assert_eq!(fixture.read(), 0);
        assert_eq!(Stamp::of(&fixture.index()), index, "nothing changed, so nothing is written");
        // It is safe to delete.
        fs::remove_file(fixture.index()).unwrap();
        assert_eq!([fixture.read(), fixture.read()], [4, 0]);
        fs::remove_dir_all(fixture.out()).unwrap();
        assert_eq!([fixture.read(), fixture.read()], [4, 0]);
    }

    #[test]
    fn whatever_changes_a_file_it_is_read_again() {
        let fixture = Fixture::new();
        let path = fixture.image("cat/1.png");
        let long_ago = SystemTime::now() - Duration::from_secs(1_000_000);
        let same_time = |path: &Path| {
            File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
        };
        same_time(&path);
        let changes: [(&str, &dyn Fn()); 5] = [
            ("another size", &|| fixture.write("cat/1.png", b"larger than it was")),
            ("a byte", &|| fixture.write("cat/1.png", b"cat/9.png")),
            ("a byte, and the time set back", &|| {
                fixture.write("cat/1.png", b"cat/8.png");
                same_time(&path);
            }),
            ("another file of the same size and time in its place", &|| {
                let other = fixture.0.path().join("other");
                fs::write(&other, b"cat/7.png").unwrap();
                same_time(&other);
                fs::rename(&other, &path).unwrap();
            }),
            ("the time alone", &|| {
                File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
            }),
        ];
        assert_eq!(fixture.read(), 4);
        for (change, apply) in changes {
            tick();
            apply();
            assert_eq!([fixture.read(), fixture.read()], [1, 0], "{change}");
        }
    }

    /// A change within the clock's tick gives no other stamp, so the file is not remembered.
    #[test]
    fn files_that_were_just_written_are_not_remembered() {
        let fixture = Fixture::new();
        let names = ["cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png"];
        let latest = names.iter().map(|name| modified(&fixture.image(name))).max().unwrap();
        let before = latest + SETTLED - Duration::from_nanos(1);
        let unsettled = fixture.read_at(before);
        assert_eq!(unsettled, 4);
        let again = fixture.read_at(before);
        assert!((1..=4).contains(&again), "{again} read of those that were written last");
        assert_eq!(fixture.read_at(latest + SETTLED), again);
        assert_eq!(fixture.read_at(latest + SETTLED), 0);
        // One whose time lies ahead never is.
        let ahead = SystemTime::now() + Duration::from_secs(1000);
        File::options()
            .write(true)
            .open(fixture.image("dog/4.png"))
            .unwrap()
            .set_modified(ahead)
            .unwrap();
        assert_eq!([fixture.read(), fixture.read()], [1, 1]);
        let real = FileDigests::under(&fixture.out(), &fixture.source());
        assert_eq!(fixture.read_with(real), 4, "by the system's clock, all were just written");
    }

    #[test]
    fn asked_to_everything_is_read_and_remembered_anew() {
        let fixture = Fixture::new();
        assert_eq!([fixture.read(), fixture.read()], [4, 0]);
        let later = Some(SystemTime::now() + Duration::from_secs(60));
        let anew = || FileDigests {
            settled: later,
            ..FileDigests::anew(&fixture.out(), &fixture.source())
        };
        assert_eq!(
            [fixture.read_with(anew()), fixture.read_with(anew()), fixture.read()],
            [4, 4, 0]
        );
        assert_eq!(fixture.read_with(FileDigests::none()), 4);
        // A program that only reads them neither changes nor makes them.
        let reading = || FileDigests {
            settled: later,
            ..FileDigests::unchanged_under(&fixture.out(), &fixture.source())
        };
        assert_eq!(fixture.read_with(reading()), 0);
        fs::remove_dir_all(fixture.out()).unwrap();
        assert_eq!([fixture.read_with(reading()), fixture.read_with(reading())], [4, 4]);
        assert!(!fixture.out().exists());
    }

    #[test]
    fn vanished_files_are_forgotten() {
        let fixture = Fixture::new();
        fixture.write("dog/5.png", b"five");
        let mut files = FileDigests::remembered_at(
            Some(fixture.index()),
            SystemTime::now() + Duration::from_secs(60),
        );
        fixture.source().digest_with(&mut files).unwrap();
        assert_eq!((files.files(), files.read()), (5, 5));
        let remembered = || FileDigests::under(&fixture.out(), &fixture.source()).remembered();
        assert_eq!(remembered(), 5);
        fs::remove_file(fixture.image("dog/5.png")).unwrap();
        assert_eq!(fixture.read(), 0);
        assert_eq!(remembered(), 4);
        // Under another name, it is another file.
        fs::rename(fixture.image("dog/4.png"), fixture.image("cat/4.png")).unwrap();
        assert_eq!([fixture.read(), fixture.read(), remembered()], [1, 0, 4]);
    }

    #[test]
    fn files_of_many_images_are_remembered_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let images =
            [&b"\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01\x07"[..], b"\0\0\x08\x01\0\0\0\x01\x01"];
        for (name, bytes) in
            ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"].iter().zip(images)
        {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let out = tempfile::tempdir().unwrap();
        let read = || {
            let source = Source::find(folder.path()).unwrap();
            let path = path_under(out.path(), &source);
            let later = SystemTime::now() + Duration::from_secs(60);
            let mut files = FileDigests::remembered_at(path, later);
            source.digest_with(&mut files).unwrap();
            files.read()
        };
        assert_eq!([read(), read()], [2, 0]);
    }

    #[test]
    fn a_file_of_digests_that_is_not_sound_is_as_good_as_absent() {
        let fixture = Fixture::new();
        assert_eq!(fixture.read(), 4);
        let sound = fs::read(fixture.index()).unwrap();
        assert_eq!(sound.len(), 16 + 4 * 48 + 32);
        let mut damaged: Vec<Vec<u8>> = (0..sound.len())
            .flat_map(|at| {
                let mut flipped = sound.clone();
                flipped[at] ^= 0x10;
                [flipped, sound[..at].to_vec()]
            })
            .collect();
        damaged.push([&sound[..], b"\0"].concat());
        damaged.push([&sound[..], &sound].concat());
        // With the digest that belongs to it.
        let signed = |content: &[u8]| [content, blake3::hash(content).as_bytes()].concat();
        let content = &sound[..sound.len() - DIGEST_LEN];
        let entry = &content[MAGIC.len()..][..ENTRY_LEN];
        assert!(Entries(signed(content)).is_sound());
        damaged.push(signed(b""));
        damaged.push(signed(&content[..MAGIC.len() - 1]));
        damaged.push(signed(&[b"file digests 2\n\0", &content[MAGIC.len()..]].concat()));
        damaged.push(signed(&content[..content.len() - 1]));
        damaged.push(signed(&[content, &[0xff; KEY_LEN]].concat()));
        damaged.push(signed(&[MAGIC, entry, entry].concat()));
        let mut other = entry.to_vec();
        other[KEY_LEN] ^= 1;
        damaged.push(signed(&[MAGIC, entry, &other].concat()));
        damaged.push(signed(&[content, entry].concat()));
        for bytes in damaged {
            fs::write(fixture.index(), &bytes).unwrap();
            let files = FileDigests::under(&fixture.out(), &fixture.source());
            assert_eq!(files.remembered(), 0, "{bytes:?}");
        }
        assert_eq!([fixture.read(), fixture.read()], [4, 0]);
        assert!(fs::read(fixture.index()).unwrap() == sound);
        // A device would have no end.
        assert_eq!(Entries::read(Path::new("/dev/zero")), None);
    }

    #[test]
    fn where_it_cannot_be_written_nothing_fails() {
        let fixture = Fixture::new();
        // Whoever runs the test may write everywhere; but no folder can be made where a file is.
        fs::write(fixture.out(), b"").unwrap();
        assert_eq!([fixture.read(), fixture.read()], [4, 4]);
        fs::remove_file(fixture.out()).unwrap();
        fs::create_dir_all(fixture.index()).unwrap();
        assert_eq!([fixture.read(), fixture.read()], [4, 4]);
        // Nothing is written through a link that leads elsewhere.
        fs::remove_dir_all(fixture.out()).unwrap();
        fs::create_dir(fixture.out()).unwrap();
        let elsewhere = fixture.0.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, fixture.out().join(FileDigests::FOLDER)).unwrap();
        assert_eq!(path_under(&fixture.out(), &fixture.source()), None);
        assert_eq!(fixture.read_with(FileDigests::under(&fixture.out(), &fixture.source())), 4);
        assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 0);
    }

    #[test]
    fn every_dataset_has_a_file_of_its_own_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let mut names = std::collections::BTreeSet::new();
        let long = "ü".repeat(120);
        for path in ["a/photos", "b/photos", "b/photos, with names", &long] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.join("cat")).unwrap();
            fs::write(path.join("cat/1.png"), b"one").unwrap();
            let out = folder.path().join("out");
            let later = Some(SystemTime::now() + Duration::from_secs(60));
            for path in
                [path.clone(), path.join(""), path.join("../").join(path.file_name().unwrap())]
            {
                let source = Source::find(&path).unwrap();
                let mut files = FileDigests { settled: later, ..FileDigests::under(&out, &source) };
                source.digest_with(&mut files).unwrap();
                let name = path_under(&out, &source).unwrap().file_name().unwrap().to_owned();
                assert!(name.len() < 200, "{name:?}");
                let is_new = names.insert(name);
                assert_eq!(files.read(), usize::from(is_new));
            }
        }
        // That which goes up and down again may be another by way of a link.
        assert_eq!(names.len(), 8, "{names:?}");
    }

    #[test]
    fn whatever_fails_the_file_of_digests_is_the_old_one_or_the_new_one() {
        let mut struck_at = 0;
        for fault in Fault::ALL {
            for index in 0.. {
                let fixture = Fixture::new();
                assert_eq!(fixture.read(), 4);
                let old = fs::read(fixture.index()).unwrap();
                tick();
                fixture.write("cat/1.png", b"changed");
                let (read, struck) = inject(fault, index, || fixture.read());
                assert_eq!(read, 1, "{fault:?} {index}");
                let found = fs::read(fixture.index()).unwrap();
                assert!(found == old || Entries(found).is_sound(), "{fault:?} {index}");
                // What is not remembered is read again, and remembered.
                assert!(fixture.read() <= 1 && fixture.read() == 0, "{fault:?} {index}");
                if !struck {
                    break;
                }
                struck_at += 1;
            }
        }
        // Create, write, flush, rename and flush the folder; two faults strike the write alone.
        assert_eq!(struck_at, 3 * 5 + 2);
    }
}

//! The digests of files are remembered, and never those of other bytes.

use std::fs::{self, File};

use durable::faults::{Fault, inject};
use tempfile::TempDir;

use super::entries::{DIGEST_LEN, ENTRY_LEN, KEY_LEN, MAGIC, is_sound};
use super::*;
use crate::Notice;
use crate::loading::Loading;
use crate::table::Loaded;

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
        let digest = self.source().digest_with(&mut files, &AtomicBool::new(false)).unwrap();
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
    let anew =
        || FileDigests { settled: later, ..FileDigests::anew(&fixture.out(), &fixture.source()) };
    assert_eq!([fixture.read_with(anew()), fixture.read_with(anew()), fixture.read()], [4, 4, 0]);
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

/// A gray image of 2×2 pixels.
fn pgm(number: u8) -> Vec<u8> {
    [&b"P5 2 2 255\n"[..], &[number; 4]].concat()
}

#[test]
fn images_with_faults_are_looked_at_by_every_command() {
    let fixture = Fixture::new();
    for (name, number) in [("cat/1.png", 1), ("cat/2.png", 2), ("dog/3.png", 3), ("dog/4.png", 4)] {
        fixture.write(name, &pgm(number));
    }
    let later = SystemTime::now() + Duration::from_secs(60);
    let look = |scans: bool| {
        let mut files = FileDigests::remembered_at(Some(fixture.index()), later);
        if scans {
            files = files.scanning(Decoding::default());
        }
        fixture.source().digest_with(&mut files, &AtomicBool::new(false)).unwrap();
        (files.read(), files.into_faults())
    };
    // What was read without a look for faults is read once more.
    assert_eq!([look(false).0, look(false).0, look(true).0, look(true).0], [4, 0, 4, 0]);
    // It needs no look then, and what was looked at is known to others.
    assert_eq!([look(false).0, look(true).0], [0, 0]);
    tick();
    fixture.write("cat/2.png", &pgm(2)[..13]);
    fixture.write("dog/3.png", b"");
    for read in [2, 2, 2] {
        let (found, faults) = look(true);
        assert_eq!((found, faults.len()), (read, 2));
        let reason = faults.reason(&Digest::of(b"")).unwrap();
        assert_eq!(reason, "is empty; replace or remove it");
        let reason = faults.reason(&Digest::of(&pgm(2)[..13])).unwrap();
        assert!(reason.starts_with("cannot be decoded"), "{reason}");
    }
    // Whoever does not look finds none.
    assert!(look(false).1.is_empty());
    // Where nothing is remembered, too.
    let mut files = FileDigests::none().scanning(Decoding::default());
    fixture.source().digest_with(&mut files, &AtomicBool::new(false)).unwrap();
    assert_eq!(files.into_faults().len(), 2);
    tick();
    fixture.write("cat/2.png", &pgm(2));
    fixture.write("dog/3.png", &pgm(3));
    assert_eq!([look(true).0, look(true).0], [2, 0]);
}

#[test]
fn vanished_files_are_forgotten() {
    let fixture = Fixture::new();
    fixture.write("dog/5.png", b"five");
    let mut files = FileDigests::remembered_at(
        Some(fixture.index()),
        SystemTime::now() + Duration::from_secs(60),
    );
    fixture.source().digest_with(&mut files, &AtomicBool::new(false)).unwrap();
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
    for (name, bytes) in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"].iter().zip(images) {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let out = tempfile::tempdir().unwrap();
    let read = || {
        let source = Source::find(folder.path()).unwrap();
        let path = path_under(out.path(), &source);
        let later = SystemTime::now() + Duration::from_secs(60);
        let mut files = FileDigests::remembered_at(path, later);
        source.digest_with(&mut files, &AtomicBool::new(false)).unwrap();
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
    assert!(is_sound(&signed(content)));
    damaged.push(signed(b""));
    damaged.push(signed(&content[..MAGIC.len() - 1]));
    for other in [b"file digests 1\n\0", b"file digests 3\n\0"] {
        damaged.push(signed(&[other, &content[MAGIC.len()..]].concat()));
    }
    damaged.push(signed(&content[..content.len() - 1]));
    damaged.push(signed(&[content, &[0xff; KEY_LEN]].concat()));
    for bytes in damaged {
        fs::write(fixture.index(), &bytes).unwrap();
        let files = FileDigests::under(&fixture.out(), &fixture.source());
        assert_eq!(files.remembered(), 0, "{bytes:?}");
    }
    assert_eq!([fixture.read(), fixture.read()], [4, 0]);
    assert!(fs::read(fixture.index()).unwrap() == sound);
    // In another order, or twice, entries are found all the same.
    let (first, others) = content[MAGIC.len()..].split_at(ENTRY_LEN);
    for bytes in [signed(&[MAGIC, others, first].concat()), signed(&[content, entry].concat())] {
        fs::write(fixture.index(), &bytes).unwrap();
        assert_eq!(fixture.read(), 0);
        assert!(fs::read(fixture.index()).unwrap() == sound);
    }
    // A device would have no end.
    assert!(Entries::open(Path::new("/dev/zero")).is_none());
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
        for path in [path.clone(), path.join(""), path.join("../").join(path.file_name().unwrap())]
        {
            let source = Source::find(&path).unwrap();
            let mut files = FileDigests { settled: later, ..FileDigests::under(&out, &source) };
            source.digest_with(&mut files, &AtomicBool::new(false)).unwrap();
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
            assert!(found == old || is_sound(&found), "{fault:?} {index}");
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

/// Sets `stop` when one of its files is looked at that is not among the first of them.
#[derive(Debug)]
struct Stopping<'a> {
    paths: &'a [PathBuf],
    stop: &'a AtomicBool,
}

impl DatasetFiles for Stopping<'_> {
    fn notices(&self) -> &[Notice] {
        &[]
    }

    fn files(&self) -> usize {
        self.paths.len()
    }

    fn file(&self, index: usize) -> SourceFile<'_> {
        if index >= 2 * CHUNK {
            self.stop.store(true, Ordering::SeqCst);
        }
        let path = &self.paths[index];
        SourceFile { name: path.as_os_str(), path: path.clone(), is_image: true, is_missing: false }
    }

    fn digest(&self, _: &mut Hasher, _: &Digests) {
        unreachable!("only the files are digested")
    }

    fn load(&self, _: &Digests, _: &Loading<'_>) -> Result<Loaded, Error> {
        unreachable!("only the files are digested")
    }
}

#[test]
fn what_was_read_before_a_stop_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> =
        (0..2 * CHUNK + 100).map(|file| folder.path().join(file.to_string())).collect();
    for path in &paths {
        fs::write(path, path.as_os_str().as_encoded_bytes()).unwrap();
    }
    let index = folder.path().join("digests");
    let later = SystemTime::now() + Duration::from_secs(60);
    let digests = |stop: &AtomicBool| {
        let mut files = FileDigests::remembered_at(Some(index.clone()), later);
        let digests = files.of_files(&Stopping { paths: &paths, stop }, stop);
        (digests, files.read())
    };
    let at_once = digests(&AtomicBool::new(true)).0;
    assert!(matches!(at_once, Err(Error::Stopped)) && !index.exists());
    assert!(matches!(digests(&AtomicBool::new(false)).0, Err(Error::Stopped)));
    let remembered = || FileDigests::remembered_at(Some(index.clone()), later).remembered();
    assert_eq!(remembered(), 2 * CHUNK);
    // The next command is stopped when all but the last files are known, and forgets none of them.
    assert!(matches!(digests(&AtomicBool::new(false)), (Err(Error::Stopped), 0)));
    assert_eq!(remembered(), 2 * CHUNK);
    // Files that come first make every other one stand elsewhere.
    let (last, first) = paths.split_at(2 * CHUNK);
    let paths = [first, &last[..2 * CHUNK - first.len()]].concat();
    let stop = AtomicBool::new(false);
    let mut files = FileDigests::remembered_at(Some(index.clone()), later);
    let found = files.of_files(&Stopping { paths: &paths, stop: &stop }, &stop).unwrap();
    assert_eq!((files.files(), files.read()), (2 * CHUNK, first.len()));
    for (path, digest) in paths.iter().zip(found.iter()) {
        assert_eq!(digest, Digest::of(path.as_os_str().as_encoded_bytes()));
    }
}

/// Whichever thread is faster.
#[test]
fn of_several_files_that_cannot_be_read_the_first_is_named() {
    let fixture = Fixture::new();
    for number in 0..200 {
        fixture.write(&format!("cat/more{number:03}.png"), b"x");
    }
    let source = fixture.source();
    for number in [120, 20] {
        fs::remove_file(fixture.image(&format!("cat/more{number:03}.png"))).unwrap();
    }
    for _ in 0..20 {
        let error = source.digest().unwrap_err().to_string();
        assert!(error.contains("more020.png"), "{error}");
    }
}

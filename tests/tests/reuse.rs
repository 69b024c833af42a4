//! An image goes through the network once: whatever becomes of its name, class and split, its row is taken
//! from the cache that has it, and the result is, byte for byte, what a fresh extraction gives.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use durable::Format;
use end_to_end::{
    BAD_INPUT, Workplace, assert_refused, caches_in, damaged_inside, files_in, finish,
    forge_manifest, path_from,
};
use serde_json::Value;

/// Side of the images, in pixels.
const SIDE: usize = 40;

/// A dataset of images in `photos/`, and extractions of it.
struct Photos {
    workplace: Workplace,
    flags: &'static [&'static str],
}

/// A gray image that no other number has.
fn image(number: usize) -> Vec<u8> {
    let mut bytes = format!("P5 {SIDE} {SIDE} 255\n").into_bytes();
    let pixel = |at: usize| (number + 1) * (at % SIDE + 7) * (at / SIDE + 3) / 16;
    bytes.extend((0..SIDE * SIDE).map(|at| pixel(at) as u8));
    bytes.extend(number.to_le_bytes());
    bytes
}

impl Photos {
    /// Images of these numbers, of three classes.
    fn new(numbers: impl IntoIterator<Item = usize>, flags: &'static [&'static str]) -> Photos {
        let photos = Photos { workplace: Workplace::empty(), flags };
        for number in numbers {
            photos.write(&format!("{}/{number:03}.pgm", ["cat", "dog", "yak"][number % 3]), number);
        }
        photos
    }

    fn path(&self, name: &str) -> PathBuf {
        self.workplace.path("photos").join(name)
    }

    fn write(&self, name: &str, number: usize) {
        self.workplace.write(&format!("photos/{name}"), &image(number));
    }

    fn rename(&self, from: &str, to: &str) {
        let to = self.path(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(self.path(from), to).unwrap();
    }

    /// The folder of all caches but the fresh ones.
    fn features(&self) -> PathBuf {
        self.workplace.path("features")
    }

    fn command(&self, more: &[&str]) -> assert_cmd::Command {
        self.workplace.run("photos", &[self.flags, more].concat())
    }

    fn extract(&self, more: &[&str]) -> Extraction {
        Extraction::of(self.command(more))
    }

    /// Asserts that the cache has the bytes of one that was extracted under a folder without others.
    fn assert_as_fresh(&self, cache: &Path, more: &[&str]) {
        let out = tempfile::tempdir().unwrap();
        let out = format!("--out={}", out.path().display());
        let fresh = Extraction::of(self.command(&[more, &[&out]].concat()));
        assert_eq!(fresh.rows_taken, 0);
        assert!(contents(cache) == contents(&fresh.cache), "{} {more:?}", cache.display());
    }

    /// Extracts and asserts that so many images go through the network and so many rows are taken, and
    /// that the result is that of a fresh extraction.
    fn assert_costs(&self, more: &[&str], images: u64, rows_taken: u64) -> Extraction {
        let extraction = self.extract(more);
        let counts = (extraction.images, extraction.rows_taken);
        assert_eq!(counts, (images, rows_taken), "{more:?}: {}", extraction.said);
        self.assert_as_fresh(&extraction.cache, more);
        extraction
    }
}

/// An extraction that came to its end.
struct Extraction {
    cache: PathBuf,
    images: u64,
    rows_taken: u64,
    said: String,
}

impl Extraction {
    fn of(mut command: assert_cmd::Command) -> Extraction {
        command.arg("--json");
        let finished = finish(command);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let json: Value = serde_json::from_str(&finished.stdout).unwrap();
        Extraction {
            cache: PathBuf::from(json["features"].as_str().unwrap()),
            images: json["images"].as_u64().unwrap(),
            rows_taken: json["rows_taken"].as_u64().unwrap(),
            said: finished.stderr,
        }
    }
}

/// The bytes of every file of a cache.
fn contents(cache: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let file =
        |path: PathBuf| (path.strip_prefix(cache).unwrap().to_path_buf(), fs::read(&path).unwrap());
    files_in(cache).into_iter().map(file).collect()
}

/// Copies a cache's folder.
fn copy(from: &Path, to: &Path) {
    for (file, bytes) in contents(from) {
        fs::create_dir_all(to.join(&file).parent().unwrap()).unwrap();
        fs::write(to.join(file), bytes).unwrap();
    }
}

#[test]
fn no_image_goes_through_the_network_twice() {
    let photos = Photos::new(0..24, &[]);
    let first = photos.assert_costs(&["--val-fraction=0.25"], 24, 0);
    // Split otherwise.
    let said = photos.assert_costs(&["--val-fraction=0.25", "--seed=1"], 0, 24).said;
    let taken = format!("24 of 24 rows taken from {}, 0 to compute", first.cache.display());
    assert!(said.contains(&taken), "{said}");
    assert!(!said.contains("ready after"), "there is nothing to be ready for: {said}");
    photos.assert_costs(&["--val-fraction=0"], 0, 24);
    photos.assert_costs(&["--val-fraction=0.25", "--limit=6"], 0, 12);
    // Stored otherwise.
    photos.assert_costs(&["--val-fraction=0", "--layout=csr"], 0, 24);
    photos.assert_costs(&["--val-fraction=0", "--dtype=f16"], 0, 24);

    // Added, among the others and after them.
    photos.write("dog/005-b.pgm", 24);
    photos.write("yak/999.pgm", 25);
    let said = photos.assert_costs(&["--val-fraction=0"], 2, 24).said;
    assert!(
        said.contains("24 of 26 rows taken from ") && said.contains(", 2 to compute"),
        "{said}"
    );
    // Removed.
    fs::remove_file(photos.path("cat/000.pgm")).unwrap();
    photos.assert_costs(&["--val-fraction=0"], 0, 25);
    // Renamed, and so in another order.
    photos.rename("cat/003.pgm", "cat/zzz.png");
    photos.assert_costs(&["--val-fraction=0"], 0, 25);
    // Relabelled, also to a new class.
    photos.rename("cat/006.pgm", "dog/006.pgm");
    photos.rename("cat/009.pgm", "bat/009.pgm");
    photos.assert_costs(&["--val-fraction=0"], 0, 25);
    // The same image twice.
    fs::copy(photos.path("dog/001.pgm"), photos.path("yak/001.pgm")).unwrap();
    photos.assert_costs(&["--val-fraction=0"], 0, 26);
    // In a list, with splits of its own.
    let mut list = "path,label,split\n".to_owned();
    let mut files = files_in(&photos.path(""));
    files.sort();
    for (index, file) in files.iter().rev().enumerate() {
        let split = ["train", "train", "val", "test"][index % 4];
        let path = file.strip_prefix(photos.path("")).unwrap().display();
        list += &format!("{path},{},{split}\n", index % 2);
    }
    photos.workplace.write("photos/list.csv", list.as_bytes());
    photos.assert_costs(&[], 0, 26);
    fs::remove_file(photos.path("list.csv")).unwrap();
    // In folders of its own for each split.
    for (number, split) in
        [(1, "train"), (4, "val"), (7, "test"), (2, "train"), (5, "val"), (8, "test")]
    {
        let class = ["cat", "dog", "yak"][number % 3];
        photos.rename(
            &format!("{class}/{number:03}.pgm"),
            &format!("{split}/{class}/{number:03}.pgm"),
        );
    }
    for class in ["bat", "cat", "dog", "yak"] {
        fs::rename(photos.path(class), photos.workplace.path(&format!("other {class}"))).unwrap();
    }
    photos.assert_costs(&[], 0, 6);
    // Of another size, all go through it; and of nothing, nothing is said.
    let said = photos.assert_costs(&["--size=48"], 6, 0).said;
    assert!(!said.contains(" taken from "), "{said}");
}

/// Digits are known by their pixels, whatever file they are in.
#[test]
fn digits_are_taken_from_another_form_of_dataset() {
    use end_to_end::Digits;
    let workplace = Workplace::new();
    let idx = Extraction::of(workplace.run("digits", &[]));
    assert_eq!((idx.images, idx.rows_taken), (37, 0));
    let digits = Digits::first("train", 35);
    workplace.write("csv/train.csv", digits.csv(true).as_bytes());
    let csv = Extraction::of(workplace.run("csv", &["--seed=3"]));
    assert_eq!((csv.images, csv.rows_taken), (5, 30), "{}", csv.said);
    let out = format!("--out={}", workplace.path("fresh").display());
    let fresh = Extraction::of(workplace.run("csv", &["--seed=3", &out]));
    assert_eq!(fresh.images, 35);
    assert!(contents(&csv.cache) == contents(&fresh.cache));
}

fn spawn(command: &assert_cmd::Command) -> Child {
    let mut program = Command::new(command.get_program());
    program.args(command.get_args()).stdout(Stdio::null()).stderr(Stdio::piped());
    program.spawn().unwrap()
}

/// What a program said until its end, which must be of this code.
fn end(mut child: Child, code: Option<i32>) -> String {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), code, "{said}");
    said
}

fn signal(child: &Child, signal: &str) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn wait_for(mut what: impl FnMut() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_secs(120), "it never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Half of the rows are taken and half computed, in turn; killed after rows were recorded, interrupted, and
/// continued.
#[test]
fn killed_and_interrupted_it_goes_on_to_the_same_bytes() {
    const IMAGES: usize = 600;
    let flags = &["--size=96", "--batch-size=4", "--val-fraction=0"];
    for layout in ["--layout=dense", "--layout=csr"] {
        let photos = Photos::new((0..IMAGES).step_by(2), flags);
        assert_eq!(photos.extract(&[]).images, IMAGES as u64 / 2);
        for number in (1..IMAGES).step_by(2) {
            let class = ["cat", "dog", "yak"][number % 3];
            photos.write(&format!("{class}/{number:03}.pgm"), number);
        }
        let sources = caches_in(&photos.features());
        let begun = || {
            let mut caches = caches_in(&photos.features());
            caches.retain(|cache| !sources.contains(cache));
            caches.pop()
        };
        let recorded = || begun().map_or(0, |cache| feature_cache::unfinished(&cache).rows_done);
        let mut killed = spawn(&photos.command(&[layout]));
        wait_for(|| recorded() > 0 || killed.try_wait().unwrap().is_some());
        signal(&killed, "-KILL");
        let said = end(killed, None);
        assert!(said.contains("300 of 600 rows taken from "), "{said}");
        let after_kill = recorded();
        assert!((1..IMAGES).contains(&after_kill), "{after_kill} rows were recorded");

        let mut interrupted = spawn(&photos.command(&[layout]));
        let mut says = BufReader::new(interrupted.stderr.take().unwrap());
        let mut said = String::new();
        // It is at work then.
        while !said.contains("ready after") {
            assert!(says.read_line(&mut said).unwrap() > 0, "{said}");
        }
        signal(&interrupted, "-INT");
        says.read_to_string(&mut said).unwrap();
        assert_eq!(interrupted.wait().unwrap().code(), Some(130), "{said}");
        let continuing = format!("continuing: {after_kill} of 600 images already there");
        assert!(said.contains(&continuing), "{said}");
        assert!(said.contains("give the same command again"), "{said}");
        let after_interrupt = recorded();
        assert!((after_kill..IMAGES).contains(&after_interrupt), "{after_interrupt} rows");

        let continued = photos.extract(&[layout]);
        let left = (IMAGES - after_interrupt) as u64;
        assert_eq!(continued.images + continued.rows_taken, left, "{}", continued.said);
        assert!(continued.images.abs_diff(continued.rows_taken) <= 1, "{}", continued.said);
        photos.assert_as_fresh(&continued.cache, &[layout]);
    }
}

/// The rows before it are recorded, and the mended dataset's extraction takes them.
#[test]
fn a_bad_image_costs_none_of_those_before_it() {
    let photos = Photos::new(0..20, &["--val-fraction=0", "--batch-size=4"]);
    // The classes' images are numbered in steps of three; `dog` begins with row 7.
    let whole = fs::read(photos.path("dog/010.pgm")).unwrap();
    fs::write(photos.path("dog/010.pgm"), damaged_inside(0)).unwrap();
    let says = [
        "row 10 (counted from 0) of train stops the extraction",
        "the rows before it are kept",
        "010.pgm",
    ];
    assert_refused(photos.command(&[]), BAD_INPUT, &says);
    fs::write(photos.path("dog/010.pgm"), &whole).unwrap();
    let mended = photos.assert_costs(&[], 10, 10);
    let unfinished = caches_in(&photos.features());
    assert_eq!(unfinished.len(), 2, "{unfinished:?}");
    assert!(mended.said.contains("10 of 20 rows taken from "), "{}", mended.said);
    // Bad again at a later place, its rows come from a finished cache, and those before it suffice.
    fs::write(photos.path("yak/011.pgm"), damaged_inside(1)).unwrap();
    assert_refused(
        photos.command(&[]),
        BAD_INPUT,
        &["row 17 (counted from 0) of train stops", "011.pgm"],
    );
    fs::remove_file(photos.path("yak/011.pgm")).unwrap();
    photos.assert_costs(&[], 0, 19);
}

#[test]
fn two_extractions_at_once_may_take_from_each_other() {
    let photos = Photos::new(0..60, &["--batch-size=4", "--val-fraction=0.5"]);
    for round in 0..2 {
        let seeds: Vec<String> =
            (0..3).map(|seed| format!("--seed={}", 10 * round + seed)).collect();
        let running: Vec<Child> =
            seeds.iter().map(|seed| spawn(&photos.command(&[seed]))).collect();
        let said: Vec<String> = running.into_iter().map(|child| end(child, Some(0))).collect();
        for (seed, said) in seeds.iter().zip(said) {
            assert!(round == 0 || said.contains("60 of 60 rows taken from"), "{said}");
            photos.assert_as_fresh(&path_from(photos.command(&[seed])), &[seed]);
        }
    }
}

#[test]
fn a_source_may_lie_on_another_file_system() {
    let memory = Path::new("/dev/shm");
    if !memory.is_dir() {
        eprintln!("skipped: there is no /dev/shm, a file system other than that of the tests");
        return;
    }
    let elsewhere = tempfile::tempdir_in(memory).unwrap();
    let photos = Photos::new(0..12, &["--val-fraction=0"]);
    let cache = photos.extract(&[]).cache;
    let moved = elsewhere.path().join("a cache");
    copy(&cache, &moved);
    fs::remove_dir_all(&cache).unwrap();
    std::os::unix::fs::symlink(&moved, photos.features().join("link")).unwrap();
    fs::remove_file(photos.path("cat/000.pgm")).unwrap();
    photos.assert_costs(&[], 0, 11);
}

#[test]
fn a_source_may_vanish_at_any_moment() {
    let photos = Photos::new(0..30, &["--val-fraction=0.5"]);
    let cache = photos.extract(&[]).cache;
    let kept = photos.workplace.path("kept");
    copy(&cache, &kept);
    let started = Instant::now();
    photos.extract(&["--seed=1"]);
    let takes = started.elapsed();
    let moments = 10;
    let mut taken = 0;
    for moment in 0..moments {
        for cache in caches_in(&photos.features()) {
            fs::remove_dir_all(cache).unwrap();
        }
        copy(&kept, &cache);
        let running = spawn(&photos.command(&["--seed=1"]));
        std::thread::sleep(takes * moment / moments);
        // As `gc` does, and all at once.
        let _ = fs::rename(&cache, photos.features().join(".removed-cache"));
        fs::remove_dir_all(photos.features().join(".removed-cache")).unwrap();
        let said = end(running, Some(0));
        taken += usize::from(said.contains(" taken from "));
        photos.assert_as_fresh(&path_from(photos.command(&["--seed=1"])), &["--seed=1"]);
    }
    println!("{taken} of {moments} times, rows were taken from it all the same");
}

#[test]
fn a_damaged_source_is_named_and_its_rows_are_computed() {
    let photos = Photos::new(0..12, &["--val-fraction=0"]);
    let cache = photos.extract(&[]).cache;
    let sound = photos.workplace.path("sound");
    copy(&cache, &sound);
    fs::remove_file(photos.path("cat/000.pgm")).unwrap();
    let features = cache.join("train/features.npy");
    let damages: [(&str, &dyn Fn()); 3] = [
        ("features.npy is damaged", &|| {
            let mut bytes = fs::read(&features).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&features, bytes).unwrap();
        }),
        ("features.npy has ", &|| {
            let bytes = fs::read(&features).unwrap();
            fs::write(&features, &bytes[..bytes.len() - 4]).unwrap();
        }),
        ("manifest.json was changed", &|| {
            let manifest = fs::read_to_string(cache.join("manifest.json")).unwrap();
            let changed = manifest.replace("\"rows\": 12", "\"rows\": 11");
            assert_ne!(changed, manifest);
            fs::write(cache.join("manifest.json"), changed).unwrap();
        }),
    ];
    for (says, damage) in damages {
        for cache in caches_in(&photos.features()) {
            fs::remove_dir_all(cache).unwrap();
        }
        copy(&sound, &cache);
        damage();
        let said = photos.assert_costs(&[], 11, 0).said;
        let skipped = format!("no rows are taken from {}", cache.display());
        for text in [&skipped, says] {
            assert!(said.contains(text), "'{text}' is not in: {said}");
        }
    }
    // Another that is sound makes up for it.
    for cache in caches_in(&photos.features()) {
        fs::remove_dir_all(cache).unwrap();
    }
    copy(&sound, &cache);
    copy(&sound, &photos.features().join("sound"));
    let mut bytes = fs::read(&features).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&features, bytes).unwrap();
    photos.assert_costs(&[], 0, 11);
}

/// It does not say of which images its rows are.
#[test]
fn a_cache_of_format_2_0_is_passed_over() {
    let photos = Photos::new(0..12, &["--val-fraction=0"]);
    let cache = photos.extract(&[]).cache;
    forge_manifest(&cache, |manifest| {
        manifest.format = Format { major: 2, minor: 0 };
        manifest.reading = None;
        for split in manifest.splits.values_mut() {
            split.images = None;
        }
    });
    fs::remove_file(photos.path("cat/000.pgm")).unwrap();
    let said = photos.assert_costs(&[], 11, 0).said;
    assert!(!said.contains("taken from"), "{said}");
}

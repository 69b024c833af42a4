//! A dataset's files are read once: a finished extraction answers from what it remembers of them.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use end_to_end::{Workplace, files_in, finish, path_from, vgg_extract};

/// The folder in which they are remembered, under that of the caches.
const FOLDER: &str = ".file-digests";
/// Side of the images, in pixels: 64 KiB each.
const SIDE: usize = 256;
const IMAGE_BYTES: u64 = (SIDE * SIDE) as u64;

/// Writes a gray image of one colour but for its first pixels, which no other image has.
fn write_image(workplace: &Workplace, name: &str, number: usize) -> PathBuf {
    let mut bytes = format!("P5 {SIDE} {SIDE} 255\n").into_bytes();
    bytes.extend(number.to_le_bytes());
    bytes.resize(bytes.len() - size_of::<usize>() + SIDE * SIDE, 0x77);
    workplace.write(name, &bytes)
}

/// A dataset of so many images, which were left alone for long enough to be remembered.
fn dataset(workplace: &Workplace, name: &str, images: usize) {
    for number in 0..images {
        let class = ["cat", "dog"][number % 2];
        write_image(workplace, &format!("{name}/{class}/{number}.pgm"), number);
    }
    std::thread::sleep(Duration::from_millis(2100));
}

/// Runs an extraction to its end: the bytes that it read by system calls, and what it said.
fn bytes_read(extraction: assert_cmd::Command) -> (u64, String) {
    // The shell's own count has what its children read until it waited for them.
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\" && cat /proc/$$/io", "sh"]).arg(extraction.get_program());
    let output = shell.args(extraction.get_args()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let counts = String::from_utf8(output.stdout).unwrap();
    let rchar = counts.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    (rchar.parse().unwrap(), said)
}

#[test]
fn a_finished_extraction_reads_none_of_the_images_again() {
    const IMAGES: u64 = 300;
    let workplace = Workplace::empty();
    dataset(&workplace, "two", 2);
    dataset(&workplace, "many", IMAGES as usize);
    // A limit takes few rows, but the digest is that of all images.
    let run = |dataset: &str, more: &[&str]| {
        let flags = [&["--limit=4", "--val-fraction=0"][..], more].concat();
        workplace.run(dataset, &flags)
    };
    let caches = ["two", "many"].map(|dataset| path_from(run(dataset, &[])));
    let [(few, _), (many, said)] = ["two", "many"].map(|dataset| bytes_read(run(dataset, &[])));
    assert!(said.contains("0 of 300 dataset files read; the others are unchanged"), "{said}");
    assert!(said.contains("these features are cached already"), "{said}");
    // What it does read of more images are their digests, of 48 bytes each.
    assert!(many < few + IMAGE_BYTES, "{many} bytes read, and {few} for two images");

    let (all, said) = bytes_read(run("many", &["--rehash"]));
    assert!(all > few + (IMAGES - 2) * IMAGE_BYTES, "{all} bytes read, and {few} for two images");
    assert!(!said.contains("unchanged") && said.contains("cached already"), "{said}");
    assert!(bytes_read(run("many", &[])).0 < few + IMAGE_BYTES);

    // They are not a cache.
    let status =
        finish(vgg_extract(["status", "--out", workplace.path("features").to_str().unwrap()]));
    // After the header.
    assert_eq!(status.stdout.lines().count(), 2 + caches.len(), "{status:?}");
    assert!(!status.stdout.contains(FOLDER), "{status:?}");

    // Deleted, they are made again.
    fs::remove_dir_all(workplace.path("features").join(FOLDER)).unwrap();
    assert!(bytes_read(run("many", &[])).0 > few + (IMAGES - 2) * IMAGE_BYTES);
    assert!(bytes_read(run("many", &[])).0 < few + IMAGE_BYTES);
}

/// As an attentive user of `touch` would have it.
#[test]
fn a_byte_that_changed_with_the_time_set_back_is_found() {
    let workplace = Workplace::empty();
    dataset(&workplace, "photos", 6);
    let run = || workplace.run("photos", &["--val-fraction=0"]);
    let cache = path_from(run());
    assert_eq!(path_from(run()), cache);
    let changed = workplace.path("photos/cat/4.pgm");
    let time = fs::metadata(&changed).unwrap().modified().unwrap();
    write_image(&workplace, "photos/cat/4.pgm", 99);
    File::options().write(true).open(&changed).unwrap().set_modified(time).unwrap();
    let finished = finish(run());
    assert!(finished.stderr.contains("1 of 6 dataset files read"), "{finished:?}");
    let after = PathBuf::from(finished.stdout.trim());
    assert_ne!(after, cache);
    // By its other times, it was just written: it is read again, and is what it was.
    let finished = finish(run());
    assert!(finished.stderr.contains("1 of 6 dataset files read"), "{finished:?}");
    assert_eq!(PathBuf::from(finished.stdout.trim()), after);
}

#[test]
fn where_nothing_can_be_remembered_everything_is_read() {
    let workplace = Workplace::empty();
    dataset(&workplace, "photos", 6);
    // Whoever runs the test may write everywhere; but no folder can be made where a file is.
    let place = workplace.write(&format!("features/{}", FOLDER), b"precious");
    let run = || finish(workplace.run("photos", &["--val-fraction=0"]));
    let first = run();
    let second = run();
    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{first:?} {second:?}");
    assert_eq!(first.stdout, second.stdout);
    assert!(!second.stderr.contains("unchanged"), "{second:?}");
    assert_eq!(fs::read(&place).unwrap(), b"precious");
    // Damaged, they are as good as absent.
    fs::remove_file(&place).unwrap();
    assert!(!run().stderr.contains("unchanged"));
    assert!(run().stderr.contains("0 of 6 dataset files read"));
    let [digests] = &files_in(&place)[..] else { panic!("there is one file of digests") };
    let mut bytes = fs::read(digests).unwrap();
    bytes[40] ^= 1;
    fs::write(digests, bytes).unwrap();
    let third = run();
    assert!(!third.stderr.contains("unchanged"), "{third:?}");
    assert_eq!(third.stdout, first.stdout);
    assert!(run().stderr.contains("0 of 6 dataset files read"));
    // Times that lie ahead are not trusted.
    let ahead = SystemTime::now() + Duration::from_secs(3600);
    let image = workplace.path("photos/dog/1.pgm");
    File::options().write(true).open(image).unwrap().set_modified(ahead).unwrap();
    for _ in 0..2 {
        assert!(run().stderr.contains("1 of 6 dataset files read"));
    }
}

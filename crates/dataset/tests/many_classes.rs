//! A folder of 200,000 classes is opened in seconds and little memory. Alone in its file, since it
//! looks at what the whole process takes.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::time::{Duration, Instant};

use dataset::{Notice, Source, SplitConfig};

const CLASSES: usize = 200_000;
/// Every fourth class has a second image; the others' only one stays in training.
const OF_TWO: usize = 4;
/// Names a file can have, on file systems that limit them.
const LINKS: usize = 50_000;

#[test]
fn a_folder_of_many_classes_is_opened_and_split() {
    // In memory, where the system has such a file system: making the folders takes longest.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut image = folder.path().join("none");
    for class in 0..CLASSES {
        let path = folder.path().join(format!("{class:06}"));
        fs::create_dir(&path).unwrap();
        for name in ["1.pgm", "2.pgm"].into_iter().take(1 + usize::from(class % OF_TWO == 0)) {
            let path = path.join(name);
            if class % LINKS == 0 {
                fs::write(&path, b"P5 1 1 255\n\x07").unwrap();
                image = path;
            } else {
                fs::hard_link(&image, path).unwrap();
            }
        }
    }
    let started = Instant::now();
    let source = Source::find(folder.path()).unwrap();
    let digest = source.digest().unwrap();
    let config = SplitConfig { val_fraction: 0.25, limit: None, seed: 0 };
    let dataset = source.load(&config).unwrap();
    let notices = dataset.notices();
    let elapsed = started.elapsed();

    assert_eq!(digest.len(), 64);
    assert_eq!(dataset.class_names.len(), CLASSES);
    assert!(dataset.class_names.is_sorted());
    assert!(dataset.train.labels().unwrap().iter().copied().eq(0..CLASSES as i64));
    let of_two = (0..CLASSES as i64).step_by(OF_TWO);
    assert!(dataset.val.labels().unwrap().iter().copied().eq(of_two));
    let (id, label) =
        (dataset.val.ids().last().unwrap(), *dataset.val.labels().unwrap().last().unwrap());
    let either = ["1", "2"].map(|name| format!("{label:06}/{name}.pgm"));
    assert!(either.contains(&id), "{id}");
    let [Notice::AbsentClasses { split: "val", absent, classes: CLASSES }] = &notices[..] else {
        panic!("{} notices", notices.len())
    };
    assert_eq!(absent.len(), CLASSES - CLASSES / OF_TWO);
    assert!(
        notices[0].to_string().ends_with("000009, 000010, 000011, 000013 and 149990 more"),
        "{}",
        notices[0]
    );
    assert_eq!(*dataset.val.image(0).unwrap().pixels, [7]);

    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
    if let Some(peak) = peak_mib() {
        eprintln!("{peak} MiB, {:.1} s", elapsed.as_secs_f64());
        assert!(peak < 256, "{peak} MiB");
    }
}

/// Most memory that this process took so far; `None` if the system does not say.
fn peak_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}

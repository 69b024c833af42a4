//! A folder of 200,000 classes is opened in little memory, and in about twice the time of half as many.
//! Alone in its file, since it looks at the memory and time of the whole process.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dataset::{Dataset, Notice, Source, SplitConfig};
use rustix::time::{ClockId, clock_gettime};

const CLASSES: usize = 200_000;
/// Every fourth class has a second image; the others' only one stays in training.
const OF_TWO: usize = 4;
/// Names a file can have, on file systems that limit them.
const LINKS: usize = 50_000;
/// The least time of so many rounds counts: other processes may need the processor's caches.
const ROUNDS: usize = 2;

#[test]
fn a_folder_of_many_classes_is_opened_and_split() {
    let [half, whole] = [CLASSES / 2, CLASSES].map(folder_of);
    let (_, dataset) = open(whole.path());
    check(&dataset);
    Source::find(whole.path()).unwrap().digest().unwrap();
    if let Some(peak) = peak_mib() {
        assert!(peak < 256, "{peak} MiB");
    }
    drop(dataset);

    let least = |folder: &Path| (0..ROUNDS).map(|_| open(folder).0).min().unwrap();
    let [half, whole] = [&half, &whole].map(|folder| least(folder.path()));
    eprintln!("{half:?} for {} classes, {whole:?} for {CLASSES}", CLASSES / 2);
    // Linear: 2, quadratic: 4.
    assert!(whole < 3 * half, "{whole:?} for {CLASSES} classes, {half:?} for half as many");
}

/// A folder of so many classes, in memory where the system has such a file system: making the folders
/// takes longest.
fn folder_of(classes: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut image = folder.path().join("none");
    for class in 0..classes {
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
    folder
}

/// Opens and splits a dataset. Returns the processor time that all threads took for it as well.
fn open(folder: &Path) -> (Duration, Dataset) {
    let started = processor_time();
    let source = Source::find(folder).unwrap();
    let config =
        SplitConfig { val_fraction: 0.25, allow_single_images: true, ..SplitConfig::default() };
    let dataset = source.load(&config).unwrap();
    assert_eq!(dataset.notices().len(), 1);
    (processor_time() - started, dataset)
}

fn check(dataset: &Dataset) {
    assert_eq!(dataset.class_names.len(), CLASSES);
    assert!(dataset.class_names.is_sorted());
    assert!(dataset.train.labels().unwrap().eq(0..CLASSES as i64));
    let of_two = (0..CLASSES as i64).step_by(OF_TWO);
    assert!(dataset.val.labels().unwrap().eq(of_two));
    let (id, label) =
        (dataset.val.ids().last().unwrap(), dataset.val.labels().unwrap().last().unwrap());
    let either = ["1", "2"].map(|name| format!("{label:06}/{name}.pgm"));
    assert!(either.contains(&id), "{id}");
    let notices = dataset.notices();
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
}

/// The processor time of this process: what other processes do at the same time does not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Most memory that this process took so far; `None` if the system does not say.
fn peak_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}

//! The pooled view: when it is trusted, when it is checked, and when it is made again.

use std::fs;
use std::time::{Duration, SystemTime};

use durable::{Digest, Stamp};
use feature_cache::SplitName;

use super::{Fixture, unheard};
use crate::error::Error;
use crate::features::cache::Features;
use crate::features::pooled::PooledSplit;

impl Fixture {
    fn open_training(&self) -> Result<PooledSplit<'_>, Error> {
        PooledSplit::open(Features::new(&self.cache), SplitName::Train, &mut unheard)
    }
}

/// Flips a bit of a file's last byte and sets the time of its change.
fn damage(path: &std::path::Path, modified: SystemTime) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

#[test]
fn a_changed_view_is_found_and_made_again() {
    let fixture = Fixture::new();
    fixture.open_training().unwrap();
    let view = fixture.pooled().join("train.npy");
    let whole = fs::read(&view).unwrap();
    let before = fs::metadata(&view).unwrap().modified().unwrap();
    // The clock that changes are stamped with ticks every few milliseconds.
    std::thread::sleep(Duration::from_millis(50));
    for modified in [SystemTime::now(), before] {
        damage(&view, modified);
        fixture.open_training().unwrap();
        assert!(fs::read(&view).unwrap() == whole, "it was not made again");
    }
}

#[test]
fn an_unchanged_view_is_not_read_for_its_digest_and_a_touched_one_once() {
    let fixture = Fixture::new();
    let open = || fixture.open_training().unwrap();
    open();
    let record = fixture.pooled().join("train.json");
    let modified = |path| fs::metadata(path).unwrap().modified().unwrap();
    let view = fixture.pooled().join("train.npy");
    // With a wrong digest in the record, only a check that does not read the bytes finds the view whole.
    let digest = durable::digest_of_file(&view, |_| ()).unwrap();
    let right = fs::read_to_string(&record).unwrap();
    fs::write(&record, right.replace(&digest.to_string(), &Digest::of(b"wrong").to_string()))
        .unwrap();
    let made = modified(&view);
    open();
    assert_eq!(modified(&view), made, "it was made again");
    fs::write(&record, &right).unwrap();
    // A touched file is looked at once more, and then known again.
    let touched = fs::File::options().write(true).open(&view).unwrap();
    touched.set_modified(made + Duration::from_secs(1)).unwrap();
    open();
    let stamped = fs::read_to_string(&record).unwrap();
    assert_ne!(stamped, right);
    assert!(stamped.contains(&digest.to_string()));
    assert_eq!(modified(&view), made + Duration::from_secs(1), "it was made again");
    open();
    assert_eq!(fs::read_to_string(&record).unwrap(), stamped);
}

/// A damaged source is an error even where the view cannot be kept on the disk.
#[test]
fn damaged_features_are_never_pooled() {
    use durable::faults::{Fault, inject};
    let fixture = Fixture::new();
    damage(&fixture.cache.folder().join("train/features.npy"), SystemTime::now());
    // The folder cannot be made or flushed, the lock not be written, nothing fails.
    for index in 0..4 {
        let _ = fs::remove_dir_all(fixture.pooled());
        let open = || fixture.open_training();
        let (opened, struck) = inject(Fault::FullDisk, index, open);
        assert_eq!(struck, index < 3, "{index}");
        let Err(Error::Cache(error)) = opened else { panic!("it was pooled") };
        assert!(error.to_string().contains("train/features.npy is damaged"), "{error}");
    }
}

/// A view that cannot be mapped is none: rows are pooled on the way, to the same numbers.
#[test]
fn a_view_that_cannot_be_mapped_is_done_without() {
    let fixture = Fixture::new();
    let open = || fixture.open_training().unwrap();
    let numbers = |split: &PooledSplit<'_>| split.read(&[3, 0], &mut Vec::new()).unwrap().concat();
    let mapped = numbers(&open());
    let (view, record) = (fixture.pooled().join("train.npy"), fixture.pooled().join("train.json"));
    // No map can be made of a folder, and the record says that it is the whole view.
    fs::remove_file(&view).unwrap();
    fs::create_dir(&view).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    json["stamp"] = serde_json::to_value(Stamp::of(&view)).unwrap();
    fs::write(&record, json.to_string()).unwrap();
    let mut unmapped = open();
    for fit in [false, true, false] {
        unmapped.keep_in_memory(fit, &mut unheard).unwrap();
        assert_eq!(numbers(&unmapped), mapped, "{fit}");
    }
}

//! The pooled view: its layout, when it is trusted, when it is checked, and when it is made again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use durable::{Digest, Stamp};
use feature_cache::SplitName;
use serde_json::{Value, json};

use super::{Fixture, GO_ON, RESOURCES, config, unheard, whole_row};
use crate::error::FeaturesError;
use crate::features::cache::Features;
use crate::features::pooled::PooledSplit;
use crate::features::rows::SomeRows;
use crate::{Error, train};

const DENSE: &[&str] = &["train.npy"];
const CSR: &[&str] = &["train.data.npy", "train.indices.npy", "train.indptr.npy"];
const ROW_LEN: usize = 16;

impl Fixture {
    fn open_training(&self) -> Result<PooledSplit<'_>, Error> {
        PooledSplit::open(Features::new(&self.cache), SplitName::Train, &mut unheard)
    }

    /// The files of the training view.
    fn view(&self) -> Vec<String> {
        let names = fs::read_dir(self.pooled()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name.starts_with("train") && name != "train.json");
        names.sort();
        names
    }

    fn record(&self) -> PathBuf {
        self.pooled().join("train.json")
    }

    /// Has the record name the digests and the stamps of the arrays as they are.
    fn forge(&self, arrays: &[&str], stamped: bool) {
        let mut record: Value = serde_json::from_slice(&fs::read(self.record()).unwrap()).unwrap();
        let arrays = arrays.iter().map(|name| {
            let path = self.pooled().join(name);
            let digest = Digest::of(&fs::read(&path).unwrap());
            json!({ "digest": digest, "stamp": stamped.then(|| Stamp::of(&path).unwrap()) })
        });
        record["arrays"] = arrays.collect();
        fs::write(self.record(), record.to_string()).unwrap();
    }

    fn numbers(&self) -> Vec<Vec<f32>> {
        numbers(&self.open_training().unwrap())
    }
}

/// All rows, in an order that no file has.
fn numbers(split: &PooledSplit<'_>) -> Vec<Vec<f32>> {
    let rows: Vec<usize> = (0..split.rows()).rev().collect();
    let mut buffer = None;
    let rows = split.read(&rows, &mut buffer).unwrap();
    rows.into_iter().map(|row| whole_row(row, ROW_LEN)).collect()
}

fn fixtures() -> [(Fixture, &'static [&'static str]); 2] {
    [(Fixture::new(), DENSE), (Fixture::sparse(), CSR)]
}

/// Flips a bit of a file's last byte and sets the time of its change.
fn damage(path: &Path, modified: SystemTime) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

#[test]
fn a_changed_view_is_found_and_made_again() {
    for (fixture, names) in fixtures() {
        fixture.open_training().unwrap();
        assert_eq!(fixture.view(), names);
        for name in names {
            let view = fixture.pooled().join(name);
            let whole = fs::read(&view).unwrap();
            let before = fs::metadata(&view).unwrap().modified().unwrap();
            // The clock that changes are stamped with ticks every few milliseconds.
            std::thread::sleep(Duration::from_millis(50));
            for modified in [SystemTime::now(), before] {
                damage(&view, modified);
                fixture.open_training().unwrap();
                assert!(fs::read(&view).unwrap() == whole, "{name} was not made again");
            }
            for len in [0, 127, 128, whole.len() - 1] {
                fs::write(&view, &whole[..len]).unwrap();
                fixture.open_training().unwrap();
                assert!(fs::read(&view).unwrap() == whole, "{name} was not made again");
            }
        }
    }
}

#[test]
fn an_unchanged_view_is_not_read_for_its_digest_and_a_touched_one_once() {
    for (fixture, names) in fixtures() {
        let open = || fixture.open_training().unwrap();
        open();
        let record = fixture.record();
        let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        for name in names {
            let view = fixture.pooled().join(name);
            // With a wrong digest in the record, only a check that does not read the bytes finds the
            // view whole.
            let digest = durable::digest_of_file(&view, |_| Ok(())).unwrap();
            let right = fs::read_to_string(&record).unwrap();
            let wrong = Digest::of(b"wrong").to_string();
            fs::write(&record, right.replace(&digest.to_string(), &wrong)).unwrap();
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
    }
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

/// A view that cannot be read is none: rows are pooled on the way, to the same numbers, and take the memory
/// that they take with a view.
#[test]
fn a_view_that_cannot_be_read_is_done_without() {
    for (fixture, names) in fixtures() {
        let mut with_view = fixture.open_training().unwrap();
        let (expected, sizes) = (numbers(&with_view), with_view.sizes().unwrap());
        // No file can take the place of a folder that is not empty.
        let array = fixture.pooled().join(names[0]);
        fs::remove_file(&array).unwrap();
        fs::create_dir_all(array.join("folder")).unwrap();
        let mut without = fixture.open_training().unwrap();
        for fit in [false, true, false] {
            without.keep_in_memory(fit, &mut unheard).unwrap();
            assert_eq!(numbers(&without), expected, "{fit}");
            with_view.keep_in_memory(fit, &mut unheard).unwrap();
            assert_eq!(numbers(&with_view), expected, "{fit}");
        }
        assert_eq!(without.sizes().unwrap(), sizes);
        let fill = |split: &PooledSplit<'_>| {
            let mut rows: SomeRows = split.no_rows(0, 0);
            assert!(!split.fill(&[5, 3, 4, 0], &mut rows, || true).unwrap());
            assert!(split.fill(&[5, 3, 4, 0], &mut rows, || false).unwrap());
            [0, 1, 2, 3].map(|index| whole_row(rows.row(index), ROW_LEN))
        };
        assert_eq!(fill(&without), fill(&with_view));
        // All rows come from the last to the first.
        let in_order = [5, 3, 4, 0].map(|row| expected[expected.len() - 1 - row].clone());
        assert_eq!(fill(&without), in_order);
    }
}

/// Up to a third of the numbers may be other than 0. All rows count, whatever the first ones are like.
#[test]
fn the_layout_is_chosen_by_counting() {
    type Elements = fn(usize) -> usize;
    // As many of a row's 16 numbers are not 0, each the largest of its four features.
    let with_elements = |elements: Elements| {
        Fixture::with_values(600, move |row, index| {
            if index < 4 * elements(row) { (row % 7 + index + 1) as f32 } else { -0.0 }
        })
    };
    // A third of 600 rows of 16 numbers is 3,200 of them.
    let cases: [(Elements, &[&str]); 6] = [
        (|row| if row < 200 { 6 } else { 5 }, CSR),
        (|row| if row <= 200 { 6 } else { 5 }, DENSE),
        (|row| if row < 300 { 0 } else { 16 }, DENSE),
        (|row| if row < 300 { 9 } else { 0 }, CSR),
        (|_| 0, CSR),
        (|_| 16, DENSE),
    ];
    for (elements, names) in cases {
        let fixture = with_elements(elements);
        let found = fixture.numbers();
        assert_eq!(fixture.view(), names);
        for (row, numbers) in (0..600).rev().zip(&found) {
            let present = numbers.iter().filter(|number| **number != 0.0).count();
            assert_eq!(present, elements(row), "row {row}");
            assert!(
                numbers
                    .iter()
                    .all(|number| number.to_bits() != (-0.0f32).to_bits() || names == DENSE)
            );
        }
    }
}

/// The view of an earlier version, and what another layout or a stranger left.
#[test]
fn another_view_is_replaced_and_removed() {
    let fixture = Fixture::sparse();
    let expected = fixture.numbers();
    let pooled = fixture.pooled();
    let array = fs::read(pooled.join("train.data.npy")).unwrap();
    let features_digest = fixture.cache.split(SplitName::Train).unwrap().features_digest();
    for name in CSR {
        fs::remove_file(pooled.join(name)).unwrap();
    }
    // Earlier versions kept all numbers, and had this record.
    fs::write(pooled.join("train.npy"), &array).unwrap();
    let stamp = Stamp::of(&pooled.join("train.npy"));
    let digest = Digest::of(&array);
    let record = json!({ "features_digest": features_digest, "digest": digest, "stamp": stamp });
    fs::write(fixture.record(), record.to_string()).unwrap();
    assert_eq!(fixture.numbers(), expected);
    assert_eq!(fixture.view(), CSR);
    for record in ["", "{}", "[]", "null", "{\"layout\": \"coo\"}"] {
        fs::write(fixture.record(), record).unwrap();
        assert_eq!(fixture.numbers(), expected, "{record}");
    }
    // A named pipe is not waited for.
    #[cfg(unix)]
    {
        fs::remove_file(fixture.record()).unwrap();
        let made = std::process::Command::new("mkfifo").arg(fixture.record()).status().unwrap();
        assert!(made.success());
        assert_eq!(fixture.numbers(), expected);
        assert!(fs::metadata(fixture.record()).unwrap().is_file());
    }
    // A record of as many arrays as another layout has.
    let mut record: Value = serde_json::from_slice(&fs::read(fixture.record()).unwrap()).unwrap();
    record["layout"] = "dense".into();
    fs::write(fixture.record(), record.to_string()).unwrap();
    assert_eq!(fixture.numbers(), expected);
}

/// Arrays that contradict each other, with digests as if they were right.
#[test]
fn contradictory_arrays_are_found_and_made_again() {
    let fixture = Fixture::sparse();
    let expected = fixture.numbers();
    let head = || {
        let run = train(
            fixture.features(),
            &config(),
            RESOURCES,
            &fixture.path("runs"),
            &mut unheard,
            &GO_ON,
        );
        let head = run.map(|run| fs::read(run.folder().join("head.safetensors")).unwrap());
        let _ = fs::remove_dir_all(fixture.path("runs"));
        head
    };
    let trained = head().unwrap();
    let whole: Vec<Vec<u8>> =
        CSR.iter().map(|name| fs::read(fixture.pooled().join(name)).unwrap()).collect();
    let row_elements = {
        let pointers: Vec<u64> = bytemuck::pod_collect_to_vec(&whole[2][128..]);
        assert!(pointers[2] >= 2, "the second row begins after two elements");
        pointers
    };
    let put = |array: usize, at: usize, bytes: &[u8]| {
        let mut changed = whole[array].clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        fs::write(fixture.pooled().join(CSR[array]), changed).unwrap();
    };
    let pointer = |row: usize, value: u64| put(2, 128 + 8 * row, &value.to_le_bytes());
    let elements = row_elements[12];
    let row = row_elements.windows(2).position(|pair| pair[1] - pair[0] >= 2).unwrap();
    let first = row_elements[row] as usize;
    let column = |at: usize, value: u16| put(1, 128 + 2 * at, &value.to_le_bytes());
    let changes: [(&str, bool, &dyn Fn()); 10] = [
        ("a first row that does not begin at 0", true, &|| pointer(0, 1)),
        ("falling pointers", true, &|| pointer(3, row_elements[2] - 1)),
        ("a pointer beyond the elements", true, &|| pointer(5, elements + 1)),
        ("a negative pointer", true, &|| pointer(5, u64::MAX)),
        ("a last pointer that is not the end", true, &|| pointer(12, elements - 1)),
        ("a header of another type", true, &|| put(0, 20, b"<i4")),
        ("a column that is none", false, &|| column(first, 16)),
        ("a repeated column", false, &|| column(first + 1, whole[1][128 + 2 * first].into())),
        ("NaN", false, &|| put(0, 128, &f32::NAN.to_le_bytes())),
        ("an infinite number", false, &|| put(0, 128, &f32::INFINITY.to_le_bytes())),
    ];
    for (change, is_structural, apply) in changes {
        for stamped in [false, true] {
            apply();
            fixture.forge(CSR, stamped);
            if stamped && !is_structural {
                // Nothing but the row itself tells.
                let error = head().unwrap_err();
                match error {
                    Error::Features(FeaturesError::DamagedView { .. })
                        if change.contains("column") => {}
                    Error::Diverged { .. } if !change.contains("column") => {
                        fs::remove_file(fixture.record()).unwrap();
                    }
                    error => panic!("{change}: {error}"),
                }
                assert!(!fixture.record().exists(), "{change}");
            }
            assert!(head().unwrap() == trained, "{change}, {stamped}");
            assert_eq!(fixture.numbers(), expected, "{change}, {stamped}");
            for (name, whole) in CSR.iter().zip(&whole) {
                assert!(fs::read(fixture.pooled().join(name)).unwrap() == *whole, "{change}");
            }
        }
    }
    // Lengths that differ: an element that only one of two arrays has.
    for array in 0..3 {
        let longer = [whole[array].clone(), vec![0; 8]].concat();
        fs::write(fixture.pooled().join(CSR[array]), longer).unwrap();
        fixture.forge(CSR, true);
        assert_eq!(fixture.numbers(), expected);
    }
}

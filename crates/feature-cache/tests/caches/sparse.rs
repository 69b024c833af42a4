//! The layout `csr`: the same numbers, and arrays that contradict each other are refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use durable::Digest;
use feature_cache::{
    Cache, CacheSpec, CacheWriter, Error, Layout, Shard, Split, SplitName, SplitReader, SplitSpec,
    Started,
};
use proptest::prelude::*;
use recipe::Dtype;

use crate::common::{files, spec, spec_of_two_taps, write_cache_of, write_part};

static NOT_STOPPED: AtomicBool = AtomicBool::new(false);

fn csr(spec: CacheSpec) -> CacheSpec {
    CacheSpec { layout: Layout::Csr, ..spec }
}

fn convert(cache: &Cache, layout: Layout, root: &Path) -> Result<Cache, Error> {
    match CacheWriter::start(root, cache.spec(layout)?)? {
        Started::Complete(cache) => Ok(*cache),
        Started::Unfinished(writer) => {
            Ok(cache.convert(*writer, &mut |_| (), &NOT_STOPPED)?.expect("nobody stops it"))
        }
    }
}

/// The bits of every number of a split, read as rows.
fn bits(split: &SplitReader<'_>) -> Vec<Vec<u32>> {
    let row = |row| {
        let mut values = vec![f32::NAN; split.row_len()];
        split.read_row(row, &mut values).unwrap();
        values.into_iter().map(f32::to_bits).collect()
    };
    (0..split.rows()).map(row).collect()
}

/// The same from the lists of elements.
fn bits_of_elements(split: &SplitReader<'_>) -> Vec<Vec<u32>> {
    // What was in them is removed.
    let (mut columns, mut values) = (vec![7], vec![7.0]);
    let mut row = |row| {
        split.read_elements(row, &mut columns, &mut values).unwrap();
        assert!(columns.is_sorted_by(|a, b| a < b));
        assert_eq!(columns.len(), values.len());
        let mut bits = vec![0; split.row_len()];
        for (&column, value) in columns.iter().zip(&values) {
            bits[column as usize] = value.to_bits();
            assert_ne!(value.to_bits(), 0);
        }
        bits
    };
    (0..split.rows()).map(&mut row).collect()
}

#[test]
fn the_numbers_are_those_of_the_dense_layout() {
    for dtype in [Dtype::F32, Dtype::F16] {
        let (dense_root, csr_root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut spec = spec_of_two_taps();
        spec.inputs.recipe.dtype = dtype;
        let dense = write_cache_of(dense_root.path(), spec.clone()).unwrap();
        let sparse = write_cache_of(csr_root.path(), csr(spec.clone())).unwrap();
        assert_eq!(sparse.manifest().key, dense.manifest().key);
        assert_eq!((dense.layout(), sparse.layout()), (Layout::Dense, Layout::Csr));
        Cache::verify(sparse.folder(), |_, _| ()).unwrap();
        for name in [SplitName::Train, SplitName::Test] {
            for taps in [&dense.taps()[..1], &dense.taps()[1..], dense.taps()] {
                let dense = dense.split_at(name, taps).unwrap();
                let sparse = sparse.split_at(name, taps).unwrap();
                let expected = bits(&dense);
                let has_negative_zero = expected.concat().contains(&(-0.0f32).to_bits());
                assert_eq!(has_negative_zero, name == SplitName::Train);
                assert_eq!(bits(&sparse), expected);
                assert_eq!(bits_of_elements(&dense), expected);
                assert_eq!(bits_of_elements(&sparse), expected);
                sparse.release_row(0);
                assert_eq!(bits(&sparse), expected);
                assert_ne!(dense.features_digest(), sparse.features_digest());
                sparse.verify_features().unwrap();
            }
        }
        // Each is found by its layout, and none is taken for the other.
        for (root, layout) in [(&dense_root, Layout::Dense), (&csr_root, Layout::Csr)] {
            for wanted in Layout::ALL {
                let found = Cache::find(root.path(), &spec.inputs, wanted).unwrap();
                assert_eq!(found.is_some(), wanted == layout);
            }
        }
        let renamed = csr_root.path().join(spec.folder_name());
        fs::rename(sparse.folder(), renamed).unwrap();
        let error = Cache::find(csr_root.path(), &spec.inputs, Layout::Dense).unwrap_err();
        assert!(error.to_string().contains("the layout csr, where dense was expected"), "{error}");
    }
}

#[test]
fn converting_there_and_back_changes_no_byte() {
    for (dtype, spec) in
        [(Dtype::F16, spec()), (Dtype::F32, spec_of_two_taps()), (Dtype::F16, spec_of_two_taps())]
    {
        let mut spec = spec;
        spec.inputs.recipe.dtype = dtype;
        let [first, second, third] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let dense = write_cache_of(first.path(), spec.clone()).unwrap();
        let sparse = convert(&dense, Layout::Csr, second.path()).unwrap();
        let written = tempfile::tempdir().unwrap();
        let written = write_cache_of(written.path(), csr(spec)).unwrap();
        assert_eq!(files(sparse.folder()), files(written.folder()), "converted as written");
        let back = convert(&sparse, Layout::Dense, third.path()).unwrap();
        assert_eq!(files(back.folder()), files(dense.folder()));
        // Its own layout, where it is: nothing to do.
        let same = convert(&dense, Layout::Dense, first.path()).unwrap();
        assert_eq!(same.folder(), dense.folder());
    }
}

/// One that is damaged is noticed, and a stop is continued.
#[test]
fn a_conversion_checks_what_it_reads_and_is_continued() {
    let root = tempfile::tempdir().unwrap();
    let spec = CacheSpec { reading: None, ..spec_of_two_taps() };
    let dense = write_cache_of(root.path(), spec.clone()).unwrap();
    let start = || match CacheWriter::start(root.path(), dense.spec(Layout::Csr).unwrap()).unwrap()
    {
        Started::Unfinished(writer) => *writer,
        Started::Complete(_) => panic!("it is not finished"),
    };
    // Damaged features.
    let path = dense.folder().join("train/features-conv5_3.npy");
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&path, damaged).unwrap();
    let error = dense.convert(start(), &mut |_| (), &NOT_STOPPED).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
    fs::write(&path, whole).unwrap();
    // A stop after the first rows of a split.
    let stop = AtomicBool::new(false);
    let mut reported = Vec::new();
    let stopped = dense.convert(
        start(),
        &mut |converted| {
            reported.push((converted.split, converted.rows_done));
            let is_at_test = converted.split == SplitName::Test;
            stop.store(is_at_test, std::sync::atomic::Ordering::SeqCst);
        },
        &stop,
    );
    assert!(stopped.unwrap().is_none());
    assert_eq!(reported, [(SplitName::Train, 0), (SplitName::Train, 5), (SplitName::Test, 0)]);
    let writer = start();
    assert_eq!(writer.rows_done(), 5);
    let sparse = dense.convert(writer, &mut |_| (), &NOT_STOPPED).unwrap().unwrap();
    let written = tempfile::tempdir().unwrap();
    let written = write_cache_of(written.path(), csr(spec)).unwrap();
    assert_eq!(files(sparse.folder()), files(written.folder()));
    // One of several parts, too.
    let parts = tempfile::tempdir().unwrap();
    for part in Shard::new(0, 3).unwrap().all() {
        write_part(parts.path(), spec_of_two_taps(), part).unwrap();
    }
    let cache = Cache::open(&parts.path().join(spec_of_two_taps().folder_name())).unwrap();
    let sparse = convert(&cache, Layout::Csr, parts.path()).unwrap();
    for name in [SplitName::Train, SplitName::Test] {
        let read = |cache: &Cache| bits(&cache.split_at(name, cache.taps()).unwrap());
        assert_eq!(read(&sparse), read(&cache));
    }
}

/// Rows so long that a column takes 32 bits, and rows without an element.
#[test]
fn long_rows_and_empty_ones() {
    for (len, descriptor) in [(1 << 16, "<u2"), ((1 << 16) + 1, "<i4")] {
        let root = tempfile::tempdir().unwrap();
        let mut spec = csr(spec());
        spec.shapes = vec![vec![len]];
        let mut writer = match CacheWriter::start(root.path(), spec.clone()).unwrap() {
            Started::Unfinished(writer) => *writer,
            Started::Complete(_) => panic!("the folder is new"),
        };
        let mut rows = vec![vec![0.0; len]; 5];
        (rows[1][0], rows[1][len - 1], rows[4][len - 1]) = (1.0, 2.0, 3.0);
        let mut train = writer.split(SplitName::Train).unwrap();
        train.append(&[&rows[..3].concat()]).unwrap();
        train.append(&[&rows[3..].concat()]).unwrap();
        train.finish().unwrap();
        let mut test = writer.split(SplitName::Test).unwrap();
        test.append(&[&rows[0]]).unwrap();
        test.finish().unwrap();
        let cache = writer.finish().unwrap();
        Cache::verify(cache.folder(), |_, _| ()).unwrap();
        let indices = fs::read(cache.folder().join("train/features.indices.npy")).unwrap();
        assert!(String::from_utf8_lossy(&indices[..128]).contains(descriptor));
        let split = cache.split(SplitName::Train).unwrap();
        let expected: Vec<Vec<u32>> =
            rows.iter().map(|row| row.iter().map(|value| value.to_bits()).collect()).collect();
        assert_eq!(bits(&split), expected);
    }
}

/// The bytes of a `.npy` file of one dimension.
fn npy(descriptor: &str, len: usize, elements: &[u8]) -> Vec<u8> {
    let header =
        format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': ({len},), }}");
    let mut file = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    file.extend(format!("{header:<117}\n").bytes());
    file.extend(elements);
    file
}

fn i64s(numbers: &[i64]) -> Vec<u8> {
    npy(
        "<i8",
        numbers.len(),
        &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>(),
    )
}

fn i32s(numbers: &[i32]) -> Vec<u8> {
    npy(
        "<i4",
        numbers.len(),
        &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>(),
    )
}

fn u16s(numbers: &[u16]) -> Vec<u8> {
    npy(
        "<u2",
        numbers.len(),
        &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>(),
    )
}

fn f32s(numbers: &[f32]) -> Vec<u8> {
    npy(
        "<f4",
        numbers.len(),
        &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>(),
    )
}

/// A cache whose author gives the digests that belong to its arrays.
struct Foreign {
    cache: Cache,
    _root: tempfile::TempDir,
}

impl Foreign {
    /// Three rows of four numbers, in float32.
    fn new() -> Foreign {
        let root = tempfile::tempdir().unwrap();
        let mut spec = csr(spec());
        spec.inputs.recipe.dtype = Dtype::F32;
        spec.shapes = vec![vec![4]];
        let ids = feature_cache::Ids::new(["a", "b", "c"]).unwrap();
        let train = SplitSpec { ids, labels: None, images: None };
        spec.splits = BTreeMap::from([(SplitName::Train, Arc::new(train) as _)]);
        let Started::Unfinished(mut writer) = CacheWriter::start(root.path(), spec).unwrap() else {
            panic!("the folder is new")
        };
        let mut split = writer.split(SplitName::Train).unwrap();
        split.append(&[&[1.0, 0.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0, 5.0, 0.0]]).unwrap();
        split.finish().unwrap();
        Foreign { cache: writer.finish().unwrap(), _root: root }
    }

    fn file(name: &str) -> String {
        format!("train/features.{name}.npy")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let name = Foreign::file(name);
        fs::write(self.cache.folder().join(&name), bytes).unwrap();
        self.change(|manifest| {
            for entry in manifest.splits.values_mut().flat_map(Split::entries_mut) {
                if entry.file == name {
                    (entry.bytes, entry.digest) = (bytes.len() as u64, Digest::of(bytes));
                }
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut feature_cache::Manifest)) {
        let path = self.cache.folder().join("manifest.json");
        let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        fs::write(path, manifest.to_text()).unwrap();
    }
}

#[test]
fn arrays_are_as_documented() {
    let foreign = Foreign::new();
    let found = files(foreign.cache.folder());
    assert_eq!(found[&Foreign::file("data")], f32s(&[1.0, 2.0, 3.0, 4.0, 5.0]));
    assert_eq!(found[&Foreign::file("indices")], u16s(&[0, 2, 3, 1, 2]));
    assert_eq!(found[&Foreign::file("indptr")], i64s(&[0, 3, 3, 5]));
    // Another writer's, with a longer header, and a zero that need not be there.
    let mut padded = i64s(&[0, 3, 3, 5]);
    padded.splice(127..127, [b' '; 64]);
    padded[8] += 64;
    foreign.write("indptr", &padded);
    foreign.write("data", &f32s(&[0.0, 2.0, 3.0, 4.0, 5.0]));
    Cache::verify(foreign.cache.folder(), |_, _| ()).unwrap();
}

#[test]
fn arrays_that_contradict_each_other_are_refused() {
    let data: &[f32] = &[1.0, 2.0, 3.0, 4.0, 5.0];
    let changes: [(&str, Vec<u8>, &str); 18] = [
        ("indptr", i64s(&[0, 3, 3]), "expected shape [4], dtype <i8, C order, found shape [3]"),
        ("indptr", i64s(&[0, 3, 3, 5, 5]), "found shape [5]"),
        ("indptr", i64s(&[1, 3, 3, 5]), "its rows have the elements 1 to 5 of 5"),
        ("indptr", i64s(&[0, 3, 3, 4]), "its rows have the elements 0 to 4 of 5"),
        ("indptr", i64s(&[0, 3, 3, 6]), "its rows have the elements 0 to 6 of 5"),
        ("indptr", i64s(&[0, 3, 2, 5]), "row 1 has the elements 3 to 2 of 5"),
        (
            "indptr",
            i64s(&[0, 3, i64::MAX, 5]),
            "row 1 has the elements 3 to 9223372036854775807 of 5",
        ),
        ("indptr", i64s(&[0, -3, 3, 5]), "row 0 has the elements 0 to -3 of 5"),
        ("indptr", u16s(&[0, 3, 3, 5]), "expected shape [4], dtype <i8"),
        ("indices", u16s(&[0, 2, 4, 1, 2]), "row 0 has the column 4 where one of 3 to 3 is due"),
        ("indices", u16s(&[0, 2, 2, 1, 2]), "row 0 has the column 2 where one of 3 to 3 is due"),
        ("indices", u16s(&[0, 2, 3, 2, 1]), "row 2 has the column 1 where one of 3 to 3 is due"),
        ("indices", u16s(&[0, 2, 3, 1]), "4 columns for 5 values"),
        ("indices", i64s(&[0, 2, 3, 1, 2]), "expected one dimension, dtype <u2"),
        ("data", f32s(&data[..4]), "5 columns for 4 values"),
        ("data", f32s(&[1.0, 2.0, f32::NAN, 4.0, 5.0]), "row 0 has the value NaN"),
        ("data", f32s(&[1.0, 2.0, 3.0, 4.0, f32::INFINITY]), "row 2 has the value inf"),
        ("data", npy("<f4", 1 << 60, &[]), "expected one dimension, dtype <f4"),
    ];
    for (name, bytes, says) in changes {
        let foreign = Foreign::new();
        foreign.write(name, &bytes);
        let folder = foreign.cache.folder();
        let error = Cache::verify(folder, |_, _| ()).unwrap_err();
        assert!(error.is_bad_input());
        let error = error.to_string();
        assert!(error.contains("train/features."), "{error}");
        assert!(error.contains(says), "'{says}' is not in: {error}");
        // Whoever reads without `verify` is told as well, and nothing else is taken for a row.
        let Ok(cache) = Cache::open(folder) else { continue };
        let split = cache.split(SplitName::Train).unwrap();
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        let mut refused = 0;
        for row in 0..3 {
            let dense = split.read_row(row, &mut [0.0; 4]);
            let sparse = split.read_elements(row, &mut columns, &mut values);
            assert_eq!(dense.is_err(), sparse.is_err());
            refused += usize::from(dense.is_err());
            split.release_row(row);
        }
        assert!(refused > 0, "{name}: {says}");
    }
}

/// Memory is taken for what is there, and not for what a manifest announces.
#[test]
fn large_rows_with_next_to_nothing_in_them_are_refused() {
    for (shape, elements, refused) in [
        (vec![64, 4096, 4096], 1, true),
        (vec![64, 512, 513], 1, true),
        (vec![64, 512, 512], 1, false),
        (vec![64, 512, 513], 16 * 1026, false),
    ] {
        let foreign = Foreign::new();
        foreign.change(|manifest| {
            manifest.shapes.values_mut().for_each(|found| found.clone_from(&shape));
        });
        let (data, columns) = (vec![1.0; elements], (0..elements as i32).collect::<Vec<_>>());
        foreign.write("data", &f32s(&data));
        foreign.write("indices", &i32s(&columns));
        foreign.write("indptr", &i64s(&[0, elements as i64, elements as i64, elements as i64]));
        let opened = Cache::open(foreign.cache.folder());
        let error = opened.err().map(|error| error.to_string());
        assert_eq!(error.is_some(), refused, "{shape:?}: {error:?}");
        if let Some(error) = error {
            let expected = format!("features.data.npy has 1 element for rows of shape {shape:?}");
            assert!(error.contains(&expected), "{error}");
        }
    }
}

/// The room for what is left is estimated from the rows that there are.
#[test]
fn the_room_for_rows_is_estimated() {
    let root = tempfile::tempdir().unwrap();
    let mut spec = csr(spec());
    spec.inputs.recipe.dtype = Dtype::F32;
    spec.shapes = vec![vec![40_000]];
    let Started::Unfinished(mut writer) = CacheWriter::start(root.path(), spec).unwrap() else {
        panic!("the folder is new")
    };
    assert_eq!(writer.feature_bytes_left(), 6 * 40_000);
    let mut row = vec![0.0; 40_000];
    row[..1000].fill(1.0);
    let mut train = writer.split(SplitName::Train).unwrap();
    train.append(&[&row]).unwrap();
    train.checkpoint().unwrap();
    // 6 bytes per element, 16 in indptr, and three headers.
    assert_eq!(writer.feature_bytes_left(), 5 * (6 * 1000 + 16 + 3 * 128));
}

proptest! {
    /// Whatever the rows, and wherever the writer is interrupted.
    #[test]
    fn any_rows_come_back(
        bits in prop::collection::vec(prop_oneof![3 => Just(0u16), 1 => any::<u16>()], 6 * 8),
        interrupted_after in 0..5usize,
        recorded in any::<bool>(),
    ) {
        let finite = |bits: u16| {
            let value = half::f16::from_bits(bits);
            if value.is_finite() { value } else { half::f16::NEG_ZERO }
        };
        let values: Vec<f32> = bits.iter().map(|&bits| finite(bits).to_f32()).collect();
        let root = tempfile::tempdir().unwrap();
        let spec = csr(spec());
        let mut cache = None;
        for stop_at in [interrupted_after, 5] {
            let Started::Unfinished(mut writer) = CacheWriter::start(root.path(), spec.clone()).unwrap()
            else {
                panic!("it is not finished")
            };
            let mut train = writer.split(SplitName::Train).unwrap();
            for row in train.rows_done()..stop_at {
                train.append(&[&values[8 * row..8 * (row + 1)]]).unwrap();
                if recorded {
                    train.checkpoint().unwrap();
                }
            }
            if stop_at < 5 {
                continue;
            }
            train.finish().unwrap();
            let mut test = writer.split(SplitName::Test).unwrap();
            if test.rows_done() == 0 {
                test.append(&[&values[40..]]).unwrap();
            }
            test.finish().unwrap();
            cache = Some(writer.finish().unwrap());
        }
        let cache = cache.unwrap();
        Cache::verify(cache.folder(), |_, _| ()).unwrap();
        let mut found = bits_of_elements(&cache.split(SplitName::Train).unwrap());
        found.extend(bits_of_elements(&cache.split(SplitName::Test).unwrap()));
        let expected: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
        prop_assert_eq!(found.concat(), expected);
    }
}

//! Tests of splits that are taken from the training images, and of datasets without their bad images.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use dataset::{
    Dataset, Decoding, Error, Faults, FormError, Notice, Source, SourceConfig, Split, SplitConfig,
    SplitError,
};

/// A gray image of 1×1 pixels.
fn pgm(number: usize) -> Vec<u8> {
    format!("P5 1 1 255\n{}", char::from(b'0' + (number % 60) as u8)).into_bytes()
}

/// Images of two classes that are all different, but for those of numbers with a difference of 60.
fn folder(numbers: impl IntoIterator<Item = usize>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for number in numbers {
        write(folder.path(), &format!("{}/{number:03}.pgm", number % 2), &pgm(number));
    }
    folder
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn ids(split: &Split) -> Vec<String> {
    split.ids().collect()
}

fn all_ids(dataset: &Dataset) -> [Vec<String>; 3] {
    [ids(&dataset.train), ids(&dataset.val), ids(&dataset.test)]
}

#[test]
fn the_test_split_depends_on_nothing_but_seed_and_fraction() {
    let folder = folder(0..60);
    let source = Source::find(folder.path()).unwrap();
    let config = SplitConfig { test_fraction: 0.2, ..SplitConfig::default() };
    let [train, val, test] = all_ids(&source.load(&config).unwrap());
    assert_eq!((train.len(), val.len(), test.len()), (48, 0, 12));
    let labels = source.load(&config).unwrap().test.labels().unwrap().collect::<Vec<i64>>();
    assert_eq!(labels.iter().filter(|&&label| label == 0).count(), 6);
    for val_fraction in [0.1, 0.5] {
        let dataset = source.load(&SplitConfig { val_fraction, ..config }).unwrap();
        assert_eq!(ids(&dataset.test), test);
        assert_eq!(dataset.val.len(), (60.0 * val_fraction) as usize);
    }
    let other = source.load(&SplitConfig { seed: 1, ..config }).unwrap();
    assert_ne!(ids(&other.test), test);
    let limited = source.load(&SplitConfig { limit: Some(4), ..config }).unwrap();
    assert_eq!(limited.test.len(), 4);
    assert!(ids(&limited.test).iter().all(|id| test.contains(id)));
    // Test images of its own win.
    write(folder.path(), "train/0/1.pgm", &pgm(1));
    write(folder.path(), "train/1/2.pgm", &pgm(2));
    write(folder.path(), "test/1/3.pgm", &pgm(3));
    let source = Source::find(folder.path()).unwrap();
    let applicable = source.applicable(&config);
    assert_eq!((applicable.test_fraction, applicable.val_fraction), (0.0, 0.0));
    assert_eq!(ids(&source.load(&config).unwrap().test), ["test/1/3.pgm"]);
    let said = source.unused_fractions(Some(0.2), Some(0.2));
    let flag = "--test-fraction";
    assert_eq!(said, [Notice::UnusedFraction { flag, images: "test" }]);
    assert_eq!(source.unused_fractions(Some(0.2), None), []);
}

#[test]
fn equal_images_are_in_one_split() {
    let folder = folder(0..120);
    let source = Source::find(folder.path()).unwrap();
    let config = SplitConfig {
        test_fraction: 0.25,
        val_fraction: 0.25,
        dedupe: true,
        ..SplitConfig::default()
    };
    let digests =
        |split: &Split| -> BTreeSet<_> { (0..split.len()).map(|row| split.digest(row)).collect() };
    let dataset = source.load(&config).unwrap();
    let [train, val, test] = [&dataset.train, &dataset.val, &dataset.test].map(digests);
    assert!(train.is_disjoint(&val) && train.is_disjoint(&test) && val.is_disjoint(&test));
    // Pairs of a class, of which 15 images would be taken.
    assert_eq!([dataset.train.len(), dataset.val.len(), dataset.test.len()], [64, 28, 28]);
    assert_eq!(dataset.duplicates(), []);
    let divided = source.load(&SplitConfig { dedupe: false, ..config }).unwrap();
    assert!(matches!(
        divided.duplicates()[..],
        [Notice::SharedImages { .. }, Notice::SharedImages { .. }, Notice::SharedImages { .. }]
    ));
}

/// As if they had never been there: in folders and lists, in groups and without.
#[test]
fn without_bad_images_a_dataset_is_that_of_the_others() {
    let all = tempfile::tempdir().unwrap();
    let good = tempfile::tempdir().unwrap();
    let bad = |number: usize| matches!(number, 0 | 17 | 33 | 118);
    let mut lists = ["path,label,group\n".to_owned(), "path,label,group\n".to_owned()];
    for number in 0..120 {
        let name = format!("{}/{number:03}.pgm", number % 2);
        // The first images of two groups are bad.
        let row = format!("{name},{},g{}\n", number % 2, (number + 1) / 3);
        let bytes = if bad(number) { format!("bad {number}").into_bytes() } else { pgm(number) };
        write(all.path(), &name, &bytes);
        lists[0].push_str(&row);
        if !bad(number) {
            write(good.path(), &name, &bytes);
            lists[1].push_str(&row);
        }
    }
    write(all.path(), "list.csv", lists[0].as_bytes());
    write(good.path(), "list.csv", lists[1].as_bytes());
    let find = |folder: &Path, form: &str| {
        let config = SourceConfig { form: Some(form.to_owned()), ..SourceConfig::default() };
        Source::find_with(folder, &config).unwrap()
    };
    for form in ["image-list", "class-folders"] {
        let images = find(all.path(), form).read().unwrap();
        let faults: Faults = [0, 17, 33, 118]
            .into_iter()
            .map(|number| {
                (durable::Digest::of(format!("bad {number}").as_bytes()), "is bad".to_owned())
            })
            .collect();
        assert_eq!(images.images(), 120);
        let listed = images.with(&faults);
        assert_eq!(listed.len(), 4);
        let said = listed[0].to_string();
        assert!(
            said.starts_with("image 0 of train: ") && said.ends_with("000.pgm is bad"),
            "{said}"
        );
        for (seed, dedupe, limit) in
            [(0, false, None), (1, false, Some(20)), (2, true, None), (3, true, Some(9))]
        {
            let config = SplitConfig {
                val_fraction: 0.2,
                test_fraction: 0.1,
                dedupe,
                allow_single_images: true,
                limit,
                seed,
            };
            let expected = find(good.path(), form).load(&config).unwrap();
            let found = images.split(&config, &faults).unwrap();
            assert_eq!(all_ids(&found), all_ids(&expected), "{form} {seed}");
            let labels = |dataset: &Dataset| -> Vec<i64> {
                [&dataset.train, &dataset.val, &dataset.test]
                    .into_iter()
                    .flat_map(|split| split.labels().unwrap().collect::<Vec<_>>())
                    .collect()
            };
            assert_eq!(labels(&found), labels(&expected));
        }
    }
}

/// It is for the fraction that none are taken, not for the groups.
#[test]
fn a_fraction_that_rounds_to_nothing_is_told_from_groups_that_cannot_leave() {
    let folder = folder(0..5);
    let source = Source::find(folder.path()).unwrap();
    let config = SplitConfig { val_fraction: 0.05, dedupe: true, ..SplitConfig::default() };
    let error = source.load(&config).unwrap_err();
    assert!(
        matches!(error, Error::Split(SplitError::EmptySplit { images: 5, classes: 2, .. })),
        "{error}"
    );
}

/// Those of whole archives, files and arrays.
#[test]
fn images_in_larger_files_are_not_read_after_a_stop() {
    let forms = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/forms"));
    let idx = tempfile::tempdir().unwrap();
    write(idx.path(), "train-images-idx3-ubyte", b"\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01\x07");
    write(idx.path(), "train-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x01\0");
    for path in [&forms.join("parquet/hub"), &forms.join("webdataset/flat"), idx.path()] {
        let source = Source::find(path).unwrap();
        source.digest().unwrap();
        let read = |stop| source.read_with(None, &AtomicBool::new(stop));
        assert!(matches!(read(true), Err(Error::Stopped)), "{}", path.display());
        assert!(read(false).is_ok());
    }
}

#[test]
fn faults_are_found_where_images_are_read_for_their_digests() {
    let folder = tempfile::tempdir().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in
        [("1.pgm", &pgm(1)[..]), ("1.cls", b"a"), ("2.pgm", b"bad"), ("2.cls", b"a")]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    write(folder.path(), "set.tar", &tar.into_inner().unwrap());
    let source = Source::find(&folder.path().join("set.tar")).unwrap();
    let faults = |scan: Option<Decoding>| {
        source.read_with(scan, &AtomicBool::new(false)).unwrap().faults().clone()
    };
    assert!(faults(None).is_empty());
    let found = faults(Some(Decoding::default()));
    assert_eq!(found.digests().collect::<Vec<_>>(), [durable::Digest::of(b"bad")]);
}

#[test]
fn what_loses_a_class_or_cannot_be_grouped_is_refused() {
    let folder = folder(0..10);
    write(folder.path(), "rare/1.pgm", b"bad");
    let source = Source::find(folder.path()).unwrap();
    let bad: Faults = [(durable::Digest::of(b"bad"), "is bad".to_owned())].into_iter().collect();
    let error = source.read().unwrap().split(&SplitConfig::default(), &bad).unwrap_err();
    assert!(
        matches!(&error, Error::Split(SplitError::NoneReadable { what, .. }) if what == "the class 'rare'"),
        "{error}"
    );
    let mut config = SourceConfig::default();
    config.columns.group = Some("patient".to_owned());
    let error = Source::find_with(folder.path(), &config).unwrap_err();
    assert!(
        matches!(error, Error::Form(FormError::NoColumns { form: "class-folders", .. })),
        "{error}"
    );
}

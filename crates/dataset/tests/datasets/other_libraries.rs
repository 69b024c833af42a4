//! Datasets that other libraries wrote (`forms/make_files.py`), row by row as those libraries read them, and files of
//! the same kind that are refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dataset::{
    ColumnNames, Dataset, Decoding, Error, Images, PackedError, Source, SourceConfig, Split,
    SplitConfig, TableError,
};
use durable::Digest;
use serde_json::Value;
use tempfile::TempDir;

const ALL: SplitConfig = SplitConfig {
    val_fraction: 0.0,
    test_fraction: 0.0,
    dedupe: false,
    allow_single_images: false,
    limit: None,
    seed: 0,
};

fn forms() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/forms"))
}

/// The datasets in a folder: the rows of each of their splits, `[gray level, label]`.
fn expected_in(folder: &str) -> BTreeMap<String, BTreeMap<String, Vec<[Value; 2]>>> {
    let text = fs::read(forms().join(folder).join("expected.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn load(path: &Path) -> Result<Dataset, Error> {
    Source::find(path)?.load(&ALL)
}

/// The gray level and the label of each row. Labels that were written as numbers are numbers.
fn rows_of(split: &Split, class_names: &[String], like: &[[Value; 2]]) -> Vec<[Value; 2]> {
    let row = |row: usize| {
        let image = split.image(row).unwrap();
        assert_eq!((image.height, image.width), (4, 4));
        let label = split.label(row).map(|label| class_names[label as usize].clone());
        [image.pixels[0].into(), as_in(label, &like[row][1])]
    };
    (0..split.len()).map(row).collect()
}

fn as_in(label: Option<String>, like: &Value) -> Value {
    match label {
        Some(label) if like.is_number() => label.parse::<i64>().unwrap().into(),
        label => label.into(),
    }
}

/// Compares all datasets in a folder with what the other library reads, for training and for classifying.
fn check_all(folder: &str, form: &str) {
    for (name, splits) in expected_in(folder) {
        let path = forms().join(folder).join(&name);
        let source = Source::find(&path).unwrap();
        assert_eq!(source.form(), form, "{name}");
        assert_eq!(source.notices().len(), usize::from(path.is_file()), "{:?}", source.notices());
        let dataset = source.load(&ALL).unwrap();
        let none = Vec::new();
        for (split, key) in
            [(&dataset.train, "train"), (&dataset.val, "val"), (&dataset.test, "test")]
        {
            let expected = splits.get(key).unwrap_or(&none);
            assert_eq!(split.len(), expected.len(), "{name}, {key}");
            assert_eq!(&rows_of(split, &dataset.class_names, expected), expected, "{name}, {key}");
            let ids: std::collections::BTreeSet<String> = split.ids().collect();
            assert_eq!(ids.len(), split.len(), "{name}: every id is of one row");
            if !expected.is_empty() {
                check_images(&path, key, expected);
            }
        }
        assert_eq!(source.digest().unwrap(), Source::find(&path).unwrap().digest().unwrap());
    }
}

fn check_images(path: &Path, part: &str, expected: &[[Value; 2]]) {
    let images = Images::find(&[path.to_path_buf()], Some(part)).unwrap();
    assert_eq!(images.len(), expected.len(), "{}", path.display());
    for (index, [gray, label]) in expected.iter().enumerate() {
        let image = images.image(index, Decoding::default()).unwrap();
        assert_eq!(Value::from(image.pixels[0]), *gray);
        let found = images.label(index).map(str::to_owned);
        assert_eq!(as_in(found, label), *label, "{}", images.name(index));
        assert!(images.name(index).lines().count() == 1);
    }
}

#[test]
fn parquet_files_of_datasets_pyarrow_and_polars_are_read() {
    check_all("parquet", "parquet");
    // Digests of images are those of files with the same bytes, compressed or not.
    let png = Digest::of(&fs::read(forms().join("image-folder/flat-csv/3.png")).unwrap());
    for name in ["hub", "snappy.parquet", "v2.parquet", "polars.parquet", "delta.parquet"] {
        let dataset = load(&forms().join("parquet").join(name)).unwrap();
        assert_eq!(dataset.train.digest(3), png, "{name}");
    }
    let hub = load(&forms().join("parquet/hub")).unwrap();
    assert_eq!(hub.class_names, ["cat", "dog", "mouse"]);
    let ids: Vec<String> = hub.train.ids().skip(11).take(2).collect();
    assert_eq!(
        ids,
        ["data/train-00000-of-00002.parquet/11", "data/train-00001-of-00002.parquet/0"]
    );
}

#[test]
fn image_folders_are_read_as_datasets_reads_them() {
    check_all("image-folder", "image-folder");
}

#[test]
fn tar_archives_are_read_as_webdataset_reads_them() {
    check_all("webdataset", "webdataset");
    let name = |name: &str| Source::find(&forms().join("webdataset").join(name)).unwrap().name();
    assert_eq!(name("flat/train-{000..001}.tar"), "train");
    let dataset = load(&forms().join("webdataset/splits")).unwrap();
    assert_eq!(dataset.val.ids().next().unwrap(), "val/000.tar/set/0005.png");
}

#[test]
fn arrays_of_any_names_are_read_as_numpy_has_them() {
    for (name, splits) in expected_in("arrays") {
        let path = forms().join("arrays").join(&name);
        let source = Source::find(&path).unwrap();
        let dataset = source.load(&ALL).unwrap();
        assert_eq!(source.form(), "arrays", "{name}");
        for (split, key) in [(&dataset.train, "train"), (&dataset.test, "test")] {
            let none = Vec::new();
            let expected = splits.get(key).unwrap_or(&none);
            assert_eq!(&rows_of(split, &dataset.class_names, expected), expected, "{name}, {key}");
            if !expected.is_empty() {
                check_images(&path, key, expected);
            }
        }
        let notices: Vec<String> = source.notices().iter().map(ToString::to_string).collect();
        if name.starts_with("other-names") {
            let says =
                "read 'photos' as the images and 'species' as their labels, since no other arrays";
            assert!(notices.len() == 1 && notices[0].contains(says), "{name}: {notices:?}");
        } else {
            assert!(notices.is_empty(), "{name}: {notices:?}");
        }
    }
    let classes = |name: &str| load(&forms().join("arrays").join(name)).unwrap().class_names;
    assert_eq!(classes("other-names-texts.npz"), ["Käfer", "ant", "bee"]);
    assert_eq!(classes("numbers-as-bytes.npz"), ["2", "10"]);
}

/// The error about a dataset, which names the file and says all of this.
fn assert_refused(path: &Path, config: &SourceConfig, says: &[&str]) {
    let loaded = Source::find_with(path, config).and_then(|source| source.load(&ALL));
    let error = loaded.unwrap_err();
    let error = match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let name = path.file_name().unwrap().to_string_lossy();
    for text in [&[&*name], says].concat() {
        assert!(error.contains(text), "'{text}' is not in: {error}");
    }
}

#[test]
fn other_parquet_files_are_refused_with_their_row() {
    for (name, says) in [
        (
            "null-image",
            &[
                "row 23 (counted from 0), column 'image': found 'null', expected the bytes of an image",
                "leave rows without one out with pandas (df[df['image'].notna()])",
            ][..],
        ),
        (
            "null-bytes",
            &["row 5 (counted from 0), column 'image.bytes': found 'null'", "to_parquet"],
        ),
        ("null-label", &["row 7 (counted from 0), column 'label': found 'null', expected a label"]),
        (
            "class-4",
            &[
                "row 2 (counted from 0), column 'label': found '3', expected the number of one of the classes",
            ],
        ),
        ("no-image", &["found the columns text, label; expected a column of images", "path=NAME"]),
        ("image-of-text", &["the column 'image' holds texts"]),
        ("image-of-lists", &["the column 'image' holds lists"]),
        ("two-images", &["both 'left' and 'right' may be meant", "--columns path=NAME"]),
        ("no-label", &["found the columns image, text; expected a column of labels", "label=NAME"]),
        ("label-of-floats", &["the column 'label' is one of 64-bit floating-point numbers"]),
        ("label-of-lists", &["the column 'label' holds lists"]),
        ("two-nulls", &["row 4 (counted from 0), column 'image': found 'null'"]),
        ("zeros", &["its column 'image' has a page of 209715", "with pyarrow"]),
        (
            "brotli",
            &[
                "its column 'image.bytes' is compressed with Brotli, which is not supported",
                "pyarrow.parquet.write_table(pyarrow.parquet.read_table(FILE), NEW, compression='zstd')",
            ],
        ),
        ("prefixes", &["its column 'image.bytes' has the encoding DELTA_BYTE_ARRAY"]),
    ] {
        let path = forms().join(format!("parquet-refused/{name}.parquet"));
        assert_refused(&path, &SourceConfig::default(), says);
    }
    let columns =
        |text: &str| SourceConfig { columns: text.parse().unwrap(), ..Default::default() };
    let texts = forms().join("parquet/texts.parquet");
    assert_refused(&texts, &columns("label=img"), &["the column 'img' holds bytes"]);
    assert_refused(&texts, &columns("path=label"), &["the column 'label' holds texts"]);
    assert_refused(
        &texts,
        &columns("label=x"),
        &["there is no column 'x' (found the columns img, label)"],
    );
    // The columns are part of what is digested.
    let two = forms().join("parquet-refused/two-images.parquet");
    let digest = |text: &str| Source::find_with(&two, &columns(text)).unwrap().digest().unwrap();
    assert_ne!(digest("path=left"), digest("path=right"));
    let named = Source::find_with(&two, &columns("path=left")).unwrap().load(&ALL).unwrap();
    assert_eq!(named.train.len(), 9);
    let without = forms().join("parquet-refused/no-label.parquet");
    let text = Source::find_with(&without, &columns("label=text")).unwrap().load(&ALL).unwrap();
    assert_eq!(text.class_names, ["cat", "dog"]);
    // Without labels, images are classified.
    let images = Images::find(&[without], None).unwrap();
    assert_eq!((images.len(), images.label(0)), (40, None));
}

/// A copy of these files of `forms/parquet` under other names.
fn copies(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in files {
        let to = folder.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(forms().join("parquet").join(from), to).unwrap();
    }
    folder
}

#[test]
fn parquet_files_are_found_by_their_names() {
    let rows = |folder: &TempDir| {
        let source = Source::find(folder.path()).unwrap();
        assert_eq!(source.form(), "parquet");
        let dataset = source.load(&ALL).unwrap();
        let notices: Vec<String> = source.notices().iter().map(ToString::to_string).collect();
        ([dataset.train.len(), dataset.val.len(), dataset.test.len()], notices.join("; "))
    };
    let (file, none) = ("snappy.parquet", String::new());
    assert_eq!(
        rows(&copies(&[(file, "a.parquet"), (file, "b.parquet")])),
        ([80, 0, 0], none.clone())
    );
    let folders = [(file, "train/0.parquet"), (file, "valid/0.parquet"), (file, "test/0.parquet")];
    assert_eq!(rows(&copies(&folders)), ([40, 40, 40], none.clone()));
    let config = [(file, "plain_text/train.parquet"), (file, "plain_text/dev-1.parquet")];
    assert_eq!(rows(&copies(&config)), ([40, 40, 0], none));
    let beside = copies(&[(file, "train.parquet"), (file, "extra.parquet")]);
    let (found, said) = rows(&beside);
    assert!(
        found == [40, 0, 0] && said.contains("passed over beside train.parquet: extra.parquet"),
        "{said}"
    );
    let alone = Source::find(&beside.path().join("train.parquet")).unwrap();
    assert!(alone.notices()[0].to_string().contains("extra.parquet"), "{:?}", alone.notices());
    let counted = copies(&[(file, "data/train-00000-of-00002.parquet")]);
    let error = load(counted.path()).unwrap_err().to_string();
    assert!(error.contains("train-00001-of-00002.parquet is missing, and train-00000"), "{error}");
    let test = copies(&[(file, "test.parquet")]);
    assert!(matches!(load(test.path()), Err(Error::Table(TableError::NoTrainingRows { .. }))));
    // Numbers and texts are not the same classes.
    let mixed = copies(&[
        ("hub/data/train-00000-of-00002.parquet", "train/0.parquet"),
        (file, "test/0.parquet"),
    ]);
    let error = load(mixed.path()).unwrap_err().to_string();
    assert!(error.contains("are not those of the other files"), "{error}");
    // Other Parquet files beside class folders are passed over, and so is one that is damaged not.
    let folders = copies(&[]);
    for class in ["a", "b"] {
        fs::create_dir(folders.path().join(class)).unwrap();
        fs::copy(
            forms().join("image-folder/flat-csv/0.png"),
            folders.path().join(class).join("0.png"),
        )
        .unwrap();
    }
    fs::copy(forms().join("parquet-refused/no-image.parquet"), folders.path().join("x.parquet"))
        .unwrap();
    assert_eq!(Source::find(folders.path()).unwrap().form(), "class-folders");
    assert_eq!(Images::find(&[folders.path().to_path_buf()], None).unwrap().len(), 2);
    fs::write(folders.path().join("x.parquet"), b"PAR1").unwrap();
    assert!(matches!(
        Source::find(folders.path()),
        Err(Error::Packed(PackedError::DamagedParquet { .. }))
    ));
}

#[test]
fn parquet_files_that_change_or_are_damaged_are_noticed() {
    for name in ["zstd.parquet", "uncompressed.parquet"] {
        let whole = fs::read(forms().join("parquet").join(name)).unwrap();
        let folder = copies(&[(name, "train.parquet")]);
        let path = folder.path().join("train.parquet");
        let source = Source::find(&path).unwrap();
        let dataset = source.load(&ALL).unwrap();
        let changed: Vec<u8> = whole.iter().map(|byte| byte ^ 1).collect();
        for bytes in [&changed[..], b""] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(dataset.train.image(0), Err(Error::Changed { .. })), "{name}");
            assert!(source.clone().load(&ALL).is_err());
        }
        // A truncated file is refused, wherever it ends.
        for part in 0..10 {
            fs::write(&path, &whole[..whole.len() * part / 10]).unwrap();
            let refused = load(&path);
            assert!(
                matches!(refused, Err(Error::Packed(PackedError::DamagedParquet { .. }))),
                "{name}, {part}: {refused:?}"
            );
        }
        // One of which a byte differs is read or refused.
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            if let Ok(dataset) = load(&path) {
                (0..dataset.train.len()).for_each(|row| drop(dataset.train.image(row)));
            }
        }
    }
}

/// Whichever thread is faster.
#[test]
fn of_several_wrong_rows_the_first_is_named() {
    let path = forms().join("parquet-refused/two-nulls.parquet");
    for _ in 0..50 {
        assert_refused(
            &path,
            &SourceConfig::default(),
            &["row 4 (counted from 0), column 'image'"],
        );
    }
}

#[test]
fn images_may_compress_to_nearly_nothing_and_come_again() {
    let blank = load(&forms().join("parquet-sizes/blank.parquet")).unwrap();
    let image = blank.train.image(2).unwrap();
    assert_eq!((blank.train.len(), image.height, image.pixels[0]), (3, 1000, 2));
    let path = forms().join("parquet-sizes/oversampled.parquet");
    assert!(fs::metadata(&path).unwrap().len() < 10_000);
    let again = load(&path).unwrap();
    assert_eq!(again.train.len(), 10_000);
    assert_eq!(again.train.image(9_999).unwrap().pixels[0], 19);
    assert_eq!(again.train.label(9_999), Some(1));
}

/// They would be read again for each of the row groups, of which 40 bytes describe one.
#[test]
fn row_groups_that_share_pages_are_refused() {
    let file = "../../fuzz/corpus/parquet/groups-that-share-pages";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), &path).unwrap();
    let says = ["the same pages are said to be those of two columns or row groups"];
    assert_refused(&path, &SourceConfig::default(), &says);
}

/// A column may have two meanings, so that it is read once.
#[test]
fn labels_may_be_groups() {
    let config = SourceConfig {
        columns: "group=house,label=house".parse::<ColumnNames>().unwrap(),
        ..SourceConfig::default()
    };
    let path = forms().join("parquet-columns/houses.parquet");
    let dataset = Source::find_with(&path, &config).unwrap().load(&ALL).unwrap();
    assert_eq!((dataset.train.len(), dataset.class_names.len()), (40, 10));
}

#[test]
fn groups_in_several_splits_are_said() {
    let path = forms().join("parquet-columns/divided.parquet");
    let source = Source::find(&path).unwrap();
    let notices: Vec<String> = source.notices().iter().map(ToString::to_string).collect();
    let warning = format!("warning: {}: 2 groups in several splits: p0, p1", path.display());
    assert!(notices.contains(&warning), "{notices:?}");
}

#[test]
fn splits_and_groups_may_be_columns_of_a_parquet_file() {
    let source = Source::find(&forms().join("parquet-columns/all.parquet")).unwrap();
    assert!(!source.notices().iter().any(|notice| notice.to_string().contains("warning")));
    let dataset = source.load(&SplitConfig { val_fraction: 0.5, ..ALL }).unwrap();
    // There are validation images, so none are taken from those for training.
    assert_eq!([dataset.train.len(), dataset.val.len(), dataset.test.len()], [20, 10, 10]);
    // The second has a usual name.
    for (file, columns) in [("houses", "group=house,label=kind"), ("subjects", "label=label")] {
        let columns = columns.parse::<ColumnNames>().unwrap();
        let config = SourceConfig { columns, ..SourceConfig::default() };
        let path = forms().join(format!("parquet-columns/{file}.parquet"));
        let dataset = Source::find_with(&path, &config).unwrap();
        let dataset = dataset.load(&SplitConfig { val_fraction: 0.25, ..ALL }).unwrap();
        let groups = |split: &Split| -> std::collections::BTreeSet<u8> {
            (0..split.len()).map(|row| split.image(row).unwrap().pixels[0] / 4).collect()
        };
        let (train, val) = (groups(&dataset.train), groups(&dataset.val));
        assert!(!val.is_empty() && train.is_disjoint(&val), "{file}: {train:?} {val:?}");
    }
}

#[test]
fn patterns_name_archives_that_are_there() {
    let folder = forms().join("webdataset");
    let refused = |pattern: &str, says: &[&str]| {
        let error = load(&folder.join(pattern)).unwrap_err().to_string();
        for text in says {
            assert!(error.contains(text), "'{text}' is not in: {error}");
        }
    };
    refused(
        "flat/train-{000..004}.tar",
        &["no archive", "flat/train-003.tar, which", "{000..004}.tar names"],
    );
    refused(
        "flat/train-{0..9999999}.tar",
        &["names more than 100000 archives", "train-{000..150}.tar"],
    );
    refused("flat/train-{000..002}.tgz", &["there is no dataset folder or file"]);
    // A file of exactly this name is no pattern.
    let own = tempfile::tempdir().unwrap();
    let path = own.path().join("train-{0..9}.tar");
    fs::copy(folder.join("flat/train-000.tar"), &path).unwrap();
    assert_eq!(load(&path).unwrap().train.len(), 4);
}

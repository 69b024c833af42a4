//! Parsers of datasets: IDX files, compressed or not, Kaggle's CSV, lists and tables of images, arrays, archives,
//! Parquet files, and images.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use dataset::{
    Dataset, Decoding, Error, FileDigests, ImageFault, Images, Source, SplitConfig, SplitError,
};
use durable::Digest;
use recipe::Orientation;

use crate::allocations::{ALLOWANCE, assert_taken};
use crate::write;

/// Two images of 2×2.
const IMAGES: &[u8] = b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02\x01\x02\x03\x04\x05\x06\x07\x08";
/// Two labels.
const LABELS: &[u8] = b"\0\0\x08\x01\0\0\0\x02\0\x01";

pub(crate) fn idx_images(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "train-labels-idx1-ubyte", LABELS);
    write(folder, &with_ending("train-images-idx3-ubyte", bytes), bytes);
    load(folder)
}

pub(crate) fn idx_labels(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "train-images-idx3-ubyte", IMAGES);
    write(folder, &with_ending("train-labels-idx1-ubyte", bytes), bytes);
    load(folder)
}

pub(crate) fn kaggle_csv(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "train.csv", bytes);
    load(folder)
}

/// The smallest image, of one pixel.
const PIXEL: &[u8] = b"P5 1 1 255\n\x07";

/// Parses a list of images. The images `a.png`, `b.png`, `c d.png` and `folder/e.png` exist.
pub(crate) fn image_list(folder: &Path, bytes: &[u8]) -> bool {
    for name in ["a.png", "b.png", "c d.png", "folder/e.png"] {
        write(folder, name, PIXEL);
    }
    write(folder, "list.csv", bytes);
    let accepted = load(folder);
    // If its folder is a dataset, so is the list itself.
    let list = Source::find(&folder.join("list.csv"));
    assert!(!accepted || list.is_ok(), "the folder of the list is accepted, the list is not");
    accepted
}

/// Parses the labels of a competition. The images `train/a.png`, `train/b.png`, `train/c.PNG` and `test/d.png` exist.
pub(crate) fn competition(folder: &Path, bytes: &[u8]) -> bool {
    for name in ["train/a.png", "train/b.png", "train/c.PNG", "test/d.png"] {
        write(folder, name, PIXEL);
    }
    write(folder, "labels.csv", bytes);
    load(folder)
}

/// Parses arrays: an archive, or a single array of images with two labels beside it.
pub(crate) fn arrays(folder: &Path, bytes: &[u8]) -> bool {
    if bytes.starts_with(b"PK") {
        write(folder, "arrays.npz", bytes);
    } else {
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }\n";
        let len = (header.len() as u16).to_le_bytes();
        let labels = [b"\x93NUMPY\x01\0", &len[..], header.as_bytes(), &[0, 1]].concat();
        write(folder, "y.npy", &labels);
        write(folder, "x.npy", bytes);
    }
    load(folder)
}

/// Parses the table of an image folder in JSON lines. The images `train/a.png`, `train/b.png` and `test/c.png` exist.
pub(crate) fn image_folder(folder: &Path, bytes: &[u8]) -> bool {
    table_of_images(folder, "metadata.jsonl", bytes)
}

/// Parses the same table as a Parquet file.
pub(crate) fn metadata_parquet(folder: &Path, bytes: &[u8]) -> bool {
    table_of_images(folder, "metadata.parquet", bytes)
}

fn table_of_images(folder: &Path, name: &str, bytes: &[u8]) -> bool {
    for image in ["train/a.png", "train/b.png", "test/c.png"] {
        write(folder, image, PIXEL);
    }
    write(folder, name, bytes);
    let _ = Images::find(&[folder.join(name)], None);
    load(folder)
}

/// Parses a Parquet file with images, to train on them and to classify them.
pub(crate) fn parquet(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "data/set.parquet", bytes);
    if let Ok(images) = Images::find(&[folder.to_path_buf()], None) {
        for index in 0..images.len().min(8) {
            let _ = (images.image(index, Decoding::default()), images.label(index));
        }
    }
    load(folder)
}

/// Parses an archive of samples.
pub(crate) fn webdataset(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "set.tar", bytes);
    load(folder)
}

/// Parses the name of archives with braces. The archives `train-000.tar` to `train-002.tar` exist.
pub(crate) fn shard_pattern(folder: &Path, bytes: &[u8]) -> bool {
    // Other folders are not looked into.
    let pattern = match std::str::from_utf8(bytes) {
        Ok(text) if text.contains('{') && !text.contains('/') => text,
        _ => return false,
    };
    let archive = include_bytes!("../../../fuzz/corpus/webdataset/whole");
    for number in 0..3 {
        write(folder, &format!("train-00{number}.tar"), archive);
    }
    let path = folder.join(pattern);
    let _ = Images::find(std::slice::from_ref(&path), None);
    Source::find(&path).is_ok_and(|source| !source.name().is_empty())
}

/// Parses an image, whose format is recognised by its content, in a dataset of two classes. An image
/// takes more memory than other inputs, unless it is refused because of its header.
pub(crate) fn image(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "a/image.png", bytes);
    write(folder, "b/image.png", bytes);
    let Some(dataset) = dataset(folder) else { return false };
    if let Err(Error::Image(image)) = dataset.train.image(0)
        && let ImageFault::Size { .. } | ImageFault::NotAnImage { .. } = image.fault
    {
        assert_taken(bytes.len() + ALLOWANCE);
        return false;
    }
    // Also as it is shown, for which its metadata are read, and at a part of its size.
    let decoding = Decoding { orientation: Orientation::Exif, at_least: Some([1, 1]) };
    let accepted = read(&dataset);
    read(&dataset.decoded(decoding)) && accepted
}

/// Looks at an image as the reading for its digest does, and decodes it. Only what cannot be decoded is called bad.
pub(crate) fn image_scan(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "photos/a/image.png", bytes);
    write(folder, "photos/b/image.png", PIXEL);
    let Ok(source) = Source::find(&folder.join("photos")) else { return false };
    let decoding = Decoding { orientation: Orientation::Exif, at_least: None };
    let mut files = FileDigests::under(folder, &source).scanning(decoding);
    if source.digest_with(&mut files, &AtomicBool::new(false)).is_err() {
        return false;
    }
    let is_bad = files.into_faults().contains(&Digest::of(bytes));
    if is_bad && let Some(dataset) = dataset(&folder.join("photos")) {
        let dataset = dataset.decoded(decoding);
        let rows = [&dataset.train, &dataset.val, &dataset.test];
        for split in rows {
            for row in (0..split.len()).filter(|&row| split.digest(row) == Digest::of(bytes)) {
                assert!(split.image(row).is_err(), "an image that can be decoded is called bad");
            }
        }
    }
    !is_bad
}

/// The remembered digests of a dataset's files, with and without the digest that belongs at their end.
pub(crate) fn file_digests(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "photos/a/image.png", PIXEL);
    let source = || Source::find(&folder.join("photos")).expect("it is a dataset");
    let digest_with = |mut files: FileDigests| {
        source().digest_with(&mut files, &AtomicBool::new(false)).expect("the image can be read")
    };
    let right = digest_with(FileDigests::under(folder, &source()));
    // It has made the only file in its folder.
    let made = std::fs::read_dir(folder.join(FileDigests::FOLDER)).expect("it was made").next();
    let name = made.expect("there is a file").expect("the folder can be listed").file_name();
    let name = format!("{}/{}", FileDigests::FOLDER, name.display());
    let signed = [bytes, Digest::of(bytes).as_bytes()].concat();
    let accepted = [bytes, &signed].map(|bytes| {
        write(folder, &name, bytes);
        let mut files = FileDigests::under(folder, &source());
        let remembered = files.remembered();
        // No entry is of this file.
        assert_eq!(
            source()
                .digest_with(&mut files, &AtomicBool::new(false))
                .expect("the image can be read"),
            right
        );
        remembered > 0
    });
    accepted.contains(&true)
}

/// The name with the ending `.gz` for compressed content, since compressed files are recognised by their
/// names.
fn with_ending(name: &str, bytes: &[u8]) -> String {
    let ending = if bytes.starts_with(&[0x1f, 0x8b]) { ".gz" } else { "" };
    format!("{name}{ending}")
}

fn load(folder: &Path) -> bool {
    dataset(folder).is_some_and(|dataset| read(&dataset))
}

fn dataset(folder: &Path) -> Option<Dataset> {
    let source = Source::find(folder).ok()?;
    let _ = source.digest();
    let load = |val_fraction| {
        let allow_single_images = true;
        source.load(&SplitConfig { val_fraction, allow_single_images, ..SplitConfig::default() })
    };
    let dataset = match load(0.5) {
        // Classes of one image each leave none for validation.
        Err(
            Error::Split(SplitError::EmptySplit { .. }) | Error::Split(SplitError::NoGroup { .. }),
        ) => load(0.0),
        loaded => loaded,
    };
    let dataset = dataset.ok()?;
    let _ = dataset.notices();
    Some(dataset)
}

/// Whether the first images of each split can be read.
fn read(dataset: &Dataset) -> bool {
    let mut accepted = true;
    for split in [&dataset.train, &dataset.val, &dataset.test] {
        let _ = (split.ids(), split.labels());
        for row in 0..split.len().min(8) {
            accepted &= split.image(row).is_ok();
        }
    }
    accepted
}

//! Datasets: IDX files, compressed or not, Kaggle's CSV, and images.

use std::path::Path;

use dataset::{Source, SplitConfig};

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

/// Two classes of the same image; its content says of what form it is.
pub(crate) fn image(folder: &Path, bytes: &[u8]) -> bool {
    write(folder, "a/image.png", bytes);
    write(folder, "b/image.png", bytes);
    load(folder)
}

/// Compressed files are found by their names.
fn with_ending(name: &str, bytes: &[u8]) -> String {
    let ending = if bytes.starts_with(&[0x1f, 0x8b]) { ".gz" } else { "" };
    format!("{name}{ending}")
}

fn load(folder: &Path) -> bool {
    let Ok(source) = Source::find(folder) else { return false };
    let _ = source.digest();
    let config = SplitConfig { val_fraction: 0.5, limit: None, seed: 0 };
    let Ok(dataset) = source.load(&config) else { return false };
    let mut accepted = true;
    for split in [&dataset.train, &dataset.val, &dataset.test] {
        let _ = (split.ids(), split.labels());
        for row in 0..split.len().min(8) {
            accepted &= split.image(row).is_ok();
        }
    }
    accepted
}

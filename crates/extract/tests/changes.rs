//! What happens to a dataset, or is asked for, while an extraction reads it.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use backbone::{Accuracy, Backend, Compute, Device};
use extract::{Error, Event, ExtractConfig, OnError, Scan, extract};
use recipe::{Decode, Dtype, Fit, Orientation, ResizeFilter};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn config(dataset: &Path, out: &Path) -> ExtractConfig {
    let weights = root().join("artifacts/weights/vgg16-caffe.safetensors");
    assert!(weights.exists(), "{} is missing: run 'just setup'", weights.display());
    ExtractConfig {
        dataset: dataset.to_path_buf(),
        source: dataset::SourceConfig::default(),
        weights,
        size: "32".parse().unwrap(),
        fit: Fit::Stretch,
        pad_colour: None,
        resize: ResizeFilter::Bilinear,
        orientation: Some(Orientation::Ignore),
        decode: Decode::Full,
        taps: vec!["conv1_1:avg".parse().unwrap()],
        dtype: Dtype::F32,
        layout: feature_cache::Layout::Dense,
        limit: None,
        val_fraction: Some(0.0),
        test_fraction: None,
        dedupe: false,
        allow_single_images: false,
        on_error: OnError::Stop,
        max_skipped: ExtractConfig::MAX_SKIPPED,
        scan: Scan::Full,
        seed: 0,
        views: None,
        batch_size: Some(8),
        threads: 2,
        compute: Compute { backend: Backend::Winograd(Accuracy::default()), device: Device::Cpu },
        out: out.to_path_buf(),
        rehash: false,
    }
}

/// Before a row exists, none are said to be kept.
#[test]
fn an_image_that_vanishes_before_the_first_row_is_an_error_of_the_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let [photos, out] = ["photos", "features"].map(|name| folder.path().join(name));
    for class in ["a", "b"] {
        fs::create_dir_all(photos.join(class)).unwrap();
        fs::write(photos.join(class).join("1.pgm"), b"P5 1 1 255\n\x07").unwrap();
    }
    let mut report = |event: Event<'_>| {
        if matches!(event, Event::Decoded { images: 0, .. }) {
            fs::remove_file(photos.join("b/1.pgm")).unwrap();
        }
    };
    let error = extract(&config(&photos, &out), &mut report, &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(error, Error::Dataset(dataset::Error::Read { .. })), "{error:?}");
    assert!(!error.to_string().contains("the rows before it are kept"), "{error}");
}

#[test]
fn a_stop_is_noticed_while_images_in_larger_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["webdataset/flat", "parquet/hub"] {
        let set = root().join("crates/dataset/tests/forms").join(name);
        let stop = AtomicBool::new(false);
        let mut report = |event: Event<'_>| {
            if matches!(event, Event::Digested { .. }) {
                stop.store(true, Ordering::SeqCst);
            }
        };
        let error = extract(&config(&set, folder.path()), &mut report, &stop).unwrap_err();
        assert!(matches!(error, Error::Dataset(dataset::Error::Stopped)), "{name}: {error:?}");
    }
}

//! Images are brought to the network's size as Pillow and torchvision do it, to within one level of 255
//! (`resizing/make_goldens.py`).

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::path::{Path, PathBuf};

use backbone::{Pixels, Preprocessor};
use ndarray::{Array5, ArrayD, s};
use ndarray_npy::read_npy;
use recipe::{Family, Fit, ImageForm, Recipe, ResizeFilter};

const FITS: [Fit; 3] = [Fit::Stretch, Fit::Crop, Fit::Pad];
const FILTERS: [ResizeFilter; 4] =
    [ResizeFilter::Bilinear, ResizeFilter::Bicubic, ResizeFilter::Lanczos, ResizeFilter::Nearest];
const PAD_COLOUR: [u8; 3] = [124, 116, 104];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resizing").join(format!("{name}.npy"))
}

/// The share of the numbers that differ by one level.
fn share_that_differs(source: &str, [height, width]: [usize; 2]) -> f64 {
    let image: ArrayD<u8> = read_npy(path(source)).unwrap();
    let goldens: Array5<u8> = read_npy(path(&format!("{source}-{height}x{width}"))).unwrap();
    let pixels = Pixels {
        height: image.shape()[0],
        width: image.shape()[1],
        channels: image.shape().get(2).copied().unwrap_or(1),
        bytes: image.as_slice().unwrap(),
    };
    let (mut numbers, mut different) = (0, 0);
    for (fit, goldens) in FITS.into_iter().zip(goldens.outer_iter()) {
        for (resize, golden) in FILTERS.into_iter().zip(goldens.outer_iter()) {
            let pad_colour = (fit == Fit::Pad).then_some(PAD_COLOUR);
            let example = Recipe::example().image;
            let form = ImageForm { height, width, fit, pad_colour, resize, ..example };
            let preprocessor = Preprocessor::new(Family::Caffe, form);
            let mut input = vec![0.0; preprocessor.len()];
            preprocessor.apply(pixels, &mut input);
            let found = preprocessor.pixels(&input);
            let golden = golden.slice(s![.., .., ..]);
            assert_eq!(golden.len(), found.len());
            for (at, (golden, found)) in golden.iter().zip(&found).enumerate() {
                let place = format!("{source}, {fit}, {resize}, {height}x{width}, number {at}");
                let difference = golden.abs_diff(*found);
                let most = u8::from(resize != ResizeFilter::Nearest);
                assert!(difference <= most, "{place}: {found} instead of {golden}");
                different += usize::from(difference > 0);
                numbers += 1;
            }
        }
    }
    different as f64 / numbers as f64
}

#[test]
fn images_are_resized_as_by_pillow_and_torchvision() {
    for source in ["small", "large", "wide", "high", "gray"] {
        for target in [[32, 32], [32, 47]] {
            let share = share_that_differs(source, target);
            eprintln!("{source}, {target:?}: {:.1} % differ by 1", 100.0 * share);
            // Pillow rounds after each pass, we never.
            assert!(share < 0.25, "{source}, {target:?}: {share}");
        }
    }
}

//! JPEGs are decoded at a part of their size, exactly as by Pillow's `Image.draft` (`shrunk/make_files.py`), where
//! that leaves them large enough.

use std::fs;
use std::path::Path;

use dataset::Decoding;
use recipe::{Decode, ImageForm, Orientation, Recipe};

use crate::common::{dataset_of, pixels_of_ppm, rgb};

const HEIGHT: usize = 107;
const WIDTH: usize = 133;

#[test]
fn jpegs_are_shrunk_as_by_pillow() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shrunk");
    for name in ["420", "444", "422", "progressive", "gray", "cmyk"] {
        let bytes = fs::read(folder.join(format!("{name}.jpg"))).unwrap();
        let (_folder, dataset) = dataset_of(&[("a.jpg", &bytes)]);
        let decoded = |at_least| {
            let decoding = Decoding { orientation: Orientation::Ignore, at_least };
            let split = dataset.train.clone().decoded(decoding);
            rgb(split.image(0).unwrap())
        };
        for part in [2, 4, 8] {
            let golden = pixels_of_ppm(&folder.join(format!("{name}-{part}.ppm"))).unwrap();
            assert!(decoded(Some([HEIGHT / part, WIDTH / part])) == golden, "{name}, 1/{part}");
            // A pixel more is more than that part has.
            let larger = decoded(Some([HEIGHT / part, WIDTH / part + 1]));
            assert_eq!(larger.0, HEIGHT.div_ceil(part / 2), "{name}, 1/{part}");
        }
        assert_eq!(decoded(Some([HEIGHT, WIDTH])), decoded(None), "{name}");
        assert_eq!(decoded(Some([4 * HEIGHT, 1])), decoded(None), "{name}");
    }
}

/// The sides that are asked for are those after turning.
#[test]
fn turned_jpegs_are_shrunk_by_their_turned_sides() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/orientation/6.jpg");
    // Stored as 9 rows of 14.
    let (_folder, dataset) = dataset_of(&[("a.jpg", &fs::read(path).unwrap())]);
    let size = |at_least| {
        let decoding = Decoding { orientation: Orientation::Exif, at_least: Some(at_least) };
        let split = dataset.train.clone().decoded(decoding);
        let image = split.image(0).unwrap();
        (image.height, image.width)
    };
    assert_eq!(size([7, 4]), (7, 5));
    assert_eq!(size([4, 7]), (14, 9));
}

#[test]
fn a_recipe_says_how_files_are_decoded() {
    let form = ImageForm { height: 96, width: 128, ..Recipe::example().image };
    assert_eq!(Decoding::from(form), Decoding::default());
    let form = ImageForm { decode: Decode::Fast, orientation: Orientation::Exif, ..form };
    let expected = Decoding { orientation: Orientation::Exif, at_least: Some([192, 256]) };
    assert_eq!(Decoding::from(form), expected);
}

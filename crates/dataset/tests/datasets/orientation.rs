//! Images are turned as the camera recorded, exactly as by Pillow's `ImageOps.exif_transpose`
//! (`orientation/make_files.py`), if that is asked for.

use std::fs;
use std::path::{Path, PathBuf};

use dataset::Decoding;
use recipe::Orientation;

use crate::common::{dataset_of, pixels_of_ppm, rgb};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/orientation");

fn files() -> Vec<PathBuf> {
    let files = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path());
    let endings = ["jpg", "png", "webp", "tif"];
    files.filter(|path| endings.iter().any(|ending| path.extension().unwrap() == *ending)).collect()
}

fn golden(name: &str) -> (usize, usize, Vec<u8>) {
    pixels_of_ppm(&Path::new(FOLDER).join(format!("{name}.ppm"))).unwrap()
}

#[test]
fn images_are_turned_as_by_pillow() {
    let files = files();
    assert_eq!(files.len(), 52);
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (_folder, dataset) = dataset_of(&[(name, &fs::read(&path).unwrap())]);
        let turned = Decoding { orientation: Orientation::Exif, at_least: None };
        let plain = dataset.train.clone().decoded(Decoding::default());
        let turned = dataset.train.decoded(turned);
        assert!(rgb(turned.image(0).unwrap()) == golden(name), "{name}");
        // A TIFF is turned by its tag in any case, but not by its XMP data.
        let ending = path.extension().unwrap().to_str().unwrap();
        let as_stored = match ending {
            "tif" if name != "xmp.tif" => golden(name),
            _ => golden(&format!("1.{ending}")),
        };
        assert!(rgb(plain.image(0).unwrap()) == as_stored, "{name}");
    }
}

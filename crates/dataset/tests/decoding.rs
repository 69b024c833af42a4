//! How damaged, incomplete and absurd image files are refused; what sound ones are decoded to is in
//! `corpus.rs`.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

mod common;

use std::error::Error as _;
use std::fs;
use std::path::Path;

use common::{corpus, dataset_of};
use dataset::Error;

/// The error of a file of these bytes, with its causes.
fn refused(name: &str, bytes: &[u8]) -> String {
    let (_folder, dataset) = dataset_of(&[(name, bytes)]);
    let error = dataset.train.image(0).unwrap_err();
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    let text = format!("{error}: {source}");
    assert!(text.contains(&format!("class/{name}")), "{text}");
    text
}

/// A file of the corpus, by its form and name.
fn read(path: &str) -> Vec<u8> {
    fs::read(corpus().join(path)).unwrap()
}

/// As a new file, since file systems flush one that is truncated and written again.
fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_content_decides_and_not_the_ending() {
    let (_folder, dataset) = dataset_of(&[("really.JPG", &read("png/rgb.png"))]);
    assert_eq!(dataset.train.image(0).unwrap().channels, 3);
}

/// Wherever it is cut off, a file is refused or, if only what follows its pixels is missing,
/// decoded as before.
#[test]
fn truncated_files_are_refused() {
    for path in [
        "jpeg/baseline.jpg",
        "jpeg/progressive.jpg",
        "jpeg/gray.jpg",
        "jpeg/cmyk.jpg",
        "jpeg/cmyk-own-scans-restart3.jpg",
        "jpeg/arithmetic-2x2-progressive-restart3.jpg",
        "png/rgb.png",
        "png/gray16.png",
        "bmp/rgb.bmp",
        "bmp/rle8.bmp",
        "gif/palette.gif",
        "webp/lossless.webp",
        "webp/lossy.webp",
        "webp/animated-one-frame.webp",
        "tiff/lzw.tiff",
        "tiff/rgb-packbits-strips.tif",
        "tiff/rgb-deflate-strips.tif",
        "tiff/fax-g4-strips.tif",
        "tiff/jpeg-ycbcr-2x2-tiles-tables.tif",
        "tiff/rgb-planes-tiles.tif",
        "pnm/rgb.ppm",
    ] {
        let (name, whole) = (Path::new(path).file_name().unwrap().to_str().unwrap(), read(path));
        let (_folder, dataset) = dataset_of(&[(name, &whole)]);
        let pixels = dataset.train.image(0).unwrap().pixels.into_owned();
        let (folder, dataset) = dataset_of(&[(name, &whole)]);
        let path = folder.path().join("class").join(name);
        let mut kept = 0;
        for len in 0..whole.len() {
            overwrite(&path, &whole[..len]);
            if let Ok(image) = dataset.train.image(0) {
                assert!(*image.pixels == pixels, "{name}, cut off at {len} of {}", whole.len());
                kept += 1;
            }
        }
        eprintln!("{name}: decoded without its last {kept} bytes");
        assert!(kept <= 16, "{name}: decoded without its last {kept} bytes");
    }
}

/// Whatever a file holds, decoding it ends, with pixels or an error, and does not panic.
#[test]
fn damaged_files_do_no_harm() {
    let mut state = 1u64;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let forms = ["bmp", "gif", "jpeg", "png", "pnm", "tiff", "webp"];
    for path in forms.into_iter().flat_map(common::files) {
        let (name, whole) = (&*common::name(&path), fs::read(&path).unwrap());
        let (folder, dataset) = dataset_of(&[(name, &whole)]);
        let path = folder.path().join("class").join(name);
        for _ in 0..std::env::var("ROUNDS").map_or(10, |r| r.parse().unwrap()) {
            let mut bytes = whole.clone();
            for _ in 0..=random() % 3 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            overwrite(&path, &bytes);
            if let Ok(image) = dataset.train.image(0) {
                assert_eq!(image.pixels.len(), image.height * image.width * image.channels);
            }
        }
    }
}

#[test]
fn what_is_no_image_is_refused() {
    let text = refused("page.jpg", b"<!DOCTYPE html><title>404</title>");
    assert!(text.contains("begins with '<!DOCTYPE ht'") && text.contains("replace"), "{text}");
    assert!(refused("empty.png", b"").contains("begins with ''"));
    assert!(
        refused("video.webp", b"\x00\x00\x00\x18ftypmp42").contains(r"'\x00\x00\x00\x18ftypmp42'")
    );
    let text = refused("float.tif", &read("tiff/float.tif"));
    assert!(text.contains("is a TIFF of 32-bit") && text.contains("save it as a PNG"), "{text}");
}

/// Sizes come from headers, which may announce what no machine holds.
#[test]
fn absurd_sizes_are_refused_before_decoding() {
    let ppm = |width: u64, height: u64| format!("P6\n{width} {height}\n255\n").into_bytes();
    let bmp = |width: i32, height: i32| {
        let mut bytes = read("bmp/rgb.bmp");
        bytes[18..22].copy_from_slice(&width.to_le_bytes());
        bytes[22..26].copy_from_slice(&height.to_le_bytes());
        bytes
    };
    let png = |width: u32, height: u32| {
        let mut bytes = read("png/rgb.png");
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        bytes
    };
    for (name, bytes, size) in [
        ("wide.ppm", ppm(65_536, 1), "65536x1 pixels"),
        ("large.ppm", ppm(60_000, 60_000), "60000x60000 pixels"),
        ("large.bmp", bmp(30_000, 30_000), "30000x30000 pixels"),
        ("large.png", png(50_000, 50_000), "50000x50000 pixels"),
        // 300 MB, of a file of some hundred bytes.
        ("bomb.png", png(10_000, 10_000), "10000x10000 pixels"),
    ] {
        let text = refused(name, &bytes);
        assert!(text.contains(size) && text.contains("512 MiB"), "{text}");
    }
    for (name, bytes) in
        [("none.ppm", ppm(0, 5)), ("none.png", png(0, 17)), ("none.bmp", bmp(0, 17))]
    {
        refused(name, &bytes);
    }
}

/// A picture of a single colour is a small file.
#[test]
fn a_plain_image_is_not_taken_for_a_bomb() {
    let plain = image::RgbImage::from_pixel(6000, 5000, image::Rgb([12, 34, 56]));
    let mut png = std::io::Cursor::new(Vec::new());
    plain.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let (_folder, dataset) = dataset_of(&[("plain.png", png.get_ref())]);
    let image = dataset.train.image(0).unwrap();
    assert_eq!(
        (image.height, image.width, &*image.pixels),
        (5000, 6000, plain.as_raw().as_slice())
    );
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}

#[test]
fn a_file_that_is_gone_is_named() {
    let (folder, dataset) = dataset_of(&[("a.png", &read("png/rgb.png"))]);
    fs::remove_dir_all(folder.path()).unwrap();
    let error = dataset.train.image(0).unwrap_err();
    assert!(matches!(&error, Error::Read { path, .. } if path.ends_with("class/a.png")), "{error}");
}

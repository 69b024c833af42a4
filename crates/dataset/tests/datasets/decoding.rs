//! How damaged, incomplete and absurd image files are refused; what sound ones are decoded to is in
//! `corpus.rs`.

use std::error::Error as _;
use std::fs;
use std::path::Path;

use dataset::Error;

use crate::common::{self, corpus, dataset_of};

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
    let text = refused("notes.jpg", b"Remember the milk");
    assert!(text.contains("begins with 'Remember the'") && text.contains("replace"), "{text}");
    assert!(
        refused("video.webp", b"\x00\x00\x00\x18ftypmp42").contains(r"'\x00\x00\x00\x18ftypmp42'")
    );
    let text = refused("float.tif", &read("tiff/float.tif"));
    assert!(text.contains("is a TIFF of 32-bit") && text.contains("save it as a PNG"), "{text}");
}

/// What is not an image, and images of forms that are not read, are called by their names.
#[test]
fn other_files_are_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    let heic = b"\x00\x00\x00\x24ftypheic\x00\x00\x00\x00mif1heic";
    let of_files: [(&[u8], &str, &str); 4] = [
        (b"", "is empty", "replace or remove it"),
        (pointer, "is a Git LFS pointer", "git lfs pull"),
        (b"\n<!DOCTYPE html><title>404</title>", "is a web page", "download"),
        (b"PK\x03\x04\x14\0", "is a ZIP archive", "unpack"),
    ];
    for (bytes, what, remedy) in of_files {
        let text = refused("file.jpg", bytes);
        assert!(text.contains(what) && text.contains(remedy), "{text}");
    }
    let of_images: [(&[u8], &str); 9] = [
        (heic, "is a HEIC image"),
        (b"\x00\x00\x00\x20ftypavif", "is an AVIF image"),
        (b"\x00\x00\x00\x0CjP  \r\n\x87\n", "is a JPEG 2000 image"),
        (b"\x00\x00\x00\x0CJXL \r\n\x87\n", "is a JPEG XL image"),
        (b"\x00\x00\x01\x00\x01\x00\x10\x10", "is an icon (ICO)"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "is a Radiance HDR image"),
        (b"\x76\x2F\x31\x01\x02\0\0\0", "is an OpenEXR image"),
        (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "is an SVG drawing"),
        (&read("jpeg/12-bits.jpg"), "Unsupported JPEG data precision 12"),
    ];
    for (bytes, what) in of_images {
        let text = refused("file.jpg", bytes);
        assert!(
            text.contains(what) && text.contains("is not supported; save it as a PNG"),
            "{text}"
        );
        assert!(!text.contains("damaged"), "{text}");
    }
}

/// A JPEG ends at its own end-of-image marker, whatever follows; one without it is read if all rows are there.
#[test]
fn jpegs_end_where_their_rows_do() {
    let pixels = |bytes: &[u8]| {
        let (_folder, dataset) = dataset_of(&[("a.jpg", bytes)]);
        dataset.train.image(0).map(|image| image.pixels.into_owned())
    };
    let video = b"\0\0\0\x18ftypmp42\0\0\0\0\xFF\xDA\0\x0C\x03 and \xFF\xD9 and so on";
    for name in ["jpeg/baseline.jpg", "jpeg/progressive.jpg", "jpeg/cmyk-own-scans-restart3.jpg"] {
        let whole = read(name);
        let expected = pixels(&whole).unwrap();
        assert_eq!(pixels(&[&whole[..], video].concat()).unwrap(), expected, "{name}");
        assert_eq!(pixels(&[&whole[..], &whole[..whole.len() / 2]].concat()).unwrap(), expected);
        // Without the marker.
        assert_eq!(pixels(&whole[..whole.len() - 2]).unwrap(), expected, "{name}");
        for missing in [30, whole.len() / 3] {
            assert!(pixels(&whole[..whole.len() - missing]).is_err(), "{name}");
        }
    }
    // A progressive file whose finest bits are not there may be cut off; arithmetic decoding would not notice.
    for name in ["jpeg/ending-early-2x2-dc-only.jpg", "jpeg/arithmetic-2x2-sequential.jpg"] {
        let whole = read(name);
        assert!(pixels(&whole).is_ok());
        assert!(pixels(&whole[..whole.len() - 2]).is_err(), "{name}");
    }
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

/// At a palette that is not made of whole colours, or too long, the `png` crate would panic.
#[test]
fn bad_palettes_are_refused() {
    let png = |palette: usize| {
        let chunk = |name: &[u8], data: &[u8]| {
            let named = [name, data].concat();
            let len = u32::try_from(data.len()).unwrap();
            [&len.to_be_bytes()[..], &named, &crc32(&named).to_be_bytes()].concat()
        };
        // Two rows of two indices, each after the byte of its filter, in a single block without compression.
        let rows = [0x78, 1, 1, 6, 0, !6, !0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];
        [
            &b"\x89PNG\r\n\x1a\n"[..],
            &chunk(b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 2, 8, 3, 0, 0, 0]),
            &chunk(b"PLTE", &vec![9; palette]),
            &chunk(b"IDAT", &rows),
            &chunk(b"IEND", b""),
        ]
        .concat()
    };
    for palette in [3, 768] {
        let (_folder, dataset) = dataset_of(&[("whole.png", &png(palette))]);
        assert_eq!(&*dataset.train.image(0).unwrap().pixels, [9; 12]);
    }
    for palette in [1, 112, 771] {
        let text = refused("palette.png", &png(palette));
        assert!(text.contains(&format!("its palette has {palette} bytes")), "{text}");
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

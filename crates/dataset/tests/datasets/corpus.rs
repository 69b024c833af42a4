//! Every file of the corpus is decoded to PIL's pixels, or refused by name (`corpus/make_corpus.py`).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dataset::{Error, ImageFault};

use crate::common::{self, corpus, dataset_of, files};

/// The forms, and how many files there are of each: a corpus that is not there proves nothing.
const FORMS: [(&str, usize); 7] = [
    ("bmp", 95),
    ("gif", 59),
    ("jpeg", 339),
    ("png", 105),
    ("pnm", 61),
    ("tiff", 266),
    ("webp", 77),
];

/// Files that PIL reads and we refuse, by the beginnings of their names, with a part of the message.
const REFUSED: [(&str, &str); 38] = [
    ("bmp/32-bits-masks-all-0", "Missing 32-bit bitfield mask"),
    ("bmp/header-of-64-bytes", "Unknown bitmap header type"),
    ("gif/frame-smaller-than-screen-no-palette", "no color table"),
    ("gif/no-palette", "no color table"),
    ("jpeg/lossless", "is a JPEG of another form (Unsupported JPEG process: SOF type 0xc3)"),
    ("jpeg/without-chroma", "there is no scan of component 2"),
    ("png/no-end-chunk", "it ends too early"),
    ("png/with-unknown-critical-chunk", "Unrecognized critical chunk"),
    ("png/wrong-checksum-of-data", "the checksum of its chunk IDAT is wrong"),
    ("pnm/p1-with-comments", "within sample raster"),
    ("pnm/p3-comments-among-the-pixels", "Non-ASCII-digit character"),
    ("pnm/pfm-gray", "is a PFM image of floating-point numbers"),
    ("tiff/42-in-the-other-order", r"begins with 'II\x00*"),
    ("tiff/cmyk-16-bits", "is a TIFF of 4 x 16 bits with CMYK colours"),
    ("tiff/fax-g3", "is a TIFF with CCITT Group 3 compression"),
    ("tiff/fax-g4-no-photometric", "unknown photometric interpretation"),
    ("tiff/fax-rle", "is a TIFF with CCITT run-length compression"),
    ("tiff/float", "is a TIFF of 32-bit signed or floating-point numbers"),
    ("tiff/gray-12-bits", "is a TIFF of 1 x 12 bits with gray colours"),
    ("tiff/gray-32-bits", "is a TIFF of 1 x 32 bits with gray colours"),
    ("tiff/gray-float-32", "is a TIFF of 32-bit signed or floating-point numbers"),
    ("tiff/gray-signed-8-bits", "is a TIFF of 8-bit signed or floating-point numbers"),
    ("tiff/gray-signed-16-bits", "is a TIFF of 16-bit signed or floating-point numbers"),
    ("tiff/gray-signed-32-bits", "is a TIFF of 32-bit signed or floating-point numbers"),
    ("tiff/jpeg-rgb-planes", "is a TIFF with planar JPEG compression"),
    ("tiff/lab", "is a TIFF with Lab colours"),
    ("tiff/next-page-is-the-same", "a cycle in the list of IFDs"),
    ("tiff/no-photometric-gray", "unknown photometric interpretation"),
    ("tiff/no-strip-byte-counts", "StripByteCounts"),
    ("tiff/old-jpeg", "is a TIFF with old JPEG compression"),
    ("tiff/rgb-lzma", "is a TIFF with LZMA compression"),
    ("tiff/rgb-zstd", "is a TIFF with Zstandard compression"),
    ("tiff/rgba-extra-1-16-bits", "is a TIFF of 4 x 16 bits with RGB colours"),
    ("tiff/strip-byte-counts-0-lzw", "LZW data ends too early"),
    ("tiff/ycbcr-1x1", "with YCbCr colours outside of a JPEG"),
    ("tiff/ycbcr-2x1-lzw", "with YCbCr colours outside of a JPEG"),
    ("tiff/ycbcr-2x2-lzw", "with YCbCr colours outside of a JPEG"),
    ("webp/alpha-flag-without-alpha", "An expected chunk was missing"),
];

/// Another file of the same picture, and the largest difference from it.
type Twin = Option<(&'static str, u8)>;

/// Files that PIL refuses and we read, by how their names begin; another file of the same picture
/// that PIL reads, if there is one, and the largest difference from it, since fewer bits hold less;
/// and the reason.
const READ: [(&str, Twin, &str); 16] = [
    ("bmp/16-bits-masks-444", Some(("bmp/24-bits.bmp", 17)), "PIL knows some masks, we all"),
    ("bmp/32-bits-masks-gbr", Some(("bmp/24-bits.bmp", 0)), "PIL knows some masks, we all"),
    ("bmp/32-bits-masks-of-10-bits", Some(("bmp/24-bits.bmp", 1)), "PIL knows some masks, we all"),
    ("bmp/rle4-empty-rows", None, "PIL passes over the end of a row without pixels"),
    ("bmp/rle8-empty-rows", None, "PIL passes over the end of a row without pixels"),
    (
        "png/with-wrong-checksum-of",
        Some(("png/rgb-8-bits.png", 0)),
        "what the chunk holds does not matter",
    ),
    (
        "png/wrong-checksum-of-zlib",
        Some(("png/rgb-8-bits.png", 0)),
        "the chunk's own checksum is right",
    ),
    ("jpeg/no-eoi", Some(("jpeg/zeros-after-eoi.jpg", 0)), "all rows are there"),
    ("pnm/p3-number-above-maxval", None, "it is cut to the largest, as PIL does in a raw file"),
    ("pnm/pam-black-and-white", Some(("pnm/p1.pbm", 0)), "PIL does not know PAM"),
    ("pnm/pam-gray", Some(("pnm/p2-maxval-255.pgm", 0)), "PIL does not know PAM"),
    ("pnm/pam-rgb", Some(("pnm/p3-maxval-255.ppm", 0)), "PIL does not know PAM"),
    (
        "tiff/gray-16-bits-mm-min-is-white",
        Some(("tiff/gray-16-bits-ii-min-is-white.tif", 0)),
        "PIL knows it in the other byte order",
    ),
    (
        "tiff/fill-order-2-gray-16-bits-mm",
        Some(("tiff/fill-order-2-gray-16-bits-ii.tif", 0)),
        "PIL knows it in the other byte order",
    ),
    ("tiff/gray-alpha-extra-1", None, "PIL cannot convert what it has read"),
    (
        "tiff/rgb-bigtiff-mm",
        Some(("tiff/rgb-bigtiff-ii.tif", 0)),
        "PIL knows it in the other byte order",
    ),
];

/// Files whose numbers may differ by 1 from PIL's, by how their names begin, with the reason.
const ROUNDED: [(&str, &str); 11] = [
    ("bmp/16-bits", "PIL rounds 5 and 6 bits to 8 downwards, we to the nearest"),
    ("png/filters-in-turn-rgba-16-bits", "PIL takes the high byte of 16 bits, we round"),
    ("png/gray-alpha-16-bits", "PIL takes the high byte of 16 bits, we round"),
    ("png/rgb-16-bits", "PIL takes the high byte of 16 bits, we round"),
    ("png/rgba-16-bits", "PIL takes the high byte of 16 bits, we round"),
    ("pnm/p2-maxval-100.", "numbers up to 100 are scaled to 255 in another order"),
    ("pnm/p3-maxval-100.", "numbers up to 100 are scaled to 255 in another order"),
    ("pnm/p5-maxval-100.", "numbers up to 100 are scaled to 255 in another order"),
    ("pnm/p6-maxval-100.", "numbers up to 100 are scaled to 255 in another order"),
    ("pnm/p6-numbers-above-maxval", "numbers are scaled to 255 in another order"),
    ("tiff/rgb-16-bits", "PIL takes the high byte of 16 bits, we round"),
];

/// PIL's pixels of a file: height, width, and RGB; `None` if PIL refuses it.
fn golden(path: &Path) -> Option<(usize, usize, Vec<u8>)> {
    let mut name = path.as_os_str().to_owned();
    name.push(".ppm");
    common::pixels_of_ppm(Path::new(&name))
}

/// The image in the file at `path`, decoded as users' files are: in a folder of images.
fn decode(path: &Path) -> Result<(usize, usize, Vec<u8>), Error> {
    let (_folder, dataset) = dataset_of(&[(&common::name(path), &fs::read(path).unwrap())]);
    Ok(common::rgb(dataset.train.image(0)?))
}

/// The entry of a table whose path the file's begins with.
fn entry<'t, T>(table: &'t [T], path: impl Fn(&T) -> &str, name: &str) -> Option<&'t T> {
    table.iter().find(|entry| name.starts_with(path(entry)))
}

/// How decoded pixels differ from the golden ones by more than `most`; `None` if they do not.
fn difference(
    golden: &(usize, usize, Vec<u8>),
    found: &(usize, usize, Vec<u8>),
    most: u8,
) -> Option<String> {
    if (golden.0, golden.1) != (found.0, found.1) {
        let (height, width) = (golden.0, golden.1);
        return Some(format!("{}x{} pixels instead of {height}x{width}", found.0, found.1));
    }
    let differences = golden.2.iter().zip(&found.2).map(|(a, b)| a.abs_diff(*b));
    let worst = differences.clone().max().unwrap();
    let mean = differences.map(f64::from).sum::<f64>() / golden.2.len() as f64;
    (worst > most).then(|| format!("differs by {worst}, {mean:.2} on average"))
}

/// A fault of how a file is decoded; `None` if there is none. Exceptions that excuse it are counted in
/// `needed`.
fn fault(path: &Path, name: &str, needed: &mut BTreeSet<&'static str>) -> Option<String> {
    let found = decode(path).map_err(|error| match error {
        Error::Image(image) => match image.fault {
            ImageFault::Damaged { ref source } => format!("{image}: {source}"),
            _ => image.to_string(),
        },
        // Such as one that blames the disk.
        error => panic!("{name}: {error}"),
    });
    let refused = entry(&REFUSED, |entry| entry.0, name);
    let read = entry(&READ, |entry| entry.0, name);
    match (golden(path), found, refused, read) {
        (Some(golden), Ok(found), None, _) => {
            let fault = difference(&golden, &found, 0)?;
            match entry(&ROUNDED, |entry| entry.0, name) {
                Some((prefix, _)) if difference(&golden, &found, 1).is_none() => {
                    needed.insert(prefix);
                    None
                }
                _ => Some(fault),
            }
        }
        (Some(_), Ok(_), Some(_), _) => Some("it is read, not refused".to_owned()),
        (Some(_), Err(error), Some((prefix, says)), _) if error.contains(says) => {
            needed.insert(prefix);
            None
        }
        (Some(_), Err(error), _, _) => Some(format!("refused: {error}")),
        (None, Ok(found), _, Some((prefix, same, _))) => {
            needed.insert(prefix);
            let (same, most) = (*same)?;
            difference(&golden(&corpus().join(same)).unwrap(), &found, most)
        }
        (None, Ok(_), _, None) => Some("PIL refuses it, we read it".to_owned()),
        (None, Err(error), _, Some(_)) => Some(format!("refused, not read: {error}")),
        (None, Err(_), _, None) => None,
    }
}

/// Also, nothing is excused that needs no excuse.
#[test]
fn pixels_are_those_of_pil() {
    let (mut faults, mut needed) = (Vec::new(), BTreeSet::new());
    for (form, count) in FORMS {
        let files = files(form);
        assert_eq!(files.len(), count, "{form}");
        for path in files {
            let name = format!("{form}/{}", path.file_name().unwrap().to_str().unwrap());
            let fault = fault(&path, &name, &mut needed);
            faults.extend(fault.map(|fault| format!("{name}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{} files:\n{}", faults.len(), faults.join("\n"));
    let refused = REFUSED.iter().map(|entry| entry.0);
    let read = READ.iter().map(|entry| entry.0);
    for prefix in refused.chain(read).chain(ROUNDED.iter().map(|entry| entry.0)) {
        assert!(needed.contains(prefix), "{prefix}");
    }
}

//! Files that are not read, recognised by their first bytes so that a message can name them.

/// A file of a known kind that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// An image, as a noun phrase.
    Image(&'static str),
    /// Something else.
    File {
        /// A noun phrase or an adjective.
        what: &'static str,
        /// The way out.
        remedy: &'static str,
    },
}

/// The brands of ISO media files that are images.
const BRANDS: [(&[&[u8; 4]], &str); 3] = [
    (&[b"avif", b"avis"], "an AVIF image"),
    (&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"], "a HEIC image"),
    (&[b"crx "], "a camera's raw image (CR3)"),
];

/// The beginnings of other images.
const IMAGES: [(&[u8], &str); 18] = [
    (b"\0\0\0\x0CjP  ", "a JPEG 2000 image"),
    (b"\xFF\x4F\xFF\x51", "a JPEG 2000 image"),
    (b"\0\0\0\x0CJXL ", "a JPEG XL image"),
    (b"\xFF\x0A", "a JPEG XL image"),
    (b"\0\0\x01\0", "an icon (ICO)"),
    (b"\0\0\x02\0", "a cursor (CUR)"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"#?RGBE", "a Radiance HDR image"),
    (b"\x76\x2F\x31\x01", "an OpenEXR image"),
    (b"PF\n", "a PFM image of floating-point numbers"),
    (b"Pf\n", "a PFM image of floating-point numbers"),
    (b"8BPS", "a Photoshop document"),
    (b"DDS ", "a DDS texture"),
    (b"qoif", "a QOI image"),
    (b"farbfeld", "a farbfeld image"),
    (b"IIRO", "a camera's raw image (ORF)"),
    (b"FUJIFILMCCD-RAW", "a camera's raw image (RAF)"),
    (b"%PDF", "a PDF document"),
];

/// The beginnings of files that are not images.
const FILES: [(&[u8], &str, &str); 5] = [
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the image itself",
        "fetch the images with 'git lfs pull'",
    ),
    (b"PK\x03\x04", "a ZIP archive", "unpack it"),
    (b"\x1F\x8B", "a gzip archive", "unpack it"),
    (b"\x89HDF", "an HDF5 file, not an image", "remove it"),
    (b"\x93NUMPY", "an array of NumPy, not an image", "remove it"),
];

/// The kind of file that begins with these bytes; `None` if it is not known.
pub(super) fn recognise(start: &[u8]) -> Option<Foreign> {
    if start.is_empty() {
        return Some(Foreign::File { what: "empty", remedy: "replace or remove it" });
    }
    if let Some(brand) = start.get(8..12).filter(|_| &start[4..8] == b"ftyp") {
        let known = BRANDS.iter().find(|(brands, _)| brands.iter().any(|name| name[..] == *brand));
        return known.map(|(_, form)| Foreign::Image(form));
    }
    if let Some((_, form)) = IMAGES.iter().find(|(begins, _)| start.starts_with(begins)) {
        return Some(Foreign::Image(form));
    }
    if let Some(&(_, what, remedy)) = FILES.iter().find(|(begins, ..)| start.starts_with(begins)) {
        return Some(Foreign::File { what, remedy });
    }
    let text = start.trim_ascii_start().to_ascii_lowercase();
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text);
    if text.starts_with(b"<!doctype html") || text.starts_with(b"<html") {
        let remedy = "download the image again, or remove it";
        return Some(Foreign::File { what: "a web page, not an image", remedy });
    }
    (text.starts_with(b"<svg") || text.starts_with(b"<?xml"))
        .then_some(Foreign::Image("an SVG drawing or another XML file"))
}

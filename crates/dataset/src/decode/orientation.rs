//! The orientation that a camera recorded: where files keep it, and images that are turned by it.
//!
//! It is read like PIL's `Image.getexif` does: the tag 274 of the EXIF data or, if they have none,
//! `tiff:Orientation` of the XMP data. Whatever cannot be understood leaves the image as it is.

use std::io::{Read, Seek, SeekFrom};

use flate2::read::ZlibDecoder;

use crate::Image;

/// EXIF's number of the tag.
const TAG: u16 = 274;
/// Rows and columns of pixels that are moved together, so that both their places stay in the cache.
const TILE: usize = 32;
/// Most bytes of a PNG's chunk of metadata, as it is stored and decompressed.
const MAX_CHUNK: u64 = 16 << 20;

/// What a file says about its orientation, 1 to 8; 1 if it says nothing.
#[derive(Debug, Default)]
struct Metadata {
    exif: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
}

impl Metadata {
    fn orientation(&self) -> u16 {
        let exif = self.exif.as_deref().and_then(of_exif);
        exif.or_else(|| of_xmp(self.xmp.as_deref()?)).unwrap_or(1)
    }
}

/// The orientation of EXIF data, which are the first tags of a TIFF; `None` if they have none.
fn of_exif(mut exif: &[u8]) -> Option<u16> {
    for _ in 0..2 {
        exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    }
    let big_endian = match exif.first_chunk()? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let number = |at: usize, len: usize| {
        let bytes = exif.get(at..at.checked_add(len)?)?;
        let add = |number: u32, &byte: &u8| number << 8 | u32::from(byte);
        Some(if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    };
    let directory = number(4, 4)? as usize;
    let entries = number(directory, 2)? as usize;
    let mut found = None;
    for entry in (0..entries).map(|index| directory + 2 + 12 * index) {
        let Some(tag) = number(entry, 2) else { break };
        if tag != u32::from(TAG) || number(entry + 4, 4) != Some(1) {
            continue;
        }
        // SHORT and SSHORT, LONG and SLONG; PIL does not take the other types for a number.
        let len = match number(entry + 2, 2) {
            Some(3 | 8) => 2,
            Some(4 | 9) => 4,
            _ => continue,
        };
        found = number(entry + 8, len).and_then(|number| number.try_into().ok()).or(found);
    }
    found
}

/// The orientation of XMP data, as an attribute or as an element; `None` if they have none.
fn of_xmp(xmp: &[u8]) -> Option<u16> {
    const NAME: &[u8] = b"tiff:Orientation";
    let mut rest = xmp;
    while let Some(at) = rest.windows(NAME.len()).position(|bytes| bytes == NAME) {
        rest = &rest[at + NAME.len()..];
        let value = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"));
        if let Some([digit @ b'0'..=b'9', ..]) = value {
            return Some(u16::from(digit - b'0'));
        }
    }
    None
}

/// The orientation of a TIFF without the tag: that of its XMP data.
pub(super) fn of_tiff_without_tag(xmp: &[u8]) -> u16 {
    of_xmp(xmp).unwrap_or(1)
}

/// The orientation of a JPEG, from the segments before its first scan. Segments of EXIF data continue each
/// other.
pub(super) fn of_jpeg(bytes: &[u8]) -> u16 {
    const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
    let mut metadata = Metadata::default();
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let [first, tail @ ..] = rest {
        rest = tail;
        // Bytes between segments, and fill bytes before a marker, are passed over.
        let (0xFF, Some(&marker)) = (*first, tail.first()) else { continue };
        match marker {
            0x00 | 0xFF => continue,
            0xDA | 0xD9 => break,
            // Markers without a segment.
            0x01 | 0xD0..=0xD8 => {
                rest = &tail[1..];
                continue;
            }
            _ => {}
        }
        let Some(&[high, low]) = tail.get(1..3).and_then(|len| len.first_chunk()) else { break };
        let end = 1 + usize::from(u16::from_be_bytes([high, low]));
        let Some(segment) = tail.get(3..end) else { break };
        if marker == 0xE1 && segment.starts_with(b"Exif\0\0") {
            match &mut metadata.exif {
                Some(exif) => exif.extend_from_slice(&segment[6..]),
                None => metadata.exif = Some(segment.to_vec()),
            }
        } else if marker == 0xE1 && segment.starts_with(XMP) {
            metadata.xmp = Some(segment[XMP.len()..].to_vec());
        }
        rest = &tail[end..];
    }
    metadata.orientation()
}

/// The orientation of a PNG: its chunk `eXIf`, text of the name `Raw profile type exif` in hexadecimal digits, as
/// ImageMagick writes it, or XMP text. The file is read up to its end.
pub(super) fn of_png(file: &mut (impl Read + Seek)) -> std::io::Result<u16> {
    let mut metadata = Metadata::default();
    let (mut xmp, mut raw_profile) = (None, None);
    file.seek(SeekFrom::Start(8))?;
    let mut header = [0; 8];
    while file.read_exact(&mut header).is_ok() {
        let [len, name]: [[u8; 4]; 2] = [0, 4].map(|at| std::array::from_fn(|i| header[at + i]));
        let len = u64::from(u32::from_be_bytes(len));
        if !matches!(&name, b"eXIf" | b"iTXt" | b"tEXt" | b"zTXt") || len > MAX_CHUNK {
            if name == *b"IEND" {
                break;
            }
            file.seek_relative(len as i64 + 4)?;
            continue;
        }
        let mut chunk = Vec::new();
        file.by_ref().take(len).read_to_end(&mut chunk)?;
        file.seek_relative(4)?;
        if name == *b"eXIf" {
            metadata.exif = Some(chunk);
            continue;
        }
        // The last one counts, and only that is decompressed.
        match until_zero(&chunk) {
            Some((b"XML:com.adobe.xmp", _)) if name == *b"iTXt" => xmp = Some((name, chunk)),
            Some((b"Raw profile type exif", _)) => raw_profile = Some((name, chunk)),
            _ => {}
        }
    }
    metadata.xmp = xmp.and_then(|(name, chunk)| text(name, &chunk));
    let raw_profile = raw_profile.and_then(|(name, chunk)| text(name, &chunk));
    if metadata.exif.is_none() {
        metadata.exif = raw_profile.and_then(|profile| of_hexadecimal(&profile));
    }
    Ok(metadata.orientation())
}

/// The text of a PNG's chunk of text, without its keyword.
fn text(name: [u8; 4], chunk: &[u8]) -> Option<Vec<u8>> {
    let (_, rest) = until_zero(chunk)?;
    let (is_compressed, text) = match &name {
        b"tEXt" => (false, rest),
        b"zTXt" => (true, rest.get(1..)?),
        _ => {
            let (&[compressed, _], rest) = rest.split_first_chunk()?;
            let (_, rest) = until_zero(rest)?;
            (compressed != 0, until_zero(rest)?.1)
        }
    };
    if !is_compressed {
        return Some(text.to_vec());
    }
    let mut plain = Vec::new();
    ZlibDecoder::new(text).take(MAX_CHUNK).read_to_end(&mut plain).ok()?;
    Some(plain)
}

/// What comes before the first zero, and after it.
fn until_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// The bytes of a raw profile: three lines that describe it, and lines of digits.
fn of_hexadecimal(profile: &[u8]) -> Option<Vec<u8>> {
    let lines = profile.split(|&byte| byte == b'\n').skip(3);
    let digits: Vec<u8> =
        lines.flatten().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let bytes = digits.as_chunks().0.iter();
    bytes.map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// The orientation of a WebP from its chunks, of which those count that its first one announces.
pub(super) fn of_webp<'a>(chunks: impl Iterator<Item = (&'a [u8; 4], &'a [u8])>) -> u16 {
    const EXIF: u8 = 0x08;
    const XMP: u8 = 0x04;
    let mut metadata = Metadata::default();
    let mut announced = 0;
    for (name, content) in chunks {
        match name {
            b"VP8X" => announced = content.first().copied().unwrap_or(0),
            b"EXIF" if announced & EXIF != 0 && metadata.exif.is_none() => {
                metadata.exif = Some(content.to_vec());
            }
            b"XMP " if announced & XMP != 0 && metadata.xmp.is_none() => {
                metadata.xmp = Some(content.to_vec());
            }
            _ => {}
        }
    }
    metadata.orientation()
}

/// The image whose stored rows and columns lie as `orientation` says (1 to 8, anything else is taken as 1).
pub(super) fn turned(image: Image<'_>, orientation: u16) -> Image<'_> {
    if !(2..=8).contains(&orientation) {
        return image;
    }
    let Image { height, width, channels, ref pixels, mode } = image;
    let swapped = orientation >= 5;
    let (bottom_up, right_to_left) = match orientation {
        2 | 8 => (false, true),
        3 | 7 => (true, true),
        4 | 6 => (true, false),
        _ => (false, false),
    };
    let (rows, columns) = if swapped { (width, height) } else { (height, width) };
    let mut out = vec![0; pixels.len()];
    let mut tile = |top: usize, left: usize| {
        for row in top..rows.min(top + TILE) {
            for column in left..columns.min(left + TILE) {
                let (y, x) = if swapped { (column, row) } else { (row, column) };
                let y = if bottom_up { height - 1 - y } else { y };
                let x = if right_to_left { width - 1 - x } else { x };
                let (to, from) = ((row * columns + column) * channels, (y * width + x) * channels);
                // Three bytes at once, where they are known to be three, are moved faster.
                if channels == 3 {
                    out[to..to + 3].copy_from_slice(&pixels[from..from + 3]);
                } else {
                    out[to..to + channels].copy_from_slice(&pixels[from..from + channels]);
                }
            }
        }
    };
    for top in (0..rows).step_by(TILE) {
        for left in (0..columns).step_by(TILE) {
            tile(top, left);
        }
    }
    Image::new(rows, columns, channels, out).stored_as(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An orientation's tag in EXIF data of either byte order and of some type.
    fn exif(big_endian: bool, kind: u16, value: u16) -> Vec<u8> {
        let order: &[u8] = if big_endian { b"MM\0*" } else { b"II*\0" };
        let short = |n: u16| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        let long = |n: u32| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut bytes = [order, &long(8), &short(1), &short(TAG), &short(kind), &long(1)].concat();
        if kind == 4 {
            bytes.extend(long(value.into()));
        } else {
            bytes.extend([short(value), short(0)].concat());
        }
        bytes
    }

    #[test]
    fn orientations_are_found_in_exif_and_in_xmp() {
        for big_endian in [false, true] {
            for kind in [3, 4] {
                assert_eq!(of_exif(&exif(big_endian, kind, 6)), Some(6));
            }
            // BYTE
            assert_eq!(of_exif(&exif(big_endian, 1, 6)), None);
        }
        let whole = [b"Exif\0\0", &exif(true, 3, 8)[..]].concat();
        assert_eq!(of_exif(&whole), Some(8));
        for len in 0..whole.len() - 2 {
            assert_eq!(of_exif(&whole[..len]), None, "{len}");
        }
        assert_eq!(of_xmp(br#"<x tiff:Orientation=6 tiff:Orientation="3"/>"#), Some(3));
        assert_eq!(of_xmp(b"<tiff:Orientation>8</tiff:Orientation>"), Some(8));
        assert_eq!(of_xmp(b"tiff:Orientation"), None);
    }

    #[test]
    fn an_orientation_turns_rows_and_columns() {
        // Stored as two rows of three.
        let turned_as = |orientation| {
            let image = turned(Image::new(2, 3, 1, vec![1, 2, 3, 4, 5, 6]), orientation);
            (image.height, image.width, image.pixels.into_owned())
        };
        for plain in [0, 1, 9] {
            assert_eq!(turned_as(plain), (2, 3, vec![1, 2, 3, 4, 5, 6]));
        }
        assert_eq!(turned_as(2), (2, 3, vec![3, 2, 1, 6, 5, 4]));
        assert_eq!(turned_as(3), (2, 3, vec![6, 5, 4, 3, 2, 1]));
        assert_eq!(turned_as(4), (2, 3, vec![4, 5, 6, 1, 2, 3]));
        assert_eq!(turned_as(5), (3, 2, vec![1, 4, 2, 5, 3, 6]));
        assert_eq!(turned_as(6), (3, 2, vec![4, 1, 5, 2, 6, 3]));
        assert_eq!(turned_as(7), (3, 2, vec![6, 3, 5, 2, 4, 1]));
        assert_eq!(turned_as(8), (3, 2, vec![3, 6, 2, 5, 1, 4]));
    }
}

//! A cheap look at image files, for those that cannot be decoded.
//!
//! In: a file's bytes, which are read for its digest anyway. Out: its fault, if it has one. The header and the end of
//! the file are looked at: a header that promises what can be decoded, and an end that is that of a whole file, are
//! taken as good. Whatever else is decoded, and only the decoder says that a file is bad. So a file that can be
//! decoded is never called bad, while one that is damaged in its middle may be taken as good.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use super::jpeg::{Colours, Jpeg};
use super::{Decoding, Fault, Room, START, decode, decode_from, tiff};
use crate::{Error, ImageFault};

/// Ends a PNG: an empty chunk with its checksum.
const PNG_END: &[u8] = b"\0\0\0\0IEND\xAE\x42\x60\x82";

/// The fault of an image file with these bytes; `None` if none was found.
pub(crate) fn fault_of(bytes: &[u8], decoding: Decoding) -> Option<ImageFault> {
    let len = bytes.len() as u64;
    if is_plausible(Cursor::new(bytes), len, Some(bytes)).unwrap_or(false) {
        return None;
    }
    let decoded = decode_from(Cursor::new(bytes), Room::of_file(len), decoding);
    decoded.err().map(Fault::of_bytes)
}

/// The fault of the image file at `path`, of which as little is read as possible; `None` if none was found.
///
/// # Errors
/// If the operating system cannot read the file.
pub(crate) fn fault_in(path: &Path, decoding: Decoding) -> Result<Option<ImageFault>, Error> {
    let read = |source| Error::Read { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(read)?;
    let len = file.metadata().map_err(read)?.len();
    if is_plausible(BufReader::new(file), len, None).unwrap_or(false) {
        return Ok(None);
    }
    match decode(path, None, decoding) {
        Ok(_) => Ok(None),
        Err(Error::Image(error)) => Ok(Some(error.fault)),
        Err(error) => Err(error),
    }
}

/// Whether a file of `len` bytes looks like a whole image: if not, it may be one all the same. `whole` are its bytes,
/// if they are in memory.
///
/// # Errors
/// If it does not.
fn is_plausible(
    mut file: impl BufRead + Seek,
    len: u64,
    whole: Option<&[u8]>,
) -> Result<bool, Fault> {
    let mut start = Vec::with_capacity(START);
    file.by_ref().take(START as u64).read_to_end(&mut start)?;
    let mut end = [0; PNG_END.len()];
    if len >= end.len() as u64 {
        file.seek(SeekFrom::End(-(end.len() as i64)))?;
        file.read_exact(&mut end)?;
    }
    file.rewind()?;
    let room = Room::of_file(len);
    match start[..] {
        [0xFF, 0xD8, 0xFF, ..] => match whole {
            Some(bytes) => Ok(has_jpeg_header(bytes, room)? && has_jpeg_end(bytes)),
            None => Ok(end.ends_with(&[0xFF, 0xD9])),
        },
        [0x89, b'P', b'N', b'G', ..] => {
            let side = |at: usize| start.get(at..at + 4).and_then(|it| it.first_chunk());
            let (Some(width), Some(height)) = (side(16), side(20)) else { return Ok(false) };
            let [width, height] = [width, height].map(|it| u32::from_be_bytes(*it) as usize);
            // Four channels of 16 bits are the most.
            room.check(width, height, 8)?;
            Ok(start[12..].starts_with(b"IHDR") && end == PNG_END)
        }
        [b'G', b'I', b'F', b'8', ..] => Ok(end.last() == Some(&b';')),
        [b'R', b'I', b'F', b'F', a, b, c, d, b'W', b'E', b'B', b'P', ..] => {
            Ok(u64::from(u32::from_le_bytes([a, b, c, d])) + 8 <= len)
        }
        [b'B', b'M', a, b, c, d, ..] => Ok(u64::from(u32::from_le_bytes([a, b, c, d])) == len),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => {
            tiff::is_plausible(file, len, room)
        }
        [b'P', kind @ b'4'..=b'6', ..] => Ok(pnm_len(kind, &start).is_some_and(|all| all <= len)),
        _ => Ok(false),
    }
}

/// Whether libjpeg reads the header of a JPEG, and there is room for its pixels.
fn has_jpeg_header(bytes: &[u8], room: Room) -> Result<bool, Fault> {
    let jpeg = Jpeg { bytes, tables: None, colours: Colours::ByMarkers, shrink: 1 };
    let header = jpeg.header()?;
    let (height, width) = (header.height as usize, header.width as usize);
    room.check(width, height, header.components as usize)?;
    Ok(matches!(header.components, 1 | 3 | 4))
}

/// Whether a JPEG's markers lead to the one that ends it. In between, a byte 0xFF is that of a marker unless a zero
/// follows it, and other bytes are passed over, as libjpeg does.
fn has_jpeg_end(bytes: &[u8]) -> bool {
    let mut rest = &bytes[2..];
    while let Some(at) = rest.iter().position(|&byte| byte == 0xFF) {
        rest = &rest[at + 1..];
        match rest {
            [0xD9, ..] => return true,
            // Those without a segment: stuffing, filling, restarts, a beginning.
            [0x00 | 0x01 | 0xFF | 0xD0..=0xD8, ..] => {}
            [_, high, low, ..] => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                rest = rest.get(1 + len..).unwrap_or_default();
            }
            _ => return false,
        }
    }
    false
}

/// The number of bytes that a binary PNM has at least, whose first bytes these are; `None` if they do not say it, or
/// it has no pixels, or too many.
fn pnm_len(kind: u8, start: &[u8]) -> Option<u64> {
    let mut at = 2;
    let mut number = || -> Option<u64> {
        while start.get(at)?.is_ascii_whitespace() {
            at += 1;
        }
        let digits = start[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = std::str::from_utf8(&start[at..at + digits]).ok()?;
        at += digits;
        // One sign ends the number: the last one stands before the pixels.
        start.get(at)?.is_ascii_whitespace().then_some(())?;
        text.parse().ok()
    };
    let (width, height) = (number()?, number()?);
    let most = if kind == b'4' { 1 } else { number()? };
    let row = match kind {
        b'4' => width.div_ceil(8),
        kind => {
            let channels = if kind == b'5' { 1 } else { 3 };
            width.checked_mul(channels * if most > 255 { 2 } else { 1 })?
        }
    };
    let sides = 1..=super::MAX_SIDE as u64;
    let is_sound =
        sides.contains(&width) && sides.contains(&height) && (1..=65_535).contains(&most);
    is_sound.then_some(())?;
    row.checked_mul(height)?.checked_add(at as u64 + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file of each form, with its name.
    const FILES: [(&str, &[u8]); 7] = [
        ("JPEG", include_bytes!("../../tests/corpus/jpeg/quality-95.jpg")),
        ("PNG", include_bytes!("../../tests/orientation/1.png")),
        ("GIF", include_bytes!("../../tests/corpus/gif/palette-of-64.gif")),
        ("WebP", include_bytes!("../../tests/corpus/webp/lossless.webp")),
        ("TIFF", include_bytes!("../../tests/corpus/tiff/plain.tif")),
        ("BMP", BMP),
        ("PNM", b"P6\n4 3 255\n012345678901234567890123456789012345"),
    ];

    /// The bytes of a gray BMP of 2×2 pixels: its header, that of the image, a palette of two colours, two rows.
    const BMP: &[u8] =
        b"BM\x46\0\0\0\0\0\0\0\x3e\0\0\0\x28\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\x08\0\0\0\0\0\
        \x08\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\0\0\x01\0\0\x01\0\0\0";

    fn is_decoded(bytes: &[u8]) -> bool {
        let room = Room::of_file(bytes.len() as u64);
        decode_from(Cursor::new(bytes), room, Decoding::default()).is_ok()
    }

    fn is_suspected(bytes: &[u8]) -> bool {
        !is_plausible(Cursor::new(bytes), bytes.len() as u64, Some(bytes)).unwrap_or(false)
    }

    #[test]
    fn whole_files_are_not_decoded() {
        for (name, bytes) in FILES {
            assert!(!is_suspected(bytes), "{name}");
            assert!(fault_of(bytes, Decoding::default()).is_none(), "{name}");
        }
    }

    #[test]
    fn truncated_files_are_found_wherever_they_end() {
        let mut found = 0;
        for (name, bytes) in FILES {
            for len in (0..bytes.len()).step_by(29).chain([bytes.len() - 1]) {
                let cut = &bytes[..len];
                let fault = fault_of(cut, Decoding::default());
                assert_eq!(fault.is_none(), is_decoded(cut), "{name} of {len} bytes");
                found += usize::from(fault.is_some());
            }
        }
        assert!(found > 100, "{found}");
    }

    #[test]
    fn the_verdict_on_a_file_is_that_on_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        for (name, bytes) in FILES {
            for bytes in [bytes, &bytes[..bytes.len() / 2], b"", b"text"] {
                std::fs::write(&path, bytes).unwrap();
                let fault = fault_in(&path, Decoding::default()).unwrap();
                let expected = fault_of(bytes, Decoding::default());
                let reasons = [fault, expected].map(|fault| fault.map(|it| it.reason()));
                assert_eq!(reasons[0], reasons[1], "{name}");
            }
        }
    }

    #[test]
    fn bytes_after_a_jpeg_and_a_missing_end_are_no_faults() {
        let (_, jpeg) = FILES[0];
        for bytes in [[jpeg, b"after the end"].concat(), jpeg[..jpeg.len() - 2].to_vec()] {
            assert!(is_decoded(&bytes) && fault_of(&bytes, Decoding::default()).is_none());
        }
        // What follows the end does not make it a file that must be decoded.
        assert!(!is_suspected(&[jpeg, b"after the end"].concat()));
    }

    /// Few sound files are decoded, and none is called bad.
    #[test]
    fn sound_files_of_the_corpus_are_good() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        let (mut sound, mut suspected, mut unsound) = (0, 0, 0);
        for form in ["bmp", "gif", "jpeg", "png", "pnm", "tiff", "webp"] {
            for file in std::fs::read_dir(corpus.join(form)).unwrap() {
                let path = file.unwrap().path();
                let bytes = std::fs::read(&path).unwrap();
                if is_decoded(&bytes) {
                    let fault = fault_of(&bytes, Decoding::default());
                    assert!(fault.is_none(), "{}: {fault:?}", path.display());
                    sound += 1;
                    suspected += usize::from(is_suspected(&bytes));
                } else {
                    unsound += 1;
                }
            }
        }
        assert!(sound > 10 * suspected && unsound > 50, "{sound}, {suspected}, {unsound}");
    }

    proptest! {
        #[test]
        fn what_can_be_decoded_is_never_called_bad(
            form in 0usize..7,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            len in any::<prop::sample::Index>(),
            cut: bool,
        ) {
            let (name, bytes) = FILES[form];
            let mut bytes = bytes.to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if cut {
                bytes.truncate(len.index(bytes.len()));
            }
            if fault_of(&bytes, Decoding::default()).is_some() {
                prop_assert!(!is_decoded(&bytes), "{}", name);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(
            form in 0usize..7,
            bytes in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let (_, file) = FILES[form];
            let _ = fault_of(&[&file[..20], &bytes].concat(), Decoding::default());
            let _ = fault_of(&bytes, Decoding::default());
        }
    }
}

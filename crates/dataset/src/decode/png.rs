//! What is to be checked of a PNG before the `image` crate decodes it.

use std::io::{Read, Seek, SeekFrom};

use super::Fault;
use crate::{Colours, Mode};

/// Position of the colour type: after the signature, and in the chunk `IHDR` after width, height and bit depth.
const COLOUR_TYPE: usize = 25;
/// The colour type of an image with a palette.
const INDEXED: u8 = 3;
/// The bit of the colour type for an alpha channel.
const ALPHA: u8 = 4;
/// Most bytes of a palette: 256 colours of three.
const MAX_PALETTE: u32 = 3 * 256;

/// The mode of an image whose file begins so, up to the colour type at least.
pub(super) fn mode(start: &[u8]) -> Mode {
    let byte = |at: usize| start.get(at).copied().unwrap_or_default();
    let colours = match byte(COLOUR_TYPE) {
        0 | 4 => Colours::Gray,
        INDEXED => Colours::Palette,
        _ => Colours::Rgb,
    };
    Mode { colours, alpha: byte(COLOUR_TYPE) & ALPHA != 0, bits: byte(COLOUR_TYPE - 1) }
}

/// Refuses an image whose palette is not made of whole colours, or of too many: the `png` crate (0.18) panics at it.
/// `start` is the beginning of the file.
///
/// # Errors
/// Also if the file cannot be read.
pub(super) fn check_palette(start: &[u8], file: &mut (impl Read + Seek)) -> Result<(), Fault> {
    if start.get(COLOUR_TYPE) != Some(&INDEXED) {
        return Ok(());
    }
    file.seek(SeekFrom::Start(8))?;
    let mut header = [0; 8];
    while file.read_exact(&mut header).is_ok() {
        let [len, name]: [[u8; 4]; 2] = [0, 4].map(|at| std::array::from_fn(|i| header[at + i]));
        let len = u32::from_be_bytes(len);
        if name == *b"IDAT" {
            break;
        }
        if name == *b"PLTE" && (len > MAX_PALETTE || len % 3 != 0) {
            return Err(Fault::damaged(format!(
                "its palette has {len} bytes, where three for each of up to 256 colours were expected"
            )));
        }
        file.seek_relative(i64::from(len) + 4)?;
    }
    Ok(())
}

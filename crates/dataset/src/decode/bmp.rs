//! BMP with run-length encoding. The `image` crate decodes other BMPs.
//!
//! An encoded image may omit pixels: the rest of a row, whole rows, or pixels that a jump passes over. They
//! have index 0, the first colour of the palette, as in PIL. Encoded pixels that go past the end of a row are
//! treated as in PIL's `BmpRleDecoder`. An image whose last rows are missing is damaged.

use plural::counted;

use super::{Fault, Room};
use crate::{Colours, Image, Mode};

/// The values of `biCompression`.
const RLE_8: u32 = 1;
const RLE_4: u32 = 2;

/// The smallest size of a header with a field for the compression, in bytes.
const INFO_HEADER: u32 = 40;

/// The header of a run-length encoded image.
#[derive(Debug)]
struct Header {
    width: usize,
    height: usize,
    four_bits: bool,
    /// The offset of the palette, and its number of colours.
    palette: (usize, usize),
    /// The offset of the encoded pixels.
    pixels: usize,
}

/// Whether a file with this beginning is run-length encoded.
pub(super) fn is_encoded(start: &[u8]) -> bool {
    matches!(number(start, 14), Some(INFO_HEADER..))
        && matches!(number(start, 30), Some(RLE_8 | RLE_4))
}

/// Whether the pixels of a file with this beginning have 2 bits, which programs read differently.
pub(super) fn has_two_bits(start: &[u8]) -> bool {
    matches!(number(start, 14), Some(INFO_HEADER..))
        && number(start, 26).is_some_and(|number| number >> 16 == 2)
}

/// The mode of a file with this beginning, if its pixels are indices into a palette.
pub(super) fn palette(start: &[u8]) -> Option<Mode> {
    let bits = match number(start, 14)? {
        // Sides of 16 bits.
        12 => number(start, 22)? >> 16,
        _ => number(start, 26)? >> 16,
    };
    (1..=8).contains(&bits).then(|| Mode { bits: bits as u8, ..Mode::of(Colours::Palette) })
}

/// Decodes a file of which [`is_encoded`] is true.
pub(super) fn decode(bytes: &[u8], room: Room) -> Result<Image<'static>, Fault> {
    let header = Header::read(bytes).ok_or_else(|| Fault::damaged("its header is cut off"))??;
    let Header { width, height, four_bits, palette: (start, colours), pixels } = header;
    room.check(width, height, 4)?;
    let end = bytes.len().min(start + 4 * colours);
    // Blue, green, red and a byte that is not used; indices without a colour are black.
    let palette = bytes.get(start..end).unwrap_or_default().as_chunks::<4>().0;
    let colour = |index: u8| {
        let colour = palette.get(usize::from(index));
        colour.map_or([0; 3], |&[blue, green, red, _]| [red, green, blue])
    };
    let encoded = bytes.get(pixels..).unwrap_or_default();
    let indices = indices(encoded, width, height, four_bits)?;
    // The bottom row comes first.
    let rows = indices.chunks_exact(width).rev();
    let pixels = rows.flatten().flat_map(|&index| colour(index)).collect();
    let mode = Mode { bits: if four_bits { 4 } else { 8 }, ..Mode::of(Colours::Palette) };
    Ok(Image::new(height, width, 3, pixels).stored_as(mode))
}

impl Header {
    /// Reads the header; `None` if the file ends in it.
    fn read(bytes: &[u8]) -> Option<Result<Header, Fault>> {
        let size = number(bytes, 14)? as usize;
        let (width, height) = (number(bytes, 18)? as i32, number(bytes, 22)? as i32);
        let bits = number(bytes, 26)? >> 16;
        let four_bits = number(bytes, 30)? == RLE_4;
        let colours = number(bytes, 46)? as usize;
        if bits != if four_bits { 4 } else { 8 } {
            return Some(Err(Fault::form(format!(
                "a run-length encoded BMP of {}",
                counted(bits, "bit")
            ))));
        }
        let (Ok(width), Ok(height)) = (usize::try_from(width), usize::try_from(height)) else {
            return Some(Err(Fault::form("a run-length encoded BMP from top to bottom")));
        };
        let most = 1 << bits;
        let colours = if colours == 0 { most } else { colours.min(most) };
        let pixels = number(bytes, 10)? as usize;
        Some(Ok(Header { width, height, four_bits, palette: (14 + size, colours), pixels }))
    }
}

/// The palette's index of each pixel, row by row from the bottom.
fn indices(
    mut encoded: &[u8],
    width: usize,
    height: usize,
    four_bits: bool,
) -> Result<Vec<u8>, Fault> {
    let mut indices = vec![0; width * height];
    // `column` is that of `at`; at the end of a row that is full it is `width` or more.
    let (mut at, mut column) = (0, 0);
    while at < indices.len() {
        let [first, second, ref rest @ ..] = *encoded else { break };
        encoded = rest;
        let left = indices.len() - at;
        match (first, second) {
            // The end of a row, which may have no pixels.
            (0, 0) => {
                let begun = at % width;
                if begun != 0 || column == 0 {
                    at += width - begun;
                }
                column = 0;
            }
            // The end of the image.
            (0, 1) => break,
            // A jump to the right and up.
            (0, 2) => {
                let [right, up, ref rest @ ..] = *encoded else { break };
                encoded = rest;
                at += left.min(usize::from(right) + usize::from(up) * width);
                column = at % width;
            }
            // `count` single indices, padded to whole words.
            (0, count) => {
                let bytes = if four_bits { usize::from(count).div_ceil(2) } else { count.into() };
                let Some(literal) = encoded.get(..bytes) else { break };
                encoded = encoded.get(bytes.next_multiple_of(2)..).unwrap_or_default();
                let count = usize::from(count);
                for (index, into) in indices[at..].iter_mut().take(count).enumerate() {
                    *into =
                        if four_bits { half(literal[index / 2], index) } else { literal[index] };
                }
                at += left.min(count);
                column += count;
            }
            // One index, or two alternating ones, repeated `count` times, but not past the end of the row.
            (count, value) => {
                let count = usize::from(count).min(width.saturating_sub(column)).min(left);
                for (index, into) in indices[at..at + count].iter_mut().enumerate() {
                    *into = if four_bits { half(value, index) } else { value };
                }
                at += count;
                column += count;
            }
        }
    }
    if at < indices.len() {
        return Err(Fault::damaged(format!("its pixels end after {at} of {}", indices.len())));
    }
    Ok(indices)
}

/// The upper four bits for an even position, the lower for an odd one.
fn half(byte: u8, position: usize) -> u8 {
    if position.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
}

/// The little-endian number of 32 bits at `offset`; `None` past the end.
fn number(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|&bytes| u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_over_has_index_0() {
        // Three rows of four: two pixels and the end of the row; a row without any; a jump over one
        // pixel, and three that are written out.
        let encoded = [2, 7, 0, 0, 0, 0, 0, 2, 1, 0, 0, 3, 5, 6, 8, 99, 0, 1];
        let expected = [7, 7, 0, 0, 0, 0, 0, 0, 0, 5, 6, 8];
        assert_eq!(indices(&encoded, 4, 3, false).unwrap(), expected);
        // The same in halves of bytes.
        let encoded = [2, 0x77, 0, 0, 0, 0, 0, 2, 1, 0, 0, 3, 0x56, 0x80, 0, 1];
        assert_eq!(indices(&encoded, 4, 3, true).unwrap(), expected);
        // The end of a row that is full is not an empty row; a run ends with its row.
        assert_eq!(indices(&[9, 4, 0, 0, 4, 5], 4, 2, false).unwrap(), [4, 4, 4, 4, 5, 5, 5, 5]);
        for cut in [&[4, 4, 0, 0, 3, 5][..], &[4, 4, 0, 1], &[4, 4, 0], &[4, 4, 0, 4, 1, 2], &[]] {
            assert!(indices(cut, 4, 2, false).is_err(), "{cut:?}");
        }
    }
}

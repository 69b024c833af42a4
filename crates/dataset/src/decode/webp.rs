//! WebP: the first frame of an animation. The decoder is the `image` crate's.
//!
//! An animation's frame is decoded as a file of its own and put on a black canvas. As in PIL, colours stay as
//! they are stored, whatever their opacity, and the canvas's own colour is ignored.
//! (See the container's specification, <https://developers.google.com/speed/webp/docs/riff_container>.)

use std::io::Cursor;

use image::ImageFormat;

use super::orientation::of_webp;
use super::{Fault, Room, decode_by_image};
use crate::Image;

/// The bits of a `VP8X` chunk that announce an animation, and alpha.
const ANIMATION: u8 = 0x02;
const ALPHA: u8 = 0x10;

pub(super) fn decode(bytes: &[u8], room: Room) -> Result<Image<'static>, Fault> {
    let mut chunks = chunks(bytes.get(12..).unwrap_or_default());
    let canvas = match chunks.next() {
        Some((b"VP8X", extended)) if extended.first().is_some_and(|bits| bits & ANIMATION != 0) => {
            extended
        }
        _ => return decode_still(bytes, room),
    };
    let cut_off = || Fault::damaged("its first frame is cut off");
    let frame = chunks.find(|(name, _)| *name == b"ANMF").ok_or_else(cut_off)?.1;
    let (position, data) = frame.split_at_checked(16).ok_or_else(cut_off)?;
    // Offsets are stored halved, and lengths minus one.
    let [left, top] = [0, 3].map(|at| 2 * number(position, at));
    let [width, height] = [4, 7].map(|at| 1 + number(canvas, at));
    room.check(width, height, 3)?;
    let still = decode_still(&still(data, &position[6..12]), room)?;
    if left + still.width > width || top + still.height > height {
        return Err(Fault::damaged("its first frame does not lie on its canvas"));
    }
    let mut pixels = vec![0; width * height * 3];
    for (row, from) in still.pixels.chunks_exact(3 * still.width).enumerate() {
        pixels[3 * ((top + row) * width + left)..][..from.len()].copy_from_slice(from);
    }
    Ok(Image::new(height, width, 3, pixels).stored_as(still.mode))
}

/// The orientation of a file.
pub(super) fn orientation(bytes: &[u8]) -> u16 {
    of_webp(chunks(bytes.get(12..).unwrap_or_default()))
}

fn decode_still(bytes: &[u8], room: Room) -> Result<Image<'static>, Fault> {
    decode_by_image(Cursor::new(bytes), ImageFormat::WebP, room)
}

/// A file of one image with these chunks. `size` has the form that chunks use.
fn still(data: &[u8], size: &[u8]) -> Vec<u8> {
    // A frame of the lossy kind has its alpha in a chunk of its own, before the colours.
    let alpha = if data.starts_with(b"VP8 ") { 0 } else { ALPHA };
    let header = [&b"WEBPVP8X\x0a\0\0\0"[..], &[alpha, 0, 0, 0], size].concat();
    let len = (header.len() + data.len()) as u32;
    [&b"RIFF"[..], &len.to_le_bytes(), &header, data].concat()
}

/// The names and contents of the chunks.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (name, rest) = bytes.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk()?;
        let len = u32::from_le_bytes(*len) as usize;
        let content = rest.get(..len).unwrap_or(rest);
        bytes = rest.get(len.next_multiple_of(2)..).unwrap_or_default();
        Some((name, content))
    })
}

/// The little-endian number of 24 bits at `offset`; 0 past the end.
fn number(bytes: &[u8], offset: usize) -> usize {
    let bytes = bytes.get(offset..offset + 3).unwrap_or(&[0; 3]);
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte))
}

//! The compressions of strips and tiles, JPEG aside.

use std::io::Read;

use fax::decoder::{DecodeStatus, Group4Decoder, pels};
use flate2::read::ZlibDecoder;
use weezl::BitOrder;

use crate::decode::Fault;

/// The values of `Compression`.
pub(super) const NO_COMPRESSION: u16 = 1;
pub(super) const GROUP_4: u16 = 4;
pub(super) const LZW: u16 = 5;
pub(super) const JPEG: u16 = 7;
pub(super) const DEFLATE: u16 = 8;
pub(super) const PACK_BITS: u16 = 32_773;
pub(super) const OLD_DEFLATE: u16 = 32_946;

/// Decompresses a strip or tile of this width, in pixels, from `stored` into `bytes`.
///
/// # Panics
/// If the compression is none of those above, or [`JPEG`].
pub(super) fn decompress(
    compression: u16,
    stored: &[u8],
    width: usize,
    bytes: &mut [u8],
) -> Result<(), Fault> {
    match compression {
        NO_COMPRESSION => read_exact(stored, bytes),
        DEFLATE | OLD_DEFLATE => read_exact(ZlibDecoder::new(stored), bytes),
        LZW => decode_lzw(stored, bytes),
        PACK_BITS => decode_pack_bits(stored, bytes),
        GROUP_4 => decode_group_4(stored, width, bytes),
        other => unreachable!("compression {other} was refused"),
    }
}

/// Reads from memory, where every error is one of the content.
fn read_exact(mut stored: impl Read, bytes: &mut [u8]) -> Result<(), Fault> {
    stored.read_exact(bytes).map_err(|error| Fault::Damaged(error.into()))
}

fn decode_lzw(stored: &[u8], bytes: &mut [u8]) -> Result<(), Fault> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    let (mut read, mut written) = (0, 0);
    while written < bytes.len() {
        let result = decoder.decode_bytes(&stored[read..], &mut bytes[written..]);
        result.status.map_err(|error| Fault::Damaged(error.into()))?;
        if result.consumed_in == 0 && result.consumed_out == 0 {
            return Err(Fault::damaged("LZW data ends too early"));
        }
        read += result.consumed_in;
        written += result.consumed_out;
    }
    Ok(())
}

/// Runs of bytes: TIFF 6.0, section 9.
fn decode_pack_bits(mut stored: &[u8], bytes: &mut [u8]) -> Result<(), Fault> {
    let mut written = 0;
    while written < bytes.len() {
        let mut header = [0];
        read_exact(&mut stored, &mut header)?;
        let header = header[0] as i8;
        match header {
            -128 => {}
            0.. => {
                let run = (header as usize + 1).min(bytes.len() - written);
                read_exact(&mut stored, &mut bytes[written..written + run])?;
                written += run;
            }
            _ => {
                let run = (1 - isize::from(header)) as usize;
                let run = run.min(bytes.len() - written);
                let mut value = [0];
                read_exact(&mut stored, &mut value)?;
                bytes[written..written + run].fill(value[0]);
                written += run;
            }
        }
    }
    Ok(())
}

/// ITU-T T.6; black is 1.
fn decode_group_4(stored: &[u8], width: usize, bytes: &mut [u8]) -> Result<(), Fault> {
    let damaged = |error: &dyn std::fmt::Display| Fault::damaged(format!("CCITT data: {error}"));
    let columns = u16::try_from(width).map_err(|error| damaged(&error))?;
    let reader = stored.iter().map(|&byte| Ok::<u8, std::io::Error>(byte));
    let mut decoder = Group4Decoder::new(reader, columns)?;
    for row in bytes.chunks_exact_mut(width.div_ceil(8)) {
        match decoder.advance().map_err(|error| damaged(&format!("{error:?}")))? {
            DecodeStatus::Incomplete => {}
            DecodeStatus::End => return Err(damaged(&"it ends too early")),
        }
        for (at, colour) in pels(decoder.transition(), columns).enumerate() {
            if colour == fax::Color::Black {
                row[at / 8] |= 0x80 >> (at % 8);
            }
        }
    }
    Ok(())
}

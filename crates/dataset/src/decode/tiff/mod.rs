//! TIFF, the first image of the file, as PIL and libtiff have it.
//!
//! The `tiff` crate finds the tags. Strips and tiles are decompressed and put together here, since the
//! meaning of a pixel depends on tags that the crate ignores: the order of bits in a byte, alpha that the
//! colours are multiplied by, orientation. These are read:
//!
//! | colours | bits per sample |
//! |---|---|
//! | gray, either end black | 1, 2, 4, 8, 16 |
//! | gray with alpha, black 0 | 8 |
//! | palette | 1, 2, 4, 8 |
//! | RGB, with or without alpha and other samples | 8, 16 |
//! | CMYK | 8 |
//! | YCbCr in a JPEG | 8 |
//!
//! in strips or tiles, colours together or in planes, uncompressed, PackBits, LZW, Deflate, JPEG or
//! CCITT Group 4, of unsigned numbers; anything else is refused by name.

mod codec;

use std::io::{BufRead, Read, Seek, SeekFrom};

use plural::counted;
use recipe::Orientation;
use tiff::decoder::{Decoder, Limits};
use tiff::tags::{ByteOrder, Tag};
use tiff::{TiffError, TiffFormatError};

use self::codec::{DEFLATE, GROUP_4, JPEG, LZW, NO_COMPRESSION, OLD_DEFLATE, PACK_BITS};
use super::jpeg::{Colours, Jpeg};
use super::orientation::{of_tiff_without_tag, turned};
use super::{Fault, MAX_BYTES, Room, cmyk};
use crate::Image;
use crate::mode::{self, Mode};

/// Most bytes of one tag's value: offsets and sizes of two million strips.
const MAX_TAG_BYTES: usize = 16 << 20;

/// The values of `PhotometricInterpretation`.
const WHITE_IS_ZERO: u16 = 0;
const BLACK_IS_ZERO: u16 = 1;
const RGB: u16 = 2;
const PALETTE: u16 = 3;
const CMYK: u16 = 5;
const YCBCR: u16 = 6;

/// The value of `ExtraSamples` for alpha that the colours were multiplied by.
const ASSOCIATED_ALPHA: u16 = 1;
/// The tag of XMP data.
const XMP: Tag = Tag::Unknown(700);
/// The value of `Predictor` for differences between neighbours.
const DIFFERENCES: u16 = 2;

impl From<TiffError> for Fault {
    fn from(error: TiffError) -> Fault {
        match error {
            TiffError::IoError(error) => Fault::Read(error),
            TiffError::UnsupportedError(error) => {
                Fault::form(format!("a TIFF of another form ({error})"))
            }
            TiffError::FormatError(TiffFormatError::InvalidDimensions(width, height)) => {
                Fault::Size { width: width as usize, height: height as usize }
            }
            error => Fault::Damaged(error.into()),
        }
    }
}

/// The tags that describe the pixels.
#[derive(Debug)]
struct Layout {
    width: usize,
    height: usize,
    /// Numbers per pixel, extra samples included.
    samples: usize,
    /// Bits per number.
    bits: usize,
    photometric: u16,
    /// The kind of each sample beyond the colours.
    extra: Vec<u16>,
    compression: u16,
    /// Whether each byte's lowest bit comes first.
    lowest_bit_first: bool,
    /// Whether numbers are differences to their left neighbours.
    differences: bool,
    big_endian: bool,
    /// How the stored rows and columns lie, 1 to 8 as in EXIF.
    orientation: u16,
    /// Whether each sample has an image of its own.
    planes: bool,
    /// Width and height of a strip or tile.
    chunk: [usize; 2],
    /// Where each strip or tile begins, and its bytes in the file.
    places: Vec<(u64, u64)>,
    /// JPEG tables that all strips or tiles share.
    jpeg_tables: Option<Vec<u8>>,
}

/// Decodes a file. It is turned as its tag says; without that tag and if `orientation` says so, as its XMP data say.
pub(super) fn decode(
    file: impl BufRead + Seek,
    room: Room,
    orientation: Orientation,
) -> Result<Image<'static>, Fault> {
    let mut limits = Limits::default();
    limits.ifd_value_size = MAX_TAG_BYTES;
    let mut decoder = Decoder::new(file)?.with_limits(limits);
    let layout = Layout::read(&mut decoder, orientation)?;
    let Layout { height, width, samples, .. } = layout;
    // Colours beside the numbers that they are made from.
    room.check(width, height, samples + 3)?;
    let numbers = layout.numbers(decoder.inner(), room)?;
    let (channels, pixels) = layout.colours(numbers, &mut decoder)?;
    let image = Image::new(height, width, channels, pixels).stored_as(layout.mode());
    Ok(turned(image, layout.orientation))
}

/// Whether a file of `len` bytes has the tags that are needed, all strips or tiles that they announce, and pixels for
/// which there is room.
///
/// # Errors
/// If the tags cannot be read, or are not supported.
pub(super) fn is_plausible(file: impl BufRead + Seek, len: u64, room: Room) -> Result<bool, Fault> {
    let mut limits = Limits::default();
    limits.ifd_value_size = MAX_TAG_BYTES;
    let mut decoder = Decoder::new(file)?.with_limits(limits);
    let layout = Layout::read(&mut decoder, Orientation::Ignore)?;
    room.check(layout.width, layout.height, layout.samples + 3)?;
    let is_within =
        |&(offset, size): &(u64, u64)| offset.checked_add(size).is_some_and(|end| end <= len);
    Ok(!layout.places.is_empty() && layout.places.iter().all(is_within))
}

impl Layout {
    /// Reads the tags and refuses what is not in the table above.
    fn read<R: Read + Seek>(
        decoder: &mut Decoder<R>,
        orientation: Orientation,
    ) -> Result<Layout, Fault> {
        let (width, height) = decoder.dimensions()?;
        let mut number = |tag, default: u16| -> Result<u16, Fault> {
            Ok(decoder.find_tag_unsigned(tag)?.unwrap_or(default))
        };
        let photometric = number(Tag::PhotometricInterpretation, u16::MAX)?;
        let compression = number(Tag::Compression, NO_COMPRESSION)?;
        let samples = usize::from(number(Tag::SamplesPerPixel, 1)?);
        let fill_order = number(Tag::FillOrder, 1)?;
        let predictor = number(Tag::Predictor, 1)?;
        let planar = number(Tag::PlanarConfiguration, 1)?;
        let mut numbers = |tag, default: u16| -> Result<Vec<u16>, Fault> {
            Ok(decoder.find_tag_unsigned_vec(tag)?.unwrap_or_else(|| vec![default]))
        };
        let bits = usize::from(numbers(Tag::BitsPerSample, 1)?.first().copied().unwrap_or(1));
        let formats = numbers(Tag::SampleFormat, 1)?;
        let orientation = match (decoder.find_tag_unsigned(Tag::Orientation)?, orientation) {
            (Some(tag), _) => tag,
            (None, Orientation::Ignore) => 1,
            (None, Orientation::Exif) => {
                let xmp = decoder.find_tag(XMP).ok().flatten().map(|tag| tag.into_u8_vec());
                of_tiff_without_tag(&xmp.and_then(Result::ok).unwrap_or_default())
            }
        };
        let extra = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples)?.unwrap_or_default();
        let tiled = decoder.find_tag(Tag::TileOffsets)?.is_some();
        let [offsets, sizes] = if tiled {
            [Tag::TileOffsets, Tag::TileByteCounts]
        } else {
            [Tag::StripOffsets, Tag::StripByteCounts]
        };
        let offsets = decoder.find_tag_unsigned_vec::<u64>(offsets)?.unwrap_or_default();
        let sizes = decoder.find_tag_unsigned_vec::<u64>(sizes)?.unwrap_or_default();
        let (chunk_width, chunk_height) = decoder.chunk_dimensions();
        // Other compressions leave the tag aside, as libtiff does.
        let has_predictor = matches!(compression, LZW | DEFLATE | OLD_DEFLATE);
        let layout = Layout {
            width: width as usize,
            height: height as usize,
            samples,
            bits,
            photometric,
            extra,
            compression,
            lowest_bit_first: fill_order == 2,
            differences: predictor == DIFFERENCES && has_predictor,
            big_endian: decoder.byte_order() == ByteOrder::BigEndian,
            orientation,
            planes: planar == 2 && samples > 1,
            // A strip may announce more rows than there are.
            chunk: [
                chunk_width as usize,
                if tiled {
                    chunk_height as usize
                } else {
                    (chunk_height as usize).min(height as usize)
                },
            ],
            places: offsets.into_iter().zip(sizes).collect(),
            jpeg_tables: decoder
                .find_tag(Tag::JPEGTables)?
                .map(|tag| tag.into_u8_vec())
                .transpose()?,
        };
        if formats.iter().any(|&format| format != 1 && format != 4) {
            return Err(Fault::form(format!(
                "a TIFF of {bits}-bit signed or floating-point numbers"
            )));
        }
        if has_predictor && predictor > DIFFERENCES {
            return Err(Fault::form(format!("a TIFF with predictor {predictor}")));
        }
        layout.check()?;
        Ok(layout)
    }

    /// Refuses combinations that are not read.
    fn check(&self) -> Result<(), Fault> {
        let Layout { photometric, bits, samples, compression, .. } = *self;
        let colours = match photometric {
            WHITE_IS_ZERO | BLACK_IS_ZERO | PALETTE => 1,
            RGB | YCBCR => 3,
            CMYK => 4,
            other => {
                return Err(Fault::form(format!("a TIFF with {}", colours_named(other))));
            }
        };
        // Whatever there is beside the colours is left out.
        let beside = samples.saturating_sub(colours);
        let associated = self.extra.first() == Some(&ASSOCIATED_ALPHA);
        let is_read = match photometric {
            WHITE_IS_ZERO | BLACK_IS_ZERO if samples == 1 => matches!(bits, 1 | 2 | 4 | 8 | 16),
            BLACK_IS_ZERO => beside == 1 && bits == 8 && self.extra.len() == 1,
            PALETTE => samples == 1 && matches!(bits, 1 | 2 | 4 | 8),
            // A fourth sample needs no tag; further ones do.
            RGB if samples == 3 + self.extra.len() || samples == 4 => {
                bits == 8 || (bits == 16 && !associated)
            }
            CMYK => samples == 4 && bits == 8,
            YCBCR => samples == 3 && bits == 8 && compression == JPEG,
            _ => false,
        };
        if self.extra.iter().skip(1).any(|&kind| kind == ASSOCIATED_ALPHA) {
            return Err(Fault::form("a TIFF whose alpha is not the first of its extra samples"));
        }
        let compression = match compression {
            NO_COMPRESSION | LZW | DEFLATE | OLD_DEFLATE | PACK_BITS => None,
            GROUP_4 if bits == 1 && samples == 1 => None,
            JPEG if bits == 8 && !self.planes => None,
            JPEG => Some("planar JPEG".to_owned()),
            GROUP_4 => Some("CCITT Group 4".to_owned()),
            2 => Some("CCITT run-length".to_owned()),
            3 => Some("CCITT Group 3".to_owned()),
            6 => Some("old JPEG".to_owned()),
            34_925 => Some("LZMA".to_owned()),
            50_000 => Some("Zstandard".to_owned()),
            50_001 => Some("WebP".to_owned()),
            other => Some(format!("number {other}")),
        };
        if let Some(compression) = compression {
            return Err(Fault::form(format!("a TIFF with {compression} compression")));
        }
        if !is_read {
            let colours = colours_named(photometric);
            return Err(Fault::form(format!(
                "a TIFF of {samples} x {} with {colours}",
                counted(bits, "bit")
            )));
        }
        if self.differences && bits < 8 {
            return Err(Fault::form(format!("a TIFF of differences between {bits}-bit numbers")));
        }
        Ok(())
    }

    fn mode(&self) -> Mode {
        let (colours, channels) = match self.photometric {
            WHITE_IS_ZERO | BLACK_IS_ZERO => (mode::Colours::Gray, 1),
            PALETTE => (mode::Colours::Palette, 1),
            CMYK => (mode::Colours::Cmyk, 4),
            _ => (mode::Colours::Rgb, 3),
        };
        Mode { colours, alpha: self.samples > channels, bits: self.bits as u8 }
    }

    /// All numbers, `[height, width, samples]`, those of 16 bits rounded to 8.
    fn numbers(&self, file: &mut (impl Read + Seek), room: Room) -> Result<Vec<u8>, Fault> {
        let [chunk_width, chunk_height] = self.chunk;
        let damaged = || Fault::damaged("its strips or tiles are not those that its size asks for");
        if chunk_width == 0 || chunk_height == 0 {
            return Err(damaged());
        }
        let across = self.width.div_ceil(chunk_width);
        let per_plane = across * self.height.div_ceil(chunk_height);
        let (planes, in_chunk) = if self.planes { (self.samples, 1) } else { (1, self.samples) };
        let Some(places) = self.places.get(..per_plane * planes) else { return Err(damaged()) };
        // Strips that lie upon each other would be read and decoded again and again.
        let stored: u128 = places.iter().map(|&(_, size)| u128::from(size)).sum();
        if stored > u128::from(file.seek(SeekFrom::End(0))?) {
            return Err(damaged());
        }
        // A tile may be larger than the image; its numbers are there beside their bytes.
        room.check(chunk_width, chunk_height, 3 * in_chunk)?;
        let mut numbers = vec![0; self.height * self.width * self.samples];
        for (index, &place) in places.iter().enumerate() {
            let (plane, index) = (index / per_plane, index % per_plane);
            let (top, left) = (index / across * chunk_height, index % across * chunk_width);
            let rows = chunk_height.min(self.height - top);
            let chunk = self.chunk(file, place, rows, in_chunk, room)?;
            let columns = chunk_width.min(self.width - left);
            for (row, chunk) in chunk.chunks_exact(chunk_width * in_chunk).take(rows).enumerate() {
                let start = ((top + row) * self.width + left) * self.samples;
                let into = &mut numbers[start..][..columns * self.samples];
                if self.planes {
                    let into = into.chunks_exact_mut(self.samples);
                    into.zip(chunk).for_each(|(pixel, &number)| pixel[plane] = number);
                } else {
                    into.copy_from_slice(&chunk[..columns * in_chunk]);
                }
            }
        }
        Ok(numbers)
    }

    /// The numbers of a strip or tile, of which `rows` rows are wanted: `[rows or more, chunk width,
    /// samples]`.
    fn chunk(
        &self,
        file: &mut (impl Read + Seek),
        (offset, size): (u64, u64),
        rows: usize,
        samples: usize,
        room: Room,
    ) -> Result<Vec<u8>, Fault> {
        let chunk_width = self.chunk[0];
        file.seek(SeekFrom::Start(offset))?;
        let mut stored = Vec::new();
        file.take(size.min(MAX_BYTES)).read_to_end(&mut stored)?;
        if self.compression == JPEG {
            let colours =
                if self.photometric == YCBCR { Colours::YCbCr } else { Colours::AsStored };
            let jpeg =
                Jpeg { bytes: &stored, tables: self.jpeg_tables.as_deref(), colours, shrink: 1 };
            let header = jpeg.header()?;
            let fits = header.width as usize == chunk_width
                && (rows..=self.chunk[1]).contains(&(header.height as usize))
                && header.components as usize == samples;
            if !fits {
                return Err(Fault::damaged("a JPEG in it has another size than its strip or tile"));
            }
            if colours == Colours::AsStored && samples > 1 && header.is_subsampled() {
                return Err(Fault::damaged("a JPEG in it has YCbCr colours, which its tags deny"));
            }
            return jpeg.pixels(header, room);
        }
        if self.lowest_bit_first {
            stored.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        let row_len = (chunk_width * samples * self.bits).div_ceil(8);
        let mut bytes = vec![0; rows * row_len];
        codec::decompress(self.compression, &stored, chunk_width, &mut bytes)?;
        Ok(bytes
            .chunks_exact(row_len)
            .flat_map(|row| self.row(row, chunk_width, samples))
            .collect())
    }

    /// The numbers of one row.
    fn row(&self, bytes: &[u8], width: usize, samples: usize) -> Vec<u8> {
        match self.bits {
            16 => {
                let from = if self.big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
                let mut numbers: Vec<u16> = bytes.as_chunks().0.iter().map(|&b| from(b)).collect();
                if self.differences {
                    for at in samples..numbers.len() {
                        numbers[at] = numbers[at].wrapping_add(numbers[at - samples]);
                    }
                }
                numbers.into_iter().map(|number| ((u32::from(number) + 128) / 257) as u8).collect()
            }
            8 => {
                let mut numbers = bytes.to_vec();
                if self.differences {
                    for at in samples..numbers.len() {
                        numbers[at] = numbers[at].wrapping_add(numbers[at - samples]);
                    }
                }
                numbers
            }
            bits => {
                let mask = (1u8 << bits) - 1;
                let in_byte = 8 / bits;
                let number =
                    |at: usize| bytes[at / in_byte] >> (8 - bits * (at % in_byte + 1)) & mask;
                (0..width * samples).map(number).collect()
            }
        }
    }

    /// Gray or RGB from the numbers: how many channels, and their values.
    fn colours<R: Read + Seek>(
        &self,
        numbers: Vec<u8>,
        decoder: &mut Decoder<R>,
    ) -> Result<(usize, Vec<u8>), Fault> {
        let associated = self.extra.first() == Some(&ASSOCIATED_ALPHA);
        Ok(match (self.photometric, self.samples) {
            (WHITE_IS_ZERO | BLACK_IS_ZERO, 1) => {
                // Of 1, 2 and 4 bits, the largest number is 255 divided by 255, 85 and 17.
                let scale = if self.bits < 8 { 255 / ((1 << self.bits) - 1) } else { 1 };
                let white_is_zero = self.photometric == WHITE_IS_ZERO;
                let shade =
                    |number: u8| if white_is_zero { 255 - number * scale } else { number * scale };
                (1, numbers.into_iter().map(shade).collect())
            }
            (BLACK_IS_ZERO, _) => (1, colours_only::<1>(&numbers, 2, associated)),
            (PALETTE, _) => {
                let map: Vec<u16> =
                    decoder.find_tag_unsigned_vec(Tag::ColorMap)?.unwrap_or_default();
                let len = 1 << self.bits;
                if map.len() < 3 * len {
                    return Err(Fault::damaged(format!(
                        "its palette has {} numbers instead of {}",
                        map.len(),
                        3 * len
                    )));
                }
                // All reds, all greens, all blues, of 16 bits; as PIL, by their high bytes.
                let colour =
                    |index: u8| [0, 1, 2].map(|c| (map[c * len + usize::from(index)] >> 8) as u8);
                (3, numbers.into_iter().flat_map(colour).collect())
            }
            (CMYK, _) => (3, cmyk::to_rgb(&numbers)),
            (_, 3) => (3, numbers),
            (_, samples) => (3, colours_only::<3>(&numbers, samples, associated)),
        })
    }
}

/// The colours in words, for messages.
fn colours_named(photometric: u16) -> String {
    let name = match photometric {
        WHITE_IS_ZERO | BLACK_IS_ZERO => "gray colours",
        RGB => "RGB colours",
        PALETTE => "a palette",
        4 => "a transparency mask",
        CMYK => "CMYK colours",
        YCBCR => "YCbCr colours outside of a JPEG",
        8..=10 => "Lab colours",
        other => return format!("colours of the unknown kind {other}"),
    };
    name.to_owned()
}

/// The first `COLOURS` of the samples; if they were multiplied by the next one, alpha, divided by it.
fn colours_only<const COLOURS: usize>(numbers: &[u8], samples: usize, associated: bool) -> Vec<u8> {
    let mut colours = Vec::with_capacity(numbers.len() / samples * COLOURS);
    for pixel in numbers.chunks_exact(samples) {
        let alpha = u32::from(pixel[COLOURS]);
        // PIL's rounding (`rgba2rgbA`'s inverse in its `Convert.c`): down, at most 255.
        let divided =
            |number: u8| (255 * u32::from(number)).checked_div(alpha).unwrap_or(0).min(255);
        let colour = |&number: &u8| if associated { divided(number) as u8 } else { number };
        colours.extend(pixel[..COLOURS].iter().map(colour));
    }
    colours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_multiplied_by_alpha_are_divided_by_it() {
        let numbers = [100, 50, 200, 0, 60, 255, 9, 5];
        assert_eq!(colours_only::<1>(&numbers, 2, false), [100, 200, 60, 9]);
        // Nothing is left of what alpha 0 hides; more than alpha is not possible.
        assert_eq!(colours_only::<1>(&numbers, 2, true), [255, 0, 60, 255]);
        assert_eq!(colours_only::<1>(&[50, 100], 2, true), [127]);
    }
}

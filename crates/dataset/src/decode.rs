//! From an image file to pixels, 8 bits a channel, as PIL's `Image.open(path).convert("RGB")` has
//! them: the content decides, not the name's ending; the first frame of several; alpha is dropped;
//! the EXIF orientation is ignored, as PyTorch's `ImageFolder` and Keras ignore it. Gray stays gray;
//! 16 bits are rounded to 8; CMYK becomes RGB without a colour profile.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read, Seek};
use std::path::Path;

use image::error::{DecodingError, ImageFormatHint};
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::{Error, Image};

/// Longest side, in pixels.
const MAX_SIDE: usize = 65_535;
/// Most bytes that a decoded image takes.
const MAX_BYTES: u64 = 512 << 20;
/// Bytes of pixels that any file may hold, and how many more for each byte of it: no format but a
/// lossless WebP of a single colour compresses better (deflate 1,032 to 1, LZW some 2,700 to 1), so
/// that a tiny file cannot make a decoder take much memory.
const FREE_BYTES: u64 = 64 << 20;
const BYTES_A_BYTE: u64 = 3_000;
/// Bytes of an unknown file that are shown.
const SHOWN: usize = 12;
/// Second bytes of two of a JPEG's markers, which begin with 0xFF.
const START_OF_SCAN: u8 = 0xDA;
const END_OF_IMAGE: u8 = 0xD9;

/// What can be wrong with a file's pixels, before its path is known.
enum Fault {
    Undecodable(ImageError),
    Size { width: usize, height: usize },
    Pixels(ColorType),
}

impl From<ImageError> for Fault {
    fn from(error: ImageError) -> Fault {
        Fault::Undecodable(error)
    }
}

impl From<DecodeErrors> for Fault {
    fn from(error: DecodeErrors) -> Fault {
        let form = ImageFormatHint::Exact(ImageFormat::Jpeg);
        Fault::Undecodable(ImageError::Decoding(DecodingError::new(form, error)))
    }
}

/// Decodes the file at `path`.
pub(crate) fn decode(path: &Path) -> Result<Image<'static>, Error> {
    let read = |source| Error::Read { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(read)?;
    let file_bytes = file.metadata().map_err(read)?.len();
    let most = MAX_BYTES.min(file_bytes.saturating_mul(BYTES_A_BYTE).saturating_add(FREE_BYTES));
    let file = BufReader::new(file);
    let reader = ImageReader::new(file).with_guessed_format().map_err(read)?;
    let image = match reader.format() {
        Some(ImageFormat::Jpeg) => decode_jpeg(reader.into_inner(), most),
        Some(_) => decode_other(reader, most),
        None => {
            let mut file = reader.into_inner();
            let bytes = file.fill_buf().map_err(read)?;
            let start = bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string();
            return Err(Error::NotAnImage { path: path.to_path_buf(), start });
        }
    };
    image.map_err(|fault| {
        let path = path.to_path_buf();
        match fault {
            Fault::Undecodable(ImageError::IoError(source))
                if source.kind() != ErrorKind::UnexpectedEof =>
            {
                Error::Read { path, source }
            }
            Fault::Undecodable(source) => Error::DamagedImage { path, source },
            Fault::Size { width, height } => Error::ImageSize { path, width, height },
            Fault::Pixels(found) => Error::ImagePixels { path, found },
        }
    })
}

/// A JPEG of at most so many bytes of pixels, by rules under which a truncated or damaged one is an
/// error.
fn decode_jpeg(mut file: impl Read, most: u64) -> Result<Image<'static>, Fault> {
    let mut bytes = Vec::new();
    file.by_ref().take(MAX_BYTES).read_to_end(&mut bytes).map_err(ImageError::IoError)?;
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xFF, marker]);
    let (scan, end) = (last(START_OF_SCAN), last(END_OF_IMAGE));
    // The decoder would make up what is missing of the last rows.
    if end <= scan {
        return Err(Fault::Undecodable(ImageError::IoError(ErrorKind::UnexpectedEof.into())));
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers()?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let (channels, colours) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (1, ColorSpace::Luma),
        _ => (3, ColorSpace::RGB),
    };
    check_size(width, height, (width * height * channels) as u64, most)?;
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let pixels = Cow::Owned(decoder.decode()?);
    Ok(Image { height, width, channels, pixels })
}

fn decode_other(
    mut reader: ImageReader<impl BufRead + Seek>,
    most: u64,
) -> Result<Image<'static>, Fault> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height, decoder.total_bytes(), most)?;
    let color = decoder.color_type();
    if matches!(color, ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(Fault::Pixels(color));
    }
    decoder.set_limits(limits)?;
    let image = DynamicImage::from_decoder(decoder)?;
    let (channels, pixels) = if color.has_color() {
        (3, image.into_rgb8().into_raw())
    } else {
        (1, image.into_luma8().into_raw())
    };
    Ok(Image { height, width, channels, pixels: Cow::Owned(pixels) })
}

fn check_size(width: usize, height: usize, bytes: u64, most: u64) -> Result<(), Fault> {
    let sides = 1..=MAX_SIDE;
    if sides.contains(&width) && sides.contains(&height) && bytes <= most {
        return Ok(());
    }
    Err(Fault::Size { width, height })
}

//! From an image file to pixels with 8 bits per channel, equal to those of PIL's
//! `Image.open(path).convert("RGB")`. The format is recognised by the content, not by the name's ending, and
//! the first of several frames is read. Alpha is dropped. Gray stays gray. 16 bits are rounded to 8 (PIL clips
//! gray at 255). CMYK becomes RGB without a colour profile. [`Decoding`] says whether an image is turned as the
//! camera recorded, and at which size a JPEG is decoded; a TIFF is always turned as its own tag says.
//!
//! Every file is read as by PIL, with the exceptions that `tests/corpus.rs` lists, or refused with the name of
//! its format. There is a module for each format that needs more than the `image` crate.

mod bmp;
mod cmyk;
mod foreign;
mod gif;
mod jpeg;
mod orientation;
mod png;
pub(crate) mod scan;
mod tiff;
mod webp;

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read, Seek};
use std::path::Path;

use blake3::Hasher;
use durable::{Digest, Stamp};
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use recipe::{Decode, ImageForm, Orientation};

use self::foreign::Foreign;
use self::orientation::turned;
use crate::{Error, Image, ImageFault};

/// Longest side, in pixels.
const MAX_SIDE: usize = 65_535;
/// Largest size of a decoded image, in bytes.
const MAX_BYTES: u64 = 512 << 20;
/// Number of bytes of pixels that any file may have, to which a multiple of its size is added. So a tiny file
/// cannot make a decoder take much memory. Only a lossless WebP of a single colour compresses better than the
/// multiple (deflate 1,032 to 1, LZW some 2,700 to 1).
const FREE_BYTES: u64 = 64 << 20;
const BYTES_PER_BYTE: u64 = 3_000;
/// Number of bytes of an unknown file that an error shows.
const SHOWN: usize = 12;
/// Bytes from which the format is recognised.
const START: usize = 64;
/// Most bytes of a file that is in memory as a whole while it is decoded. A larger one is read twice, for
/// its digest and for its pixels.
const IN_MEMORY: u64 = 64 << 20;

/// How the pixels of encoded images are read. The default is every pixel, as it is stored. Plain pixels, such as
/// those of MNIST's digits, are not affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decoding {
    /// Whether the orientation that a camera recorded is applied.
    pub orientation: Orientation,
    /// Height and width, in pixels and after turning, of which a JPEG may fall short no side when it is decoded at
    /// 1/2, 1/4 or 1/8 of its size; `None` to decode it at its own size.
    pub at_least: Option<[usize; 2]>,
}

/// How many times larger than the network's input an image is that a fast decode leaves. At twice the size the
/// filter that follows still sees nearly what it would see of the whole image (PIL's `Image.thumbnail` takes the
/// same factor).
const FAST_FACTOR: usize = 2;

impl From<ImageForm> for Decoding {
    /// The decoding that a recipe asks for.
    fn from(form: ImageForm) -> Decoding {
        let at_least = [form.height * FAST_FACTOR, form.width * FAST_FACTOR];
        Decoding {
            orientation: form.orientation,
            at_least: (form.decode == Decode::Fast).then_some(at_least),
        }
    }
}

/// A problem with a file's pixels, before its path is known.
#[derive(Debug)]
enum Fault {
    /// The operating system could not read the file, or it ends too early.
    Read(std::io::Error),
    /// The content is not an image: its first bytes, as in a Rust string.
    NotAnImage(String),
    /// The content is known, and not an image.
    Foreign(Foreign),
    /// The content contradicts itself or ends too early.
    Damaged(Box<dyn std::error::Error + Send + Sync>),
    /// An unsupported form of image, as a noun phrase.
    Form(String),
    /// No pixels, or too many.
    Size { width: usize, height: usize },
}

/// The memory that a file's pixels may take.
#[derive(Debug, Clone, Copy)]
struct Room {
    bytes: u64,
}

impl Fault {
    fn damaged(why: impl Into<String>) -> Fault {
        Fault::Damaged(why.into().into())
    }

    fn form(form: impl Into<String>) -> Fault {
        Fault::Form(form.into())
    }

    /// The error of the file at `path`.
    fn at(self, path: &Path) -> Error {
        match self {
            Fault::Read(source) if source.kind() != ErrorKind::UnexpectedEof => {
                Error::Read { path: path.to_path_buf(), source }
            }
            fault => Error::image(path, fault.of_bytes()),
        }
    }

    /// The fault of bytes that are in memory: reading these fails only where they end too early or make no sense.
    fn of_bytes(self) -> ImageFault {
        match self {
            Fault::Read(error) => ImageFault::damaged(&error),
            Fault::NotAnImage(start) => ImageFault::NotAnImage { start },
            Fault::Foreign(Foreign::Image(form)) => ImageFault::Form { form: form.to_owned() },
            Fault::Foreign(Foreign::File { what, remedy }) => {
                ImageFault::OtherFile { what, remedy }
            }
            Fault::Damaged(source) => ImageFault::damaged(&*source),
            Fault::Form(form) => ImageFault::Form { form },
            Fault::Size { width, height } => ImageFault::Size { width, height },
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Fault {
        Fault::Read(error)
    }
}

impl From<ImageError> for Fault {
    fn from(error: ImageError) -> Fault {
        match error {
            ImageError::IoError(error) => Fault::Read(error),
            ImageError::Unsupported(error) => {
                Fault::Form(format!("an image of another form: {error}"))
            }
            error => Fault::Damaged(error.into()),
        }
    }
}

impl Room {
    /// The room for the pixels of a file of `bytes` bytes.
    fn of_file(bytes: u64) -> Room {
        let earned = bytes.saturating_mul(BYTES_PER_BYTE).saturating_add(FREE_BYTES);
        Room { bytes: MAX_BYTES.min(earned) }
    }

    /// Refuses an image without pixels, and one that takes more than the room, with `bytes_per_pixel` bytes for
    /// each pixel.
    fn check(self, width: usize, height: usize, bytes_per_pixel: usize) -> Result<(), Fault> {
        let sides = 1..=MAX_SIDE;
        if sides.contains(&width) && sides.contains(&height) {
            let bytes = (width * height) as u64 * bytes_per_pixel as u64;
            if bytes <= self.bytes {
                return Ok(());
            }
        }
        Err(Fault::Size { width, height })
    }
}

/// Decodes the file at `path`, whose bytes must have this digest if one is given.
pub(crate) fn decode(
    path: &Path,
    digest: Option<&Digest>,
    decoding: Decoding,
) -> Result<Image<'static>, Error> {
    let read = |source| Error::Read { path: path.to_path_buf(), source };
    let changed = || Error::Changed { path: path.to_path_buf() };
    let mut file = File::open(path).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    let room = Room::of_file(metadata.len());
    if metadata.len() <= IN_MEMORY {
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        // One that has grown to more has another digest.
        (&file).take(IN_MEMORY).read_to_end(&mut bytes).map_err(read)?;
        if digest.is_some_and(|digest| Digest::of(&bytes) != *digest) {
            return Err(changed());
        }
        let image = decode_from(Cursor::new(&bytes), room, decoding);
        return image.map_err(|fault| Error::image(path, fault.of_bytes()));
    }
    if let Some(digest) = digest {
        let mut bytes = Hasher::new();
        bytes.update_reader(&file).map_err(read)?;
        if Digest::from(bytes.finalize()) != *digest {
            return Err(changed());
        }
        file.rewind().map_err(read)?;
    }
    let image = decode_from(BufReader::new(&file), room, decoding);
    let now = file.metadata().map_err(read)?;
    if Stamp::of_metadata(&now) != Stamp::of_metadata(&metadata) {
        return Err(changed());
    }
    image.map_err(|fault| fault.at(path))
}

/// Decodes an image that is in memory, such as one that was sent over a network, as if its bytes were those of
/// a file. `name` stands for the file's path in errors. Its pixels may take at most `max_bytes` bytes.
///
/// # Errors
/// If the bytes are not an image, or one that is damaged, of an unsupported form, or too large.
pub fn decode_bytes(
    name: &Path,
    bytes: &[u8],
    max_bytes: u64,
    decoding: Decoding,
) -> Result<Image<'static>, Error> {
    let room = Room::of_file(bytes.len() as u64);
    let room = Room { bytes: room.bytes.min(max_bytes) };
    decode_from(Cursor::new(bytes), room, decoding)
        .map_err(|fault| Error::image(name, fault.of_bytes()))
}

/// Decodes the image that a file begins with.
fn decode_from(
    mut file: impl BufRead + Seek,
    room: Room,
    decoding: Decoding,
) -> Result<Image<'static>, Fault> {
    let start = file.fill_buf()?;
    let start = start[..start.len().min(START)].to_vec();
    let mut whole = || {
        let mut bytes = Vec::new();
        file.by_ref().take(MAX_BYTES).read_to_end(&mut bytes).map(|_| bytes)
    };
    let turns = decoding.orientation == Orientation::Exif;
    match start[..] {
        [0xFF, 0xD8, 0xFF, ..] => {
            let bytes = whole()?;
            let orientation = if turns { orientation::of_jpeg(&bytes) } else { 1 };
            let at_least = decoding.at_least.map(|[height, width]| match orientation {
                // The sides are those after turning.
                5..=8 => [width, height],
                _ => [height, width],
            });
            Ok(turned(jpeg::decode(&bytes, at_least, room)?, orientation))
        }
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => {
            tiff::decode(file, room, decoding.orientation)
        }
        [b'G', b'I', b'F', b'8', ..] => gif::decode(file, room),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            let bytes = whole()?;
            let orientation = if turns { webp::orientation(&bytes) } else { 1 };
            Ok(turned(webp::decode(&bytes, room)?, orientation))
        }
        [b'B', b'M', ..] if bmp::is_encoded(&start) => bmp::decode(&whole()?, room),
        [b'B', b'M', ..] if bmp::has_two_bits(&start) => Err(Fault::form("a BMP of 2 bits")),
        [b'B', b'M', ..] => {
            let image = decode_by_image(file, ImageFormat::Bmp, room)?;
            let mode = bmp::palette(&start).unwrap_or(image.mode);
            Ok(image.stored_as(mode))
        }
        [0x89, b'P', b'N', b'G', ..] => {
            png::check_palette(&start, &mut file)?;
            let orientation = if turns { orientation::of_png(&mut file)? } else { 1 };
            file.rewind()?;
            let mode = png::mode(&start);
            let image = decode_by_image(file, ImageFormat::Png, room)?.stored_as(mode);
            Ok(turned(image, orientation))
        }
        [b'P', b'1'..=b'7', ..] => decode_by_image(file, ImageFormat::Pnm, room),
        _ => Err(match foreign::recognise(&start) {
            Some(foreign) => Fault::Foreign(foreign),
            None => {
                let start = start[..start.len().min(SHOWN)].escape_ascii().to_string();
                Fault::NotAnImage(start)
            }
        }),
    }
}

/// Decodes a form that the `image` crate reads like PIL.
fn decode_by_image(
    file: impl BufRead + Seek,
    form: ImageFormat,
    room: Room,
) -> Result<Image<'static>, Fault> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    let mut reader = ImageReader::with_format(file, form);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    let color = decoder.color_type();
    room.check(width, height, color.bytes_per_pixel().into())?;
    if matches!(color, ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(Fault::form(format!("a {form:?} of floating-point numbers")));
    }
    decoder.set_limits(limits)?;
    let image = DynamicImage::from_decoder(decoder)?;
    let (channels, pixels) = if color.has_color() {
        (3, image.into_rgb8().into_raw())
    } else {
        (1, image.into_luma8().into_raw())
    };
    Ok(Image::new(height, width, channels, pixels).stored_as(color.into()))
}

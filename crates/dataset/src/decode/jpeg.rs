//! JPEG, decoded by libjpeg-turbo's decoder from mozjpeg. The pixels equal PIL's to the last bit.
//!
//! libjpeg chooses the colour space by its own rules. One component is gray. Three are YCbCr if there is a
//! JFIF segment, else as an Adobe segment says, else RGB if the components are named R, G and B, else YCbCr.
//! Four are CMYK or YCCK as an Adobe segment says, else CMYK. If a file ends before all rows are there, lacks a
//! component's scan, or has invalid entropy-coded data, libjpeg would invent pixels and warn; here that is an
//! error. A file that only lacks its end-of-image marker is read. (PIL refuses it; browsers show it.) Damage that
//! still decodes is not noticed, as in PIL. Bytes after the coded data are ignored, since sound files have them
//! too.

#![allow(unsafe_code)] // The decoder is written in C.

use std::ffi::{CStr, c_char, c_int};

// The C code links this crate's library.
use mozjpeg_sys as _;
use plural::counted;

use super::{Fault, Room, cmyk};
use crate::{Image, Mode};

/// libjpeg's `JMSG_LENGTH_MAX`.
const MESSAGE_LEN: usize = 200;

/// Two values of the C code's `enum outcome`.
const DECODED: c_int = 1;
const NOT_READ: c_int = 2;

/// The interpretation of the components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Colours {
    /// By the file's markers.
    ByMarkers = 0,
    /// As they are stored.
    AsStored = 1,
    /// As YCbCr, whatever the markers say.
    YCbCr = 2,
}

/// `struct jpeg_file`.
#[repr(C)]
struct File {
    bytes: *const u8,
    len: usize,
    tables: *const u8,
    tables_len: usize,
    colours: c_int,
    shrink: c_int,
}

/// `struct jpeg_header`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: u32,
    subsampled: u32,
}

unsafe extern "C" {
    fn dataset_jpeg_header(file: *const File, header: *mut Header, message: *mut c_char) -> c_int;
    fn dataset_jpeg_pixels(
        file: *const File,
        pixels: *mut u8,
        pixels_len: usize,
        message: *mut c_char,
    ) -> c_int;
}

impl Header {
    /// Whether a component has fewer numbers than pixels.
    pub(super) fn is_subsampled(self) -> bool {
        self.subsampled != 0
    }
}

/// A JPEG in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jpeg<'a> {
    pub(super) bytes: &'a [u8],
    /// An abbreviated JPEG with the tables that it uses, as for strips of a TIFF.
    pub(super) tables: Option<&'a [u8]>,
    pub(super) colours: Colours,
    /// The image is decoded at one part in so many of its height and width, rounded up: 1, 2, 4 or 8.
    pub(super) shrink: usize,
}

impl Jpeg<'_> {
    fn file(&self) -> File {
        File {
            bytes: self.bytes.as_ptr(),
            len: self.bytes.len(),
            tables: self.tables.map_or(std::ptr::null(), <[u8]>::as_ptr),
            tables_len: self.tables.map_or(0, <[u8]>::len),
            colours: self.colours as c_int,
            shrink: self.shrink as c_int,
        }
    }

    /// Calls one of the C functions; its message if it fails.
    fn call(&self, function: impl FnOnce(*const File, *mut c_char) -> c_int) -> Result<(), Fault> {
        let mut message = [0u8; MESSAGE_LEN];
        let outcome = function(&self.file(), message.as_mut_ptr().cast());
        let text = CStr::from_bytes_until_nul(&message).unwrap_or_default().to_string_lossy();
        match outcome {
            DECODED => Ok(()),
            NOT_READ => Err(Fault::form(format!("a JPEG of another form ({text})"))),
            _ => Err(Fault::damaged(text)),
        }
    }

    /// Sizes and number of components of the whole image.
    pub(super) fn header(&self) -> Result<Header, Fault> {
        let mut header = Header::default();
        // SAFETY: the pointers are to live values of the layouts that the C code declares, the
        // lengths are those of the slices, and the message has the room that libjpeg asks for.
        self.call(|file, message| unsafe { dataset_jpeg_header(file, &mut header, message) })?;
        Ok(header)
    }

    /// The numbers, `[height, width, components]` in C order, if there is room for them: those of the header,
    /// shrunk.
    pub(super) fn pixels(&self, header: Header, room: Room) -> Result<Vec<u8>, Fault> {
        let (height, width) = (header.height as usize, header.width as usize);
        let components = header.components as usize;
        // With several scans, coefficients of 16 bits are also in memory until the last scan is read.
        room.check(width, height, components)?;
        let [height, width] = [height, width].map(|side| side.div_ceil(self.shrink));
        let mut pixels = vec![0; height * width * components];
        // SAFETY: as above. The C code writes no more bytes than it is told that there are.
        self.call(|file, message| unsafe {
            dataset_jpeg_pixels(file, pixels.as_mut_ptr(), pixels.len(), message)
        })?;
        Ok(pixels)
    }
}

/// Decodes a file of these bytes, at the smallest size that falls short of `at_least`, height and width, on no
/// side; if it is `None`, at its own.
pub(super) fn decode(
    bytes: &[u8],
    at_least: Option<[usize; 2]>,
    room: Room,
) -> Result<Image<'static>, Fault> {
    let mut jpeg = Jpeg { bytes, tables: None, colours: Colours::ByMarkers, shrink: 1 };
    let header = jpeg.header()?;
    let [height, width] = [header.height, header.width].map(|side| side as usize);
    if let Some(least) = at_least {
        let suffices = |shrink: &usize| height >= shrink * least[0] && width >= shrink * least[1];
        jpeg.shrink = [8, 4, 2].into_iter().find(suffices).unwrap_or(1);
    }
    let [height, width] = [height, width].map(|side| side.div_ceil(jpeg.shrink));
    match header.components {
        1 => Ok(Image::new(height, width, 1, jpeg.pixels(header, room)?)),
        3 => Ok(Image::new(height, width, 3, jpeg.pixels(header, room)?)),
        // As Adobe's programs write them: 255 stands for no ink, whether or not a marker says so.
        4 => {
            let pixels = cmyk::inverted_to_rgb(&jpeg.pixels(header, room)?);
            let mode = Mode::of(crate::Colours::Cmyk);
            Ok(Image::new(height, width, 3, pixels).stored_as(mode))
        }
        components => Err(Fault::form(format!("a JPEG of {}", counted(components, "component")))),
    }
}

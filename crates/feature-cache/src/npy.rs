//! The headers of `.npy` files that are too large for memory and read through a memory map.
//!
//! `ndarray-npy` reads and writes them; this module adds half precision, and limits on what is parsed.

use std::fmt;
use std::io::Write;
use std::path::Path;

use half::f16;
use memmap2::{Mmap, UncheckedAdvice};
use ndarray::ArrayViewD;
use ndarray_npy::{
    ViewDataError, ViewElement, ViewNpyError, ViewNpyExt, WritableElement, WriteDataError,
};
use py_literal::Value as PyValue;
use recipe::Dtype;

use crate::Error;
use crate::files::check_is_file;

/// Bytes of every header that [`npy_header()`] makes: a multiple of 64, as NumPy's are. The elements that follow
/// are aligned in a map of the file.
pub const NPY_HEADER: usize = 128;

/// The header, of version 1.0, of an array of at most two dimensions in C order. `descriptor` is NumPy's name of
/// the element type.
///
/// All headers have the same length: an array whose length is known only in the end is begun with the header of
/// another one.
pub fn npy_header(descriptor: &str, shape: &[usize]) -> [u8; NPY_HEADER] {
    // `numpy.lib.format`: magic string, version, length of the rest, a literal of Python, padding, and a
    // line break. A shape of one number is written `(1,)`.
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let shape = format!("({}{comma})", lengths.join(", "));
    let text = format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': {shape}, }}");
    let mut header = [b' '; NPY_HEADER];
    header[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    header[8..10].copy_from_slice(&(NPY_HEADER as u16 - 10).to_le_bytes());
    // Two numbers of 64 bits leave room.
    header[10..10 + text.len()].copy_from_slice(text.as_bytes());
    header[NPY_HEADER - 1] = b'\n';
    header
}

/// The type of an array's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    F16,
    U16,
    I32,
    I64,
}

impl Element {
    /// The name that a header has for it, little-endian.
    pub(crate) fn descriptor(self) -> &'static str {
        match self {
            Element::F32 => "<f4",
            Element::F16 => "<f2",
            Element::U16 => "<u2",
            Element::I32 => "<i4",
            Element::I64 => "<i8",
        }
    }

    /// Bytes of an element.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Element::F16 | Element::U16 => 2,
            Element::F32 | Element::I32 => 4,
            Element::I64 => 8,
        }
    }
}

impl From<Dtype> for Element {
    fn from(dtype: Dtype) -> Element {
        match dtype {
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
        }
    }
}

/// Half-precision number as an array element of a `.npy` file; ndarray-npy has none.
#[repr(transparent)]
pub(crate) struct Half(pub(crate) f16);

impl WritableElement for Half {
    fn type_descriptor() -> PyValue {
        PyValue::String("<f2".into())
    }

    fn write<W: Write>(&self, mut writer: W) -> Result<(), WriteDataError> {
        Ok(writer.write_all(&self.0.to_le_bytes())?)
    }

    fn write_slice<W: Write>(slice: &[Self], mut writer: W) -> Result<(), WriteDataError> {
        slice.iter().try_for_each(|value| value.write(&mut writer))
    }
}

impl ViewElement for Half {
    fn bytes_as_slice<'a>(
        bytes: &'a [u8],
        descriptor: &PyValue,
        len: usize,
    ) -> Result<&'a [Self], ViewDataError> {
        if *descriptor != Half::type_descriptor() {
            return Err(ViewDataError::WrongDescriptor(descriptor.clone()));
        }
        let wanted = len * size_of::<Half>();
        match bytes.len().checked_sub(wanted) {
            None => return Err(ViewDataError::MissingBytes(wanted - bytes.len())),
            Some(0) => {}
            Some(extra) => return Err(ViewDataError::ExtraBytes(extra)),
        }
        if !bytes.as_ptr().cast::<Half>().is_aligned() {
            return Err(ViewDataError::Misaligned);
        }
        #[allow(unsafe_code)]
        // SAFETY: every bit pattern is a valid f16; length and alignment were checked above.
        Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), len) })
    }
}

/// A memory map of a file.
#[allow(unsafe_code)]
pub(crate) fn map(path: &Path) -> Result<Mmap, Error> {
    let file = check_is_file(path).and_then(|()| std::fs::File::open(path));
    let file = file.map_err(durable::Error::at("open", path))?;
    // SAFETY: caches are written once and not changed afterwards. If another program changes a file while it is
    // read, the numbers are wrong or there is a bus error, as with every memory map, and `verify` finds the
    // change.
    let map = unsafe { Mmap::map(&file) };
    Ok(map.map_err(durable::Error::at("map", path))?)
}

/// Tells the operating system that bytes of a read-only map of a file are not needed for now, so that
/// they no longer count as this program's memory. They can be read again.
pub(crate) fn release(map: &Mmap, start: usize, len: usize) {
    // Where a page is touched, Linux maps those around it, too: all of a large folio, of up to 2 MiB.
    const BLOCK: usize = 2 << 20;
    let base = map.as_ptr().addr();
    let end = ((base + start + len).next_multiple_of(BLOCK) - base).min(map.len());
    let start = ((base + start) / BLOCK * BLOCK).max(base) - base;
    #[allow(unsafe_code)]
    // SAFETY: the map is a read-only one of a file; dropped pages are read again from it.
    let advised =
        unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
    // Advice: without it, the pages stay until memory is short.
    let _ = advised;
}

/// Checks that the mapped `.npy` file at `path` holds an array of `shape` and `element` in C order,
/// and returns the offset of its first element.
pub(crate) fn check_header(
    map: &[u8],
    path: &Path,
    shape: &[usize],
    element: Element,
) -> Result<usize, Error> {
    let expected = format_args!("shape {shape:?}, dtype {}, C order", element.descriptor());
    let header = Header::read(map, path, expected, element)?;
    if header.shape != shape {
        return Err(wrong(path, expected, format!("shape {:?}", header.shape)));
    }
    if !header.in_c_order {
        return Err(wrong(path, expected, "Fortran order".into()));
    }
    Ok(header.offset)
}

/// Likewise an array of one dimension, of any length: returns the length, too.
pub(crate) fn check_vector(
    map: &[u8],
    path: &Path,
    element: Element,
) -> Result<(usize, usize), Error> {
    let expected = format_args!("one dimension, dtype {}", element.descriptor());
    let Header { shape, offset, .. } = Header::read(map, path, expected, element)?;
    match *shape {
        [len] => Ok((len, offset)),
        _ => Err(wrong(path, expected, format!("shape {shape:?}"))),
    }
}

fn wrong(path: &Path, expected: fmt::Arguments<'_>, found: String) -> Error {
    Error::WrongHeader { path: path.to_path_buf(), expected: expected.to_string(), found }
}

/// The content of the header of a `.npy` file.
struct Header {
    shape: Vec<usize>,
    in_c_order: bool,
    /// Where in the file the first element lies.
    offset: usize,
}

impl Header {
    fn read(
        map: &[u8],
        path: &Path,
        expected: fmt::Arguments<'_>,
        element: Element,
    ) -> Result<Header, Error> {
        check_form(map).map_err(|found| wrong(path, expected, found))?;
        let header = match element {
            Element::F32 => Header::of_array::<f32>(map),
            Element::F16 => Header::of_array::<Half>(map),
            Element::U16 => Header::of_array::<u16>(map),
            Element::I32 => Header::of_array::<i32>(map),
            Element::I64 => Header::of_array::<i64>(map),
        };
        header.map_err(|error| wrong(path, expected, error.to_string()))
    }

    fn of_array<T: ViewElement>(map: &[u8]) -> Result<Header, ViewNpyError> {
        let view = ArrayViewD::<T>::view_npy(map)?;
        Ok(Header {
            shape: view.shape().to_vec(),
            in_c_order: view.is_standard_layout(),
            offset: view.as_ptr().addr() - map.as_ptr().addr(),
        })
    }
}

/// Checks that a `.npy` file begins with the header of a plain array, since ndarray-npy's parser of Python's literals
/// would recurse as deep as the brackets of a hostile one. The error says what is there instead.
pub(crate) fn check_form(file: &[u8]) -> Result<(), String> {
    match npy_header::Header::read(file) {
        Ok(header) if header.descr.is_some() => Ok(()),
        Ok(_) => Err("records as elements".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_numpys() {
        let text =
            |shape: &[usize]| String::from_utf8_lossy(&npy_header("<f4", shape)[10..]).into_owned();
        let expected = "{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }";
        assert_eq!(text(&[5]).trim_end(), expected);
        assert_eq!(text(&[5, 7]).trim_end(), expected.replace("(5,)", "(5, 7)"));
        let longest = text(&[usize::MAX, usize::MAX]);
        assert!(longest.trim_end().ends_with('}') && longest.ends_with('\n'), "{longest}");
    }
}

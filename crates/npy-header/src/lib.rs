//! Headers of NumPy's `.npy` files, parsed in bounded time.
//!
//! A header is a Python dictionary as text (`numpy.lib.format`). A parser of Python's literals recurses as deep as the
//! brackets are nested, and its time may double with each of them, so length and brackets are limited before a hostile
//! header reaches it.

use std::io::{self, Read};

use py_literal::Value;

/// Length of the longest header that is parsed, in bytes. NumPy's header of a plain array has some 100 bytes.
const MAX_LEN: usize = 1 << 10;
/// Largest number of opening brackets. A dictionary with one tuple has two; a record has two more and one for each
/// field.
const MAX_BRACKETS: usize = 16;

/// What a header says about an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The element type, by NumPy's code, such as `<f4`; `None` if elements are records.
    pub descr: Option<String>,
    /// Whether the first index varies fastest, as in Fortran.
    pub is_fortran: bool,
    /// The shape.
    pub shape: Vec<u64>,
    /// Where the elements begin: the number of bytes before them.
    pub start: usize,
}

/// The reason why there is no header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The file cannot be read.
    #[error("a header that cannot be read")]
    Read(#[from] io::Error),
    /// The bytes are no header. The text is a noun phrase for what is there.
    #[error("{0}")]
    Malformed(&'static str),
}

impl Header {
    /// Reads the header at the start of an array. Not more than the header is read.
    ///
    /// # Errors
    /// If it cannot be read, is truncated, or is not a header as NumPy writes it.
    pub fn read(mut file: impl Read) -> Result<Header, HeaderError> {
        let mut take = |len: usize| -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            file.by_ref().take(len as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        // The magic string, two bytes of version, and the header's length.
        let width = match take(8)?[..] {
            [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _] => 2,
            [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _] => 4,
            _ => return Err(HeaderError::Malformed("no .npy header of version 1, 2 or 3")),
        };
        let mut len = [0; 4];
        let bytes = take(width)?;
        len[..bytes.len()].copy_from_slice(&bytes);
        let len = u32::from_le_bytes(len) as usize;
        if len > MAX_LEN {
            return Err(HeaderError::Malformed("a header that is too long"));
        }
        let text = take(len)?;
        if bytes.len() < width || text.len() < len {
            return Err(HeaderError::Malformed("a truncated header"));
        }
        let count = |brackets: &[u8]| text.iter().filter(|byte| brackets.contains(byte)).count();
        // Braces within braces would be parsed as a dictionary and as a set in turn.
        let header = if count(b"{") == 1 && count(b"([{") <= MAX_BRACKETS {
            std::str::from_utf8(&text).ok().and_then(parse)
        } else {
            None
        };
        let (descr, is_fortran, shape) =
            header.ok_or(HeaderError::Malformed("a header that is not a plain array's"))?;
        Ok(Header { descr, is_fortran, shape, start: 8 + width + len })
    }
}

/// The element type, whether the order is Fortran's, and the shape, from a header's text.
fn parse(text: &str) -> Option<(Option<String>, bool, Vec<u64>)> {
    let Value::Dict(fields) = text.trim().parse().ok()? else { return None };
    let (mut descr, mut is_fortran, mut shape) = (None, None, None);
    for (key, value) in fields {
        let Value::String(key) = key else { return None };
        match (&*key, value) {
            ("descr", Value::String(value)) => descr = Some(Some(value)),
            // The fields of a record.
            ("descr", Value::List(_)) => descr = Some(None),
            ("fortran_order", Value::Boolean(value)) => is_fortran = Some(value),
            ("shape", Value::Tuple(sides)) => {
                let side = |side: &Value| match side {
                    Value::Integer(side) => side.to_string().parse().ok(),
                    _ => None,
                };
                shape = Some(sides.iter().map(side).collect::<Option<Vec<u64>>>()?);
            }
            _ => return None,
        }
    }
    Some((descr?, is_fortran?, shape?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(header: &str) -> Vec<u8> {
        let len = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\0", &len[..], header.as_bytes(), b"elements"].concat()
    }

    fn read(bytes: &[u8]) -> Result<Header, String> {
        Header::read(bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn headers_are_numpys() {
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 7), }          \n";
        let header = Header {
            descr: Some("<f4".to_owned()),
            is_fortran: false,
            shape: vec![5, 7],
            start: 10 + text.len(),
        };
        assert_eq!(read(&array(text)), Ok(header));
        let record =
            "{'descr': [('a', '<f4'), ('b', '|S5')], 'fortran_order': True, 'shape': (5,)}";
        let header = read(&array(record)).unwrap();
        assert_eq!((header.descr, header.is_fortran, header.shape), (None, true, vec![5]));
        // Version 2 has a length of four bytes.
        let len = (text.len() as u32).to_le_bytes();
        let second = [b"\x93NUMPY\x02\0", &len[..], text.as_bytes()].concat();
        assert_eq!(read(&second).unwrap().start, 12 + text.len());
    }

    #[test]
    fn others_are_refused() {
        for (bytes, says) in [
            (b"PK".to_vec(), "no .npy header"),
            (b"\x93NUMPY\x04\0\x02\0{}".to_vec(), "no .npy header"),
            (b"\x93NUMPY\x01\0\x02".to_vec(), "truncated"),
            (b"\x93NUMPY\x01\0\x03\0{}".to_vec(), "truncated"),
            (b"\x93NUMPY\x02\0\0\0\0\x01{}".to_vec(), "too long"),
            (array("{'descr': '<f4', 'fortran_order': False, 'shape': (-5,)}"), "not a plain"),
            (array("{'descr': '<f4', 'fortran_order': False}"), "not a plain"),
            (
                array("{'descr': '<f4', 'fortran_order': False, 'shape': (5,), 'x': 1}"),
                "not a plain",
            ),
        ] {
            let found = read(&bytes).unwrap_err();
            assert!(found.contains(says), "{bytes:?}: {found}");
        }
    }

    /// Each bracket may double the time of the parser, and each brace treble it.
    #[test]
    fn brackets_take_no_time() {
        for brackets in ["{}", "[]", "()"] {
            for depth in [1, 2, 14, 15, 16, 40, 500] {
                let (open, close) = brackets.split_at(1);
                let (open, close) = (open.repeat(depth), close.repeat(depth));
                for text in [format!("{open}1{close}"), format!("{{'shape': {open}1{close}}}")] {
                    let started = std::time::Instant::now();
                    read(&array(&text)).unwrap_err();
                    assert!(started.elapsed().as_secs() < 2, "{text}");
                }
            }
        }
    }
}

//! The headers of the view's arrays: `.npy` of version 1.0, which NumPy reads.
//!
//! A header is a function of the element type and the shape, so that a file's header is compared, not
//! parsed. All have the same length: an array whose length is known only in the end is begun with the
//! header of another one.

/// Bytes of every header. The elements that follow are aligned in a map of the file.
pub(crate) const HEADER_LEN: usize = 128;

/// The header of an array of this shape in C order. `descriptor` is NumPy's name of the element type.
pub(crate) fn header(descriptor: &str, shape: &[usize]) -> [u8; HEADER_LEN] {
    // `numpy.lib.format`: magic string, version, length of the rest, a literal of Python, padding, and a
    // line break. A shape of one number is written `(1,)`.
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let shape = format!("({}{comma})", lengths.join(", "));
    let text = format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': {shape}, }}");
    let mut header = [b' '; HEADER_LEN];
    header[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    header[8..10].copy_from_slice(&(HEADER_LEN as u16 - 10).to_le_bytes());
    // Two numbers of 64 bits leave room.
    header[10..10 + text.len()].copy_from_slice(text.as_bytes());
    header[HEADER_LEN - 1] = b'\n';
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_numpys() {
        let text =
            |shape: &[usize]| String::from_utf8_lossy(&header("<f4", shape)[10..]).into_owned();
        let expected = "{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }";
        assert_eq!(text(&[5]).trim_end(), expected);
        assert_eq!(text(&[5, 7]).trim_end(), expected.replace("(5,)", "(5, 7)"));
        let longest = text(&[usize::MAX, usize::MAX]);
        assert!(longest.trim_end().ends_with('}') && longest.ends_with('\n'), "{longest}");
    }
}

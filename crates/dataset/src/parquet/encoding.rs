//! The encodings of values in a page: where the texts or bytes of a column lie in it, and its integers.
//!
//! In: a page's bytes and the number of values that its header announces. Out: as many values, or `None` if
//! the page does not hold them. Memory is taken for as many values as were asked for.
//! Source: <https://parquet.apache.org/docs/file-format/data-pages/encodings/>.

use super::thrift::varint;

/// Bytes within a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// Small numbers as runs of equal ones and as runs of bits: levels of definition, and positions in a dictionary.
#[derive(Debug, Clone)]
pub(super) struct Runs<'a> {
    rest: &'a [u8],
    /// Bits of a number, at most 32.
    width: u32,
    run: Run<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Run<'a> {
    /// A number, and how often it still comes.
    Equal { number: u32, left: u64 },
    /// Numbers of `width` bits each, the lowest bit first, and the position of the next one.
    Bits { bytes: &'a [u8], next: usize },
}

impl<'a> Runs<'a> {
    /// `None` if numbers are not so wide.
    pub(super) fn new(bytes: &'a [u8], width: u32) -> Option<Runs<'a>> {
        (width <= 32).then_some(Runs { rest: bytes, width, run: Run::Equal { number: 0, left: 0 } })
    }

    /// Reads the header of the next run; `None` if there is none.
    fn next_run(&mut self) -> Option<()> {
        let (header, len) = varint(self.rest)?;
        self.rest = &self.rest[len..];
        if header & 1 == 0 {
            let len = self.width.div_ceil(8) as usize;
            let (number, rest) = self.rest.split_at_checked(len)?;
            let mut wide = [0; 4];
            wide[..len].copy_from_slice(number);
            self.run = Run::Equal { number: u32::from_le_bytes(wide), left: header >> 1 };
            self.rest = rest;
        } else {
            // Groups of eight numbers. Some writers truncate the last one.
            let len = (header >> 1).saturating_mul(self.width.into());
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.rest.len());
            let (bytes, rest) = self.rest.split_at(len);
            // Numbers without bits are not there to be counted by their bytes.
            self.run = match self.width {
                0 => Run::Equal { number: 0, left: (header >> 1).saturating_mul(8) },
                _ => Run::Bits { bytes, next: 0 },
            };
            self.rest = rest;
        }
        Some(())
    }
}

impl Iterator for Runs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            match &mut self.run {
                Run::Equal { number, left } if *left > 0 => {
                    *left -= 1;
                    return Some(*number);
                }
                Run::Bits { bytes, next } => {
                    if let Some(number) = bits(bytes, *next, self.width) {
                        *next += 1;
                        return Some(number as u32);
                    }
                }
                Run::Equal { .. } => {}
            }
            self.next_run()?;
        }
    }
}

/// The number at a position among numbers of `width` bits each, at most 64, the lowest bit first; `None` if
/// the bytes end before it does.
fn bits(bytes: &[u8], index: usize, width: u32) -> Option<u64> {
    let start = index.checked_mul(width as usize)?;
    let end = start.checked_add(width as usize)?;
    if end > bytes.len().checked_mul(8)? {
        return None;
    }
    let mut wide = [0; 16];
    let of_number = &bytes[start / 8..end.div_ceil(8)];
    wide[..of_number.len()].copy_from_slice(of_number);
    let shifted = u128::from_le_bytes(wide) >> (start % 8);
    Some((shifted & ((1 << width) - 1)) as u64)
}

/// Integers of `size` bytes each.
pub(super) fn plain_integers(bytes: &[u8], count: usize, size: usize) -> Option<Vec<i64>> {
    let bytes = bytes.get(..count.checked_mul(size)?)?;
    Some(match size {
        4 => bytes.as_chunks().0.iter().map(|&number| i32::from_le_bytes(number).into()).collect(),
        _ => bytes.as_chunks().0.iter().map(|&number| i64::from_le_bytes(number)).collect(),
    })
}

/// Byte arrays of which each follows its length, from the position `start` of the page on.
pub(super) fn plain_spans(page: &[u8], start: usize, count: usize) -> Option<Vec<Span>> {
    let mut spans = Vec::new();
    let mut position = start;
    for _ in 0..count {
        let len = u32::from_le_bytes(*page.get(position..)?.first_chunk()?);
        position += 4;
        let end = position.checked_add(len as usize).filter(|&end| end <= page.len())?;
        spans.push(Span { start: u32::try_from(position).ok()?, len });
        position = end;
    }
    Some(spans)
}

/// Integers of which the differences are packed (`DELTA_BINARY_PACKED`), exactly `count`, and the bytes after them.
pub(super) fn delta_integers(bytes: &[u8], count: usize) -> Option<(Vec<i64>, &[u8])> {
    let mut rest = bytes;
    let mut number = || {
        let (number, len) = varint(rest)?;
        rest = &rest[len..];
        Some(number)
    };
    let (block, miniblocks, announced) = (number()?, number()?, number()?);
    let first = unzigzag(number()?);
    let per_miniblock = usize::try_from(block.checked_div(miniblocks)?).ok()?;
    let miniblocks = usize::try_from(miniblocks).ok()?;
    // The values of a miniblock are a multiple of 32.
    if announced != count as u64 || per_miniblock == 0 || !per_miniblock.is_multiple_of(32) {
        return None;
    }
    let mut integers = Vec::new();
    if count > 0 {
        integers.push(first);
    }
    let mut last = first;
    while integers.len() < count {
        let (least, len) = varint(rest)?;
        let least = unzigzag(least);
        let (widths, miniblocks) = rest.get(len..)?.split_at_checked(miniblocks)?;
        rest = miniblocks;
        for &width in widths {
            if integers.len() == count {
                break;
            }
            let width = u32::from(width);
            if width > 64 {
                return None;
            }
            let len = per_miniblock.checked_mul(width as usize)? / 8;
            let (packed, after) = rest.split_at_checked(len)?;
            rest = after;
            for index in 0..per_miniblock.min(count - integers.len()) {
                let difference = bits(packed, index, width)?.cast_signed();
                last = last.wrapping_add(least).wrapping_add(difference);
                integers.push(last);
            }
        }
    }
    Some((integers, rest))
}

/// Byte arrays after their lengths (`DELTA_LENGTH_BYTE_ARRAY`), from the position `start` of the page on.
pub(super) fn delta_spans(page: &[u8], start: usize, count: usize) -> Option<Vec<Span>> {
    let (lens, rest) = delta_integers(page.get(start..)?, count)?;
    let mut position = page.len() - rest.len();
    let mut spans = Vec::new();
    for len in lens {
        let len = u32::try_from(len).ok()?;
        let end = position.checked_add(len as usize).filter(|&end| end <= page.len())?;
        spans.push(Span { start: u32::try_from(position).ok()?, len });
        position = end;
    }
    Some(spans)
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the format's documentation.
    #[test]
    fn runs_are_read() {
        // 8 numbers of 3 bits: 0 to 7.
        let packed = Runs::new(&[0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010], 3).unwrap();
        assert!(packed.eq(0..8));
        // Five times 4, of 3 bits, and twice 300, of 9 bits.
        assert!(Runs::new(&[10, 4], 3).unwrap().eq([4; 5]));
        assert!(Runs::new(&[4, 0x2c, 1], 9).unwrap().eq([300; 2]));
        assert!(Runs::new(&[3, 0], 0).unwrap().take(9).eq([0; 8]));
        // A truncated run has the numbers that are there, a truncated number is none.
        assert!(Runs::new(&[0b11, 0b1000_1000], 3).unwrap().eq([0, 1]));
        assert_eq!(Runs::new(&[10], 3).unwrap().next(), None);
        assert!(Runs::new(&[], 33).is_none());
    }

    #[test]
    fn differences_are_added_up() {
        // 1 to 5: a block of 128 numbers in 4 miniblocks, 5 numbers, the first of which is 1; the least difference
        // is 1, and no bits are needed for what is more.
        let (numbers, rest) = delta_integers(&[0x80, 1, 4, 5, 2, 2, 0, 0, 0, 0, 9], 5).unwrap();
        assert_eq!((numbers, rest), (vec![1, 2, 3, 4, 5], &[9][..]));
        // 7, 5, 3, 1, 2, 3, 4, 5: the least difference is -2, and the differences to it have 2 bits each.
        let mut bytes = vec![0x80, 1, 4, 8, 14, 3, 2, 0, 0, 0, 0b1100_0000, 0b0011_1111];
        bytes.extend([0; 6]);
        let (numbers, rest) = delta_integers(&bytes, 8).unwrap();
        assert_eq!((numbers, rest), (vec![7, 5, 3, 1, 2, 3, 4, 5], &[][..]));
        for len in 0..bytes.len() {
            assert_eq!(delta_integers(&bytes[..len], 8), None, "{len}");
        }
        // Another number of values than announced, no miniblocks, and too wide differences.
        assert_eq!(delta_integers(&bytes, 7), None);
        assert_eq!(delta_integers(&[0x80, 1, 0, 5, 2, 2], 5), None);
        assert_eq!(delta_integers(&[0x80, 1, 4, 5, 2, 2, 65, 0, 0, 0], 5), None);
    }

    #[test]
    fn byte_arrays_are_found() {
        let page = [9, 1, 0, 0, 0, b'a', 0, 0, 0, 0, 2, 0, 0, 0, b'b', b'c'];
        let spans = plain_spans(&page, 1, 3).unwrap();
        let found: Vec<&[u8]> = spans
            .iter()
            .map(|span| &page[span.start as usize..(span.start + span.len) as usize])
            .collect();
        assert_eq!(found, [&b"a"[..], b"", b"bc"]);
        assert_eq!(plain_spans(&page, 1, 4), None);
        assert_eq!(plain_spans(&page[..15], 1, 3), None);
        // Lengths 1, 2, 3 and then their bytes.
        let page = [0x80, 1, 4, 3, 2, 2, 0, 0, 0, 0, b'a', b'b', b'b', b'c', b'c', b'c'];
        let spans = delta_spans(&page, 0, 3).unwrap();
        assert_eq!(spans, [(10, 1), (11, 2), (13, 3)].map(|(start, len)| Span { start, len }));
        assert_eq!(delta_spans(&page[..15], 0, 3), None);
        assert_eq!(plain_integers(&[1, 0, 0, 0, 255, 255, 255, 255], 2, 4), Some(vec![1, -1]));
        assert_eq!(plain_integers(&[1, 0, 0, 0], 1, 8), None);
    }
}

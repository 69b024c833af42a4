//! MNIST's IDX format: a big-endian magic number, the dimensions, then bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{Error, GrayImages};

/// Unsigned bytes in three dimensions: images, rows, columns.
const IMAGES_MAGIC: u32 = 0x0000_0803;
/// Unsigned bytes in one dimension.
const LABELS_MAGIC: u32 = 0x0000_0801;

/// Reads an image file, compressed if its name ends with `.gz`.
pub(crate) fn read_images(path: &Path) -> Result<GrayImages, Error> {
    let mut reader = Reader::open(path)?;
    let [count, height, width] = reader.header(IMAGES_MAGIC, "images")?;
    let what = format!("{count} images of {height}x{width}");
    let pixels = reader.body(&[count, height, width], 16, what)?;
    if pixels.is_empty() {
        return Err(Error::NoImages { path: path.to_path_buf() });
    }
    Ok(GrayImages { height: height as usize, width: width as usize, pixels })
}

/// Reads a label file, compressed if its name ends with `.gz`.
pub(crate) fn read_labels(path: &Path) -> Result<Vec<i64>, Error> {
    let mut reader = Reader::open(path)?;
    let [count] = reader.header(LABELS_MAGIC, "labels")?;
    let labels = reader.body(&[count], 8, format!("{count} labels"))?;
    Ok(labels.into_iter().map(i64::from).collect())
}

struct Reader<'a> {
    path: &'a Path,
    bytes: Box<dyn Read>,
}

impl<'a> Reader<'a> {
    fn open(path: &'a Path) -> Result<Reader<'a>, Error> {
        let file =
            File::open(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
        let bytes: Box<dyn Read> = match path.extension() {
            Some(extension) if extension == "gz" => Box::new(MultiGzDecoder::new(file)),
            _ => Box::new(file),
        };
        Ok(Reader { path, bytes })
    }

    fn header<const N: usize>(
        &mut self,
        magic: u32,
        what: &'static str,
    ) -> Result<[u32; N], Error> {
        let found = self.number(0, what)?;
        if found != magic {
            let path = self.path.to_path_buf();
            return Err(Error::WrongMagic { path, found, expected: magic, what });
        }
        let mut dimensions = [0; N];
        for (index, dimension) in dimensions.iter_mut().enumerate() {
            *dimension = self.number(4 + 4 * index as u64, what)?;
        }
        Ok(dimensions)
    }

    fn number(&mut self, offset: u64, what: &str) -> Result<u32, Error> {
        let bytes = self.read(4)?;
        match *bytes.as_slice() {
            [a, b, c, d] => Ok(u32::from_be_bytes([a, b, c, d])),
            _ => Err(Error::WrongLength {
                path: self.path.to_path_buf(),
                found: offset + bytes.len() as u64,
                expected: offset + 4,
                what: format!("{what}, but ends within the header; at least"),
            }),
        }
    }

    /// Everything behind the header, whose length the dimensions give.
    fn body(&mut self, dimensions: &[u32], header: u64, what: String) -> Result<Vec<u8>, Error> {
        let expected = dimensions.iter().fold(1u64, |product, &n| product.saturating_mul(n.into()));
        // One byte more than announced, so as to notice that there is more. What is read grows
        // with what is there: a header cannot make us allocate what the file does not hold.
        let bytes = self.read(expected.saturating_add(1))?;
        if bytes.len() as u64 != expected {
            return Err(Error::WrongLength {
                path: self.path.to_path_buf(),
                found: header + bytes.len() as u64,
                expected: header.saturating_add(expected),
                what,
            });
        }
        Ok(bytes)
    }

    fn read(&mut self, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let read = self.bytes.by_ref().take(limit).read_to_end(&mut bytes);
        read.map_err(|source| Error::Read { path: self.path.to_path_buf(), source })?;
        Ok(bytes)
    }
}

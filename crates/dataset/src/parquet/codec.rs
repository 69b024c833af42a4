//! The compression of pages, undone up to the size that a page's header announces.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// Not at all.
    None,
    Snappy,
    Gzip,
    Zstd,
    /// LZ4's block format.
    Lz4,
}

/// Largest window of a Zstandard frame that is smaller than what it holds. Zstandard's level 19 has it.
const MAX_WINDOW: u64 = 8 << 20;

impl Codec {
    /// The codec of this number in the format.
    ///
    /// # Errors
    /// If it is not supported: its name.
    pub(super) fn numbered(number: i64) -> Result<Codec, String> {
        Ok(match number {
            0 => Codec::None,
            1 => Codec::Snappy,
            2 => Codec::Gzip,
            6 => Codec::Zstd,
            7 => Codec::Lz4,
            3 => return Err("LZO".to_owned()),
            4 => return Err("Brotli".to_owned()),
            5 => return Err("LZ4 with Hadoop's frames".to_owned()),
            other => return Err(format!("codec {other}")),
        })
    }

    /// The `size` bytes that `bytes` were compressed from; `None` if they were not. No more memory is taken than
    /// for about twice as many, or for [`MAX_WINDOW`].
    pub(super) fn decompress(self, bytes: Vec<u8>, size: usize) -> Option<Vec<u8>> {
        let bounded = |reader: &mut dyn Read| {
            let mut content = Vec::with_capacity(size);
            reader.take(size as u64 + 1).read_to_end(&mut content).ok()?;
            Some(content)
        };
        let content = match self {
            Codec::None => Some(bytes),
            Codec::Snappy => {
                let announced = snap::raw::decompress_len(&bytes).ok()?;
                (announced == size)
                    .then(|| snap::raw::Decoder::new().decompress_vec(&bytes).ok())?
            }
            Codec::Gzip => bounded(&mut MultiGzDecoder::new(&bytes[..])),
            Codec::Zstd => {
                let window = MAX_WINDOW.max(size as u64);
                let mut decoder =
                    StreamingDecoder::new_with_max_window_size(&bytes[..], window).ok()?;
                bounded(&mut decoder)
            }
            Codec::Lz4 => lz4_flex::block::decompress(&bytes, size).ok(),
        };
        content.filter(|content| content.len() == size)
    }
}

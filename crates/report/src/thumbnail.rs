//! PNG files from pixels.

use thiserror::Error;

/// The reason why pixels cannot be written as a PNG file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PngError {
    /// The image has no pixels.
    #[error("the image has {height} × {width} pixels, expected at least one")]
    Empty {
        /// In pixels.
        height: usize,
        /// In pixels.
        width: usize,
    },
    /// The image is neither gray nor RGB.
    #[error("the image has {channels} channels, expected 1 (gray) or 3 (RGB)")]
    Channels {
        /// Number of channels given.
        channels: usize,
    },
    /// The number of bytes does not match the size.
    #[error("the image has {found} values, expected {expected} for its size")]
    Length {
        /// height × width × channels.
        expected: usize,
        /// The number of bytes given.
        found: usize,
    },
}

/// Encodes 8-bit pixels, row by row with channels together (`[H, W, C]`), as the bytes of a PNG
/// file. `channels` is 1 for gray, 3 for RGB.
///
/// # Errors
/// If there are no pixels, `channels` is neither 1 nor 3, or the length of `pixels` is not height × width ×
/// channels.
pub fn encode_png(
    height: usize,
    width: usize,
    channels: usize,
    pixels: &[u8],
) -> Result<Vec<u8>, PngError> {
    let color = match channels {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        _ => return Err(PngError::Channels { channels }),
    };
    let side = |length: usize| u32::try_from(length).ok().filter(|&length| length > 0);
    let (Some(rows), Some(columns)) = (side(height), side(width)) else {
        return Err(PngError::Empty { height, width });
    };
    let expected = height.saturating_mul(width).saturating_mul(channels);
    if pixels.len() != expected {
        return Err(PngError::Length { expected, found: pixels.len() });
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, columns, rows);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(pixels))
        .expect("memory takes all bytes, and there are as many as the header says");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        for channels in [1, 3] {
            let pixels: Vec<u8> = (0..5 * 4 * channels).map(|value| value as u8 * 4).collect();
            let bytes = encode_png(5, 4, channels, &pixels).unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
            let mut decoded = vec![0; pixels.len()];
            let info = reader.next_frame(&mut decoded).unwrap();
            assert_eq!((info.height, info.width), (5, 4));
            assert_eq!(decoded, pixels);
        }
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert_eq!(encode_png(0, 4, 1, &[]), Err(PngError::Empty { height: 0, width: 4 }));
        assert_eq!(encode_png(1, 1, 4, &[0; 4]), Err(PngError::Channels { channels: 4 }));
        let length = PngError::Length { expected: 6, found: 5 };
        assert_eq!(encode_png(1, 2, 3, &[0; 5]), Err(length));
    }
}

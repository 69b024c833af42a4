//! The valid sizes of a network's input.

use std::fmt;
use std::str::FromStr;

/// The smallest side of an image, in pixels: every network halves it five times.
pub const MIN_SIZE: usize = 32;

/// Height and width of a network's input, each at least [`MIN_SIZE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize {
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
}

/// The largest side, in pixels: at larger sizes a single image does not fit in a laptop's memory.
const MAX_SIZE: usize = 4096;

impl FromStr for ImageSize {
    type Err = String;

    /// Reads one side, or height and width as `HxW`.
    fn from_str(text: &str) -> Result<ImageSize, String> {
        let side = |side: &str| {
            let side = side.parse().ok().filter(|&side: &usize| side > 0);
            side.ok_or_else(|| {
                format!("'{text}' is not a size in pixels; expected one such as 96 or 96x128")
            })
        };
        let (height, width) = match text.split_once('x') {
            Some((height, width)) => (side(height)?, side(width)?),
            None => (side(text)?, side(text)?),
        };
        ImageSize::new(height, width)
    }
}

impl ImageSize {
    /// A size of valid sides.
    ///
    /// # Errors
    /// If a side is too small or too large; the text says what was expected.
    pub fn new(height: usize, width: usize) -> Result<ImageSize, String> {
        if height.min(width) < MIN_SIZE {
            return Err(format!(
                "{height}x{width} pixels are too few for a VGG network, which halves an image five \
                 times; expected sides of at least {MIN_SIZE} pixels. Small images, such as MNIST's \
                 28x28 digits, are enlarged to the size given here: use --size=48 or more; larger \
                 sizes are slower and give better features, --size=96 is a good start"
            ));
        }
        if height.max(width) > MAX_SIZE {
            return Err(format!(
                "{height}x{width} pixels are too many; expected sides of at most {MAX_SIZE} pixels"
            ));
        }
        Ok(ImageSize { height, width })
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_checked() {
        assert_eq!("96".parse(), Ok(ImageSize { height: 96, width: 96 }));
        assert_eq!("48x64".parse(), Ok(ImageSize { height: 48, width: 64 }));
        for bad in ["28", "31x64", "0", "", "x", "96x", "-1", "9999", "96 "] {
            assert!(bad.parse::<ImageSize>().is_err(), "{bad:?}");
        }
    }
}

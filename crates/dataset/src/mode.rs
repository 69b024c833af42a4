//! How files store the pixels of images, before these become gray or RGB with 8 bits.

use std::fmt;

use image::ColorType;

/// How an image file stores its pixels. [`Display`](fmt::Display) describes it as a noun phrase: `RGB`, `16-bit gray`,
/// `palette`, `RGB with alpha`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mode {
    /// The colours.
    pub colours: Colours,
    /// Whether there is an alpha channel.
    pub alpha: bool,
    /// Number of bits of a channel, or of an index into the palette.
    pub bits: u8,
}

/// The colours of an image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colours {
    /// Gray.
    Gray,
    /// Indices into a palette.
    Palette,
    /// RGB, or YCbCr, which is RGB in other coordinates.
    Rgb,
    /// CMYK, or YCCK.
    Cmyk,
}

impl Mode {
    /// 8 bits a channel without alpha.
    pub(crate) const fn of(colours: Colours) -> Mode {
        Mode { colours, alpha: false, bits: 8 }
    }

    /// The mode of decoded pixels with so many channels.
    pub(crate) fn of_channels(channels: usize) -> Mode {
        Mode::of(if channels == 1 { Colours::Gray } else { Colours::Rgb })
    }
}

impl From<ColorType> for Mode {
    /// The mode of what the `image` crate decodes.
    fn from(color: ColorType) -> Mode {
        let colours = if color.has_color() { Colours::Rgb } else { Colours::Gray };
        let bits = 8 * color.bytes_per_pixel() / color.channel_count();
        Mode { colours, alpha: color.has_alpha(), bits }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mode { colours, alpha, bits } = *self;
        if bits != 8 {
            write!(f, "{bits}-bit ")?;
        }
        f.write_str(match colours {
            Colours::Gray => "gray",
            Colours::Palette => "palette",
            Colours::Rgb => "RGB",
            Colours::Cmyk => "CMYK",
        })?;
        f.write_str(if alpha { " with alpha" } else { "" })
    }
}

//! Faults of images, which follow from their bytes alone.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use super::DecoderFault;

/// An image that cannot be read, because of what its bytes are: whoever reads the same bytes finds the same.
#[derive(Debug)]
pub struct ImageError {
    /// Its file, or the name that stands for it.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: ImageFault,
}

/// What is wrong with an image, as the predicate of a sentence.
#[derive(Debug, thiserror::Error)]
pub enum ImageFault {
    /// A file with an image's ending is not an image.
    #[error(
        "begins with '{start}': expected a JPEG, PNG, GIF, WebP, TIFF, BMP or PNM image; replace or remove it"
    )]
    NotAnImage {
        /// Its first bytes, as in a Rust string.
        start: String,
    },
    /// A file is of a known kind that is not an image.
    #[error("is {what}; {remedy}")]
    OtherFile {
        /// The kind, for example `a web page, not an image`.
        what: &'static str,
        /// The way out.
        remedy: &'static str,
    },
    /// It cannot be decoded.
    #[error("cannot be decoded; it may be truncated or damaged: replace or remove it")]
    Damaged {
        /// The decoder's reason.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It has no pixels, or too many.
    #[error(
        "has {width}x{height} pixels; expected 1 to 65535 pixels per side and at most 512 MiB decoded, and for a \
         small file at most 64 MiB plus 3000 times its size: replace, shrink or remove it"
    )]
    Size {
        /// In pixels.
        width: usize,
        /// In pixels.
        height: usize,
    },
    /// Its form is not supported.
    #[error("is {form}, which is not supported; save it as a PNG with 8 bits per channel")]
    Form {
        /// The form, for example `a TIFF of 32-bit numbers`.
        form: String,
    },
}

impl ImageFault {
    /// That it cannot be decoded, for the reason that a decoder gives.
    pub(crate) fn damaged(error: &(dyn Error + 'static)) -> ImageFault {
        ImageFault::Damaged { source: DecoderFault::of(error).into() }
    }

    /// The fault with its causes, in one line.
    pub fn reason(&self) -> String {
        let mut reason = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let message = error.to_string();
            // Some errors repeat their causes.
            if !reason.ends_with(&message) {
                reason = format!("{reason}: {message}");
            }
            cause = error.source();
        }
        reason.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.fault)
    }
}

impl Error for ImageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

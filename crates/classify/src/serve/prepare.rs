//! From a request's bytes to the network's input, on threads of their own.

use std::path::Path;

use backbone::{Pixels, Preprocessor};
use tokio::task::spawn_blocking;

use super::drawing::{Drawing, SIDE};
use super::limits::MAX_PIXEL_BYTES;
use super::refusal::Refusal;

/// Longest side of an image that is shown on the page, in pixels.
pub(super) const SHOWN_SIDE: usize = 512;
/// How many times a drawing is enlarged under a heat map.
const ENLARGED: usize = 8;

/// An image for the page, `[height, width, channels]`.
pub(super) struct Shown {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) pixels: Vec<u8>,
}

/// Brings images to the recipe's form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoder {
    preprocessor: Preprocessor,
}

impl Decoder {
    pub(super) fn new(preprocessor: Preprocessor) -> Decoder {
        Decoder { preprocessor }
    }

    /// The input that an image file makes. `name` stands for it in errors.
    pub(super) fn file(&self, name: &str, bytes: &[u8]) -> Result<Vec<f32>, Refusal> {
        Ok(self.image(&self.decoded(name, bytes)?))
    }

    /// The image in a file, decoded as the recipe says. `name` stands for the file in errors.
    fn decoded(&self, name: &str, bytes: &[u8]) -> Result<dataset::Image<'static>, Refusal> {
        let decoding = self.preprocessor.form().into();
        Ok(dataset::decode_bytes(Path::new(name), bytes, MAX_PIXEL_BYTES, decoding)?)
    }

    /// The input that a decoded image makes.
    pub(super) fn image(&self, image: &dataset::Image<'_>) -> Vec<f32> {
        let (height, width, channels) = (image.height, image.width, image.channels);
        self.pixels(Pixels { height, width, channels, bytes: &image.pixels })
    }

    /// The input that a drawing makes, and the gray image of [`SIDE`] × [`SIDE`] pixels that it became first.
    pub(super) fn drawing(&self, json: &[u8]) -> Result<(Vec<f32>, Vec<u8>), Refusal> {
        let image = Drawing::parse(json)?.image();
        let pixels = Pixels { height: SIDE, width: SIDE, channels: 1, bytes: &image };
        Ok((self.pixels(pixels), image))
    }

    /// The input that an image makes, and the image as it is shown.
    pub(super) fn shown(&self, image: dataset::Image<'_>) -> (Vec<f32>, Shown) {
        let input = self.image(&image);
        let dataset::Image { height, width, channels, pixels, .. } = image.fitted(SHOWN_SIDE);
        (input, Shown { height, width, channels, pixels: pixels.into_owned() })
    }

    /// The input that an image file or a drawing makes, and the image as it is shown.
    pub(super) fn shown_of(
        &self,
        bytes: &[u8],
        is_drawing: bool,
    ) -> Result<(Vec<f32>, Shown), Refusal> {
        if !is_drawing {
            return Ok(self.shown(self.decoded("the image", bytes)?));
        }
        let (input, image) = self.drawing(bytes)?;
        let side = SIDE * ENLARGED;
        let at = |pixel: usize| image[pixel / side / ENLARGED * SIDE + pixel % side / ENLARGED];
        let pixels = (0..side * side).map(at).collect();
        Ok((input, Shown { height: side, width: side, channels: 1, pixels }))
    }

    /// The input that pixels make.
    pub(super) fn pixels(&self, pixels: Pixels<'_>) -> Vec<f32> {
        let mut input = vec![0.0; self.preprocessor.len()];
        self.preprocessor.apply(pixels, &mut input);
        input
    }
}

/// Runs work that takes long on one of a few threads, and waits for it.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    // It fails if the work panics, or the server has been stopped.
    spawn_blocking(work).await.map_err(|_| Refusal::Stopping)
}

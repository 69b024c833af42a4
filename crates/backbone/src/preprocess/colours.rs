//! Distortions of colours: brightness, contrast and channel shift, in this order.

use super::distortion::Distortion;

/// The weights of red, green and blue in a gray level (torchvision's `rgb_to_grayscale`).
const GRAY: [f32; 3] = [0.2989, 0.587, 0.114];

/// A pixel of one or three channels, 0 to 255.
pub(super) trait Colours {
    /// The pixel of this colour, which is a gray one if there is one channel.
    fn of(colour: [u8; 3]) -> Self;

    /// The gray level.
    fn gray(&self) -> f32;
}

impl Colours for [f32; 1] {
    fn of(colour: [u8; 3]) -> [f32; 1] {
        [f32::from(colour[0])]
    }

    fn gray(&self) -> f32 {
        self[0]
    }
}

impl Colours for [f32; 3] {
    fn of(colour: [u8; 3]) -> [f32; 3] {
        colour.map(f32::from)
    }

    fn gray(&self) -> f32 {
        self[0] * GRAY[0] + self[1] * GRAY[1] + self[2] * GRAY[2]
    }
}

/// Changes the colours of an image, and cuts them to 0 and 255 after each change.
pub(super) fn distort<const N: usize>(pixels: &mut [[f32; N]], distortion: &Distortion)
where
    [f32; N]: Colours,
{
    let Distortion { brightness, contrast, channel_shift, .. } = *distortion;
    if brightness != 1.0 {
        change(pixels, |level| level * brightness);
    }
    if contrast != 1.0 {
        let sum: f64 = pixels.iter().map(|pixel| f64::from(pixel.gray())).sum();
        let mean = (sum / pixels.len() as f64) as f32;
        change(pixels, |level| level * contrast + mean * (1.0 - contrast));
    }
    if channel_shift != 0.0 {
        change(pixels, |level| level + channel_shift);
    }
}

fn change<const N: usize>(pixels: &mut [[f32; N]], change: impl Fn(f32) -> f32) {
    for level in pixels.iter_mut().flatten() {
        *level = change(*level).clamp(0.0, 255.0);
    }
}

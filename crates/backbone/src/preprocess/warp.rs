//! One affine resampling, from an image's own pixels to those of the network's input.
//!
//! Bilinear, as in Keras and torchvision. Where the image is reduced, every pixel counts: blocks of whole pixels are
//! averaged before, and four samples are taken for each pixel of the input if it still covers clearly more than one
//! pixel of the averaged image. All arithmetic is that of IEEE 754 without fused multiplications, so results are the same on
//! every machine.

use std::ops::Range;

use super::Pixels;
use super::distortion::Affine;

/// Where the samples of an input's pixel are taken, on each axis: one in the centre, or two that stand for halves.
const SAMPLES: [&[f64]; 2] = [&[0.5], &[0.25, 0.75]];

/// Pixels of the averaged image, along an axis, beyond which a pixel of the input needs more than one sample. What a
/// slight shear or zoom reduces needs none, as in Keras and torchvision.
const ONE_SAMPLE: f64 = 1.25;

/// A source of `N` channels in single precision, `[height, width]`.
struct Averaged<const N: usize> {
    height: usize,
    width: usize,
    pixels: Vec<[f32; N]>,
}

/// The pixels of the input, `[height, width]`, 0 to 255. `position` gives for a position in the input that in the
/// image, in pixels. Outside of the image there is `outside`; `None` for its nearest pixel.
pub(super) fn warp<const N: usize>(
    image: Pixels<'_>,
    position: Affine,
    [height, width]: [usize; 2],
    outside: Option<[f32; N]>,
) -> Vec<[f32; N]> {
    // Pixels of the image for a pixel of the input, down and across.
    let reduced = position.matrix.map(|[down, across]| (down * down + across * across).sqrt());
    let block = reduced.map(|pixels| (pixels as usize).max(1));
    let source = Averaged::<N>::of(image, block);
    let scale = |axis: usize| 1.0 / block[axis] as f64;
    let position =
        Affine { matrix: [[scale(0), 0.0], [0.0, scale(1)]], at: [0.0; 2] }.after(position);
    let size = [image.height as f64 * scale(0), image.width as f64 * scale(1)];
    let still =
        reduced.iter().zip(block).any(|(pixels, block)| *pixels > block as f64 * ONE_SAMPLE);
    let samples = SAMPLES[usize::from(still)];
    let share = 1.0 / (samples.len() * samples.len()) as f32;
    let mut pixels = Vec::with_capacity(height * width);
    for row in 0..height {
        for column in 0..width {
            let mut sum = [0.0; N];
            for down in samples {
                for across in samples {
                    let at = position.apply([row as f64 + down, column as f64 + across]);
                    let pixel = match outside {
                        Some(outside) if !is_inside(at, size) => outside,
                        _ => source.sample(at),
                    };
                    sum.iter_mut().zip(pixel).for_each(|(sum, number)| *sum += number);
                }
            }
            pixels.push(sum.map(|sum| sum * share));
        }
    }
    pixels
}

fn is_inside(at: [f64; 2], size: [f64; 2]) -> bool {
    at.iter().zip(size).all(|(at, side)| (0.0..=side).contains(at))
}

impl<const N: usize> Averaged<N> {
    /// The means of blocks of so many pixels; of what is left at the ends, smaller blocks.
    fn of(image: Pixels<'_>, [down, across]: [usize; 2]) -> Averaged<N> {
        let bytes: &[[u8; N]] = image.bytes.as_chunks().0;
        if (down, across) == (1, 1) {
            let pixels = bytes.iter().map(|pixel| pixel.map(f32::from)).collect();
            return Averaged { height: image.height, width: image.width, pixels };
        }
        let (height, width) = (image.height.div_ceil(down), image.width.div_ceil(across));
        let mut pixels = Vec::with_capacity(height * width);
        let mut sums = vec![[0_u32; N]; width];
        for first in (0..image.height).step_by(down) {
            let rows: Range<usize> = first..image.height.min(first + down);
            sums.fill([0; N]);
            for row in
                bytes[rows.start * image.width..rows.end * image.width].chunks_exact(image.width)
            {
                for (sum, block) in sums.iter_mut().zip(row.chunks(across)) {
                    for pixel in block {
                        sum.iter_mut().zip(pixel).for_each(|(sum, &byte)| *sum += u32::from(byte));
                    }
                }
            }
            for (index, sum) in sums.iter().enumerate() {
                let columns = across.min(image.width - index * across);
                let count = (rows.len() * columns) as f32;
                pixels.push(sum.map(|sum| sum as f32 / count));
            }
        }
        Averaged { height, width, pixels }
    }

    /// The image at this position, bilinear between the centres of its pixels.
    #[inline(always)]
    fn sample(&self, at: [f64; 2]) -> [f32; N] {
        let [(top, bottom, down), (left, right, across)] =
            [(at[0], self.height), (at[1], self.width)].map(|(at, length)| {
                let from_first = (at - 0.5).clamp(0.0, (length - 1) as f64);
                let before = from_first as usize;
                (before, (before + 1).min(length - 1), (from_first - before as f64) as f32)
            });
        let [above, below] = [top, bottom].map(|row| &self.pixels[row * self.width..]);
        std::array::from_fn(|channel| {
            let between = |row: &[[f32; N]]| {
                let (left, right) = (row[left][channel], row[right][channel]);
                left + (right - left) * across
            };
            let (above, below) = (between(above), between(below));
            above + (below - above) * down
        })
    }
}

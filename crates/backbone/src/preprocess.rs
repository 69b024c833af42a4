//! From pixels to the network's input: resizing, channel order and scaling, as the family of the weights
//! requires.

mod colours;
mod distortion;
mod placement;
mod resize;
mod warp;

use fast_image_resize::pixels::{F32, F32x3};
use recipe::{Family, Fill, Fit, ImageForm};

use self::colours::Colours;
use self::distortion::Affine;
use self::placement::{Placement, place};
use self::resize::resize;
use self::warp::warp;

pub use self::distortion::Distortion;

/// Means of B, G and R over ImageNet, subtracted from 0..255 (Simonyan & Zisserman's release).
const CAFFE_MEAN_BGR: [f32; 3] = [103.939, 116.779, 123.68];
/// Means of R, G and B that torchvision gives for the same weights with input channels reversed: 255
/// times (0.48235, 0.45882, 0.40784).
const CAFFE_MEAN_RGB: [f32; 3] = [122.99925, 116.9991, 103.9992];
/// Means of R, G and B over ImageNet scaled to 0..1 (torchvision's reference transforms).
const TORCHVISION_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviations of R, G and B over ImageNet scaled to 0..1 (the same source).
const TORCHVISION_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// A decoded image: `[height, width, channels]` in C order, 1 channel (gray) or 3 (RGB), 0 to 255.
#[derive(Debug, Clone, Copy)]
pub struct Pixels<'a> {
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
    /// 1 or 3.
    pub channels: usize,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// Turns images into the network's input.
#[derive(Debug, Clone, Copy)]
pub struct Preprocessor {
    image: ImageForm,
    /// For each channel of the network, the index into R, G, B of the channel that it takes.
    order: [usize; 3],
    /// Input = pixel · scale + shift, for each channel of the network.
    scale: [f32; 3],
    shift: [f32; 3],
}

/// One of the network's input channels: input = pixel · scale + shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputChannel {
    /// The channel of the image that it takes, as an index into R, G, B.
    pub colour: usize,
    /// Factor of the pixels, which are 0 to 255.
    pub scale: f32,
    /// Added after scaling.
    pub shift: f32,
}

impl Preprocessor {
    /// The preprocessing that brings images to the form `image`, with the channel order and scaling of
    /// `family`.
    pub fn new(family: Family, image: ImageForm) -> Preprocessor {
        match family {
            Family::Caffe => Preprocessor {
                image,
                order: [2, 1, 0],
                scale: [1.0; 3],
                shift: CAFFE_MEAN_BGR.map(|mean| -mean),
            },
            Family::CaffeRgb => Preprocessor {
                image,
                order: [0, 1, 2],
                scale: [1.0; 3],
                shift: CAFFE_MEAN_RGB.map(|mean| -mean),
            },
            Family::Torchvision => Preprocessor {
                image,
                order: [0, 1, 2],
                scale: TORCHVISION_STD.map(|std| 1.0 / (255.0 * std)),
                shift: std::array::from_fn(|c| -TORCHVISION_MEAN[c] / TORCHVISION_STD[c]),
            },
        }
    }

    /// The number of values of an image: height × width × 3.
    pub fn len(&self) -> usize {
        self.image.height * self.image.width * 3
    }

    /// Whether an image has no values, which is never the case.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The network's input channels, in order.
    pub fn channels(&self) -> [InputChannel; 3] {
        std::array::from_fn(|channel| InputChannel {
            colour: self.order[channel],
            scale: self.scale[channel],
            shift: self.shift[channel],
        })
    }

    /// Brings `image` to the form's size and writes `[3, height, width]` to `input`, channels in the network's
    /// order. The orientation is not applied here, but when the image is decoded.
    ///
    /// # Panics
    /// If `image.bytes` or `input` do not have the length that the sizes require, or the number of
    /// channels is neither 1 nor 3.
    pub fn apply(&self, image: Pixels<'_>, input: &mut [f32]) {
        assert_eq!(input.len(), self.len());
        assert_eq!(image.bytes.len(), image.height * image.width * image.channels);
        let (placed, filter) = (place(self.image, image.height, image.width), self.image.resize);
        match image.channels {
            1 => {
                let gray = |bytes: &[u8; 1]| F32::new(f32::from(bytes[0]));
                let gray = resize(image, &placed, filter, gray);
                self.scale(&gray, &placed, |gray, _| gray.0, input);
            }
            3 => {
                let rgb = |bytes: &[u8; 3]| F32x3::new(bytes.map(f32::from));
                let rgb = resize(image, &placed, filter, rgb);
                self.scale(&rgb, &placed, |rgb, channel| rgb.0[channel], input);
            }
            channels => panic!("images have 1 or 3 channels, not {channels}"),
        }
    }

    /// Likewise with a distorted view of `image`. The recipe's filter has no part in it: the view is resampled once,
    /// bilinearly, from the image's own pixels.
    ///
    /// # Panics
    /// As [`apply`](Preprocessor::apply).
    pub fn apply_distorted(&self, image: Pixels<'_>, distortion: &Distortion, input: &mut [f32]) {
        assert_eq!(input.len(), self.len());
        assert_eq!(image.bytes.len(), image.height * image.width * image.channels);
        match image.channels {
            1 if self.image.pad_colour.is_none_or(|[r, g, b]| r == g && g == b) => {
                self.distort::<1>(image, distortion, input);
            }
            1 => {
                let bytes: Vec<u8> = image.bytes.iter().flat_map(|&gray| [gray; 3]).collect();
                let image = Pixels { channels: 3, bytes: &bytes, ..image };
                self.distort::<3>(image, distortion, input);
            }
            3 => self.distort::<3>(image, distortion, input),
            channels => panic!("images have 1 or 3 channels, not {channels}"),
        }
    }

    fn distort<const N: usize>(&self, image: Pixels<'_>, distortion: &Distortion, input: &mut [f32])
    where
        [f32; N]: Colours,
    {
        let (height, width) = self.size();
        let size = [height as f64, width as f64];
        let placed = place(self.image, image.height, image.width);
        let outside = match (self.image.fit, distortion.fill) {
            (Fit::Pad, _) if distortion.crop.is_none() => self.image.pad_colour.or(Some([0; 3])),
            (_, Fill::Black) => Some([0; 3]),
            (_, Fill::Nearest) => None,
        };
        let outside = outside.map(Colours::of);
        let position =
            self.position(image, &placed, distortion).after(distortion.undistorted(size));
        let mut pixels: Vec<[f32; N]> = warp(image, position, [height, width], outside);
        colours::distort(&mut pixels, distortion);
        let whole = [height, width].map(|side| Placement { scaled: side, kept: 0..side, at: 0 });
        self.scale(&pixels, &whole, |pixel, channel| pixel[channel % N], input);
        let Some(erased) = distortion.erased else { return };
        let [rows, columns] = erased
            .of(size)
            .map(|[start, length]| start.round() as usize..(start + length).round() as usize);
        // In all families, 0 is the mean colour of the images that the weights were made from.
        for line in input
            .chunks_exact_mut(height * width)
            .flat_map(|plane| plane.chunks_exact_mut(width).skip(rows.start).take(rows.len()))
        {
            line[columns.clone()].fill(0.0);
        }
    }

    /// For a position in the network's input, that in the image that is shown there without a distortion's rotation,
    /// shift, shear, zoom and flips: what is cut out is stretched to the input.
    fn position(
        &self,
        image: Pixels<'_>,
        placed: &[Placement; 2],
        distortion: &Distortion,
    ) -> Affine {
        let (height, width) = self.size();
        let axes = [
            (height as f64, image.height as f64, &placed[0]),
            (width as f64, image.width as f64, &placed[1]),
        ];
        let cut = distortion.crop.map(|crop| crop.of(axes.map(|(_, length, _)| length)));
        let [down, across] = std::array::from_fn(|axis| {
            let (side, length, placement) = axes[axis];
            match cut {
                Some(cut) => [cut[axis][1] / side, cut[axis][0]],
                None => {
                    let scale = length / placement.scaled as f64;
                    [scale, (placement.kept.start as f64 - placement.at as f64) * scale]
                }
            }
        });
        Affine { matrix: [[down[0], 0.0], [0.0, across[0]]], at: [down[1], across[1]] }
    }

    /// The image that `input`, `[3, height, width]`, shows to the network: RGB, `[height, width, 3]`, rounded to
    /// bytes. `input` is as [`apply`](Preprocessor::apply) makes it.
    ///
    /// # Panics
    /// If `input` does not have the length that the size requires.
    pub fn pixels(&self, input: &[f32]) -> Vec<u8> {
        assert_eq!(input.len(), self.len());
        let mut bytes = vec![0; input.len()];
        for (channel, plane) in input.chunks_exact(input.len() / 3).enumerate() {
            let (scale, shift) = (self.scale[channel], self.shift[channel]);
            let of_channel = bytes.iter_mut().skip(self.order[channel]).step_by(3);
            for (byte, value) in of_channel.zip(plane) {
                *byte = ((value - shift) / scale).round() as u8;
            }
        }
        bytes
    }

    /// The form of the network's input, and how an image is brought to it.
    pub fn form(&self) -> ImageForm {
        self.image
    }

    /// Height and width of the network's input.
    pub fn size(&self) -> (usize, usize) {
        (self.image.height, self.image.width)
    }

    /// Scales `value(pixel, channel)`, where `channel` indexes R, G, B, and writes one plane per channel of
    /// the network. What the pixels leave free has the pad colour.
    fn scale<P>(
        &self,
        pixels: &[P],
        [rows, columns]: &[Placement; 2],
        value: impl Fn(&P, usize) -> f32,
        input: &mut [f32],
    ) {
        let (height, width) = self.size();
        let is_filled = pixels.len() == height * width;
        let pad_colour = self.image.pad_colour.unwrap_or_default();
        for (channel, plane) in input.chunks_exact_mut(height * width).enumerate() {
            let (colour, scale, shift) =
                (self.order[channel], self.scale[channel], self.shift[channel]);
            if !is_filled {
                plane.fill(f32::from(pad_colour[colour]).mul_add(scale, shift));
            }
            let lines = plane.chunks_exact_mut(width).skip(rows.at);
            for (line, pixels) in lines.zip(pixels.chunks_exact(columns.kept.len())) {
                for (input, pixel) in line[columns.at..].iter_mut().zip(pixels) {
                    *input = value(pixel, colour).mul_add(scale, shift);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(height: usize, width: usize) -> ImageForm {
        ImageForm { height, width, ..recipe::Recipe::example().image }
    }

    /// Bilinear with half-pixel centres, by its definition, for enlarging.
    fn bilinear(image: &[f32], height: usize, width: usize, size: ImageForm) -> Vec<f32> {
        let coordinate = |out: usize, n_in: usize, n_out: usize| {
            let x = (out as f32 + 0.5) * n_in as f32 / n_out as f32 - 0.5;
            let x = x.clamp(0.0, (n_in - 1) as f32);
            (x.floor() as usize, (x.floor() as usize + 1).min(n_in - 1), x.fract())
        };
        let mut out = Vec::new();
        for y in 0..size.height {
            let (y0, y1, fy) = coordinate(y, height, size.height);
            for x in 0..size.width {
                let (x0, x1, fx) = coordinate(x, width, size.width);
                let at = |y: usize, x: usize| image[y * width + x];
                let top = at(y0, x0) * (1.0 - fx) + at(y0, x1) * fx;
                let bottom = at(y1, x0) * (1.0 - fx) + at(y1, x1) * fx;
                out.push(top * (1.0 - fy) + bottom * fy);
            }
        }
        out
    }

    #[test]
    fn enlarging_is_bilinear_with_half_pixel_centres() {
        let bytes: Vec<u8> = (0..5 * 7).map(|i| (i * 37 % 256) as u8).collect();
        let image = Pixels { height: 5, width: 7, channels: 1, bytes: &bytes };
        let size = form(32, 48);
        let preprocessor = Preprocessor::new(Family::Caffe, size);
        let mut input = vec![0.0; preprocessor.len()];
        preprocessor.apply(image, &mut input);
        let numbers: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte)).collect();
        let expected = bilinear(&numbers, 5, 7, size);
        for (plane, mean) in input.chunks(expected.len()).zip(CAFFE_MEAN_BGR) {
            for (value, expected) in plane.iter().zip(&expected) {
                assert!((value + mean - expected).abs() < 1e-3, "{value} {expected}");
            }
        }
    }

    /// For an image of the network's size, they are its own.
    #[test]
    fn pixels_come_back() {
        let bytes: Vec<u8> = (0..32 * 48 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let image = Pixels { height: 32, width: 48, channels: 3, bytes: &bytes };
        for family in [Family::Caffe, Family::CaffeRgb, Family::Torchvision] {
            let preprocessor = Preprocessor::new(family, form(32, 48));
            let mut input = vec![0.0; preprocessor.len()];
            preprocessor.apply(image, &mut input);
            assert!(preprocessor.pixels(&input) == bytes, "{family}");
        }
    }

    #[test]
    fn families_differ_in_order_and_scale() {
        let image = Pixels { height: 1, width: 1, channels: 3, bytes: &[255, 0, 51] };
        let size = form(32, 32);
        let first = |family| {
            let preprocessor = Preprocessor::new(family, size);
            let mut input = vec![0.0; preprocessor.len()];
            preprocessor.apply(image, &mut input);
            [input[0], input[32 * 32], input[2 * 32 * 32]]
        };
        let close = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(close(first(Family::Caffe), [51.0 - 103.939, -116.779, 255.0 - 123.68]));
        let caffe_rgb = [255.0 - 122.99925, -116.9991, 51.0 - 103.9992];
        assert!(close(first(Family::CaffeRgb), caffe_rgb));
        let torchvision = [(1.0 - 0.485) / 0.229, (0.0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225];
        assert!(close(first(Family::Torchvision), torchvision));
    }
}

//! Where in an image the evidence for a class is: Grad-CAM (Selvaraju et al. 2017, equations 1 and 2).
//!
//! The maps A of a tap, `[C, H, W]`, are added up, each with the mean over its
//! pixels of the gradient of the class's logit as its weight; only what is more than 0 counts for the class:
//!
//! ```text
//! alpha_c = mean over y, x of d logit / d A[c, y, x]        heat[y, x] = max(0, sum over c of alpha_c A[c, y, x])
//! ```
//!
//! - The maps are those of the layer after its ReLU, before the 2×2 max pool that a head begins with.
//! - Of several heads, the logit is the mean of their logits.
//! - Of several taps that keep their maps, the one that most heads take is shown, and of several such the last one in
//!   the network. Only what the heads take from that tap counts; a head that does not take it adds nothing to the mean. A tap that is pooled to a number per channel, such as `conv5_3:avg`, has no pixels, so there
//!   are no heat maps if all taps are.
//! - Features that a cache has in half precision are rounded likewise; the gradient is that of single precision.

use backbone::Pixels;

/// Evidence for a class by place, at the resolution of the network's maps.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width]` in C order, none less than 0. Their unit is that of the logits.
    pub values: Vec<f32>,
    /// The parts of the image's height and of its width that the map covers: 1, or a little less where a pool
    /// of the network has dropped an odd last row or column.
    pub coverage: [f64; 2],
}

/// Part of the heat's colour in a picture; the rest is the image.
const OPACITY: f64 = 0.55;

/// The colour map viridis of matplotlib (van der Walt & Smith 2015) at nine equidistant values, R, G, B.
/// It goes from dark blue to light yellow, so it reads for colour-blind people and in grey, too.
const VIRIDIS: [[u8; 3]; 9] = [
    [68, 1, 84],
    [71, 45, 123],
    [59, 82, 139],
    [44, 114, 142],
    [33, 145, 140],
    [40, 174, 128],
    [94, 201, 98],
    [173, 220, 48],
    [253, 231, 37],
];

impl HeatMap {
    /// The heat map of maps and of the gradient with respect to them, both `[channels, height, width]`. `image`
    /// is the height and width of the network's input.
    pub(crate) fn new(
        features: &[f32],
        gradient: &[f32],
        (height, width): (usize, usize),
        image: (usize, usize),
    ) -> HeatMap {
        let pixels = height * width;
        let mut sums = vec![0.0; pixels];
        for (map, gradient) in features.chunks_exact(pixels).zip(gradient.chunks_exact(pixels)) {
            let sum: f64 = gradient.iter().copied().map(f64::from).sum();
            let weight = sum / pixels as f64;
            for (sum, &value) in sums.iter_mut().zip(map) {
                *sum += weight * f64::from(value);
            }
        }
        let values = sums.into_iter().map(|sum| sum.max(0.0) as f32).collect();
        // Each pool halves the sides and rounds down.
        let covered = |map: usize, image: usize| {
            let pools = (image / map).ilog2();
            ((map << pools) as f64) / image as f64
        };
        HeatMap {
            height,
            width,
            values,
            coverage: [covered(height, image.0), covered(width, image.1)],
        }
    }

    /// The largest value, by which pictures are scaled; 0 if nothing in the image speaks for the class.
    pub fn max(&self) -> f32 {
        self.values.iter().copied().fold(0.0, f32::max)
    }

    /// A picture of the heat over an image of any size that shows what the network saw: RGB,
    /// `[image.height, image.width, 3]`. The image is grey, and the heat is a colour from dark blue (0) to light
    /// yellow (the largest value), interpolated bilinearly between the map's pixels.
    ///
    /// # Panics
    /// If the number of bytes is not that of the image's sides, or the channels are neither 1 nor 3.
    pub fn over(&self, image: Pixels<'_>) -> Vec<u8> {
        let Pixels { height, width, channels, bytes } = image;
        assert!(channels == 1 || channels == 3, "images have 1 or 3 channels, not {channels}");
        assert_eq!(bytes.len(), height * width * channels);
        let max = f64::from(self.max());
        let rows = positions(height, self.height, self.coverage[0]);
        let columns = positions(width, self.width, self.coverage[1]);
        let at = |y: usize, x: usize| f64::from(self.values[y * self.width + x]);
        let mut picture = Vec::with_capacity(3 * height * width);
        for (y, row) in rows.iter().enumerate() {
            for (x, column) in columns.iter().enumerate() {
                let along = |y| mix(at(y, column.first), at(y, column.second), column.part);
                let value = mix(along(row.first), along(row.second), row.part);
                let heat = colour(if max > 0.0 { value / max } else { 0.0 });
                let grey = grey(&bytes[(y * width + x) * channels..][..channels]);
                picture.extend(heat.map(|heat| mix(grey, heat, OPACITY).round() as u8));
            }
        }
        picture
    }

    /// The same picture as a PNG file.
    ///
    /// # Panics
    /// As [`HeatMap::over`], and if the image has no pixels.
    pub fn png(&self, image: Pixels<'_>) -> Vec<u8> {
        let png = report::encode_png(image.height, image.width, 3, &self.over(image));
        png.expect("the picture has as many pixels as the image")
    }
}

/// Where between two pixels of a map a pixel of an image lies.
struct Position {
    first: usize,
    second: usize,
    /// The weight of the second, 0 to 1.
    part: f64,
}

/// The positions in a map of a side's `image` pixels, the centres of pixels on those of the parts that they
/// show; `coverage` is the part of the image that the map's `map` pixels cover.
fn positions(image: usize, map: usize, coverage: f64) -> Vec<Position> {
    let of_pixel = |pixel: usize| {
        let place = (pixel as f64 + 0.5) / image as f64 / coverage * map as f64 - 0.5;
        let place = place.clamp(0.0, (map - 1) as f64);
        let first = place as usize;
        Position { first, second: (first + 1).min(map - 1), part: place.fract() }
    };
    (0..image).map(of_pixel).collect()
}

/// From `a` (part 0) to `b` (part 1).
fn mix(a: f64, b: f64, part: f64) -> f64 {
    a + (b - a) * part
}

/// The luminance of a gray or RGB pixel (ITU-R BT.601).
fn grey(pixel: &[u8]) -> f64 {
    match *pixel {
        [red, green, blue] => {
            let [red, green, blue] = [red, green, blue].map(f64::from);
            0.299 * red + 0.587 * green + 0.114 * blue
        }
        _ => f64::from(pixel[0]),
    }
}

/// The colour of a value from 0 to 1.
fn colour(value: f64) -> [f64; 3] {
    let place = value * (VIRIDIS.len() - 1) as f64;
    let first = (place as usize).min(VIRIDIS.len() - 2);
    std::array::from_fn(|channel| {
        let [a, b] = [first, first + 1].map(|at| f64::from(VIRIDIS[at][channel]));
        mix(a, b, place - first as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: the weights are 0.5 and -0.25.
    #[test]
    fn channels_are_weighted_by_their_mean_gradient() {
        let features = [1.0, 2.0, 3.0, 4.0, 0.0, 8.0, 4.0, 0.0];
        let gradient = [2.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0];
        let map = HeatMap::new(&features, &gradient, (2, 2), (32, 32));
        assert_eq!(map.values, [0.5, 0.0, 0.5, 2.0]);
        assert_eq!((map.max(), map.coverage), (2.0, [1.0; 2]));
    }

    #[test]
    fn odd_sides_are_covered_in_part() {
        let map = |size, image| HeatMap::new(&[0.0; 8], &[0.0; 8], size, image).coverage;
        assert_eq!(map((2, 4), (33, 75)), [32.0 / 33.0, 64.0 / 75.0]);
        assert_eq!(map((8, 1), (8, 1)), [1.0, 1.0]);
        assert_eq!(map((1, 1), (31, 63)), [16.0 / 31.0, 32.0 / 63.0]);
    }

    #[test]
    fn pictures_are_interpolated_and_keep_the_image_in_grey() {
        let coverage = [1.0; 2];
        let map = HeatMap { height: 1, width: 2, values: vec![0.0, 3.0], coverage };
        let bytes = [100, 200, 100, 200, 100, 200, 100, 200];
        let picture = map.over(Pixels { height: 1, width: 8, channels: 1, bytes: &bytes });
        let mixed = |grey: f64, colour: [u8; 3]| {
            colour.map(|c| (grey * 0.45 + f64::from(c) * 0.55).round() as u8)
        };
        let pixels = picture.as_chunks::<3>().0;
        // The centres of the map's pixels are at 2 and 6 of 8: beyond, nothing is extrapolated. The others are at
        // 1/8, 3/8, 5/8 and 7/8 between them.
        for (at, value) in [(0, 0), (1, 0), (2, 1), (3, 3), (4, 5), (5, 7), (6, 8), (7, 8)] {
            assert_eq!(pixels[at], mixed(f64::from(bytes[at]), VIRIDIS[value]), "{at}");
        }
    }

    /// As when nothing speaks for a class.
    #[test]
    fn a_map_of_zeros_is_dark_everywhere() {
        let map = HeatMap { height: 2, width: 2, values: vec![0.0; 4], coverage: [1.0; 2] };
        let picture = map.over(Pixels { height: 1, width: 1, channels: 3, bytes: &[0; 3] });
        assert_eq!(picture, VIRIDIS[0].map(|c| (f64::from(c) * 0.55).round() as u8));
    }
}

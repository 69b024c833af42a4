//! Resizing: from bytes to numbers in single precision.
//!
//! The convolutions are those of the crate `fast_image_resize`, with PIL's weights. Only some rows of the image
//! are there as floating-point numbers at a time, so that a large photograph takes little memory beside its bytes.

use std::cell::RefCell;
use std::ops::Range;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::InnerPixel;
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use recipe::ResizeFilter;

use super::Pixels;
use super::placement::Placement;

/// Number of pixels that are converted at a time: in single precision and three colours they fit into a
/// second-level cache.
const PIXELS_PER_BAND: usize = 1 << 15;
/// The crate convolves so many rows at a time, and so many columns.
const ROWS_AT_A_TIME: usize = 4;
const COLUMNS_AT_A_TIME: usize = 16;

/// Pixels of one or three numbers.
pub(super) trait Pixel: InnerPixel<Component = f32> + PixelTrait {}
impl<P: InnerPixel<Component = f32> + PixelTrait> Pixel for P {}

/// The part of the scaled image that is kept, `[rows.kept, columns.kept]`. `pixel` converts one.
pub(super) fn resize<P: Pixel, const N: usize>(
    image: Pixels<'_>,
    [rows, columns]: &[Placement; 2],
    filter: ResizeFilter,
    pixel: impl Fn(&[u8; N]) -> P,
) -> Vec<P> {
    let bytes = image.bytes.as_chunks().0;
    match filter {
        ResizeFilter::Nearest => {
            let columns = nearest(image.width, columns);
            let rows = nearest(image.height, rows).into_iter();
            let row = |row: usize| {
                let bytes = &bytes[row * image.width..];
                columns.iter().map(|&column| pixel(&bytes[column])).collect::<Vec<P>>()
            };
            rows.flat_map(row).collect()
        }
        ResizeFilter::Bilinear => {
            convolve(bytes, image, rows, columns, FilterType::Bilinear, 1.0, pixel)
        }
        ResizeFilter::Bicubic => {
            convolve(bytes, image, rows, columns, FilterType::CatmullRom, 2.0, pixel)
        }
        ResizeFilter::Lanczos => {
            convolve(bytes, image, rows, columns, FilterType::Lanczos3, 3.0, pixel)
        }
    }
}

/// For each position that is kept, the pixel in which its centre lies. The positions are summed up as in PIL's
/// `ImagingScaleAffine`, which decides where a centre lies between two pixels.
fn nearest(length: usize, placement: &Placement) -> Vec<usize> {
    let step = length as f64 / placement.scaled as f64;
    let mut centre = step * 0.5;
    let mut next = || {
        let pixel = (centre as usize).min(length - 1);
        centre += step;
        pixel
    };
    (0..placement.kept.end)
        .map(|at| (at, next()))
        .filter(|(at, _)| placement.kept.contains(at))
        .map(|(_, pixel)| pixel)
        .collect()
}

/// Both passes of a filter that reaches `radius` pixels far.
fn convolve<P: Pixel, const N: usize>(
    bytes: &[[u8; N]],
    image: Pixels<'_>,
    rows: &Placement,
    columns: &Placement,
    filter: FilterType,
    radius: f64,
    pixel: impl Fn(&[u8; N]) -> P,
) -> Vec<P> {
    thread_local! {
        /// Kept for its buffers, which are used again for the next image.
        static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
    }
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false);
    // Of a bilinear filter no weight is negative, so that no sum leaves the range of the pixels.
    let overshoots = !matches!(filter, FilterType::Bilinear);
    let finish = |pixels: &mut [P]| {
        if overshoots {
            clamp(pixels);
        }
    };
    let [height, width] = [image.height, image.width];
    let size = [rows.kept.len(), columns.kept.len()];
    let mut resized = vec![P::default(); size[0] * size[1]];
    RESIZER.with_borrow_mut(|resizer| {
        let mut band = Vec::new();
        // Where nothing is cut off between the passes, their order shows in the last bits only.
        if overshoots && is_vertical_first(image, rows, columns) {
            let used = used(width, columns, radius);
            let [top, down] = window(height, rows);
            let mut low = vec![P::default(); size[0] * used.len()];
            let band_columns = (PIXELS_PER_BAND / height).max(COLUMNS_AT_A_TIME);
            for start in used.clone().step_by(band_columns) {
                let end = used.end.min(start + band_columns);
                let len = end - start;
                band.clear();
                for row in bytes.chunks_exact(width) {
                    band.extend(row[start..end].iter().map(&pixel));
                }
                let mut out = vec![P::default(); size[0] * len];
                let crop = options.crop(0.0, top, len as f64, down);
                resize_typed(resizer, &band, [height, len], &mut out, [size[0], len], &crop);
                for (low, out) in low.chunks_exact_mut(used.len()).zip(out.chunks_exact(len)) {
                    low[start - used.start..end - used.start].copy_from_slice(out);
                }
            }
            finish(&mut low);
            let [left, across] = part_of(window(width, columns), &used);
            let crop = options.crop(left, 0.0, across, size[0] as f64);
            resize_typed(resizer, &low, [size[0], used.len()], &mut resized, size, &crop);
        } else {
            let used = used(height, rows, radius);
            let [left, across] = window(width, columns);
            let mut narrow = vec![P::default(); used.len() * size[1]];
            let band_rows = (PIXELS_PER_BAND / width).next_multiple_of(ROWS_AT_A_TIME);
            let band_rows = band_rows.max(ROWS_AT_A_TIME);
            let bands = bytes[used.start * width..used.end * width].chunks(band_rows * width);
            for (bytes, out) in bands.zip(narrow.chunks_mut(band_rows * size[1])) {
                band.clear();
                band.extend(bytes.iter().map(&pixel));
                let len = bytes.len() / width;
                let crop = options.crop(left, 0.0, across, len as f64);
                resize_typed(resizer, &band, [len, width], out, [len, size[1]], &crop);
            }
            finish(&mut narrow);
            let [top, down] = part_of(window(height, rows), &used);
            let crop = options.crop(0.0, top, size[1] as f64, down);
            resize_typed(resizer, &narrow, [used.len(), size[1]], &mut resized, size, &crop);
        }
        finish(&mut resized);
    });
    resized
}

/// Whether Pillow 13 takes the vertical pass first: where it removes more than twice as many rows as columns are
/// removed.
fn is_vertical_first(image: Pixels<'_>, rows: &Placement, columns: &Placement) -> bool {
    let removed = image.height.saturating_sub(rows.scaled);
    removed > 2 * image.width.saturating_sub(columns.scaled)
}

/// The start and the length of the part of an axis that is kept, in pixels of the image.
fn window(length: usize, placement: &Placement) -> [f64; 2] {
    let Placement { scaled, ref kept, .. } = *placement;
    if kept.len() == scaled {
        return [0.0, length as f64];
    }
    let scale = length as f64 / scaled as f64;
    let start = kept.start as f64 * scale;
    [start, (kept.len() as f64 * scale).min(length as f64 - start)]
}

/// The rows or columns that those that are kept depend on, and a few more.
fn used(length: usize, placement: &Placement, radius: f64) -> Range<usize> {
    if placement.kept.len() == placement.scaled {
        return 0..length;
    }
    let [start, kept] = window(length, placement);
    let reach = radius * (length as f64 / placement.scaled as f64).max(1.0) + 1.0;
    let first = (start - reach).floor().max(0.0) as usize;
    first..((start + kept + reach).ceil() as usize).min(length)
}

/// A window within the rows or columns that are used.
fn part_of([start, length]: [f64; 2], used: &Range<usize>) -> [f64; 2] {
    let start = start - used.start as f64;
    [start, length.min(used.len() as f64 - start)]
}

/// Resizes what `options` leaves of `from`, `[height, width]`, to the size of `to`.
fn resize_typed<P: Pixel>(
    resizer: &mut Resizer,
    from: &[P],
    from_size: [usize; 2],
    to: &mut [P],
    to_size: [usize; 2],
    options: &ResizeOptions,
) {
    let side = |pixels: usize| u32::try_from(pixels).expect("sides are far below 2³²");
    let [[from_height, from_width], [height, width]] = [from_size, to_size].map(|it| it.map(side));
    let source = TypedImageRef::new(from_width, from_height, from)
        .expect("there are as many pixels as the size says");
    let mut resized = TypedImage::from_pixels_slice(width, height, to)
        .expect("there are as many pixels as the size says");
    resizer
        .resize_typed(&source, &mut resized, options)
        .expect("both images are of one pixel type, and the part lies within the image");
}

/// Cuts numbers to the range of pixels.
fn clamp<P: Pixel>(pixels: &mut [P]) {
    for number in P::components_mut(pixels) {
        *number = number.clamp(0.0, 255.0);
    }
}

#[cfg(test)]
mod tests {
    use fast_image_resize::pixels::F32x3;

    use super::*;

    /// The features of bilinear recipes depend on every bit: those of an image that is converted as a whole.
    #[test]
    fn bands_change_no_bit() {
        let (height, width) = (301, 407);
        assert!(height * width > 3 * PIXELS_PER_BAND);
        let bytes: Vec<u8> = (0..height * width * 3).map(|i| (i * i % 251) as u8).collect();
        let image = Pixels { height, width, channels: 3, bytes: &bytes };
        let pixel = |bytes: &[u8; 3]| F32x3::new(bytes.map(f32::from));
        for [rows, columns] in [[96, 96], [33, 500], [400, 64], [301, 96], [64, 407], [301, 407]] {
            let placement = |scaled| Placement { scaled, kept: 0..scaled, at: 0 };
            let placed = [placement(rows), placement(columns)];
            let found = resize(image, &placed, ResizeFilter::Bilinear, pixel);
            let whole: Vec<F32x3> = bytes.as_chunks().0.iter().map(pixel).collect();
            let mut expected = vec![F32x3::default(); rows * columns];
            let algorithm = ResizeAlg::Convolution(FilterType::Bilinear);
            let options = ResizeOptions::new().resize_alg(algorithm).use_alpha(false);
            let (from, to) = ([height, width], [rows, columns]);
            resize_typed(&mut Resizer::new(), &whole, from, &mut expected, to, &options);
            assert!(found == expected, "{rows}x{columns}");
        }
    }
}

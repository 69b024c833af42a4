//! A contact sheet of distorted images, to be looked at before they are extracted.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use backbone::{Pixels, Preprocessor, Weights};
use dataset::{Decoding, Faults, Source};
use feature_cache::SplitName;
use recipe::ViewCounts;

use crate::extraction::{digest_of, report_notices};
use crate::rows::DatasetRows;
use crate::{Error, Event, ExtractConfig};

/// Largest number of images on the sheet.
const IMAGES: usize = 8;
/// Largest number of bytes of a preview's pixels. Of larger ones the last views are left out.
pub const PREVIEW_BYTES: usize = 256 << 20;
/// Width of the lines between views, in pixels.
const GAP: usize = 2;
/// The colour of the lines.
const GRAY: u8 = 128;

/// A picture of so many pixels, RGB.
struct Sheet {
    width: usize,
    bytes: Vec<u8>,
}

/// What a preview shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preview {
    /// The split of its images.
    pub split: SplitName,
    /// Number of its images.
    pub images: usize,
    /// Distorted copies that each of them will have.
    pub copies: u32,
    /// Those of them that are shown.
    pub shown: u32,
}

/// Writes a PNG file with some images of the extraction that `config` describes, as the network would see them: a line
/// for each image, with the image itself and its distorted copies. They are of the first split whose images have copies:
/// training, validation or test.
///
/// # Errors
/// If that split has no images, an input cannot be used, the file cannot be written, or a stop was requested.
pub fn write_preview(
    config: &ExtractConfig,
    file: &Path,
    report: &mut dyn FnMut(Event<'_>),
    stop: &AtomicBool,
) -> Result<Preview, Error> {
    let source = Source::find_with(&config.dataset, &config.source)?;
    let split = config.split(&source)?;
    report_notices(source.notices(), report);
    let by = config.turning_digits(&source);
    if !by.is_empty() {
        report(Event::TurnsDigits { by: &by });
    }
    let views = config.views(&source);
    let family = Weights::read(&config.weights)?.id().family;
    let form = config.image(&source);
    let decoding = Decoding::from(form);
    digest_of(&source, config, decoding, report, stop)?;
    let images = source.read_with(None, stop)?;
    let dataset = images.split(&split, &Faults::default())?.decoded(decoding);
    let ViewCounts { train, val, test } =
        views.as_ref().map_or(ViewCounts::default(), |views| views.count);
    let (split, images_of, copies) = match (train, val) {
        (0, 0) => (SplitName::Test, dataset.test, test),
        (0, _) => (SplitName::Val, dataset.val, val),
        _ => (SplitName::Train, dataset.train, train),
    };
    let images = images_of.len();
    if images == 0 {
        return Err(Error::NothingToPreview { path: config.dataset.clone(), split });
    }
    let rows = DatasetRows::new(images_of, views.as_ref(), copies);
    let preprocessor = Preprocessor::new(family, form);

    let shown = images.min(IMAGES);
    let (height, width) = preprocessor.size();
    let most = PREVIEW_BYTES / (shown * (height + GAP) * (width + GAP) * 3);
    let per_image = (1 + copies as usize).min(most.max(1));
    let mut sheet = Sheet::new(shown * (height + GAP) + GAP, per_image * (width + GAP) + GAP);
    let mut input = vec![0.0; preprocessor.len()];
    for line in 0..shown {
        // From all of the split, which is in the order of the classes in some datasets.
        let row = line * images / shown;
        let image = rows.split.image(row)?;
        let pixels = Pixels {
            height: image.height,
            width: image.width,
            channels: image.channels,
            bytes: &image.pixels,
        };
        for view in 0..per_image {
            match rows.distortion(view * images + row) {
                Some(distortion) => preprocessor.apply_distorted(pixels, &distortion, &mut input),
                None => preprocessor.apply(pixels, &mut input),
            }
            let at = [GAP + line * (height + GAP), GAP + view * (width + GAP)];
            sheet.put(at, width, &preprocessor.pixels(&input));
        }
    }
    durable::replace(file, &sheet.to_png())?;
    Ok(Preview { split, images: shown, copies, shown: per_image as u32 - 1 })
}

impl Sheet {
    fn new(height: usize, width: usize) -> Sheet {
        Sheet { width, bytes: vec![GRAY; height * width * 3] }
    }

    /// Puts a picture of this width, `[height, width, 3]`, to a position, down and across.
    fn put(&mut self, [top, left]: [usize; 2], width: usize, pixels: &[u8]) {
        for (row, line) in pixels.chunks_exact(width * 3).enumerate() {
            let start = ((top + row) * self.width + left) * 3;
            self.bytes[start..start + line.len()].copy_from_slice(line);
        }
    }

    fn to_png(&self) -> Vec<u8> {
        let side = |pixels: usize| u32::try_from(pixels).expect("a sheet is far smaller");
        let height = self.bytes.len() / 3 / self.width;
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, side(self.width), side(height));
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let written = encoder.write_header().and_then(|mut out| out.write_image_data(&self.bytes));
        written.expect("memory takes any number of bytes");
        png
    }
}

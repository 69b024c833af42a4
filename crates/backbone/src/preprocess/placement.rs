//! Where the pixels of an image come to lie in the network's input.

use std::ops::Range;

use recipe::{Fit, ImageForm};

/// The way of an image to the network's input, along one axis. Lengths and positions are in pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placement {
    /// The length to which the whole image is scaled.
    pub(super) scaled: usize,
    /// The part of the scaled image that is kept.
    pub(super) kept: Range<usize>,
    /// The position of that part in the input.
    pub(super) at: usize,
}

/// The placements of the rows and of the columns of an image of `height` × `width` pixels.
pub(super) fn place(form: ImageForm, height: usize, width: usize) -> [Placement; 2] {
    let scaled = match form.fit {
        Fit::Stretch => [form.height, form.width],
        // The side that is relatively shorter gets its length; the other one is longer and rounded down.
        Fit::Crop => [
            form.height.max(height * form.width / width),
            form.width.max(width * form.height / height),
        ],
        Fit::Pad => contained(form, height as f64, width as f64),
    };
    let place = |scaled: usize, length: usize| {
        let (over, free) = (scaled.saturating_sub(length), length.saturating_sub(scaled));
        let start = half(over);
        Placement { scaled, kept: start..start + length.min(scaled), at: half(free) }
    };
    [place(scaled[0], form.height), place(scaled[1], form.width)]
}

/// The size of the image that fits into the input: PIL's `ImageOps.contain`, in the same floating-point steps.
fn contained(form: ImageForm, height: f64, width: f64) -> [usize; 2] {
    let [rows, columns] = [form.height as f64, form.width as f64];
    let side = |pixels: f64| (pixels.round_ties_even() as usize).max(1);
    match (width / height).total_cmp(&(columns / rows)) {
        std::cmp::Ordering::Greater => [side(height / width * columns), form.width],
        std::cmp::Ordering::Less => [form.height, side(width / height * rows)],
        std::cmp::Ordering::Equal => [form.height, form.width],
    }
}

/// Half of a number, rounded to the even neighbour, as Python rounds.
fn half(number: usize) -> usize {
    (number + number / 2 % 2) / 2
}

#[cfg(test)]
mod tests {
    use recipe::Recipe;

    use super::*;

    fn placed(fit: Fit, size: [usize; 2], image: [usize; 2]) -> [(usize, Range<usize>, usize); 2] {
        let [height, width] = size;
        let form = ImageForm { height, width, fit, ..Recipe::example().image };
        place(form, image[0], image[1]).map(|it| (it.scaled, it.kept, it.at))
    }

    #[test]
    fn halves_are_rounded_as_by_python() {
        let halves = [0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5];
        assert_eq!((0..11).map(half).collect::<Vec<usize>>(), halves);
    }

    /// The numbers are those of torchvision's `Resize(96)` and `CenterCrop(96)`, and of PIL's `ImageOps.pad`.
    #[test]
    fn images_are_placed_as_by_torchvision_and_pil() {
        assert_eq!(placed(Fit::Stretch, [96, 64], [7, 9]), [(96, 0..96, 0), (64, 0..64, 0)]);
        assert_eq!(placed(Fit::Crop, [96, 96], [375, 500]), [(96, 0..96, 0), (128, 16..112, 0)]);
        assert_eq!(placed(Fit::Crop, [96, 96], [501, 333]), [(144, 24..120, 0), (96, 0..96, 0)]);
        assert_eq!(placed(Fit::Crop, [64, 96], [100, 100]), [(96, 16..80, 0), (96, 0..96, 0)]);
        assert_eq!(placed(Fit::Pad, [96, 96], [375, 500]), [(72, 0..72, 12), (96, 0..96, 0)]);
        assert_eq!(placed(Fit::Pad, [96, 96], [501, 333]), [(96, 0..96, 0), (64, 0..64, 16)]);
        // Nothing vanishes.
        assert_eq!(placed(Fit::Pad, [96, 96], [1, 60_000]), [(1, 0..1, 48), (96, 0..96, 0)]);
        let [rows, columns] = placed(Fit::Crop, [96, 96], [1, 60_000]);
        assert_eq!((rows.1.len(), columns.1.len()), (96, 96));
    }
}

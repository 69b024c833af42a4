//! Drawings in MNIST's form.
//!
//! MNIST's digits fill a box of 20 × 20 pixels with their aspect ratio kept and gray levels from
//! antialiasing, and lie in a field of 28 × 28 with their centre of mass in its middle, white on black (LeCun,
//! Cortes & Burges, "The MNIST database of handwritten digits").

use serde::Deserialize;

use super::refusal::Refusal;

/// Side of the image, in pixels.
pub(super) const SIDE: usize = 28;
/// Side of the box that the drawing fills, in pixels.
const BOX: f32 = 20.0;
/// Width of the pen, in the image's pixels. MNIST's strokes are two to three pixels wide.
const PEN: f32 = 2.6;
/// Width of the border over which ink fades, in the image's pixels, as wide as MNIST's antialiasing made it. Of 200
/// test digits, thinned to strokes and drawn again, a head reads 95.5 % (94 % with 1; 97 % of the originals).
const BORDER: f32 = 1.6;
/// Most points of a drawing. Each costs a look at every pixel.
const MAX_POINTS: usize = 8192;
/// Largest coordinate, in whatever unit the drawing has.
const MAX_COORDINATE: f32 = 1e6;

/// Strokes of a pen, as a client sends them.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Drawing {
    /// The points `[x, y]` that the pen went through without being lifted; x grows to the right and y down.
    strokes: Vec<Vec<[f32; 2]>>,
}

impl Drawing {
    /// The drawing of a request's JSON.
    pub(super) fn parse(json: &[u8]) -> Result<Drawing, Refusal> {
        let drawing: Drawing = serde_json::from_slice(json).map_err(|error| {
            Refusal::Malformed(format!(
                "the drawing is not as expected, {{\"strokes\": [[[x, y], …], …]}}: {error}"
            ))
        })?;
        let points: usize = drawing.strokes.iter().map(Vec::len).sum();
        if !(1..=MAX_POINTS).contains(&points) {
            return Err(Refusal::Malformed(format!(
                "the drawing has {points} points, expected 1 to {MAX_POINTS}"
            )));
        }
        let far = drawing.points().flatten().copied().find(|value| value.abs() > MAX_COORDINATE);
        if let Some(value) = far {
            return Err(Refusal::Malformed(format!(
                "the drawing has the coordinate {value}, expected up to {MAX_COORDINATE}"
            )));
        }
        Ok(drawing)
    }

    /// The drawing as an image of [`SIDE`] × [`SIDE`] gray pixels.
    pub(super) fn image(&self) -> Vec<u8> {
        let extreme = |axis: usize, pick: fn(f32, f32) -> f32, start: f32| {
            self.points().fold(start, |so_far, point| pick(so_far, point[axis]))
        };
        let low = [0, 1].map(|axis| extreme(axis, f32::min, f32::INFINITY));
        let high = [0, 1].map(|axis| extreme(axis, f32::max, f32::NEG_INFINITY));
        let longest = (high[0] - low[0]).max(high[1] - low[1]);
        // Half of the pen lies outside of the outermost points.
        let scale = if longest > 0.0 { (BOX - PEN) / longest } else { 0.0 };
        let middle = SIDE as f32 / 2.0;
        let placed = |shift: [f32; 2]| {
            let place = |point: &[f32; 2]| {
                [0, 1].map(|axis| {
                    let centre = (low[axis] + high[axis]) / 2.0;
                    middle + (point[axis] - centre) * scale + shift[axis]
                })
            };
            let strokes = self.strokes.iter();
            strokes.map(|stroke| stroke.iter().map(place).collect()).collect::<Vec<Vec<_>>>()
        };
        // What is centred by its box lies whole in the field, so that its mass is known. Then the strokes are
        // moved, not the pixels, so that the image stays sharp.
        let mass = centre_of_mass(&ink(&placed([0.0; 2])));
        let image = ink(&placed(mass.map(|mass| middle - mass)));
        image.into_iter().map(|ink| (ink * 255.0).round() as u8).collect()
    }

    fn points(&self) -> impl Iterator<Item = &[f32; 2]> {
        self.strokes.iter().flatten()
    }
}

/// How much of each pixel is inked, from 0 to 1, by the pixel's distance from the nearest stroke.
fn ink(strokes: &[Vec<[f32; 2]>]) -> Vec<f32> {
    let mut image = vec![0.0f32; SIDE * SIDE];
    for stroke in strokes {
        let ends = stroke.iter().skip(1).chain(stroke.last());
        for (from, to) in stroke.iter().zip(ends) {
            for (at, pixel) in image.iter_mut().enumerate() {
                let centre = [(at % SIDE) as f32 + 0.5, (at / SIDE) as f32 + 0.5];
                let covered = (PEN / 2.0 - distance(centre, *from, *to)) / BORDER + 0.5;
                *pixel = pixel.max(covered.clamp(0.0, 1.0));
            }
        }
    }
    image
}

/// The distance of a point from the line between two others.
fn distance(point: [f32; 2], from: [f32; 2], to: [f32; 2]) -> f32 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let length = along[0] * along[0] + along[1] * along[1];
    let offset = [point[0] - from[0], point[1] - from[1]];
    let share = if length > 0.0 {
        ((offset[0] * along[0] + offset[1] * along[1]) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (offset[0] - share * along[0]).hypot(offset[1] - share * along[1])
}

/// The centre of mass `[x, y]` of an image that is not empty, in pixels from its corner.
fn centre_of_mass(image: &[f32]) -> [f32; 2] {
    let (mut mass, mut sums) = (0.0, [0.0; 2]);
    for (at, &ink) in image.iter().enumerate() {
        mass += ink;
        sums[0] += ink * ((at % SIDE) as f32 + 0.5);
        sums[1] += ink * ((at / SIDE) as f32 + 0.5);
    }
    sums.map(|sum| sum / mass)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image_of(json: &str) -> Vec<f32> {
        let image = Drawing::parse(json.as_bytes()).unwrap().image();
        image.into_iter().map(|value| f32::from(value) / 255.0).collect()
    }

    /// The extent of what is inked, horizontally and vertically, in pixels.
    fn extent(image: &[f32]) -> [f32; 2] {
        let columns = (0..SIDE).map(|x| (0..SIDE).map(|y| image[y * SIDE + x]).fold(0.0, f32::max));
        let rows = (0..SIDE).map(|y| image[y * SIDE..][..SIDE].iter().copied().fold(0.0, f32::max));
        [columns.sum(), rows.sum()]
    }

    #[test]
    fn drawings_fill_the_box_and_their_mass_is_in_the_middle() {
        let drawings = [
            // An L, whose mass is far from the middle of its box; a wide line; one far away and large.
            r#"{"strokes": [[[10, 10], [10, 90], [60, 90]]]}"#,
            r#"{"strokes": [[[-5, 3], [45, 8]]]}"#,
            r#"{"strokes": [[[900000, 900000], [900000, 940000]], [[910000, 910000]]]}"#,
        ];
        for drawing in drawings {
            let image = image_of(drawing);
            let [x, y] = centre_of_mass(&image);
            assert!((x - 14.0).abs() < 0.15 && (y - 14.0).abs() < 0.15, "{drawing}: {x} {y}");
            let [width, height] = extent(&image);
            assert!((width.max(height) - 20.0).abs() < 1.0, "{drawing}: {width} {height}");
        }
    }

    #[test]
    fn the_aspect_ratio_is_kept() {
        let image = image_of(r#"{"strokes": [[[0, 0], [10, 0], [10, 40], [0, 40], [0, 0]]]}"#);
        let [width, height] = extent(&image);
        // The pen's middle goes around a box of 4.35 × 17.4.
        assert!((width - (17.4 / 4.0 + PEN)).abs() < 0.7, "{width}");
        assert!((height - 20.0).abs() < 0.7, "{height}");
    }

    #[test]
    fn a_dot_is_a_dot() {
        let image = image_of(r#"{"strokes": [[[7, 7]]]}"#);
        let mass: f32 = image.iter().sum();
        assert!((mass - std::f32::consts::PI * PEN * PEN / 4.0).abs() < 1.0, "{mass}");
    }

    #[test]
    fn hostile_drawings_are_refused() {
        let many = format!(r#"{{"strokes": [[{}[0, 0]]]}}"#, "[0, 0], ".repeat(MAX_POINTS));
        for drawing in [
            "",
            "[]",
            r#"{"strokes": []}"#,
            r#"{"strokes": [[[1]]]}"#,
            r#"{"strokes": [[[1, 1e7]]]}"#,
            r#"{"strokes": [[[1, 1e39]]]}"#,
            r#"{"strokes": [[[1, null]]]}"#,
            many.as_str(),
        ] {
            assert!(Drawing::parse(drawing.as_bytes()).is_err(), "{drawing:.60}");
        }
    }
}

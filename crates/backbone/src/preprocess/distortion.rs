//! What is drawn for one distorted view of an image, and the map of positions that follows from it.

use recipe::{Augmentation, Fill};

/// Smallest and largest aspect ratio of what is cut out, in relation to the image's (torchvision's
/// `RandomResizedCrop`).
const CROP_RATIOS: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
/// Smallest and largest area that is erased, as a fraction of the input's, and its aspect ratios (torchvision's
/// `RandomErasing`).
const ERASED_AREAS: [f64; 2] = [0.02, 0.33];
const ERASED_RATIOS: [f64; 2] = [0.3, 3.3];

/// The random choices for one distorted view. They do not depend on the sizes of the image and of the network's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Distortion {
    /// In radians.
    pub(super) rotation: f64,
    /// Down and across, as fractions of the input's height and width.
    pub(super) shift: [f64; 2],
    /// In radians.
    pub(super) shear: f64,
    /// Factors of the height and of the width that are shown.
    pub(super) zoom: [f64; 2],
    /// Whether rows, and columns, are reversed.
    pub(super) flip: [bool; 2],
    /// The rectangle that is cut out of the image; `None` for all of it.
    pub(super) crop: Option<Cut>,
    /// Factor of the pixels.
    pub(super) brightness: f32,
    /// Factor of the pixels' distances from the mean.
    pub(super) contrast: f32,
    /// In levels of 0 to 255.
    pub(super) channel_shift: f32,
    /// The rectangle of the input that is erased; `None` for none.
    pub(super) erased: Option<Cut>,
    /// The fill of places where the image has no pixels.
    pub(super) fill: Fill,
}

/// A rectangle that is cut out of another one of any size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cut {
    /// Its area as a fraction of the other one's.
    pub(super) area: f64,
    /// Its aspect ratio, height by width, in relation to the other one's.
    pub(super) ratio: f64,
    /// Its position, down and across, from 0 at the other one's beginning to 1 at its end.
    pub(super) at: [f64; 2],
}

/// Positions on one plane as a function of those on another: `matrix · from + at`, down and across.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Affine {
    pub(super) matrix: [[f64; 2]; 2],
    pub(super) at: [f64; 2],
}

/// The quantities that are drawn. Each has its own number, so that none depends on which others are wanted.
#[derive(Debug, Clone, Copy)]
enum Place {
    Rotation,
    ShiftDown,
    ShiftAcross,
    Shear,
    ZoomDown,
    ZoomAcross,
    FlipDown,
    FlipAcross,
    CropArea,
    CropRatio,
    CropDown,
    CropAcross,
    Brightness,
    Contrast,
    ChannelShift,
    Erases,
    ErasedArea,
    ErasedRatio,
    ErasedDown,
    ErasedAcross,
}

/// Number of quantities.
const PLACES: usize = Place::ErasedAcross as usize + 1;

/// A number for each quantity: the first 53 bits of eight bytes of BLAKE3's output.
struct Drawn([[u8; 8]; PLACES]);

impl Drawn {
    fn from(bytes: &[u8]) -> Drawn {
        let mut numbers = [[0; 8]; PLACES];
        let mut output = blake3::Hasher::new().update(bytes).finalize_xof();
        numbers.iter_mut().for_each(|number| output.fill(number));
        Drawn(numbers)
    }

    /// In `[0, 1)`.
    fn unit(&self, place: Place) -> f64 {
        let bits = u64::from_le_bytes(self.0[place as usize]) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }

    fn between(&self, place: Place, [least, most]: [f64; 2]) -> f64 {
        least + self.unit(place) * (most - least)
    }

    /// In `[-range, range)`.
    fn around_0(&self, place: Place, range: f64) -> f64 {
        self.between(place, [-range, range])
    }

    /// Around 1, but not below 0.
    fn factor(&self, place: Place, range: f64) -> f64 {
        self.between(place, [(1.0 - range).max(0.0), 1.0 + range])
    }

    /// Uniform on a logarithmic scale.
    fn ratio(&self, place: Place, ratios: [f64; 2]) -> f64 {
        libm::exp(self.between(place, ratios.map(libm::log)))
    }
}

impl Distortion {
    /// The distortion that changes nothing.
    #[cfg(test)]
    pub(super) const NONE: Distortion = Distortion {
        rotation: 0.0,
        shift: [0.0; 2],
        shear: 0.0,
        zoom: [1.0; 2],
        flip: [false; 2],
        crop: None,
        brightness: 1.0,
        contrast: 1.0,
        channel_shift: 0.0,
        erased: None,
        fill: Fill::Nearest,
    };

    /// The choices that these bytes determine within the ranges of the augmentation: the same on every machine.
    pub fn draw(ranges: &Augmentation, bytes: &[u8]) -> Distortion {
        use Place::*;
        let drawn = Drawn::from(bytes);
        let zoom = [1.0 - ranges.zoom, 1.0 + ranges.zoom];
        let crop = Cut {
            area: drawn.between(CropArea, [ranges.crop, 1.0]),
            ratio: drawn.ratio(CropRatio, CROP_RATIOS),
            at: [drawn.unit(CropDown), drawn.unit(CropAcross)],
        };
        let erased = Cut {
            area: drawn.between(ErasedArea, ERASED_AREAS),
            ratio: drawn.ratio(ErasedRatio, ERASED_RATIOS),
            at: [drawn.unit(ErasedDown), drawn.unit(ErasedAcross)],
        };
        Distortion {
            rotation: drawn.around_0(Rotation, ranges.rotation).to_radians(),
            shift: [
                drawn.around_0(ShiftDown, ranges.shift_y),
                drawn.around_0(ShiftAcross, ranges.shift_x),
            ],
            shear: drawn.around_0(Shear, ranges.shear).to_radians(),
            zoom: [drawn.between(ZoomDown, zoom), drawn.between(ZoomAcross, zoom)],
            flip: [
                ranges.flip.is_vertical() && drawn.unit(FlipDown) < 0.5,
                ranges.flip.is_horizontal() && drawn.unit(FlipAcross) < 0.5,
            ],
            crop: (ranges.crop < 1.0).then_some(crop),
            brightness: drawn.factor(Brightness, ranges.brightness) as f32,
            contrast: drawn.factor(Contrast, ranges.contrast) as f32,
            channel_shift: drawn.around_0(ChannelShift, ranges.channel_shift) as f32,
            erased: (drawn.unit(Erases) < ranges.erase).then_some(erased),
            fill: ranges.fill,
        }
    }

    /// For a position in the input, whose size is given, the position that is shown there, in an input that is not
    /// distorted: Keras' `apply_affine_transform`, rotation · shift · shear · zoom about the centre, and before it the
    /// flips. Positions are in pixels, and a pixel's centre is at its half.
    pub(super) fn undistorted(&self, size: [f64; 2]) -> Affine {
        let (sin, cos) = (libm::sin(self.rotation), libm::cos(self.rotation));
        let rotation = Affine { matrix: [[cos, -sin], [sin, cos]], at: [0.0; 2] };
        let shift = Affine {
            matrix: [[1.0, 0.0], [0.0, 1.0]],
            at: [self.shift[0] * size[0], self.shift[1] * size[1]],
        };
        let (sin, cos) = (libm::sin(self.shear), libm::cos(self.shear));
        let shear = Affine { matrix: [[cos, 0.0], [-sin, 1.0]], at: [0.0; 2] };
        let scale = |[down, across]: [f64; 2]| Affine {
            matrix: [[down, 0.0], [0.0, across]],
            at: [0.0; 2],
        };
        let flip = scale(self.flip.map(|flips| if flips { -1.0 } else { 1.0 }));
        let about_centre = rotation.after(shift).after(shear).after(scale(self.zoom)).after(flip);
        let centre = size.map(|side| side / 2.0);
        let moved = about_centre.apply(centre.map(|side| -side));
        Affine { matrix: about_centre.matrix, at: [moved[0] + centre[0], moved[1] + centre[1]] }
    }
}

impl Cut {
    /// The rectangle of a plane of this size: for each axis, its start and its length. Sides that would be longer than
    /// the plane's are cut to them.
    pub(super) fn of(self, size: [f64; 2]) -> [[f64; 2]; 2] {
        let (area, stretch) = (self.area.sqrt(), self.ratio.sqrt());
        let sides = [(area * stretch).min(1.0), (area / stretch).min(1.0)];
        std::array::from_fn(|axis| {
            let length = sides[axis] * size[axis];
            [self.at[axis] * (size[axis] - length), length]
        })
    }
}

impl Affine {
    /// This map of what the other one gives.
    pub(super) fn after(self, first: Affine) -> Affine {
        let [a, b] = self.matrix;
        let times = |row: [f64; 2]| {
            [0, 1].map(|column| row[0] * first.matrix[0][column] + row[1] * first.matrix[1][column])
        };
        Affine { matrix: [times(a), times(b)], at: self.apply(first.at) }
    }

    pub(super) fn apply(&self, from: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|axis| {
            self.matrix[axis][0] * from[0] + self.matrix[axis][1] * from[1] + self.at[axis]
        })
    }
}

#[cfg(test)]
mod tests;

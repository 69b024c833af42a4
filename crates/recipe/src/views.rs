//! Views: distorted copies of images, as data.
//!
//! View 0 of an image is the image itself; views 1 to K are distorted. What is drawn for a view depends on the
//! seed, the image's bytes and the view's number alone, so a view is the same on every machine, and those of a cache
//! with fewer views are the first of a cache with more.

use std::fmt;
use std::str::FromStr;

use durable::Digest;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, VariantNames};

use crate::from_name;
use crate::view_counts::ViewCounts;

/// Begins what is digested for a distorted view; images' files do not begin so.
const VIEW: &[u8] = b"recipe, view 1";

/// The distorted copies of images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Views {
    /// Number of distorted copies of each image, beside the image itself.
    pub count: ViewCounts,
    /// Seed of what is drawn.
    pub seed: u64,
    /// The ranges from which it is drawn.
    pub augmentation: Augmentation,
}

/// The ranges from which a distortion is drawn, each uniformly and independently of the others. A range of 0 changes
/// nothing, and is not written to files.
///
/// Geometry comes first, in one resampling from the image's own pixels, then colours, then erasing. Quantities are
/// those of the network's input, after the image was fitted to it.
///
/// Each range says what it is called in Keras, which is the `ImageDataGenerator` of Keras 3, and in torchvision, and
/// where it differs. Colours are changed in the order brightness, contrast, channel shift. torchvision's `ColorJitter`
/// changes them in a random order, which makes a difference where levels are cut to 0 and 255; Keras shifts the channels
/// before it changes the brightness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Augmentation {
    /// Largest angle of the rotation about the centre, in degrees, in both directions: Keras' `rotation_range`,
    /// torchvision's `RandomAffine(degrees)`.
    #[serde(skip_serializing_if = "is_zero")]
    pub rotation: f64,
    /// Largest horizontal shift, as a fraction of the width, in both directions: Keras' `width_shift_range`,
    /// torchvision's `RandomAffine(translate)`, which rounds to whole pixels.
    #[serde(skip_serializing_if = "is_zero")]
    pub shift_x: f64,
    /// Largest vertical shift, as a fraction of the height, likewise.
    #[serde(skip_serializing_if = "is_zero")]
    pub shift_y: f64,
    /// Largest angle of the shear, in degrees, in both directions: Keras' `shear_range`. What is shown moves sideways with
    /// the row, by the sine of the angle, and its height is divided by the cosine. (In Keras 1 the shear is in radians,
    /// and what is shown moves up or down with the column. torchvision's `RandomAffine(shear)` has the tangent and keeps
    /// the height.)
    #[serde(skip_serializing_if = "is_zero")]
    pub shear: f64,
    /// Height and width are scaled by factors from 1 - zoom to 1 + zoom, drawn independently: Keras' `zoom_range`, in
    /// which a factor above 1 makes what is shown smaller. (torchvision's `RandomAffine(scale)` has one factor for
    /// both, with the inverse meaning.)
    #[serde(skip_serializing_if = "is_zero")]
    pub zoom: f64,
    /// Flips, each with probability 1/2.
    #[serde(skip_serializing_if = "Flip::is_none")]
    pub flip: Flip,
    /// Smallest fraction of the image's area that is cut out and stretched to the input, with an aspect ratio of 3/4 to
    /// 4/3 times the image's own; 1 or more cuts out nothing. torchvision's `RandomResizedCrop(scale=(crop, 1))`, with
    /// three differences. Its ratios are absolute: of a wide image, too, it cuts out nearly square pieces. Its sides are
    /// whole pixels. Where a side would be longer than the image's, it draws again (after ten times it takes what fits
    /// from the middle), while here the side is shortened to the image's.
    #[serde(skip_serializing_if = "is_one")]
    pub crop: f64,
    /// Pixels are multiplied by a factor from 1 - brightness (not below 0) to 1 + brightness: torchvision's
    /// `ColorJitter(brightness)`. Keras' `brightness_range` has both ends given, and rounds levels down to whole
    /// numbers.
    #[serde(skip_serializing_if = "is_zero")]
    pub brightness: f64,
    /// Distances from the mean of the image's gray levels are multiplied by a factor from 1 - contrast (not below 0) to
    /// 1 + contrast: torchvision's `ColorJitter(contrast)`. Keras' generator has no contrast.
    #[serde(skip_serializing_if = "is_zero")]
    pub contrast: f64,
    /// Largest number of levels, of 0 to 255, that are added to all channels, in both directions: Keras'
    /// `channel_shift_range`, but for the bounds. Levels are cut to 0 and 255, where Keras cuts them to the darkest and
    /// the brightest level of the image. torchvision has none.
    #[serde(skip_serializing_if = "is_zero")]
    pub channel_shift: f64,
    /// Probability that a rectangle of 2 to 33 % of the area, with an aspect ratio of 0.3 to 3.3 times the input's, becomes
    /// the weights' mean colour: torchvision's `RandomErasing(p)` after `Normalize`. Its ratios are absolute, which is
    /// the same for square inputs. Where a side would not be shorter than the input's, it draws again (after ten times
    /// it erases nothing), while here a side that would be longer is shortened to the input's. Keras has none.
    #[serde(skip_serializing_if = "is_zero")]
    pub erase: f64,
    /// The fill of places where a distorted image has no pixels.
    #[serde(skip_serializing_if = "Fill::is_nearest")]
    pub fill: Fill,
}

/// The directions in which images are flipped, each with probability 1/2.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Display,
    EnumString,
    EnumIter,
    VariantNames,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Flip {
    /// Images are not flipped.
    #[default]
    None,
    /// Left becomes right.
    Horizontal,
    /// Top becomes bottom.
    Vertical,
    /// Either, both or none.
    Both,
}

/// The fill of places where a distorted image has no pixels.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Display,
    EnumString,
    EnumIter,
    VariantNames,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Fill {
    /// The nearest pixel of the image, Keras' default.
    #[default]
    Nearest,
    /// Black, torchvision's default.
    Black,
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

fn is_one(number: &f64) -> bool {
    *number == 1.0
}

impl Flip {
    fn is_none(&self) -> bool {
        *self == Flip::None
    }

    /// Whether left may become right.
    pub fn is_horizontal(self) -> bool {
        matches!(self, Flip::Horizontal | Flip::Both)
    }

    /// Whether top may become bottom.
    pub fn is_vertical(self) -> bool {
        matches!(self, Flip::Vertical | Flip::Both)
    }
}

impl Fill {
    fn is_nearest(&self) -> bool {
        *self == Fill::Nearest
    }
}

/// The identities of views of one augmentation and seed.
#[derive(Debug, Clone)]
pub struct ViewDigests {
    views: Views,
    augmentation: Digest,
}

impl ViewDigests {
    /// The identity of a distorted view of an image, in the place of the image's digest: the digest of what the view
    /// is made of.
    pub fn of(&self, image: &Digest, view: u32) -> Digest {
        let drawn = self.views.drawn_from(image, view);
        Digest::of(&[&drawn[..], self.augmentation.as_bytes()].concat())
    }
}

impl Views {
    /// The identities of its views.
    pub fn digests(&self) -> ViewDigests {
        let augmentation = serde_json::to_value(&self.augmentation);
        let augmentation = augmentation.expect("structs of numbers and names serialise");
        ViewDigests { views: self.clone(), augmentation: Digest::of_value(&augmentation) }
    }

    /// The bytes that determine what is drawn for a view: seed, image and view.
    pub fn drawn_from(&self, image: &Digest, view: u32) -> Vec<u8> {
        let (seed, view) = (self.seed.to_le_bytes(), view.to_le_bytes());
        [VIEW, &seed, image.as_bytes(), &view].concat()
    }
}

impl Default for Augmentation {
    /// The augmentation that changes nothing.
    fn default() -> Augmentation {
        Augmentation {
            rotation: 0.0,
            shift_x: 0.0,
            shift_y: 0.0,
            shear: 0.0,
            zoom: 0.0,
            flip: Flip::None,
            crop: 1.0,
            brightness: 0.0,
            contrast: 0.0,
            channel_shift: 0.0,
            erase: 0.0,
            fill: Fill::Nearest,
        }
    }
}

impl Augmentation {
    /// Degrees of a shear of 0.3, and of one of 0.1, in the radians of Keras 1.
    const SHEARS: [f64; 2] = [17.188733853924695, 5.729577951308232];

    /// fast.ai's setting for handwritten digits (deeplearning1, mnist.ipynb): rotation 8°, shifts 0.08, shear
    /// 0.3 radians, zoom 0.08.
    pub fn digits() -> Augmentation {
        Augmentation {
            rotation: 8.0,
            shift_x: 0.08,
            shift_y: 0.08,
            shear: Augmentation::SHEARS[0],
            zoom: 0.08,
            ..Augmentation::default()
        }
    }

    /// fast.ai's setting for photographs (deeplearning1, statefarm.ipynb), and horizontal flips: rotation 15°, shifts
    /// 0.1 across and 0.05 down, shear 0.1 radians, channel shift 20.
    pub fn photos() -> Augmentation {
        Augmentation {
            rotation: 15.0,
            shift_x: 0.1,
            shift_y: 0.05,
            shear: Augmentation::SHEARS[1],
            flip: Flip::Horizontal,
            channel_shift: 20.0,
            ..Augmentation::default()
        }
    }

    /// The parts by which digits may be turned into others, as a 6 into a 9, as they are written: "flip=vertical".
    pub fn turning_digits(&self) -> Vec<String> {
        let flip = self.flip.is_vertical().then(|| format!("flip={}", self.flip));
        let rotation = (self.rotation > 90.0).then(|| format!("rotation={}", self.rotation));
        flip.into_iter().chain(rotation).collect()
    }

    /// Sets one of the ranges by its name.
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "flip" => self.flip = from_name("flip", value)?,
            "fill" => self.fill = from_name("fill", value)?,
            "rotation" => self.rotation = number(name, value, 0.0, 180.0)?,
            "shift" => {
                self.shift_x = number(name, value, 0.0, 1.0)?;
                self.shift_y = self.shift_x;
            }
            "shift-x" => self.shift_x = number(name, value, 0.0, 1.0)?,
            "shift-y" => self.shift_y = number(name, value, 0.0, 1.0)?,
            "shear" => self.shear = number(name, value, 0.0, 80.0)?,
            "zoom" => self.zoom = number(name, value, 0.0, 0.9)?,
            "crop" => self.crop = number(name, value, 0.01, 1.0)?,
            "brightness" => self.brightness = number(name, value, 0.0, 10.0)?,
            "contrast" => self.contrast = number(name, value, 0.0, 10.0)?,
            "channel-shift" => self.channel_shift = number(name, value, 0.0, 255.0)?,
            "erase" => self.erase = number(name, value, 0.0, 1.0)?,
            _ => {
                return Err(format!(
                    "there is no augmentation '{name}'; expected digits, photos, or one of rotation, shift, \
                     shift-x, shift-y, shear, zoom, flip, crop, brightness, contrast, channel-shift, erase, fill \
                     with a value, such as rotation=8"
                ));
            }
        }
        Ok(())
    }
}

/// A number of that range.
fn number(name: &str, value: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    // -0 and 0 are the same augmentation.
    number.map(|number: f64| number + 0.0).ok_or_else(|| {
        format!("'{value}' is not a value of {name}; expected a number from {least} to {most}")
    })
}

impl FromStr for Augmentation {
    type Err = String;

    /// Reads `digits`, `photos`, or a list such as `rotation=8,shift=0.1`; `digits,zoom=0` changes a setting.
    fn from_str(text: &str) -> Result<Augmentation, String> {
        let mut read = Augmentation::default();
        for (index, word) in text.split(',').map(str::trim).enumerate() {
            match (word, word.split_once('=')) {
                ("digits", _) if index == 0 => read = Augmentation::digits(),
                ("photos", _) if index == 0 => read = Augmentation::photos(),
                (_, Some((name, value))) => read.set(name.trim(), value.trim())?,
                (name, None) => read.set(name, "")?,
            }
        }
        if read == Augmentation::default() {
            return Err(format!(
                "'{text}' changes nothing; expected digits, photos, or a list such as rotation=8"
            ));
        }
        Ok(read)
    }
}

impl fmt::Display for Augmentation {
    /// Writes the ranges that are not 0, as [`FromStr`] reads them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Augmentation { rotation, shift_x, shift_y, shear, zoom, .. } = self;
        let numbers = [
            ("rotation", rotation, 0.0),
            ("shift-x", shift_x, 0.0),
            ("shift-y", shift_y, 0.0),
            ("shear", shear, 0.0),
            ("zoom", zoom, 0.0),
            ("crop", &self.crop, 1.0),
            ("brightness", &self.brightness, 0.0),
            ("contrast", &self.contrast, 0.0),
            ("channel-shift", &self.channel_shift, 0.0),
            ("erase", &self.erase, 0.0),
        ];
        let changed = numbers.into_iter().filter(|(_, value, none)| **value != *none);
        let mut words: Vec<String> =
            changed.map(|(name, value, _)| format!("{name}={value}")).collect();
        if !self.flip.is_none() {
            words.push(format!("flip={}", self.flip));
        }
        if !self.fill.is_nearest() {
            words.push(format!("fill={}", self.fill));
        }
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn augmentations_are_read_as_they_are_written() {
        let read = |text: &str| text.parse::<Augmentation>();
        for text in [
            "digits",
            "photos",
            "rotation=8,shift=0.1",
            "flip=both,fill=black",
            "photos,shift=0,crop=0.5,brightness=0.2,contrast=0.3,erase=0.25,zoom=0.1",
        ] {
            let augmentation = read(text).unwrap();
            assert_eq!(read(&augmentation.to_string()), Ok(augmentation.clone()), "{text}");
            let json = serde_json::to_string(&augmentation).unwrap();
            assert_eq!(serde_json::from_str::<Augmentation>(&json).unwrap(), augmentation);
        }
        assert_eq!(read("digits,rotation=12").unwrap().rotation, 12.0);
        assert_eq!(
            serde_json::to_string(&read("flip=vertical").unwrap()).unwrap(),
            r#"{"flip":"vertical"}"#
        );
        for (bad, expected) in [
            ("", "there is no augmentation ''"),
            ("digit", "there is no augmentation 'digit'"),
            ("rotation", "'' is not a value of rotation; expected a number from 0 to 180"),
            ("rotation=-5", "'-5' is not a value of rotation"),
            ("zoom=nan", "'nan' is not a value of zoom"),
            ("flip=up", "there is no flip 'up'; expected none, horizontal, vertical, both"),
            ("zoom=0", "'zoom=0' changes nothing"),
            ("zoom=0.1,photos", "there is no augmentation 'photos'"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.starts_with(expected), "{bad}: {error}");
        }
    }

    /// The numbers of fast.ai's notebooks; caches on disk depend on them.
    #[test]
    fn the_named_settings_are_these() {
        let nothing = Augmentation::default();
        let digits = Augmentation {
            rotation: 8.0,
            shift_x: 0.08,
            shift_y: 0.08,
            shear: 17.188733853924695,
            zoom: 0.08,
            ..nothing.clone()
        };
        assert_eq!(Augmentation::digits(), digits);
        let photos = Augmentation {
            rotation: 15.0,
            shift_x: 0.1,
            shift_y: 0.05,
            shear: 5.729577951308232,
            flip: Flip::Horizontal,
            channel_shift: 20.0,
            ..nothing
        };
        assert_eq!(Augmentation::photos(), photos);
        // fast.ai's shears are in radians.
        for (radians, degrees) in [(0.3_f64, digits.shear), (0.1, photos.shear)] {
            assert!((radians.to_degrees() - degrees).abs() < 1e-14 * degrees, "{degrees}");
        }
    }

    #[test]
    fn what_turns_digits_into_others_is_known() {
        for (text, turning) in [
            ("digits", &[][..]),
            ("digits,flip=horizontal", &[]),
            ("rotation=90", &[]),
            ("digits,flip=vertical", &["flip=vertical"]),
            ("rotation=91,flip=both", &["flip=both", "rotation=91"]),
        ] {
            assert_eq!(text.parse::<Augmentation>().unwrap().turning_digits(), turning, "{text}");
        }
    }

    /// The digest names rows on disk, and may never change.
    #[test]
    fn the_digest_of_a_view_is_that_of_all_that_makes_it() {
        let (image, other) = (Digest::of(b"image"), Digest::of(b"other"));
        let count = ViewCounts::of_training(5);
        let views = Views { count, seed: 0, augmentation: Augmentation::digits() };
        let of = |views: &Views, image: &Digest, view| views.digests().of(image, view);
        let digest = of(&views, &image, 1);
        assert_eq!(
            digest.to_string(),
            "d19bf248b129a1d7fa8afe0c5609c47dd921008dbaec42faa6db7ae96f7ffcc2"
        );
        let count = ViewCounts { train: 10, val: 0, test: 3 };
        assert_eq!(of(&Views { count, ..views.clone() }, &image, 1), digest);
        let photos = Views { augmentation: Augmentation::photos(), ..views.clone() };
        let others = [
            of(&views, &image, 2),
            of(&views, &other, 1),
            of(&Views { seed: 1, ..views.clone() }, &image, 1),
            of(&photos, &image, 1),
        ];
        assert!(others.iter().all(|it| *it != digest && *it != image));
        assert_eq!(photos.drawn_from(&image, 1), views.drawn_from(&image, 1));
    }
}

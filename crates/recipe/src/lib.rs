//! The description, as data, of how an image becomes a row of features.
//!
//! Both stages share the type [`Recipe`]. Extraction builds its network from a recipe. Caches, runs and
//! sweeps record theirs. A recipe, its weights and a head are enough to classify an image. The invariant:
//! equal recipes make equal features, as exactly as their numerics promise.
//!
//! A recipe names its network and its numerics. The tables of the networks are here too, since taps are
//! named after layers; the crate `backbone` knows the numerics. A cache whose network or numerics this
//! version does not know can still be read and trained on.

mod names;
mod network;
mod tap;
mod view_counts;
mod views;

use durable::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{Display, EnumIter, EnumString, IntoStaticStr, VariantNames};

pub use names::from_name;
pub use network::{Convolution, Layer, NETWORKS, Network};
pub use tap::{Pooling, Tap, TapShape};
pub use view_counts::ViewCounts;
pub use views::{Augmentation, Fill, Flip, ViewDigests, Views};

/// Everything that turns an image into features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The network, for example `vgg16`.
    pub network: String,
    /// The network's weights.
    pub weights: WeightsId,
    /// The form of the network's input, and how an image is brought to it.
    pub image: ImageForm,
    /// The layers whose outputs are kept, each once, in the network's order.
    pub taps: Vec<Tap>,
    /// The arithmetic that computes the features, on which their last digits depend: `winograd5-fast`,
    /// `torch-2.13-cpu`, …
    pub numerics: String,
    /// Element type of the stored features.
    pub dtype: Dtype,
}

impl Recipe {
    /// The digest of the recipe's canonical encoding; see [`Digest::of_value`].
    pub fn digest(&self) -> Digest {
        Digest::of_value(&self.to_value())
    }

    /// The recipe as JSON, as files record it.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("structs of names and numbers serialise")
    }

    /// The digest of what of the recipe determines the maps of an image, [as it is in files](maps_digest).
    pub fn maps_digest(&self) -> Digest {
        maps_digest(&self.to_value())
    }

    /// A recipe for documentation and tests: VGG16's last convolution for images of 96 px.
    pub fn example() -> Recipe {
        let digest = Digest::of(b"weights");
        Recipe {
            network: "vgg16".into(),
            weights: WeightsId { digest, family: Family::Caffe },
            image: ImageForm {
                height: 96,
                width: 96,
                fit: Fit::Stretch,
                pad_colour: None,
                resize: ResizeFilter::Bilinear,
                orientation: Orientation::Ignore,
                decode: Decode::Full,
            },
            taps: vec![Tap { layer: "conv5_3".into(), pooling: Pooling::None }],
            numerics: "winograd3-fast".into(),
            dtype: Dtype::F32,
        }
    }
}

/// The identity of the rows of an image, one for each tap. Features depend on nothing but the recipe and the
/// image, as exactly as the recipe's numerics promise; which other taps there are and how the numbers are
/// rounded when they are stored does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// [Digest of the recipe](maps_digest) but for its taps and the element type.
    pub recipe: Digest,
    /// Digest of the image.
    pub image: Digest,
}

/// The digest of what of a recipe, as it is in a file, determines the maps of an image: everything but the taps
/// and the element type. Members that this version does not know may change the features.
pub fn maps_digest(recipe: &Value) -> Digest {
    let mut recipe = recipe.clone();
    if let Value::Object(members) = &mut recipe {
        members.retain(|name, _| !["taps", "dtype"].contains(&name.as_str()));
    }
    Digest::of_value(&recipe)
}

/// The identity of a network's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsId {
    /// Digest of the numbers.
    pub digest: Digest,
    /// Their origin, which fixes the order and the scale of the colour channels.
    pub family: Family,
}

/// The form of a network's input, and how an image is brought to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageForm {
    /// Height of the network's input, in pixels.
    pub height: usize,
    /// Width of the network's input, in pixels.
    pub width: usize,
    /// How an image of another aspect ratio is brought to that size.
    pub fit: Fit,
    /// The colour of what [`Fit::Pad`] leaves free: R, G and B, 0 to 255; `None` stands for black, and with
    /// every other fit it is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad_colour: Option<[u8; 3]>,
    /// The filter that resizes it.
    pub resize: ResizeFilter,
    /// Whether the orientation that a camera recorded is applied.
    pub orientation: Orientation,
    /// How much of an image file is decoded. A full decode is not written to files, so that the
    /// digests of recipes without this field stay as they are.
    #[serde(default, skip_serializing_if = "Decode::is_full")]
    pub decode: Decode,
}

/// The origin of weights, which fixes how images are preprocessed for them.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Display,
    EnumString,
    IntoStaticStr,
    EnumIter,
    VariantNames,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Family {
    /// Channels in the order BGR, means subtracted from 0..255.
    Caffe,
    /// As [`Caffe`](Family::Caffe) with the input channels of the first convolution reversed, so that
    /// channels are in the order RGB.
    CaffeRgb,
    /// Channels in the order RGB, scaled to zero mean and unit variance over ImageNet.
    Torchvision,
}

impl Family {
    /// All names, for messages.
    pub fn names() -> String {
        Family::VARIANTS.join(", ")
    }

    /// Published weights of the family and the images that they expect.
    pub fn description(self) -> &'static str {
        match self {
            Family::Caffe => "the original Oxford weights, Keras, fast.ai: BGR, not scaled",
            Family::CaffeRgb => {
                "the same weights for RGB: torchvision's IMAGENET1K_FEATURES, SSD300's backbone"
            }
            Family::Torchvision => "torchvision's IMAGENET1K_V1, timm: RGB, scaled",
        }
    }
}

/// How an image of another aspect ratio than the network's input is brought to its size.
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
pub enum Fit {
    /// Height and width are scaled independently, as with Keras's `target_size`.
    #[default]
    Stretch,
    /// Height and width are scaled by the same factor until the image covers the input, whose centre is cut
    /// out: torchvision's `Resize(size)` and `CenterCrop(size)`.
    Crop,
    /// Height and width are scaled by the same factor until the image fits into the input, in whose centre it
    /// lies; the rest has the pad colour: PIL's `ImageOps.pad`.
    Pad,
}

/// The filter that resizes images. When an image is reduced, every filter but `nearest` widens so that every
/// pixel counts, as in PIL and in PyTorch with `antialias=True`. Numbers are in single precision. They are cut
/// to 0 and 255 after the horizontal and after the vertical pass, as in PIL, and not rounded.
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
pub enum ResizeFilter {
    /// Bilinear with half-pixel centres: `align_corners=False` in PyTorch.
    #[default]
    Bilinear,
    /// Cubic convolution with a = -0.5 (Catmull-Rom), PIL's `BICUBIC`.
    Bicubic,
    /// Sinc windowed to three lobes, PIL's `LANCZOS`.
    Lanczos,
    /// The pixel in which the centre lies, PIL's `NEAREST`.
    Nearest,
}

/// Whether the orientation that a camera recorded (EXIF) is applied.
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
pub enum Orientation {
    /// Pixels are used as they are stored, as in PyTorch's `ImageFolder` and Keras. (A TIFF is turned as its own
    /// tag says, as in PIL.)
    #[default]
    Ignore,
    /// The image is turned as its EXIF data say, or its XMP data if there is no orientation in EXIF: PIL's
    /// `ImageOps.exif_transpose`.
    Exif,
}

/// How much of an image file is decoded.
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
pub enum Decode {
    /// Every pixel.
    #[default]
    Full,
    /// A JPEG is decoded at 1/2, 1/4 or 1/8 of its size, the smallest at which both sides are still at least twice
    /// those of the network's input. Other formats are decoded in full.
    Fast,
}

impl Decode {
    fn is_full(&self) -> bool {
        *self == Decode::Full
    }
}

/// Element type of stored features.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Display,
    EnumString,
    VariantNames,
    Serialize,
    Deserialize,
)]
pub enum Dtype {
    /// IEEE single precision, 4 bytes.
    #[default]
    #[serde(rename = "float32")]
    #[strum(to_string = "f32", serialize = "float32")]
    F32,
    /// IEEE half precision, 2 bytes.
    #[serde(rename = "float16")]
    #[strum(to_string = "f16", serialize = "float16")]
    F16,
}

impl Dtype {
    /// Bytes per element.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest comes from a second implementation of the encoding, in Python. It may never change.
    #[test]
    fn the_digest_of_a_recipe_stays_as_it_is() {
        let text = r#"{
            "network": "vgg16",
            "weights": {
                "digest": "WEIGHTS",
                "family": "caffe"
            },
            "image": {"height": 96, "width": 96, "fit": "stretch", "resize": "bilinear",
                      "orientation": "ignore"},
            "taps": ["conv5_3"],
            "numerics": "winograd3-fast",
            "dtype": "float32"
        }"#;
        let text = text.replace("WEIGHTS", &Digest::of(b"weights").to_string());
        let recipe: Recipe = serde_json::from_str(&text).unwrap();
        assert_eq!(recipe, Recipe::example());
        assert_eq!(
            recipe.digest().to_string(),
            "cefb2905c820807285685e455d35ea42197af5f31c8373dfa5bbb7578283609e"
        );
    }

    #[test]
    fn every_field_is_part_of_the_digest() {
        let base = Recipe::example();
        let changes: [fn(&mut Recipe); 13] = [
            |recipe| recipe.network = "vgg19".into(),
            |recipe| recipe.weights.digest = Digest::of(b"others"),
            |recipe| recipe.weights.family = Family::CaffeRgb,
            |recipe| recipe.image.height = 64,
            |recipe| recipe.image.width = 64,
            |recipe| recipe.image.fit = Fit::Pad,
            |recipe| recipe.image.pad_colour = Some([0, 0, 0]),
            |recipe| recipe.image.resize = ResizeFilter::Bicubic,
            |recipe| recipe.image.orientation = Orientation::Exif,
            |recipe| recipe.image.decode = Decode::Fast,
            |recipe| recipe.taps[0].pooling = Pooling::Avg,
            |recipe| recipe.numerics = "torch-2.13-cpu".into(),
            |recipe| recipe.dtype = Dtype::F16,
        ];
        for change in changes {
            let mut changed = base.clone();
            change(&mut changed);
            assert_ne!(changed.digest(), base.digest(), "{changed:?}");
            // The maps of an image do not depend on what is kept of them.
            let maps_differ = (&changed.taps, changed.dtype) == (&base.taps, base.dtype);
            assert_eq!(changed.maps_digest() != base.maps_digest(), maps_differ, "{changed:?}");
        }
        let mut of_later_version = base.to_value();
        of_later_version["unknown"] = true.into();
        assert_ne!(maps_digest(&of_later_version), base.maps_digest());
    }
}

//! How an image becomes a row of features, as data.
//!
//! A [`Recipe`] is what the stages agree on: extraction builds its network from one, a cache, a run
//! and a sweep record theirs, and whoever has a recipe, its weights and a head can classify an image.
//! The invariant: equal recipes, equal features, to the last bit of what their numerics promise.
//!
//! A recipe has its network and its numerics as names. The networks that there are, as tables of layers,
//! are here too, since taps are named after them; which numerics there are, the crate `backbone` knows. A
//! cache of a network or numerics that this version does not know can still be read and trained on.

mod names;
mod network;
mod tap;

use durable::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{Display, EnumIter, EnumString, IntoStaticStr, VariantNames};

pub use names::from_name;
pub use network::{Convolution, Layer, NETWORKS, Network};
pub use tap::{Pooling, Tap, TapShape};

/// Everything that turns an image into features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The network, for example `vgg16`.
    pub network: String,
    /// The network's weights.
    pub weights: WeightsId,
    /// How an image becomes the network's input.
    pub image: ImageForm,
    /// The layers whose outputs are kept, each once, in the network's order.
    pub taps: Vec<Tap>,
    /// The arithmetic of the features, as far as it shows in their last digits: `winograd3-fast`,
    /// `torch-2.13-cpu`, …
    pub numerics: String,
    /// Element type of the stored features.
    pub dtype: Dtype,
}

impl Recipe {
    /// The digest of the recipe's canonical encoding: see [`Digest::of_value`].
    pub fn digest(&self) -> Digest {
        Digest::of_value(&self.to_value())
    }

    /// The recipe as files have it.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("structs of names and numbers serialise")
    }

    /// The key of the row that this recipe makes of an image with these bytes.
    pub fn row_key(&self, image: Digest) -> RowKey {
        RowKey { recipe: self.digest(), image }
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
                resize: ResizeFilter::Bilinear,
                orientation: Orientation::Ignore,
            },
            taps: vec![Tap { layer: "conv5_3".into(), pooling: Pooling::None }],
            numerics: "winograd3-fast".into(),
            dtype: Dtype::F32,
        }
    }
}

/// The identity of a row: features depend on the recipe and the image alone, as far as the recipe's numerics
/// promise, so a row is known by these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// Digest of the recipe.
    pub recipe: Digest,
    /// Digest of the bytes of the image's file.
    pub image: Digest,
}

/// The identity of a network's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsId {
    /// Digest of the numbers.
    pub digest: Digest,
    /// Where they come from, which fixes the order and the scale of the colours.
    pub family: Family,
}

/// How an image becomes the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageForm {
    /// Height of the network's input, in pixels.
    pub height: usize,
    /// Width of the network's input, in pixels.
    pub width: usize,
    /// How an image of other proportions is brought to that size.
    pub fit: Fit,
    /// The filter with which it is resized.
    pub resize: ResizeFilter,
    /// Whether the orientation that a camera recorded is applied.
    pub orientation: Orientation,
}

/// Where weights come from, which fixes how images are prepared for them.
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
    /// BGR, means subtracted from 0..255.
    Caffe,
    /// The same with the input channels of the first convolution reversed: RGB.
    CaffeRgb,
    /// RGB, scaled to zero mean and unit variance.
    Torchvision,
}

impl Family {
    /// All names, for messages.
    pub fn names() -> String {
        Family::VARIANTS.join(", ")
    }

    /// Well-known weights of the family and the images that they expect.
    pub fn description(self) -> &'static str {
        match self {
            Family::Caffe => "the original Oxford weights, Keras, fast.ai: BGR, not scaled",
            Family::CaffeRgb => {
                "the same for RGB: torchvision's IMAGENET1K_FEATURES, SSD300's backbone"
            }
            Family::Torchvision => "torchvision's IMAGENET1K_V1, timm: RGB, scaled",
        }
    }
}

/// How an image of other proportions than the network's input is brought to its size.
#[derive(
    Debug,
    Clone,
    Copy,
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
    /// Height and width are scaled apart, as Keras's `target_size` does.
    Stretch,
}

/// A filter for resizing.
#[derive(
    Debug,
    Clone,
    Copy,
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
    /// Bilinear with half-pixel centres, in single precision: `align_corners=False` in PyTorch. When an
    /// image is reduced, the filter widens so that every pixel counts, as in PIL and in PyTorch with
    /// `antialias=True`.
    Bilinear,
}

/// Whether the orientation that a camera recorded (EXIF) is applied.
#[derive(
    Debug,
    Clone,
    Copy,
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
    /// Pixels are taken as they are stored, as PyTorch's `ImageFolder` and Keras take them.
    Ignore,
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

    /// The digest that a second implementation of the encoding, in Python, computed of this text: it
    /// may never change.
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
        let changes: [fn(&mut Recipe); 8] = [
            |recipe| recipe.network = "vgg19".into(),
            |recipe| recipe.weights.digest = Digest::of(b"others"),
            |recipe| recipe.weights.family = Family::CaffeRgb,
            |recipe| recipe.image.height = 64,
            |recipe| recipe.image.width = 64,
            |recipe| recipe.taps[0].pooling = Pooling::Avg,
            |recipe| recipe.numerics = "torch-2.13-cpu".into(),
            |recipe| recipe.dtype = Dtype::F16,
        ];
        let image = Digest::of(b"image");
        for change in changes {
            let mut changed = base.clone();
            change(&mut changed);
            assert_ne!(changed.digest(), base.digest(), "{changed:?}");
            assert_ne!(changed.row_key(image), base.row_key(image));
        }
        assert_ne!(base.row_key(image), base.row_key(Digest::of(b"another image")));
    }
}

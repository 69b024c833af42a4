//! From preprocessed images to probabilities.

use backbone::{Extractor, ExtractorConfig, Preprocessor};
use half::f16;
use half::slice::HalfFloatSliceExt;
use head::{Average, Head, Heads};
use recipe::{Dtype, Tap, TapShape};

use crate::{Error, HeatMap, Model};

/// A model that is ready to classify, with all the buffers that it needs.
pub struct Classifier {
    extractor: Box<dyn Extractor>,
    heads: Heads,
    average: Average,
    preprocessor: Preprocessor,
    batch_size: usize,
    dtype: Dtype,
    /// Which of the recipe's taps heat maps are of.
    map_tap: Option<MapTap>,
    /// Numbers in a row of each of the extractor's arrays.
    row_lens: Vec<usize>,
    /// An array of rows for each of the recipe's taps.
    features: Vec<Vec<f32>>,
}

/// The tap that heat maps are of.
#[derive(Debug, Clone)]
struct MapTap {
    tap: Tap,
    /// Its index among the recipe's taps.
    index: usize,
    height: usize,
    width: usize,
}

/// The result for an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// The logits of each head, `[classes]`.
    pub logits: Vec<Vec<f32>>,
    /// The probability of each class, `[classes]`: the mean of the heads' softmax, or the softmax of the mean of
    /// their logits.
    pub probabilities: Vec<f64>,
}

/// An image of which a feature is NaN or too large for the recipe's element type.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("a feature of the image is {value}, which a head cannot use")]
pub struct NotFinite {
    /// The first such feature.
    pub value: f32,
}

impl Classifier {
    /// Builds the classifier of a model.
    ///
    /// # Errors
    /// If this program on this machine computes neither the recipe's numerics nor later ones, the weights are not the
    /// recipe's, or the heads do not take its taps.
    pub fn new(model: &Model, config: &ExtractorConfig) -> Result<Classifier, Error> {
        let recipe = &model.computed_recipe()?;
        let extractor = backbone::build(recipe, model.weights(), config)?;
        let shapes = backbone::shapes(recipe)?;
        let taps: Vec<(Tap, TapShape)> =
            recipe.taps.iter().cloned().zip(shapes.iter().cloned()).collect();
        let row_lens: Vec<usize> = shapes.iter().map(|shape| shape.iter().product()).collect();
        let batch_size = config.batch_size;
        Ok(Classifier {
            extractor,
            map_tap: map_tap(model.heads(), &taps),
            heads: Heads::new(model.heads(), taps, config.threads)?,
            average: model.average(),
            preprocessor: Preprocessor::new(recipe.weights.family, recipe.image),
            batch_size,
            dtype: recipe.dtype,
            features: row_lens.iter().map(|len| vec![0.0; batch_size * len]).collect(),
            row_lens,
        })
    }

    /// The preprocessing that images need.
    pub fn preprocessor(&self) -> Preprocessor {
        self.preprocessor
    }

    /// Largest number of images in a batch.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The tap that heat maps are of: of those that keep their maps the one that most heads take, and of several such the
    /// last one in the network.
    ///
    /// # Errors
    /// If all taps are pooled to a number per channel, so that there are no heat maps.
    pub fn heat_map_tap(&self) -> Result<&Tap, Error> {
        self.map_tap.as_ref().map(|map| &map.tap).ok_or(Error::NoMaps)
    }

    /// Classifies a batch. `images` is `[n, 3, height, width]` in C order, preprocessed, n from 1 to the
    /// batch size. The results are in the same order.
    ///
    /// # Errors
    /// If the forward pass fails, as libtorch's may when memory is short.
    ///
    /// # Panics
    /// If the length does not match.
    pub fn classify(&mut self, images: &[f32]) -> Result<Vec<Result<Scores, NotFinite>>, Error> {
        let n = images.len() / self.preprocessor.len();
        let mut arrays: Vec<&mut [f32]> = self
            .features
            .iter_mut()
            .zip(&self.row_lens)
            .map(|(array, len)| &mut array[..n * len])
            .collect();
        self.extractor.forward(images, &mut arrays)?;
        let mut faults = vec![None; n];
        for (array, &len) in arrays.iter_mut().zip(&self.row_lens) {
            if self.dtype == Dtype::F16 {
                round_to_f16(array);
            }
            for (row, fault) in array.chunks_exact_mut(len).zip(&mut faults) {
                if let Some(&value) = row.iter().find(|value| !value.is_finite()) {
                    *fault = fault.or(Some(NotFinite { value }));
                    row.fill(0.0);
                }
            }
        }
        let features: Vec<&[f32]> = arrays.iter().map(|array| &**array).collect();
        let logits = self.heads.logits(&features)?;
        let classes = self.heads.classes();
        let scores = Scores::of_rows(&logits, classes, self.average);
        let results = faults.into_iter().zip(scores);
        Ok(results.map(|(fault, scores)| fault.map_or(Ok(scores), Err)).collect())
    }
}

impl Classifier {
    /// Classifies one image, `[3, height, width]` and preprocessed, and computes a heat map for each of
    /// `classes`: see [`heat_map`](mod@crate::heat_map) for what it is.
    ///
    /// # Errors
    /// If all taps are pooled to a number per channel, there is no such class, or the forward pass fails.
    ///
    /// # Panics
    /// If the length does not match.
    pub fn heat_maps(
        &mut self,
        image: &[f32],
        classes: &[usize],
    ) -> Result<Result<(Scores, Vec<HeatMap>), NotFinite>, Error> {
        let scores = match self.classify(image)?.remove(0) {
            Ok(scores) => scores,
            Err(fault) => return Ok(Err(fault)),
        };
        let maps: Result<_, Error> = classes.iter().map(|&class| self.heat_map(0, class)).collect();
        Ok(Ok((scores, maps?)))
    }

    /// The heat map of a class for an image of the batch that was classified last. `row` is its index there;
    /// an image without scores has a map of zeros.
    ///
    /// # Errors
    /// If all taps are pooled to a number per channel, or there is no such class.
    ///
    /// # Panics
    /// If `row` is not less than the batch size.
    pub fn heat_map(&mut self, row: usize, class: usize) -> Result<HeatMap, Error> {
        let map_tap = self.map_tap.as_ref().ok_or(Error::NoMaps)?;
        let &MapTap { index, height, width, .. } = map_tap;
        let arrays = self.features.iter().zip(&self.row_lens);
        let features: Vec<&[f32]> =
            arrays.map(|(array, &len)| &array[row * len..][..len]).collect();
        let gradient = self.heads.gradient(&features, index, class)?;
        let image = self.preprocessor.size();
        Ok(HeatMap::new(features[index], &gradient, (height, width), image))
    }
}

/// Which of the recipe's taps, which are in the network's order, heat maps are of; `None` if all are pooled to a number per
/// channel.
fn map_tap(heads: &[Head], taps: &[(Tap, TapShape)]) -> Option<MapTap> {
    let number_of_heads = |tap: &Tap| heads.iter().filter(|head| head.taps.contains(tap)).count();
    let with_maps = taps.iter().enumerate().filter(|(_, (_, shape))| shape.len() == 3);
    let (index, (tap, shape)) =
        with_maps.max_by_key(|(index, (tap, _))| (number_of_heads(tap), *index))?;
    Some(MapTap { tap: tap.clone(), index, height: shape[1], width: shape[2] })
}

impl std::fmt::Debug for Classifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Classifier")
            .field("heads", &self.heads)
            .field("batch_size", &self.batch_size)
            .finish_non_exhaustive()
    }
}

impl Scores {
    /// The scores of some rows, from each head's logits `[n, classes]`.
    pub(crate) fn of_rows(
        logits: &[Vec<f32>],
        classes: usize,
        average: Average,
    ) -> impl Iterator<Item = Scores> {
        let rows = logits[0].len() / classes;
        (0..rows).map(move |row| {
            let of_row = logits.iter().map(|head| &head[row * classes..][..classes]);
            let of_row: Vec<&[f32]> = of_row.collect();
            let probabilities = average.probabilities(&of_row);
            Scores { logits: of_row.into_iter().map(<[f32]>::to_vec).collect(), probabilities }
        })
    }

    /// Classes and their probabilities, the most probable first; among equals, in the order of the classes.
    pub fn ranked(&self) -> Vec<(usize, f64)> {
        let mut ranked: Vec<(usize, f64)> =
            self.probabilities.iter().copied().enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked
    }

    /// The most probable class.
    pub fn class(&self) -> usize {
        self.ranked()[0].0
    }
}

/// Rounds features as a cache of half precision stores them.
pub(crate) fn round_to_f16(features: &mut [f32]) {
    /// Numbers that are converted at a time.
    const CHUNK: usize = 4096;
    let mut halves = [f16::ZERO; CHUNK];
    for chunk in features.chunks_mut(CHUNK) {
        let halves = &mut halves[..chunk.len()];
        halves.convert_from_f32_slice(chunk);
        halves.convert_to_f32_slice(chunk);
    }
}

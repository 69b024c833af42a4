//! Trained heads on features in memory: of images that are in no cache.

use fused_head::{Inference, Parameters, Row};
use recipe::{Tap, TapShape};

use crate::error::Error;
use crate::error::FolderError;
use crate::features::row::{TapRows, pool_row, pool_row_back};

/// Trained heads of one shape, which take the features of one or several taps.
///
/// The logits of a row are, to the last bit, those that [`predict`](crate::predict()) computes for the same
/// features, whatever other rows and heads there are.
#[derive(Debug)]
pub struct Heads {
    inference: Inference,
    taps: Vec<(Tap, TapShape)>,
}

impl Heads {
    /// Heads with these parameters on this many threads. `taps` are those whose rows they take, joined in
    /// this order, each with the shape of its rows: `[C, H, W]`, or `[C]` if it is pooled.
    ///
    /// # Errors
    /// If there is no head, heads differ in shape, or they do not take rows of these taps.
    pub fn new(
        parameters: &[Parameters],
        taps: Vec<(Tap, TapShape)>,
        threads: usize,
    ) -> Result<Heads, Error> {
        let inference = Inference::new(parameters, threads)?;
        let heads = Heads { inference, taps };
        let (expected, found) = (heads.inference.shape().inputs, heads.row_len());
        if expected != found {
            let taps = heads.taps.iter().map(|(tap, _)| tap.to_string()).collect();
            return Err(Error::Folder(FolderError::OtherTaps { taps, expected, found }));
        }
        Ok(heads)
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.inference.shape().classes
    }

    /// The logits of each head, `[n, classes]`, of n rows. `features` has an array of n rows for each of
    /// the taps, all numbers finite.
    ///
    /// # Errors
    /// If there are no rows.
    ///
    /// # Panics
    /// If the lengths of the arrays are not those of equally many rows.
    pub fn logits(&mut self, features: &[&[f32]]) -> Result<Vec<Vec<f32>>, Error> {
        let pooled = self.pooled(features);
        let rows: Vec<Row<'_>> = pooled.chunks_exact(self.row_len()).map(Row::from).collect();
        Ok(self.inference.logits(&rows)?)
    }

    /// The gradient of the logit of `class`, averaged over the heads, with respect to the features of the tap
    /// with index `tap`, in their shape. `features` has a row for each of the taps, all numbers finite.
    ///
    /// It is the way back through the heads in evaluation, and through the 2×2 max pool that a convolution's
    /// maps go through: the gradient of a window goes to its first maximum. Where one tap's layer comes before
    /// another's in the network, the way through the network is not part of it.
    ///
    /// # Errors
    /// If there is no such class.
    ///
    /// # Panics
    /// If the lengths of the arrays are not those of a row, or there is no such tap.
    pub fn gradient(
        &mut self,
        features: &[&[f32]],
        tap: usize,
        class: usize,
    ) -> Result<Vec<f32>, Error> {
        let mut gradients = self.inference.input_gradients(&self.pooled(features), class)?;
        let heads = gradients.len() as f32;
        let mut mean = gradients.remove(0);
        for (at, mean) in mean.iter_mut().enumerate() {
            *mean = gradients.iter().fold(*mean, |sum, gradient| sum + gradient[at]) / heads;
        }
        Ok(pool_row_back(&self.tap_rows(), tap, features[tap], &mean))
    }

    /// The input rows of the heads, `[n, inputs]`.
    fn pooled(&self, features: &[&[f32]]) -> Vec<f32> {
        let taps = self.tap_rows();
        let lens: Vec<usize> = self.taps.iter().map(|(_, shape)| shape.iter().product()).collect();
        assert_eq!(features.len(), lens.len(), "an array for each tap");
        let n = features[0].len() / lens[0];
        let row_len = self.row_len();
        let mut pooled = vec![0.0; n * row_len];
        let mut joined = Vec::with_capacity(lens.iter().sum());
        for (row, pooled) in pooled.chunks_exact_mut(row_len).enumerate() {
            joined.clear();
            for (array, len) in features.iter().zip(&lens) {
                joined.extend_from_slice(&array[row * len..][..*len]);
            }
            pool_row(&taps, &joined, pooled);
        }
        pooled
    }

    fn tap_rows(&self) -> Vec<TapRows<'_>> {
        self.taps.iter().map(|(tap, shape)| TapRows { tap, shape }).collect()
    }

    /// Numbers in a row as the heads take it.
    fn row_len(&self) -> usize {
        self.tap_rows().into_iter().map(TapRows::pooled_len).sum()
    }
}

/// The probabilities of the classes by softmax, from a row's logits.
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> =
        logits.iter().map(|&logit| (f64::from(logit) - f64::from(largest)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

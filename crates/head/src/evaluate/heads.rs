//! Trained heads on features in memory: of images that are in no cache.

use fused_head::{Inference, Parameters, Row};
use recipe::{Tap, TapShape};

use crate::error::Error;
use crate::error::FolderError;
use crate::features::row::{TapRows, pool_row, pool_row_back};

/// A trained head with the taps whose rows it takes.
#[derive(Debug, Clone)]
pub struct Head {
    /// The taps whose rows are joined, in this order.
    pub taps: Vec<Tap>,
    /// Its parameters.
    pub parameters: Parameters,
}

/// Trained heads of the same classes. They may differ in shape, and in the taps whose features they take.
///
/// The logits of a row are, to the last bit, those that [`predict`](crate::predict()) computes for the same
/// features, whatever other rows and heads there are.
#[derive(Debug)]
pub struct Heads {
    /// The taps whose features are given.
    taps: Vec<(Tap, TapShape)>,
    inputs: Vec<Input>,
    heads: usize,
    classes: usize,
}

/// Rows that heads take, with these heads.
#[derive(Debug)]
struct Input {
    /// Index among all taps of each whose rows are joined, in this order.
    taps: Vec<usize>,
    groups: Vec<Group>,
}

/// Heads of one shape that take the same rows.
#[derive(Debug)]
struct Group {
    inference: Inference,
    /// Index of each head among all heads.
    heads: Vec<usize>,
}

impl Heads {
    /// These heads on this many threads. `taps` are those whose features will be given, in this order, each with the
    /// shape of its rows: `[C, H, W]`, or `[C]` if it is pooled. Every head takes some or all of them.
    ///
    /// # Errors
    /// If there is no head, heads differ in their number of classes, or one does not take rows of its taps.
    pub fn new(heads: &[Head], taps: Vec<(Tap, TapShape)>, threads: usize) -> Result<Heads, Error> {
        let first = heads.first().ok_or(fused_head::Error::NoHeads)?;
        let classes = first.parameters.shape().classes;
        // For each list of taps and shape, the heads that have them.
        let mut alike: Vec<(Vec<usize>, Vec<Vec<usize>>)> = Vec::new();
        for (index, head) in heads.iter().enumerate() {
            let shape = head.parameters.shape();
            if shape.classes != classes {
                return Err(fused_head::Error::OtherShape { head: index }.into());
            }
            let of_head = positions(head, &taps)?;
            let known = alike.iter_mut().find(|(taps, _)| *taps == of_head);
            let Some((_, groups)) = known else {
                alike.push((of_head, vec![vec![index]]));
                continue;
            };
            let has_shape = |group: &&mut Vec<usize>| heads[group[0]].parameters.shape() == shape;
            match groups.iter_mut().find(has_shape) {
                Some(group) => group.push(index),
                None => groups.push(vec![index]),
            }
        }
        let group = |indices: Vec<usize>| {
            let parameters: Vec<_> = indices.iter().map(|&at| &heads[at].parameters).collect();
            Ok(Group { inference: Inference::new(&parameters, threads)?, heads: indices })
        };
        let input = |(taps, groups): (Vec<usize>, Vec<Vec<usize>>)| {
            let groups = groups.into_iter().map(group).collect::<Result<_, Error>>()?;
            Ok(Input { taps, groups })
        };
        let inputs = alike.into_iter().map(input).collect::<Result<_, Error>>()?;
        Ok(Heads { taps, inputs, heads: heads.len(), classes })
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
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
        let mut of_heads = vec![Vec::new(); self.heads];
        for Input { taps, groups } in &mut self.inputs {
            let pooled = pooled(&self.taps, taps, features);
            let row_len = row_len(&tap_rows(&self.taps, taps));
            let rows: Vec<Row<'_>> = pooled.chunks_exact(row_len).map(Row::from).collect();
            for Group { inference, heads } in groups {
                for (&head, logits) in heads.iter().zip(inference.logits(&rows)?) {
                    of_heads[head] = logits;
                }
            }
        }
        Ok(of_heads)
    }

    /// The gradient of the logit of `class`, averaged over all heads, with respect to the features of the tap
    /// with index `tap`, in their shape. `features` has a row for each of the taps, all numbers finite. That of a head
    /// which does not take the tap is 0.
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
        let classes = self.classes;
        if class >= classes {
            return Err(fused_head::Error::Class { class, classes }.into());
        }
        let mut sum: Option<Vec<f32>> = None;
        for Input { taps, groups } in &mut self.inputs {
            let Some(at) = taps.iter().position(|&it| it == tap) else { continue };
            let pooled = pooled(&self.taps, taps, features);
            let mut of_rows: Option<Vec<f32>> = None;
            for Group { inference, .. } in groups {
                for gradient in inference.input_gradients(&pooled, class)? {
                    add(&mut of_rows, gradient);
                }
            }
            let of_rows = of_rows.expect("a group has a head");
            add(&mut sum, pool_row_back(&tap_rows(&self.taps, taps), at, features[tap], &of_rows));
        }
        let heads = self.heads as f32;
        let mut mean = sum.unwrap_or_else(|| vec![0.0; features[tap].len()]);
        mean.iter_mut().for_each(|value| *value /= heads);
        Ok(mean)
    }
}

/// Index among `taps` of each that a head takes.
///
/// # Errors
/// If one is not there, or the head takes rows of another length.
fn positions(head: &Head, taps: &[(Tap, TapShape)]) -> Result<Vec<usize>, Error> {
    let of_tap = |tap: &Tap| taps.iter().position(|(known, _)| known == tap);
    let found: Vec<usize> = head.taps.iter().filter_map(of_tap).collect();
    let (expected, len) = (head.parameters.shape().inputs, row_len(&tap_rows(taps, &found)));
    if found.len() < head.taps.len() || expected != len {
        let taps = head.taps.iter().map(Tap::to_string).collect();
        return Err(Error::Folder(FolderError::OtherTaps { taps, expected, found: len }));
    }
    Ok(found)
}

/// Those of `taps` with these indices.
fn tap_rows<'a>(taps: &'a [(Tap, TapShape)], indices: &[usize]) -> Vec<TapRows<'a>> {
    indices.iter().map(|&at| TapRows { tap: &taps[at].0, shape: &taps[at].1 }).collect()
}

/// Numbers in a row as heads take it.
fn row_len(taps: &[TapRows<'_>]) -> usize {
    taps.iter().map(|tap| tap.pooled_len()).sum()
}

/// The rows of the taps with these indices as heads take them, `[n, inputs]`. `features` has an array of n rows for each
/// of `taps`.
fn pooled(taps: &[(Tap, TapShape)], indices: &[usize], features: &[&[f32]]) -> Vec<f32> {
    assert_eq!(features.len(), taps.len(), "an array for each tap");
    let len_of = |&at: &usize| taps[at].1.iter().product::<usize>();
    let lens: Vec<usize> = indices.iter().map(len_of).collect();
    let tap_rows = tap_rows(taps, indices);
    let row_len = row_len(&tap_rows);
    let n = features[indices[0]].len() / lens[0];
    let mut pooled = vec![0.0; n * row_len];
    let mut joined = Vec::with_capacity(lens.iter().sum());
    for (row, pooled) in pooled.chunks_exact_mut(row_len).enumerate() {
        joined.clear();
        for (&at, len) in indices.iter().zip(&lens) {
            joined.extend_from_slice(&features[at][row * len..][..*len]);
        }
        pool_row(&tap_rows, &joined, pooled);
    }
    pooled
}

/// Adds numbers to a sum that may not have begun.
fn add(sum: &mut Option<Vec<f32>>, numbers: Vec<f32>) {
    match sum {
        Some(sum) => sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number),
        None => *sum = Some(numbers),
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

#[cfg(test)]
mod tests {
    use fused_head::{HeadShape, HiddenLayers};

    use super::*;

    /// Of 3 numbers, and of two maps of 2×2.
    fn taps() -> Vec<(Tap, TapShape)> {
        let tap = |name: &str, shape: &[usize]| (name.parse().unwrap(), shape.to_vec());
        vec![tap("conv4_3:avg", &[3]), tap("conv5_3", &[2, 2, 2])]
    }

    fn head(taps: &[&str], hidden: impl Into<HiddenLayers>, classes: usize, seed: u64) -> Head {
        let len = |tap: &&str| if *tap == "conv5_3" { 2 } else { 3 };
        let shape = HeadShape::new(taps.iter().map(len).sum(), hidden, classes);
        let taps = taps.iter().map(|tap| tap.parse().unwrap()).collect();
        Head { taps, parameters: Parameters::glorot(shape, seed) }
    }

    /// Of different shapes and taps, two of them alike and not beside one another.
    fn different() -> [Head; 5] {
        [
            head(&["conv5_3"], 4, 3, 0),
            head(&["conv4_3:avg"], HiddenLayers::NONE, 3, 1),
            head(&["conv5_3", "conv4_3:avg"], 4, 3, 2),
            head(&["conv5_3"], 6, 3, 3),
            head(&["conv5_3"], 4, 3, 4),
        ]
    }

    /// Features of two rows: for each tap an array.
    fn features() -> [Vec<f32>; 2] {
        [6, 16].map(|len| (0..len).map(|at| (at as f32 * 1.7).sin().abs()).collect())
    }

    #[test]
    fn heads_of_different_shapes_and_taps_are_as_each_alone() {
        let features = features();
        let features: Vec<&[f32]> = features.iter().map(Vec::as_slice).collect();
        let row: Vec<&[f32]> = vec![&features[0][3..], &features[1][8..]];
        let heads = different();
        let mut together = Heads::new(&heads, taps(), 2).unwrap();
        let logits = together.logits(&features).unwrap();
        assert_eq!((logits.len(), together.classes()), (heads.len(), 3));
        let mut sums = [vec![0.0f32; 3], vec![0.0; 8]];
        for (head, logits) in heads.iter().zip(&logits) {
            let mut alone = Heads::new(std::slice::from_ref(head), taps(), 1).unwrap();
            assert_eq!(alone.logits(&features).unwrap(), std::slice::from_ref(logits));
            for (tap, sum) in sums.iter_mut().enumerate() {
                let gradient = alone.gradient(&row, tap, 1).unwrap();
                let takes = head.taps.contains(&taps()[tap].0);
                assert_eq!(gradient.iter().any(|value| *value != 0.0), takes);
                sum.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value);
            }
        }
        for (tap, sum) in sums.iter().enumerate() {
            let mean = together.gradient(&row, tap, 1).unwrap();
            for (found, sum) in mean.iter().zip(sum) {
                assert!((found - sum / heads.len() as f32).abs() < 1e-6, "{mean:?} {sum}");
            }
        }
        // In whichever order the taps are given.
        let mut turned = Heads::new(&heads, taps().into_iter().rev().collect(), 1).unwrap();
        assert_eq!(turned.logits(&[features[1], features[0]]).unwrap(), logits);
    }

    #[test]
    fn heads_that_do_not_fit_are_refused() {
        let of = |heads: &[Head]| {
            let error = Heads::new(heads, taps(), 1).unwrap_err();
            std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
        };
        assert_eq!(of(&[]), "no head is given, expected at least one");
        let [first, ..] = different();
        let two_classes = head(&["conv5_3"], 4, 2, 0);
        let says = "the parameters of head 1 have another shape than the others";
        assert_eq!(of(&[first.clone(), two_classes]), says);
        let other_tap = head(&["pool5"], 4, 3, 0);
        let says = "the head takes rows of 3 numbers, but those of pool5 have 0; train again";
        assert_eq!(of(&[first.clone(), other_tap]), says);
        let shifted = Head { taps: vec!["conv4_3:avg".parse().unwrap()], ..first.clone() };
        let says = "the head takes rows of 2 numbers, but those of conv4_3:avg have 3; train again";
        assert_eq!(of(&[shifted]), says);
        let mut heads = Heads::new(&[first], taps(), 1).unwrap();
        let rows = [&[0.0; 3][..], &[0.0; 8]];
        assert!(heads.gradient(&rows, 0, 3).is_err(), "whether a head takes the tap or not");
        assert_eq!(heads.gradient(&rows, 0, 2).unwrap(), [0.0; 3]);
    }
}

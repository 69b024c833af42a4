//! The comparison of an exported file's results in ONNX Runtime with our own.

use std::path::{Path, PathBuf};

use backbone::{Accuracy, Backend, Compute, Device, ExtractorConfig, Pixels, Preprocessor};
use head::Heads;
use recipe::Dtype;

use super::graph::IMAGES;
use super::python::{self, Inputs};
use super::{Comparison, OnnxInput, tap_name};
use crate::classifier::round_to_f16;
use crate::{Classifier, Error, Model, Scores};

/// Largest difference of two probabilities that count as equal. Of features in half precision, one between two
/// numbers may be rounded up here and down there, which changes it by 5e-4 of its size.
fn tolerance(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F32 => 1e-4,
        Dtype::F16 => 1e-3,
    }
}

/// Largest difference of our probabilities of two classes either of which may be the first.
const TIE: f64 = 1e-6;

/// Number of rows of features that are compared.
const ROWS: usize = 8;

/// A comparison that failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The model cannot be run: the last line of what was said.
    Refused(String),
    /// The results differ. The text says where.
    Differs(String),
    /// Our own forward pass failed, or memory or files.
    Ours(Box<Error>),
}

/// Inputs of one run of the model, and our results for them.
struct Batch {
    inputs: Inputs,
    expected: Vec<Scores>,
}

/// Compares the file with our own results.
pub(super) fn compare(
    model: &Model,
    input: OnnxInput,
    pythons: &[PathBuf],
    threads: usize,
    file: &Path,
) -> Result<Comparison, Fault> {
    let batches = match input {
        OnnxInput::Features => features(model, threads),
        OnnxInput::Images | OnnxInput::ImagesOfAnySize => images(model, input, threads),
    };
    let batches = batches.map_err(|error| Fault::Ours(error.into()))?;
    if batches.is_empty() {
        let reason = "a feature of each of its images is infinite or NaN".to_owned();
        return Ok(Comparison::NotDone { reason });
    }
    let ran = match python::run(pythons, file, batches.iter().map(|batch| &batch.inputs)) {
        Ok(ran) => ran,
        Err(python::Fault::Absent(tried)) => {
            let reason = format!(
                "there is no ONNX Runtime ({tried}); 'just setup numpy' or 'pip install onnxruntime' \
                 installs it"
            );
            return Ok(Comparison::NotDone { reason });
        }
        Err(python::Fault::Refused(said)) => return Err(Fault::Refused(said)),
    };
    let (mut inputs, mut difference) = (0, 0.0f64);
    if ran.probabilities.len() != batches.len() {
        let (found, expected) = (ran.probabilities.len(), batches.len());
        return Err(Fault::Differs(format!("{found} results for {expected} batches")));
    }
    for (batch, found) in batches.iter().zip(&ran.probabilities) {
        if found.len() != batch.expected.len() {
            let (found, expected) = (found.len(), batch.expected.len());
            return Err(Fault::Differs(format!("{found} results for {expected} inputs")));
        }
        for (expected, found) in batch.expected.iter().zip(found) {
            let largest = largest_difference(model, expected, found).map_err(|found| {
                Fault::Differs(format!("{}, input {inputs}: {found}", batch.name()))
            })?;
            difference = difference.max(largest);
            inputs += 1;
        }
    }
    Ok(Comparison::Agrees { version: ran.version, inputs, difference })
}

impl Batch {
    /// The names and shapes of its inputs, for messages.
    fn name(&self) -> String {
        let shapes: Vec<String> =
            self.inputs.iter().map(|(name, (_, shape, _))| format!("{name} {shape:?}")).collect();
        shapes.join(", ")
    }
}

/// The largest difference of the probabilities of an input.
///
/// # Errors
/// If they differ by more than is allowed. The text says how.
fn largest_difference(model: &Model, expected: &Scores, found: &[f64]) -> Result<f64, String> {
    let (names, tolerance) = (model.class_names(), tolerance(model.recipe().dtype));
    let ours = &expected.probabilities;
    if found.len() != ours.len() {
        return Err(format!("{} probabilities, expected {}", found.len(), ours.len()));
    }
    let mut largest = 0.0f64;
    for ((name, &ours), &found) in names.iter().zip(ours).zip(found) {
        let difference = (ours - found).abs();
        if difference > tolerance {
            return Err(format!("the probability of {name} is {found}, expected {ours}"));
        }
        largest = largest.max(difference);
    }
    let (first, top) = (expected.class(), found.iter().copied().fold(f64::MIN, f64::max));
    let found_first = found.iter().position(|&probability| probability == top).unwrap_or(first);
    if ours[first] - ours[found_first] > TIE {
        let [found, expected] = [found_first, first].map(|class| &names[class]);
        return Err(format!("the most probable class is {found}, expected {expected}"));
    }
    Ok(largest)
}

/// Images with our results. They are computed with the most exact arithmetic, whatever that of the recipe,
/// since ONNX Runtime computes neither the rounding errors of the fast one nor those of a graphics card.
fn images(model: &Model, input: OnnxInput, threads: usize) -> Result<Vec<Batch>, Error> {
    let form = model.recipe().image;
    let own = [form.height, form.width];
    let sizes = match input {
        // As they are, enlarged, and reduced by different factors.
        OnnxInput::ImagesOfAnySize => {
            vec![own, [own[0] / 2 + 1, own[1] / 2], [own[0] * 2 + 3, own[1] * 3 + 1]]
        }
        _ => vec![own; 2],
    };
    /// Images per batch.
    const IMAGES_PER_BATCH: usize = 2;
    let config = ExtractorConfig { batch_size: IMAGES_PER_BATCH, threads };
    let mut exact = model.clone();
    let compute = Compute { backend: Backend::Winograd(Accuracy::Exact), device: Device::Cpu };
    exact.recipe.numerics = compute.numerics()?;
    let mut classifier = Classifier::new(&exact, &config)?;
    drop(exact);
    let preprocessor = Preprocessor::new(model.recipe().weights.family, form);
    let mut batches = Vec::new();
    for (index, [height, width]) in sizes.into_iter().enumerate() {
        let pictures: Vec<Vec<u8>> = (0..IMAGES_PER_BATCH)
            .map(|at| picture(index * IMAGES_PER_BATCH + at, height, width))
            .collect();
        let mut prepared = vec![0.0; IMAGES_PER_BATCH * preprocessor.len()];
        for (bytes, out) in pictures.iter().zip(prepared.chunks_exact_mut(preprocessor.len())) {
            preprocessor.apply(Pixels { height, width, channels: 3, bytes }, out);
        }
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (picture, scores) in pictures.iter().zip(classifier.classify(&prepared)?) {
            // The program refuses an image whose features are not finite.
            if let Ok(scores) = scores {
                bytes.extend_from_slice(picture);
                expected.push(scores);
            }
        }
        if !expected.is_empty() {
            let shape = vec![expected.len(), height, width, 3];
            let inputs = Inputs::from([(IMAGES.to_owned(), ("uint8", shape, bytes))]);
            batches.push(Batch { inputs, expected });
        }
    }
    Ok(batches)
}

/// A picture of coloured waves, other ones for each seed: RGB, `[height, width, 3]`.
fn picture(seed: usize, height: usize, width: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(height * width * 3);
    for y in 0..height {
        for x in 0..width {
            for colour in 0..3 {
                let [down, across] = [1 + (seed + colour) % 4, 1 + (2 * seed + colour) % 5];
                let turns = (down * y) as f64 / height as f64 + (across * x) as f64 / width as f64;
                let wave = (std::f64::consts::TAU * turns + seed as f64).sin();
                bytes.push((127.5 + 127.5 * wave) as u8);
            }
        }
    }
    bytes
}

/// Features with our results. Half of the numbers are 0, as after a ReLU.
fn features(model: &Model, threads: usize) -> Result<Vec<Batch>, Error> {
    let taps = model.tap_shapes()?;
    let (mut inputs, mut arrays) = (Inputs::new(), Vec::new());
    for (index, (tap, shape)) in taps.iter().enumerate() {
        let len = shape.iter().product::<usize>();
        let wave = |at: usize| (37.0 * ((at * (index + 2)) as f64).sin()).max(0.0) as f32;
        let mut array: Vec<f32> = (0..ROWS * len).map(wave).collect();
        let shape = [ROWS].iter().chain(shape).copied().collect();
        let bytes = bytemuck::cast_slice(&array).to_vec();
        inputs.insert(tap_name(tap), ("<f4", shape, bytes));
        if model.recipe().dtype == Dtype::F16 {
            round_to_f16(&mut array);
        }
        arrays.push(array);
    }
    let mut heads = Heads::new(model.heads(), taps, threads)?;
    let arrays: Vec<&[f32]> = arrays.iter().map(Vec::as_slice).collect();
    let logits = heads.logits(&arrays)?;
    let expected = Scores::of_rows(&logits, heads.classes(), model.average()).collect();
    Ok(vec![Batch { inputs, expected }])
}

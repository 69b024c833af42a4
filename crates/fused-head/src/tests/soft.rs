//! Soft targets: the loss from its definition, gradients from differences of losses, and what is refused.

use std::slice::from_ref;

use super::{features, isas, labels, trainer};
use crate::{
    Error, HeadConfig, HeadShape, HiddenLayers, Parameters, Row, SoftTargets, StepResult, Trainer,
    isa::Isa, random::Uniform,
};

const SHAPE: HeadShape =
    HeadShape { inputs: 300, hidden: HiddenLayers::two(40), classes: 5, input_norm: None };
const ROWS: usize = 12;

/// Probabilities `[rows, classes]`, and shares `[rows]`, of which the first are 0 and the last 1.
fn soft(rows: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let mut uniform = Uniform::new(seed, 79);
    let mut probabilities = Vec::new();
    for _ in 0..rows {
        let of_row: Vec<f32> = (0..SHAPE.classes).map(|_| uniform.next(0.5) + 0.5).collect();
        let sum: f32 = of_row.iter().sum();
        probabilities.extend(of_row.iter().map(|it| it / sum));
    }
    let share = |row: usize| (row as f32 * 1.5 / rows as f32 - 0.25).clamp(0.0, 1.0);
    (probabilities, (0..rows).map(share).collect())
}

fn options() -> HeadConfig {
    let class_weights = (0..SHAPE.classes).map(|class| 0.5 + class as f32 / 2.0).collect();
    HeadConfig { label_smoothing: 0.2, class_weights, seed: 3, ..HeadConfig::default() }
}

/// The loss of a batch, from its definition.
fn loss(
    config: &HeadConfig,
    logits: &[f32],
    labels: &[i64],
    SoftTargets { probabilities, shares, temperature }: SoftTargets<'_>,
) -> f64 {
    let weight = |class: usize| config.class_weights.get(class).map_or(1.0, |&it| f64::from(it));
    let log_softmax = |row: &[f32], temperature: f64| -> Vec<f64> {
        let scaled: Vec<f64> = row.iter().map(|&it| f64::from(it) / temperature).collect();
        let log_sum = scaled.iter().map(|it| it.exp()).sum::<f64>().ln();
        scaled.into_iter().map(|it| it - log_sum).collect()
    };
    let temperature = f64::from(temperature);
    let (mut sum, mut weights) = (0.0, 0.0);
    for (row, logits) in logits.chunks(SHAPE.classes).enumerate() {
        let (share, label) = (f64::from(shares[row]), labels[row] as usize);
        let smoothing = config.label_smoothing;
        let (plain, colder) = (log_softmax(logits, 1.0), log_softmax(logits, temperature));
        sum -= (1.0 - share) * (1.0 - smoothing) * weight(label) * plain[label];
        weights += (1.0 - share) * weight(label);
        for class in 0..SHAPE.classes {
            let q = f64::from(probabilities[row * SHAPE.classes + class]);
            let every = smoothing / SHAPE.classes as f64;
            sum -= (1.0 - share) * every * weight(class) * plain[class];
            sum -= share * temperature.powi(2) * weight(class) * q * colder[class];
            weights += share * weight(class) * q;
        }
    }
    sum / weights
}

/// A first step of a head with these parameters.
fn stepped(
    config: &HeadConfig,
    initial: &Parameters,
    temperature: f32,
    isa: Isa,
) -> (Trainer, StepResult) {
    let mut trainer =
        Trainer::with_isa(SHAPE, from_ref(config), from_ref(initial), ROWS, 1, isa).unwrap();
    let data = features(ROWS, SHAPE.inputs, 0.3, 1);
    let rows: Vec<Row<'_>> = data.chunks(SHAPE.inputs).map(Row::Dense).collect();
    let (probabilities, shares) = soft(ROWS, 1);
    let soft = SoftTargets { probabilities: &probabilities, shares: &shares, temperature };
    let labels = labels(ROWS, SHAPE.classes, 1);
    let result = trainer.step_towards(&rows, &labels, Some(soft), &[1e-3]).unwrap()[0];
    (trainer, result)
}

#[test]
fn losses_and_gradients_are_those_of_the_definition() {
    let labels = labels(ROWS, SHAPE.classes, 1);
    let (probabilities, shares) = soft(ROWS, 1);
    for isa in isas() {
        for config in [HeadConfig::default(), options()] {
            for temperature in [1.0, 3.0, 0.5] {
                let soft =
                    SoftTargets { probabilities: &probabilities, shares: &shares, temperature };
                let initial = Parameters::glorot(SHAPE, 5);
                let (mut trainer, result) = stepped(&config, &initial, temperature, isa);
                let logits = trainer.last_logits();
                let expected = loss(&config, &logits, &labels, soft);
                let found = f64::from(result.loss);
                assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
                let best = |row: &[f32]| {
                    let largest = row.iter().copied().fold(f32::MIN, f32::max);
                    row.iter().position(|&it| it == largest).unwrap() as i64
                };
                let rows = logits.chunks(SHAPE.classes).zip(&labels);
                let hits = rows.filter(|(row, label)| best(row) == **label).count();
                assert_eq!(result.hits as usize, hits, "hits are those of the labels");

                // A logit is its bias and more, so the loss is to be had at other biases. The first moment is a tenth
                // of the gradient.
                let gradients = trainer.moments(0);
                let gradients = gradients.tensor("fc3.bias").unwrap();
                for (class, gradient) in gradients.iter().enumerate() {
                    let at = |change: f32| {
                        let mut changed = logits.clone();
                        changed.chunks_mut(SHAPE.classes).for_each(|row| row[class] += change);
                        loss(&config, &changed, &labels, soft)
                    };
                    let expected = (at(1.0 / 64.0) - at(-1.0 / 64.0)) * 32.0;
                    let found = 10.0 * f64::from(*gradient);
                    assert!((found - expected).abs() < 2e-4, "{class}: {found} {expected}");
                }
            }
        }
    }
}

/// Where a row has a share of 0, or all of its probability at its label, it is trained as by its label.
#[test]
fn certain_probabilities_are_labels() {
    let data = features(ROWS, SHAPE.inputs, 0.3, 1);
    let rows: Vec<Row<'_>> = data.chunks(SHAPE.inputs).map(Row::Dense).collect();
    let labels = labels(ROWS, SHAPE.classes, 1);
    let certain: Vec<f32> = labels
        .iter()
        .flat_map(|&label| (0..5).map(move |class| f32::from(u8::from(class == label))))
        .collect();
    let uniform = vec![0.2; certain.len()];
    for isa in isas() {
        for config in [HeadConfig::default(), HeadConfig { label_smoothing: 0.0, ..options() }] {
            let after = |soft: Option<SoftTargets<'_>>| {
                let mut trainer = trainer(SHAPE, from_ref(&config), ROWS, 1, isa);
                let result = trainer.step_towards(&rows, &labels, soft, &[1e-3]).unwrap()[0];
                (result, trainer.moments(0))
            };
            let (plain, moments) = after(None);
            for (probabilities, share) in [(&certain, 1.0), (&uniform, 0.0), (&certain, 0.5)] {
                let shares = vec![share; ROWS];
                let soft = SoftTargets { probabilities, shares: &shares, temperature: 1.0 };
                let (result, found) = after(Some(soft));
                assert_eq!(result.hits, plain.hits);
                assert!((result.loss - plain.loss).abs() < 1e-6 * plain.loss, "{share}");
                let logits_moments = ["fc3.weight", "fc3.bias"];
                for name in logits_moments {
                    let pairs =
                        found.tensor(name).unwrap().iter().zip(moments.tensor(name).unwrap());
                    for (found, expected) in pairs {
                        assert!((found - expected).abs() < 1e-7, "{name}: {found} {expected}");
                    }
                }
            }
        }
    }
}

#[test]
fn threads_and_company_do_not_change_a_bit() {
    let heads: Vec<HeadConfig> =
        (0..5).map(|seed| HeadConfig { dropout: vec![0.3; 3], seed, ..options() }).collect();
    let train = |heads: &[HeadConfig], threads: usize, isa: Isa| -> Vec<_> {
        let mut trainer = trainer(SHAPE, heads, 16, threads, isa);
        let mut results = Vec::new();
        for (step, n) in [16, 7, 1].into_iter().enumerate() {
            let data = features(n, SHAPE.inputs, 0.3, step as u64);
            let rows: Vec<Row<'_>> = data.chunks(SHAPE.inputs).map(Row::Dense).collect();
            let (probabilities, shares) = soft(n, step as u64);
            let soft =
                SoftTargets { probabilities: &probabilities, shares: &shares, temperature: 2.0 };
            let labels = labels(n, SHAPE.classes, step as u64);
            let rates = vec![1e-3; heads.len()];
            let step = trainer.step_towards(&rows, &labels, Some(soft), &rates).unwrap();
            results.push(step.to_vec());
        }
        let of_head = |head: usize| {
            let results: Vec<StepResult> = results.iter().map(|step| step[head]).collect();
            (results, trainer.parameters(head))
        };
        (0..heads.len()).map(of_head).collect()
    };
    for isa in isas() {
        let alone: Vec<_> = heads.iter().flat_map(|head| train(from_ref(head), 1, isa)).collect();
        for threads in [1, 2, 3] {
            assert!(train(&heads, threads, isa) == alone, "{threads} threads");
        }
    }
}

#[test]
fn wrong_targets_change_no_head() {
    let config = HeadConfig { seed: 1, ..HeadConfig::default() };
    let data = features(2, SHAPE.inputs, 0.3, 1);
    let rows: Vec<Row<'_>> = data.chunks(SHAPE.inputs).map(Row::Dense).collect();
    let isa = isas()[0];
    let mut trainer = trainer(SHAPE, from_ref(&config), 4, 1, isa);
    let before = trainer.parameters(0);
    let (right, shares) = ([0.2; 10], [0.5; 2]);
    let changed = |at: usize, value: f32| {
        let mut changed = right;
        changed[at] = value;
        changed
    };
    let nan = f32::NAN;
    let cases: [(&[f32], &[f32], f32, &str); 8] = [
        (&right[..9], &shares, 1.0, "probabilities of the soft targets: 9; expected 10"),
        (&right, &shares[..1], 1.0, "shares of the soft targets: 1; expected 2"),
        (&right, &shares, 0.0, "the temperature 0, expected a number above 0"),
        (&right, &shares, nan, "the temperature NaN"),
        (&right, &[0.5, 1.5], 1.0, "row 1 has the share 1.5, expected 0 to 1"),
        (&changed(7, 0.5), &shares, 1.0, "the soft target of row 1 sums to 1.3"),
        (&changed(2, nan), &shares, 1.0, "the soft target of row 0 sums to NaN"),
        (&[-1.0, 2.0, 0.0, 0.0, 0.0, 0.2, 0.2, 0.2, 0.2, 0.2], &shares, 1.0, "row 0 sums to 1"),
    ];
    for (probabilities, shares, temperature, says) in cases {
        let soft = SoftTargets { probabilities, shares, temperature };
        let error = trainer.step_towards(&rows, &[0, 1], Some(soft), &[1e-3]).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(!matches!(error, Error::Rows { .. }));
    }
    assert!(trainer.parameters(0) == before);
}

//! Properties of training: bit-identity, learning, inference, and what goes wrong.

use std::slice::from_ref;

use super::{SparseRows, features, isas, labels, trainer};
use crate::{
    Columns, Error, HeadConfig, HeadShape, HiddenLayers, Parameters, Row, StepResult, Trainer,
    isa::Isa,
};

const SHAPE: HeadShape =
    HeadShape { inputs: 700, hidden: HiddenLayers::two(130), classes: 11, input_norm: None };

fn configs() -> Vec<HeadConfig> {
    let config =
        |p, seed| HeadConfig { dropout: vec![p / 2.0, p / 2.0, p], seed, ..HeadConfig::default() };
    let class_weights = (0..SHAPE.classes).map(|class| 1.0 + class as f32).collect();
    vec![
        config(0.0, 1),
        config(0.8, 2),
        HeadConfig { weight_decay: 0.1, ..config(0.4, 3) },
        HeadConfig { label_smoothing: 0.1, ..config(0.4, 4) },
        HeadConfig { weight_decay: 3.0, class_weights, ..config(0.6, 2) },
        HeadConfig { mixup: 0.4, ..config(0.4, 5) },
    ]
}

/// Results of every step, parameters, and evaluation, of some heads.
fn train(heads: &[HeadConfig], threads: usize, isa: Isa) -> Vec<(Vec<StepResult>, Parameters)> {
    let mut trainer = trainer(SHAPE, heads, 16, threads, isa);
    let mut results = vec![Vec::new(); heads.len()];
    for (step, n) in [16, 16, 7, 16, 1].into_iter().enumerate() {
        let data = features(n, SHAPE.inputs, 0.3, step as u64);
        let rows: Vec<Row<'_>> = data.chunks(SHAPE.inputs).map(Row::Dense).collect();
        let labels = labels(n, SHAPE.classes, step as u64);
        let rates: Vec<f64> = heads.iter().map(|head| 1e-3 * head.seed as f64).collect();
        for (head, &result) in trainer.step(&rows, &labels, &rates).unwrap().iter().enumerate() {
            assert!(result.loss.is_finite());
            results[head].push(result);
        }
    }
    let data = features(100, SHAPE.inputs, 0.3, 99);
    let rows: Vec<Row<'_>> = data.chunks(SHAPE.inputs).map(Row::Dense).collect();
    let evaluated = trainer.evaluate(&rows, &labels(100, SHAPE.classes, 99)).unwrap();
    let with_parameters = |(head, mut results): (usize, Vec<_>)| {
        results.push(evaluated[head]);
        (results, trainer.parameters(head))
    };
    results.into_iter().enumerate().map(with_parameters).collect()
}

#[test]
fn threads_and_company_do_not_change_a_bit() {
    let heads = configs();
    for isa in isas() {
        let alone: Vec<_> = heads.iter().flat_map(|head| train(from_ref(head), 1, isa)).collect();
        for threads in [1, 2, 3, 4, 8] {
            assert!(train(&heads, threads, isa) == alone, "{threads} threads");
            assert!(train(&heads[1..3], threads, isa) == alone[1..3], "{threads} threads");
        }
    }
}

/// Rows as lists of their elements train the same heads, to the bit, whatever the density, the width of
/// the columns, and zeros that are written down.
#[test]
fn sparse_rows_train_the_heads_of_dense_ones() {
    let heads = &configs()[..3];
    for isa in isas() {
        for density in [0.0, 0.05, 0.3, 1.0] {
            let train = |rows_of: fn(&SparseRows) -> Option<Vec<Row<'_>>>, threads| {
                let mut trainer = trainer(SHAPE, heads, 16, threads, isa);
                let mut results = Vec::new();
                for (step, n) in [16, 7, 16, 1].into_iter().enumerate() {
                    let mut data = features(n, SHAPE.inputs, density, step as u64);
                    // A row without elements, and a block without any.
                    data[..SHAPE.inputs].fill(0.0);
                    data.chunks_mut(SHAPE.inputs).for_each(|row| row[256..512].fill(0.0));
                    let lists = SparseRows::of(&data, SHAPE.inputs);
                    let dense = || data.chunks(SHAPE.inputs).map(Row::Dense).collect();
                    let rows = rows_of(&lists).unwrap_or_else(dense);
                    let labels = labels(n, SHAPE.classes, step as u64);
                    results.extend_from_slice(trainer.step(&rows, &labels, &[1e-3; 3]).unwrap());
                    results.extend(trainer.evaluate(&rows, &labels).unwrap());
                }
                (results, [0, 1, 2].map(|head| trainer.parameters(head)))
            };
            let expected = train(|_| None, 1);
            for threads in [1, 3] {
                assert!(train(|lists| Some(lists.narrow()), threads) == expected, "{density}");
                assert!(train(|lists| Some(lists.wide()), threads) == expected, "{density}");
            }
        }
    }
}

/// A row whose columns are wrong is named, and no head has changed.
#[test]
fn wrong_columns_change_no_head() {
    const INPUTS: u16 = 1000;
    let inputs = usize::from(INPUTS);
    let config = HeadConfig { seed: 1, ..HeadConfig::default() };
    let data = features(12, inputs, 0.5, 1);
    let rows: Vec<Row<'_>> = data.chunks(inputs).map(Row::Dense).collect();
    let labels = labels(12, 2, 1);
    let wrong_columns = [
        [3, 2, 4],
        [3, 3, 4],
        [900, 3, 950],
        [900, 300, 600],
        [600, 600, 601],
        [3, 800, 500],
        [0, 1, INPUTS],
        [0, 500, u16::MAX],
    ];
    let forms = [HiddenLayers::two(8), HiddenLayers::NONE];
    for (isa, hidden) in isas().into_iter().flat_map(|isa| forms.map(|hidden| (isa, hidden))) {
        let shape = HeadShape::new(inputs, hidden, 2);
        let mut undisturbed = trainer(shape, from_ref(&config), 12, 3, isa);
        let mut disturbed = trainer(shape, from_ref(&config), 12, 3, isa);
        for columns in wrong_columns {
            let mut wrong = rows.clone();
            // The columns of zeros are wrong as well.
            let values = &[1.0, f32::from(columns[1] % 2), 1.0];
            wrong[11] = Row::Sparse { columns: Columns::U16(&columns), values };
            let expected = match columns {
                [before, column, _] | [_, before, column] if before >= column => {
                    Error::ColumnOrder { row: 11, column: column.into(), before: before.into() }
                }
                [.., column] => Error::Column { row: 11, column: column.into(), inputs },
            };
            assert_eq!(disturbed.step(&wrong, &labels, &[1e-3]).unwrap_err(), expected);
            assert_eq!(disturbed.evaluate(&wrong, &labels).unwrap_err(), expected);
            assert_eq!(disturbed.logits(&wrong).unwrap_err(), expected);
            let result = disturbed.step(&rows, &labels, &[1e-3]).unwrap()[0];
            assert_eq!(result, undisturbed.step(&rows, &labels, &[1e-3]).unwrap()[0]);
        }
        assert!(disturbed.parameters(0) == undisturbed.parameters(0));
    }
}

/// The bits of each version of the arithmetic. Whoever changes them raises the version, and records the
/// new ones here. (The exponential and the logarithm are the C library's.)
#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
fn other_bits_have_another_version() {
    for isa in isas() {
        let linear = HeadShape::new(700, HiddenLayers::NONE, 11);
        let mut linear = trainer(
            linear,
            &[HeadConfig { dropout: vec![0.2], ..HeadConfig::default() }],
            16,
            2,
            isa,
        );
        for step in 0..4 {
            let data = features(16, 700, 0.3, step);
            let rows: Vec<Row<'_>> = data.chunks(700).map(Row::Dense).collect();
            linear.step(&rows, &labels(16, 11, step), &[1e-3]).unwrap();
        }
        let heads = train(&configs()[..2], 2, isa).into_iter().map(|(_, parameters)| parameters);
        let bits = heads.chain([linear.parameters(0)]).map(|parameters| {
            let values = parameters.iter().flat_map(|(_, _, values)| values.to_vec());
            // FNV-1a.
            values.flat_map(f32::to_le_bytes).fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
        });
        let expected = match isa.numerics() {
            "fused2" => {
                [12_950_513_285_698_162_039, 15_246_924_622_098_570_868, 18_023_406_534_701_730_943]
            }
            "fused2-no-fma" => {
                [6_834_639_205_072_646_931, 2_753_696_799_982_571_594, 6_635_728_571_583_326_644]
            }
            other => panic!("the bits of {other} are not recorded"),
        };
        assert_eq!(bits.collect::<Vec<_>>(), expected, "{isa:?}");
    }
}

/// Heads on one thread share a workspace, in which a diverged one leaves NaN everywhere.
#[test]
fn a_diverged_neighbour_does_not_change_a_bit() {
    let config = |seed| HeadConfig { dropout: vec![0.2, 0.2, 0.4], seed, ..HeadConfig::default() };
    for isa in isas() {
        for threads in [1, 2] {
            let train = |heads: &[HeadConfig], rates: &[f64]| {
                let mut trainer = trainer(SHAPE, heads, 16, threads, isa);
                for (step, n) in [16, 16, 7, 16].into_iter().enumerate() {
                    let data = features(n, SHAPE.inputs, 0.3, step as u64);
                    let rows: Vec<Row<'_>> = data.chunks(SHAPE.inputs).map(Row::Dense).collect();
                    trainer.step(&rows, &labels(n, SHAPE.classes, step as u64), rates).unwrap();
                    trainer.evaluate(&rows, &labels(n, SHAPE.classes, step as u64)).unwrap();
                }
                trainer
            };
            let mut alone = train(&[config(2)], &[1e-3]);
            let heads = [config(1), config(2), config(3)];
            let mut among = train(&heads, &[1e38, 1e-3, 1e38]);
            let diverged = among.parameters(0);
            assert!(diverged.tensor("fc3.bias").unwrap().iter().any(|value| !value.is_finite()));
            assert!(among.parameters(1) == alone.parameters(0), "{threads} threads");
        }
    }
}

/// Whichever head is stopped, it stays as it is, and the others are those trained without it.
#[test]
fn a_stopped_head_changes_no_other() {
    let heads = configs();
    let steps = |trainer: &mut Trainer, steps: std::ops::Range<u64>| {
        let mut results = Vec::new();
        for step in steps {
            let data = features(16, SHAPE.inputs, 0.3, step);
            let rows: Vec<Row<'_>> = data.chunks(SHAPE.inputs).map(Row::Dense).collect();
            let labels = labels(16, SHAPE.classes, step);
            let rates = vec![1e-3; trainer.heads()];
            results.push(trainer.step(&rows, &labels, &rates).unwrap().to_vec());
            results.push(trainer.evaluate(&rows, &labels).unwrap());
        }
        results
    };
    for isa in isas() {
        for threads in [1, 2, 4] {
            for stopped in [0, 2, 4] {
                let mut whole = trainer(SHAPE, &heads, 16, threads, isa);
                let mut some = trainer(SHAPE, &heads, 16, threads, isa);
                steps(&mut whole, 0..2);
                steps(&mut some, 0..2);
                some.stop(stopped);
                let kept = some.parameters(stopped);
                let mut expected = steps(&mut whole, 2..4);
                expected.iter_mut().for_each(|results| results[stopped] = StepResult::default());
                assert!(steps(&mut some, 2..4) == expected, "{threads} threads, head {stopped}");
                for head in 0..heads.len() {
                    let is_stopped = head == stopped;
                    let expected = if is_stopped { kept.clone() } else { whole.parameters(head) };
                    assert!(some.parameters(head) == expected, "{threads} threads, head {head}");
                }
                (0..heads.len()).for_each(|head| some.stop(head));
                let results = steps(&mut some, 4..5);
                assert!(results.iter().flatten().all(|it| *it == StepResult::default()));
            }
        }
    }
}

#[test]
fn heads_learn() {
    // Each class has inputs of its own.
    let (inputs, classes) = (64, 4);
    let shape = HeadShape::new(inputs, 16, classes);
    let n = 32;
    let mut data = features(n, inputs, 0.2, 1);
    let labels = labels(n, classes, 1);
    for (row, &label) in data.chunks_mut(inputs).zip(&labels) {
        row[label as usize * 16..][..16].fill(2.0);
    }
    let rows: Vec<Row<'_>> = data.chunks(inputs).map(Row::Dense).collect();
    let configs =
        [0.0, 0.5].map(|p| HeadConfig { dropout: vec![p; 3], seed: 1, ..HeadConfig::default() });
    let mut trainer = trainer(shape, &configs, n, 2, Isa::detect());
    let first: Vec<_> = trainer.step(&rows, &labels, &[0.01; 2]).unwrap().to_vec();
    for _ in 0..300 {
        trainer.step(&rows, &labels, &[0.01; 2]).unwrap();
    }
    let evaluated = trainer.evaluate(&rows, &labels).unwrap();
    for (first, last) in first.iter().zip(evaluated) {
        assert!(last.loss < first.loss / 10.0, "{first:?} {last:?}");
        assert_eq!(last.hits, n as u32);
    }
}

#[test]
fn inference_normalises_by_the_running_averages() {
    let shape = HeadShape::new(9, 10, 3);
    let mut initial = Parameters::glorot(shape, 3);
    for (name, factor) in [("bn1.running_mean", 0.1), ("bn2.running_var", 0.3), ("bn1.bias", 0.2)] {
        for (i, value) in initial.tensor_mut(name).unwrap().iter_mut().enumerate() {
            *value += factor * i as f32;
        }
    }
    let rows = 70;
    let data = features(rows, 9, 0.6, 4);
    let rows: Vec<Row<'_>> = data.chunks(9).map(Row::Dense).collect();
    let tensor = |name: &str| initial.tensor(name).unwrap();
    let dense = |x: &[f32], layer: &str| -> Vec<f32> {
        let weight = tensor(&format!("{layer}.weight"));
        let sums = weight.chunks(x.len()).map(|w| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>());
        sums.zip(tensor(&format!("{layer}.bias"))).map(|(sum, b)| sum + b).collect()
    };
    let norm = |x: Vec<f32>, layer: &str| -> Vec<f32> {
        let part = |part: &str| tensor(&format!("{layer}.{part}"));
        let normalise = |(i, x): (usize, f32)| {
            let distance = x.max(0.0) - part("running_mean")[i];
            let normal = distance / (part("running_var")[i] + 1e-3).sqrt();
            normal * part("weight")[i] + part("bias")[i]
        };
        x.into_iter().enumerate().map(normalise).collect()
    };
    for isa in isas() {
        let config = HeadConfig { dropout: vec![0.9; 3], ..HeadConfig::default() };
        let initial = from_ref(&initial);
        let mut trainer = Trainer::with_isa(shape, from_ref(&config), initial, 4, 2, isa).unwrap();
        let logits = trainer.logits(&rows).unwrap();
        for (row, found) in data.chunks(9).zip(logits[0].chunks(3)) {
            let hidden = norm(dense(row, "fc1"), "bn1");
            let hidden = norm(dense(&hidden, "fc2"), "bn2");
            for (found, expected) in found.iter().zip(dense(&hidden, "fc3")) {
                assert!((found - expected).abs() <= 1e-5, "{found} {expected}");
            }
        }
        assert!(trainer.parameters(0) == initial[0], "inference changes nothing");
    }
}

/// Neither label smoothing nor class weights have a part in evaluation, and weights of 1 none in training, but
/// for rounding.
#[test]
fn the_loss_of_evaluation_is_plain() {
    let data = features(16, SHAPE.inputs, 0.3, 1);
    let rows: Vec<Row<'_>> = data.chunks(SHAPE.inputs).map(Row::Dense).collect();
    let labels = labels(16, SHAPE.classes, 1);
    let evenly = HeadConfig { class_weights: vec![1.0; SHAPE.classes], ..HeadConfig::default() };
    let class_weights: Vec<f32> = (0..SHAPE.classes).map(|class| 1.0 + class as f32).collect();
    let heads = [
        HeadConfig::default(),
        evenly,
        HeadConfig { label_smoothing: 0.5, class_weights, ..HeadConfig::default() },
    ];
    for isa in isas() {
        let mut trainer = trainer(SHAPE, &heads, 16, 2, isa);
        let evaluated = trainer.evaluate(&rows, &labels).unwrap();
        assert!(evaluated.iter().all(|result| *result == evaluated[0]), "{evaluated:?}");
        let trained = trainer.step(&rows, &labels, &[1e-3; 3]).unwrap();
        assert!((trained[0].loss - trained[1].loss).abs() < 1e-5, "{trained:?}");
        assert!((trained[0].loss - trained[2].loss).abs() > 1e-3, "{trained:?}");
        assert!(trained.iter().all(|result| result.hits == trained[0].hits), "{trained:?}");
    }
}

#[test]
fn glorot_is_uniform_within_its_bound() {
    let shape = HeadShape::new(512, 128, 10);
    let parameters = Parameters::glorot(shape, 7);
    assert_eq!(parameters, Parameters::glorot(shape, 7));
    for (name, dimensions, values) in parameters.iter() {
        assert_eq!(values.len(), dimensions.iter().product::<usize>(), "{name}");
        let [outputs, inputs] = dimensions[..] else { continue };
        let bound = (6.0 / (inputs + outputs) as f32).sqrt();
        let n = values.len() as f32;
        assert!(values.iter().all(|value| value.abs() <= bound), "{name}");
        let mean = values.iter().sum::<f32>() / n;
        let square = values.iter().map(|v| v * v).sum::<f32>() / n;
        assert!(mean.abs() < 4.0 * bound / (3.0 * n).sqrt(), "{name}: {mean}");
        assert!((square / (bound * bound / 3.0) - 1.0).abs() < 4.0 / n.sqrt(), "{name}: {square}");
    }
    let other = Parameters::glorot(shape, 8);
    assert_ne!(parameters.tensor("fc1.weight"), other.tensor("fc1.weight"));
    assert_ne!(
        parameters.tensor("fc2.weight").unwrap()[..100],
        parameters.tensor("fc3.weight").unwrap()[..100]
    );
    assert_eq!(parameters.tensor("fc4.weight"), None);
}

#[test]
fn large_logits_do_not_overflow() {
    let shape = HeadShape::new(4, 4, 3);
    let mut initial = Parameters::glorot(shape, 1);
    initial.tensor_mut("fc3.bias").unwrap().copy_from_slice(&[3e4, -3e4, 1e4]);
    let config = HeadConfig::default();
    for isa in isas() {
        let initial = from_ref(&initial);
        let mut trainer = Trainer::with_isa(shape, from_ref(&config), initial, 2, 1, isa).unwrap();
        let rows = [&[1.0, 2.0, 3.0, 4.0], &[0.0, 1.0, 0.0, 1.0]].map(|row| Row::Dense(row));
        let result = trainer.step(&rows, &[0, 1], &[1e-3]).unwrap()[0];
        assert!((result.loss - 3e4).abs() < 10.0, "{result:?}");
        assert_eq!(result.hits, 1);
        assert!(trainer.parameters(0).iter().all(|(.., v)| v.iter().all(|v| v.is_finite())));
    }
}

#[test]
fn a_nan_is_reported() {
    let shape = HeadShape::new(19, 9, 3);
    let config = HeadConfig::default();
    for isa in isas() {
        for column in [0, 18] {
            let mut trainer = trainer(shape, from_ref(&config), 2, 1, isa);
            let mut data = features(2, 19, 0.5, 1);
            data[column] = f32::NAN;
            let rows: Vec<Row<'_>> = data.chunks(19).map(Row::Dense).collect();
            let result = trainer.step(&rows, &[0, 1], &[1e-3]).unwrap()[0];
            assert!(result.loss.is_nan(), "column {column}: {result:?}");
            assert_eq!(result.hits, 0);
        }
    }
}

#[test]
fn one_row_is_a_batch() {
    let shape = HeadShape::new(30, 12, 3);
    let config = HeadConfig { dropout: vec![0.2; 3], ..HeadConfig::default() };
    for isa in isas() {
        let mut trainer = trainer(shape, from_ref(&config), 1, 2, isa);
        let data = features(1, 30, 0.5, 1);
        for _ in 0..5 {
            let result = trainer.step(&[Row::Dense(&data)], &[1], &[1e-3]).unwrap()[0];
            assert!(result.loss.is_finite(), "{result:?}");
        }
        let parameters = trainer.parameters(0);
        assert!(parameters.iter().all(|(.., v)| v.iter().all(|v| v.is_finite())));
        assert!(parameters.tensor("bn1.running_var").unwrap().iter().all(|&v| v == 1.0));
        assert!(parameters.tensor("bn1.running_mean").unwrap().iter().any(|&v| v > 0.0));
    }
}

/// Inputs that never occur keep their weights, those that did once go on moving.
#[test]
fn inputs_without_gradient_keep_their_weights() {
    let shape = HeadShape::new(10, 8, 3);
    let config = HeadConfig { seed: 5, ..HeadConfig::default() };
    let mut trainer = trainer(shape, from_ref(&config), 4, 1, Isa::detect());
    let before = trainer.parameters(0);
    let mut data = features(4, 10, 1.0, 1);
    data.chunks_mut(10).for_each(|row| row[3] = 0.0);
    let step = |trainer: &mut Trainer, data: &[f32]| {
        let rows: Vec<Row<'_>> = data.chunks(10).map(Row::Dense).collect();
        trainer.step(&rows, &[0, 1, 2, 0], &[1e-3]).unwrap();
        trainer.parameters(0).tensor("fc1.weight").unwrap().to_vec()
    };
    let first = step(&mut trainer, &data);
    data.chunks_mut(10).for_each(|row| row[4] = 0.0);
    let second = step(&mut trainer, &data);
    let column = |w: &[f32], k| w.chunks(10).map(|row| row[k]).collect::<Vec<_>>();
    let initial = before.tensor("fc1.weight").unwrap();
    assert_eq!(column(initial, 3), column(&second, 3));
    assert_ne!(column(initial, 4), column(&first, 4));
    assert_ne!(column(&first, 4), column(&second, 4));
}

/// Weights decay whether or not a gradient has ever reached them, and biases do not.
#[test]
fn inputs_without_gradient_decay() {
    let shape = HeadShape::new(300, 70, 3);
    let config = HeadConfig { weight_decay: 0.5, seed: 5, ..HeadConfig::default() };
    for isa in isas() {
        let mut trainer = trainer(shape, from_ref(&config), 4, 2, isa);
        let before = trainer.parameters(0);
        let mut data = features(4, shape.inputs, 1.0, 1);
        data.chunks_mut(shape.inputs).for_each(|row| row[3..290].fill(0.0));
        let rows: Vec<Row<'_>> = data.chunks(shape.inputs).map(Row::Dense).collect();
        let rates = [0.01, 0.002, 0.3];
        for rate in rates {
            trainer.step(&rows, &[0, 1, 2, 0], &[rate]).unwrap();
        }
        let after = trainer.parameters(0);
        let [before, after] = [&before, &after].map(|it| it.tensor("fc1.weight").unwrap());
        let mut moved = 0;
        for (index, (&before, &after)) in before.iter().zip(after).enumerate() {
            let decayed = rates.iter().fold(before, |w, rate| w * (1.0 - rate * 0.5) as f32);
            if (3..290).contains(&(index % shape.inputs)) {
                assert_eq!(after, decayed, "weight {index}");
            } else {
                moved += usize::from(after != decayed);
            }
        }
        assert!(moved > 100, "{moved} of 13 x 70 weights");
    }
}

/// A weight that decays for long becomes 0, not a denormal number.
#[test]
fn weights_do_not_become_denormal() {
    let shape = HeadShape::new(9, 8, 3);
    let config = HeadConfig { weight_decay: 90.0, ..HeadConfig::default() };
    for isa in isas() {
        let mut trainer = trainer(shape, from_ref(&config), 4, 1, isa);
        let mut data = features(4, 9, 1.0, 1);
        data.chunks_mut(9).for_each(|row| row[4] = 0.0);
        let rows: Vec<Row<'_>> = data.chunks(9).map(Row::Dense).collect();
        let mut seen = false;
        for _ in 0..60 {
            trainer.step(&rows, &[0, 1, 2, 0], &[0.01]).unwrap();
            let parameters = trainer.parameters(0);
            let weights = parameters.tensor("fc1.weight").unwrap().chunks(9).map(|row| row[4]);
            for weight in weights {
                assert!(weight == 0.0 || weight.abs() > 1e-31, "{weight}");
                seen |= weight == 0.0;
            }
        }
        assert!(seen);
    }
}

/// An input that was active once leaves decaying moments.
#[test]
fn moments_do_not_become_denormal() {
    let shape = HeadShape::new(9, 8, 3);
    let config = HeadConfig { seed: 5, ..HeadConfig::default() };
    for isa in isas() {
        let mut trainer = trainer(shape, from_ref(&config), 4, 1, isa);
        let mut data = features(4, 9, 1.0, 1);
        for _ in 0..1000 {
            let rows: Vec<Row<'_>> = data.chunks(9).map(Row::Dense).collect();
            trainer.step(&rows, &[0, 1, 2, 0], &[1e-3]).unwrap();
            data.chunks_mut(9).for_each(|row| row[4] = 0.0);
        }
        for moments in [trainer.moments(0), trainer.second_moments(0)] {
            let denormal = moments.iter().find(|(.., v)| v.iter().any(|v| v.is_subnormal()));
            assert_eq!(denormal, None);
        }
        let moments = trainer.moments(0);
        let column = moments.tensor("fc1.weight").unwrap().chunks(9).map(|row| row[4]);
        assert!(column.into_iter().all(|m| m == 0.0));
    }
}

/// Each head takes its parameters three times, and each thread that trains whole heads a workspace.
#[test]
fn the_memory_is_that_of_heads_and_workspaces() {
    let shape = HeadShape::new(1000, 128, 10);
    let memory = |heads, batch_size, threads| Trainer::memory(shape, heads, batch_size, threads);
    let head = memory(2, 64, 1) - memory(1, 64, 1);
    assert_eq!(memory(9, 64, 1) - memory(8, 64, 1), head);
    let numbers = 128 * (1000 + 128 + 10);
    // Large tensors fill whole pages of 2 MiB, of which each moment and each value has one.
    assert!((12 * numbers..12 * numbers + (8 << 20)).contains(&head), "{head}");
    // The lists of a batch before and after dropout, and its columns.
    let batch = 64 * (3 * 8 * 1000);
    let beside = memory(1, 64, 1) - head;
    assert!((batch..batch + (16 << 20)).contains(&beside), "{beside}");
    assert_eq!(memory(1, 64, 4), memory(1, 64, 1), "one head is trained by all threads");
    assert!(memory(4, 64, 4) > memory(4, 64, 1) + 3 * (batch * 2 / 3), "one per thread");
    assert!(memory(1, 256, 1) > memory(1, 64, 1));
    let huge = HeadShape { hidden: usize::MAX.into(), ..shape };
    assert_eq!(Trainer::memory(huge, 1, 1, 1), u64::MAX);
}

#[test]
fn what_does_not_fit_is_refused() {
    let shape = HeadShape::new(2, 3, 2);
    let config = HeadConfig::default();
    let initial = || Parameters::glorot(shape, 0);
    let new = |shape, dropout: [f32; 3], initial: &[Parameters], batch, threads| {
        let config = HeadConfig { dropout: Vec::from(dropout), ..HeadConfig::default() };
        Trainer::new(shape, from_ref(&config), initial, batch, threads).unwrap_err()
    };
    let zero = |field| Error::Zero { field };
    let fine = [0.0; 3];
    let one = [initial()];
    for (field, shape) in [
        ("inputs", HeadShape { inputs: 0, ..shape }),
        ("hidden", HeadShape { hidden: 0.into(), ..shape }),
        ("classes", HeadShape { classes: 0, ..shape }),
    ] {
        assert_eq!(new(shape, fine, &one, 1, 1), zero(field));
    }
    assert_eq!(new(shape, fine, &one, 0, 1), zero("batch_size"));
    assert_eq!(new(shape, fine, &one, 1, 0), zero("threads"));
    assert!(matches!(new(shape, fine, &one, 1 << 30, 1), Error::BatchSize { .. }));
    for weight_decay in [-0.1, f64::NAN, f64::INFINITY] {
        let config = HeadConfig { weight_decay, ..HeadConfig::default() };
        let error = Trainer::new(shape, &[config], &one, 1, 1).unwrap_err();
        assert!(matches!(error, Error::WeightDecay { head: 0, .. }), "{error}");
    }
    for mixup in [-0.1, 1001.0, f64::NAN] {
        let config = HeadConfig { mixup, ..HeadConfig::default() };
        let error = Trainer::new(shape, &[config], &one, 1, 1).unwrap_err();
        assert!(matches!(error, Error::Mixup { head: 0, .. }), "{error}");
    }
    for label_smoothing in [-0.1, 1.0, f64::NAN] {
        let config = HeadConfig { label_smoothing, ..HeadConfig::default() };
        let error = Trainer::new(shape, &[config], &one, 1, 1).unwrap_err();
        assert!(matches!(error, Error::LabelSmoothing { head: 0, .. }), "{error}");
    }
    for class_weights in [vec![1.0, -1.0], vec![1.0, f32::NAN], vec![1.0]] {
        let config = HeadConfig { class_weights, ..HeadConfig::default() };
        match Trainer::new(shape, &[config], &one, 1, 1).unwrap_err() {
            Error::ClassWeight { head: 0, class: 1, .. } => {}
            Error::ClassWeightCount { head: 0, weights: 1, classes: 2 } => {}
            other => panic!("{other}"),
        }
    }
    for fraction in [-0.1, 1.0, f32::NAN] {
        let error = new(shape, [0.0, fraction, 0.0], &one, 1, 1);
        assert!(matches!(error, Error::Dropout { head: 0, layer: 1, .. }), "{error}");
    }
    assert_eq!(new(shape, fine, &[], 1, 1), Error::InitialCount { heads: 1, initial: 0 });
    let wide = HeadShape { hidden: 4.into(), ..shape };
    assert_eq!(new(wide, fine, &one, 1, 1), Error::OtherShape { head: 0 });
    assert_eq!(Trainer::new(shape, &[], &[], 1, 1).unwrap_err(), Error::NoHeads);

    let mut trainer = Trainer::new(shape, from_ref(&config), &one, 2, 1).unwrap();
    let row = Row::Dense(&[0.0, 1.0]);
    let rates = &[1e-3];
    let rows = |rows| Error::Rows { rows, batch_size: 2 };
    assert_eq!(trainer.step(&[], &[], rates).unwrap_err(), rows(0));
    assert_eq!(trainer.step(&[row; 3], &[0; 3], rates).unwrap_err(), rows(3));
    let error = trainer.step(&[row, Row::Dense(&[0.0])], &[0; 2], rates).unwrap_err();
    assert_eq!(error, Error::RowLength { row: 1, expected: 2, actual: 1 });
    let error = trainer.step(&[row; 2], &[0], rates).unwrap_err();
    assert_eq!(error, Error::LabelCount { rows: 2, labels: 1 });
    for label in [-1, 2] {
        let error = trainer.step(&[row; 2], &[0, label], rates).unwrap_err();
        assert_eq!(error, Error::Label { row: 1, label, classes: 2 });
    }
    let error = trainer.step(&[row], &[0], &[]).unwrap_err();
    assert_eq!(error, Error::LearningRateCount { heads: 1, rates: 0 });
    assert_eq!(trainer.evaluate(&[], &[]).unwrap_err(), Error::NoRows);
    assert_eq!(trainer.logits(&[]).unwrap_err(), Error::NoRows);
    assert!(matches!(trainer.logits(&[Row::Dense(&[])]).unwrap_err(), Error::RowLength { .. }));
}

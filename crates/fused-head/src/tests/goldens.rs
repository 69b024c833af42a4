//! Against PyTorch in float64 with Keras' constants: `tests/fixtures/make_goldens.py` of the
//! workspace made the files, and `make_training_goldens.py` beside it those of the options.

use std::slice::from_ref;

use safetensors::SafeTensors;

use super::{isas, normed};
use crate::{HeadConfig, HeadShape, Parameters, Row, SoftTargets, Trainer};

/// Largest deviation from the golden, as a fraction of the golden's largest number.
#[track_caller]
fn assert_near(found: &[f32], golden: &[f32], what: &str) {
    assert_eq!(found.len(), golden.len(), "{what}");
    let scale = golden.iter().fold(0.0, |max: f32, g| max.max(g.abs()));
    let deviation = found.iter().zip(golden).fold(0.0, |max: f32, (f, g)| max.max((f - g).abs()));
    assert!(deviation <= 1e-5 * scale, "{what}: {deviation} of {scale}");
}

fn golden_file(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures");
    std::fs::read(format!("{folder}/head-{name}.safetensors")).unwrap()
}

fn floats(goldens: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let bytes = goldens.tensor(name).unwrap().data().as_chunks::<4>().0;
    bytes.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// 2x2, of `[n, channels, 4, 4]`.
fn max_pool(x: &[f32]) -> Vec<f32> {
    let mut pooled = Vec::new();
    for map in x.chunks(16) {
        for (y, x) in [(0, 0), (0, 2), (2, 0), (2, 2)] {
            let at = |dy: usize, dx: usize| -> f32 { map[(y + dy) * 4 + x + dx] };
            pooled.push(at(0, 0).max(at(0, 1)).max(at(1, 0)).max(at(1, 1)));
        }
    }
    pooled
}

#[test]
fn three_steps_equal_pytorchs() {
    let plain = HeadConfig::default;
    let class_weights = || (1..=10).map(|class| class as f32 / 4.0).collect();
    let all_options = HeadConfig {
        weight_decay: 2.0,
        label_smoothing: 0.2,
        class_weights: class_weights(),
        ..plain()
    };
    for (case, hidden, config) in [
        ("fastai", 128, plain()),
        ("keras", 256, plain()),
        ("weight-decay", 24, HeadConfig { weight_decay: 2.0, ..plain() }),
        ("label-smoothing", 24, HeadConfig { label_smoothing: 0.2, ..plain() }),
        ("class-weights", 24, HeadConfig { class_weights: class_weights(), ..plain() }),
        ("all-options", 24, all_options),
        ("soft-targets", 24, plain()),
        ("lesson7", 24, plain()),
    ] {
        let file = golden_file(case);
        let goldens = SafeTensors::deserialize(&file).unwrap();
        let mut shape = HeadShape::new(24, hidden, 10);
        if case == "lesson7" {
            shape = normed(shape, 4);
        }
        let mut initial = Parameters::glorot(shape, 0);
        let names: Vec<_> = initial.iter().map(|(name, ..)| name).collect();
        for name in &names {
            let golden = floats(&goldens, &format!("initial/{name}"));
            initial.tensor_mut(name).unwrap().copy_from_slice(&golden);
        }
        let features = max_pool(&floats(&goldens, "x"));
        let rows: Vec<Row<'_>> = features.chunks(24).map(Row::Dense).collect();
        let labels = goldens.tensor("labels").unwrap().data().as_chunks::<8>().0;
        let labels: Vec<i64> = labels.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect();
        let has_teacher = goldens.tensor("probabilities").is_ok();
        let probabilities = has_teacher.then(|| floats(&goldens, "probabilities"));
        let shares = vec![0.75; rows.len()];
        let soft = probabilities.as_ref().map(|probabilities| SoftTargets {
            probabilities,
            shares: &shares,
            temperature: 3.0,
        });
        for isa in isas() {
            for threads in 1..4 {
                let initial = from_ref(&initial);
                let mut trainer =
                    Trainer::with_isa(shape, from_ref(&config), initial, 8, threads, isa).unwrap();
                for step in 1..=3 {
                    let result = trainer.step_towards(&rows, &labels, soft, &[0.001]).unwrap()[0];
                    if step == 1 {
                        assert_near(&[result.loss], &floats(&goldens, "loss"), "loss");
                        assert_near(&trainer.last_logits(), &floats(&goldens, "logits"), "logits");
                        // The first moment is a tenth of the gradient after the first step.
                        for (name, _, moment) in trainer.moments(0).iter() {
                            if name.contains("running") {
                                continue;
                            }
                            let gradient: Vec<_> = moment.iter().map(|m| m * 10.0).collect();
                            let golden = floats(&goldens, &format!("grad/{name}"));
                            assert_near(&gradient, &golden, &format!("{case} gradient of {name}"));
                        }
                    }
                }
                for (name, _, values) in trainer.parameters(0).iter() {
                    let golden = floats(&goldens, &format!("after3/{name}"));
                    assert_near(values, &golden, &format!("{case} {name} after three steps"));
                }
            }
        }
    }
}

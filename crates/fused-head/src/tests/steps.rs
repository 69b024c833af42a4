//! Steps of heads of all forms and options, and of random ones, against a plain implementation.

use proptest::prelude::*;

use super::{hidden, normed, reference::compare};
use crate::{Activation, HeadConfig, HeadShape, HiddenLayer, HiddenLayers};

#[test]
fn steps_at_odd_sizes_equal_the_reference() {
    for (inputs, hidden, classes) in
        [(1, 1, 1), (3, 7, 2), (8, 8, 8), (13, 130, 11), (300, 64, 10), (521, 72, 17)]
    {
        let shape = HeadShape::new(inputs, hidden, classes);
        let config = HeadConfig { dropout: vec![0.2, 0.3, 0.5], seed: 5, ..HeadConfig::default() };
        compare(shape, &config, &[9, 5, 2, 1], 0.4);
        let class_weights = (0..classes).map(|class| 0.3 + class as f32).collect();
        for config in [
            HeadConfig { weight_decay: 0.3, ..config.clone() },
            HeadConfig { label_smoothing: 0.2, ..config.clone() },
            HeadConfig { class_weights, label_smoothing: 0.1, ..config },
        ] {
            compare(shape, &config, &[9, 5, 2, 1], 0.4);
        }
    }
}

#[test]
fn dense_rows_and_batches_larger_than_usual_equal_the_reference() {
    let shape = HeadShape::new(40, 24, 3);
    compare(shape, &HeadConfig { seed: 6, ..HeadConfig::default() }, &[150, 70], 1.0);
}

#[test]
fn steps_of_every_form_equal_the_reference() {
    let dropout = |layers: usize| (0..layers).map(|layer| 0.1 + 0.1 * layer as f32).collect();
    for (inputs, widths, classes) in [
        (300, &[][..], 10),
        (13, &[], 1),
        (521, &[], 130),
        (300, &[20], 10),
        (40, &[130, 9], 70),
        (270, &[7, 72, 33], 5),
        (40, &[8, 16, 130, 24], 10),
    ] {
        let activations = if widths.is_empty() { &Activation::ALL[..1] } else { &Activation::ALL };
        for &activation in activations {
            for batch_norm in [true, false] {
                let shape = HeadShape::new(inputs, hidden(widths, activation, batch_norm), classes);
                let config = HeadConfig {
                    dropout: dropout(shape.dense_layers()),
                    seed: 5,
                    weight_decay: 0.3,
                    label_smoothing: 0.1,
                    ..HeadConfig::default()
                };
                compare(shape, &config, &[9, 5, 1], 0.4);
                compare(shape, &HeadConfig { seed: 6, ..HeadConfig::default() }, &[9], 0.4);
            }
        }
    }
}

/// Channels of one position and of many, some of them never active, with dropout before the first layer and without.
#[test]
fn steps_of_normalised_inputs_equal_the_reference() {
    for (inputs, positions, widths, classes) in [
        (36, 9, &[16, 16][..], 5),
        (13, 1, &[], 3),
        (600, 4, &[130, 9], 10),
        (520, 40, &[], 70),
        (290, 290, &[20], 2),
    ] {
        for (activation, batch_norm) in [(Activation::Relu, true), (Activation::Tanh, false)] {
            let shape = HeadShape::new(inputs, hidden(widths, activation, batch_norm), classes);
            let shape = normed(shape, positions);
            let layers = shape.dense_layers();
            for (fraction, mixup) in [(0.0, 0.0), (0.15, 0.0), (0.7, 0.4), (0.0, 0.4)] {
                let config = HeadConfig {
                    dropout: vec![fraction; layers],
                    seed: 5,
                    weight_decay: 0.3,
                    mixup,
                    ..HeadConfig::default()
                };
                for density in [0.05, 0.4, 1.0] {
                    compare(shape, &config, &[9, 5, 1], density);
                }
            }
        }
    }
}

/// Rows and labels mixed, with every other option, and without dropout of the inputs.
#[test]
fn mixed_steps_equal_the_reference() {
    for (inputs, widths, classes) in
        [(1, &[7, 7][..], 2), (256, &[8], 8), (300, &[64, 64], 10), (521, &[], 17)]
    {
        let shape = HeadShape::new(inputs, hidden(widths, Activation::Relu, true), classes);
        let class_weights = (0..classes).map(|class| 0.3 + class as f32).collect();
        let plain = HeadConfig { seed: 5, mixup: 0.4, ..HeadConfig::default() };
        let dropout = vec![0.3; shape.dense_layers()];
        for config in [
            plain.clone(),
            HeadConfig { dropout: dropout.clone(), mixup: 3.0, ..plain.clone() },
            HeadConfig { label_smoothing: 0.2, weight_decay: 0.3, ..plain.clone() },
            HeadConfig { class_weights, label_smoothing: 0.1, dropout, ..plain },
        ] {
            for density in [0.05, 0.4, 1.0] {
                compare(shape, &config, &[9, 5, 2, 1], density);
            }
        }
    }
}

proptest! {
    // The same cases every time: a sum that rounds to the other side of 0 would be a false alarm.
    #![proptest_config(ProptestConfig {
        cases: 60,
        rng_seed: prop::test_runner::RngSeed::Fixed(17),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn steps_equal_the_reference(
        (inputs, hidden, classes) in (1usize..600, 1usize..150, 1usize..20),
        dropout in prop::collection::vec(prop_oneof![Just(0.0f32), 0.0f32..0.9], 3),
        batches in prop::collection::vec(1usize..24, 1..3),
        density in 0.0..1.0,
        seed in 0u64..1000,
    ) {
        let config = HeadConfig { dropout, seed, ..HeadConfig::default() };
        compare(HeadShape::new(inputs, hidden, classes), &config, &batches, density);
    }

    #[test]
    fn steps_with_options_equal_the_reference(
        (inputs, hidden, classes) in (1usize..600, 1usize..150, 2usize..20),
        fraction in prop_oneof![Just(0.0f32), 0.0f32..0.9],
        batches in prop::collection::vec(6usize..24, 1..3),
        density in 0.0..1.0,
        seed in 0u64..1000,
        weight_decay in prop_oneof![Just(0.0), 0.0..10.0],
        label_smoothing in prop_oneof![Just(0.0), 0.0..0.9],
        weights in prop_oneof![Just(0), 1usize..6],
    ) {
        // Weights that repeat themselves.
        let class_weights = match weights {
            0 => Vec::new(),
            several => (0..classes).map(|class| 0.5 + (class % several) as f32).collect(),
        };
        let dropout = vec![fraction; 3];
        let options = HeadConfig { weight_decay, label_smoothing, ..HeadConfig::default() };
        let config = HeadConfig { dropout, seed, class_weights, ..options };
        compare(HeadShape::new(inputs, hidden, classes), &config, &batches, density);
    }

    #[test]
    fn steps_of_layers_of_their_own_equal_the_reference(
        (inputs, classes) in (1usize..400, 1usize..80),
        layers in prop::collection::vec((1usize..100, 0..Activation::ALL.len(), any::<bool>()), 0..5),
        dropout in prop::collection::vec(prop_oneof![Just(0.0f32), 0.0f32..0.9], 5),
        batches in prop::collection::vec(1usize..24, 1..3),
        density in 0.0..1.0,
        seed in 0u64..1000,
    ) {
        let layers: Vec<_> = layers
            .into_iter()
            .map(|(width, activation, batch_norm)| {
                HiddenLayer { width, activation: Activation::ALL[activation], batch_norm }
            })
            .collect();
        let shape = HeadShape::new(inputs, HiddenLayers::new(&layers).unwrap(), classes);
        let dropout = dropout[..shape.dense_layers()].to_vec();
        let config = HeadConfig { dropout, seed, ..HeadConfig::default() };
        compare(shape, &config, &batches, density);
    }
}

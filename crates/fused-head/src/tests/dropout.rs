//! The masks' statistics.

use super::{features, isas, labels, trainer};
use crate::{HeadConfig, HeadShape, Row, random::Dropout};

fn mask(fraction: f32, seed: u64, step: u64, layer: usize, row: usize) -> Vec<bool> {
    let dropout = Dropout::new(fraction, seed, step, layer).row(row);
    (0..4608).map(|column| dropout.keeps(column)).collect()
}

fn share(values: impl Iterator<Item = bool>) -> f64 {
    let (mut yes, mut all) = (0.0, 0.0);
    for value in values {
        yes += f64::from(value);
        all += 1.0;
    }
    yes / all
}

#[test]
fn the_fraction_is_kept() {
    for fraction in [0.0, 0.001, 0.1, 0.4, 0.5, 0.8, 0.999] {
        let keep = 1.0 - f64::from(fraction);
        let rows = (0..256).flat_map(|row| mask(fraction, 3, 9, 1, row));
        let deviation = (share(rows) - keep).abs();
        // Five standard deviations.
        let limit = 5.0 * (keep * (1.0 - keep) / (256.0 * 4608.0)).sqrt();
        assert!(deviation <= limit, "{fraction}: {deviation}, at most {limit}");
        let scale = Dropout::new(fraction, 3, 9, 1).scale;
        assert!((f64::from(scale) - 1.0 / keep).abs() < 1e-6 * f64::from(scale));
    }
}

/// Masks that differ in one of seed, step, layer and row agree as often as independent ones, and so
/// do a mask and its shifted self.
#[test]
fn masks_are_independent() {
    for fraction in [0.2, 0.5, 0.8] {
        let independent = f64::from(fraction * fraction + (1.0 - fraction) * (1.0 - fraction));
        let check = |what: &str, pair: &dyn Fn(usize) -> (Vec<bool>, Vec<bool>)| {
            let agreements = (0..200).flat_map(|i| {
                let (a, b) = pair(i);
                a.into_iter().zip(b).map(|(a, b)| a == b).collect::<Vec<_>>()
            });
            let deviation = (share(agreements) - independent).abs();
            let limit = 5.0 * (independent * (1.0 - independent) / (200.0 * 4608.0)).sqrt();
            assert!(deviation <= limit, "{what}, {fraction}: {deviation}, at most {limit}");
        };
        let base = |row| mask(fraction, 3, 9, 1, row);
        check("seeds", &|i| (base(i), mask(fraction, 4, 9, 1, i)));
        check("steps", &|i| (base(i), mask(fraction, 3, 10, 1, i)));
        check("layers", &|i| (base(i), mask(fraction, 3, 9, 2, i)));
        check("rows", &|i| (base(i), base(i + 1)));
        for shift in [1, 2, 8, 64, 256] {
            check("columns", &|i| {
                let (mask, mut shifted) = (base(i), base(i));
                shifted.rotate_left(shift);
                (mask, shifted)
            });
        }
    }
}

/// Every column and every row is kept as often as it should be.
#[test]
fn no_row_or_column_is_special() {
    let masks: Vec<_> = (0..2000).map(|step| mask(0.4, 8, step, 0, 5)).collect();
    let limit = 5.5 * (0.24f64 / 2000.0).sqrt();
    for column in 0..4608 {
        let deviation = (share(masks.iter().map(|mask| mask[column])) - 0.6).abs();
        assert!(deviation <= limit, "column {column}: {deviation}");
    }
    let limit = 5.5 * (0.24f64 / 4608.0).sqrt();
    for mask in masks {
        assert!((share(mask.into_iter()) - 0.6).abs() <= limit);
    }
}

/// The vector's masks are the scalar ones, which the reference test relies on; here at a size where
/// every lane and the rest of a block occurs.
#[test]
fn instruction_sets_drop_the_same() {
    let shape = HeadShape::new(531, 40, 3);
    let config = HeadConfig { dropout: vec![0.5, 0.3, 0.7], seed: 11, ..HeadConfig::default() };
    let data = features(20, shape.inputs, 0.7, 1);
    let rows: Vec<Row<'_>> = data.chunks(shape.inputs).map(Row::Dense).collect();
    let labels = labels(20, shape.classes, 1);
    let mut losses = Vec::new();
    for isa in isas() {
        let mut trainer = trainer(shape, std::slice::from_ref(&config), 20, 1, isa);
        losses.push(trainer.step(&rows, &labels, &[1e-3]).unwrap()[0].loss);
    }
    for loss in &losses {
        assert!((loss - losses[0]).abs() < 1e-5, "{losses:?}");
    }
}

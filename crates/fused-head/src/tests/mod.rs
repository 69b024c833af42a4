//! Whole steps against PyTorch's goldens, a plain `f64` implementation, and themselves with other
//! threads and other heads.

mod dropout;
mod goldens;
mod inference;
mod reference;
mod training;

use crate::{HeadConfig, HeadShape, Parameters, Trainer, isa::Isa, random::Uniform};

/// Both, on a machine that has both.
fn isas() -> Vec<Isa> {
    let mut isas = vec![Isa::Portable];
    if Isa::detect() != Isa::Portable {
        isas.push(Isa::detect());
    }
    isas
}

/// Rows `[rows][inputs]`, a fraction of whose elements are not 0.
fn features(rows: usize, inputs: usize, density: f64, seed: u64) -> Vec<f32> {
    let mut uniform = Uniform::new(seed, 77);
    let mut next = || {
        let present = f64::from(uniform.next(0.5)) + 0.5 < density;
        let value = uniform.next(1.5) + 1.5;
        if present { value } else { 0.0 }
    };
    (0..rows * inputs).map(|_| next()).collect()
}

fn labels(rows: usize, classes: usize, seed: u64) -> Vec<i64> {
    let mut uniform = Uniform::new(seed, 78);
    (0..rows).map(|_| ((f64::from(uniform.next(0.5)) + 0.5) * classes as f64) as i64).collect()
}

fn trainer(
    shape: HeadShape,
    configs: &[HeadConfig],
    batch_size: usize,
    threads: usize,
    isa: Isa,
) -> Trainer {
    let initial: Vec<_> = configs.iter().map(|c| Parameters::glorot(shape, c.seed)).collect();
    Trainer::with_isa(shape, configs, &initial, batch_size, threads, isa).unwrap()
}

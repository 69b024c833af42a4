//! Whole steps against PyTorch's goldens, a plain `f64` implementation, and themselves with other
//! threads and other heads.

mod dropout;
mod forms;
mod goldens;
mod inference;
mod reference;
mod soft;
mod steps;
mod training;

use std::num::NonZeroUsize;

use crate::{
    Activation, HeadConfig, HeadShape, HiddenLayer, HiddenLayers, Parameters, Row, Trainer,
    isa::Isa, random::Uniform,
};

/// Hidden layers of these widths, all with this activation, normalised or not.
fn hidden(widths: &[usize], activation: Activation, batch_norm: bool) -> HiddenLayers {
    let layers: Vec<_> =
        widths.iter().map(|&width| HiddenLayer { width, activation, batch_norm }).collect();
    HiddenLayers::new(&layers).unwrap()
}

/// The same shape with inputs that are normalised over channels of so many positions.
fn normed(shape: HeadShape, positions: usize) -> HeadShape {
    shape.with_input_norm(NonZeroUsize::new(positions).unwrap())
}

/// Both instruction sets, on a machine that has both; else the missing one is named on standard error.
fn isas() -> Vec<Isa> {
    let mut isas = vec![Isa::Portable];
    if Isa::detect() != Isa::Portable {
        isas.push(Isa::detect());
    } else {
        kernel_support::testing::skipped("AVX2, FMA and POPCNT");
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

/// Rows as lists of their elements, with columns in both widths.
struct SparseRows(Vec<(Vec<u16>, Vec<u32>, Vec<f32>)>);

impl SparseRows {
    /// The lists of `[rows][inputs]`. In those of every third row, zeros of both signs are written down.
    fn of(data: &[f32], inputs: usize) -> SparseRows {
        let list = |(row, values): (usize, &[f32])| {
            let elements = (0u32..).zip(values.iter().copied());
            let kept = elements.filter(|&(_, value)| value != 0.0 || row % 3 == 0);
            let (columns, mut values): (Vec<u32>, Vec<f32>) = kept.unzip();
            let zeros = values.iter_mut().filter(|value| **value == 0.0);
            zeros.step_by(2).for_each(|zero| *zero = -0.0);
            (columns.iter().map(|&column| column as u16).collect(), columns, values)
        };
        SparseRows(data.chunks(inputs).enumerate().map(list).collect())
    }

    fn narrow(&self) -> Vec<Row<'_>> {
        let rows = self.0.iter();
        rows.map(|(columns, _, values)| Row::Sparse { columns: columns.as_slice().into(), values })
            .collect()
    }

    fn wide(&self) -> Vec<Row<'_>> {
        let rows = self.0.iter();
        rows.map(|(_, columns, values)| Row::Sparse { columns: columns.as_slice().into(), values })
            .collect()
    }
}

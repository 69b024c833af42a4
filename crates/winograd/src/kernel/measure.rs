//! The register blocks by themselves, to be measured on operands in the first-level cache, and the multiply-adds in
//! registers that they are compared with.

#![allow(unsafe_code)] // Calls kernels.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use crate::{
    buffer::Buffer,
    kernel::{
        isa::Isa,
        microkernel::{Block, PANEL, Target, Update},
        product::PIECE,
    },
    select::present,
};

/// Floats between the ends of two rows of the left factor, as in a layer, where they keep rows from falling into the
/// same sets of the cache.
const ROW_PAD: usize = 16;

/// Repetitions between two looks at the clock, some ten thousand cycles.
const REPETITIONS: usize = 8;

/// The kernels that are measured, of an instruction set. They may be called only on a machine that has it.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    /// The block of each number of rows, from 1 on.
    pub(crate) blocks: &'static [unsafe fn(Block<'_>)],
    /// Multiply-adds in registers alone; it returns how many floats it has multiplied and added.
    pub(crate) peak: unsafe fn(usize) -> usize,
}

/// A register block, on one thread.
#[derive(Clone, Copy)]
pub struct RegisterBlock {
    isa: Isa,
    rows: usize,
}

impl std::fmt::Debug for RegisterBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegisterBlock")
            .field("isa", &self.isa)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl RegisterBlock {
    /// The blocks of all instruction sets that this machine has.
    pub fn all() -> Vec<RegisterBlock> {
        let rows = |isa: Isa| (1..=isa.measured().blocks.len()).map(move |rows| (isa, rows));
        present()
            .into_iter()
            .flat_map(rows)
            .map(|(isa, rows)| RegisterBlock { isa, rows })
            .collect()
    }

    /// `portable`, `avx2` or `avx512`.
    pub fn isa(&self) -> &'static str {
        self.isa.name()
    }

    /// The number of tiles.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of output channels.
    pub fn channels(&self) -> usize {
        PANEL
    }

    /// Whether many tiles are divided into such blocks.
    pub fn is_preferred(&self) -> bool {
        self.rows == self.isa.measured().blocks.len()
    }

    /// Floating-point operations a second of the block, whose operands are a piece of a panel and rows of as many input
    /// channels, and of multiply-adds in registers alone. They take turns for so long.
    pub fn measure(&self, duration: Duration) -> (f64, f64) {
        let Measured { blocks, peak, .. } = self.isa.measured();
        let a_stride = PIECE + ROW_PAD;
        let [a, b, c] = [self.rows * a_stride, PIECE * PANEL, self.rows * PANEL];
        let [a, b, c] = [a, b, c].map(Buffer::<f32>::new);
        let targets = [Target { start: c.pointer(), update: Update::Set }];
        let block = Block {
            depth: PIECE,
            a: a.pointer(),
            a_stride,
            b: b.pointer(),
            targets: &targets,
            offset: 0,
            c_stride: PANEL,
            prefetch: b.pointer(),
            lines: 1,
        };
        let run_block = || {
            for _ in 0..REPETITIONS {
                // SAFETY: the machine has the instruction set, and the buffers have these sizes.
                unsafe { blocks[self.rows - 1](black_box(block)) };
            }
            REPETITIONS * self.rows * PIECE * PANEL
        };
        // SAFETY: the machine has the instruction set.
        let run_peak = || unsafe { peak(REPETITIONS * PIECE) };
        let (mut fastest_block, mut fastest_peak) = (0.0_f64, 0.0_f64);
        let start = Instant::now();
        while start.elapsed() < duration {
            fastest_block = fastest_block.max(rate(run_block));
            fastest_peak = fastest_peak.max(rate(run_peak));
        }
        (fastest_block, fastest_peak)
    }
}

/// Floating-point operations a second; a multiply-add counts as two.
fn rate(run: impl Fn() -> usize) -> f64 {
    let start = Instant::now();
    let multiply_adds = run();
    2.0 * multiply_adds as f64 / start.elapsed().as_secs_f64()
}

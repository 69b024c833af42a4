//! How long the kernels take by themselves; not run by default:
//!
//! ```text
//! cargo test -p winograd --lib speed -- --ignored --nocapture
//! ```

use std::{hint::black_box, time::Instant};

use super::*;
use crate::{
    activation::{Activation, MapLayout},
    product::ProductJob,
    tile::{InputJob, OutputJob, Spectrum, TileGrid},
};

/// The least time in nanoseconds, of many, for one call.
fn least(mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..30 {
        let start = Instant::now();
        for _ in 0..3 {
            run();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / 3.0);
    }
    best
}

/// Nanoseconds for one tile and eight channels, of twelve tiles of 64 channels as in conv1_2.
#[test]
#[ignore = "a measurement, not a test"]
fn transforms() {
    const TILES: usize = 12;
    const CHANNELS: usize = 64;
    println!("{:>4} {:>8} {:>8} {:>8}", "tile", "input", "output", "pooled");
    for kind in TileKind::ALL {
        let kernels = Isa::detect().tile_kernels(kind);
        let grid = TileGrid::new(kind.outputs(), TILES * kind.outputs(), kind.outputs());
        let size = (grid.height, grid.width);
        let frame = kind.frame(size.0, size.1);
        let maps = Activation::new(1, MapLayout::new(size, CHANNELS, frame));
        let slot_stride = CHANNELS + 16;
        let frequency_stride = (TILES * slot_stride).next_multiple_of(1024) + 16;
        let buffer = Buffer::new(kind.products().pow(2) * frequency_stride);
        let spectrum = Spectrum { start: buffer.pointer(), slot_stride, frequency_stride };
        let bias = Buffer::new(CHANNELS);
        let input = InputJob { maps: maps.maps(0), grid, tiles: 0..TILES, spectrum };
        let bias = bias.pointer().cast_const();
        let output = OutputJob { spectrum, tiles: 0..TILES, grid, bias, maps: maps.maps(0) };
        let share = (TILES * CHANNELS / 8) as f64;
        // SAFETY: the maps and the spectrum have room for all tiles of the grid.
        unsafe {
            let ins = least(|| (kernels.input)(black_box(&input))) / share;
            let outs = least(|| (kernels.output)(black_box(&output))) / share;
            let pooled = least(|| (kernels.output_pooled)(black_box(&output))) / share;
            println!("{kind:>4} {ins:>8.1} {outs:>8.1} {pooled:>8.1}");
        }
    }
}

/// Operations a nanosecond of the products of sixteen frequencies, one after the other, for blocks
/// of tiles as the layers of VGG16 have them.
#[test]
#[ignore = "a measurement, not a test"]
fn products() {
    const FREQUENCIES: usize = 16;
    println!("{:>6} {:>9} {:>8}", "tiles", "channels", "GFLOP/s");
    for (tiles, inputs, outputs) in [
        (12usize, 64, 64),
        (18, 64, 128),
        (18, 128, 128),
        (24, 128, 256),
        (48, 256, 256),
        (96, 512, 512),
    ] {
        let slot_stride = inputs.max(outputs) + 16;
        let stride = (tiles * slot_stride).next_multiple_of(1024) + 16;
        let scratch = Buffer::new((FREQUENCIES + 1) * stride);
        let weights = Buffer::new(FREQUENCIES * inputs * outputs);
        let kernels = Isa::detect().kernels();
        let all = least(|| {
            for frequency in 0..FREQUENCIES {
                // SAFETY: the buffers have room for all frequencies, the scratch for one more.
                unsafe {
                    let job = ProductJob {
                        tiles,
                        in_channels: inputs,
                        depth: 256,
                        panels: 0..outputs / 16,
                        v: scratch.pointer().add((frequency + 1) * stride),
                        v_stride: slot_stride,
                        u: weights.pointer().add(frequency * inputs * outputs),
                        m: scratch.pointer().add(frequency * stride),
                        m_stride: slot_stride,
                    };
                    (kernels.product)(black_box(&job));
                }
            }
        });
        let operations = (2 * FREQUENCIES * tiles * inputs * outputs) as f64;
        println!("{tiles:>6} {:>9} {:>8.1}", format!("{inputs}-{outputs}"), operations / all);
    }
}

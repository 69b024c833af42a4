//! Tests of each kernel by itself. A macro instantiates the same tests for every vector. Instruction sets
//! that this processor does not have are named on standard error.
//!
//! The operands are small whole numbers, so every sum is exact in `f32` in any order of additions, and
//! results are compared for equality. Only the first layer, whose transform has fractions, is compared
//! within a bound. All buffers end at a forbidden page.

#![allow(unsafe_code)] // Calls the kernels.

use crate::{
    algorithm::transform::Transform,
    buffer::Buffer,
    config::{IMAGE_CHANNELS, Pooling},
    kernel::{
        feature_map::{Activation, CHANNEL_GROUP, MapLayout, PIXEL_PAD},
        first_layer::{self, FirstLayerJob, Row, STRIP, lines_len},
        global_pool::{self, Partials, RowJob},
        max_pool::{PoolJob, pool},
        microkernel::{self, Block, PANEL, Panel, Target, UNROLL, Update, with_rows},
        output::{self, OutputItem},
        product::{self, ProductJob},
        strassen::{self, sums_len},
    },
    vector::{Portable, Vector},
};

/// Whole numbers from -4 to 4, in another sequence for each seed.
fn number(seed: usize, index: usize) -> f32 {
    (((index + 1) * (2 * seed + 7919)) % 1009 % 9) as f32 - 4.0
}

/// A buffer of such numbers.
fn numbers(seed: usize, len: usize) -> Buffer {
    let values: Vec<f32> = (0..len).map(|index| number(seed, index)).collect();
    Buffer::padded(&values, len)
}

/// Checks every number of rows of a register block, several depths (less than a short sum, several short
/// sums, and with a remainder), every way to update one or two targets, and that nothing beside the block
/// is touched.
fn check_register_blocks<P: Panel>() {
    for rows in 1..=P::ROWS {
        for depth in [UNROLL, 32, 36, 100] {
            let (a_stride, c_stride, offset) = (depth + 3, 2 * PANEL + 5, 2);
            let a = numbers(1, (rows - 1) * a_stride + depth);
            let b = numbers(2, depth * PANEL);
            for updates in [
                &[Update::Set][..],
                &[Update::Add],
                &[Update::Subtract],
                &[Update::Set, Update::Subtract],
            ] {
                let mut targets: Vec<Buffer> =
                    (0..updates.len()).map(|target| numbers(3 + target, rows * c_stride)).collect();
                let at = |(target, &update): (&Buffer, &Update)| Target {
                    start: target.pointer(),
                    update,
                };
                let list: Vec<Target> = targets.iter().zip(updates).map(at).collect();
                let block = Block {
                    depth,
                    a: a.pointer(),
                    a_stride,
                    b: b.pointer(),
                    targets: &list,
                    offset,
                    c_stride,
                    prefetch: b.pointer(),
                    lines: 1,
                };
                // SAFETY: operands and targets of these sizes; the caller has the instruction set.
                unsafe { with_rows!(rows, P, microkernel_block(block)) }
                for (index, (target, &update)) in targets.iter_mut().zip(updates).enumerate() {
                    for (i, &value) in target.as_slice().iter().enumerate() {
                        let (row, column) = (i / c_stride, (i % c_stride).wrapping_sub(offset));
                        let before = number(3 + index, i);
                        let product: f32 = (0..depth)
                            .filter(|_| column < PANEL)
                            .map(|k| number(1, row * a_stride + k) * number(2, k * PANEL + column))
                            .sum();
                        let expected = match update {
                            _ if column >= PANEL => before,
                            Update::Set => product,
                            Update::Add => before + product,
                            Update::Subtract => before - product,
                        };
                        assert_eq!(value, expected, "{rows} rows, depth {depth}, {update:?}, {i}");
                    }
                }
            }
        }
    }
}

/// # Safety
/// As [`microkernel::block`].
#[inline(always)]
unsafe fn microkernel_block<P: Panel, const ROWS: usize>(block: Block<'_>) {
    // SAFETY: the caller's promise.
    unsafe { microkernel::block::<P, ROWS>(block) }
}

/// An element of the product `v u` of a job: `[slot][in_channels]` times `[panel][in_channels][PANEL]`.
fn expected_product(slot: usize, column: usize, in_channels: usize, v_stride: usize) -> f32 {
    let (panel, lane) = (column / PANEL, column % PANEL);
    (0..in_channels)
        .map(|k| {
            number(1, slot * v_stride + k) * number(2, (panel * in_channels + k) * PANEL + lane)
        })
        .sum()
}

/// Checks numbers of slots around every number of register blocks, channels of one and of several pieces of
/// a panel, and jobs with some of the panels.
fn check_products<P: Panel>() {
    for (in_channels, out_channels) in [(16, 16), (48, 64), (272, 32), (528, 16)] {
        let (v_stride, m_stride) = (in_channels + PIXEL_PAD, out_channels + PIXEL_PAD);
        for slots in (1..=26).chain([48, 96]) {
            let v = numbers(1, slots * v_stride);
            let u = numbers(2, in_channels * out_channels);
            let mut m = numbers(3, slots * m_stride);
            let panels = usize::from(out_channels > 32)..out_channels / PANEL;
            let job = ProductJob {
                pairs: 0,
                singles: slots,
                in_channels,
                out_channels,
                panels: panels.clone(),
                v: v.pointer(),
                v_stride,
                u: u.pointer(),
                m: m.pointer(),
                m_stride,
                sums: std::ptr::null_mut(),
            };
            // SAFETY: operands of these sizes; the caller has the instruction set.
            unsafe { product::product::<P>(&job) }
            for (i, &value) in m.as_slice().iter().enumerate() {
                let (slot, column) = (i / m_stride, i % m_stride);
                let expected = if panels.contains(&(column / PANEL)) {
                    expected_product(slot, column, in_channels, v_stride)
                } else {
                    number(3, i)
                };
                assert_eq!(value, expected, "{in_channels}-{out_channels}, {slots} slots, {i}");
            }
        }
    }
}

/// Checks that the products of pairs and single tiles equal those with the plain weights.
fn check_strassens_products<S: Vector, P: Panel>() {
    for (in_channels, out_channels) in [(32, 32), (64, 96), (544, 32)] {
        let (v_stride, m_stride) = (in_channels + PIXEL_PAD, out_channels + PIXEL_PAD);
        let (half, panels) = (in_channels / 2, out_channels / 2 / PANEL);
        let plain =
            |k: usize, o: usize| number(2, (o / PANEL * in_channels + k) * PANEL + o % PANEL);
        let mut factors = vec![0.0; panels * strassen::PRODUCTS * half * PANEL];
        for panel in 0..panels {
            for k in 0..half {
                for lane in 0..PANEL {
                    let o = panel * PANEL + lane;
                    let row = |k| [plain(k, o), plain(k, out_channels / 2 + o)].map(f64::from);
                    let ([b11, b12], [b21, b22]) = (row(k), row(half + k));
                    let right = [b11 + b22, b12 - b22, b21 - b11, b22, b21 + b22, b11, b11 + b12];
                    for (index, value) in right.into_iter().enumerate() {
                        let product = panel * strassen::PRODUCTS + index;
                        factors[(product * half + k) * PANEL + lane] = value as f32;
                    }
                }
            }
        }
        let u = Buffer::padded(&factors, factors.len());
        for (pairs, singles) in [(1, 0), (3, 1), (8, 0), (13, 2), (0, 5), (24, 24)] {
            let rows = pairs + singles;
            let v = numbers(1, 2 * rows * v_stride);
            let mut m = numbers(3, 2 * rows * m_stride);
            let sums = Buffer::<f32>::new(sums_len(rows, in_channels));
            let job = ProductJob {
                pairs,
                singles,
                in_channels,
                out_channels,
                panels: 0..panels,
                v: v.pointer(),
                v_stride,
                u: u.pointer(),
                m: m.pointer(),
                m_stride,
                sums: sums.pointer(),
            };
            // SAFETY: operands of these sizes; the caller has the instruction set.
            unsafe { strassen::strassen::<S, P>(&job) }
            for (i, &value) in m.as_slice().iter().enumerate() {
                let (slot, column) = (i / m_stride, i % m_stride);
                // The lower slots of single tiles are empty.
                let tile = slot < rows + pairs;
                if tile && column < out_channels {
                    let expected = expected_product(slot, column, in_channels, v_stride);
                    assert_eq!(value, expected, "{in_channels}-{out_channels}, {pairs}+{singles}");
                } else if column >= out_channels {
                    assert_eq!(value, number(3, i), "{in_channels}-{out_channels}, beside a row");
                }
            }
        }
    }
}

/// Checks images of every width up to some tiles, strip by strip, against the definition.
fn check_first_layer<P: Panel>() {
    for (height, width) in (1..=19).map(|width| (3, width)).chain([(1, 40), (7, 33)]) {
        let out_channels = 32;
        let layout = MapLayout::new((height, width), out_channels, (0, 0));
        let map = Activation::new(1, 0, 0, layout);
        let image = numbers(1, IMAGE_CHANNELS * height * width);
        let weight = |o: usize, c: usize, y: usize, x: usize| {
            number(2, ((o * IMAGE_CHANNELS + c) * 3 + y) * 3 + x)
        };
        let mut weights = vec![0.0; out_channels * 3 * IMAGE_CHANNELS * Row::A];
        for o in 0..out_channels {
            for y in 0..3 {
                for c in 0..IMAGE_CHANNELS {
                    let row = Row::weight(&[0, 1, 2].map(|x| Portable([weight(o, c, y, x)])));
                    for (frequency, value) in row.into_iter().enumerate().take(Row::A) {
                        let row = (o / PANEL * 3 + y) * IMAGE_CHANNELS + c;
                        weights[(row * Row::A + frequency) * PANEL + o % PANEL] = value.0[0];
                    }
                }
            }
        }
        let weights = Buffer::padded(&weights, weights.len());
        let bias = numbers(3, out_channels);
        let lines = Buffer::<f32>::new(lines_len(width));
        for first in (0..height).step_by(STRIP) {
            let job = FirstLayerJob {
                image: image.pointer(),
                rows: first..height.min(first + STRIP),
                lines: lines.pointer(),
                weights: weights.pointer(),
                bias: bias.pointer(),
                maps: map.maps(0..1),
                window_rows: 3,
                channels: IMAGE_CHANNELS,
            };
            // SAFETY: operands of these sizes; the caller has the instruction set.
            unsafe { first_layer::first_layer::<P>(&job) }
        }
        for y in 0..height {
            for x in 0..width {
                for o in 0..out_channels {
                    let mut sum = number(3, o);
                    for (c, dy, dx) in (0..27).map(|i| (i / 9, i / 3 % 3, i % 3)) {
                        let (py, px) = (y + dy, x + dx);
                        if (1..=height).contains(&py) && (1..=width).contains(&px) {
                            let pixel = number(1, (c * height + py - 1) * width + px - 1);
                            sum += weight(o, c, dy, dx) * pixel;
                        }
                    }
                    // SAFETY: a pixel of the map.
                    let value = unsafe { *map.maps(0..1).pixel(0, y, x).add(o) };
                    let error = (value - sum.max(0.0)).abs();
                    assert!(error <= 1e-3, "{height}x{width}, ({y}, {x}), channel {o}: {error}");
                }
            }
        }
    }
}

/// Checks maps with even and odd sides, and with NaN.
fn check_max_pool<S: Vector>() {
    for (height, width) in [(2, 2), (4, 6), (5, 7)] {
        let channels = 48;
        let map = |size| Activation::new(1, 0, 0, MapLayout::new(size, channels, (0, 0)));
        let (from, to) = (map((height, width)), map((height / 2, width / 2)));
        let (from, to) = (from.maps(0..1), to.maps(0..1));
        let value = |y: usize, x: usize, c: usize| match (y * width + x) * channels + c {
            i if i % 41 == 0 => f32::NAN,
            i => number(1, i),
        };
        for (y, x) in (0..height * width).map(|i| (i / width, i % width)) {
            for c in 0..channels {
                // SAFETY: a pixel of the map.
                unsafe { *from.pixel(0, y, x).add(c) = value(y, x, c) }
            }
        }
        for row in 0..height / 2 {
            // SAFETY: maps of these sizes; the caller has the instruction set.
            unsafe { pool::<S>(&PoolJob { from, to, image: 0, row }) }
        }
        for (y, x) in (0..(height / 2) * (width / 2)).map(|i| (i / (width / 2), i % (width / 2))) {
            for c in 0..channels {
                let four = [(0, 0), (0, 1), (1, 0), (1, 1)]
                    .map(|(dy, dx)| value(2 * y + dy, 2 * x + dx, c));
                // SAFETY: a pixel of the map.
                let pooled = unsafe { *to.pixel(0, y, x).add(c) };
                if four.iter().any(|value| value.is_nan()) {
                    assert!(pooled.is_nan());
                } else {
                    assert_eq!(pooled, four.into_iter().fold(f32::NEG_INFINITY, f32::max));
                }
            }
        }
    }
}

/// Whole maps, of pixels and channels that fill the last line and the last group and of others, of the second
/// image, in two pieces of rows. Nothing beside the output is touched.
fn check_outputs<S: Vector>() {
    for (height, width, channels) in [(1, 1, 16), (4, 8, 48), (5, 7, 20), (3, 11, 3), (6, 6, 33)] {
        let layout = MapLayout::new((height, width), channels, (0, 0));
        let all = Activation::new(2, 0, 0, layout);
        let maps = all.maps(0..2);
        let pixels = height * width;
        let value = |pixel: usize, c: usize| number(1, pixel * channels + c);
        for pixel in 0..pixels {
            for c in 0..channels {
                // SAFETY: a pixel of the map.
                unsafe { *maps.pixel(1, pixel / width, pixel % width).add(c) = value(pixel, c) }
            }
        }
        let mut to = numbers(2, channels * pixels);
        for first in (0..channels).step_by(CHANNEL_GROUP) {
            for rows in [0..height / 2, height / 2..height] {
                let item = OutputItem {
                    maps: maps.channels(first, CHANNEL_GROUP),
                    image: 1,
                    rows,
                    channels: CHANNEL_GROUP.min(channels - first),
                    to: to.pointer().wrapping_add(first * pixels),
                };
                // SAFETY: a map and an output of these sizes; the caller has the instruction set.
                unsafe { output::write::<S>(&item) }
            }
        }
        for (i, &found) in to.as_slice()[..channels * pixels].iter().enumerate() {
            let expected = value(i % pixels, i / pixels);
            assert_eq!(found, expected, "{height}x{width}, {channels}, {i}");
        }
    }
}

/// Global pools of the rows of a map, with NaN in some channels. The map has no negative values.
fn check_global_pools<S: Vector>() {
    for (height, width, channels) in [(1, 1, 16), (4, 8, 64), (5, 7, 20), (3, 11, 3), (6, 6, 97)] {
        let layout = MapLayout::new((height, width), channels, (0, 0));
        let map = Activation::new(1, 0, 0, layout);
        let maps = map.maps(0..1);
        let pixels = height * width;
        let value = |pixel: usize, c: usize| match pixel * channels + c {
            i if i % 131 == 130 => f32::NAN,
            i => number(1, i).abs(),
        };
        for pixel in 0..pixels {
            for c in 0..channels {
                // SAFETY: a pixel of the map.
                unsafe { *maps.pixel(0, pixel / width, pixel % width).add(c) = value(pixel, c) }
            }
        }
        let sums = Buffer::<f32>::new(Partials::len(height, layout.channels));
        let partials = Partials::new(sums.pointer(), layout.channels);
        for row in 0..height {
            let job = RowJob { maps, image: 0, row, sum: partials.part(row) };
            // SAFETY: a row of the map, and partial results of this size; the caller has the instruction set.
            unsafe { global_pool::fold_row::<S>(&job) }
        }
        for pooling in [Pooling::Max, Pooling::Avg] {
            let mut to = numbers(2, channels);
            let job = global_pool::PoolJob {
                partials,
                parts: height,
                pixels,
                pooling,
                channels,
                to: to.pointer(),
            };
            // SAFETY: these are all parts, and the output has a value for each channel.
            unsafe { global_pool::pool(&job) }
            for (c, &found) in to.as_slice()[..channels].iter().enumerate() {
                let of = (0..pixels).map(|pixel| value(pixel, c));
                // Sums of whole numbers are exact.
                let expected = match pooling {
                    Pooling::Avg => (f64::from(of.clone().sum::<f32>()) / pixels as f64) as f32,
                    _ => of.clone().fold(f32::NEG_INFINITY, f32::max),
                };
                if of.clone().any(f32::is_nan) {
                    assert!(found.is_nan(), "{height}x{width}, {channels}, {pooling:?}, {c}");
                } else {
                    assert_eq!(found, expected, "{height}x{width}, {channels}, {pooling:?}, {c}");
                }
            }
        }
    }
}

/// The tests of all kernels for one instruction set, compiled as the kernels are.
macro_rules! kernel_tests {
    ($module:ident, $vector:ty, $panel:ty, $name:literal, $present:expr $(, #[$attribute:meta])?) => {
        mod $module {
            use super::*;

            kernel_tests! { @each $name, $present $(, #[$attribute])?;
                register_blocks_multiply => check_register_blocks::<$panel>();
                products_multiply => check_products::<$panel>();
                strassens_products_are_the_plain_ones =>
                    check_strassens_products::<$vector, $panel>();
                the_first_layer_convolves => check_first_layer::<$panel>();
                a_max_pool_takes_the_largest => check_max_pool::<$vector>();
                outputs_are_the_maps => check_outputs::<$vector>();
                global_pools_fold_rows => check_global_pools::<$vector>();
            }
        }
    };
    (@each $name:literal, $present:expr, #[$attribute:meta]; $($test:ident => $check:expr;)*) => {
        $(
            #[test]
            fn $test() {
                #[$attribute]
                fn run() {
                    $check
                }
                if $present {
                    // SAFETY: the instruction set is present.
                    unsafe { run() }
                } else {
                    kernel_support::testing::skipped($name);
                }
            }
        )*
    };
    (@each $name:literal, $present:expr; $($test:ident => $check:expr;)*) => {
        $(
            #[test]
            fn $test() {
                $check
            }
        )*
    };
}

mod portable_vectors {
    use super::*;
    use crate::vector::Pair;

    kernel_tests!(eight, Portable<8>, Pair<Portable<8>>, "plain Rust", true);
    kernel_tests!(sixteen, Portable<16>, Portable<16>, "plain Rust", true);
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::*;
    use crate::vector::{Avx2, Avx512, Pair};

    kernel_tests!(
        avx2,
        Avx2,
        Pair<Avx2>,
        "AVX2 and FMA",
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        #[target_feature(enable = "avx2,fma")]
    );
    kernel_tests!(
        avx512,
        Avx512,
        Avx512,
        "AVX-512F",
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma"),
        #[target_feature(enable = "avx512f,avx2,fma")]
    );
}

//! The weights in the form that the kernels read: transformed, and packed in panels of output channels.

#![allow(unsafe_code)] // Threads fill disjoint parts of a buffer.

use crate::{
    algorithm::{
        tile_kind::TileKind,
        transform::{MAX_SIDE, Transform},
    },
    buffer::Buffer,
    config::{ConvLayer, IMAGE_CHANNELS},
    kernel::{feature_map::CHANNEL_GROUP, first_layer::Row, microkernel::PANEL, strassen},
    run::team::Team,
};

/// A layer's weights in the frequency domain, `[frequency][panel][in_channel][PANEL]`, with zeros in the
/// channels that fill up the last group. They are computed in float64 and rounded once.
pub(crate) fn transform(layer: &ConvLayer<'_>, kind: TileKind, threads: usize) -> Buffer {
    let in_channels = layer.in_channels.next_multiple_of(CHANNEL_GROUP);
    let panels = layer.out_channels.div_ceil(PANEL);
    let frequencies = kind.products().pow(2);
    let buffer = Buffer::new(frequencies * panels * in_channels * PANEL);
    for_each_panel(threads, panels, |panel| {
        for c in 0..layer.in_channels {
            let spectra = spectra(layer, kind, panel, c);
            for frequency in 0..frequencies {
                let values = spectra.each_ref().map(|spectrum| spectrum[frequency] as f32);
                let at = ((frequency * panels + panel) * in_channels + c) * PANEL;
                // SAFETY: within the buffer, and in a panel that no other thread takes.
                unsafe { write(&buffer, at, values) }
            }
        }
    });
    buffer
}

/// The right factors of [Strassen's algorithm](crate::kernel::strassen) in the frequency domain,
/// `[frequency][panel of a half][product][in_channel of a half][PANEL]`.
pub(crate) fn strassen(layer: &ConvLayer<'_>, kind: TileKind, threads: usize) -> Buffer {
    let half = layer.in_channels / 2;
    let panels = layer.out_channels / 2 / PANEL;
    let frequencies = kind.products().pow(2);
    let buffer = Buffer::new(frequencies * panels * strassen::PRODUCTS * half * PANEL);
    for_each_panel(threads, panels, |panel| {
        for c in 0..half {
            let of = |c: usize| [panel, panels + panel].map(|panel| spectra(layer, kind, panel, c));
            let (upper, lower) = (of(c), of(half + c));
            for frequency in 0..frequencies {
                let mut products = [[0.0; PANEL]; strassen::PRODUCTS];
                for lane in 0..PANEL {
                    let row = |half: &[Spectra; 2]| half.each_ref().map(|s| s[lane][frequency]);
                    let right = strassen::right([row(&upper), row(&lower)]);
                    for (values, value) in products.iter_mut().zip(right) {
                        values[lane] = value as f32;
                    }
                }
                for (index, values) in products.into_iter().enumerate() {
                    let product = (frequency * panels + panel) * strassen::PRODUCTS + index;
                    // SAFETY: as above.
                    unsafe { write(&buffer, (product * half + c) * PANEL, values) }
                }
            }
        }
    });
    buffer
}

/// The frequencies of the weights between one input channel and each output channel of a panel.
type Spectra = [[f64; MAX_SIDE * MAX_SIDE]; PANEL];

fn spectra(layer: &ConvLayer<'_>, kind: TileKind, panel: usize, c: usize) -> Spectra {
    let mut spectra = [[0.0; MAX_SIDE * MAX_SIDE]; PANEL];
    let channels = panel * PANEL..layer.out_channels.min((panel + 1) * PANEL);
    for (spectrum, o) in spectra.iter_mut().zip(channels) {
        let at = (o * layer.in_channels + c) * 9;
        let kernel = layer.weight[at..at + 9].try_into().expect("nine weights");
        kind.weights(kernel, spectrum);
    }
    spectra
}

/// Calls `work` for each panel, on `threads` threads.
fn for_each_panel(threads: usize, panels: usize, work: impl Fn(usize) + Sync) {
    Team::run(threads, |worker| {
        for panel in worker.items(panels) {
            work(panel);
        }
    });
}

/// # Safety
/// The buffer has room at `at`, and no other thread touches it.
unsafe fn write(buffer: &Buffer, at: usize, values: [f32; PANEL]) {
    // SAFETY: the caller's promise.
    unsafe { buffer.pointer().add(at).copy_from_nonoverlapping(values.as_ptr(), PANEL) }
}

/// The first layer's weights, transformed along the rows, `[panel][row][in_channel][frequency][PANEL]`.
pub(crate) fn first_layer(layer: &ConvLayer<'_>) -> Buffer {
    let panels = layer.out_channels.div_ceil(PANEL);
    let mut values = vec![0.0; panels * 3 * IMAGE_CHANNELS * Row::A * PANEL];
    for o in 0..layer.out_channels {
        for c in 0..IMAGE_CHANNELS {
            for y in 0..3 {
                let at = (o * IMAGE_CHANNELS + c) * 9 + 3 * y;
                let row = Row::weight([0, 1, 2].map(|x| f64::from(layer.weight[at + x])));
                for (frequency, value) in row.iter().enumerate().take(Row::A) {
                    let index = ((o / PANEL * 3 + y) * IMAGE_CHANNELS + c) * Row::A + frequency;
                    values[index * PANEL + o % PANEL] = *value as f32;
                }
            }
        }
    }
    Buffer::padded(&values, values.len())
}

/// The biases, with zeros for the channels that fill up the last group.
pub(crate) fn bias(layer: &ConvLayer<'_>) -> Buffer {
    Buffer::padded(layer.bias, layer.out_channels.next_multiple_of(CHANNEL_GROUP))
}

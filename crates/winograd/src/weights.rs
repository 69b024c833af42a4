//! The weights as the kernels read them: transformed, and packed in panels of output channels.

#![allow(unsafe_code)] // Threads fill disjoint parts of a buffer.

use crate::{
    activation::CHANNEL_GROUP,
    buffer::Buffer,
    direct::{IMAGE_CHANNELS, TAPS},
    kind::TileKind,
    microkernel::PANEL,
    network::ConvLayer,
    team::Team,
    transform::MAX_SIDE,
};

/// A layer's weights in the frequency domain, `[frequency][panel][in_channel][PANEL]`, and zero in
/// the channels that fill up the last group. Computed in float64: they are rounded once.
pub(crate) fn transform(layer: &ConvLayer<'_>, kind: TileKind, threads: usize) -> Buffer {
    let in_channels = layer.in_channels.next_multiple_of(CHANNEL_GROUP);
    let panels = layer.out_channels.div_ceil(PANEL);
    let frequencies = kind.products().pow(2);
    let buffer = Buffer::new(frequencies * panels * in_channels * PANEL);
    Team::run(threads, |member| {
        loop {
            let panel = member.take();
            if panel >= panels {
                break;
            }
            let channels = panel * PANEL..layer.out_channels.min((panel + 1) * PANEL);
            for c in 0..layer.in_channels {
                let mut lanes = [[0.0f32; PANEL]; MAX_SIDE * MAX_SIDE];
                for (lane, o) in channels.clone().enumerate() {
                    let at = (o * layer.in_channels + c) * 9;
                    let kernel = layer.weight[at..at + 9].try_into().expect("nine weights");
                    let mut spectrum = [0.0; MAX_SIDE * MAX_SIDE];
                    kind.weights(kernel, &mut spectrum);
                    for (values, value) in lanes.iter_mut().zip(spectrum) {
                        values[lane] = value;
                    }
                }
                for (frequency, values) in lanes.iter().enumerate().take(frequencies) {
                    let at = ((frequency * panels + panel) * in_channels + c) * PANEL;
                    // SAFETY: within the buffer, and in a panel that no other thread takes.
                    unsafe {
                        buffer.pointer().add(at).copy_from_nonoverlapping(values.as_ptr(), PANEL);
                    }
                }
            }
        }
    });
    buffer
}

/// The first layer's weights, `[panel][row][column][in_channel][PANEL]`.
pub(crate) fn direct(layer: &ConvLayer<'_>) -> Buffer {
    let panels = layer.out_channels.div_ceil(PANEL);
    let mut values = vec![0.0; panels * TAPS * PANEL];
    for o in 0..layer.out_channels {
        for c in 0..IMAGE_CHANNELS {
            for position in 0..9 {
                let tap = position * IMAGE_CHANNELS + c;
                values[(o / PANEL * TAPS + tap) * PANEL + o % PANEL] =
                    layer.weight[(o * IMAGE_CHANNELS + c) * 9 + position];
            }
        }
    }
    Buffer::padded(&values, values.len())
}

/// The biases, with zeros for the channels that fill up the last group.
pub(crate) fn bias(layer: &ConvLayer<'_>) -> Buffer {
    Buffer::padded(layer.bias, layer.out_channels.next_multiple_of(CHANNEL_GROUP))
}

//! A stopwatch for each thread, for profiles. It costs nothing while it is off.

use std::time::{Duration, Instant};

/// The time spent in one layer, summed over the threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerTimes {
    /// Transforming inputs, unless the layer before in a chain has done so.
    pub input: Duration,
    /// Matrix products, or all of the first layer.
    pub products: Duration,
    /// Transforming back, with bias, ReLU and pool, and in a chain transforming the next layer's inputs.
    pub output: Duration,
    /// Waiting for the other threads.
    pub wait: Duration,
}

impl LayerTimes {
    /// The sum of all parts.
    pub fn total(&self) -> Duration {
        self.input + self.products + self.output + self.wait
    }
}

/// Parts of a layer's work.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Input,
    Products,
    Output,
    Wait,
}

/// One thread's stopwatch.
pub(crate) struct Clock {
    last: Option<Instant>,
    layers: Vec<LayerTimes>,
}

impl Clock {
    /// A clock that ignores all calls unless it is `running`.
    pub(crate) fn new(layers: usize, running: bool) -> Clock {
        let layers = if running { layers } else { 0 };
        Clock { last: running.then(Instant::now), layers: vec![LayerTimes::default(); layers] }
    }

    /// Adds the time since the last call to a part of a layer.
    #[inline]
    pub(crate) fn lap(&mut self, layer: usize, part: Part) {
        if let Some(last) = self.last {
            let now = Instant::now();
            let times = &mut self.layers[layer];
            let time = match part {
                Part::Input => &mut times.input,
                Part::Products => &mut times.products,
                Part::Output => &mut times.output,
                Part::Wait => &mut times.wait,
            };
            *time += now - last;
            self.last = Some(now);
        }
    }

    /// Adds this clock's times to `sums`.
    pub(crate) fn add_to(&self, sums: &mut [LayerTimes]) {
        for (sum, times) in sums.iter_mut().zip(&self.layers) {
            sum.input += times.input;
            sum.products += times.products;
            sum.output += times.output;
            sum.wait += times.wait;
        }
    }
}

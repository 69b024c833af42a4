//! The forward pass of a network: its stages on the threads of a team, one image or many at a time.

#![allow(unsafe_code)] // Shares buffers between threads.

use std::{
    ops::Range,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{
    config::IMAGE_CHANNELS,
    error::Error,
    kernel::feature_map::Activation,
    plan::schedule::{Schedule, Stage},
    run::{
        bands::Bands,
        clock::{Clock, LayerTimes, Part},
        execute,
        layer::LayerBuffers,
        network::Network,
        taps::TapTargets,
        team::{Team, Worker},
    },
};

/// The time of a forward pass, by layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The time from call to return.
    pub elapsed: Duration,
    /// The number of threads that took part.
    pub threads: usize,
    /// The time of each layer, summed over the threads.
    pub layers: Vec<LayerTimes>,
}

impl Network {
    /// Computes the outputs of the images `[n, 3, height, width]`, for `n` from 1 to the
    /// configuration's batch size. There is one slice per tap, `[n, channels, height, width]`, or
    /// `[n, channels]` where it is pooled globally. Everything is in C order.
    ///
    /// # Errors
    /// If the number of images is 0 or more than the batch size, or the lengths of the slices do not match
    /// it.
    pub fn forward(&mut self, images: &[f32], outputs: &mut [&mut [f32]]) -> Result<(), Error> {
        self.run(images, outputs, false).map(|_| ())
    }

    /// As [`forward`](Self::forward), and returns the time of each layer.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_profiled(
        &mut self,
        images: &[f32],
        outputs: &mut [&mut [f32]],
    ) -> Result<Profile, Error> {
        self.run(images, outputs, true)
    }

    fn run(
        &mut self,
        images: &[f32],
        outputs: &mut [&mut [f32]],
        profiled: bool,
    ) -> Result<Profile, Error> {
        let start = Instant::now();
        let image = IMAGE_CHANNELS * self.config.height * self.config.width;
        if images.is_empty() || !images.len().is_multiple_of(image) {
            return Err(Error::InputLength { image, actual: images.len() });
        }
        let n = images.len() / image;
        if n > self.config.batch_size {
            return Err(Error::BatchTooLarge { images: n, batch_size: self.config.batch_size });
        }
        if outputs.len() != self.shapes.len() {
            let (expected, actual) = (self.shapes.len(), outputs.len());
            return Err(Error::OutputCount { expected, actual });
        }
        for (index, (output, shape)) in outputs.iter().zip(&self.shapes).enumerate() {
            let (expected, actual) = (n * shape.len(), output.len());
            if actual != expected {
                return Err(Error::OutputLength { output: index, expected, actual });
            }
        }

        let chunks = n.div_ceil(self.plan.chunk);
        let threads = self.config.threads;
        let part = |chunk: usize| chunk * n / chunks..(chunk + 1) * n / chunks;
        for chunk in 0..chunks {
            self.prepare(part(chunk).len());
        }
        let network = &*self;
        let outputs: Vec<*mut f32> = outputs.iter_mut().map(|output| output.as_mut_ptr()).collect();
        let pass = Pass { images: images.as_ptr(), outputs: &outputs, first: 0, count: n };
        let times = Mutex::new(vec![LayerTimes::default(); self.layers.len()]);
        Team::run(threads, |worker| {
            let mut clock = Clock::new(network.layers.len(), profiled);
            for chunk in 0..chunks {
                let range = part(chunk);
                let pass = pass.part(range.clone());
                // SAFETY: the slices hold `n` images and outputs and are borrowed for the whole
                // call, the chunk has no more images than the maps, and `&mut self` keeps other
                // calls out. Every thread runs this with the same arguments.
                unsafe { network.chunk(worker, pass, range.len(), &mut clock) }
            }
            clock.add_to(&mut times.lock().expect("no holder of the lock panics"));
        });
        let layers = times.into_inner().expect("no holder of the lock panics");
        Ok(Profile { elapsed: start.elapsed(), threads, layers })
    }

    /// A forward pass of at most as many images as the maps have room for.
    ///
    /// # Safety
    /// The slices of the pass hold that many images and outputs. Exactly the threads of the team run this
    /// network at the same time, with the same arguments.
    unsafe fn chunk(&self, worker: Worker<'_>, pass: Pass<'_>, images: usize, clock: &mut Clock) {
        let schedule = Schedule::new(&self.plan, images, worker.team_size());
        let solo = Team::solo();
        let alone = worker.alone(&solo);
        let mut share = schedule.share(worker.index);
        let mut runs = schedule.runs().peekable();
        while let Some(stages) = runs.next() {
            let end = stages[stages.len() - 1].layers.end - 1;
            // SAFETY: threads apart have images of their own, and maps of their own within the run. The
            // inputs and outputs of the run lie at the image's index in the chunk.
            let mut through = |team: Worker<'_>, range: Range<usize>| unsafe {
                self.through(team, stages, range.clone(), range.start, pass, clock);
            };
            if !stages[0].apart {
                through(worker, 0..images);
                continue;
            }
            if stages[0].early {
                for image in worker.items_in_order(images) {
                    through(alone, image..image + 1);
                }
                if runs.peek().is_some_and(|next| next[0].apart) {
                    // Shares are taken in order, since the last image is ready last.
                    share = schedule.share(worker.order());
                    worker.wait_for_items(share.end);
                    clock.lap(end, Part::Wait);
                    continue;
                }
            } else {
                through(alone, share.clone());
            }
            worker.wait_and_steal(|layer| match layer {
                None => clock.lap(end, Part::Wait),
                Some(layer) => clock.lap(layer, Part::Products),
            });
            clock.lap(end, Part::Wait);
        }
    }

    /// Takes images through some stages. The last stage leaves its maps at the indices from `to`. As many
    /// images as the last stage takes at a time go through the stages before it, which take fewer of them
    /// at a time, and then through the last stage.
    ///
    /// # Safety
    /// As [`chunk`](Self::chunk), for the threads of the team. The stages follow each other in a run.
    unsafe fn through(
        &self,
        worker: Worker<'_>,
        stages: &[Stage],
        images: Range<usize>,
        to: usize,
        pass: Pass<'_>,
        clock: &mut Clock,
    ) {
        let Some((stage, before)) = stages.split_last() else { return };
        let image = IMAGE_CHANNELS * self.config.height * self.config.width;
        let within = stage.first_map(worker.index);
        for start in images.clone().step_by(stage.images) {
            let range = start..images.end.min(start + stage.images);
            // SAFETY: each call runs a layer on maps of its own size. `Activation::maps` checks that they
            // have room for these images.
            unsafe {
                self.through(worker, before, range.clone(), within, pass, clock);
                let image = pass.image(image, start);
                let last_to = to + start - images.start;
                for layers in &stage.groups {
                    let (first, last) = (layers.start, layers.end - 1);
                    let enters = first == stage.layers.start && before.is_empty();
                    let from = if enters { start } else { within };
                    let to = if layers.end == stage.layers.end { last_to } else { within };
                    let maps =
                        |all: &Activation, first: usize| all.maps(first..first + range.len());
                    let targets = TapTargets {
                        outputs: pass.outputs,
                        first: pass.first + start,
                        slot: within,
                    };
                    let buffers = LayerBuffers {
                        images: image,
                        input: (first > 0).then(|| maps(&self.maps[first - 1], from)),
                        between: self.between[first]
                            .as_ref()
                            .filter(|_| layers.len() > 1)
                            .map(|all| all.maps(worker.index..worker.index + 1)),
                        output: maps(&self.maps[last], to),
                        unpooled: self.unpooled[last]
                            .as_ref()
                            .filter(|_| !stage.banded)
                            .map(|all| maps(all, within)),
                        targets,
                        pass_images: pass.count,
                        scratch: &self.scratch,
                        shared: (!stage.apart).then_some((&self.inputs, &self.products)),
                        smallest_shared_product: self.smallest_shared_product,
                    };
                    if stage.banded {
                        let (layers, count) = (layers.clone(), pass.count);
                        Bands::new(self, worker, stage, layers, (image, to), count, targets)
                            .run(clock);
                    } else {
                        let rows = 0..self.plan.layers[last].height;
                        let layers = &self.layers[layers.clone()];
                        execute::run(layers, worker, &buffers, range.len(), rows, clock);
                        worker.wait();
                        clock.lap(last, Part::Wait);
                    }
                    let (layers, images) = (layers.clone(), range.len());
                    self.pool_globally(worker, layers, images, &targets, clock);
                }
            }
        }
    }

    /// Writes the outputs of some layers that are pooled globally, after the team has computed the layers for
    /// these images. If there are any, the team meets.
    ///
    /// # Safety
    /// As [`chunk`](Self::chunk), for the threads of the team. The images have all partial results of these
    /// layers, and no thread writes them.
    unsafe fn pool_globally(
        &self,
        worker: Worker<'_>,
        layers: Range<usize>,
        images: usize,
        targets: &TapTargets<'_>,
        clock: &mut Clock,
    ) {
        let last = layers.end - 1;
        let points: Vec<_> = self.layers[layers]
            .iter()
            .flat_map(|layer| layer.taps.points().map(|point| (layer, point)))
            .filter(|(_, point)| point.has_pooled())
            .collect();
        if points.is_empty() {
            return;
        }
        for item in worker.items(images * points.len()) {
            let (layer, point) = points[item / images];
            // SAFETY: the kernels are those of this machine, the partial results are complete, since the team
            // has met, the slices have room for the image, and no other thread takes this point of it.
            unsafe { point.pool(&layer.kernels, item % images, targets) }
        }
        clock.lap(last, Part::Output);
        worker.wait();
        clock.lap(last, Part::Wait);
    }
}

/// The caller's slices, beginning at an image, for all threads.
#[derive(Clone, Copy)]
struct Pass<'a> {
    images: *const f32,
    outputs: &'a [*mut f32],
    /// The index of the first image, and the number of images.
    first: usize,
    count: usize,
}

// SAFETY: the images are only read; parts of the outputs are written by one thread each.
unsafe impl Send for Pass<'_> {}
// SAFETY: as above.
unsafe impl Sync for Pass<'_> {}

impl Pass<'_> {
    /// A part of the images.
    fn part(self, images: Range<usize>) -> Self {
        Pass { first: images.start, count: images.len(), ..self }
    }

    /// An image, counted from the first, of `len` values.
    ///
    /// # Safety
    /// There is such an image.
    unsafe fn image(&self, len: usize, image: usize) -> *const f32 {
        // SAFETY: within the slice.
        unsafe { self.images.add((self.first + image) * len) }
    }
}

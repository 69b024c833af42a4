//! A whole network: its layers, the maps between them, and the forward pass.

#![allow(unsafe_code)] // The forward pass shares buffers between threads.

mod bands;

use std::{
    ops::Range,
    sync::Mutex,
    time::{Duration, Instant},
};

use bands::Bands;

use crate::{
    activation::{Activation, CHANNEL_GROUP, MapLayout},
    buffer::Buffer,
    clock::{Clock, LayerTimes, Part},
    config::{self, ConvLayer, IMAGE_CHANNELS, NetworkConfig, OutputShape, Pooling, Tap, TapPoint},
    error::Error,
    isa::Isa,
    layer::{Layer, Scratch, Workplace, between_layout, map_layout},
    output::{self, OutputItem},
    plan::{Method, Plan},
    schedule::{Room, Schedule, Stage},
    team::{Member, Team},
};

/// Where the time of a forward pass went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// From call to return.
    pub elapsed: Duration,
    /// Threads that took part.
    pub threads: usize,
    /// For each layer, the time of all threads together.
    pub layers: Vec<LayerTimes>,
}

/// A planned network with its transformed weights and all the memory of a forward pass.
///
/// A feature is the same to the last bit for any batch size, position in the batch and number of
/// threads, and whatever else is tapped.
pub struct Network {
    plan: Plan,
    config: NetworkConfig,
    taps: Vec<Tap>,
    /// One per tap.
    shapes: Vec<OutputShape>,
    layers: Vec<Layer>,
    /// Layer `i` writes the maps `i`, unless the next one is in the same chain.
    maps: Vec<Activation>,
    /// The maps before the pool, for layers that pool in a pass of its own.
    unpooled: Vec<Option<Activation>>,
    /// One per thread, for layers that begin a chain.
    between: Vec<Option<Activation>>,
    /// One per thread.
    own: Vec<Buffer>,
    inputs: Buffer,
    products: Buffer,
}

impl Network {
    /// Plans a network and transforms its weights, on all of the configuration's threads. Its outputs
    /// are the taps, in their order; layers after the last tap are not run.
    ///
    /// # Errors
    /// If a layer does not fit the one before, a slice does not have the length that its channels
    /// ask for, there are no taps or one that the layers do not have, or nothing is left of the images
    /// after the pools.
    pub fn new(
        layers: &[ConvLayer<'_>],
        taps: &[Tap],
        config: &NetworkConfig,
    ) -> Result<Network, Error> {
        config::check(layers, taps, config)?;
        let isa = Isa::detect();
        let plan = Plan::new(layers, taps, config, isa.name());
        Ok(Network::with_plan(layers, taps, config, isa, plan))
    }

    /// For layers, taps and a configuration that were checked, an instruction set that is present, and
    /// a plan for them.
    pub(crate) fn with_plan(
        layers: &[ConvLayer<'_>],
        taps: &[Tap],
        config: &NetworkConfig,
        isa: Isa,
        plan: Plan,
    ) -> Network {
        let threads = config.threads;
        let built: Vec<Layer> = layers
            .iter()
            .zip(&plan.layers)
            .enumerate()
            .map(|(index, (layer, layer_plan))| Layer::new(index, layer, layer_plan, isa, threads))
            .collect();

        // Of any team up to the size asked for: the system may refuse threads.
        let mut room = vec![Room::default(); built.len()];
        let mut scratch = Scratch::default();
        for team in 1..=threads {
            for images in 1..=plan.chunk {
                let schedule = Schedule::new(&plan, images, team);
                for (most, of) in room.iter_mut().zip(schedule.room()) {
                    *most = most.max(of);
                }
                for stage in schedule.runs().flatten() {
                    let shared = team > 1 && !stage.apart;
                    for group in &stage.groups {
                        // Layers that take turns in bands run one by one.
                        let together = if stage.banded { 1 } else { group.len() };
                        for layers in built[group.clone()].chunks(together) {
                            let of = Layer::scratch(layers, stage.images, shared);
                            scratch = scratch.max(of);
                        }
                    }
                }
            }
        }
        let (mut maps, mut unpooled, mut between) = (Vec::new(), Vec::new(), Vec::new());
        for (index, layer) in plan.layers.iter().enumerate() {
            let size = (layer.height, layer.width);
            let pooled = if layer.max_pool { (size.0 / 2, size.1 / 2) } else { size };
            let Room { inside, behind, windows, between: chained } = room[index];
            let layout = map_layout(pooled, layer.out_channels, plan.layers.get(index + 1));
            let rows =
                built.get(index + 1).map_or(0, |next| bands::window_rows(&built[index], next));
            maps.push(Activation::new(behind, windows, rows, layout));
            unpooled.push(built[index].separate_pool.then(|| {
                Activation::new(inside, 0, 0, MapLayout::new(size, layer.out_channels, (0, 0)))
            }));
            between.push(match layer.method {
                Method::Winograd(kind) if chained > 0 => {
                    Some(Activation::new(chained, 0, 0, between_layout(size, kind)))
                }
                _ => None,
            });
        }
        let shapes = taps.iter().map(|tap| shape(&plan, tap)).collect();
        Network {
            plan,
            config: *config,
            taps: taps.to_vec(),
            shapes,
            layers: built,
            maps,
            unpooled,
            between,
            own: (0..threads).map(|_| Buffer::new(scratch.own)).collect(),
            inputs: Buffer::new(scratch.inputs),
            products: Buffer::new(scratch.products),
        }
    }

    /// The shapes of the outputs for one image, in the order of the taps.
    pub fn output_shapes(&self) -> &[OutputShape] {
        &self.shapes
    }

    /// What a forward pass does, layer by layer.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Memory that the network holds: weights, maps and scratch.
    pub fn bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(Layer::bytes).sum();
        let maps: usize = self.maps.iter().map(Activation::bytes).sum();
        let others = self.unpooled.iter().chain(&self.between).flatten();
        let others: usize = others.map(Activation::bytes).sum();
        let own: usize = self.own.iter().map(Buffer::bytes).sum();
        layers + maps + others + own + self.inputs.bytes() + self.products.bytes()
    }

    /// Computes the outputs of the images `[n, 3, height, width]`, for `n` from 1 to the
    /// configuration's batch size. There is one slice per tap, `[n, channels, height, width]`, or
    /// `[n, channels]` where it is pooled globally. Everything is in C order.
    ///
    /// # Errors
    /// If the slices do not have the lengths of so many images and their outputs.
    pub fn forward(&mut self, images: &[f32], outputs: &mut [&mut [f32]]) -> Result<(), Error> {
        self.run(images, outputs, false).map(|_| ())
    }

    /// [`forward`](Self::forward), and where its time went.
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
        let network = &*self;
        let outputs: Vec<*mut f32> = outputs.iter_mut().map(|output| output.as_mut_ptr()).collect();
        let pass = Pass { images: images.as_ptr(), outputs: &outputs, first: 0 };
        let times = Mutex::new(vec![LayerTimes::default(); self.layers.len()]);
        Team::run(threads, |member| {
            let mut clock = Clock::new(network.layers.len(), profiled);
            for chunk in 0..chunks {
                let range = chunk * n / chunks..(chunk + 1) * n / chunks;
                let pass = pass.starting_at(range.start);
                // SAFETY: the slices hold `n` images and outputs and are borrowed for the whole
                // call, the chunk has no more images than the maps, and `&mut self` keeps other
                // calls out. Every member runs this with the same arguments.
                unsafe { network.chunk(member, pass, range.len(), &mut clock) }
            }
            clock.add_to(&mut times.lock().expect("no holder of the lock panics"));
        });
        let layers = times.into_inner().expect("no holder of the lock panics");
        Ok(Profile { elapsed: start.elapsed(), threads, layers })
    }

    /// A forward pass of no more images than the maps have room for.
    ///
    /// # Safety
    /// The slices of the pass hold so many images and outputs; all members of the team, and nobody
    /// else, run this network at the same time, with the same arguments.
    unsafe fn chunk(&self, member: Member<'_>, pass: Pass<'_>, images: usize, clock: &mut Clock) {
        let schedule = Schedule::new(&self.plan, images, member.team_size());
        let alone = Team::solo();
        let alone = member.alone(&alone);
        let mut share = schedule.share(member.index);
        let mut runs = schedule.runs().peekable();
        while let Some(stages) = runs.next() {
            let end = stages[stages.len() - 1].layers.end - 1;
            // SAFETY: members apart have images of their own, and maps of their own within the
            // run; what enters or leaves it lies at the image's place in the chunk.
            let mut through = |crew: Member<'_>, range: Range<usize>| unsafe {
                self.through(crew, stages, range.clone(), range.start, pass, clock);
            };
            if !stages[0].apart {
                through(member, 0..images);
                continue;
            }
            if stages[0].early {
                for image in member.items_in_order(images) {
                    through(alone, image..image + 1);
                }
                if runs.peek().is_some_and(|next| next[0].apart) {
                    // The last image, which is the last to be ready, belongs to the last share.
                    share = schedule.share(member.order());
                    member.wait_for_items(share.end);
                    clock.lap(end, Part::Wait);
                    continue;
                }
            } else {
                through(alone, share.clone());
            }
            member.wait_and_help(|layer| match layer {
                None => clock.lap(end, Part::Wait),
                Some(layer) => clock.lap(layer, Part::Products),
            });
            clock.lap(end, Part::Wait);
        }
    }

    /// Takes images through some stages, of which the last leaves its maps from `to` on: a group of
    /// as many images as a stage takes at a time goes through all stages before it, in groups of
    /// their own, then through the stage itself.
    ///
    /// # Safety
    /// As [`chunk`](Self::chunk), for the members of the crew. The stages are consecutive ones of a
    /// run.
    unsafe fn through(
        &self,
        crew: Member<'_>,
        stages: &[Stage],
        images: Range<usize>,
        to: usize,
        pass: Pass<'_>,
        clock: &mut Clock,
    ) {
        let Some((stage, before)) = stages.split_last() else { return };
        let image = IMAGE_CHANNELS * self.config.height * self.config.width;
        let slot = stage.slot(crew.index);
        for start in images.clone().step_by(stage.images) {
            let group = start..images.end.min(start + stage.images);
            // SAFETY: each call runs a layer on maps of its own size and with room for the group:
            // `Activation::maps` checks it.
            unsafe {
                self.through(crew, before, group.clone(), slot, pass, clock);
                let image = pass.image(image, start);
                let last_to = to + start - images.start;
                for layers in &stage.groups {
                    let (first, last) = (layers.start, layers.end - 1);
                    let enters = first == stage.layers.start && before.is_empty();
                    let from = if enters { start } else { slot };
                    let to = if layers.end == stage.layers.end { last_to } else { slot };
                    let maps =
                        |all: &Activation, first: usize| all.maps(first..first + group.len());
                    let place = Workplace {
                        images: image,
                        from: (first > 0).then(|| maps(&self.maps[first - 1], from)),
                        between: self.between[first]
                            .as_ref()
                            .filter(|_| layers.len() > 1)
                            .map(|all| all.maps(crew.index..crew.index + 1)),
                        to: maps(&self.maps[last], to),
                        unpooled: self.unpooled[last].as_ref().map(|all| maps(all, slot)),
                        own: &self.own,
                        shared: (!stage.apart).then_some((&self.inputs, &self.products)),
                    };
                    if stage.banded {
                        Bands::new(self, crew, stage, layers.clone(), image, to).run(clock);
                    } else {
                        let rows = 0..self.plan.layers[last].height;
                        let layers = &self.layers[layers.clone()];
                        Layer::run(layers, crew, &place, group.len(), rows, clock);
                        crew.wait();
                        clock.lap(last, Part::Wait);
                    }
                    self.write_outputs(crew, last, &place, group.clone(), pass, clock);
                }
            }
        }
    }

    /// Writes the outputs that are taps of a layer, whose maps the crew has just computed for a group
    /// of images, and meets if there are any.
    ///
    /// # Safety
    /// As [`chunk`](Self::chunk), for the members of the crew; the maps before and after the pool are
    /// those of the group, which nobody writes.
    unsafe fn write_outputs(
        &self,
        crew: Member<'_>,
        layer: usize,
        place: &Workplace<'_>,
        group: Range<usize>,
        pass: Pass<'_>,
        clock: &mut Clock,
    ) {
        if !self.plan.layers[layer].tapped {
            return;
        }
        let channels = self.plan.layers[layer].out_channels;
        let groups = channels.div_ceil(CHANNEL_GROUP);
        let outputs: Vec<usize> =
            (0..self.taps.len()).filter(|&output| self.taps[output].layer == layer).collect();
        // Groups of channels of an image are neighbours, so that threads share the fetched pixels.
        for item in crew.items(group.len() * outputs.len() * groups) {
            let (image, rest) = (item / groups / outputs.len(), item / groups % outputs.len());
            let output = outputs[rest];
            let Tap { at, pooling, .. } = self.taps[output];
            let maps = match (at, place.unpooled) {
                (TapPoint::AfterRelu, Some(unpooled)) => unpooled,
                _ => place.to,
            };
            // SAFETY: the maps are complete, since the crew has met, the slice has room for the
            // image, and no other member takes these channels of it.
            unsafe {
                let to = pass.output(output, self.shapes[output].len(), group.start + image);
                let first = item % groups * CHANNEL_GROUP;
                output::write(&OutputItem { maps, image, first, channels, pooling, to });
            }
        }
        clock.lap(layer, Part::Output);
        crew.wait();
        clock.lap(layer, Part::Wait);
    }
}

/// The caller's slices, from an image on, for all threads.
#[derive(Clone, Copy)]
struct Pass<'a> {
    images: *const f32,
    outputs: &'a [*mut f32],
    /// The first image.
    first: usize,
}

// SAFETY: the images are only read; parts of the outputs are written by one thread each.
unsafe impl Send for Pass<'_> {}
// SAFETY: as above.
unsafe impl Sync for Pass<'_> {}

impl Pass<'_> {
    /// The same from another image on.
    fn starting_at(self, first: usize) -> Self {
        Pass { first, ..self }
    }

    /// An image, counted from the first, of `len` values.
    ///
    /// # Safety
    /// There is such an image.
    unsafe fn image(&self, len: usize, image: usize) -> *const f32 {
        // SAFETY: within the slice.
        unsafe { self.images.add((self.first + image) * len) }
    }

    /// An image's part, of `len` values, of an output.
    ///
    /// # Safety
    /// There is such an image.
    unsafe fn output(&self, output: usize, len: usize, image: usize) -> *mut f32 {
        // SAFETY: within the slice.
        unsafe { self.outputs[output].add((self.first + image) * len) }
    }
}

/// The shape of a tap's output.
fn shape(plan: &Plan, tap: &Tap) -> OutputShape {
    let layer = &plan.layers[tap.layer];
    let size = match tap.at {
        TapPoint::AfterRelu => (layer.height, layer.width),
        TapPoint::AfterPool => (layer.height / 2, layer.width / 2),
    };
    let size = (tap.pooling == Pooling::None).then_some(size);
    OutputShape { channels: layer.out_channels, size }
}

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
    accuracy::Accuracy,
    activation::{Activation, CHANNEL_GROUP, MapLayout},
    buffer::Buffer,
    clock::{Clock, LayerTimes, Part},
    error::Error,
    isa::Isa,
    layer::{Layer, Scratch, Workplace, between_layout, map_layout},
    plan::{Method, Plan},
    rows::IMAGE_CHANNELS,
    schedule::{Room, Schedule, Stage},
    team::{Member, Team},
};

/// A convolution of 3x3 with stride 1 and a border of zeros, its bias, a ReLU, and perhaps a pool.
#[derive(Debug, Clone, Copy)]
pub struct ConvLayer<'a> {
    /// Channels of the input: 3 for the first layer, then those of the layer before.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// `[out_channels, in_channels, 3, 3]`
    pub weight: &'a [f32],
    /// `[out_channels]`
    pub bias: &'a [f32],
    /// A max pool of 2x2 with stride 2 follows the ReLU; it drops an odd last row and column.
    pub max_pool: bool,
}

/// What a network is planned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Height of the images.
    pub height: usize,
    /// Width of the images.
    pub width: usize,
    /// The most images in one call.
    pub batch_size: usize,
    /// Threads of a forward pass, the calling one among them.
    pub threads: usize,
    /// How exact the results must be.
    pub accuracy: Accuracy,
}

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
/// A feature is the same to the last bit for any batch size, place in the batch and number of
/// threads.
pub struct Network {
    plan: Plan,
    config: NetworkConfig,
    layers: Vec<Layer>,
    /// Layer `i` writes the maps `i`, unless the next one is in the same chain.
    maps: Vec<Activation>,
    /// The maps before the pool, for layers that pool in a pass of its own.
    unpooled: Vec<Option<Activation>>,
    /// One a thread, for layers that begin a chain.
    between: Vec<Option<Activation>>,
    /// One a thread.
    own: Vec<Buffer>,
    inputs: Buffer,
    products: Buffer,
    out_channels: usize,
}

impl Network {
    /// Plans a network and transforms its weights, on all of the configuration's threads.
    ///
    /// # Errors
    /// If a layer does not fit the one before, a slice does not have the length that its channels
    /// ask for, or nothing is left of the images after the pools.
    pub fn new(layers: &[ConvLayer<'_>], config: &NetworkConfig) -> Result<Network, Error> {
        check(layers, config)?;
        Ok(Network::with_isa(layers, config, Isa::detect()))
    }

    /// For layers and a configuration that were checked, and an instruction set that is present.
    pub(crate) fn with_isa(layers: &[ConvLayer<'_>], config: &NetworkConfig, isa: Isa) -> Network {
        let plan = Plan::new(layers, config, isa.name());
        Network::with_plan(layers, config, isa, plan)
    }

    /// The same, with a plan of the caller's.
    pub(crate) fn with_plan(
        layers: &[ConvLayer<'_>],
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
                    for chain in &stage.chains {
                        let of = Layer::scratch(&built[chain.clone()], stage.images, shared);
                        scratch = scratch.max(of);
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
        let out_channels = plan.layers.last().map_or(0, |layer| layer.out_channels);
        Network {
            plan,
            config: *config,
            layers: built,
            maps,
            unpooled,
            between,
            own: (0..threads).map(|_| Buffer::new(scratch.own)).collect(),
            inputs: Buffer::new(scratch.inputs),
            products: Buffer::new(scratch.products),
            out_channels,
        }
    }

    /// Channels, height and width of the features of one image.
    pub fn output_shape(&self) -> (usize, usize, usize) {
        let layout = self.output().layout;
        (self.out_channels, layout.height, layout.width)
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

    /// Computes the features `[n, channels, height, width]` of the images `[n, 3, height, width]`,
    /// both in C order, for `n` from 1 to the configuration's batch size.
    ///
    /// # Errors
    /// If the slices do not have the lengths of so many images and their features.
    pub fn forward(&mut self, images: &[f32], output: &mut [f32]) -> Result<(), Error> {
        self.run(images, output, false).map(|_| ())
    }

    /// [`forward`](Self::forward), and where its time went.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_profiled(
        &mut self,
        images: &[f32],
        output: &mut [f32],
    ) -> Result<Profile, Error> {
        self.run(images, output, true)
    }

    fn run(
        &mut self,
        images: &[f32],
        output: &mut [f32],
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
        let (channels, height, width) = self.output_shape();
        let features = channels * height * width;
        if output.len() != n * features {
            return Err(Error::OutputLength { expected: n * features, actual: output.len() });
        }

        let chunks = n.div_ceil(self.plan.chunk);
        let threads = self.config.threads;
        let network = &*self;
        let pass = Pass { images: images.as_ptr(), output: output.as_mut_ptr() };
        let times = Mutex::new(vec![LayerTimes::default(); self.layers.len()]);
        Team::run(threads, |member| {
            let mut clock = Clock::new(network.layers.len(), profiled);
            for chunk in 0..chunks {
                let range = chunk * n / chunks..(chunk + 1) * n / chunks;
                // SAFETY: the image and feature slices hold `n` items and are borrowed for the
                // whole call, the chunk has no more images than the maps, and `&mut self` keeps
                // other calls out. Every member runs this with the same arguments.
                unsafe {
                    let pass = pass.skip(range.start, image, features);
                    network.chunk(member, pass, range.len(), &mut clock);
                }
            }
            clock.add_to(&mut times.lock().expect("no holder of the lock panics"));
        });
        let layers = times.into_inner().expect("no holder of the lock panics");
        Ok(Profile { elapsed: start.elapsed(), threads, layers })
    }

    fn output(&self) -> crate::activation::Maps {
        self.maps.last().expect("a network has a layer").maps(0..1)
    }

    /// A forward pass of no more images than the maps have room for.
    ///
    /// # Safety
    /// The slices of the pass hold so many images and features; all members of the team, and nobody
    /// else, run this network at the same time, with the same arguments.
    unsafe fn chunk(&self, member: Member<'_>, pass: Pass, images: usize, clock: &mut Clock) {
        let last = self.layers.len() - 1;
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
        // SAFETY: the caller's promise.
        unsafe { self.write_features(member, pass.output, images) }
        clock.lap(last, Part::Output);
        member.wait();
        clock.lap(last, Part::Wait);
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
        pass: Pass,
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
                let image = pass.images.add(start * image);
                let last_to = to + start - images.start;
                if stage.banded {
                    Bands::new(self, crew, stage, image, last_to).run(clock);
                    continue;
                }
                for chain in &stage.chains {
                    let (first, last) = (chain.start, chain.end - 1);
                    let enters = first == stage.layers.start && before.is_empty();
                    let from = if enters { start } else { slot };
                    let to = if chain.end == stage.layers.end { last_to } else { slot };
                    let maps =
                        |all: &Activation, first: usize| all.maps(first..first + group.len());
                    let place = Workplace {
                        images: image,
                        from: (first > 0).then(|| maps(&self.maps[first - 1], from)),
                        between: self.between[first]
                            .as_ref()
                            .filter(|_| chain.len() > 1)
                            .map(|all| all.maps(crew.index..crew.index + 1)),
                        to: maps(&self.maps[last], to),
                        unpooled: self.unpooled[last].as_ref().map(|all| maps(all, slot)),
                        own: &self.own,
                        shared: (!stage.apart).then_some((&self.inputs, &self.products)),
                    };
                    let rows = 0..self.plan.layers[last].height;
                    let layers = &self.layers[chain.clone()];
                    Layer::run(layers, crew, &place, group.len(), rows, clock);
                    crew.wait();
                    clock.lap(last, Part::Wait);
                }
            }
        }
    }

    /// Copies the last maps, channels last, into the output, channels first.
    ///
    /// # Safety
    /// As [`chunk`](Self::chunk).
    unsafe fn write_features(&self, member: Member<'_>, output: *mut f32, images: usize) {
        let (channels, height, width) = self.output_shape();
        let maps = self.output();
        let map = height * width;
        for image in member.items(images) {
            for first in (0..channels).step_by(CHANNEL_GROUP) {
                for pixel in 0..map {
                    // SAFETY: the maps are complete, since the team has met, and no other member
                    // takes this image.
                    unsafe {
                        let from = maps.pixel(image, pixel / width, pixel % width).add(first);
                        let to = output.add((image * channels + first) * map + pixel);
                        if first + CHANNEL_GROUP <= channels {
                            for c in 0..CHANNEL_GROUP {
                                *to.add(c * map) = *from.add(c);
                            }
                        } else {
                            for c in 0..channels - first {
                                *to.add(c * map) = *from.add(c);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The caller's slices, for all threads.
#[derive(Clone, Copy)]
struct Pass {
    images: *const f32,
    output: *mut f32,
}

// SAFETY: the images are only read; parts of the output are written by one thread each.
unsafe impl Send for Pass {}
// SAFETY: as above.
unsafe impl Sync for Pass {}

impl Pass {
    /// # Safety
    /// There are more than `images` images.
    unsafe fn skip(self, images: usize, image: usize, features: usize) -> Pass {
        // SAFETY: within the slices.
        unsafe {
            Pass {
                images: self.images.add(images * image),
                output: self.output.add(images * features),
            }
        }
    }
}

/// Everything that the layers and the configuration must fulfil.
fn check(layers: &[ConvLayer<'_>], config: &NetworkConfig) -> Result<(), Error> {
    for (field, value) in [("batch_size", config.batch_size), ("threads", config.threads)] {
        if value == 0 {
            return Err(Error::Zero { field });
        }
    }
    let first = layers.first().ok_or(Error::NoLayers)?;
    if first.in_channels != IMAGE_CHANNELS {
        return Err(Error::ImageChannels { actual: first.in_channels });
    }
    let (mut height, mut width, mut channels) = (config.height, config.width, IMAGE_CHANNELS);
    for (index, layer) in layers.iter().enumerate() {
        if layer.in_channels != channels {
            let actual = layer.in_channels;
            return Err(Error::ChannelMismatch { layer: index, expected: channels, actual });
        }
        channels = layer.out_channels;
        if channels == 0 {
            return Err(Error::NoChannels { layer: index });
        }
        let expected = layer.out_channels * layer.in_channels * 9;
        if layer.weight.len() != expected {
            let actual = layer.weight.len();
            return Err(Error::WeightLength { layer: index, expected, actual });
        }
        if layer.bias.len() != layer.out_channels {
            let (expected, actual) = (layer.out_channels, layer.bias.len());
            return Err(Error::BiasLength { layer: index, expected, actual });
        }
        if layer.max_pool {
            (height, width) = (height / 2, width / 2);
        }
        if height == 0 || width == 0 {
            let (height, width) = (config.height, config.width);
            return Err(Error::EmptyMap { layer: index, height, width });
        }
    }
    Ok(())
}

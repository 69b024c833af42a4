//! A network: its layers, the maps between them, and the memory of a forward pass.

use crate::{
    buffer::Buffer,
    config::{ConvLayer, NetworkConfig, OutputShape, Pooling, Tap, TapPoint},
    kernel::{
        feature_map::{Activation, MapLayout},
        isa::Isa,
    },
    plan::{
        layers::{Method, Plan},
        schedule::{MapCounts, Schedule},
    },
    run::{
        chain::SMALLEST_SHARED_PRODUCT,
        execute,
        layer::{Layer, ScratchSize, between_layout, map_layout},
        taps::PointTaps,
    },
};

/// A planned network with its weights and all the memory of a forward pass.
///
/// A feature is the same to the last bit for any batch size, position in the batch, number of threads and
/// other taps.
pub struct Network {
    pub(crate) plan: Plan,
    pub(crate) config: NetworkConfig,
    /// One per tap.
    pub(crate) shapes: Vec<OutputShape>,
    pub(crate) layers: Vec<Layer>,
    /// The maps of each layer, unused for layers that the next one follows in a chain.
    pub(crate) maps: Vec<Activation>,
    /// The maps before the pool, for layers whose pool is a separate pass or whose map before it is a tap.
    pub(crate) unpooled: Vec<Option<Activation>>,
    /// The maps between the layers of a chain, one per thread, for layers that begin one.
    pub(crate) between: Vec<Option<Activation>>,
    /// The scratch of each thread.
    pub(crate) scratch: Vec<Buffer>,
    pub(crate) inputs: Buffer,
    pub(crate) products: Buffer,
    /// See [`LayerBuffers`](crate::run::layer::LayerBuffers).
    pub(crate) smallest_shared_product: usize,
}

impl Network {
    /// Makes a network from layers, taps and a configuration that were checked, a present instruction set,
    /// and a plan for them.
    pub(crate) fn with_plan(
        layers: &[ConvLayer<'_>],
        taps: &[Tap],
        config: &NetworkConfig,
        isa: Isa,
        plan: Plan,
    ) -> Network {
        let threads = config.threads;
        let mut built: Vec<Layer> = layers
            .iter()
            .zip(&plan.layers)
            .enumerate()
            .map(|(index, (layer, layer_plan))| {
                Layer::new(index, layer, layer_plan, taps, isa, threads)
            })
            .collect();

        // The memory must be enough for any team up to the requested size, since the system may refuse
        // threads.
        let mut counts = vec![MapCounts::default(); built.len()];
        let mut scratch = ScratchSize::default();
        for team in 1..=threads {
            for images in 1..=plan.chunk {
                let schedule = Schedule::new(&plan, images, team);
                for (most, of) in counts.iter_mut().zip(schedule.map_counts()) {
                    *most = most.max(of);
                }
                for stage in schedule.runs().flatten() {
                    let shared = team > 1 && !stage.apart;
                    for group in &stage.groups {
                        // Layers that take turns in bands run one by one.
                        let together = if stage.banded { 1 } else { group.len() };
                        for layers in built[group.clone()].chunks(together) {
                            let of = execute::scratch(layers, stage.images, images, shared);
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
            let MapCounts { unpooled: before_pool, bands, maps: whole, windows, chain_maps } =
                counts[index];
            let within = before_pool.max(bands);
            built[index].taps.after_relu.reserve(within);
            built[index].taps.after_pool.reserve(within);
            let layout = map_layout(pooled, layer.out_channels, plan.layers.get(index + 1));
            let rows = built.get(index + 1).map_or(0, |next| built[index].window_rows(next));
            maps.push(Activation::new(whole, windows, rows, layout));
            let of = &built[index];
            unpooled.push(of.keeps_unpooled(layer).then(|| {
                let layout = MapLayout::new(size, layer.out_channels, (0, 0));
                match of.separate_pool {
                    true => Activation::new(within, 0, 0, layout),
                    false => Activation::new(before_pool, bands, of.band(), layout),
                }
            }));
            between.push(match layer.method {
                Method::Winograd(kind) if chain_maps > 0 => {
                    Some(Activation::new(chain_maps, 0, 0, between_layout(size, kind)))
                }
                _ => None,
            });
        }
        let shapes = taps.iter().map(|tap| shape(&plan, tap)).collect();
        Network {
            plan,
            config: *config,
            shapes,
            layers: built,
            maps,
            unpooled,
            between,
            scratch: (0..threads).map(|_| Buffer::new(scratch.own)).collect(),
            inputs: Buffer::new(scratch.inputs),
            products: Buffer::new(scratch.products),
            smallest_shared_product: SMALLEST_SHARED_PRODUCT,
        }
    }

    /// Prepares the weights for passes of this number of images, unless that is done.
    pub(crate) fn prepare(&mut self, images: usize) {
        for layer in &mut self.layers {
            layer.prepare(images, self.config.threads);
        }
    }

    /// The shapes of the outputs for one image, in the order of the taps.
    pub fn output_shapes(&self) -> &[OutputShape] {
        &self.shapes
    }

    /// The plan of a forward pass.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The memory that the network holds, in bytes: weights, maps and scratch.
    pub fn bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(Layer::bytes).sum();
        let maps: usize = self.maps.iter().map(Activation::bytes).sum();
        let others = self.unpooled.iter().chain(&self.between).flatten();
        let others: usize = others.map(Activation::bytes).sum();
        let own: usize = self.scratch.iter().map(Buffer::bytes).sum();
        let points = self.layers.iter().flat_map(|layer| layer.taps.points());
        let taps: usize = points.map(PointTaps::bytes).sum();
        taps + layers + maps + others + own + self.inputs.bytes() + self.products.bytes()
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

//! Construction of a network: the checks, the choice of the instruction set, and the plan.

use crate::{
    config::{self, ConvLayer, NetworkConfig, Tap},
    error::Error,
    plan::layers::Plan,
    run::network::Network,
    select::best_isa,
};

impl Network {
    /// Plans a network and packs its filters, on all of the configuration's threads. Its outputs are the taps,
    /// in their order. Layers after the last tap are not run.
    ///
    /// # Errors
    /// If a layer does not take the output channels of the layer before, a slice does not have the length
    /// that its channels require, there is no tap, a tap is not in the layers, or the images are so small
    /// that the pools leave nothing of them.
    pub fn new(
        layers: &[ConvLayer<'_>],
        taps: &[Tap],
        config: &NetworkConfig,
    ) -> Result<Network, Error> {
        config::check(layers, taps, config)?;
        let isa = best_isa();
        let plan = Plan::new(layers, taps, config, isa.name());
        Ok(Network::with_plan(layers, taps, config, isa, plan))
    }
}

//! Tests of the errors, one per kind of mistake.

use super::*;
use crate::Error;

const CONFIG: NetworkConfig =
    NetworkConfig { height: 32, width: 32, batch_size: 2, threads: 1, accuracy: Accuracy::Fast };

fn layer(in_channels: usize, out_channels: usize) -> OwnedLayer {
    let weight = vec![0.0; in_channels * out_channels * 9];
    OwnedLayer { in_channels, out_channels, weight, bias: vec![0.0; out_channels], max_pool: true }
}

fn tap(layer: usize, at: TapPoint) -> Tap {
    Tap { layer, at, pooling: Pooling::None }
}

fn new(layers: &[OwnedLayer], config: &NetworkConfig) -> Result<Network, Error> {
    let layers: Vec<_> = layers.iter().map(OwnedLayer::borrow).collect();
    Network::new(&layers, &[tap(0, TapPoint::AfterRelu)], config)
}

#[track_caller]
fn fails(layers: &[OwnedLayer], config: NetworkConfig, expected: Error) {
    assert_eq!(new(layers, &config).err(), Some(expected));
}

#[test]
fn no_layers() {
    fails(&[], CONFIG, Error::NoLayers);
}

#[test]
fn images_with_other_channels() {
    fails(&[layer(4, 8)], CONFIG, Error::ImageChannels { actual: 4 });
}

#[test]
fn layers_that_do_not_fit_together() {
    let expected = Error::ChannelMismatch { layer: 1, expected: 8, actual: 9 };
    fails(&[layer(3, 8), layer(9, 8)], CONFIG, expected);
}

#[test]
fn a_layer_without_output() {
    fails(&[layer(3, 0)], CONFIG, Error::NoChannels { layer: 0 });
}

#[test]
fn missing_weights() {
    let mut short = layer(3, 8);
    short.weight.pop();
    fails(&[short], CONFIG, Error::WeightLength { layer: 0, expected: 216, actual: 215 });
}

#[test]
fn missing_biases() {
    let mut short = layer(3, 8);
    short.bias.pop();
    fails(&[short], CONFIG, Error::BiasLength { layer: 0, expected: 8, actual: 7 });
}

#[test]
fn images_that_vanish() {
    let config = NetworkConfig { height: 3, ..CONFIG };
    let expected = Error::EmptyMap { layer: 1, height: 3, width: 32 };
    let layers = [layer(3, 8), layer(8, 8)];
    let layers = layers.each_ref().map(OwnedLayer::borrow);
    let new = |taps: &[Tap]| Network::new(&layers, taps, &config).err();
    assert_eq!(new(&[tap(1, TapPoint::AfterPool)]), Some(expected));
    // The map is large enough if the pool is not run.
    assert_eq!(new(&[tap(1, TapPoint::AfterRelu)]), None);
    assert_eq!(new(&[tap(0, TapPoint::AfterPool)]), None);
}

#[test]
fn no_batch_and_no_threads() {
    let config = NetworkConfig { batch_size: 0, ..CONFIG };
    fails(&[layer(3, 8)], config, Error::Zero { field: "batch_size" });
    let config = NetworkConfig { threads: 0, ..CONFIG };
    fails(&[layer(3, 8)], config, Error::Zero { field: "threads" });
}

#[test]
fn wrong_lengths_in_a_call() {
    let layer = layer(3, 8);
    let taps = [tap(0, TapPoint::AfterPool)];
    let mut network = Network::new(&[layer.borrow()], &taps, &CONFIG).unwrap();
    let (image, features) = (3 * 32 * 32, 8 * 16 * 16);
    let mut forward = |input: usize, output: usize| {
        network.forward(&vec![0.0; input], &mut [&mut vec![0.0; output]]).err()
    };
    let input = |actual| Some(Error::InputLength { image, actual });
    assert_eq!(forward(0, 0), input(0));
    assert_eq!(forward(image + 1, features), input(image + 1));
    let too_large = Some(Error::BatchTooLarge { images: 3, batch_size: 2 });
    assert_eq!(forward(3 * image, 3 * features), too_large);
    let output = Some(Error::OutputLength { output: 0, expected: 2 * features, actual: features });
    assert_eq!(forward(2 * image, features), output);
    assert_eq!(forward(2 * image, 2 * features), None);
    let images = vec![0.0; image];
    let (mut map, mut other) = (vec![0.0; features], vec![0.0; features]);
    let count = |actual| Some(Error::OutputCount { expected: 1, actual });
    assert_eq!(network.forward(&images, &mut []).err(), count(0));
    assert_eq!(network.forward(&images, &mut [&mut map, &mut other]).err(), count(2));
}

#[test]
fn taps_that_do_not_exist() {
    let without_pool = OwnedLayer { max_pool: false, ..layer(8, 8) };
    let layers = [layer(3, 8), without_pool];
    let layers = layers.each_ref().map(OwnedLayer::borrow);
    let new = |taps: &[Tap]| Network::new(&layers, taps, &CONFIG).err();
    let good = Tap::last(&layers);
    assert_eq!(new(&[]), Some(Error::NoTaps));
    let beyond = Error::TapLayer { tap: 1, layer: 2, layers: 2 };
    assert_eq!(new(&[good, tap(2, TapPoint::AfterRelu)]), Some(beyond));
    let no_pool = Error::TapPool { tap: 0, layer: 1 };
    assert_eq!(new(&[tap(1, TapPoint::AfterPool), good]), Some(no_pool));
    assert_eq!(new(&[good, good]), None);
}

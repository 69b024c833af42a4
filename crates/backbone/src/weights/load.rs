//! Reading the numbers of convolutions from located tensors.

use super::axes::transpose;
use super::batch_norm;
use super::source::{Located, TensorSource, read};
use crate::{ConvolutionWeights, Error};

/// The numbers of the located convolutions, with BatchNorm folded into them.
pub(super) fn load<S: TensorSource + ?Sized>(
    source: &S,
    located: &Located,
) -> Result<Vec<ConvolutionWeights>, Error> {
    let convolutions = located.network.convolutions();
    let layers = convolutions.iter().zip(&located.layers);
    let numbers = layers.map(|(layer, tensors)| {
        let channels = [layer.out_channels];
        let shape = tensors.order.shape_in_file(layer.weight_shape());
        let weight = read(source, &tensors.weight, &shape)?;
        let weight = transpose(weight, &shape, &tensors.order.0);
        let bias = match &tensors.bias {
            Some(name) => read(source, name, &channels)?,
            None => vec![0.0; layer.out_channels],
        };
        let mut numbers = ConvolutionWeights { weight, bias };
        if let Some(norm) = &tensors.norm {
            batch_norm::fold(source, &tensors.weight, norm, &mut numbers)?;
        }
        Ok(numbers)
    });
    numbers.collect()
}

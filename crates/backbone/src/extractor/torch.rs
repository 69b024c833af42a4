//! The forward pass by libtorch, with tensors in channels-last memory order.

use recipe::{ImageForm, Pooling, Recipe};
use tch::{Kind, Tensor};

use super::{Device, Extractor, ExtractorConfig, ResolvedTap, images_per_pass};
use crate::{Convolution, Error, Weights};

/// The forward pass by libtorch.
#[derive(Debug)]
pub(super) struct Torch {
    /// The convolutions up to the last tap, with their weights and biases.
    layers: Vec<(Convolution, Tensor, Tensor)>,
    taps: Vec<ResolvedTap>,
    image: ImageForm,
    device: tch::Device,
    /// Number of images in each pass; `None` for the whole batch. The last pass is filled up with zeros,
    /// because cuDNN chooses its algorithm, and with it the order of its sums, by the number of images.
    images_per_pass: Option<usize>,
}

impl Torch {
    pub(super) fn new(
        recipe: &Recipe,
        weights: &Weights,
        taps: Vec<ResolvedTap>,
        config: &ExtractorConfig,
        device: Device,
    ) -> Result<Torch, Error> {
        let images_per_pass = images_per_pass(device, recipe.image.height, recipe.image.width);
        let device = match device {
            Device::Cpu => tch::Device::Cpu,
            Device::Cuda if tch::Cuda::is_available() => tch::Device::Cuda(0),
            Device::Cuda => return Err(Error::NoCuda),
        };
        tch::set_num_threads(i32::try_from(config.threads).unwrap_or(i32::MAX));
        let count = taps.iter().map(|tap| tap.layer.convolution + 1).max().unwrap_or(0);
        let convolutions = weights.network().convolutions();
        let mut layers = Vec::new();
        for (layer, numbers) in convolutions.into_iter().zip(weights.convolutions()).take(count) {
            let shape = [layer.out_channels as i64, layer.in_channels as i64, 3, 3];
            let weight = Tensor::f_from_slice(&numbers.weight)?.f_view(shape)?;
            let weight = channels_last(&weight)?.f_to_device(device)?;
            let bias = Tensor::f_from_slice(&numbers.bias)?.f_to_device(device)?;
            layers.push((layer, weight, bias));
        }
        Ok(Torch { layers, taps, image: recipe.image, device, images_per_pass })
    }

    /// Writes the features of the taps at one layer, whose output is `maps`, `[n, C, H, W]`. Only those of
    /// the first `batch` images are written.
    fn write(
        &self,
        maps: &Tensor,
        (convolution, max_pool): (usize, bool),
        batch: usize,
        features: &mut [&mut [f32]],
    ) -> Result<(), Error> {
        for (tap, features) in self.taps.iter().zip(features) {
            if (tap.layer.convolution, tap.layer.max_pool) != (convolution, max_pool) {
                continue;
            }
            // All images are pooled, since the order of these sums may also depend on their number.
            let pooled = match tap.pooling {
                Pooling::None => maps.shallow_clone(),
                Pooling::Max => maps.f_amax([2, 3], false)?,
                Pooling::Avg => maps.f_mean_dim([2i64, 3].as_slice(), false, Kind::Float)?,
            };
            let pooled = pooled.f_narrow(0, 0, batch as i64)?;
            let output = pooled.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
            assert_eq!(output.numel(), features.len(), "room for every feature");
            output.f_to_kind(Kind::Float)?.f_copy_data(features, features.len())?;
        }
        Ok(())
    }
}

impl Extractor for Torch {
    fn forward(&mut self, images: &[f32], features: &mut [&mut [f32]]) -> Result<(), Error> {
        let image_len = self.image.height * self.image.width * 3;
        let batch = images.len() / image_len;
        assert_eq!(images.len(), batch * image_len, "whole images only");
        assert_eq!(features.len(), self.taps.len(), "an array for each tap");
        let per_pass = self.images_per_pass.unwrap_or(batch);
        let row_lens: Vec<usize> = features.iter().map(|features| features.len() / batch).collect();
        for first in (0..batch).step_by(per_pass) {
            let rows = first..batch.min(first + per_pass);
            let arrays = features.iter_mut().zip(&row_lens);
            let mut features: Vec<&mut [f32]> =
                arrays.map(|(array, len)| &mut array[rows.start * len..rows.end * len]).collect();
            let images = &images[rows.start * image_len..rows.end * image_len];
            self.pass(images, rows.len(), &mut features)?;
        }
        Ok(())
    }
}

impl Torch {
    fn pass(&self, images: &[f32], batch: usize, features: &mut [&mut [f32]]) -> Result<(), Error> {
        let _no_grad = tch::no_grad_guard();
        let shape =
            |images: usize| [images as i64, 3, self.image.height as i64, self.image.width as i64];
        let input = Tensor::f_from_slice(images)?.f_view(shape(batch))?;
        let mut input = input.f_to_device(self.device)?;
        match self.images_per_pass {
            Some(per_pass) if batch < per_pass => {
                let options = (Kind::Float, self.device);
                let zeros = Tensor::f_zeros(shape(per_pass - batch), options)?;
                input = Tensor::f_cat(&[input, zeros], 0)?;
            }
            // oneDNN sums in another order for a single image. Passing the image twice keeps a row from
            // depending on the batch by more than 1e-6.
            None if batch == 1 => input = input.f_repeat([2, 1, 1, 1])?,
            _ => {}
        }
        let mut x = channels_last(&input)?;
        for (index, (layer, weight, bias)) in self.layers.iter().enumerate() {
            x = match self.device {
                tch::Device::Cpu => x.f_conv2d(weight, Some(bias), 1, 1, 1, 1)?,
                _ => convolve_without_tf32(&x, weight, bias)?,
            };
            x = x.f_relu_()?;
            self.write(&x, (index, false), batch, features)?;
            let is_read = |tap: &ResolvedTap| tap.layer.convolution == index && tap.layer.max_pool;
            let is_last = index + 1 == self.layers.len();
            if layer.max_pool && (!is_last || self.taps.iter().any(is_read)) {
                x = x.f_max_pool2d(2, 2, 0, 1, false)?;
                self.write(&x, (index, true), batch, features)?;
            }
        }
        Ok(())
    }
}

/// A 3×3 convolution with stride 1 and padding 1, in float32 on every card.
///
/// `conv2d` lets cuDNN round its operands to TF32, 10 bits of mantissa, on cards that have it:
/// PyTorch's `torch.backends.cudnn.allow_tf32` is true unless a program sets it otherwise
/// ("TensorFloat-32 on Ampere and later devices" in PyTorch's CUDA semantics). `conv2d` calls
/// `_convolution` with that setting. This calls `_convolution` with the setting off and the other
/// arguments as in `conv2d`.
fn convolve_without_tf32(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor, tch::TchError> {
    let (stride, padding, dilation, output_padding) = ([1, 1], [1, 1], [1, 1], [0, 0]);
    let (transposed, groups) = (false, 1);
    let (benchmark, deterministic, cudnn_enabled, allow_tf32) = (false, false, true, false);
    x.f_internal_convolution(
        weight,
        Some(bias),
        stride,
        padding,
        dilation,
        transposed,
        output_padding,
        groups,
        benchmark,
        deterministic,
        cudnn_enabled,
        allow_tf32,
    )
}

/// The version of the libtorch that is loaded, which need not be the one that this program was built with,
/// the device, and on CUDA the precision of the convolutions.
pub(super) fn numerics(device: Device) -> String {
    let [major, minor, ..] = loaded_version().to_be_bytes();
    match device {
        Device::Cpu => format!("torch-{major}.{minor}-cpu"),
        Device::Cuda => format!("torch-{major}.{minor}-cuda-f32"),
    }
}

/// libtorch's `TORCH_ABI_VERSION`: major, minor and patch version in the three highest bytes.
#[allow(unsafe_code)] // tch does not tell the version; libtorch's C interface does.
fn loaded_version() -> u64 {
    // SAFETY: the declaration is that of libtorch's header; the function only returns a constant.
    unsafe extern "C" {
        /// Declared in libtorch's `torch/csrc/inductor/aoti_torch/c/shim.h`.
        safe fn aoti_torch_abi_version() -> u64;
    }
    aoti_torch_abi_version()
}

/// The same numbers, of the same shape `[N, C, H, W]`, laid out in memory as `[N, H, W, C]`.
fn channels_last(tensor: &Tensor) -> Result<Tensor, tch::TchError> {
    tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// tch 0.26 is for libtorch 2.13.
    #[test]
    fn numerics_have_version_and_precision() {
        assert_eq!(numerics(Device::Cpu), "torch-2.13-cpu");
        assert_eq!(numerics(Device::Cuda), "torch-2.13-cuda-f32");
    }

    /// On the processor, the convolution for CUDA equals `conv2d` bit for bit.
    #[test]
    fn the_convolution_without_tf32_is_conv2d() -> Result<(), tch::TchError> {
        tch::manual_seed(1);
        let random = |shape: &[i64]| Tensor::f_randn(shape, (Kind::Float, tch::Device::Cpu));
        let (x, weight) = (random(&[2, 16, 7, 5])?, random(&[32, 16, 3, 3])?);
        let (x, weight, bias) = (channels_last(&x)?, channels_last(&weight)?, random(&[32])?);
        let expected = x.f_conv2d(&weight, Some(&bias), 1, 1, 1, 1)?;
        let found = convolve_without_tf32(&x, &weight, &bias)?;
        assert_eq!(found.size(), [2, 32, 7, 5]);
        assert!(found.f_equal(&expected)?);
        Ok(())
    }
}

//! The functions after a dense layer's sums, with their derivatives, on vectors.
//!
//! A kernel is compiled for each of them, so that ReLU costs what it would cost if there were no others. The
//! error function, the exponential and the hyperbolic tangent are those of the `libm` crate: they are the same
//! on every machine.

#![allow(unsafe_code)] // Constants in vectors.

use std::f32::consts::FRAC_1_SQRT_2;

use crate::{
    shape::Activation,
    simd::{LANES, Vector},
};

/// Leaky ReLU's slope below 0 (PyTorch's default).
pub const LEAKY_RELU_SLOPE: f32 = 0.01;
/// 1 / sqrt(2 π): the largest value of the normal distribution's density.
const DENSITY: f64 = 0.398_942_280_401_432_7;

/// An activation as kernels take it.
pub(crate) trait Activate {
    /// Whether the activation of an activated value is that value.
    const IS_IDEMPOTENT: bool;
    /// Whether the derivative is no function of the value, so that the way forward keeps it.
    const KEEPS_SLOPES: bool = false;

    /// The activation of a sum; NaN of NaN.
    fn value<S: Vector>(sum: S) -> S;

    /// The derivative at a sum, if it is kept.
    #[inline(always)]
    fn slope<S: Vector>(sum: S) -> S {
        sum
    }

    /// The gradient of a sum from that of its activation; `kept` is the derivative, if it is kept, and
    /// otherwise the activation's value.
    fn back<S: Vector>(gradient: S, kept: S) -> S;
}

/// Whether the way forward keeps the derivatives of this activation.
pub(crate) fn keeps_slopes(activation: Activation) -> bool {
    match activation {
        Activation::Relu => Relu::KEEPS_SLOPES,
        Activation::LeakyRelu => LeakyRelu::KEEPS_SLOPES,
        Activation::Gelu => Gelu::KEEPS_SLOPES,
        Activation::Tanh => Tanh::KEEPS_SLOPES,
        Activation::Identity => Identity::KEEPS_SLOPES,
    }
}

/// See [`Activation::Relu`]. The derivative at 0 is 0, as in PyTorch.
pub(crate) struct Relu;

impl Activate for Relu {
    const IS_IDEMPOTENT: bool = true;

    #[inline(always)]
    fn value<S: Vector>(sum: S) -> S {
        sum.relu()
    }
    #[inline(always)]
    fn back<S: Vector>(gradient: S, kept: S) -> S {
        gradient.where_positive(kept)
    }
}

/// See [`Activation::LeakyRelu`]. The derivative at 0 is that below it, as in PyTorch.
pub(crate) struct LeakyRelu;

impl Activate for LeakyRelu {
    const IS_IDEMPOTENT: bool = false;

    #[inline(always)]
    fn value<S: Vector>(sum: S) -> S {
        // SAFETY: a value of this type exists, so its instructions are there.
        sum.mul(unsafe { S::splat(LEAKY_RELU_SLOPE) }).max(sum)
    }
    #[inline(always)]
    fn back<S: Vector>(gradient: S, kept: S) -> S {
        // SAFETY: as above.
        let leaked = gradient.mul(unsafe { S::splat(LEAKY_RELU_SLOPE) });
        // One of the terms is 0, so that nothing is rounded.
        gradient.where_positive(kept).add(leaked.sub(leaked.where_positive(kept)))
    }
}

/// See [`Activation::Gelu`].
pub(crate) struct Gelu;

impl Activate for Gelu {
    const IS_IDEMPOTENT: bool = false;
    const KEEPS_SLOPES: bool = true;

    #[inline(always)]
    fn value<S: Vector>(sum: S) -> S {
        map(sum, gelu)
    }
    #[inline(always)]
    fn slope<S: Vector>(sum: S) -> S {
        map(sum, gelu_slope)
    }
    #[inline(always)]
    fn back<S: Vector>(gradient: S, kept: S) -> S {
        gradient.mul(kept)
    }
}

/// See [`Activation::Tanh`].
pub(crate) struct Tanh;

impl Activate for Tanh {
    const IS_IDEMPOTENT: bool = false;

    #[inline(always)]
    fn value<S: Vector>(sum: S) -> S {
        map(sum, libm::tanhf)
    }
    #[inline(always)]
    fn back<S: Vector>(gradient: S, kept: S) -> S {
        // SAFETY: a value of this type exists, so its instructions are there.
        let one = unsafe { S::splat(1.0) };
        kept.neg_mul_add(kept, one).mul(gradient)
    }
}

/// See [`Activation::Identity`].
pub(crate) struct Identity;

impl Activate for Identity {
    const IS_IDEMPOTENT: bool = true;

    #[inline(always)]
    fn value<S: Vector>(sum: S) -> S {
        sum
    }
    #[inline(always)]
    fn back<S: Vector>(gradient: S, _: S) -> S {
        gradient
    }
}

fn gelu(x: f32) -> f32 {
    // Φ by the complementary error function, which does not cancel where Φ is near 0.
    x * 0.5 * libm::erfcf(-x * FRAC_1_SQRT_2)
}

fn gelu_slope(x: f32) -> f32 {
    0.5 * libm::erfcf(-x * FRAC_1_SQRT_2) + x * DENSITY as f32 * libm::expf(-0.5 * x * x)
}

/// Applies a function to each lane.
#[inline(always)]
fn map<S: Vector>(vector: S, function: impl Fn(f32) -> f32) -> S {
    let mut lanes = [0.0; LANES];
    // SAFETY: a value of this type exists, so its instructions are there; it has as many lanes.
    unsafe {
        vector.store(lanes.as_mut_ptr());
        for lane in &mut lanes {
            *lane = function(*lane);
        }
        S::load(lanes.as_ptr())
    }
}

/// The activation of a sum and its derivative, in double precision.
pub(crate) fn value_and_slope(activation: Activation, x: f64) -> (f64, f64) {
    match activation {
        Activation::Relu => (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 }),
        Activation::LeakyRelu => {
            let slope = if x > 0.0 { 1.0 } else { f64::from(LEAKY_RELU_SLOPE) };
            (x * slope, slope)
        }
        Activation::Gelu => {
            let below = 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
            (x * below, below + x * DENSITY * libm::exp(-0.5 * x * x))
        }
        Activation::Tanh => {
            let value = libm::tanh(x);
            (value, 1.0 - value * value)
        }
        Activation::Identity => (x, 1.0),
    }
}

//! Adam (Kingma & Ba 2015) on vectors in registers, with PyTorch's formula and order of operations.

#![allow(unsafe_code)] // Kernels on raw pointers.

use crate::{
    buffer::Buffer,
    head::Trained,
    simd::{LANES, Vector},
};

/// Decay of the first moment (Keras' and PyTorch's default).
const BETA1: f64 = 0.9;
/// Decay of the second moment (as above).
const BETA2: f64 = 0.999;
/// Added to the root of the second moment (Keras' default).
const EPS: f64 = 1e-7;

/// The smallest magnitude of a moment, and of a weight that decays, 2^-100; smaller ones become 0. A moment
/// without new gradients decays to a denormal number, and computing with those takes a hundred times as long.
/// Because of ε, the difference to a weight is far smaller than its rounding.
const LEAST: f32 = 7.888_609e-31;

/// Numbers that are the same for all parameters in one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adam {
    /// Learning rate over the first moment's bias.
    rate: f32,
    /// 1 over the root of the second moment's bias.
    inverse_root: f32,
    /// The factor on weights before their update; `None` without weight decay.
    decay: Option<f32>,
}

impl Adam {
    /// `step` counts from 1.
    pub(crate) fn new(learning_rate: f64, step: u64, weight_decay: f64) -> Adam {
        let bias = |beta: f64| 1.0 - beta.powf(step as f64);
        Adam {
            rate: (learning_rate / bias(BETA1)) as f32,
            inverse_root: (1.0 / bias(BETA2).sqrt()) as f32,
            decay: (weight_decay != 0.0).then_some((1.0 - learning_rate * weight_decay) as f32),
        }
    }

    /// The decay of `len` weights, a multiple of eight, of a tensor, from `start` on, before their update. It
    /// is a pass of its own, so that kernels without decay have nothing more to do, and so that weights decay
    /// whether or not a gradient has ever reached them.
    ///
    /// # Safety
    /// The instruction set of `S` is present, the tensor has these weights, and nobody else uses them.
    #[inline(always)]
    pub(crate) unsafe fn decay<S: Vector>(&self, weights: &Buffer, start: usize, len: usize) {
        let Some(factor) = self.decay else { return };
        let mut i = 0;
        while i < len {
            // SAFETY: the caller's promise.
            unsafe {
                let weight = weights.pointer().add(start + i);
                let decayed = S::load(weight).mul(S::splat(factor));
                decayed.flush(S::splat(LEAST)).store(weight);
            }
            i += LANES;
        }
    }
}

/// The constants in vectors.
#[derive(Clone, Copy)]
pub(crate) struct AdamVectors<S> {
    rate: S,
    inverse_root: S,
    gain1: S,
    beta2: S,
    gain2: S,
    eps: S,
    least: S,
}

impl<S: Vector> AdamVectors<S> {
    /// # Safety
    /// The instruction set of `S` is present.
    #[inline(always)]
    pub(crate) unsafe fn new(adam: &Adam) -> AdamVectors<S> {
        // SAFETY: the caller's promise.
        unsafe {
            AdamVectors {
                rate: S::splat(-adam.rate),
                inverse_root: S::splat(adam.inverse_root),
                gain1: S::splat((1.0 - BETA1) as f32),
                beta2: S::splat(BETA2 as f32),
                gain2: S::splat((1.0 - BETA2) as f32),
                eps: S::splat(EPS as f32),
                least: S::splat(LEAST),
            }
        }
    }

    /// Updates eight parameters.
    ///
    /// # Safety
    /// Eight floats at each pointer can be read and written, and no other thread uses them.
    #[inline(always)]
    pub(crate) unsafe fn update(&self, gradient: S, value: *mut f32, m: *mut f32, v: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            let m_old = S::load(m);
            let m_new = gradient.sub(m_old).mul_add(self.gain1, m_old).flush(self.least);
            let v_new = gradient.mul(gradient).mul(self.gain2);
            let v_new = S::load(v).mul_add(self.beta2, v_new).flush(self.least);
            let root = v_new.sqrt().mul_add(self.inverse_root, self.eps);
            m_new.store(m);
            v_new.store(v);
            m_new.mul(self.rate).div(root).add(S::load(value)).store(value);
        }
    }

    /// Updates eight parameters of a tensor, from `start` on.
    ///
    /// # Safety
    /// The tensor has them, and nobody else uses them.
    #[inline(always)]
    pub(crate) unsafe fn update_at(&self, gradient: S, tensor: &Trained, start: usize) {
        let Trained { value, m, v } = tensor;
        // SAFETY: the caller's promise.
        unsafe {
            let at = |buffer: &crate::buffer::Buffer| buffer.pointer().add(start);
            self.update(gradient, at(value), at(m), at(v));
        }
    }

    /// Updates `len` parameters, a multiple of eight, of a tensor, from `start` on.
    ///
    /// # Safety
    /// The tensor has them, nobody else uses them, and there are as many gradients.
    #[inline(always)]
    pub(crate) unsafe fn update_all(
        &self,
        gradient: *const f32,
        tensor: &Trained,
        start: usize,
        len: usize,
    ) {
        let mut i = 0;
        while i < len {
            // SAFETY: the caller's promise.
            unsafe { self.update_at(S::load(gradient.add(i)), tensor, start + i) };
            i += LANES;
        }
    }
}

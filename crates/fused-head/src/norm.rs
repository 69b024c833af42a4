//! Activation, batch normalisation and dropout of some units, forward and backward. Units are independent
//! here, so slabs are too.

#![allow(unsafe_code)] // Kernels on raw pointers.
#![allow(clippy::needless_range_loop)] // Several arrays of vectors go in step.

use crate::{
    activation::{Activate, Gelu, Identity, LeakyRelu, Relu, Tanh},
    adam::{Adam, AdamVectors},
    head::{Norm, Trained},
    random::Dropout,
    shape::Activation,
    simd::{LANES, Vector},
};

/// The number that BatchNorm adds to the variance (Keras' default).
pub const EPS: f32 = 1e-3;
/// Weight of the newest batch in the running averages: 1 - Keras' momentum of 0.99.
pub(crate) const MOMENTUM: f32 = 0.01;

/// Some units of a layer, in a batch.
pub(crate) struct Units<'a> {
    pub(crate) rows: usize,
    /// The first unit and the number of units: multiples of eight.
    pub(crate) start: usize,
    pub(crate) width: usize,
    pub(crate) activation: Activation,
    /// `[rows][width]`: sums, which [`forward`] replaces by their activations.
    pub(crate) units: *mut f32,
    /// `[rows][width]`, by [`forward`] for [`backward`]: the derivatives of the activations that keep them.
    pub(crate) slopes: *mut f32,
    /// `None` without normalisation.
    pub(crate) norm: Option<&'a Norm>,
    /// `[units]`, by [`forward`] for [`backward`], of a layer with normalisation.
    pub(crate) means: *mut f32,
    pub(crate) inverse_deviations: *mut f32,
    /// `[rows]`, `out_stride` apart, from unit `start` on: outputs or gradients of the sums.
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    /// Dropout of the next layer's inputs; `None` for inference, which takes the running averages.
    pub(crate) dropout: Option<Dropout>,
}

/// Runs `$function::<S, A>` for an activation.
macro_rules! with_activation {
    ($activation:expr, $function:ident, $($argument:expr),*) => {
        match $activation {
            Activation::Relu => $function::<S, Relu>($($argument),*),
            Activation::LeakyRelu => $function::<S, LeakyRelu>($($argument),*),
            Activation::Gelu => $function::<S, Gelu>($($argument),*),
            Activation::Tanh => $function::<S, Tanh>($($argument),*),
            Activation::Identity => $function::<S, Identity>($($argument),*),
        }
    };
}

/// From the sums to the outputs.
///
/// # Safety
/// The instruction set of `S` is present, the pointers hold what their comments say, and nobody
/// else uses these units.
#[inline(always)]
pub(crate) unsafe fn forward<S: Vector>(units: &Units<'_>) {
    // SAFETY: the caller's promises.
    unsafe { with_activation!(units.activation, forward_of, units) }
}

/// # Safety
/// As for [`forward`].
#[inline(always)]
unsafe fn forward_of<S: Vector, A: Activate>(units: &Units<'_>) {
    let mut column = 0;
    while column < units.width {
        // SAFETY: the caller's promises.
        unsafe {
            match units.norm {
                None => {
                    forward_plain::<S, A>(units, column);
                    column += LANES;
                }
                Some(norm) if units.width - column >= 4 * LANES => {
                    forward_some::<S, A, 4>(units, norm, column);
                    column += 4 * LANES;
                }
                Some(norm) => {
                    forward_some::<S, A, 1>(units, norm, column);
                    column += LANES;
                }
            }
        }
    }
}

/// Without normalisation.
///
/// # Safety
/// As for [`forward`]; a vector from `column` on.
#[inline(always)]
unsafe fn forward_plain<S: Vector, A: Activate>(u: &Units<'_>, column: usize) {
    // SAFETY: the caller's promises: all rows' vectors from `column` on.
    unsafe {
        let unit = (u.start + column) as u32;
        for row in 0..u.rows {
            let at = row * u.width + column;
            let sum = S::load(u.units.add(at));
            let mut output = A::value(sum);
            if let Some(dropout) = u.dropout {
                output.store(u.units.add(at));
                if A::KEEPS_SLOPES {
                    A::slope(sum).store(u.slopes.add(at));
                }
                if !dropout.keeps_all() {
                    output = output.dropout(&dropout.row(row), unit);
                }
            }
            output.store(u.out.add(row * u.out_stride + column));
        }
    }
}

/// # Safety
/// As for [`forward`]; `V` vectors from `column` on.
#[inline(always)]
unsafe fn forward_some<S: Vector, A: Activate, const V: usize>(
    u: &Units<'_>,
    norm: &Norm,
    column: usize,
) {
    // SAFETY: the caller's promises: all rows' vectors, and all vectors of `[hidden]` tensors, from
    // `column` and `start + column` on.
    unsafe {
        let unit = u.start + column;
        let zeros = [S::splat(0.0); V];
        let load = |from: *const f32| -> [S; V] {
            let mut vectors = zeros;
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = S::load(from.add(v * LANES));
            }
            vectors
        };
        let (mut means, mut inverse) = (zeros, zeros);
        if u.dropout.is_some() {
            let n = S::splat(1.0 / u.rows as f32);
            for row in 0..u.rows {
                let sums = u.units.add(row * u.width + column);
                for v in 0..V {
                    let sum = S::load(sums.add(v * LANES));
                    if A::KEEPS_SLOPES {
                        let slopes = u.slopes.add(row * u.width + column);
                        A::slope(sum).store(slopes.add(v * LANES));
                    }
                    let active = A::value(sum);
                    active.store(sums.add(v * LANES));
                    means[v] = means[v].add(active);
                }
            }
            for mean in &mut means {
                *mean = mean.mul(n);
            }
            let mut squares = zeros;
            for row in 0..u.rows {
                let active = load(u.units.add(row * u.width + column));
                for v in 0..V {
                    let distance = active[v].sub(means[v]);
                    squares[v] = distance.mul_add(distance, squares[v]);
                }
            }
            let momentum = S::splat(MOMENTUM);
            for v in 0..V {
                let at = unit + v * LANES;
                inverse[v] = S::splat(1.0).div(squares[v].mul_add(n, S::splat(EPS)).sqrt());
                means[v].store(u.means.add(at));
                inverse[v].store(u.inverse_deviations.add(at));
                let running = norm.running_mean.pointer().add(at);
                let old = S::load(running);
                means[v].sub(old).mul_add(momentum, old).store(running);
                // A single row has no variance.
                if u.rows > 1 {
                    let unbiased = squares[v].mul(S::splat(1.0 / (u.rows - 1) as f32));
                    let running = norm.running_var.pointer().add(at);
                    let old = S::load(running);
                    unbiased.sub(old).mul_add(momentum, old).store(running);
                }
            }
        } else {
            means = load(norm.running_mean.pointer().add(unit));
            let variances = load(norm.running_var.pointer().add(unit));
            for v in 0..V {
                inverse[v] = S::splat(1.0).div(variances[v].add(S::splat(EPS)).sqrt());
            }
        }
        let mut scale = load(norm.scale.value.pointer().add(unit));
        let shift = load(norm.shift.value.pointer().add(unit));
        for v in 0..V {
            scale[v] = scale[v].mul(inverse[v]);
        }
        for row in 0..u.rows {
            let active = load(u.units.add(row * u.width + column));
            let out = u.out.add(row * u.out_stride + column);
            let mut outputs = zeros;
            for v in 0..V {
                // Without a batch's statistics, this is the first look at the sums.
                let is_first = A::IS_IDEMPOTENT || u.dropout.is_none();
                let active = if is_first { A::value(active[v]) } else { active[v] };
                outputs[v] = active.sub(means[v]).mul_add(scale[v], shift[v]);
            }
            if let Some(dropout) = u.dropout
                && !dropout.keeps_all()
            {
                let dropout = dropout.row(row);
                for (v, output) in outputs.iter_mut().enumerate() {
                    *output = output.dropout(&dropout, (unit + v * LANES) as u32);
                }
            }
            for (v, output) in outputs.iter().enumerate() {
                output.store(out.add(v * LANES));
            }
        }
    }
}

/// From the gradient of the outputs, a slab matrix, to that of the sums, into `out`
/// (which may be the same matrix); updates the norm's scale and shift and the layer's bias.
///
/// # Safety
/// As for [`forward`], which came before, in training; nobody else uses these units' gradients and
/// parameters.
#[inline(always)]
pub(crate) unsafe fn backward<S: Vector>(
    units: &Units<'_>,
    gradient: *mut f32,
    bias: &Trained,
    adam: &Adam,
) {
    // SAFETY: the caller's promises.
    unsafe { with_activation!(units.activation, backward_of, units, gradient, bias, adam) }
}

/// # Safety
/// As for [`backward`].
#[inline(always)]
unsafe fn backward_of<S: Vector, A: Activate>(
    units: &Units<'_>,
    gradient: *mut f32,
    bias: &Trained,
    adam: &Adam,
) {
    let mut column = 0;
    while column < units.width {
        // SAFETY: the caller's promises.
        unsafe {
            let adam = AdamVectors::new(adam);
            match units.norm {
                None => {
                    backward_plain::<S, A>(units, gradient, bias, &adam, column);
                    column += LANES;
                }
                Some(norm) if units.width - column >= 2 * LANES => {
                    backward_some::<S, A, 2>(units, norm, gradient, bias, &adam, column);
                    column += 2 * LANES;
                }
                Some(norm) => {
                    backward_some::<S, A, 1>(units, norm, gradient, bias, &adam, column);
                    column += LANES;
                }
            }
        }
    }
}

/// Without normalisation.
///
/// # Safety
/// As for [`backward`]; a vector from `column` on.
#[inline(always)]
unsafe fn backward_plain<S: Vector, A: Activate>(
    u: &Units<'_>,
    gradient: *mut f32,
    bias: &Trained,
    adam: &AdamVectors<S>,
    column: usize,
) {
    // SAFETY: as in `forward_plain`.
    unsafe {
        let unit = u.start + column;
        let kept = if A::KEEPS_SLOPES { u.slopes } else { u.units };
        let mut bias_grad = S::splat(0.0);
        for row in 0..u.rows {
            let at = row * u.width + column;
            let mut grad = S::load(gradient.add(at));
            if let Some(dropout) = u.dropout
                && !dropout.keeps_all()
            {
                grad = grad.dropout(&dropout.row(row), unit as u32);
            }
            let sum = A::back(grad, S::load(kept.add(at)));
            bias_grad = bias_grad.add(sum);
            sum.store(u.out.add(row * u.out_stride + column));
        }
        adam.update_at(bias_grad, bias, unit);
    }
}

/// # Safety
/// As for [`backward`]; `V` vectors from `column` on.
#[inline(always)]
unsafe fn backward_some<S: Vector, A: Activate, const V: usize>(
    u: &Units<'_>,
    norm: &Norm,
    gradient: *mut f32,
    bias: &Trained,
    adam: &AdamVectors<S>,
    column: usize,
) {
    // SAFETY: as in `forward_some`.
    unsafe {
        let unit = u.start + column;
        let zeros = [S::splat(0.0); V];
        let load = |from: *const f32| -> [S; V] {
            let mut vectors = zeros;
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = S::load(from.add(v * LANES));
            }
            vectors
        };
        let means = load(u.means.add(unit));
        let inverse = load(u.inverse_deviations.add(unit));
        let (mut shift_grad, mut scale_grad) = (zeros, zeros);
        for row in 0..u.rows {
            let grad = gradient.add(row * u.width + column);
            let active = load(u.units.add(row * u.width + column));
            let mut grads = load(grad);
            if let Some(dropout) = u.dropout
                && !dropout.keeps_all()
            {
                let dropout = dropout.row(row);
                for (v, value) in grads.iter_mut().enumerate() {
                    *value = value.dropout(&dropout, (unit + v * LANES) as u32);
                    value.store(grad.add(v * LANES));
                }
            }
            for v in 0..V {
                let normal = active[v].sub(means[v]).mul(inverse[v]);
                shift_grad[v] = shift_grad[v].add(grads[v]);
                scale_grad[v] = normal.mul_add(grads[v], scale_grad[v]);
            }
        }
        let n = S::splat(1.0 / u.rows as f32);
        let (mut mean_shift, mut mean_scale, mut factor) = (zeros, zeros, zeros);
        let scale = load(norm.scale.value.pointer().add(unit));
        for v in 0..V {
            mean_shift[v] = shift_grad[v].mul(n);
            mean_scale[v] = scale_grad[v].mul(n);
            factor[v] = scale[v].mul(inverse[v]);
        }
        let mut bias_grad = zeros;
        for row in 0..u.rows {
            let active = load(u.units.add(row * u.width + column));
            let grads = load(gradient.add(row * u.width + column));
            let out = u.out.add(row * u.out_stride + column);
            for v in 0..V {
                let normal = active[v].sub(means[v]).mul(inverse[v]);
                let centred = grads[v].sub(mean_shift[v]).sub(normal.mul(mean_scale[v]));
                let kept = if A::KEEPS_SLOPES {
                    S::load(u.slopes.add(row * u.width + column + v * LANES))
                } else {
                    active[v]
                };
                let sum = A::back(centred.mul(factor[v]), kept);
                bias_grad[v] = bias_grad[v].add(sum);
                sum.store(out.add(v * LANES));
            }
        }
        for v in 0..V {
            let at = unit + v * LANES;
            adam.update_at(scale_grad[v], &norm.scale, at);
            adam.update_at(shift_grad[v], &norm.shift, at);
            adam.update_at(bias_grad[v], bias, at);
        }
    }
}

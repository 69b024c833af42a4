//! Eight or sixteen floats at a time: the few operations that the kernels are written in, and their
//! implementations.
//!
//! The invariant: **a value of a vector type exists only where its instructions do.** Only the
//! `unsafe` constructors make one out of nothing, so the operations on existing values are safe.
//!
//! Every function is `inline(always)`: the kernels are compiled once per instruction set, inside a
//! function that enables it (see [`crate::isa`]), and a call that is not inlined there would pass
//! its vectors through memory.

#![allow(unsafe_code)] // Vector loads, stores and intrinsics.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A vector of floats.
pub(crate) trait Simd: Copy {
    /// Floats in a vector.
    const LANES: usize;

    /// # Safety
    /// The instruction set is present.
    unsafe fn splat(value: f32) -> Self;

    /// # Safety
    /// The instruction set is present and [`LANES`](Self::LANES) floats can be read at `from` (any alignment).
    unsafe fn load(from: *const f32) -> Self;

    /// # Safety
    /// [`LANES`](Self::LANES) floats can be written at `to` (any alignment).
    unsafe fn store(self, to: *mut f32);

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    /// `self * factor`
    fn scale(self, factor: f32) -> Self;
    /// `self * factor + sum`
    fn scale_add(self, factor: f32, sum: Self) -> Self;
    /// `sum - self * factor`
    fn scale_sub(self, factor: f32, sum: Self) -> Self;
    /// `self * other + sum`
    fn mul_add(self, other: Self, sum: Self) -> Self;
    /// `max(self, 0)`, and NaN where `self` is NaN.
    fn relu(self) -> Self;
    /// The largest of four, and NaN where any of them is NaN.
    fn max4(a: Self, b: Self, c: Self, d: Self) -> Self;

    /// Asks for the cache line of `address`; any address is allowed.
    #[inline(always)]
    fn prefetch(address: *const f32) {
        let _ = address;
    }
    /// The same, into the second-level cache only.
    #[inline(always)]
    fn prefetch_l2(address: *const f32) {
        let _ = address;
    }
    /// The same, for a line that will be written.
    #[inline(always)]
    fn prefetch_write(address: *const f32) {
        let _ = address;
    }
}

/// Plain Rust, right everywhere, and vectorised by the compiler with what the target has.
#[derive(Clone, Copy)]
pub(crate) struct Portable<const LANES: usize>([f32; LANES]);

/// `a * b + c`, fused only where the target does that in hardware.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

impl<const LANES: usize> Portable<LANES> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self;
        for i in 0..LANES {
            out.0[i] = f(self.0[i], other.0[i]);
        }
        out
    }
}

impl<const LANES: usize> Simd for Portable<LANES> {
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Portable([value; LANES])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise; an array of floats has no alignment of its own beyond
        // theirs.
        Portable(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn scale(self, factor: f32) -> Self {
        self.zip(self, |a, _| a * factor)
    }
    #[inline(always)]
    fn scale_add(self, factor: f32, sum: Self) -> Self {
        self.zip(sum, |a, s| multiply_add(a, factor, s))
    }
    #[inline(always)]
    fn scale_sub(self, factor: f32, sum: Self) -> Self {
        self.zip(sum, |a, s| multiply_add(a, -factor, s))
    }
    #[inline(always)]
    fn mul_add(self, other: Self, sum: Self) -> Self {
        let mut out = sum;
        for i in 0..LANES {
            out.0[i] = multiply_add(self.0[i], other.0[i], sum.0[i]);
        }
        out
    }
    #[inline(always)]
    fn relu(self) -> Self {
        // Not `max`, which would turn NaN into 0.
        self.zip(self, |a, _| if 0.0 > a { 0.0 } else { a })
    }
    #[inline(always)]
    fn max4(a: Self, b: Self, c: Self, d: Self) -> Self {
        let max = |x: f32, y: f32| if x > y || x.is_nan() { x } else { y };
        a.zip(b, max).zip(c.zip(d, max), max)
    }
}

/// AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Avx2(__m256);

// SAFETY of the safe functions' blocks: a value of this type exists, so AVX2 and FMA are there.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks)] // One comment, above, for all one-line intrinsics.
impl Simd for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Avx2(unsafe { _mm256_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Avx2(unsafe { _mm256_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Avx2(unsafe { _mm256_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Avx2(unsafe { _mm256_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn scale(self, factor: f32) -> Self {
        Avx2(unsafe { _mm256_mul_ps(self.0, _mm256_set1_ps(factor)) })
    }
    #[inline(always)]
    fn scale_add(self, factor: f32, sum: Self) -> Self {
        Avx2(unsafe { _mm256_fmadd_ps(self.0, _mm256_set1_ps(factor), sum.0) })
    }
    #[inline(always)]
    fn scale_sub(self, factor: f32, sum: Self) -> Self {
        Avx2(unsafe { _mm256_fnmadd_ps(self.0, _mm256_set1_ps(factor), sum.0) })
    }
    #[inline(always)]
    fn mul_add(self, other: Self, sum: Self) -> Self {
        Avx2(unsafe { _mm256_fmadd_ps(self.0, other.0, sum.0) })
    }
    #[inline(always)]
    fn relu(self) -> Self {
        // The instruction returns its second operand where either is NaN: the order matters.
        Avx2(unsafe { _mm256_max_ps(_mm256_setzero_ps(), self.0) })
    }
    #[inline(always)]
    fn max4(a: Self, b: Self, c: Self, d: Self) -> Self {
        // The maxima lose a NaN in a first operand; the comparisons find it, and their mask, all
        // ones, is itself a NaN.
        unsafe {
            let max = _mm256_max_ps(_mm256_max_ps(a.0, b.0), _mm256_max_ps(c.0, d.0));
            let nan = _mm256_or_ps(
                _mm256_cmp_ps::<_CMP_UNORD_Q>(a.0, b.0),
                _mm256_cmp_ps::<_CMP_UNORD_Q>(c.0, d.0),
            );
            Avx2(_mm256_or_ps(max, nan))
        }
    }
    #[inline(always)]
    fn prefetch(address: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[inline(always)]
    fn prefetch_l2(address: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
    #[inline(always)]
    fn prefetch_write(address: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(address.cast()) }
    }
}

/// AVX-512F.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Avx512(__m512);

// SAFETY of the safe functions' blocks: a value of this type exists, so AVX-512F is there.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks)] // One comment, above, for all one-line intrinsics.
impl Simd for Avx512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Avx512(unsafe { _mm512_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Avx512(unsafe { _mm512_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Avx512(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Avx512(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn scale(self, factor: f32) -> Self {
        Avx512(unsafe { _mm512_mul_ps(self.0, _mm512_set1_ps(factor)) })
    }
    #[inline(always)]
    fn scale_add(self, factor: f32, sum: Self) -> Self {
        Avx512(unsafe { _mm512_fmadd_ps(self.0, _mm512_set1_ps(factor), sum.0) })
    }
    #[inline(always)]
    fn scale_sub(self, factor: f32, sum: Self) -> Self {
        Avx512(unsafe { _mm512_fnmadd_ps(self.0, _mm512_set1_ps(factor), sum.0) })
    }
    #[inline(always)]
    fn mul_add(self, other: Self, sum: Self) -> Self {
        Avx512(unsafe { _mm512_fmadd_ps(self.0, other.0, sum.0) })
    }
    #[inline(always)]
    fn relu(self) -> Self {
        // As for AVX2.
        Avx512(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
    }
    #[inline(always)]
    fn max4(a: Self, b: Self, c: Self, d: Self) -> Self {
        // As for AVX2, but a comparison gives a mask.
        unsafe {
            let max = _mm512_max_ps(_mm512_max_ps(a.0, b.0), _mm512_max_ps(c.0, d.0));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a.0, b.0)
                | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(c.0, d.0);
            Avx512(_mm512_mask_blend_ps(nan, max, _mm512_set1_ps(f32::NAN)))
        }
    }
    #[inline(always)]
    fn prefetch(address: *const f32) {
        Avx2::prefetch(address);
    }
    #[inline(always)]
    fn prefetch_l2(address: *const f32) {
        Avx2::prefetch_l2(address);
    }
    #[inline(always)]
    fn prefetch_write(address: *const f32) {
        Avx2::prefetch_write(address);
    }
}

/// Two vectors as one of twice the lanes.
#[derive(Clone, Copy)]
pub(crate) struct Pair<S>(S, S);

impl<S: Simd> Simd for Pair<S> {
    const LANES: usize = 2 * S::LANES;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller's promise.
        let vector = unsafe { S::splat(value) };
        Pair(vector, vector)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Pair(S::load(from), S::load(from.add(S::LANES))) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            self.0.store(to);
            self.1.store(to.add(S::LANES));
        }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Pair(self.0.add(other.0), self.1.add(other.1))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Pair(self.0.sub(other.0), self.1.sub(other.1))
    }
    #[inline(always)]
    fn scale(self, factor: f32) -> Self {
        Pair(self.0.scale(factor), self.1.scale(factor))
    }
    #[inline(always)]
    fn scale_add(self, factor: f32, sum: Self) -> Self {
        Pair(self.0.scale_add(factor, sum.0), self.1.scale_add(factor, sum.1))
    }
    #[inline(always)]
    fn scale_sub(self, factor: f32, sum: Self) -> Self {
        Pair(self.0.scale_sub(factor, sum.0), self.1.scale_sub(factor, sum.1))
    }
    #[inline(always)]
    fn mul_add(self, other: Self, sum: Self) -> Self {
        Pair(self.0.mul_add(other.0, sum.0), self.1.mul_add(other.1, sum.1))
    }
    #[inline(always)]
    fn relu(self) -> Self {
        Pair(self.0.relu(), self.1.relu())
    }
    #[inline(always)]
    fn max4(a: Self, b: Self, c: Self, d: Self) -> Self {
        Pair(S::max4(a.0, b.0, c.0, d.0), S::max4(a.1, b.1, c.1, d.1))
    }
    #[inline(always)]
    fn prefetch(address: *const f32) {
        S::prefetch(address);
    }
    #[inline(always)]
    fn prefetch_l2(address: *const f32) {
        S::prefetch_l2(address);
    }
    #[inline(always)]
    fn prefetch_write(address: *const f32) {
        S::prefetch_write(address);
    }
}

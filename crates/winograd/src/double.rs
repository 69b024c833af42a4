//! Vectors of doubles, with which the weights are defined. They are read from floats and rounded to floats.

#![allow(unsafe_code)] // Vector loads, stores and intrinsics.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A vector of doubles, or a single one. As with [`Simd`](kernel_support::simd::Simd), a value of a vector
/// type exists only on processors with its instructions.
pub(crate) trait Double: Copy {
    /// The number of doubles in a vector.
    const LANES: usize;

    /// `value` in every lane.
    ///
    /// # Safety
    /// The instruction set is present.
    unsafe fn splat(value: f64) -> Self;

    /// The [`LANES`](Self::LANES) floats at `from`.
    ///
    /// # Safety
    /// The instruction set is present and the floats can be read. Any alignment is allowed.
    unsafe fn load(from: *const f32) -> Self;

    /// Writes [`LANES`](Self::LANES) floats, each the nearest to a lane.
    ///
    /// # Safety
    /// They can be written at `to`. Any alignment is allowed.
    unsafe fn store(self, to: *mut f32);

    /// `self + other`
    fn add(self, other: Self) -> Self;
    /// `self - other`
    fn sub(self, other: Self) -> Self;
    /// `self * other`
    fn mul(self, other: Self) -> Self;
    /// `self / other`
    fn div(self, other: Self) -> Self;

    /// A constant in every lane.
    #[inline(always)]
    fn constant(self, value: f64) -> Self {
        // SAFETY: a value of this type exists, so its instructions are there.
        unsafe { Self::splat(value) }
    }
    /// `self * factor`
    #[inline(always)]
    fn scale(self, factor: f64) -> Self {
        self.mul(self.constant(factor))
    }
}

/// Plain Rust, for which the compiler chooses instructions of its target.
#[derive(Clone, Copy)]
pub(crate) struct PortableDouble<const LANES: usize>([f64; LANES]);

impl<const LANES: usize> PortableDouble<LANES> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        PortableDouble(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl<const LANES: usize> Double for PortableDouble<LANES> {
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn splat(value: f64) -> Self {
        PortableDouble([value; LANES])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        PortableDouble(std::array::from_fn(|i| f64::from(unsafe { *from.add(i) })))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        for (i, value) in self.0.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { *to.add(i) = value as f32 }
        }
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
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
}

/// Four doubles, with AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx2Double(__m256d);

// SAFETY of the safe functions' blocks: a value of this type exists, so AVX2 and FMA are there.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks)] // One comment, above, for all one-line intrinsics.
impl Double for Avx2Double {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f64) -> Self {
        Avx2Double(unsafe { _mm256_set1_pd(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Avx2Double(unsafe { _mm256_cvtps_pd(_mm_loadu_ps(from)) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm_storeu_ps(to, _mm256_cvtpd_ps(self.0)) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Avx2Double(unsafe { _mm256_add_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Avx2Double(unsafe { _mm256_sub_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Avx2Double(unsafe { _mm256_mul_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Avx2Double(unsafe { _mm256_div_pd(self.0, other.0) })
    }
}

/// Eight doubles, with AVX-512F.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx512Double(__m512d);

// SAFETY of the safe functions' blocks: a value of this type exists, so AVX-512F is there.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks)] // One comment, above, for all one-line intrinsics.
impl Double for Avx512Double {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f64) -> Self {
        Avx512Double(unsafe { _mm512_set1_pd(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Avx512Double(unsafe { _mm512_cvtps_pd(_mm256_loadu_ps(from)) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, _mm512_cvtpd_ps(self.0)) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Avx512Double(unsafe { _mm512_add_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Avx512Double(unsafe { _mm512_sub_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Avx512Double(unsafe { _mm512_mul_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Avx512Double(unsafe { _mm512_div_pd(self.0, other.0) })
    }
}

/// A single double, for tests and for filters outside of the kernels.
impl Double for f64 {
    const LANES: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f64) -> Self {
        value
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        f64::from(unsafe { *from })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { *to = self as f32 }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self + other
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self - other
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self * other
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self / other
    }
}

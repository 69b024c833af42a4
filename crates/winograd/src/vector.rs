//! Vectors of eight or sixteen floats: the operations of transforms and pools that
//! [`kernel_support::simd`] does not have, and pairs of vectors as one.

#![allow(unsafe_code)] // Vector loads, stores and intrinsics.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
pub(crate) use kernel_support::simd::{Avx2, Avx512};
pub(crate) use kernel_support::simd::{Portable, Simd};

/// A vector of floats in the transforms.
pub(crate) trait Vector: Simd {
    /// The largest of four; NaN in lanes in which any of them is NaN.
    fn max4(a: Self, b: Self, c: Self, d: Self) -> Self;

    /// `self * factor`
    #[inline(always)]
    fn scale(self, factor: f32) -> Self {
        // SAFETY: a value of this type exists, so its instructions are there.
        self.mul(unsafe { Self::splat(factor) })
    }
    /// `self * factor + sum`
    #[inline(always)]
    fn scale_add(self, factor: f32, sum: Self) -> Self {
        // SAFETY: as above.
        self.mul_add(unsafe { Self::splat(factor) }, sum)
    }
    /// `sum - self * factor`
    #[inline(always)]
    fn scale_sub(self, factor: f32, sum: Self) -> Self {
        // SAFETY: as above.
        self.neg_mul_add(unsafe { Self::splat(factor) }, sum)
    }
}

impl<const LANES: usize> Vector for Portable<LANES> {
    #[inline(always)]
    fn max4(a: Self, b: Self, c: Self, d: Self) -> Self {
        let max = |x: f32, y: f32| if x > y || x.is_nan() { x } else { y };
        a.zip(b, max).zip(c.zip(d, max), max)
    }
}

#[cfg(target_arch = "x86_64")]
impl Vector for Avx2 {
    #[inline(always)]
    fn max4(a: Self, b: Self, c: Self, d: Self) -> Self {
        let max = a.max(b).max(c.max(d)).raw();
        // The maxima lose a NaN in a first operand. The comparisons find it, and their mask, which has all
        // bits set, is itself a NaN.
        // SAFETY: vectors of this type exist, so AVX2 is there.
        unsafe {
            let nan = _mm256_or_ps(
                _mm256_cmp_ps::<_CMP_UNORD_Q>(a.raw(), b.raw()),
                _mm256_cmp_ps::<_CMP_UNORD_Q>(c.raw(), d.raw()),
            );
            Avx2::from_raw(_mm256_or_ps(max, nan))
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Vector for Avx512 {
    #[inline(always)]
    fn max4(a: Self, b: Self, c: Self, d: Self) -> Self {
        let max = a.max(b).max(c.max(d)).raw();
        // As for AVX2, but a comparison gives a mask.
        // SAFETY: vectors of this type exist, so AVX-512F is there.
        unsafe {
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a.raw(), b.raw())
                | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(c.raw(), d.raw());
            Avx512::from_raw(_mm512_mask_blend_ps(nan, max, _mm512_set1_ps(f32::NAN)))
        }
    }
}

impl<S: Vector> Vector for Pair<S> {
    #[inline(always)]
    fn max4(a: Self, b: Self, c: Self, d: Self) -> Self {
        Pair(S::max4(a.0, b.0, c.0, d.0), S::max4(a.1, b.1, c.1, d.1))
    }
}

/// Two vectors that act as one with twice the lanes.
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
    fn mul(self, other: Self) -> Self {
        Pair(self.0.mul(other.0), self.1.mul(other.1))
    }
    #[inline(always)]
    fn mul_add(self, other: Self, sum: Self) -> Self {
        Pair(self.0.mul_add(other.0, sum.0), self.1.mul_add(other.1, sum.1))
    }
    #[inline(always)]
    fn neg_mul_add(self, other: Self, sum: Self) -> Self {
        Pair(self.0.neg_mul_add(other.0, sum.0), self.1.neg_mul_add(other.1, sum.1))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Pair(self.0.max(other.0), self.1.max(other.1))
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

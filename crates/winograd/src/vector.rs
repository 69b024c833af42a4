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

    /// Transposes a square block of [`Simd::LANES`] rows and columns: row `i` is read from `rows[i]` on,
    /// and column `i` is written from `to + i * stride` on.
    ///
    /// # Safety
    /// The instruction set is present, there are as many rows, each has as many floats, and there is room
    /// for the columns.
    #[inline(always)]
    unsafe fn transpose(rows: &[*const f32], to: *mut f32, stride: usize) {
        for column in 0..Self::LANES {
            for (i, row) in rows[..Self::LANES].iter().enumerate() {
                // SAFETY: the caller's promises.
                unsafe { *to.add(column * stride + i) = *row.add(column) };
            }
        }
    }

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

    /// In three steps: single floats of two rows are interleaved, then pairs, then halves.
    #[inline(always)]
    unsafe fn transpose(rows: &[*const f32], to: *mut f32, stride: usize) {
        // SAFETY: the caller's promises.
        unsafe {
            let row: [__m256; 8] = std::array::from_fn(|i| _mm256_loadu_ps(rows[i]));
            let mut singles = [_mm256_setzero_ps(); 8];
            let mut pairs = singles;
            for i in (0..8).step_by(2) {
                singles[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
                singles[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
            }
            for i in [0, 4] {
                pairs[i] = _mm256_shuffle_ps::<0x44>(singles[i], singles[i + 2]);
                pairs[i + 1] = _mm256_shuffle_ps::<0xee>(singles[i], singles[i + 2]);
                pairs[i + 2] = _mm256_shuffle_ps::<0x44>(singles[i + 1], singles[i + 3]);
                pairs[i + 3] = _mm256_shuffle_ps::<0xee>(singles[i + 1], singles[i + 3]);
            }
            for i in 0..4 {
                let (low, high) = (pairs[i], pairs[i + 4]);
                let column = to.add(i * stride);
                _mm256_storeu_ps(column, _mm256_permute2f128_ps::<0x20>(low, high));
                let column = to.add((i + 4) * stride);
                _mm256_storeu_ps(column, _mm256_permute2f128_ps::<0x31>(low, high));
            }
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

    /// As four blocks of a quarter of the size.
    #[inline(always)]
    unsafe fn transpose(rows: &[*const f32], to: *mut f32, stride: usize) {
        // SAFETY: the caller's promises; processors with AVX-512 have AVX2.
        unsafe {
            for column in [0, 8] {
                for row in [0, 8] {
                    let quarter: [*const f32; 8] =
                        std::array::from_fn(|i| rows[row + i].add(column));
                    Avx2::transpose(&quarter, to.add(column * stride + row), stride);
                }
            }
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

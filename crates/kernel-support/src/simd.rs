//! Vectors of floats: the operations that kernels are written in, and their implementations.
//!
//! The invariant: **a value of a vector type exists only on processors with its instructions.** Only the
//! `unsafe` constructors make a vector without having one, so the operations on vectors are safe.
//!
//! Every function is `inline(always)`. The kernels are compiled once per instruction set, inside a
//! function that enables it, and a call that is not inlined there would pass its vectors through memory.

#![allow(unsafe_code)] // Vector loads, stores and intrinsics.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A vector of floats, which in memory is [`LANES`](Self::LANES) of them.
pub trait Simd: Copy {
    /// The number of floats in a vector.
    const LANES: usize;

    /// `value` in every lane.
    ///
    /// # Safety
    /// The instruction set is present.
    unsafe fn splat(value: f32) -> Self;

    /// The [`LANES`](Self::LANES) floats at `from`.
    ///
    /// # Safety
    /// The instruction set is present and the floats can be read. Any alignment is allowed.
    unsafe fn load(from: *const f32) -> Self;

    /// Writes [`LANES`](Self::LANES) floats.
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
    /// `self * other + sum`, rounded once if the instruction set has such an operation.
    fn mul_add(self, other: Self, sum: Self) -> Self;
    /// `sum - self * other`, rounded once if the instruction set has such an operation.
    fn neg_mul_add(self, other: Self, sum: Self) -> Self;
    /// The larger of both. It is `other` if either is NaN or they are equal, as with the x86 instruction.
    fn max(self, other: Self) -> Self;

    /// `max(self, 0)`; NaN in lanes in which `self` is NaN.
    #[inline(always)]
    fn relu(self) -> Self {
        // SAFETY: a value of this type exists, so its instructions are there.
        unsafe { Self::splat(0.0) }.max(self)
    }

    /// Prefetches the cache line of `address`. Any address is allowed.
    #[inline(always)]
    fn prefetch(address: *const f32) {
        let _ = address;
    }
    /// Prefetches the cache line of `address` into the second-level cache only.
    #[inline(always)]
    fn prefetch_l2(address: *const f32) {
        let _ = address;
    }
    /// Prefetches the cache line of `address` for writing.
    #[inline(always)]
    fn prefetch_write(address: *const f32) {
        let _ = address;
    }
}

/// Plain Rust, which runs everywhere. The compiler vectorises it with the instructions of the target; on
/// 64-bit Arm these are NEON.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(transparent)]
pub struct Portable<const LANES: usize>(pub [f32; LANES]);

/// Whether [`Portable`] multiplies and adds with a single rounding. It does if the target has hardware for
/// that.
pub const PORTABLE_FUSES: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if PORTABLE_FUSES { a.mul_add(b, c) } else { a * b + c }
}

impl<const LANES: usize> Portable<LANES> {
    /// Applies `f` to each pair of lanes.
    #[inline(always)]
    pub fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
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
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
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
    fn neg_mul_add(self, other: Self, sum: Self) -> Self {
        let mut out = sum;
        for i in 0..LANES {
            out.0[i] = multiply_add(self.0[i], -other.0[i], sum.0[i]);
        }
        out
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // `f32::max` would turn a NaN of `other` into a number.
        self.zip(other, |a, b| if a > b { a } else { b })
    }
}

/// AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Avx2(__m256);

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// A vector of the processor's as one of ours.
    ///
    /// # Safety
    /// AVX2 and FMA are present.
    #[inline(always)]
    pub unsafe fn from_raw(vector: __m256) -> Avx2 {
        Avx2(vector)
    }

    /// The processor's vector.
    #[inline(always)]
    pub fn raw(self) -> __m256 {
        self.0
    }
}

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
    fn mul(self, other: Self) -> Self {
        Avx2(unsafe { _mm256_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, other: Self, sum: Self) -> Self {
        Avx2(unsafe { _mm256_fmadd_ps(self.0, other.0, sum.0) })
    }
    #[inline(always)]
    fn neg_mul_add(self, other: Self, sum: Self) -> Self {
        Avx2(unsafe { _mm256_fnmadd_ps(self.0, other.0, sum.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // The order matters: the instruction returns its second operand if either is NaN.
        Avx2(unsafe { _mm256_max_ps(self.0, other.0) })
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
pub struct Avx512(__m512);

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    /// A vector of the processor's as one of ours.
    ///
    /// # Safety
    /// AVX-512F is present.
    #[inline(always)]
    pub unsafe fn from_raw(vector: __m512) -> Avx512 {
        Avx512(vector)
    }

    /// The processor's vector.
    #[inline(always)]
    pub fn raw(self) -> __m512 {
        self.0
    }
}

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
    fn mul(self, other: Self) -> Self {
        Avx512(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, other: Self, sum: Self) -> Self {
        Avx512(unsafe { _mm512_fmadd_ps(self.0, other.0, sum.0) })
    }
    #[inline(always)]
    fn neg_mul_add(self, other: Self, sum: Self) -> Self {
        Avx512(unsafe { _mm512_fnmadd_ps(self.0, other.0, sum.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // The order matters, as for AVX2.
        Avx512(unsafe { _mm512_max_ps(self.0, other.0) })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Floats of all kinds, enough for any vector.
    fn values(shift: usize) -> Vec<f32> {
        let special = [0.0, -0.0, 1.5, -2.25, f32::NAN, f32::INFINITY, -1e-40, 3e38, 7.0];
        (0..16).map(|i| special[(i * (shift + 1) + shift) % special.len()]).collect()
    }

    /// The bits of a float, with one value for all NaN.
    fn bits(value: f32) -> u32 {
        if value.is_nan() { u32::MAX } else { value.to_bits() }
    }

    /// Compares every operation of `S` with the scalar one.
    ///
    /// # Safety
    /// The instruction set is present.
    #[inline(always)]
    unsafe fn check<S: Simd>(fuses: bool) {
        for shift in 0..9 {
            let (a, b, c) = (values(shift), values(shift + 2), values(shift + 5));
            // SAFETY: sixteen floats each, at least as many as lanes; the caller's promise.
            let [x, y, z] = unsafe { [&a, &b, &c].map(|v| S::load(v.as_ptr())) };
            let same = |name: &str, vector: S, f: &dyn Fn(usize) -> f32| {
                let mut out = [0.0; 16];
                // SAFETY: as above.
                unsafe { vector.store(out.as_mut_ptr()) };
                for i in 0..S::LANES {
                    let (a, b, c) = (a[i], b[i], c[i]);
                    assert_eq!(bits(out[i]), bits(f(i)), "{name} of {a}, {b}, {c}");
                }
            };
            let fma = |a: f32, b: f32, c: f32| if fuses { a.mul_add(b, c) } else { a * b + c };
            // SAFETY: the caller's promise.
            same("splat", unsafe { S::splat(a[1]) }, &|_| a[1]);
            same("add", x.add(y), &|i| a[i] + b[i]);
            same("sub", x.sub(y), &|i| a[i] - b[i]);
            same("mul", x.mul(y), &|i| a[i] * b[i]);
            same("mul_add", x.mul_add(y, z), &|i| fma(a[i], b[i], c[i]));
            same("neg_mul_add", x.neg_mul_add(y, z), &|i| fma(a[i], -b[i], c[i]));
            same("max", x.max(y), &|i| if a[i] > b[i] { a[i] } else { b[i] });
            same("relu", x.relu(), &|i| if 0.0 > a[i] { 0.0 } else { a[i] });
            S::prefetch(a.as_ptr());
            S::prefetch_l2(std::ptr::null());
            S::prefetch_write(a.as_ptr());
        }
    }

    #[test]
    fn portable_vectors_do_what_scalars_do() {
        // SAFETY: plain Rust.
        unsafe {
            check::<Portable<4>>(PORTABLE_FUSES);
            check::<Portable<8>>(PORTABLE_FUSES);
            check::<Portable<16>>(PORTABLE_FUSES);
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn avx2_does_what_scalars_do() {
        #[target_feature(enable = "avx2,fma")]
        fn run() {
            // SAFETY: the instructions are enabled here.
            unsafe { check::<Avx2>(true) }
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as just detected.
            unsafe { run() }
        } else {
            crate::testing::skipped("AVX2 and FMA");
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn avx512_does_what_scalars_do() {
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn run() {
            // SAFETY: the instructions are enabled here.
            unsafe { check::<Avx512>(true) }
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: as just detected.
            unsafe { run() }
        } else {
            crate::testing::skipped("AVX-512F");
        }
    }
}

//! Eight floats at a time: the few operations that the kernels are written in, and their two
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

#[cfg(target_arch = "x86_64")]
use crate::random::MULTIPLIERS;
use crate::random::RowDropout;

/// Lanes of a vector.
pub(crate) const LANES: usize = 8;

/// A vector of eight floats.
pub(crate) trait Simd: Copy {
    /// # Safety
    /// The instruction set is present.
    unsafe fn splat(value: f32) -> Self;

    /// # Safety
    /// The instruction set is present and eight floats can be read at `from` (any alignment).
    unsafe fn load(from: *const f32) -> Self;

    /// # Safety
    /// Eight floats can be written at `to` (any alignment).
    unsafe fn store(self, to: *mut f32);

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    fn sqrt(self) -> Self;
    /// `self * other + sum`
    fn mul_add(self, other: Self, sum: Self) -> Self;
    /// `max(self, 0)`, and NaN where `self` is NaN.
    fn relu(self) -> Self;
    /// `self` where `gate` is more than 0, else 0.
    fn where_positive(self, gate: Self) -> Self;

    /// 0 where the magnitude is less than `limit`.
    fn flush(self, limit: Self) -> Self;

    /// Drops, or scales, the elements of eight columns from `column` on.
    fn dropout(self, row: &RowDropout, column: u32) -> Self;

    /// Writes the elements that are not 0 (NaN is not), and `base` plus their lanes; returns how
    /// many there are.
    ///
    /// # Safety
    /// Eight values and indices can be written, whatever the number.
    unsafe fn compress(self, base: u32, values: *mut f32, indices: *mut u32) -> usize;

    /// Writes those of the first `count` (at most eight) elements that are not dropped, scaled, and
    /// their indices, which are their columns; returns how many there are.
    ///
    /// # Safety
    /// The instruction set is present, eight values and indices can be read from `from`, and
    /// written at `to`, whatever the number.
    unsafe fn filter(
        row: &RowDropout,
        count: usize,
        from: (*const f32, *const u32),
        to: (*mut f32, *mut u32),
    ) -> usize;

    /// Asks for the cache line of `address`; any address is allowed.
    #[inline(always)]
    fn prefetch(address: *const f32) {
        let _ = address;
    }
}

/// Plain Rust, right everywhere, and vectorised by the compiler with what the target has.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; LANES]);

/// Whether [`Portable`] multiplies and adds with a single rounding: only where the target does that in
/// hardware.
pub(crate) const PORTABLE_FUSES: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if PORTABLE_FUSES { a.mul_add(b, c) } else { a * b + c }
}

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self;
        for i in 0..LANES {
            out.0[i] = f(self.0[i], other.0[i]);
        }
        out
    }
}

impl Simd for Portable {
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
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.zip(self, |a, _| a.sqrt())
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
    fn where_positive(self, gate: Self) -> Self {
        self.zip(gate, |a, g| if g > 0.0 { a } else { 0.0 })
    }
    #[inline(always)]
    fn flush(self, limit: Self) -> Self {
        self.zip(limit, |a, limit| if a.abs() < limit { 0.0 } else { a })
    }
    #[inline(always)]
    fn dropout(self, row: &RowDropout, column: u32) -> Self {
        let mut out = self;
        for i in 0..LANES {
            let keeps = row.keeps(column.wrapping_add(i as u32));
            out.0[i] = if keeps { self.0[i] * row.scale } else { 0.0 };
        }
        out
    }
    #[inline(always)]
    unsafe fn compress(self, base: u32, values: *mut f32, indices: *mut u32) -> usize {
        let mut count = 0;
        for (i, &value) in self.0.iter().enumerate() {
            if value != 0.0 {
                // SAFETY: there is room for eight.
                unsafe {
                    *values.add(count) = value;
                    *indices.add(count) = base + i as u32;
                }
                count += 1;
            }
        }
        count
    }
    #[inline(always)]
    unsafe fn filter(
        row: &RowDropout,
        count: usize,
        from: (*const f32, *const u32),
        to: (*mut f32, *mut u32),
    ) -> usize {
        let mut kept = 0;
        for i in 0..count {
            // SAFETY: eight can be read and written, and `kept <= i < count <= 8`.
            unsafe {
                let column = *from.1.add(i);
                if row.keeps(column) {
                    *to.0.add(kept) = *from.0.add(i) * row.scale;
                    *to.1.add(kept) = column;
                    kept += 1;
                }
            }
        }
        kept
    }
}

/// For each set of lanes, their numbers in order.
#[cfg(target_arch = "x86_64")]
static LANES_OF: [[u8; LANES]; 1 << LANES] = {
    let mut table = [[0; LANES]; 1 << LANES];
    let mut set = 0;
    while set < table.len() {
        let (mut lane, mut count) = (0, 0);
        while lane < LANES {
            if set >> lane & 1 == 1 {
                table[set][count] = lane as u8;
                count += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    table
};

/// AVX2, FMA and POPCNT.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Avx2(__m256);

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// All ones in the lanes whose columns are kept.
    ///
    /// # Safety
    /// The instruction set is present.
    #[inline(always)]
    unsafe fn kept(row: &RowDropout, columns: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe {
            let splat = |x: u32| _mm256_set1_epi32(x as i32);
            let x = _mm256_xor_si256(columns, splat(row.keys[0]));
            let x = _mm256_xor_si256(x, _mm256_srli_epi32::<16>(x));
            let x = _mm256_mullo_epi32(x, splat(MULTIPLIERS[0]));
            let x = _mm256_xor_si256(x, splat(row.keys[1]));
            let x = _mm256_xor_si256(x, _mm256_srli_epi32::<15>(x));
            let x = _mm256_mullo_epi32(x, splat(MULTIPLIERS[1]));
            let x = _mm256_xor_si256(x, _mm256_srli_epi32::<16>(x));
            // Unsigned `x >= threshold`.
            _mm256_cmpeq_epi32(_mm256_max_epu32(x, splat(row.threshold)), x)
        }
    }

    /// The permutation that moves the lanes of a set to the front.
    ///
    /// # Safety
    /// The instruction set is present, and `set` has eight bits.
    #[inline(always)]
    unsafe fn to_front(set: usize) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe {
            let lanes = LANES_OF.as_ptr().add(set).cast();
            _mm256_cvtepu8_epi32(_mm_loadl_epi64(lanes))
        }
    }
}

// SAFETY of the safe functions' blocks: a value of this type exists, so its instructions are there.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks)] // One comment, above, for all one-line intrinsics.
impl Simd for Avx2 {
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
    fn div(self, other: Self) -> Self {
        Avx2(unsafe { _mm256_div_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Avx2(unsafe { _mm256_sqrt_ps(self.0) })
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
    fn where_positive(self, gate: Self) -> Self {
        unsafe {
            let positive = _mm256_cmp_ps::<_CMP_GT_OQ>(gate.0, _mm256_setzero_ps());
            Avx2(_mm256_and_ps(self.0, positive))
        }
    }
    #[inline(always)]
    fn flush(self, limit: Self) -> Self {
        unsafe {
            let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0);
            let small = _mm256_cmp_ps::<_CMP_LT_OQ>(magnitude, limit.0);
            Avx2(_mm256_andnot_ps(small, self.0))
        }
    }
    #[inline(always)]
    fn dropout(self, row: &RowDropout, column: u32) -> Self {
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let columns = _mm256_add_epi32(_mm256_set1_epi32(column as i32), lanes);
            let kept = _mm256_castsi256_ps(Avx2::kept(row, columns));
            Avx2(_mm256_and_ps(_mm256_mul_ps(self.0, _mm256_set1_ps(row.scale)), kept))
        }
    }
    #[inline(always)]
    unsafe fn compress(self, base: u32, values: *mut f32, indices: *mut u32) -> usize {
        // SAFETY: there is room for eight; the mask has eight bits.
        unsafe {
            let present = _mm256_cmp_ps::<_CMP_NEQ_UQ>(self.0, _mm256_setzero_ps());
            let set = _mm256_movemask_ps(present) as usize;
            let order = Avx2::to_front(set);
            _mm256_storeu_ps(values, _mm256_permutevar8x32_ps(self.0, order));
            let columns = _mm256_add_epi32(order, _mm256_set1_epi32(base as i32));
            _mm256_storeu_si256(indices.cast(), columns);
            set.count_ones() as usize
        }
    }
    #[inline(always)]
    unsafe fn filter(
        row: &RowDropout,
        count: usize,
        from: (*const f32, *const u32),
        to: (*mut f32, *mut u32),
    ) -> usize {
        // SAFETY: eight can be read and written; the mask has eight bits.
        unsafe {
            let columns = _mm256_loadu_si256(from.1.cast());
            let kept = _mm256_movemask_ps(_mm256_castsi256_ps(Avx2::kept(row, columns)));
            let set = kept as usize & (0xff >> (LANES - count));
            let order = Avx2::to_front(set);
            let values = _mm256_mul_ps(_mm256_loadu_ps(from.0), _mm256_set1_ps(row.scale));
            _mm256_storeu_ps(to.0, _mm256_permutevar8x32_ps(values, order));
            _mm256_storeu_si256(to.1.cast(), _mm256_permutevar8x32_epi32(columns, order));
            set.count_ones() as usize
        }
    }
    #[inline(always)]
    fn prefetch(address: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
}

//! Vectors of eight floats: what training needs beyond [`kernel_support::simd`].

#![allow(unsafe_code)] // Vector loads, stores and intrinsics.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
pub(crate) use kernel_support::simd::Avx2;
pub(crate) use kernel_support::simd::{PORTABLE_FUSES, Simd};

#[cfg(target_arch = "x86_64")]
use crate::random::MULTIPLIERS;
use crate::random::RowDropout;

/// Lanes of a vector.
pub(crate) const LANES: usize = 8;

/// Plain Rust.
pub(crate) type Portable = kernel_support::simd::Portable<LANES>;

/// The number of a column, as sparse rows have it.
pub(crate) trait Column: Copy + Default + PartialOrd {
    /// The number.
    fn widen(self) -> u32;

    /// The eight columns at `from`.
    ///
    /// # Safety
    /// The instruction set is present and the columns can be read (any alignment).
    #[cfg(target_arch = "x86_64")]
    unsafe fn load(from: *const Self) -> __m256i;
}

impl Column for u16 {
    #[inline(always)]
    fn widen(self) -> u32 {
        u32::from(self)
    }
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(from: *const u16) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast())) }
    }
}

impl Column for u32 {
    #[inline(always)]
    fn widen(self) -> u32 {
        self
    }
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
}

/// A vector of eight floats.
pub(crate) trait Vector: Simd {
    /// `self / other`
    fn div(self, other: Self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// `self` where `gate` is more than 0, else 0.
    fn where_positive(self, gate: Self) -> Self;

    /// 0 where the magnitude is less than `limit`.
    fn flush(self, limit: Self) -> Self;

    /// Whether every lane is 0 (NaN is not).
    fn is_zero(self) -> bool;

    /// Drops, or scales, the elements of eight columns from `column` on.
    fn dropout(self, row: &RowDropout, column: u32) -> Self;

    /// Writes the elements that are not 0 (NaN is not), and `base` plus their lanes; returns how
    /// many there are.
    ///
    /// # Safety
    /// Eight values and indices can be written, whatever the number.
    unsafe fn compress(self, base: u32, values: *mut f32, indices: *mut u32) -> usize;

    /// Writes those of eight elements that are not 0 (NaN is not), and their columns; returns how many
    /// there are.
    ///
    /// # Safety
    /// The instruction set is present, eight values and columns can be read from `from`, and written,
    /// whatever the number.
    unsafe fn compress_list<C: Column>(
        from: (*const f32, *const C),
        values: *mut f32,
        indices: *mut u32,
    ) -> usize;

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
}

impl Vector for Portable {
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.zip(self, |a, _| a.sqrt())
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
    fn is_zero(self) -> bool {
        self.0 == [0.0; LANES]
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
    unsafe fn compress_list<C: Column>(
        from: (*const f32, *const C),
        values: *mut f32,
        indices: *mut u32,
    ) -> usize {
        let mut count = 0;
        for i in 0..LANES {
            // SAFETY: eight can be read and written, and `count <= i`.
            unsafe {
                let value = *from.0.add(i);
                *values.add(count) = value;
                *indices.add(count) = (*from.1.add(i)).widen();
                count += usize::from(value != 0.0);
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

/// All ones in the lanes whose columns are kept.
///
/// # Safety
/// The instruction set is present.
#[cfg(target_arch = "x86_64")]
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
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn to_front(set: usize) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let lanes = LANES_OF.as_ptr().add(set).cast();
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(lanes))
    }
}

// SAFETY of the safe functions' blocks: a value of this type exists, so AVX2 and FMA are there; POPCNT
// is among the instructions that the kernels are compiled for.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks)] // One comment, above, for all one-line intrinsics.
impl Vector for Avx2 {
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        unsafe { Avx2::from_raw(_mm256_div_ps(self.raw(), other.raw())) }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        unsafe { Avx2::from_raw(_mm256_sqrt_ps(self.raw())) }
    }
    #[inline(always)]
    fn where_positive(self, gate: Self) -> Self {
        unsafe {
            let positive = _mm256_cmp_ps::<_CMP_GT_OQ>(gate.raw(), _mm256_setzero_ps());
            Avx2::from_raw(_mm256_and_ps(self.raw(), positive))
        }
    }
    #[inline(always)]
    fn flush(self, limit: Self) -> Self {
        unsafe {
            let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.raw());
            let small = _mm256_cmp_ps::<_CMP_LT_OQ>(magnitude, limit.raw());
            Avx2::from_raw(_mm256_andnot_ps(small, self.raw()))
        }
    }
    #[inline(always)]
    fn is_zero(self) -> bool {
        unsafe {
            let present = _mm256_cmp_ps::<_CMP_NEQ_UQ>(self.raw(), _mm256_setzero_ps());
            _mm256_movemask_ps(present) == 0
        }
    }
    #[inline(always)]
    fn dropout(self, row: &RowDropout, column: u32) -> Self {
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let columns = _mm256_add_epi32(_mm256_set1_epi32(column as i32), lanes);
            let kept = _mm256_castsi256_ps(kept(row, columns));
            Avx2::from_raw(_mm256_and_ps(
                _mm256_mul_ps(self.raw(), _mm256_set1_ps(row.scale)),
                kept,
            ))
        }
    }
    #[inline(always)]
    unsafe fn compress(self, base: u32, values: *mut f32, indices: *mut u32) -> usize {
        // SAFETY: there is room for eight; the mask has eight bits.
        unsafe {
            let present = _mm256_cmp_ps::<_CMP_NEQ_UQ>(self.raw(), _mm256_setzero_ps());
            let set = _mm256_movemask_ps(present) as usize;
            let order = to_front(set);
            _mm256_storeu_ps(values, _mm256_permutevar8x32_ps(self.raw(), order));
            let columns = _mm256_add_epi32(order, _mm256_set1_epi32(base as i32));
            _mm256_storeu_si256(indices.cast(), columns);
            set.count_ones() as usize
        }
    }
    #[inline(always)]
    unsafe fn compress_list<C: Column>(
        from: (*const f32, *const C),
        values: *mut f32,
        indices: *mut u32,
    ) -> usize {
        // SAFETY: eight can be read and written; the mask has eight bits.
        unsafe {
            let elements = _mm256_loadu_ps(from.0);
            let present = _mm256_cmp_ps::<_CMP_NEQ_UQ>(elements, _mm256_setzero_ps());
            let set = _mm256_movemask_ps(present) as usize;
            let order = to_front(set);
            _mm256_storeu_ps(values, _mm256_permutevar8x32_ps(elements, order));
            let columns = _mm256_permutevar8x32_epi32(C::load(from.1), order);
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
            let kept = _mm256_movemask_ps(_mm256_castsi256_ps(kept(row, columns)));
            let set = kept as usize & (0xff >> (LANES - count));
            let order = to_front(set);
            let values = _mm256_mul_ps(_mm256_loadu_ps(from.0), _mm256_set1_ps(row.scale));
            _mm256_storeu_ps(to.0, _mm256_permutevar8x32_ps(values, order));
            _mm256_storeu_si256(to.1.cast(), _mm256_permutevar8x32_epi32(columns, order));
            set.count_ones() as usize
        }
    }
}

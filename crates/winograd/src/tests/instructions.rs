//! Tests that all instruction sets give the same features.

use super::*;
use crate::select::agree;

/// The code that an AVX-512 machine runs, apart from the instructions themselves.
#[test]
fn sixteen_lanes_give_what_eight_give() {
    for kind in TileKind::ALL {
        assert!(agree(kind, Isa::PortableWide, Isa::Portable), "{kind}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn avx512_gives_what_avx2_gives() {
    if !is_x86_feature_detected!("avx512f") {
        return skipped("AVX-512F");
    }
    for kind in TileKind::ALL {
        assert!(agree(kind, Isa::Avx512, Isa::Avx2), "{kind}");
    }
}

/// Without fused multiply-add, the portable kernels round between multiplication and addition.
#[test]
#[cfg(all(target_arch = "x86_64", not(target_feature = "fma")))]
fn the_check_finds_a_difference_in_the_last_bits() {
    if best_isa() == Isa::Portable {
        return skipped("AVX2 and FMA");
    }
    for kind in TileKind::ALL {
        assert!(agree(kind, Isa::Avx2, Isa::Avx2), "{kind}");
        assert!(!agree(kind, Isa::Portable, Isa::Avx2), "{kind}");
    }
}

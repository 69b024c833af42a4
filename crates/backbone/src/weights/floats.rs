//! The floating-point types of numbers in files.

use half::{bf16, f16};

/// A floating-point type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

impl Float {
    /// The size of a number in bytes.
    pub(super) fn size(self) -> usize {
        match self {
            Float::F16 | Float::Bf16 => 2,
            Float::F32 => 4,
            Float::F64 => 8,
        }
    }

    /// Exactly `count` numbers from little-endian bytes, in single precision. Those in double precision
    /// are rounded.
    ///
    /// # Errors
    /// If there are not as many bytes. The text continues a sentence that begins with the tensor's name.
    pub(super) fn numbers(self, bytes: &[u8], count: usize) -> Result<Vec<f32>, String> {
        let size = self.size();
        if !bytes.len().is_multiple_of(size) {
            return Err(format!("has {} bytes, not a multiple of {size}", bytes.len()));
        }
        if bytes.len() / size != count {
            return Err(format!("has {} numbers instead of {count}", bytes.len() / size));
        }
        Ok(match self {
            Float::F32 => bytemuck::pod_collect_to_vec(bytes),
            Float::F16 => each(bytes, |it| f16::from_le_bytes(it).to_f32()),
            Float::Bf16 => each(bytes, |it| bf16::from_le_bytes(it).to_f32()),
            Float::F64 => each(bytes, |it| f64::from_le_bytes(it) as f32),
        })
    }
}

fn each<const N: usize>(bytes: &[u8], convert: fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|number| convert(*number)).collect()
}

/// Reverses the bytes of each number of `size` bytes, as big-endian files have them.
pub(super) fn swap_bytes(bytes: &mut [u8], size: usize) {
    bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_type_are_read() {
        for (float, bytes, expected) in [
            (Float::F16, &[0x00, 0xc0, 0x01, 0x00][..], vec![-2.0, 2f32.powi(-24)]),
            (Float::Bf16, &[0x00, 0xc0, 0x49, 0x40], vec![-2.0, 3.140_625]),
            (Float::F32, &[0xdb, 0x0f, 0x49, 0x40], vec![std::f32::consts::PI]),
            (Float::F64, &std::f64::consts::PI.to_le_bytes(), vec![std::f32::consts::PI]),
        ] {
            let count = expected.len();
            assert_eq!(float.numbers(bytes, count), Ok(expected), "{float:?}");
            let says = format!("has {count} numbers instead of 7");
            assert_eq!(float.numbers(bytes, 7), Err(says), "{float:?}");
            let says = format!("has {} bytes, not a multiple of {}", bytes.len() - 1, float.size());
            assert_eq!(float.numbers(&bytes[1..], count), Err(says), "{float:?}");
        }
        let mut bytes = [1, 2, 3, 4];
        swap_bytes(&mut bytes, 2);
        assert_eq!(bytes, [2, 1, 4, 3]);
    }
}

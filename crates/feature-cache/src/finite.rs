//! Whether numbers can be stored as finite numbers of an element type.

use recipe::Dtype;

/// The position of the first value that `dtype` cannot hold as a finite number; `None` if it can hold
/// all of them.
pub(crate) fn first_beyond(dtype: Dtype, values: &[f32]) -> Option<usize> {
    // float16 rounds to infinity from halfway between its largest number, 65504, and 65536.
    let first_infinite: f32 = match dtype {
        Dtype::F32 => f32::INFINITY,
        Dtype::F16 => 65520.0,
    };
    // A comparison with NaN is false.
    let fits = |value: &f32| value.abs() < first_infinite;
    // The check of all values is vectorised; the search for a position would not be.
    if values.iter().fold(true, |all, value| all & fits(value)) {
        return None;
    }
    values.iter().position(|value| !fits(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_the_element_type_cannot_hold_is_found() {
        let largest_half = f32::from_bits(65520.0f32.to_bits() - 1);
        for (dtype, value, fits) in [
            (Dtype::F16, 65504.0, true),
            (Dtype::F16, largest_half, true),
            (Dtype::F16, 65520.0, false),
            (Dtype::F16, f32::MAX, false),
            (Dtype::F16, f32::INFINITY, false),
            (Dtype::F16, f32::NAN, false),
            (Dtype::F16, 1e-30, true),
            (Dtype::F32, f32::MAX, true),
            (Dtype::F32, f32::INFINITY, false),
            (Dtype::F32, f32::NAN, false),
            (Dtype::F32, f32::from_bits(0x7f80_0001), false),
        ] {
            for value in [value, -value] {
                if dtype == Dtype::F16 {
                    assert_eq!(half::f16::from_f32(value).is_finite(), fits, "{value}");
                }
                for at in [0, 1, 30, 99] {
                    let mut values = [1.0; 100];
                    values[at] = value;
                    let found = if fits { None } else { Some(at) };
                    assert_eq!(first_beyond(dtype, &values), found, "{dtype} {value}");
                    // The first of several.
                    values[99] = f32::NAN;
                    assert_eq!(first_beyond(dtype, &values), found.or(Some(99)), "{dtype} {value}");
                }
            }
        }
        assert_eq!(first_beyond(Dtype::F16, &[]), None);
    }
}

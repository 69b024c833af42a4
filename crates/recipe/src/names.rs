//! Values of enumerations by their names, which flags and files share.

use std::str::FromStr;

use strum::VariantNames;

/// The value of that name. `kind` is the word for such a value in messages, such as "family".
///
/// # Errors
/// If there is no such value. The message lists all names.
pub fn from_name<T: FromStr + VariantNames>(kind: &str, name: &str) -> Result<T, String> {
    let names = T::VARIANTS.join(", ");
    name.parse().map_err(|_| format!("there is no {kind} '{name}'; expected {names}"))
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;
    use crate::{Decode, Dtype, Family, Fill, Fit, Flip, Orientation, Pooling, ResizeFilter};

    #[test]
    fn values_are_found_by_their_names() {
        for family in Family::iter() {
            assert_eq!(from_name("family", &family.to_string()), Ok(family));
        }
        let expected = "there is no family 'keras'; expected caffe, caffe-rgb, torchvision";
        assert_eq!(from_name::<Family>("family", "keras"), Err(expected.to_owned()));
        let expected = "there is no pooling ''; expected none, max, avg";
        assert_eq!(from_name::<Pooling>("pooling", ""), Err(expected.to_owned()));
        for name in ["f16", "float16"] {
            assert_eq!(from_name("dtype", name), Ok(Dtype::F16));
        }
        let expected = "there is no dtype 'f64'; expected f32, f16";
        assert_eq!(from_name::<Dtype>("dtype", "f64"), Err(expected.to_owned()));
    }

    /// Flags and files use the same names.
    #[test]
    fn names_are_those_of_serde() {
        fn same<T: IntoEnumIterator + serde::Serialize + ToString>() {
            for value in T::iter() {
                assert_eq!(serde_json::to_value(&value).unwrap(), value.to_string());
            }
        }
        same::<Fit>();
        same::<ResizeFilter>();
        same::<Orientation>();
        same::<Decode>();
        same::<Flip>();
        same::<Fill>();
        for family in Family::iter() {
            assert_eq!(serde_json::to_value(family).unwrap(), family.to_string());
        }
        for pooling in Pooling::iter() {
            assert_eq!(serde_json::to_value(pooling).unwrap(), pooling.to_string());
        }
    }
}

//! The key of a cache: a digest of everything that determines its features.
//!
//! In: the member `inputs` of a manifest as a JSON value, members that this version does not know
//! among them. Out: a digest in hexadecimal. The invariant: equal inputs have equal keys, whatever
//! program printed them and in whatever order.

use serde_json::{Map, Number, Value};

/// Members of `inputs.dataset` that do not determine the features.
const NOT_IN_THE_KEY: [&str; 2] = ["name", "path"];

/// The BLAKE3 digest, in hexadecimal, of a canonical encoding of `inputs`: one byte that says what
/// follows, then the content. Lengths and counts are 8 bytes, and all numbers are little-endian.
///
/// | value | byte | content |
/// |---|---|---|
/// | `null` | `n` | none |
/// | `false`, `true` | `f`, `t` | none |
/// | whole number of magnitude below 2⁶⁴ | `i` | 16 bytes, two's complement |
/// | any other number | `d` | the 8 bytes of its IEEE double |
/// | string | `s` | length in bytes, UTF-8 |
/// | array | `a` | count, the values |
/// | object | `o` | count, each member's name (encoded as a string) and value |
///
/// - Members of an object are in the order of their names' bytes.
/// - A number is whole by its value: JSON printers write one as `1` or as `1.0`.
/// - A member that is `null` is left out, so that a new optional input changes no key where it is
///   not used.
/// - `dataset.name` and `dataset.path` are left out: neither changes a feature.
pub(crate) fn key_of(mut inputs: Value) -> String {
    if let Some(Value::Object(dataset)) = inputs.get_mut("dataset") {
        dataset.retain(|name, _| !NOT_IN_THE_KEY.contains(&name.as_str()));
    }
    let mut bytes = Vec::new();
    encode(&inputs, &mut bytes);
    blake3::hash(&bytes).to_hex().to_string()
}

fn encode(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => bytes.push(b'n'),
        Value::Bool(false) => bytes.push(b'f'),
        Value::Bool(true) => bytes.push(b't'),
        Value::Number(number) => encode_number(number, bytes),
        Value::String(text) => encode_string(text, bytes),
        Value::Array(values) => {
            bytes.push(b'a');
            encode_len(values.len(), bytes);
            for value in values {
                encode(value, bytes);
            }
        }
        Value::Object(members) => encode_object(members, bytes),
    }
}

fn encode_number(number: &Number, bytes: &mut Vec<u8>) {
    const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;
    let double = number.as_f64().unwrap_or(f64::NAN);
    let is_whole = double.fract() == 0.0 && double.abs() < TWO_TO_64;
    match number.as_i128().or_else(|| is_whole.then_some(double as i128)) {
        Some(whole) => {
            bytes.push(b'i');
            bytes.extend(whole.to_le_bytes());
        }
        None => {
            bytes.push(b'd');
            bytes.extend(double.to_le_bytes());
        }
    }
}

fn encode_string(text: &str, bytes: &mut Vec<u8>) {
    bytes.push(b's');
    encode_len(text.len(), bytes);
    bytes.extend(text.as_bytes());
}

fn encode_object(members: &Map<String, Value>, bytes: &mut Vec<u8>) {
    let mut members: Vec<(&String, &Value)> =
        members.iter().filter(|(_, value)| !value.is_null()).collect();
    members.sort_unstable_by_key(|(name, _)| name.as_bytes());
    bytes.push(b'o');
    encode_len(members.len(), bytes);
    for (name, value) in members {
        encode_string(name, bytes);
        encode(value, bytes);
    }
}

fn encode_len(len: usize, bytes: &mut Vec<u8>) {
    bytes.extend((len as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    fn encoded(json: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&value(json), &mut bytes);
        bytes
    }

    /// The encoding of each kind of value, byte for byte: a change would make every cache another.
    #[test]
    fn the_encoding_is_what_its_documentation_says() {
        let len = |len: u8| [len, 0, 0, 0, 0, 0, 0, 0];
        let whole = |number: i128| [b"i".as_slice(), &number.to_le_bytes()].concat();
        let string = |text: &str| [b"s", &len(text.len() as u8)[..], text.as_bytes()].concat();
        let table: [(&str, Vec<u8>); 14] = [
            ("null", b"n".into()),
            ("false", b"f".into()),
            ("true", b"t".into()),
            ("1", b"i\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".into()),
            ("-2", [b"i\xfe".as_slice(), &[0xff; 15]].concat()),
            ("18446744073709551615", whole(u64::MAX.into())),
            ("-9223372036854775808", whole(i64::MIN.into())),
            ("0.5", b"d\0\0\0\0\0\0\xe0\x3f".into()),
            ("18446744073709551616", b"d\0\0\0\0\0\0\xf0\x43".into()),
            ("\"\"", b"s\0\0\0\0\0\0\0\0".into()),
            ("\"\\u00e9\"", b"s\x02\0\0\0\0\0\0\0\xc3\xa9".into()),
            ("[true,null]", [b"a", &len(2)[..], b"tn"].concat()),
            ("{}", [b"o".as_slice(), &len(0)].concat()),
            (
                r#"{"b": {"x": null}, "é": [], "a": 7, "B": null}"#,
                [
                    [b"o".as_slice(), &len(3)].concat(),
                    [string("a"), whole(7)].concat(),
                    [string("b"), [b"o".as_slice(), &len(0)].concat()].concat(),
                    [string("é"), [b"a".as_slice(), &len(0)].concat()].concat(),
                ]
                .concat(),
            ),
        ];
        for (json, expected) in table {
            assert_eq!(encoded(json), expected, "{json}");
        }
    }

    #[test]
    fn equal_values_are_encoded_alike_whoever_printed_them() {
        for (json, same) in [
            (r#"{"a": 1, "b": [2, {"c": 3, "d": 4}]}"#, r#"{"b":[2,{"d":4,"c":3}],"a":1}"#),
            ("[0, 1, -1]", "[0.0, 1e0, -10e-1]"),
            ("0", "-0.0"),
            ("0.1", "1e-1"),
            (r#""é/""#, r#""\u00e9\/""#),
            (r#"{"a": {"b": null}}"#, r#"{"c": null, "a": {}}"#),
        ] {
            assert_eq!(encoded(json), encoded(same), "{json} and {same}");
        }
        for (json, other) in [
            ("1", "\"1\""),
            ("[1, 2]", "[2, 1]"),
            ("[[1], 2]", "[[1, 2]]"),
            (r#"["ab", "c"]"#, r#"["a", "bc"]"#),
            (r#"{"a": "b"}"#, r#"["a", "b"]"#),
            ("[null]", "[]"),
            ("[]", "{}"),
            ("0.1", "0.10000000000000002"),
            ("18446744073709551615", "18446744073709551616"),
            ("false", "null"),
        ] {
            assert_ne!(encoded(json), encoded(other), "{json} and {other}");
        }
    }

    /// Keys, computed by a second implementation of the encoding: none of them may ever change.
    #[test]
    fn keys_stay_as_they_are() {
        let digits = r#"{
            "dataset": {"name": "mnist", "path": "data/mnist", "digest": "d", "val_fraction": 0.5,
                        "limit": null, "seed": 0},
            "weights": {"digest": "w", "family": "caffe"}, "backbone": "vgg16",
            "cut": "features.29", "height": 96, "width": 96, "resize": "bilinear",
            "numerics": "torch", "augmentation": null, "dtype": "float32"}"#;
        let elsewhere = digits.replace("mnist", "elsewhere").replace("data/", "");
        let unknown = digits.replace("\"width\"", "\"rotation\": 8.5, \"width\"");
        for (json, key) in [
            ("{}", "8c7eff43cf3348b8203d74b08f1ffa90e8cdec66400a84e3fb7ad1441b3a1567"),
            (digits, "6b2070668878ebad8b4617c3956e93659ccaa0e95696e2964efb1e8b95eb38e2"),
            (&elsewhere, "6b2070668878ebad8b4617c3956e93659ccaa0e95696e2964efb1e8b95eb38e2"),
            (&unknown, "167870280a3a7eb616e3da2a920dc53f202ad42ec96f921de2904a3ed88bf4d6"),
            (
                r#"{"dataset": 1, "name": "n", "path": "p"}"#,
                "7ff3f8049103413d1171a348fc3f47ab68ad4ab0dadcca86307f27b1bb18c72b",
            ),
        ] {
            assert_eq!(key_of(value(json)), key, "{json}");
        }
    }
}

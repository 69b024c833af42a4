//! An encoding that is the same for equal JSON values, whatever program printed them and in whatever
//! order.

use serde_json::{Map, Number, Value};

/// The canonical encoding of a JSON value: one byte for the kind of value, then the content. Lengths
/// and counts take 8 bytes, and all numbers are little-endian.
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
/// - Whether a number is whole depends on its value, since JSON printers write one as `1` or as `1.0`.
/// - A member that is `null` is omitted, so that adding an optional member does not change the digests of
///   values that do not use it.
pub(crate) fn encoding(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes);
    bytes
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

    fn encoded(json: &str) -> Vec<u8> {
        encoding(&serde_json::from_str(json).unwrap())
    }

    /// The encoding of each kind of value, byte for byte. A change would change the key of every cache.
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
}

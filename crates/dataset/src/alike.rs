//! Names that look the same to whoever reads them.

use unicode_normalization::UnicodeNormalization;

/// A name and the first of the known ones that looks like it, with all signs but ASCII's as `\u{…}`; `None` if there is
/// none. Names look the same that differ in upper and lower case, in white space, in the form in which Unicode has the
/// same characters, and, if they are numbers, in zeros before them.
pub(crate) fn alike<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<Box<[String; 2]>> {
    let wanted = look(name);
    let known = known.into_iter().find(|known| look(known) == wanted)?;
    Some(Box::new([name, known].map(coded)))
}

fn look(name: &str) -> String {
    let signs = name.nfkc().filter(|sign| !sign.is_whitespace());
    let text = signs.collect::<String>().to_lowercase();
    let digits = text.trim_start_matches('0');
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true if digits.is_empty() => "0".to_owned(),
        true => digits.to_owned(),
        false => text,
    }
}

fn coded(name: &str) -> String {
    let code = |sign: char| match sign.is_ascii() {
        true => sign.to_string(),
        false => sign.escape_unicode().to_string(),
    };
    name.chars().map(code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_the_same_are_found() {
        for (name, known) in [
            ("Cat", "cat"),
            ("cat ", "cat"),
            ("new\u{a0}york", "new york"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("07", "7"),
            ("000", "0"),
        ] {
            let expected = [coded(name), coded(known)];
            assert_eq!(alike(name, ["dog", known]).as_deref(), Some(&expected), "{name}");
        }
        assert_eq!(alike("caf\u{e9}", ["cafe\u{301}"]).unwrap()[1], "cafe\\u{301}");
        for (name, known) in [("cat", "cats"), ("70", "7"), ("a07", "a7"), ("", "0")] {
            assert_eq!(alike(name, [known]), None, "{name}");
        }
    }
}

//! Names of archives with braces, as in `train-{000..150}.tar`, which shells and the library `webdataset` expand.

use std::path::{Path, PathBuf};

use crate::{Error, PackedError};

/// Largest number of names that a pattern may have.
const MAX_NAMES: usize = 100_000;
/// Largest number of bytes of all names of a pattern together.
const MAX_BYTES: usize = 16 << 20;
/// Deepest nesting of braces.
const MAX_DEPTH: usize = 8;

const TOO_MANY: &str = "names more than 100000 archives";
const TOO_LONG: &str = "has names that are too long, together more than 16 MiB";
const NO_SEQUENCE: &str = "has braces with dots that are no sequence, which goes from a number to a number or from a \
                          letter to a letter";
const TOO_DEEP: &str = "has braces within braces within braces, deeper than 8";

/// The pattern at `path`; `None` if it is not one, or a file has exactly this name.
pub(crate) fn pattern_at(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let has_braces = text.find('{').is_some_and(|open| text[open..].contains('}'));
    (has_braces && super::is_archive(path) && !path.exists()).then_some(text)
}

/// A name for the archives of a pattern: that of its last part without braces.
pub(crate) fn name_of(pattern: &str) -> String {
    let name = pattern.rsplit_once('.').map_or(pattern, |(stem, _)| stem);
    let mut depth = 0usize;
    let mut outside = String::new();
    for sign in name.chars() {
        match sign {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '/' if depth == 0 => outside.clear(),
            sign if depth == 0 => outside.push(sign),
            _ => {}
        }
    }
    let name = outside.trim_matches(|sign: char| !sign.is_alphanumeric());
    if name.is_empty() { "webdataset".to_owned() } else { name.to_owned() }
}

/// The archives that a pattern names, in its order.
///
/// # Errors
/// If one of them is not there, or there are too many.
pub(super) fn archives_of(pattern: &str) -> Result<Vec<PathBuf>, Error> {
    let fault = |found| Error::Packed(PackedError::Pattern { pattern: pattern.to_owned(), found });
    let names = expand(pattern, MAX_DEPTH).map_err(fault)?;
    let paths: Vec<PathBuf> = names.into_iter().map(PathBuf::from).collect();
    match paths.iter().find(|path| !path.is_file()) {
        // Braces that are no sequence stand for themselves.
        Some(missing) if has_dots_in_braces(&missing.to_string_lossy()) => Err(fault(NO_SEQUENCE)),
        Some(missing) => {
            let (path, pattern) = (missing.clone(), pattern.to_owned());
            Err(Error::Packed(PackedError::MissingArchive { path, pattern }))
        }
        None => Ok(paths),
    }
}

/// Whether two dots stand within braces.
fn has_dots_in_braces(text: &str) -> bool {
    text.split('{').skip(1).any(|part| part.split('}').next().is_some_and(|it| it.contains("..")))
}

/// The texts of a pattern. `{a,b}` stands for each of its alternatives, `{08..10}` and `{a..c}` for all from the
/// first to the last, `{0..10..5}` for each fifth. Other braces stand for themselves.
fn expand(pattern: &str, depth: usize) -> Result<Vec<String>, &'static str> {
    let mut texts = vec![String::new()];
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        let (before, braced) = rest.split_at(open);
        let Some((inner, after)) = braces(braced) else { break };
        let alternatives = alternatives(inner, depth)?;
        let bytes = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
        let (count, others) = (texts.len(), alternatives.len());
        let total = (bytes(&texts) + count * before.len()) * others + bytes(&alternatives) * count;
        check(count * others, total)?;
        let with = |text: &String| {
            let text = format!("{text}{before}");
            alternatives.iter().map(move |other| format!("{text}{other}")).collect::<Vec<_>>()
        };
        texts = texts.iter().flat_map(with).collect();
        rest = after;
    }
    check(texts.len(), texts.iter().map(|text| text.len() + rest.len()).sum())?;
    texts.iter_mut().for_each(|text| text.push_str(rest));
    Ok(texts)
}

/// Refuses so many texts, or texts of so many bytes together.
fn check(count: usize, bytes: usize) -> Result<(), &'static str> {
    match (count > MAX_NAMES, bytes > MAX_BYTES) {
        (true, _) => Err(TOO_MANY),
        (_, true) => Err(TOO_LONG),
        _ => Ok(()),
    }
}

/// What is within the braces that the text begins with, and what is after them; `None` if they are not closed.
fn braces(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (position, sign) in text.char_indices() {
        match sign {
            '{' => depth += 1,
            '}' if depth == 1 => return Some((&text[1..position], &text[position + 1..])),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What a pair of braces stands for.
fn alternatives(inner: &str, depth: usize) -> Result<Vec<String>, &'static str> {
    let below = depth.checked_sub(1).ok_or(TOO_DEEP)?;
    let mut depth = 0;
    let parts: Vec<&str> = inner
        .split(|sign| {
            match sign {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            sign == ',' && depth == 0
        })
        .collect();
    if parts.len() > 1 {
        let (mut all, mut bytes) = (Vec::new(), 0);
        for part in parts {
            let texts = expand(part, below)?;
            bytes += texts.iter().map(String::len).sum::<usize>();
            check(all.len() + texts.len(), bytes)?;
            all.extend(texts);
        }
        return Ok(all);
    }
    match sequence(inner)? {
        Some(sequence) => Ok(sequence),
        None => {
            let inner = expand(inner, below)?;
            Ok(inner.into_iter().map(|inner| format!("{{{inner}}}")).collect())
        }
    }
}

/// The members of `FIRST..LAST` or `FIRST..LAST..STEP`; `None` if it is not a sequence.
fn sequence(text: &str) -> Result<Option<Vec<String>>, &'static str> {
    let parts: Vec<&str> = text.split("..").collect();
    let (first, last, step) = match parts[..] {
        [first, last] => (first, last, 1),
        [first, last, step] => match step.parse::<i32>() {
            Ok(step) => (first, last, step.unsigned_abs().max(1)),
            Err(_) => return Ok(None),
        },
        _ => return Ok(None),
    };
    let letter = |text: &str| match text.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => Some(i64::from(*letter)),
        _ => None,
    };
    let number = |text: &str| text.parse::<i32>().ok().map(i64::from);
    let letters = letter(first).zip(letter(last));
    let Some((from, to)) = letters.or_else(|| number(first).zip(number(last))) else {
        return Ok(None);
    };
    let count = from.abs_diff(to) / u64::from(step) + 1;
    let Some(count) = usize::try_from(count).ok().filter(|&count| count <= MAX_NAMES) else {
        return Err(TOO_MANY);
    };
    let is_padded = |text: &str| text.trim_start_matches('-').starts_with('0') && text.len() > 1;
    let width = if is_padded(first) || is_padded(last) { first.len().max(last.len()) } else { 0 };
    let step = if from <= to { i64::from(step) } else { -i64::from(step) };
    let member = |index: usize| {
        let member = from + step * index as i64;
        match letters {
            Some(_) => char::from(member as u8).to_string(),
            None => format!("{member:0width$}"),
        }
    };
    Ok(Some((0..count).map(member).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_expanded_as_in_bash() {
        for (pattern, expected) in [
            ("t-{008..011}.tar", "t-008.tar t-009.tar t-010.tar t-011.tar"),
            ("{9..11}", "9 10 11"),
            ("{3..1}{a..c..2}", "3a 3c 2a 2c 1a 1c"),
            ("{-1..1}", "-1 0 1"),
            ("{0..10..5}", "0 5 10"),
            (
                "{train,extra-{0..1}}-{x,y}",
                "train-x train-y extra-0-x extra-0-y extra-1-x extra-1-y",
            ),
            ("{a,}b", "ab b"),
            ("{}{x}{1..x}", "{}{x}{1..x}"),
            ("{a{1..2}}", "{a1} {a2}"),
            ("open{1..2", "open{1..2"),
        ] {
            assert_eq!(expand(pattern, MAX_DEPTH).unwrap().join(" "), expected, "{pattern}");
        }
        for pattern in ["{0..100000}", "{0..999}{0..999}", "{-2147483648..2147483647}"] {
            assert_eq!(expand(pattern, MAX_DEPTH), Err(TOO_MANY), "{pattern}");
        }
        // Each of them is allowed, all together are not.
        let many = format!("{{{}}}", vec!["{0..99999}"; 100].join(","));
        assert_eq!(expand(&many, MAX_DEPTH), Err(TOO_MANY));
        let long = "n".repeat(1 << 12);
        for pattern in [format!("{long}{{0..99999}}"), format!("{{0..99999}}{long}")] {
            assert_eq!(expand(&pattern, MAX_DEPTH), Err(TOO_LONG));
        }
        let deep = "{".repeat(1000) + &"}".repeat(1000);
        assert_eq!(expand(&deep, MAX_DEPTH), Err(TOO_DEEP));
    }

    #[test]
    fn patterns_have_names() {
        for (pattern, name) in [
            ("a/train-{000..150}.tar", "train"),
            ("{train,val}/{0..9}.tar", "webdataset"),
            ("x/{train,val}-set.tar", "set"),
            ("set-{0..9}.TAR", "set"),
        ] {
            assert_eq!(name_of(pattern), name, "{pattern}");
        }
    }
}

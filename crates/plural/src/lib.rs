//! Numbers with their nouns, for messages.

use std::fmt::Display;

/// A number with its noun: `1 head`, `3 heads`, `2 classes`. `noun` is the singular of a regular noun.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let noun = noun_for(&count, noun);
    format!("{count} {noun}")
}

/// The noun that stands after a number, whose singular is `noun`.
pub fn noun_for<N: PartialEq + From<u8>>(count: &N, noun: &str) -> String {
    let ending = match *count == N::from(1) {
        true => "",
        false if noun.ends_with('s') => "es",
        false => "s",
    };
    format!("{noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!(counted(1usize, "head"), "1 head");
        assert_eq!(counted(0usize, "head"), "0 heads");
        assert_eq!(counted(21u64, "hidden unit"), "21 hidden units");
        assert_eq!(counted(2usize, "class"), "2 classes");
        assert_eq!(noun_for(&1usize, "class"), "class");
    }
}

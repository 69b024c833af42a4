//! What decoders say of an image, in words for people.

use std::error::Error;
use std::fmt;

/// A decoder's reason for refusing an image.
#[derive(Debug)]
pub(crate) struct DecoderFault(String);

impl DecoderFault {
    /// The reason that a decoder's error gives, with its causes.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> DecoderFault {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let message = error.to_string();
            // Some errors repeat their causes.
            if !text.ends_with(&message) {
                text = format!("{text}: {message}");
            }
            cause = error.source();
        }
        DecoderFault(plain(&text))
    }
}

impl fmt::Display for DecoderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for DecoderFault {}

/// The text without what only programmers read.
fn plain(text: &str) -> String {
    let text = match text.strip_prefix("Format error decoding ").and_then(|it| it.split_once(": "))
    {
        Some((_, reason)) => reason,
        None => text,
    };
    let mut text = without_debug_of_chunks(text.trim_end_matches('.'));
    if let Some(chunk) = text.strip_prefix("CRC error: ").and_then(|it| it.split_once("decoding "))
    {
        let chunk = chunk.1.trim_end_matches(" chunk").to_owned();
        text = format!("the checksum of its chunk {chunk} is wrong");
    }
    let ends = ["failed to fill whole buffer", "unexpected end of file", "Unexpected end of file"];
    if ends.iter().any(|end| text.ends_with(end)) {
        return "it ends too early".to_owned();
    }
    text
}

/// The text with the names of PNG's chunks in the place of all that the `png` crate knows of them.
fn without_debug_of_chunks(text: &str) -> String {
    const CHUNK: &str = "ChunkType { type: ";
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, debug)) = rest.split_once(CHUNK) {
        let (Some((name, _)), Some((_, after))) = (debug.split_once(','), debug.split_once('}'))
        else {
            break;
        };
        plain += before;
        plain += name;
        rest = after;
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_text_becomes_words() {
        for (text, expected) in [
            (
                "Format error decoding Png: CRC error: expected 0xd909bab have 0x258d130a while decoding ChunkType { \
                 type: IDAT, critical: true, private: false, reserved: false, safecopy: false } chunk.",
                "the checksum of its chunk IDAT is wrong",
            ),
            ("Format error decoding Png: Unknown filter method 16.", "Unknown filter method 16"),
            ("Chunk ChunkType { type: tRNS, critical: false } twice", "Chunk tRNS twice"),
            ("failed to fill whole buffer", "it ends too early"),
            ("invalid code in LZW stream", "invalid code in LZW stream"),
            ("ChunkType { type: ", "ChunkType { type: "),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn causes_are_said_once() {
        let error = std::io::Error::other(std::io::Error::other("the cause"));
        assert_eq!(DecoderFault::of(&error).to_string(), "the cause");
    }
}

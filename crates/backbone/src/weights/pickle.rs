//! The names in a pickle, found without running it.
//!
//! A pickle is a program for a stack machine, which Python's `pickletools.py` describes. Its instructions are walked
//! through one after the other, whatever they would do with what they name, so that nothing that a pickle names goes
//! unseen, and that one with far more instructions than a checkpoint is refused before it fills the memory. Texts stay
//! where they lie in the pickle, however often it fetches them from its memo.

use std::collections::HashMap;

/// Largest number of instructions. VGG19 with BatchNorm and with the state of its optimiser has some ten thousand.
const MAX_INSTRUCTIONS: usize = 1 << 18;
/// Largest number of bytes of a module or of a name in it. Those of checkpoints have less than a hundred.
const MAX_NAME: usize = 1 << 10;

/// The argument of an instruction.
enum Argument {
    None,
    /// So many bytes.
    Bytes(usize),
    /// A length of so many bytes, and so many bytes of data.
    Counted(usize),
    /// The same, and the data are text.
    Text(usize),
    /// Lines that end with a line feed.
    Lines(usize),
}

/// Calls `take` with each function and class that `count` pickles, one after the other, name, as `module.name`.
///
/// # Errors
/// If the bytes are not so many pickles, have too many instructions, or have a name that is too long. The text
/// continues a sentence that begins with "its pickle".
pub(super) fn for_each_name(
    bytes: &[u8],
    count: usize,
    mut take: impl FnMut(String),
) -> Result<(), String> {
    let mut walk = Walk { rest: bytes, left: MAX_INSTRUCTIONS };
    (0..count).try_for_each(|_| walk.pickle(&mut take))
}

struct Walk<'b> {
    rest: &'b [u8],
    /// Number of instructions that may follow.
    left: usize,
}

impl<'b> Walk<'b> {
    /// Walks through a pickle up to its last instruction.
    fn pickle(&mut self, name: &mut impl FnMut(String)) -> Result<(), String> {
        // The texts that lie on top of the stack, and those in the memo.
        let mut texts: Vec<&'b [u8]> = Vec::new();
        let mut memo: HashMap<u64, &'b [u8]> = HashMap::new();
        let mut stored = 0;
        loop {
            self.left =
                self.left.checked_sub(1).ok_or("has far more instructions than a checkpoint")?;
            let code = self.take(1)?[0];
            let argument = argument(code)
                .ok_or_else(|| format!("has the instruction {code:#04x}, which is unknown"))?;
            let bytes = self.argument(&argument)?;
            match (code, argument) {
                (b'.', _) => return Ok(()),
                (b'c' | b'i', _) => {
                    // Two lines: the module and the name.
                    let mut lines = bytes.split(|&byte| byte == b'\n');
                    let mut line = || lines.next().unwrap_or_default().trim_ascii_end();
                    name(joined(line(), line())?);
                    texts.clear();
                }
                (0x93, _) => {
                    let of_stack = texts.pop().zip(texts.pop());
                    let (last, module) = of_stack.ok_or("has a name that it computes")?;
                    name(joined(module, last)?);
                    texts.clear();
                }
                (_, Argument::Text(_)) => texts.push(bytes),
                (b'V', _) => texts.push(bytes.trim_ascii_end()),
                // The top of the stack is stored in the memo, under a number or the next one.
                (0x94 | b'q' | b'r' | b'p', _) => {
                    let index = if code == 0x94 { stored } else { number(code, bytes)? };
                    stored += 1;
                    match texts.last() {
                        Some(&text) => memo.insert(index, text),
                        None => memo.remove(&index),
                    };
                }
                (b'h' | b'j' | b'g', _) => match memo.get(&number(code, bytes)?) {
                    Some(&text) => texts.push(text),
                    None => texts.clear(),
                },
                _ => texts.clear(),
            }
        }
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8], String> {
        self.rest.split_off(..len).ok_or_else(|| "is truncated".to_owned())
    }

    /// The bytes of an argument, without a length before them.
    fn argument(&mut self, argument: &Argument) -> Result<&'b [u8], String> {
        match *argument {
            Argument::None => Ok(&[]),
            Argument::Bytes(len) => self.take(len),
            Argument::Counted(width) | Argument::Text(width) => {
                let len = little_endian(self.take(width)?);
                self.take(usize::try_from(len).map_err(|_| "is truncated")?)
            }
            Argument::Lines(lines) => {
                let mut ends = self.rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                let (end, _) = ends.nth(lines - 1).ok_or("is truncated")?;
                self.take(end + 1)
            }
        }
    }
}

/// `module.name`.
fn joined(module: &[u8], name: &[u8]) -> Result<String, String> {
    let longest = module.len().max(name.len());
    if longest > MAX_NAME {
        return Err(format!("has a name of {longest} bytes; expected at most {MAX_NAME}"));
    }
    let [module, name] = [module, name].map(String::from_utf8_lossy);
    Ok(format!("{module}.{name}"))
}

/// The number of a slot of the memo: in decimal digits, or in one or four bytes.
fn number(code: u8, bytes: &[u8]) -> Result<u64, String> {
    match code {
        b'p' | b'g' => {
            let digits =
                std::str::from_utf8(bytes).ok().and_then(|text| text.trim_end().parse().ok());
            digits.ok_or_else(|| "has a slot of its memo that is not a number".to_owned())
        }
        _ => Ok(little_endian(bytes)),
    }
}

/// A number of at most eight bytes.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The argument of an instruction; `None` if it is unknown. Instructions by which programs extend the language are
/// unknown.
fn argument(code: u8) -> Option<Argument> {
    Some(match code {
        b'('
        | b'.'
        | b'0'
        | b'1'
        | b'2'
        | b'N'
        | b'Q'
        | b'R'
        | b'a'
        | b'b'
        | b'd'
        | b'}'
        | b'e'
        | b'l'
        | b']'
        | b'o'
        | b's'
        | b't'
        | b')'
        | b'u'
        | 0x81
        | 0x85..=0x89
        | 0x8f..=0x94 => Argument::None,
        b'K' | b'h' | b'q' | 0x80 => Argument::Bytes(1),
        b'M' => Argument::Bytes(2),
        b'J' | b'j' | b'r' => Argument::Bytes(4),
        b'G' | 0x95 => Argument::Bytes(8),
        b'F' | b'I' | b'L' | b'P' | b'S' | b'V' | b'g' | b'p' => Argument::Lines(1),
        b'c' | b'i' => Argument::Lines(2),
        0x8a | b'C' => Argument::Counted(1),
        0x8b | b'B' => Argument::Counted(4),
        0x8e | 0x96 => Argument::Counted(8),
        // Python 2's strings are text, too.
        0x8c | b'U' => Argument::Text(1),
        b'X' | b'T' => Argument::Text(4),
        0x8d => Argument::Text(8),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bytes: &[u8], count: usize) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for_each_name(bytes, count, |name| names.push(name))?;
        Ok(names)
    }

    #[test]
    fn every_name_is_seen() {
        // `os.system("ls")`, whose result is dropped, and then an empty list.
        let dropped = b"\x80\x02cposix\nsystem\nq\x00X\x02\0\0\0ls\x85R0].";
        assert_eq!(names(dropped, 1).unwrap(), ["posix.system"]);
        // Protocol 4 takes the name from the stack: text there, and text from the memo.
        let stacked = b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93.";
        assert_eq!(names(stacked, 1).unwrap(), ["posix.system"]);
        let stored = b"\x80\x04\x8c\x06system\x94\x8c\x05posix\x94h\x00\x93.";
        assert_eq!(names(stored, 1).unwrap(), ["posix.system"]);
        let inst = b"(iposix\nsystem\n.";
        assert_eq!(names(inst, 1).unwrap(), ["posix.system"]);
        assert_eq!(names(b"N.]..", 2).unwrap(), [""; 0]);
    }

    #[test]
    fn other_bytes_are_refused() {
        let refused = |bytes: &[u8], says: &str| {
            let found = names(bytes, 1).unwrap_err();
            assert!(found.contains(says), "{bytes:?}: {found}");
        };
        for bytes in [
            &b""[..],
            b"]",
            b"X\xff\xff\xff\xffa",
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
            b"cposix\n",
        ] {
            refused(bytes, "truncated");
        }
        refused(b"\x82\x01.", "the instruction 0x82");
        refused(b"K\x01\x8c\x01a\x93.", "a name that it computes");
        refused(b"pone\n.", "not a number");
        refused(&vec![b'N'; MAX_INSTRUCTIONS + 1], "far more instructions");
        let long = "n".repeat(MAX_NAME + 1);
        refused(
            format!("cposix\n{long}\n.").as_bytes(),
            "a name of 1025 bytes; expected at most 1024",
        );
        // One long text as many modules.
        let module = [&b"X\x01\x04\0\0"[..], long.as_bytes(), b"q\0X\x01\0\0\0aq\x01"].concat();
        refused(&[&module[..], &b"h\0h\x01\x93".repeat(9), b"."].concat(), "a name of 1025 bytes");
    }
}

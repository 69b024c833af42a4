//! The names in a pickle, found without running it.
//!
//! A pickle is a program for a stack machine, which Python's `pickletools.py` describes. Its instructions are walked
//! through one after the other, and move values that stand for what a pickle would have on its stack: so nothing that it
//! names or calls goes unseen, and one with far more instructions than a checkpoint is refused before it fills the
//! memory. Texts stay where they lie in the pickle, however often it fetches them from its memo.

use std::collections::HashMap;
use std::ops::Range;

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

/// What a pickle does with a function or class that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It puts it on the stack, as a value.
    Value,
    /// It makes an object of this class without calling its constructor, as modules of networks are made.
    Class,
    /// It calls it.
    Called,
}

/// A module of Python and the name of what is meant in it.
type Name<'b> = [&'b [u8]; 2];

/// A class as older forms of checkpoints write it the first time: as an id that goes with the class's source code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClassId<'b> {
    /// Where the instructions lie that make the id of what it consists of, and the class of the id.
    pub(super) place: Range<usize>,
    pub(super) class: Name<'b>,
}

/// Calls `take` with each function and class that `count` pickles, one after the other, name, as `module.name`, and
/// again with what becomes of it. Returns the classes that are written as ids.
///
/// # Errors
/// If the bytes are not so many pickles, have too many instructions, or have a name that is too long. The text
/// continues a sentence that begins with "its pickle".
pub(super) fn for_each_name(
    bytes: &[u8],
    count: usize,
    mut take: impl FnMut(Role, String),
) -> Result<Vec<ClassId<'_>>, String> {
    let mut walk = Walk { bytes, rest: bytes, left: MAX_INSTRUCTIONS, ids: Vec::new() };
    (0..count).try_for_each(|_| walk.pickle(&mut take))?;
    Ok(walk.ids)
}

struct Walk<'b> {
    bytes: &'b [u8],
    rest: &'b [u8],
    /// Number of instructions that may follow.
    left: usize,
    ids: Vec<ClassId<'b>>,
}

/// A value on the stack, as far as it matters what is called.
#[derive(Debug, Clone, Copy)]
enum Value<'b> {
    Text(&'b [u8]),
    /// The name of this number.
    Named(usize),
    /// A tuple that begins with the name of this number.
    TupleOf(usize),
    /// The tuple `("module", class, file, source)`, made by the instruction at this place.
    ClassId {
        class: usize,
        at: usize,
    },
    Other,
}

/// The stack machine of one pickle.
#[derive(Default)]
struct Machine<'b> {
    stack: Vec<Value<'b>>,
    /// Heights of the stack, the innermost last.
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'b>>,
    names: Vec<Name<'b>>,
}

impl<'b> Walk<'b> {
    /// Walks through a pickle up to its last instruction.
    fn pickle(&mut self, name: &mut impl FnMut(Role, String)) -> Result<(), String> {
        let mut machine = Machine::default();
        loop {
            self.left =
                self.left.checked_sub(1).ok_or("has far more instructions than a checkpoint")?;
            let at = self.bytes.len() - self.rest.len();
            let code = self.take(1)?[0];
            let argument = argument(code)
                .ok_or_else(|| format!("has the instruction {code:#04x}, which is unknown"))?;
            let bytes = self.argument(&argument)?;
            match (code, argument) {
                (b'.', _) => return Ok(()),
                (_, Argument::Text(_)) => machine.stack.push(Value::Text(bytes)),
                (b'V', _) => machine.stack.push(Value::Text(bytes.trim_ascii_end())),
                (b'Q', _) => {
                    let id = machine.pop()?;
                    let end = self.bytes.len() - self.rest.len();
                    let resolved = self.resolved(&machine, id, end);
                    machine.stack.push(resolved);
                }
                (code, _) => machine.run(code, bytes, at, name)?,
            }
        }
    }

    /// The value that an id stands for, whose instructions end at `end`.
    fn resolved(&mut self, machine: &Machine<'b>, id: Value<'b>, end: usize) -> Value<'b> {
        let Value::ClassId { class, at } = id else { return Value::Other };
        self.ids.push(ClassId { place: at..end, class: machine.names[class] });
        Value::Named(class)
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

impl<'b> Machine<'b> {
    /// Carries out an instruction that has these bytes as its argument, as far as it moves values.
    fn run(
        &mut self,
        code: u8,
        bytes: &'b [u8],
        at: usize,
        name: &mut impl FnMut(Role, String),
    ) -> Result<(), String> {
        match code {
            // The version of the language, and a number of bytes.
            0x80 | 0x95 => {}
            b'(' => self.marks.push(self.stack.len()),
            b'c' => self.push_name(lines(bytes), name)?,
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(last), Value::Text(module)) => self.push_name([module, last], name)?,
                _ => return Err("has a name that it computes".to_owned()),
            },
            b'i' => {
                let [module, last] = lines(bytes);
                name(Role::Called, joined(module, last)?);
                self.pop_to_mark()?;
                self.stack.push(Value::Other);
            }
            b'o' => {
                let callee = *self.pop_to_mark()?.first().ok_or(EMPTY)?;
                self.call(callee, Value::Other, name)?;
            }
            b'R' => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                self.call(callee, arguments, name)?;
            }
            0x81 | 0x92 => {
                for _ in 0..if code == 0x81 { 1 } else { 2 } {
                    self.pop()?;
                }
                let class = self.pop()?;
                self.mention(Role::Class, class, name)?;
                self.stack.push(Value::Other);
            }
            b'b' => {
                self.pop()?;
                // Only objects have a state, and `__setstate__` of anything else would be called with it.
                if let named @ Value::Named(_) = self.top()? {
                    self.mention(Role::Called, named, name)?;
                }
            }
            b'0' if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
            }
            b'0' | b'a' => {
                self.pop()?;
            }
            b's' => {
                self.pop()?;
                self.pop()?;
            }
            b'1' | b'e' | b'u' | 0x90 => {
                self.pop_to_mark()?;
            }
            b'2' => self.stack.push(self.top()?),
            b't' => {
                let tuple = tuple(&self.pop_to_mark()?, at);
                self.stack.push(tuple);
            }
            0x85..=0x87 => {
                let start = self.stack.len().checked_sub(usize::from(code - 0x84));
                let start = start.filter(|&start| start >= self.floor()).ok_or(EMPTY)?;
                let tuple = tuple(&self.stack.split_off(start), at);
                self.stack.push(tuple);
            }
            b'd' | b'l' | 0x91 => {
                self.pop_to_mark()?;
                self.stack.push(Value::Other);
            }
            // The top of the stack is stored in the memo, under a number or the next one.
            0x94 | b'q' | b'r' | b'p' => {
                let next = self.memo.len() as u64;
                let index = if code == 0x94 { next } else { number(code, bytes)? };
                self.memo.insert(index, self.top()?);
            }
            b'h' | b'j' | b'g' => {
                let value = self.memo.get(&number(code, bytes)?);
                self.stack.push(*value.ok_or("reads a slot of its memo that is empty")?);
            }
            _ => self.stack.push(Value::Other),
        }
        Ok(())
    }

    /// The height of the stack at the innermost mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Value<'b>, &'static str> {
        self.stack[self.floor()..].last().copied().ok_or(EMPTY)
    }

    fn pop(&mut self) -> Result<Value<'b>, &'static str> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'b>>, &'static str> {
        Ok(self.stack.split_off(self.marks.pop().ok_or(EMPTY)?))
    }

    fn push_name(
        &mut self,
        [module, last]: Name<'b>,
        name: &mut impl FnMut(Role, String),
    ) -> Result<(), String> {
        name(Role::Value, joined(module, last)?);
        self.stack.push(Value::Named(self.names.len()));
        self.names.push([module, last]);
        Ok(())
    }

    fn call(
        &mut self,
        callee: Value<'b>,
        arguments: Value<'b>,
        name: &mut impl FnMut(Role, String),
    ) -> Result<(), String> {
        self.mention(Role::Called, callee, name)?;
        // This function calls the first of its arguments.
        let calls = matches!(callee, Value::Named(index)
            if self.names[index] == [&b"torch._tensor"[..], b"_rebuild_from_type_v2"]);
        if calls {
            let first = match arguments {
                Value::TupleOf(first) => Value::Named(first),
                _ => Value::Other,
            };
            self.mention(Role::Called, first, name)?;
        }
        self.stack.push(Value::Other);
        Ok(())
    }

    fn mention(
        &self,
        role: Role,
        value: Value<'b>,
        name: &mut impl FnMut(Role, String),
    ) -> Result<(), String> {
        let text = match value {
            Value::Named(index) => joined(self.names[index][0], self.names[index][1])?,
            _ => COMPUTED.to_owned(),
        };
        name(role, text);
        Ok(())
    }
}

/// What a pickle of which an instruction finds no value does.
const EMPTY: &str = "takes values that are not there";

/// Stands for the name of what is called where no name says what it is.
const COMPUTED: &str = "call of a value that it computes";

/// A tuple of these values, made by the instruction at `at`.
fn tuple<'b>(values: &[Value<'b>], at: usize) -> Value<'b> {
    match *values {
        [Value::Text(b"module"), Value::Named(class), _, _] => Value::ClassId { class, at },
        [Value::Named(first), ..] => Value::TupleOf(first),
        _ => Value::Other,
    }
}

/// The two lines of an argument: the module and the name in it.
fn lines(bytes: &[u8]) -> Name<'_> {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    std::array::from_fn(|_| lines.next().unwrap_or_default().trim_ascii_end())
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
        let take = |role, name| match role {
            Role::Value => names.push(name),
            Role::Class => names.push(format!("object of {name}")),
            Role::Called => names.push(format!("{name}()")),
        };
        for_each_name(bytes, count, take)?;
        Ok(names)
    }

    #[test]
    fn every_name_is_seen() {
        // `os.system("ls")`, whose result is dropped, and then an empty list.
        let dropped = b"\x80\x02cposix\nsystem\nq\x00X\x02\0\0\0ls\x85R0].";
        assert_eq!(names(dropped, 1).unwrap(), ["posix.system", "posix.system()"]);
        // Protocol 4 takes the name from the stack: text there, and text from the memo.
        let stacked = b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93.";
        assert_eq!(names(stacked, 1).unwrap(), ["posix.system"]);
        let stored = b"\x80\x04\x8c\x06system\x94\x8c\x05posix\x94h\x00\x93.";
        assert_eq!(names(stored, 1).unwrap(), ["posix.system"]);
        let inst = b"(iposix\nsystem\n.";
        assert_eq!(names(inst, 1).unwrap(), ["posix.system()"]);
        assert_eq!(names(b"N.]..", 2).unwrap(), [""; 0]);
    }

    #[test]
    fn what_becomes_of_a_name_is_seen() {
        for (bytes, expected) in [
            // Called, from the stack, from the memo, as a copy, and with a mark before it.
            (&b"c__main__\nEvil\n)R."[..], "__main__.Evil, __main__.Evil()"),
            (b"c__main__\nEvil\nq\x050h\x05)R.", "__main__.Evil, __main__.Evil()"),
            (b"c__main__\nEvil\n2)R0.", "__main__.Evil, __main__.Evil()"),
            (b"(c__main__\nEvil\nX\x01\0\0\0ao.", "__main__.Evil, __main__.Evil()"),
            (b"\x8c\x08__main__\x94\x8c\x01f\x93\x94N\x85R.", "__main__.f, __main__.f()"),
            // A state for what is not an object.
            (b"c__main__\nEvil\n}b.", "__main__.Evil, __main__.Evil()"),
            // What another call returns is called.
            (
                b"cos\ngetattr\n)R)R.",
                "os.getattr, os.getattr(), call of a value that it computes()",
            ),
            // A function of PyTorch calls its first argument.
            (
                b"ctorch._tensor\n_rebuild_from_type_v2\n(c__main__\nf\nNNNtR.",
                "torch._tensor._rebuild_from_type_v2, __main__.f, torch._tensor._rebuild_from_type_v2(), \
                 __main__.f()",
            ),
            // Objects, which get a state.
            (b"c__main__\nNet\n)\x81}b.", "__main__.Net, object of __main__.Net"),
            (b"c__main__\nNet\n)}\x92}b.", "__main__.Net, object of __main__.Net"),
            (b"}X\x01\0\0\0actorch.nn.functional\nrelu\ns.", "torch.nn.functional.relu"),
        ] {
            assert_eq!(names(bytes, 1).unwrap().join(", "), expected, "{bytes:?}");
        }
    }

    #[test]
    fn classes_that_are_ids_are_found() {
        let head = b"(X\x06\0\0\0moduleq\0c__main__\nNet\nq\x01X\x01\0\0\0fX\x01\0\0\0s";
        let bytes = [&head[..], b"tq\x04Q)\x81."].concat();
        let mut seen = Vec::new();
        let ids = for_each_name(&bytes, 1, |role, name| seen.push((role, name))).unwrap();
        let place = head.len()..head.len() + 4;
        assert_eq!(ids, [ClassId { place, class: [b"__main__", b"Net"] }]);
        assert_eq!(seen[1], (Role::Class, "__main__.Net".to_owned()));
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
        refused(b"h\x03.", "a slot of its memo that is empty");
        for bytes in [&b"R."[..], b"N\x87.", b"t.", b"0.", b"(o.", b"(0t.", b"N(01."] {
            refused(bytes, "takes values that are not there");
        }
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

//! Paths on standard output, including those that are not UTF-8.

use std::io::IsTerminal;
use std::path::Path;

use crate::print::print_bytes;

/// Writes a path, byte for byte, and a line break to standard output, where scripts can read it. A path
/// that contains a line break takes several lines; `--json` prints it as one string. On a terminal,
/// control characters are escaped.
pub fn print_path(path: &Path) {
    if std::io::stdout().is_terminal() {
        return crate::println!("{}", path.display());
    }
    print_bytes(&[path.as_os_str().as_encoded_bytes(), b"\n"].concat());
}

//! Standard output and standard error, where a closed pipe is no panic.

use crate::codes::{FAILED, UNFINISHED, is_full};
use std::{
    borrow::Cow,
    fmt::Arguments,
    io::{ErrorKind, Write},
};

/// Writes a line to standard output. A reader that has gone away ends the process quietly, as for any filter.
pub(crate) fn line(text: Arguments<'_>) {
    let text = text.to_string();
    if let Err(error) = writeln!(std::io::stdout(), "{}", plain(&text)) {
        if error.kind() == ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        let (code, then) = match is_full(&error) {
            true => (UNFINISHED, "; free some space, then try again"),
            false => (FAILED, ""),
        };
        complain(&format!(
            "error: standard output cannot be written: {error}{then}\n"
        ));
        std::process::exit(code.into());
    }
}

/// Tells on standard error what is not wrong, but hardly meant.
pub(crate) fn warn(text: &str) {
    complain(&format!("{}\n", warning(text)));
}

/// Writes text to standard error; nobody may be there to read it.
pub(crate) fn complain(text: &str) {
    let _ = std::io::stderr().write_all(plain(text).as_bytes());
}

/// Text with a system's errors in words: without their numbers, such as `(os error 2)`, and the usual ones as a person would say
/// them.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let mut plain = match text.contains(NO_TEXT.0) {
        true => Cow::Owned(text.replace(NO_TEXT.0, NO_TEXT.1)),
        false => Cow::Borrowed(text),
    };
    let mut from = 0;
    while let Some(at) = plain[from..].find(NUMBERED).map(|at| from + at) {
        let rest = &plain[at + NUMBERED.len()..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        match digits > 0 && rest[digits..].starts_with(')') {
            true => {
                let end = at + NUMBERED.len() + digits;
                let usual = USUAL
                    .iter()
                    .find(|(system, _)| plain[..at].ends_with(system));
                let (begin, words) =
                    usual.map_or((at, ""), |(system, words)| (at - system.len(), *words));
                plain.to_mut().replace_range(begin..=end, words);
                from = begin + words.len();
            }
            false => from = at + NUMBERED.len(),
        }
    }
    plain
}

/// Standard error for whatever writes to it line by line.
pub(crate) struct Plain;

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        std::io::stderr().write_all(plain(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// What is said of a file that is read as text and is none, and what it means.
const NO_TEXT: (&str, &str) = (
    "stream did not contain valid UTF-8",
    "it is no text file: expected text in UTF-8",
);
/// How the number of a system's error begins.
const NUMBERED: &str = " (os error ";
/// What a system says of files, and what it means.
const USUAL: [(&str, &str); 16] = [
    (
        "No such file or directory",
        "there is no such file or folder",
    ),
    ("Is a directory", "it is a folder, and a file is expected"),
    ("Not a directory", "it is a file, and a folder is expected"),
    ("Permission denied", "this user may not read or write it"),
    (
        "No space left on device",
        "there is no space left on the disk",
    ),
    (
        "Disk quota exceeded",
        "this user has used up the space that is granted on the disk",
    ),
    ("File too large", "a file may not grow that large here"),
    ("Read-only file system", "nothing can be written there"),
    ("Input/output error", "the disk fails to read or write it"),
    (
        "Too many levels of symbolic links",
        "links lead to each other and to no file",
    ),
    ("File name too long", "the name is too long"),
    (
        "Too many open files",
        "too many files are open; allow more with `ulimit -n`",
    ),
    ("File exists", "something of this name is there already"),
    ("Directory not empty", "the folder is not empty"),
    ("Address already in use", "another process has this address"),
    (
        "Cannot assign requested address",
        "this machine has no such address",
    ),
];

/// A warning as all commands show it.
pub(crate) fn warning(message: &str) -> String {
    format!("warning: {message}")
}

/// A number of things, such as `1 client` or `20 clients`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn numbers_of_system_errors_are_left_out() {
        for (text, expected) in [
            (
                "a: No such file or directory (os error 2)\n",
                "a: there is no such file or folder\n",
            ),
            (
                "Is a directory (os error 21); b: Permission denied (os error 13)",
                "it is a folder, and a file is expected; b: this user may not read or write it",
            ),
            ("x (os error 13); y (os error 2)", "x; y"),
            ("x (os error ) y (os error 1", "x (os error ) y (os error 1"),
            (
                "a.csv: stream did not contain valid UTF-8",
                "a.csv: it is no text file: expected text in UTF-8",
            ),
            ("", ""),
        ] {
            assert_eq!(plain(text), expected);
        }
    }
}

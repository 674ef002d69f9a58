//! Standard output and standard error, where a closed pipe is no panic.

use std::{
    fmt::Arguments,
    io::{ErrorKind, Write},
};

/// Writes a line to standard output. A reader that has gone away ends the process quietly, as for any filter.
pub(crate) fn line(text: Arguments<'_>) {
    if let Err(error) = writeln!(std::io::stdout(), "{text}") {
        if error.kind() == ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        complain(&format!(
            "error: standard output cannot be written: {error}\n"
        ));
        std::process::exit(1);
    }
}

/// Tells on standard error what is not wrong, but hardly meant.
pub(crate) fn warn(text: &str) {
    complain(&format!("{}\n", warning(text)));
}

/// Writes text to standard error; nobody may be there to read it.
pub(crate) fn complain(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

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

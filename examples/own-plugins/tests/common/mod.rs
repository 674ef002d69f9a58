//! The command of this crate, from outside.

use std::{
    path::Path,
    process::{Command, Output},
};

/// Runs it with these words.
pub(crate) fn command(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_own-plugins"))
        .args(args)
        .output()
        .expect("the command starts")
}

/// Runs a file with these words behind it into a folder; its fingerprint, if it ended.
pub(crate) fn fingerprint(name: &str, out: &Path, more: &[&str]) -> Option<String> {
    let file = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    let out = out.to_string_lossy();
    let words = [&["run", &file, "--out", &out, "--quiet"], more].concat();
    let result = command(&words);
    let text = String::from_utf8_lossy(&result.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("fingerprint "));
    line.map(|line| line.replace("fingerprint ", ""))
}

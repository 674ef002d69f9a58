//! Refused arguments, in words of the command's and not of the language that it is written in.

use crate::output::complain;
use std::process::ExitCode;

/// What parsers of numbers and addresses say, and what it means.
const MEANINGS: [(&str, &str); 11] = [
    (
        "invalid digit found in string",
        "expected a whole number, 0 or above",
    ),
    (
        "cannot parse integer from empty string",
        "expected a whole number",
    ),
    (
        "number too large to fit in target type",
        "this number is too large",
    ),
    (
        "number too small to fit in target type",
        "this number is too small",
    ),
    (
        "number would be zero for non-zero type",
        "expected a whole number, 1 or above",
    ),
    ("invalid float literal", "expected a number"),
    ("cannot parse float from empty string", "expected a number"),
    (
        "invalid socket address syntax",
        "expected an address and a port, such as 127.0.0.1:4433",
    ),
    (
        "invalid IP address syntax",
        "expected an address, such as 127.0.0.1",
    ),
    (
        "error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
        "expected error, warn, info, debug or trace",
    ),
    (
        "provided string was not `true` or `false`",
        "expected true or false",
    ),
];

/// Prints what is wrong with the arguments, or the help that was asked for, and says how to exit.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    let plain = in_words(&text);
    match plain == text {
        true => error.exit(),
        false => complain(&plain),
    }
    ExitCode::from(2)
}

fn in_words(text: &str) -> String {
    let meant = |text: String, (said, meant): &(&str, &str)| text.replace(said, meant);
    let text = MEANINGS.iter().fold(text.to_owned(), meant);
    text.lines().map(range).collect::<Vec<_>>().join("\n") + "\n"
}

/// `0 is not in 1..=256` as a sentence.
fn range(line: &str) -> String {
    let Some((before, range)) = line.rsplit_once(" is not in ") else {
        return line.into();
    };
    let Some((least, most)) = range.split_once("..") else {
        return line.into();
    };
    match most.trim_start_matches('=') {
        most if most.is_empty() || most.len() > 9 => {
            format!("{before} is out of range: expected {least} or above")
        }
        most => format!("{before} is out of range: expected {least} to {most}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;

    fn refused(arguments: &[&str]) -> String {
        let all = ["lyceum"].iter().chain(arguments).copied();
        let error = Arguments::read(all).err().expect("a wrong value");
        in_words(&error.to_string())
    }

    #[test]
    fn wrong_values_are_refused_in_words() {
        for (arguments, expected) in [
            (
                &["run", "a", "--threads", "x"][..],
                "expected a whole number",
            ),
            (
                &["run", "a", "--nodes", "0"],
                "0 is out of range: expected 1 to 256",
            ),
            (
                &["run", "a", "--checkpoint-every", "x"],
                "expected a number",
            ),
            (&["bench", "--runs", "0"], "expected 1 to 65535"),
            (&["bench", "--runs", "-1"], "expected 1 to 65535"),
            (
                &["run", "a", "--threads", "-1"],
                "a whole number, 0 or above",
            ),
            (
                &["node", "--coordinator", "a:1", "--attempts", "0"],
                "expected 1 or above",
            ),
            (
                &["identity", "token", "node", "--uses", "0"],
                "expected a whole number, 1 or above",
            ),
            (
                &["simulate", "a", "--worlds=-1.5"],
                "expected a whole number",
            ),
        ] {
            let arguments: Vec<&str> = arguments.to_vec();
            let text = refused(&arguments);
            assert!(text.contains(expected), "{text}");
            for jargon in ["digit", "literal", "non-zero", "..=", "target type", "tip:"] {
                assert!(!text.contains(jargon), "{text}");
            }
        }
    }
}

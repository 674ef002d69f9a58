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

/// Commands that take a scenario.
const OF_SCENARIOS: [&str; 4] = ["run", "check", "coordinator", "simulate"];
/// Flags that others have for what is a key here, and the key.
const KEYS: [(&str, &str); 10] = [
    ("round", "run.rounds=3"),
    ("rounds", "run.rounds=3"),
    ("seed", "run.seed=3"),
    ("epoch", "training.epochs=3"),
    ("epochs", "training.epochs=3"),
    ("batch", "training.batch=32"),
    ("rate", "training.rate=0.1"),
    ("lr", "training.rate=0.1"),
    ("clients", "data.clients=10"),
    ("strategy", "strategy=fed_avg"),
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
    let key = meant_key(&text);
    let lines = text.lines().filter_map(|line| advice(line, key));
    let mut lines: Vec<String> = lines.map(|line| range(&line)).collect();
    lines.dedup_by(|next, line| next.is_empty() && line.is_empty());
    lines.join("\n") + "\n"
}

/// The key that an unknown flag of a command with a scenario stands for.
fn meant_key(text: &str) -> Option<&'static str> {
    let usage = text.split_once("Usage: ")?.1;
    let command = usage.split_whitespace().nth(1)?;
    let flag = text
        .split_once("unexpected argument '--")?
        .1
        .split_once('\'')?
        .0;
    let known = KEYS.iter().find(|(name, _)| *name == flag)?;
    OF_SCENARIOS.contains(&command).then_some(known.1)
}

/// The parser's own advice is to take an unknown flag for a value, which nobody means, or for another flag.
fn advice(line: &str, key: Option<&str>) -> Option<String> {
    let tip = line.trim_start();
    match key {
        Some(key) if tip.starts_with("tip: ") => Some(format!(
            "  keys of a scenario are set by --set, such as --set {key}"
        )),
        _ if tip.starts_with("tip: to pass '--") => None,
        _ => Some(line.into()),
    }
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
                "expected a whole number, 1 to 4096",
            ),
            (
                &["run", "a", "--threads", "0"],
                "expected a whole number, 1 to 4096",
            ),
            (
                &["run", "a", "--round", "3"],
                "keys of a scenario are set by --set, such as --set run.rounds=3",
            ),
            (
                &["compare", "a", "--round", "3"],
                "unexpected argument '--round' found",
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
                "expected a whole number, 1 to 4096",
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

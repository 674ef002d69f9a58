//! What a person reads of a run that is over or paused.

use crate::{failure::Failure, output::line};
use lyceum_metrics::{Status, Summary};
use std::path::{Path, PathBuf};

/// The command that was typed, with what resumes it: `--resume` and, where it is known, the folder.
pub(crate) fn resume_command(typed: impl Iterator<Item = String>, out: Option<&Path>) -> String {
    let mut words = Vec::new();
    let mut typed = typed;
    while let Some(word) = typed.next() {
        match (word.as_str(), out) {
            ("--resume", _) => {}
            ("--out", Some(_)) => drop(typed.next()),
            (other, Some(_)) if other.starts_with("--out=") => {}
            _ => words.push(quoted(&word)),
        }
    }
    if let Some(out) = out {
        words.extend(["--out".into(), quoted(&out.to_string_lossy())]);
    }
    words.push("--resume".into());
    words.join(" ")
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A run that is paused can be gone on with.
pub(crate) fn paused(summary: &Summary) -> Result<(), Failure> {
    match summary.status {
        Status::Paused => Err(Failure::unfinished()),
        _ => Ok(()),
    }
}

pub(crate) fn report(summary: &Summary, out: &Path) {
    let percent = |v: Option<f64>| v.map_or_else(|| "-".into(), |v| format!("{:.2} %", 100.0 * v));
    let shown: PathBuf = out.into();
    let evaluations = match summary.mean_last_10_evaluations {
        1 => "the only evaluation".into(),
        few @ 2..=9 => format!("mean of {few} evaluations"),
        _ => "mean of last 10 evaluations".to_owned(),
    };
    line(format_args!(
        "accuracy  {} ({evaluations} {}, best {})",
        percent(summary.final_accuracy),
        percent(summary.mean_last_10_accuracy),
        percent(summary.best_accuracy)
    ));
    for reason in &summary.unmeasured {
        line(format_args!("missing   {reason}"));
    }
    line(format_args!(
        "time      {:.3} s per round (median), {:.2} s to the first, {:.1} s in all",
        summary.seconds_per_round_median, summary.seconds_to_first_round, summary.seconds_total
    ));
    line(format_args!(
        "memory    {:.0} MiB at most",
        summary.peak_rss_mib
    ));
    line(format_args!("folder    {}", shown.display()));
    line(format_args!("fingerprint {}", summary.fingerprint));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resume_command_is_what_was_typed_and_the_folder() {
        let typed = |words: &[&str]| {
            words
                .iter()
                .map(|w| w.to_string())
                .collect::<Vec<_>>()
                .into_iter()
        };
        let one = typed(&[
            "lyceum",
            "run",
            "a.toml",
            "--set",
            "data.set={csv={}}",
            "--data",
            "d",
            "--out",
            "x",
        ]);
        let shown = resume_command(one, Some(Path::new("x")));
        assert_eq!(
            shown,
            "lyceum run a.toml --set 'data.set={csv={}}' --data d --out x --resume"
        );
        let seeds = typed(&["lyceum", "run", "a.toml", "--seeds", "0..3", "--resume"]);
        assert_eq!(
            resume_command(seeds, None),
            "lyceum run a.toml --seeds 0..3 --resume"
        );
    }
}

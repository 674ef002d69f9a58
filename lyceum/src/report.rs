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
    let shown: PathBuf = out.into();
    if summary.status == Status::Paused {
        let (done, planned) = (summary.rounds, summary.rounds_planned);
        line(format_args!(
            "paused    {done} of {planned} rounds are done"
        ));
    }
    line(format_args!("accuracy  {}", accuracy(summary)));
    for reason in &summary.unmeasured {
        line(format_args!("missing   {reason}"));
    }
    let seconds = summary.seconds_total;
    match summary.rounds {
        0 => line(format_args!("time      {seconds:.1} s in all")),
        _ => line(format_args!(
            "time      {:.3} s per round (median), {:.2} s to the first, {seconds:.1} s in all",
            summary.seconds_per_round_median, summary.seconds_to_first_round
        )),
    }
    line(format_args!(
        "memory    {:.0} MiB at most",
        summary.peak_rss_mib
    ));
    line(format_args!("folder    {}", shown.display()));
    if summary.rounds > 0 {
        line(format_args!("fingerprint {}", summary.fingerprint));
    }
}

/// What is known of the model's accuracy; nothing where none was judged.
fn accuracy(summary: &Summary) -> String {
    let percent = |v: f64| format!("{:.2} %", 100.0 * v);
    let judged = summary.final_accuracy.filter(|_| summary.rounds > 0);
    let Some(last) = judged.map(percent) else {
        return "none, since no model was judged on test samples".into();
    };
    let over = (summary.mean_last_10_accuracy, summary.best_accuracy);
    let (Some(mean), Some(best)) = over else {
        return format!("{last} over the tasks that have come; mean and best begin once all have");
    };
    let evaluations = match summary.mean_last_10_evaluations {
        1 => "the only evaluation".into(),
        few @ 2..=9 => format!("mean of {few} evaluations"),
        _ => "mean of last 10 evaluations".to_owned(),
    };
    let (mean, best) = (percent(mean), percent(best));
    format!("{last} ({evaluations} {mean}, best {best})")
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

//! Which folder a run is written to.

use crate::failure::Failure;
use std::path::{Path, PathBuf};

/// The folder for a run: `wanted`, or `<runs>/<name>-seed<seed>` with the first number behind it that
/// is free (or, to resume, the last that is not).
pub(crate) fn choose(
    wanted: Option<&Path>,
    runs: &Path,
    name: &str,
    seed: u64,
    resume: bool,
) -> Result<PathBuf, Failure> {
    let used = |path: &Path| path.join("events.jsonl").exists();
    if let Some(path) = wanted {
        if used(path) && !resume {
            let shown = path.display();
            return Err(Failure::input(format!(
                "{shown} holds a run already: add --resume to go on with it, or choose another --out"
            )));
        }
        return Ok(path.to_path_buf());
    }
    let numbered = |n: u32| match n {
        1 => runs.join(format!("{name}-seed{seed}")),
        n => runs.join(format!("{name}-seed{seed}-{n}")),
    };
    let free = (1..).find(|&n| !used(&numbered(n))).unwrap_or(1);
    Ok(numbered(if resume {
        free.saturating_sub(1).max(1)
    } else {
        free
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_folder_is_never_written_to_without_resume() {
        let root = tempfile::tempdir().unwrap();
        let runs = root.path();
        let chosen = |resume| choose(None, runs, "a", 7, resume).ok().unwrap();
        assert_eq!(chosen(false), runs.join("a-seed7"));
        assert_eq!(chosen(true), runs.join("a-seed7"));
        std::fs::create_dir(runs.join("a-seed7")).unwrap();
        std::fs::write(runs.join("a-seed7/events.jsonl"), "").unwrap();
        assert_eq!(chosen(false), runs.join("a-seed7-2"));
        assert_eq!(chosen(true), runs.join("a-seed7"));
        assert!(choose(Some(&runs.join("a-seed7")), runs, "a", 7, false).is_err());
    }
}

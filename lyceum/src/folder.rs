//! Which folder a run is written to.

use crate::failure::Failure;
use std::path::{Path, PathBuf};

/// The folder for a run: `wanted`, or `<runs>/<stem>` with the first number behind it that is free (or, to resume, the
/// last that is not).
pub(crate) fn choose(
    wanted: Option<&Path>,
    runs: &Path,
    stem: &str,
    resume: bool,
) -> Result<PathBuf, Failure> {
    if let Some(path) = wanted {
        readable(path)?;
    }
    let of_sweep = |path: &&Path| !has_run(path) && holds_runs(path);
    if let Some(path) = wanted.filter(of_sweep) {
        let shown = path.display();
        return Err(Failure::input(format!(
            "{shown} holds the runs of a sweep: choose another --out"
        )));
    }
    unused(wanted, runs, stem, resume, &|path| {
        has_run(path) || holds_runs(path)
    })
}

/// Refuses a folder that holds the scenario's own file and no run: the run's files would lie among the user's, and its
/// `scenario.toml` over the one that it is read from.
pub(crate) fn spares(file: &Path, wanted: Option<&Path>) -> Result<(), Failure> {
    let Some(out) = wanted.filter(|out| !has_run(out)) else {
        return Ok(());
    };
    let around = file.canonicalize().ok();
    let around = around.as_deref().and_then(Path::parent);
    match around.is_some() && around == out.canonicalize().ok().as_deref() {
        false => Ok(()),
        true => Err(Failure::input(format!(
            "--out {} holds the scenario file {}, and a run writes a scenario.toml of its own: choose another --out, such as a new \
             folder in it",
            out.display(),
            file.display()
        ))),
    }
}

/// Refuses a folder into which this user may not look: what is not seen in it may be there.
pub(crate) fn readable(path: &Path) -> Result<(), Failure> {
    let inside = std::fs::metadata(path.join("events.jsonl")).map(drop);
    let listed = std::fs::read_dir(path).map(drop);
    let denied = |looked: &std::io::Result<()>| {
        let error = looked.as_ref().err();
        error.is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
    };
    match denied(&inside) || denied(&listed) {
        false => Ok(()),
        true => Err(Failure::input(format!(
            "{}: this user may not look into the folder; give the permission, or name another",
            path.display()
        ))),
    }
}

/// Refuses to go on with what never began.
pub(crate) fn begun<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<(), Failure> {
    let mut paths = paths.into_iter().peekable();
    if let Some(path) = paths.peek() {
        readable(path)?;
    }
    let first = paths
        .peek()
        .map_or_else(PathBuf::new, |path| path.to_path_buf());
    match paths.any(has_run) {
        true => Ok(()),
        false => Err(Failure::input(format!(
            "--resume: {} holds no run to go on with; leave out --resume to begin one, or name its folder with --out",
            first.display()
        ))),
    }
}

/// The folder for a sweep, chosen in the same way.
pub(crate) fn choose_for_sweep(
    wanted: Option<&Path>,
    runs: &Path,
    stem: &str,
    resume: bool,
) -> Result<PathBuf, Failure> {
    unused(wanted, runs, stem, resume, &|path| {
        has_run(path) || holds_runs(path)
    })
}

/// Whether runs lie in a folder, as those of a sweep do.
fn holds_runs(path: &Path) -> bool {
    let inside = std::fs::read_dir(path).into_iter().flatten().flatten();
    inside.map(|entry| entry.path()).any(|path| has_run(&path))
}

/// Refuses a folder that is itself a run where the runs of several seeds are to lie.
pub(crate) fn no_run(path: &Path) -> Result<(), Failure> {
    match has_run(path) {
        false => Ok(()),
        true => Err(Failure::input(format!(
            "{} holds a run already: choose another --out for the runs of several seeds",
            path.display()
        ))),
    }
}

/// Whether a run has begun in a folder, even if some of its files are lost.
pub(crate) fn has_run(path: &Path) -> bool {
    let files = ["events.jsonl", "summary.json"];
    files.iter().any(|file| path.join(file).is_file()) || path.join("checkpoint").is_dir()
}

/// The run in whose folder a path would lie, which clears its folder away as it pleases.
fn run_around(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors()
        .skip(1)
        .find(|p| has_run(p))
        .map(Path::to_path_buf)
}

fn unused(
    wanted: Option<&Path>,
    runs: &Path,
    stem: &str,
    resume: bool,
    used: &dyn Fn(&Path) -> bool,
) -> Result<PathBuf, Failure> {
    if let Some(path) = wanted {
        let shown = path.display();
        if used(path) && !resume {
            return Err(Failure::input(format!(
                "{shown} holds a run already: add --resume to go on with it, or choose another --out"
            )));
        }
        if let Some(run) = run_around(path) {
            return Err(Failure::input(format!(
                "{shown} lies in the folder of another run, {}: choose an --out beside it",
                run.display()
            )));
        }
        return Ok(path.to_path_buf());
    }
    let numbered = |n: u32| match n {
        1 => runs.join(stem),
        n => runs.join(format!("{stem}-{n}")),
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
        let chosen = |resume| choose(None, runs, "a-seed7", resume).ok().unwrap();
        assert_eq!(chosen(false), runs.join("a-seed7"));
        assert_eq!(chosen(true), runs.join("a-seed7"));
        std::fs::create_dir(runs.join("a-seed7")).unwrap();
        std::fs::write(runs.join("a-seed7/events.jsonl"), "").unwrap();
        assert_eq!(chosen(false), runs.join("a-seed7-2"));
        assert_eq!(chosen(true), runs.join("a-seed7"));
        assert!(choose(Some(&runs.join("a-seed7")), runs, "a", false).is_err());
    }

    #[test]
    fn no_run_lies_in_another_ones_folder() {
        let root = tempfile::tempdir().unwrap();
        let (runs, own) = (root.path(), root.path().join("a"));
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join("events.jsonl"), "").unwrap();
        for inside in ["b", "b/c"] {
            let refused = choose(Some(&own.join(inside)), runs, "a", false).unwrap_err();
            assert!(
                refused
                    .sentence()
                    .contains("lies in the folder of another run")
            );
        }
        assert!(choose(Some(&runs.join("b")), runs, "a", false).is_ok());
    }

    #[test]
    fn a_sweep_uses_a_folder_by_the_runs_in_it() {
        let root = tempfile::tempdir().unwrap();
        let runs = root.path();
        let chosen = |resume| choose_for_sweep(None, runs, "a", resume).ok().unwrap();
        std::fs::create_dir_all(runs.join("a/rate=1-seed0")).unwrap();
        assert_eq!(chosen(false), runs.join("a"));
        std::fs::write(runs.join("a/rate=1-seed0/events.jsonl"), "").unwrap();
        assert_eq!(chosen(false), runs.join("a-2"));
        assert_eq!(chosen(true), runs.join("a"));
        assert!(choose_for_sweep(Some(&runs.join("a")), runs, "a", false).is_err());
    }
}

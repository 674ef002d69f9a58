//! Counts the processes that have worked on a run. Nodes listen only to a later one than they have heard, so the number is
//! kept twice: no process may take one that another had.

use super::{
    RunError, Storage,
    seal::{self, Found},
};

const COPIES: [&str; 2] = ["incarnation", "incarnation-2"];

/// Counts one process more, and says which one it is. Where both copies are damaged, the count goes on from `beyond`, which
/// must be more than all processes of the run so far; a driver takes the seconds of its clock. Then a warning comes along.
pub fn count(
    storage: &mut dyn Storage,
    beyond: impl FnOnce() -> u32,
) -> Result<(u32, Option<String>), RunError> {
    let (mut before, mut damaged, mut other) = (None, false, None);
    for name in COPIES {
        match seal::read::<u32>(storage, name) {
            Ok(Found::Nothing) => {}
            Ok(Found::Damaged(_)) => damaged = true,
            Ok(Found::Good(number)) => before = before.max(Some(number)),
            Err(version) => other = Some(version),
        }
    }
    // Beside a copy that is good or damaged, one of another version is damaged.
    if let Some(version) = other {
        if before.is_none() && !damaged {
            return Err(version);
        }
        damaged = true;
    }
    let warning = (damaged && before.is_none()).then(|| {
        format!(
            "{} and {} are damaged; the count of the run's processes goes on from the clock",
            storage.path(COPIES[0]).display(),
            COPIES[1]
        )
    });
    let before = match warning {
        Some(_) => Some(beyond()),
        None => before,
    };
    let now = before.map_or(1, |number| number.saturating_add(1));
    for name in COPIES {
        seal::write(storage, name, &now)?;
    }
    Ok((now, warning))
}

/// Seconds of the system's clock: more than a run has had processes.
pub fn by_the_clock() -> u32 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Folder;

    #[test]
    fn a_damaged_copy_costs_nothing_and_with_two_the_clock_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = Folder::new(folder.path());
        let count = |storage: &mut Folder| count(storage, || 1000).map(|(number, _)| number);
        assert_eq!(count(&mut storage).unwrap(), 1);
        let stale = storage.read(COPIES[0]).unwrap().unwrap();
        assert_eq!(count(&mut storage).unwrap(), 2);
        storage.replace(COPIES[0], &stale).unwrap();
        assert_eq!(count(&mut storage).unwrap(), 3);
        for (number, name) in (4..).zip(COPIES) {
            storage.replace(name, b"7").unwrap();
            assert_eq!(count(&mut storage).unwrap(), number);
        }
        storage.replace(COPIES[0], b"{\"format\": 0}").unwrap();
        assert_eq!(count(&mut storage).unwrap(), 6);
        COPIES
            .iter()
            .for_each(|name| storage.replace(name, b"").unwrap());
        let (number, warning) = super::count(&mut storage, || 1000).unwrap();
        assert_eq!(number, 1001);
        assert!(warning.unwrap().contains("incarnation-2 are damaged"));
        assert_eq!(super::count(&mut storage, || 0).unwrap(), (1002, None));
    }
}

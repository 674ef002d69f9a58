//! Counts the processes that have worked on a run. Nodes listen only to a later one than they have heard, so the number is
//! kept twice: no process may take one that another had.

use super::{
    RunError, Storage,
    seal::{self, Found},
};

const COPIES: [&str; 2] = ["incarnation", "incarnation-2"];

/// Counts one process more, and says which one it is.
pub fn count(storage: &mut dyn Storage) -> Result<u32, RunError> {
    let (mut before, mut damaged) = (None, false);
    for name in COPIES {
        match seal::read::<u32>(storage, name)? {
            Found::Nothing => {}
            Found::Damaged(_) => damaged = true,
            Found::Good(number) => before = before.max(Some(number)),
        }
    }
    if damaged && before.is_none() {
        let reason = format!(
            "it and {} are damaged; remove both, and start the nodes again, too",
            COPIES[1]
        );
        return Err(RunError::damaged(storage.path(COPIES[0]), reason));
    }
    let now = before.map_or(1, |number| number.saturating_add(1));
    for name in COPIES {
        seal::write(storage, name, &now)?;
    }
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Folder;

    #[test]
    fn a_damaged_copy_costs_nothing_and_two_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = Folder::new(folder.path());
        assert_eq!(count(&mut storage).unwrap(), 1);
        let stale = storage.read(COPIES[0]).unwrap().unwrap();
        assert_eq!(count(&mut storage).unwrap(), 2);
        storage.replace(COPIES[0], &stale).unwrap();
        assert_eq!(count(&mut storage).unwrap(), 3);
        for (number, name) in (4..).zip(COPIES) {
            storage.replace(name, b"7").unwrap();
            assert_eq!(count(&mut storage).unwrap(), number);
        }
        COPIES
            .iter()
            .for_each(|name| storage.replace(name, b"").unwrap());
        let error = count(&mut storage).unwrap_err().to_string();
        assert!(error.contains("incarnation-2 are damaged"), "{error}");
    }
}

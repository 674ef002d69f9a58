//! Whether a coordinator lives, and whether nodes can work with it: what probes ask.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a coordinator may stand still, as while it writes a checkpoint, before it counts as dead.
const STILL: Duration = Duration::from_secs(60);
/// What is written to see whether there is space.
const PROBE: &str = "space";
/// Its bytes: a block of most file systems.
const BLOCK: usize = 4096;

/// What a coordinator is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// It reads checkpoint and journal.
    #[default]
    Starting,
    /// It hears nodes.
    Open,
    /// It was told to stop.
    Stopping,
}

#[derive(Default)]
struct State {
    stage: Stage,
    moved: Option<Instant>,
    folder: Option<PathBuf>,
}

/// Shared by the coordinator and those who answer probes.
#[derive(Clone, Default)]
pub(super) struct Health {
    state: Arc<Mutex<State>>,
    /// Held while a probe writes, so that two do not meet in one file.
    writing: Arc<Mutex<()>>,
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The coordinator does this from now on.
    pub(super) fn is_at(&self, stage: Stage) {
        self.state().stage = stage;
    }

    /// The folder that must have space.
    pub(super) fn needs_space_in(&self, folder: &Path) {
        self.state().folder = Some(folder.to_path_buf());
    }

    /// The coordinator's loop has gone round.
    pub(super) fn moves(&self, now: Instant) {
        self.state().moved = Some(now);
    }

    /// Whether it lives, or why not.
    pub(super) fn lives(&self, now: Instant) -> Result<&'static str, String> {
        let state = self.state();
        let still = state
            .moved
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        match state.stage == Stage::Open && still > STILL {
            false => Ok("alive"),
            true => Err(format!("nothing has moved for {} s", still.as_secs())),
        }
    }

    /// Whether nodes can work with it, or why not.
    pub(super) async fn is_ready(&self) -> Result<&'static str, String> {
        let (stage, folder) = {
            let state = self.state();
            (state.stage, state.folder.clone())
        };
        match stage {
            Stage::Starting => return Err("checkpoint and journal are being read".into()),
            Stage::Stopping => return Err("the coordinator stops".into()),
            Stage::Open => {}
        }
        let Some(folder) = folder else {
            return Ok("ready");
        };
        let writing = self.writing.clone();
        let written = tokio::task::spawn_blocking(move || {
            let _alone = writing.lock().unwrap_or_else(PoisonError::into_inner);
            has_space(&folder)
                .map_err(|e| format!("{}: nothing can be written: {e}", folder.display()))
        });
        let written = written.await.unwrap_or_else(|e| Err(e.to_string()));
        written.map(|()| "ready")
    }
}

/// Writes a block, and removes it.
fn has_space(folder: &Path) -> io::Result<()> {
    let path = folder.join(PROBE);
    let written = fs::File::create(&path).and_then(|mut file| file.write_all(&[0; BLOCK]));
    let removed = fs::remove_file(&path);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_coordinator_is_ready_once_the_journal_is_read_and_until_it_stops() {
        let folder = tempfile::tempdir().unwrap();
        let health = Health::default();
        health.needs_space_in(folder.path());
        for (stage, ready) in [
            (Stage::Starting, Err("journal")),
            (Stage::Open, Ok("ready")),
            (Stage::Stopping, Err("stops")),
        ] {
            health.is_at(stage);
            let said = health.is_ready().await;
            match ready {
                Ok(word) => assert_eq!(said, Ok(word)),
                Err(part) => assert!(said.unwrap_err().contains(part), "{stage:?}"),
            }
            assert!(health.lives(Instant::now()).is_ok());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_loop_that_stands_still_while_it_should_go_round_is_dead() {
        let health = Health::default();
        let began = Instant::now();
        let later = began + STILL + Duration::from_secs(1);
        health.moves(began);
        // A long journal is no fault.
        assert!(health.lives(later).is_ok());
        health.is_at(Stage::Open);
        assert_eq!(
            health.lives(later).unwrap_err(),
            "nothing has moved for 61 s"
        );
        health.moves(later);
        assert!(health.lives(later).is_ok());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_not_ready() {
        let folder = tempfile::tempdir().unwrap();
        let health = Health::default();
        health.is_at(Stage::Open);
        health.needs_space_in(&folder.path().join("absent"));
        let reason = health.is_ready().await.unwrap_err();
        assert!(reason.contains("nothing can be written"), "{reason}");
    }
}

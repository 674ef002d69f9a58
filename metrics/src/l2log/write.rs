//! Writing of lifetimes.

use super::{DATA_LOG, LOGGER_INFO, LoggerInfo, SCENARIO_INFO, ScenarioInfo, VERSION, timestamp};
use crate::continual::lifelong::{Block, BlockKind};
use crate::text_table::InputError;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// Writes a lifetime as it is lived, block by block, in the layout of l2logger 1.1.
///
/// [`read_lifetime`](super::read_lifetime) reads the same blocks back, apart from capital letters in names
/// of tasks.
#[derive(Debug)]
pub struct L2Log {
    folder: PathBuf,
    worker: String,
    performance: String,
}

impl L2Log {
    /// Begins a lifetime in a folder, which is made if need be but may not hold one.
    ///
    /// `worker` names who lives it: letters, digits, `_`, `-` and `.` only. `performance` names the column
    /// of performances.
    pub fn create(
        folder: &Path,
        scenario: &ScenarioInfo,
        worker: &str,
        performance: &str,
    ) -> Result<Self, InputError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if worker.is_empty() || worker.starts_with('.') || !worker.chars().all(allowed) {
            let what = format!("`{worker}` cannot name a worker");
            let expected = "letters, digits, `_`, `-` and `.` are right, no `.` at the beginning";
            return Err(InputError::content(folder, what, expected));
        }
        if folder.exists() && !folder.is_dir() {
            let expected = "a new folder is right";
            return Err(InputError::content(folder, "it is a file", expected));
        }
        if folder.join(LOGGER_INFO).exists() {
            let what = "the folder holds a lifetime already";
            return Err(InputError::content(folder, what, "a new folder is right"));
        }
        std::fs::create_dir_all(folder).map_err(|source| InputError::file(folder, source))?;
        let info = LoggerInfo {
            metrics_columns: vec![performance.to_owned()],
            log_format_version: VERSION.to_owned(),
        };
        write_json(&folder.join(SCENARIO_INFO), scenario)?;
        write_json(&folder.join(LOGGER_INFO), &info)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            worker: worker.to_owned(),
            performance: performance.to_owned(),
        })
    }

    /// Appends a block. `micros` is when it ended, in microseconds since the beginning of 1970: nothing here
    /// has a clock. Numbers of blocks and of experiences do not decrease from block to block.
    pub fn write(&mut self, block: &Block, micros: u64) -> Result<(), InputError> {
        let kind = match block.kind {
            BlockKind::Train => "train",
            BlockKind::Test => "test",
        };
        let name = format!("{}-{kind}", block.number);
        let folder = self.folder.join(&self.worker).join(name);
        std::fs::create_dir_all(&folder).map_err(|source| InputError::file(&folder, source))?;
        let path = folder.join(DATA_LOG);
        let written = self.append(&path, block, kind, &timestamp::written(micros));
        written.map_err(|error| InputError::file(&path, error.into()))
    }

    fn append(&self, path: &Path, block: &Block, kind: &str, time: &str) -> csv::Result<()> {
        let begun = path.exists();
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let mut writer = csv::WriterBuilder::new().delimiter(b'\t').from_writer(file);
        if !begun {
            writer.write_record(self.columns())?;
        }
        let subtype = if block.asleep { "sleep" } else { "wake" };
        for experience in &block.experiences {
            writer.write_record([
                &block.number.to_string(),
                &experience.number.to_string(),
                &self.worker,
                kind,
                subtype,
                &block.task,
                "{}",
                "complete",
                time,
                &experience.performance.to_string(),
            ])?;
        }
        Ok(writer.flush()?)
    }

    fn columns(&self) -> [&str; 10] {
        [
            "block_num",
            "exp_num",
            "worker_id",
            "block_type",
            "block_subtype",
            "task_name",
            "task_params",
            "exp_status",
            "timestamp",
            &self.performance,
        ]
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), InputError> {
    let file = File::create(path).map_err(|source| InputError::file(path, source))?;
    serde_json::to_writer_pretty(file, value)
        .map_err(|source| InputError::file(path, source.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::lifelong::{Experience, Lifetime};
    use crate::l2log::{read_experts, read_lifetime};

    fn block(number: u64, kind: BlockKind, task: &str, values: &[(u64, f64)]) -> Block {
        let experiences = values.iter();
        let experiences = experiences.map(|&(number, performance)| Experience {
            number,
            performance,
        });
        Block {
            number,
            kind,
            asleep: number == 2,
            task: task.to_owned(),
            experiences: experiences.collect(),
        }
    }

    fn lifetime() -> Lifetime {
        let blocks = vec![
            block(0, BlockKind::Test, "a_1", &[(0, 0.1), (1, 1.0 / 3.0)]),
            block(0, BlockKind::Test, "b \"2\"", &[(2, 0.2)]),
            block(1, BlockKind::Train, "a_1", &[(3, -1e-7), (4, 2.5)]),
            block(2, BlockKind::Test, "a_1", &[(5, 7.0)]),
            block(10, BlockKind::Train, "b \"2\"", &[(6, 8.0)]),
        ];
        Lifetime { blocks }
    }

    fn write(folder: &Path, lifetime: &Lifetime) -> Result<(), InputError> {
        let scenario = ScenarioInfo {
            difficulty: "1-easy".to_owned(),
            ..ScenarioInfo::default()
        };
        let mut log = L2Log::create(folder, &scenario, "server", "accuracy")?;
        for (block, at) in lifetime.blocks.iter().zip(1..) {
            log.write(block, 1_600_000_000_000_000 + at * 500_000)?;
        }
        Ok(())
    }

    #[test]
    fn a_written_lifetime_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("life");
        write(&path, &lifetime()).unwrap();
        let found = read_lifetime(&path, None).unwrap();
        assert_eq!(found.lifetime, lifetime());
        assert_eq!(found.run_id, "life");
        assert_eq!(found.performance, "accuracy");
        assert_eq!(found.scenario.difficulty, "1-easy");
        assert_eq!(found.seconds, Some(2.0));
        assert!(path.join("server/10-train/data-log.tsv").is_file());
        let again = write(&path, &lifetime()).unwrap_err().to_string();
        assert!(again.contains("holds a lifetime already"), "{again}");
    }

    #[test]
    fn a_worker_cannot_leave_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        for worker in ["..", "a/b", ""] {
            let log = L2Log::create(folder.path(), &ScenarioInfo::default(), worker, "p");
            assert!(log.is_err(), "{worker}");
        }
    }

    #[test]
    fn experts_train_one_task_each() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = lifetime();
        one.blocks.truncate(3);
        write(&folder.path().join("run1"), &one).unwrap();
        let found = read_experts(folder.path(), None).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].task, "a_1");
        assert_eq!(
            found,
            read_experts(&folder.path().join("run1"), None).unwrap()
        );
        write(&folder.path().join("run2"), &lifetime()).unwrap();
        let error = read_experts(folder.path(), None).unwrap_err().to_string();
        assert!(error.contains("trains 2 tasks (a_1, b \"2\")"), "{error}");
    }

    #[test]
    fn what_is_wrong_with_a_log_is_said() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &lifetime()).unwrap();
        let error = read_lifetime(folder.path(), Some("reward")).unwrap_err();
        assert!(error.to_string().contains("they are accuracy"), "{error}");
        let path = folder.path().join("server/2-test/data-log.tsv");
        let good = std::fs::read_to_string(&path).unwrap();
        for (from, to, expected) in [
            (
                "\t7\n",
                "\tx\n",
                "data-log.tsv:2: column `accuracy`: `x` is not a number",
            ),
            (
                "\ttest\t",
                "\texam\t",
                "column `block_type`: `exam` is not known; train or test",
            ),
            ("\tsleep\t", "\tnap\t", "column `block_subtype`: `nap`"),
            (
                "\n2\t",
                "\ntwo\t",
                "column `block_num`: `two` is not a whole number",
            ),
            ("task_name", "task", "there is no column `task_name`"),
            ("T1", "U1", "is not a time"),
        ] {
            assert!(good.contains(from), "{from}");
            std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
            let error = read_lifetime(folder.path(), None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for gone in ["\tNaN\n", "\t\n"] {
            std::fs::write(&path, good.replacen("\t7\n", gone, 1)).unwrap();
            let found = read_lifetime(folder.path(), None).unwrap();
            assert_eq!(found.lifetime.blocks.len(), 4);
        }
        std::fs::write(&path, good.replacen("\tcomplete\t", "\tincomplete\t", 1)).unwrap();
        let found = read_lifetime(folder.path(), None).unwrap();
        assert_eq!(found.lifetime.blocks.len(), 4);
    }
}

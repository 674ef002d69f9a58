//! Models for many preferences at once, as a table.

use super::{base::Base, judge::Judge, preferences};
use crate::{
    failure::{Failure, write_out},
    output::{complain, counted, line},
};
use lyceum_core::TaskId;
use std::{fmt::Write, path::Path, time::Instant};

/// Preferences, each with the name that stands before it in the table.
pub(super) struct Many {
    /// Head of the column of names; none where preferences have none.
    named: Option<&'static str>,
    all: Vec<(String, Vec<f64>)>,
}

impl Many {
    /// Those of a file, or so many random ones.
    pub(super) fn asked(text: &str, tasks: usize, seed: u64) -> Result<Self, Failure> {
        let all = preferences::many(text, tasks, seed)?.into_iter();
        Ok(Self {
            named: None,
            all: all.map(|weights| (String::new(), weights)).collect(),
        })
    }

    /// Those that the samples of clients are.
    pub(super) fn of_clients(judge: &Judge, tasks: &[TaskId]) -> Self {
        let all = judge.clients(tasks).into_iter();
        Self {
            named: Some("client"),
            all: all
                .map(|(client, weights)| (client.to_string(), weights))
                .collect(),
        }
    }

    /// Makes the models, judges them, and writes the table.
    pub(super) fn judge(
        &self,
        base: &Base,
        judge: &Judge,
        out: Option<&Path>,
    ) -> Result<(), Failure> {
        let tasks = base.knowledge.learned();
        let began = Instant::now();
        let models = self
            .all
            .iter()
            .map(|(_, weights)| Ok(base.combined(weights)?.means));
        let models: Vec<Vec<f32>> = models.collect::<Result<_, Failure>>()?;
        let made = began.elapsed().as_secs_f64();
        let accuracies = judge.accuracies(&models, &tasks)?;
        let judged = began.elapsed().as_secs_f64();
        let csv = self.table(&accuracies, &tasks);
        match out {
            Some(out) => write_out(out, csv.as_bytes())?,
            None => line(format_args!("{}", csv.trim_end())),
        }
        complain(&format!(
            "{} made in {made:.3} s, judged on {} after {judged:.3} s; nothing was trained\n",
            counted(self.all.len() as u64, "model"),
            counted(tasks.len() as u64, "task")
        ));
        Ok(())
    }

    fn table(&self, accuracies: &[Vec<f64>], tasks: &[TaskId]) -> String {
        let mut csv = String::new();
        let names = |prefix: &str| -> Vec<String> {
            tasks.iter().map(|task| format!("{prefix}{task}")).collect()
        };
        let mut head: Vec<String> = self.named.into_iter().map(String::from).collect();
        head.extend(names("weight_"));
        head.extend(names("accuracy_"));
        head.push("weighted".into());
        let _ = writeln!(csv, "{}", head.join(","));
        for ((name, weights), accuracies) in self.all.iter().zip(accuracies) {
            let weighted: f64 = weights.iter().zip(accuracies).map(|(w, a)| w * a).sum();
            let mut cells: Vec<String> = self.named.map(|_| name.clone()).into_iter().collect();
            let numbers = weights.iter().chain(accuracies).chain([&weighted]);
            cells.extend(numbers.map(f64::to_string));
            let _ = writeln!(csv, "{}", cells.join(","));
        }
        csv
    }
}

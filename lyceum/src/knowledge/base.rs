//! A knowledge base as the last checkpoint of a run has it.

use crate::failure::Failure;
use lyceum_coordinator::{
    Snapshot,
    run::{
        Folder, Storage,
        checkpoint::{FOLDER, Manifest, Search, manifests},
        seal::Found,
    },
};
use lyceum_core::{Halves, Layout, Params, TaskId, codec};
use lyceum_strategies::knowledge::{CombineOn, Combined, Knowledge, combine};
use std::{collections::BTreeMap, path::Path};

/// What a run has learned so far.
pub(super) struct Base {
    /// Posteriors, and which models stand for them.
    pub(super) knowledge: Knowledge,
    /// The models, by name.
    pub(super) models: BTreeMap<String, Params>,
    /// Names and places of the tensors of a model.
    pub(super) layout: Layout,
    pub(super) halves: Halves,
    /// What is added up for a preference.
    pub(super) combine: CombineOn,
    /// The state of the run that it is of.
    pub(super) snapshot: Snapshot,
}

impl Base {
    /// Reads the last good checkpoint of a run's folder.
    pub(super) fn read(folder: &Path, combine: CombineOn) -> Result<Self, Failure> {
        let storage = Folder::new(folder);
        let shown = folder.display();
        let none = || {
            Failure::input(format!(
                "{shown}: there is no checkpoint of a run here; a run's folder is right"
            ))
        };
        let manifest = newest(&storage)?.ok_or_else(none)?;
        let layout = layout(&storage, manifest.rounds)?;
        let nothing = |_: &Manifest| Ok(());
        let search = Search::new(&storage, &layout, manifest.run, &nothing);
        let restored = search.last_good()?;
        let damages = restored.damages.iter().map(|damage| {
            let file = storage.path(&damage.file);
            format!("{}: {}", file.display(), damage.reason)
        });
        let mut damages: Vec<String> = damages.collect();
        damages.dedup();
        let (_, snapshot) = restored.checkpoint.ok_or_else(|| {
            let damages = damages.join("; ");
            Failure::input(format!(
                "{shown}: no checkpoint holds what was written ({damages}); `lyceum run` with --resume does its rounds again, unless \
                 the scenario has a deadline"
            ))
        })?;
        for damage in damages {
            crate::output::warn(&format!("{damage}; an earlier checkpoint is shown"));
        }
        let halves = layout.halves();
        let knowledge = codec::decode::<Knowledge>(&snapshot.steering).ok();
        let (Some(halves), Some(knowledge)) = (halves, knowledge) else {
            return Err(Failure::input(format!(
                "{shown}: this run has no knowledge base; one with `[scenario.ibcl]` does"
            )));
        };
        let pages = snapshot.book.iter();
        let models = pages.map(|page| (page.name.clone(), page.params.clone()));
        Ok(Self {
            models: models.collect(),
            knowledge,
            layout,
            halves,
            combine,
            snapshot,
        })
    }

    /// The same as it was when so many tasks were over.
    pub(super) fn after(&mut self, tasks: usize) -> Result<(), Failure> {
        let all = self.knowledge.tasks();
        if tasks == 0 || tasks > all.len() {
            return Err(Failure::input(format!(
                "--after {tasks}: expected 1 to {}, the number of tasks that are over",
                all.len()
            )));
        }
        let kept: Vec<TaskId> = all[..tasks].to_vec();
        self.knowledge.points.retain(|p| kept.contains(&p.task));
        Ok(())
    }

    /// The posterior of a preference over the tasks that were learned, ascending.
    pub(super) fn combined(&self, preference: &[f64]) -> Result<Combined, Failure> {
        let tasks = self.knowledge.learned();
        lyceum_strategies::knowledge::check_preference(preference, tasks.len())
            .map_err(Failure::input)?;
        let of = self.knowledge.preferred(&tasks, preference);
        let models = of.iter().map(|(name, weight)| {
            let model = self.models.get(name);
            let model = model.ok_or_else(|| {
                Failure::other(format!("the knowledge base lacks the model `{name}`"))
            })?;
            Ok((model, *weight))
        });
        let models: Vec<(&Params, f64)> = models.collect::<Result<_, Failure>>()?;
        Ok(combine(self.combine, self.halves, &models))
    }
}

fn newest(storage: &Folder) -> Result<Option<Manifest>, Failure> {
    let good = |(_, found)| match found {
        Found::Good(manifest) => Some(manifest),
        Found::Nothing | Found::Damaged(_) => None,
    };
    Ok(manifests(storage)?.into_iter().find_map(good))
}

fn layout(storage: &Folder, rounds: u64) -> Result<Layout, Failure> {
    let name = format!("{FOLDER}/{rounds:06}/layout.json");
    let path = storage.path(&name);
    let bytes = storage.read(&name).ok().flatten();
    let layout = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    layout.ok_or_else(|| Failure::input(format!("{}: it cannot be read", path.display())))
}

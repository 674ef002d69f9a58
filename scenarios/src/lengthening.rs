//! What a run that is gone on with has in common with the run that began.

use crate::{Schedule, StreamChoice, Training, scenario::Scenario};
use lyceum_core::Fingerprint;
use std::collections::{BTreeMap, BTreeSet};

/// Keys of `[run]` that may be others when a run is gone on with. The parameters that a run starts from are in its chain as
/// they are, wherever they were read.
const FREE: [&str; 4] = ["name", "rounds", "start_from", "start_from_blake3"];

impl Scenario {
    /// Hash of everything in the file that a run which is gone on with keeps: of what can change a result, the number of
    /// rounds is left out.
    pub fn lineage(&self) -> Fingerprint {
        self.digest_without(&FREE)
    }

    /// Keys by which what a round does depends on how many rounds there are, so that a longer run is another one from its
    /// beginning. Empty where a run of these rounds begins like one of more.
    pub fn bound_to_rounds(&self) -> Vec<String> {
        let mut keys = Vec::new();
        if is_cosine(&self.training) {
            keys.push("training.schedule.cosine".into());
        }
        let selection = &self.selection;
        let of_selection = selection.plugin.bound_to_rounds().into_iter();
        keys.extend(of_selection.map(|key| format!("selection.{}.{key}", selection.name)));
        keys.extend(self.stream.iter().flat_map(StreamChoice::bound_to_rounds));
        // What is learned by the end of the run joins the knowledge base there.
        let steers = self.stream.iter().filter(|_| self.gives_priors());
        keys.extend(steers.map(|stream| format!("scenario.{}", stream.kind.name)));
        let later = self.phases.iter().map(|(_, phase)| phase);
        let mut bound = later.filter(|phase| {
            is_cosine(&phase.training) || !phase.selection.plugin.bound_to_rounds().is_empty()
        });
        if keys.is_empty() && bound.next().is_some() {
            keys.push("timeline.set".into());
        }
        keys
    }

    /// Keys whose values differ from those of a resolved scenario's text, leaving out those that may differ when a run is
    /// gone on with. `None` where the text is no TOML.
    pub fn differing(&self, text: &str) -> Option<Vec<String>> {
        let (here, there) = (flat(self.resolved()), flat(text.parse().ok()?));
        let all = here.keys().chain(there.keys());
        let learned = format!("data.set.{}.", self.data_set.name);
        let keys = self.data_set.plugin.learned();
        let learned = |key: &str| {
            let key = key.strip_prefix(&learned);
            key.is_some_and(|key| keys.contains(&key))
        };
        let free = |key: &str| {
            let of_run = || FREE.iter().any(|free| key == format!("run.{free}"));
            key.starts_with("data.folders") || of_run() || learned(key)
        };
        let differ = all.filter(|key| here.get(*key) != there.get(*key) && !free(key));
        let sorted: BTreeSet<&String> = differ.collect();
        Some(sorted.into_iter().cloned().collect())
    }
}

impl StreamChoice {
    fn bound_to_rounds(&self) -> Vec<String> {
        let kind = self.kind.name;
        if self.gate.is_some() {
            return vec![format!("scenario.{kind}.gate")];
        }
        let mut keys = Vec::new();
        if self.arrival.rounds_per_task.is_none() {
            keys.push(format!("scenario.{kind}.arrival.rounds_per_task"));
        }
        // A task that is shown once is dealt over its rounds, and the last one lasts to the end.
        if self.kind.plugin.rules().once {
            keys.push(format!("scenario.{kind}"));
        }
        keys
    }
}

fn is_cosine(training: &Training) -> bool {
    matches!(
        training.schedule,
        Schedule::Cosine(_) | Schedule::OneCycle(_)
    )
}

/// All values of a scenario by their dotted keys.
fn flat(table: toml::Table) -> BTreeMap<String, toml::Value> {
    let mut all = BTreeMap::new();
    put("", toml::Value::Table(table), &mut all);
    all
}

fn put(path: &str, value: toml::Value, all: &mut BTreeMap<String, toml::Value>) {
    match value {
        toml::Value::Table(table) if !table.is_empty() => {
            for (key, value) in table {
                let dot = if path.is_empty() { "" } else { "." };
                put(&format!("{path}{dot}{key}"), value, all);
            }
        }
        other => drop(all.insert(path.into(), other)),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Registry, Scenario};

    const TEXT: &str = "
        [run]
        name = 'a'
        rounds = 3
        [data]
        set = 'digits'
        clients = 20
        partition = 'iid'
        [model.softmax]
        [training]
        rate = 0.1
        [selection.uniform]
        per_round = 5
        [strategy.fed_avg]
    ";

    fn read(set: &[&str]) -> Scenario {
        let mut registry = Registry::default();
        registry.engines.push(lyceum_core::Engine {
            name: "fused",
            summary: "",
            build: |_| unreachable!("nothing is trained"),
        });
        let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
        Scenario::read(&registry, "a.toml", TEXT, &set).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn rounds_and_names_are_in_no_lineage_and_all_else_is() {
        let one = read(&[]);
        for same in ["run.name=b", "run.rounds=30", "run.start_from=x"] {
            let other = read(&[same]);
            assert_eq!(other.lineage(), one.lineage(), "{same}");
            let text = other.resolved().to_string();
            assert_eq!(one.differing(&text), Some(vec![]), "{same}");
        }
        assert_ne!(read(&["run.rounds=30"]).digest(), one.digest());
        for (set, keys) in [
            ("run.seed=1", vec!["run.seed"]),
            ("training.rate=0.2", vec!["training.rate"]),
            (
                "strategy={scaffold={}}",
                vec!["strategy.fed_avg", "strategy.scaffold"],
            ),
        ] {
            let other = read(&[set]);
            assert_ne!(other.lineage(), one.lineage(), "{set}");
            let found = one.differing(&other.resolved().to_string()).unwrap();
            let is_there = |key: &&str| found.iter().any(|f| f.starts_with(*key));
            assert!(keys.iter().all(is_there), "{set}: {found:?}");
        }
    }

    #[test]
    fn what_depends_on_the_number_of_rounds_is_named() {
        for (set, keys) in [
            (&[][..], &[][..]),
            (
                &["training.schedule={step={every=1,factor=0.5}}"][..],
                &[][..],
            ),
            (
                &["training.schedule={cosine={}}"],
                &["training.schedule.cosine"],
            ),
            (
                &["selection={difficulty={per_round=2}}"],
                &["selection.difficulty.pace"],
            ),
            (&["selection={difficulty={per_round=2,pace={all={}}}}"], &[]),
            (
                &["selection={difficulty={per_round=2,pace={all={}},budget='updates'}}"],
                &["selection.difficulty.budget"],
            ),
            (
                &["scenario.class_incremental.tasks=5"],
                &["scenario.class_incremental.arrival.rounds_per_task"],
            ),
            (
                &["scenario={class_incremental={tasks=5,arrival={rounds_per_task=2}}}"],
                &[],
            ),
            (
                &[
                    "scenario={online={tasks=5,arrival={rounds_per_task=2}}}",
                    "training.epochs=1",
                ],
                &["scenario.online"],
            ),
            (
                &["timeline=[{round=1,set={training={schedule={cosine={}}}}}]"],
                &["timeline.set"],
            ),
        ] {
            assert_eq!(read(set).bound_to_rounds(), keys, "{set:?}");
        }
    }
}

//! What tables say together, and does not go together.

use crate::{
    data::{Normalisation, Tokens},
    deadline::Deadline,
    label::{LABEL, is_label},
    registry::Registry,
    scenario::{Scenario, Sized, Wrong},
    training::OptimizerChoice,
};
use lyceum_core::units::Misfit;
use lyceum_strategies::ordering::Ordering;
use std::collections::BTreeSet;

/// Rounds of a run whose budget is client updates, at most: all of them are gone through before it begins.
const MOST_BUDGETED: usize = 10_000_000;

fn wrong(path: &str, message: impl Into<String>, label: impl Into<String>) -> Wrong {
    (path.into(), message.into(), label.into())
}

/// Whether a node's certificate may have this name.
fn can_be_certified(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let path = [".", ".."].contains(&name);
    (1..=63).contains(&name.len()) && !path && name.chars().all(plain)
}

/// What a plugin finds wrong within its own table.
fn within(table: &str, misfit: Misfit) -> Wrong {
    let path = format!("{table}.{}", misfit.key);
    (path, misfit.message, misfit.expected)
}

impl Scenario {
    /// What is wrong, each at the key where it is.
    pub(crate) fn cross_faults(&self, registry: &Registry) -> Vec<Wrong> {
        if let Some(endless) = self.endless_budget() {
            return vec![endless];
        }
        let mut all = Vec::new();
        all.extend(self.wrong_in_run());
        all.extend(self.wrong_in_real_clients());
        all.extend(self.wrong_in_texts());
        all.extend(self.wrong_in_cohort());
        all.extend(self.wrong_in_deadline());
        let selection = format!("selection.{}", self.selection.name);
        let misfit = self.selection.plugin.misfit();
        all.extend(misfit.map(|misfit| within(&selection, misfit)));
        let misfit = self.ordering.as_ref().and_then(Ordering::misfit);
        all.extend(misfit.map(|misfit| within("ordering", misfit)));
        all.extend(self.wrong_in_parts());
        all.extend(self.wrong_in_training(registry));
        all.extend(self.wrong_in_personal());
        all.extend(self.wrong_in_distributions());
        all.extend(self.transform_faults());
        let steering = self.steering.iter();
        all.extend(steering.filter_map(|rule| {
            Some(within(
                &format!("steering.{}", rule.name),
                rule.plugin.misfit()?,
            ))
        }));
        all.extend(self.timeline_faults());
        all.extend(self.wrong_in_carry());
        let stream = self.stream.iter();
        let misfits = stream.flat_map(|stream| stream.misfits(self));
        all.extend(misfits.map(|misfit| within("scenario", misfit)));
        all.extend(self.wrong_in_evaluation());
        all.extend(self.wrong_with_pairs());
        all
    }

    /// A budget whose rounds would take too long to count.
    fn endless_budget(&self) -> Option<Wrong> {
        let budget = self.selection.resolved.get("budget")?.as_str()?;
        let rounds = self.run.rounds.get();
        (budget == "updates" && rounds > MOST_BUDGETED).then(|| {
            wrong(
                "run.rounds",
                format!("{rounds} rounds are more than a budget of updates is counted for"),
                format!("at most {MOST_BUDGETED} with `budget = \"updates\"`"),
            )
        })
    }

    fn wrong_in_run(&self) -> Vec<Wrong> {
        let mut all = Vec::new();
        let name = &self.run.name;
        if !is_label(name) {
            let message = format!("`{name}` cannot name a run's folder");
            all.push(wrong("run.name", message, LABEL));
        }
        let start = self.run.start_from.as_ref();
        if start.is_some_and(|path| path.as_os_str().is_empty()) {
            all.push(wrong(
                "run.start_from",
                "the path of no file",
                "a safetensors file of this model, or leave it out to draw the first parameters",
            ));
        }
        let hash = self.run.start_from_blake3.as_ref();
        let is_hash =
            |hash: &String| hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit());
        if hash.is_some_and(|hash| !is_hash(hash)) {
            all.push(wrong(
                "run.start_from_blake3",
                "this is no BLAKE3",
                "64 hexadecimal digits, or leave it out to take the file as it is",
            ));
        }
        if self.run.start_from_blake3.is_some() && self.run.start_from.is_none() {
            all.push(wrong(
                "run.start_from_blake3",
                "the hash of no file",
                "give `start_from`, too, or leave it out",
            ));
        }
        all
    }

    fn wrong_in_real_clients(&self) -> Vec<Wrong> {
        let mut all = Vec::new();
        let real = &self.data.real;
        let names: BTreeSet<_> = real.iter().map(|client| client.name.as_str()).collect();
        if names.len() < real.len() {
            all.push(wrong(
                "data.real",
                "two real clients have one name",
                "each needs a name of its own",
            ));
        }
        for (index, client) in real
            .iter()
            .enumerate()
            .filter(|(_, c)| !can_be_certified(&c.name))
        {
            all.push(wrong(
                &format!("data.real.{index}.name"),
                format!("no certificate can be for `{}`", client.name),
                "1 to 63 characters of a-z, 0-9, `-`, `_` and `.`",
            ));
        }
        let table = self.data_set.plugin.table().is_some();
        if !names.is_empty() && self.data.normalise == Normalisation::Standard && !table {
            all.push(wrong(
                "data.normalise",
                "real clients cannot be normalised by samples that they do not see",
                "`unit` or `none` with `[[data.real]]`, or a data set from a CSV file",
            ));
        }
        if !names.is_empty() && self.data.features.is_some() {
            all.push(wrong(
                "data.features",
                "real clients have no fixed features",
                "leave out `data.features` or `[[data.real]]`",
            ));
        }
        all
    }

    /// What is asked of texts that only numbers can have.
    fn wrong_in_texts(&self) -> Vec<Wrong> {
        let Some(text) = self.data_set.plugin.text() else {
            return Vec::new();
        };
        let mut all = Vec::new();
        if self.data.normalise == Normalisation::Standard {
            all.push(wrong(
                "data.normalise",
                "tokens and counts of words are no measurements that could be brought to mean 0 and deviation 1",
                "`unit` or `none`; hashed tokens have a `normalise` of their own",
            ));
        }
        if self.data.features.is_some() && !matches!(text.tokens, Tokens::Hashed(_)) {
            all.push(wrong(
                "data.features",
                "fixed features are made of numbers, and tokens are only called by numbers",
                "leave out `data.features`, or hash the tokens",
            ));
        }
        all
    }

    fn wrong_in_cohort(&self) -> Option<Wrong> {
        let clients = self.clients() as usize;
        let everybody = Sized {
            clients: u64::MAX >> 1,
        };
        let cohort = self.selection.plugin.cohort(&everybody);
        (cohort > clients && cohort < usize::MAX >> 2).then(|| {
            wrong(
                &format!("selection.{}.per_round", self.selection.name),
                "more clients per round than clients",
                format!("at most data.clients = {clients}"),
            )
        })
    }

    /// Times and counts of a deadline that contradict each other.
    fn wrong_in_deadline(&self) -> Vec<Wrong> {
        let Some(Deadline::Close(close)) = &self.deadline else {
            return Vec::new();
        };
        let after = close.after_s.get();
        let mut all = Vec::new();
        if close.give_up_s.is_some_and(|give_up| give_up.get() < after) {
            all.push(wrong(
                "deadline.close.give_up_s",
                "the run would stop before a round may close",
                format!("at least after_s = {after}"),
            ));
        }
        if close
            .enough_clients
            .is_some_and(|enough| enough < close.min_clients)
        {
            all.push(wrong(
                "deadline.close.enough_clients",
                "fewer clients are enough than must have answered",
                format!("at least min_clients = {}", close.min_clients.get()),
            ));
        }
        all
    }

    fn wrong_in_parts(&self) -> Option<Wrong> {
        let clients = self.data.clients.get();
        let parts = self.data.parts.filter(|parts| parts.get() < clients)?;
        let message = format!("fewer parts than clients: {}", parts.get());
        let label = format!("at least data.clients = {clients}");
        Some(wrong("data.parts", message, label))
    }

    fn wrong_in_training(&self, registry: &Registry) -> Vec<Wrong> {
        let mut all = Vec::new();
        let adaptive = matches!(self.training.optimizer, OptimizerChoice::Adam(_));
        if adaptive && self.strategy.plugin.client_half().needs_travel() {
            let message = format!(
                "`{}` recovers gradients from the distance travelled, which Adam hides",
                self.strategy.name
            );
            all.push(wrong("training.optimizer", message, "use `sgd` with it"));
        }
        let weights = self.training.class_weights.as_ref();
        if weights.is_some_and(|weights| weights.iter().all(|weight| weight.get() == 0.0)) {
            all.push(wrong(
                "training.class_weights",
                "no class counts: every weight is 0, and nothing would be learned",
                "at least one weight above 0",
            ));
        }
        let engine = &self.training.engine;
        if registry.engine(engine).is_none() {
            let names: Vec<_> = registry.engines.iter().map(|e| e.name).collect();
            let message = format!("unknown engine `{engine}`");
            let label = format!("expected one of {}", names.join(", "));
            all.push(wrong("training.engine", message, label));
        }
        all
    }

    fn wrong_in_carry(&self) -> Option<Wrong> {
        (self.training.carry && self.stream.is_none()).then(|| {
            wrong(
                "training.carry",
                "only clients in a stream of tasks keep their optimizers",
                "leave it out, or add a table `[scenario.*]`",
            )
        })
    }

    fn wrong_in_evaluation(&self) -> Option<Wrong> {
        let every = self.evaluation.every.get();
        let of_clients = self.evaluation.clients_every?;
        (of_clients.get() % every != 0).then(|| {
            wrong(
                "evaluation.clients_every",
                "client accuracies need an evaluation in the same round",
                format!("a multiple of evaluation.every = {every}"),
            )
        })
    }
}

//! What IBCL is compared with.

use crate::knowledge::random_preference;

/// Samples that are kept of earlier tasks, in all.
const MEMORY: u32 = 200;

/// A learner without a knowledge base.
#[derive(Clone, Copy)]
pub(super) struct Learner {
    pub(super) name: &'static str,
    /// The tables of `scenario.domain_incremental.method`; WEIGHTS stands for a preference, MEMORY for a number.
    method: &'static str,
    /// Its weights are distributions.
    pub(super) variational: bool,
    /// A model for each preference, instead of one for all.
    pub(super) each_preference: bool,
    /// Steps of a round, where they are not those of everybody.
    pub(super) steps: Option<u64>,
    /// It is run on principal components as well.
    pub(super) on_components: bool,
}

const fn one(name: &'static str, method: &'static str) -> Learner {
    Learner {
        name,
        method,
        variational: false,
        each_preference: false,
        steps: None,
        on_components: false,
    }
}

const fn twice(learner: Learner) -> Learner {
    Learner {
        on_components: true,
        ..learner
    }
}

const fn at_once(learner: Learner) -> Learner {
    Learner {
        steps: Some(ROUND),
        ..learner
    }
}

const fn distribution(name: &'static str, method: &'static str) -> Learner {
    Learner {
        variational: true,
        ..one(name, method)
    }
}

const fn each(name: &'static str, method: &'static str) -> Learner {
    Learner {
        each_preference: true,
        ..one(name, method)
    }
}

/// Steps of a round of everybody: five passes over the samples of a task. Who sees all tasks at once would take five times as many.
const ROUND: u64 = 940;
/// Steps of a round of a learner whose ten models together take as many as IBCL.
const TENTH: u64 = 94;

pub(super) const LEARNERS: [Learner; 14] = [
    twice(distribution("VCL", "vcl = {}")),
    distribution(
        "VCL, coresets of 200",
        "vcl_coreset = { coreset = 40, rounds = 2, passes = 390 }",
    ),
    distribution(
        "VCL, 200 samples replayed",
        "vcl = {}, er = { memory = MEMORY }",
    ),
    one("fine-tuning", "naive = {}"),
    one("pull to the last task (L2)", "l2 = { strength = 0.1 }"),
    twice(one("replay, 200 samples", "er = { memory = MEMORY }")),
    twice(one("GEM, 200 samples", "gem = { memory = MEMORY }")),
    one("A-GEM, 200 samples", "a_gem = { memory = MEMORY }"),
    twice(at_once(one("all tasks at once", "joint = {}"))),
    each(
        "replay, a model a preference",
        "er = { memory = MEMORY, weights = WEIGHTS }",
    ),
    Learner {
        steps: Some(TENTH),
        ..each(
            "replay, a model a preference, a tenth of the steps each",
            "er = { memory = MEMORY, weights = WEIGHTS }",
        )
    },
    each(
        "GEM, a model a preference",
        "gem = { memory = MEMORY, weights = WEIGHTS }",
    ),
    each(
        "A-GEM, a model a preference",
        "a_gem = { memory = MEMORY, weights = WEIGHTS }",
    ),
    at_once(each(
        "all at once, a model a preference",
        "joint = { weights = WEIGHTS }",
    )),
];

impl Learner {
    /// Keeps no samples of earlier tasks.
    pub(super) fn keeps_nothing(&self) -> bool {
        !["MEMORY", "coreset", "joint"]
            .iter()
            .any(|word| self.method.contains(word))
    }

    /// The preferences that it trains models for; one that nobody reads where there is one model for all.
    pub(super) fn preferences(&self, tasks: usize, count: usize, seed: u64) -> Vec<Vec<f64>> {
        match self.each_preference {
            true => (0..count as u64)
                .map(|number| random_preference(tasks, seed, number))
                .collect(),
            false => vec![vec![1.0 / tasks as f64; tasks]],
        }
    }

    /// Its methods for a preference, as a file has them.
    pub(super) fn methods(&self, preference: &[f64]) -> String {
        let words: Vec<String> = preference.iter().map(|w| format!("{w:.6}")).collect();
        let method = self.method.replace("MEMORY", &MEMORY.to_string());
        method.replace("WEIGHTS", &format!("[{}]", words.join(", ")))
    }

    /// What the model of a preference is called.
    pub(super) fn model(&self, number: usize) -> String {
        match self.each_preference {
            true => format!("{} {number}", self.name),
            false => self.name.into(),
        }
    }
}

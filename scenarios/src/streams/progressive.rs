use super::{
    Ground, ScenarioPlugin, StreamError,
    composed::{self, Composed},
    groups::{ClassRef, Groups},
};
use lyceum_core::{
    AnySteering, AnyStrategy, Reach, Stream, Task,
    units::{Count, Misfit},
};
use lyceum_strategies::steering::{Begin, Progress};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Progressive training: one group of samples after another, each judged by validation samples of its own right behind it, and all by
/// test samples (Kumarappan et al. 2025, LeanAgent). Each class of the data is a task by default: of `lean-premises`, each repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Progressive {
    /// Number of tasks, each with as many classes; as many as there are classes by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Count>,
    /// Classes of each task, by number or name, instead of a number of tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Vec<ClassRef>>>,
    /// A column of the table instead of classes: samples with the same value are a task. It is one of the features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Tasks one by one instead of classes: which samples each shows, how many it shares with others, and how it shows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub composed: Option<Vec<Composed>>,
    /// Deal the classes to the tasks in an order drawn from the seed; false by default.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shuffled: bool,
    /// What a task is trained on: "task" (its own samples, the default) or "merged" (those of all tasks so far, as LeanAgent's "Merge All").
    #[serde(default)]
    pub on: On,
    /// Which model a task begins with: "newest" (the default), "best" (of the rounds of the task before, by its validation samples) or "first"
    /// (that of the run's beginning: each task alone).
    #[serde(default)]
    pub begin: Beginning,
}

/// What a task is trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// Its own samples.
    #[default]
    Task,
    /// Those of all tasks so far.
    Merged,
}

/// Which model a task begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Beginning {
    /// The one that the round before left.
    #[default]
    Newest,
    /// The best one of the task before.
    Best,
    /// The one that the run began with.
    First,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Progressive {
    fn of_classes(&self, ground: &Ground<'_>, rng: &mut Stream) -> Result<Vec<Task>, StreamError> {
        let all = Count::new(ground.classes() as u64);
        let groups = Groups {
            tasks: match self.classes {
                Some(_) => self.tasks,
                None => self.tasks.or(all),
            },
            classes: self.classes.as_deref(),
            shuffled: self.shuffled,
        };
        groups.tasks(ground, rng)
    }

    /// The ways to say which samples a task has, that are given.
    fn ways(&self) -> Vec<&'static str> {
        let ways = [
            (self.classes.is_some(), "classes"),
            (self.column.is_some(), "column"),
            (self.composed.is_some(), "composed"),
        ];
        let given = ways.into_iter().filter(|(given, _)| *given);
        given.map(|(_, key)| key).collect()
    }
}

impl ScenarioPlugin for Progressive {
    fn tasks(&self, ground: &Ground<'_>, rng: &mut Stream) -> Result<Vec<Task>, StreamError> {
        if self.begin == Beginning::Best && ground.held.is_empty() {
            let message = "the best model is found by validation samples, and there are none";
            let label = "with it `validation = 0.1`, or another share, in `[data]`";
            return Err(StreamError::new("begin", message, label));
        }
        match (&self.column, &self.composed) {
            (Some(column), _) => of_column(column, ground),
            (_, Some(all)) => composed::tasks(all, ground, rng),
            _ => self.of_classes(ground, rng),
        }
    }

    fn misfit(&self) -> Option<Misfit> {
        let refuse = |key: &str, message: String, expected: &str| {
            Some(Misfit {
                key: key.into(),
                message,
                expected: expected.into(),
            })
        };
        match self.ways()[..] {
            [first, second, ..] => {
                let message = format!("both `{first}` and `{second}` are given");
                refuse(second, message, "keep only one of them")
            }
            ["column" | "composed"] if self.tasks.is_some() => {
                let message = "the number of tasks follows from the others";
                refuse("tasks", message.into(), "leave it out")
            }
            ["column" | "composed"] if self.shuffled => {
                let message = "classes are dealt to no task here";
                refuse("shuffled", message.into(), "leave it out")
            }
            _ => None,
        }
    }

    fn reach(&self) -> Reach {
        match self.on {
            On::Task => Reach::Task,
            On::Merged => Reach::UpToNow,
        }
    }

    fn validates(&self) -> bool {
        true
    }

    fn steering(&self, _: &dyn AnyStrategy) -> Option<Arc<dyn AnySteering>> {
        let begin = match self.begin {
            Beginning::Newest => return None,
            Beginning::Best => Begin::Best,
            Beginning::First => Begin::First,
        };
        Some(Arc::new(Progress { begin }))
    }
}

/// Tasks of a column, at most.
const MOST: usize = 10_000;

/// A task for each value of a feature, ascending.
fn of_column(column: &str, ground: &Ground<'_>) -> Result<Vec<Task>, StreamError> {
    let pool = ground.pool("column")?;
    let at = ground.column(column, "column")?;
    let order = |value: f32| {
        // Ascending as numbers: negative ones are turned round.
        let bits = (value + 0.0).to_bits();
        match bits >> 31 {
            0 => bits | 1 << 31,
            _ => !bits,
        }
    };
    let mut groups: BTreeMap<u32, (f32, Vec<u32>, Vec<u32>)> = BTreeMap::new();
    for place in 0..pool.len() {
        let value = pool.values(place)[at];
        let group = groups.entry(order(value)).or_default();
        group.0 = value;
        group.1.push(place as u32);
    }
    for place in 0..ground.test.len() {
        let value = ground.test.values(place)[at];
        if let Some(group) = groups.get_mut(&order(value)) {
            group.2.push(place as u32);
        }
    }
    if groups.len() > MOST {
        let message = format!("`{column}` has {} values, each a task", groups.len());
        let label = format!("a column of at most {MOST} values");
        return Err(StreamError::new("column", message, label));
    }
    let task = |(value, train, probe): (f32, Vec<u32>, Vec<u32>)| {
        if probe.is_empty() {
            let message = format!("no test sample has {value} in `{column}`");
            let label = "a column whose values all have test samples";
            return Err(StreamError::new("column", message, label));
        }
        let name = format!("{column} {value}");
        Ok(ground.task_of_places(name, train, probe))
    };
    groups.into_values().map(task).collect()
}

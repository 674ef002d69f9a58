use super::{
    Ground, ScenarioPlugin, StreamError,
    groups::{ClassRef, Groups},
};
use lyceum_core::{
    Samples, Stream, Task,
    units::{Count, Fraction},
};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Blurry: groups of classes, with a share of their samples mixed into the other tasks (Bang et al. 2021, Blurry-M: minor
/// classes in every task). Each sample is in one task; a task is tested on its own group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blurry {
    /// Number of tasks, each with as many classes; the classes in equal parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Count>,
    /// Classes of each task, by number or name, instead of a number of tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Vec<ClassRef>>>,
    /// Deal the classes to the tasks in an order drawn from the seed; false by default.
    #[serde(default)]
    pub shuffled: bool,
    /// Share of each class that is dealt to the other tasks, evenly and at random; 0.1 by default.
    #[serde(default = "tenth")]
    pub share: Fraction,
}

impl Blurry {
    fn groups(&self) -> Groups<'_> {
        Groups {
            tasks: self.tasks,
            classes: self.classes.as_deref(),
            shuffled: self.shuffled,
        }
    }
}

impl ScenarioPlugin for Blurry {
    fn tasks(&self, ground: &Ground<'_>, rng: &mut Stream) -> Result<Vec<Task>, StreamError> {
        let groups = self.groups().of(ground, rng)?;
        let pool = ground.pool("share")?;
        let deal = deal(pool, &groups, self.share.get(), rng);
        let tasks = (0..).zip(&groups).map(|(task, group)| {
            let own = ground.task_of_classes(ground.name_of(group), group);
            Task {
                classes: ground.shown(pool, |place| deal[place as usize] == task),
                train: ground.places(|place, _| deal[place as usize] == task),
                ..own
            }
        });
        Ok(tasks.collect())
    }
}

fn tenth() -> Fraction {
    Fraction::new(0.1).expect("0.1 is in range")
}

/// The task of each sample: its group's, save for a share that goes to one of the others.
fn deal(pool: &Samples, groups: &[Vec<u32>], share: f64, rng: &mut Stream) -> Vec<u32> {
    let home = |label: &u32| groups.iter().position(|group| group.contains(label));
    let homes: Vec<Option<usize>> = (0..pool.classes as u32).map(|c| home(&c)).collect();
    let others = groups.len() as u64 - 1;
    let one = |label: &u32| {
        let Some(home) = homes[*label as usize] else {
            return u32::MAX;
        };
        if others == 0 || rng.random::<f64>() >= share {
            return home as u32;
        }
        let step = rng.random_range(1..=others) as usize;
        ((home + step) % groups.len()) as u32
    };
    pool.labels.iter().map(one).collect()
}

//! What sets the tasks of a domain-incremental stream apart, with all classes in each.

use super::{
    Ground, StreamError,
    groups::{ClassRef, either},
};
use crate::data::in_words;
use lyceum_core::{
    Lens, Pixels, Seed, Stream, Task, shuffle,
    units::{Angle, Count, Fraction, NonNegative, Positive},
};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What sets tasks apart that show the same classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shift {
    /// Values in an order of the task's own, drawn from the seed. Permuted MNIST: Goodfellow et al. 2013.
    Permuted(Permuted),
    /// Pictures turned by an angle of the task's own. Rotated MNIST: Lopez-Paz & Ranzato 2017.
    Rotated(Rotated),
    /// Normal noise of the task's own deviation, the same on a sample every time. Hendrycks & Dietterich 2019.
    Noise(Noise),
    /// Values times a factor of the task's own. Hendrycks & Dietterich 2019, brightness.
    Brightness(Brightness),
    /// Values scaled and shifted by draws of the task's own. Li et al. 2022, feature distribution skew.
    FeatureSkew(FeatureSkew),
    /// Each task shows more of some classes than of others. Li et al. 2022, label distribution skew.
    LabelShift(LabelShift),
    /// Other classes in each task under the same few labels, such as one binary question after another. Lu et al. 2023,
    /// IBCL.
    Groups(LabelGroups),
}

/// Values in another order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Permuted {
    /// Show the first task as it is; false by default.
    #[serde(default)]
    pub first_as_it_is: bool,
}

/// Pictures turned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotated {
    /// Degrees against the clock: one for each task, or those of the first and the last with equal steps between.
    pub degrees: Vec<Angle>,
}

/// Noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Standard deviation: one for each task, or those of the first and the last with equal steps between.
    pub deviation: Vec<NonNegative>,
}

/// Values times a factor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Brightness {
    /// Factor, above 0: one for each task, or those of the first and the last with equal steps between.
    pub factor: Vec<Positive>,
}

/// Values scaled and shifted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureSkew {
    /// What has a draw of its own: "channel" (the default) or "value".
    #[serde(default)]
    pub per: Grain,
    /// Standard deviation of the factors around 1; 0.3 by default.
    #[serde(default = "skew")]
    pub scale: NonNegative,
    /// Standard deviation of the shifts around 0; 0.3 by default.
    #[serde(default = "skew")]
    pub shift: NonNegative,
}

/// What has a draw of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grain {
    /// Each channel of a picture; a flat sample is one channel.
    #[default]
    Channel,
    /// Each value.
    Value,
}

/// More of some classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelShift {
    /// Share of each class that one task has for itself; the rest is dealt to all tasks evenly and at random. 0.5 by
    /// default.
    #[serde(default = "half")]
    pub share: Fraction,
}

/// Classes under shared labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelGroups {
    /// Classes, by number or name, behind each label of each task: `[[[0], [1]], [[2], [3]]]` asks first "0 or 1?", then "2 or 3?". Dealt
    /// in equal parts by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<Vec<Vec<ClassRef>>>>,
    /// Number of labels, where the groups are not listed; 2 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Count>,
    /// Deal the classes in an order drawn from the seed; false by default.
    #[serde(default)]
    pub shuffled: bool,
}

fn skew() -> NonNegative {
    NonNegative::new(0.3).expect("0.3 is in range")
}

fn half() -> Fraction {
    Fraction::new(0.5).expect("0.5 is in range")
}

impl Shift {
    /// The tasks. Errors name keys beside `shift`.
    pub(super) fn tasks(
        &self,
        tasks: Option<Count>,
        ground: &Ground<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Task>, StreamError> {
        match self {
            Self::Permuted(shift) => shift.tasks(number(tasks)?, ground, rng),
            Self::Rotated(shift) => shift.tasks(tasks, ground),
            Self::Noise(shift) => shift.tasks(tasks, ground, rng),
            Self::Brightness(shift) => shift.tasks(tasks, ground),
            Self::FeatureSkew(shift) => Ok(shift.tasks(number(tasks)?, ground, rng)),
            Self::LabelShift(shift) => shift.tasks(number(tasks)?, ground, rng),
            Self::Groups(shift) => shift.tasks(tasks, ground, rng),
        }
    }

    /// Number of logits, where it is not the number of classes of the data.
    pub(super) fn outputs(&self) -> Option<usize> {
        match self {
            Self::Groups(shift) => Some(shift.labels()),
            _ => None,
        }
    }
}

fn number(tasks: Option<Count>) -> Result<usize, StreamError> {
    let missing = || StreamError::new("", "`tasks` is not given", "such as `tasks = 5`");
    few(tasks)?.ok_or_else(missing)
}

/// Tasks of a stream, at most: more than anybody compares, and no more than memory holds.
const MOST_TASKS: usize = 10_000;

/// The number of tasks, unless there are too many.
fn few(tasks: Option<Count>) -> Result<Option<usize>, StreamError> {
    match tasks.map(Count::get) {
        Some(tasks) if tasks > MOST_TASKS => {
            let label = format!("at most {MOST_TASKS}");
            Err(StreamError::new(
                "tasks",
                format!("a stream of {tasks} tasks"),
                label,
            ))
        }
        tasks => Ok(tasks),
    }
}

/// One value for each task: those listed, or equal steps between two.
fn spread(key: &str, listed: Vec<f64>, tasks: Option<Count>) -> Result<Vec<f64>, StreamError> {
    let tasks = few(tasks)?.unwrap_or(listed.len());
    match *listed.as_slice() {
        _ if listed.len() == tasks && tasks > 0 => Ok(listed),
        [first, last] => {
            let steps = (tasks - 1).max(1) as f64;
            let at = |task: usize| first + (last - first) * task as f64 / steps;
            Ok((0..tasks).map(at).collect())
        }
        _ => {
            let message = format!("{} values for {tasks} tasks", listed.len());
            let label = "one for each task, or those of the first and the last";
            Err(StreamError::new(key, message, label))
        }
    }
}

/// A task that shows all samples through a lens.
fn through(ground: &Ground<'_>, name: String, pixels: Vec<Pixels>) -> Task {
    Task {
        lens: Lens {
            pixels,
            labels: None,
        },
        ..ground.task_of_all(name)
    }
}

impl Permuted {
    fn tasks(
        &self,
        tasks: usize,
        ground: &Ground<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Task>, StreamError> {
        let width = ground.test.width() as u32;
        let task = |task: usize| {
            let mut places: Vec<u32> = (0..width).collect();
            if task == 0 && self.first_as_it_is {
                return through(ground, "as it is".into(), Vec::new());
            }
            shuffle(&mut places, rng);
            let name = format!("permuted {task}");
            through(ground, name, vec![Pixels::Moved(places.into())])
        };
        Ok((0..tasks).map(task).collect())
    }
}

impl Rotated {
    fn tasks(&self, tasks: Option<Count>, ground: &Ground<'_>) -> Result<Vec<Task>, StreamError> {
        let key = "shift.rotated.degrees";
        let degrees = self.degrees.iter().map(|d| d.get()).collect();
        let task = |degrees: f64| {
            let turned = Pixels::rotated(&ground.test.shape, degrees).ok_or_else(|| {
                let message = format!("samples are {}, no pictures", in_words(&ground.test.shape));
                StreamError::new(key, message, "turning needs pictures")
            })?;
            Ok(through(ground, format!("{degrees} degrees"), vec![turned]))
        };
        spread(key, degrees, tasks)?.into_iter().map(task).collect()
    }
}

impl Noise {
    fn tasks(
        &self,
        tasks: Option<Count>,
        ground: &Ground<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Task>, StreamError> {
        let deviations = self.deviation.iter().map(|d| d.get()).collect();
        let task = |deviation: f64| {
            let noisy = Pixels::Noisy {
                deviation: deviation as f32,
                seed: Seed(rng.random()),
            };
            through(ground, format!("noise {deviation}"), vec![noisy])
        };
        let deviations = spread("shift.noise.deviation", deviations, tasks)?;
        Ok(deviations.into_iter().map(task).collect())
    }
}

impl Brightness {
    fn tasks(&self, tasks: Option<Count>, ground: &Ground<'_>) -> Result<Vec<Task>, StreamError> {
        let factors = self.factor.iter().map(|f| f.get()).collect();
        let task = |factor: f64| {
            let scaled = Pixels::Scaled {
                factor: factor as f32,
                shift: 0.0,
            };
            through(ground, format!("brightness {factor}"), vec![scaled])
        };
        let factors = spread("shift.brightness.factor", factors, tasks)?;
        Ok(factors.into_iter().map(task).collect())
    }
}

impl FeatureSkew {
    fn tasks(&self, tasks: usize, ground: &Ground<'_>, rng: &mut Stream) -> Vec<Task> {
        let width = ground.test.width();
        let plane = match (self.per, &ground.test.shape[..]) {
            (Grain::Value, _) => 1,
            (Grain::Channel, [channels, ..]) if ground.test.shape.len() > 1 => width / channels,
            (Grain::Channel, _) => width,
        };
        let mut draws = |middle: f64, deviation: f64| -> Arc<[f32]> {
            let mut draw = || {
                let normal: f64 = StandardNormal.sample(rng);
                (middle + deviation * normal) as f32
            };
            let planes: Vec<f32> = (0..width / plane).map(|_| draw()).collect();
            planes
                .iter()
                .flat_map(|&v| std::iter::repeat_n(v, plane))
                .collect()
        };
        let mut task = |task: usize| {
            let skewed = Pixels::Skewed {
                factors: draws(1.0, self.scale.get()),
                shifts: draws(0.0, self.shift.get()),
            };
            through(ground, format!("skewed {task}"), vec![skewed])
        };
        (0..tasks).map(&mut task).collect()
    }
}

impl LabelShift {
    fn tasks(
        &self,
        tasks: usize,
        ground: &Ground<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Task>, StreamError> {
        let pool = ground.pool("shift.label_shift")?;
        let favours = |class: u32| class as usize * tasks / pool.classes.max(1);
        let mut deal = |label: &u32| match rng.random::<f64>() < self.share.get() {
            true => favours(*label) as u64,
            false => rng.random_range(0..tasks as u64),
        };
        let dealt: Vec<u64> = pool.labels.iter().map(&mut deal).collect();
        let task = |task: u64| Task {
            classes: ground.shown(pool, |place| dealt[place as usize] == task),
            train: ground.places(|place, _| dealt[place as usize] == task),
            ..ground.task_of_all(format!("label shift {task}"))
        };
        Ok((0..tasks as u64).map(task).collect())
    }
}

impl LabelGroups {
    fn labels(&self) -> usize {
        let listed = self.groups.iter().flatten().map(Vec::len).max();
        listed.unwrap_or(self.outputs.map_or(2, Count::get))
    }

    fn tasks(
        &self,
        tasks: Option<Count>,
        ground: &Ground<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Task>, StreamError> {
        let groups = match &self.groups {
            Some(groups) => found(groups, ground)?,
            None => self.equal_parts(number(tasks)?, ground.classes(), rng)?,
        };
        if tasks.is_some_and(|tasks| tasks.get() != groups.len()) {
            let label = "leave one of them out";
            let message = "`tasks` is not the number of `groups`";
            return Err(StreamError::new("tasks", message, label));
        }
        groups
            .iter()
            .map(|labels| self.task(labels, ground))
            .collect()
    }

    fn equal_parts(
        &self,
        tasks: usize,
        classes: usize,
        rng: &mut Stream,
    ) -> Result<Vec<Vec<Vec<u32>>>, StreamError> {
        let labels = self.labels();
        if !classes.is_multiple_of(tasks * labels) {
            let message = format!(
                "{classes} classes cannot be dealt to {tasks} tasks of {labels} groups each in equal parts"
            );
            let fitting = (1..=classes / labels).filter(|n| classes.is_multiple_of(n * labels));
            let fitting: Vec<String> = fitting.map(|n| n.to_string()).collect();
            let label = match fitting.is_empty() {
                true => format!("list `groups`: no number of tasks fits {labels} groups each"),
                false => format!("{} tasks, or list `groups`", either(&fitting)),
            };
            return Err(StreamError::new("tasks", message, label));
        }
        let mut all: Vec<u32> = (0..classes as u32).collect();
        if self.shuffled {
            shuffle(&mut all, rng);
        }
        let each = classes / tasks / labels;
        let groups: Vec<Vec<u32>> = all.chunks(each).map(<[u32]>::to_vec).collect();
        Ok(groups.chunks(labels).map(<[_]>::to_vec).collect())
    }

    fn task(&self, labels: &[Vec<u32>], ground: &Ground<'_>) -> Result<Task, StreamError> {
        let refuse = |message: String, label: &str| {
            let key = "shift.groups.groups";
            Err(StreamError::new(key, message, label))
        };
        if labels.len() < 2 || labels.iter().any(Vec::is_empty) {
            let label = "at least two labels in each task, and one class behind each";
            return refuse("a task with nothing to tell apart".into(), label);
        }
        let mut names = vec![None; ground.classes()];
        for (label, &class) in (0..)
            .zip(labels)
            .flat_map(|(l, g)| g.iter().map(move |c| (l, c)))
        {
            match names.get_mut(class as usize) {
                Some(name @ None) => *name = Some(label),
                _ => {
                    let class = ground.name_of(&[class]);
                    let message = format!("class {class} stands twice in a task");
                    return refuse(message, "once in each task");
                }
            }
        }
        let classes: Vec<u32> = labels.iter().flatten().copied().collect();
        let parts: Vec<_> = labels.iter().map(|g| ground.name_of(g)).collect();
        let names: Vec<u32> = names.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Task {
            classes: (0..labels.len() as u32).collect(),
            lens: Lens {
                pixels: Vec::new(),
                labels: Some(names.into()),
            },
            ..ground.task_of_classes(parts.join(" or "), &classes)
        })
    }
}

/// The numbers of classes.
fn found(
    groups: &[Vec<Vec<ClassRef>>],
    ground: &Ground<'_>,
) -> Result<Vec<Vec<Vec<u32>>>, StreamError> {
    let class = |class: &ClassRef| class.find(ground);
    let label = |label: &Vec<ClassRef>| label.iter().map(class).collect();
    let task = |task: &Vec<Vec<ClassRef>>| task.iter().map(label).collect();
    let found: Result<_, (String, String)> = groups.iter().map(task).collect();
    found.map_err(|(wrong, right)| StreamError::new("shift.groups.groups", wrong, right))
}

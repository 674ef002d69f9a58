//! Classes in groups, one for each task.

use super::{Ground, StreamError};
use crate::data::listed;
use lyceum_core::{Stream, Task, shuffle, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A class of the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected the number of a class, counted from 0, or its name"
)]
pub enum ClassRef {
    /// By number, counted from 0.
    Number(u32),
    /// By the label that the table has for it.
    Name(String),
}

impl ClassRef {
    /// The number of the class, if there is such a class.
    pub(super) fn find(&self, ground: &Ground<'_>) -> Result<u32, (String, String)> {
        let found = match self {
            Self::Number(class) => Some(*class).filter(|&c| (c as usize) < ground.classes()),
            Self::Name(name) => {
                let place = ground.called.iter().position(|called| called == name);
                place.map(|place| place as u32)
            }
        };
        found.ok_or_else(|| {
            let wrong = match self {
                Self::Number(class) => format!("there is no class {class}"),
                Self::Name(name) => format!("there is no class `{name}`"),
            };
            let numbers = format!("0 to {}", ground.classes() - 1);
            let right = match ground.called {
                [] => numbers,
                called => format!("{numbers}, or a name: {}", listed(called.iter())),
            };
            (wrong, right)
        })
    }
}

/// How classes are dealt to tasks: three keys that several kinds of stream have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups<'a> {
    pub(super) tasks: Option<Count>,
    pub(super) classes: Option<&'a [Vec<ClassRef>]>,
    pub(super) shuffled: bool,
}

impl Groups<'_> {
    /// One task a group, with all samples of its classes.
    pub(super) fn tasks(
        &self,
        ground: &Ground<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Task>, StreamError> {
        let groups = self.of(ground, rng)?;
        let task = |group: &Vec<u32>| ground.task_of_classes(ground.name_of(group), group);
        Ok(groups.iter().map(task).collect())
    }

    /// The classes of each task.
    pub(super) fn of(
        &self,
        ground: &Ground<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Vec<u32>>, StreamError> {
        match (self.tasks, self.classes) {
            (None, None) => Err(StreamError::new(
                "",
                "neither `tasks` nor `classes` is given",
                "such as `tasks = 5`",
            )),
            (Some(_), Some(_)) => Err(StreamError::new(
                "tasks",
                "both `tasks` and `classes` are given",
                "keep only one of them",
            )
            .beside("classes")),
            (Some(tasks), None) => self.equal_parts(tasks.get(), ground.classes(), rng),
            (None, Some(groups)) => given(groups, ground),
        }
    }

    fn equal_parts(
        &self,
        tasks: usize,
        classes: usize,
        rng: &mut Stream,
    ) -> Result<Vec<Vec<u32>>, StreamError> {
        if !classes.is_multiple_of(tasks) {
            let message =
                format!("{classes} classes cannot be dealt to {tasks} tasks in equal parts");
            let fitting = (1..=classes).filter(|n| classes.is_multiple_of(*n));
            let fitting: Vec<String> = fitting.map(|n| n.to_string()).collect();
            let label = format!("{} tasks, or `classes` of each", either(&fitting));
            return Err(StreamError::new("tasks", message, label));
        }
        let mut all: Vec<u32> = (0..classes as u32).collect();
        if self.shuffled {
            shuffle(&mut all, rng);
        }
        Ok(all.chunks(classes / tasks).map(<[u32]>::to_vec).collect())
    }
}

/// Numbers of which one is right.
pub(super) fn either(numbers: &[String]) -> String {
    match numbers {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => numbers.concat(),
    }
}

fn given(groups: &[Vec<ClassRef>], ground: &Ground<'_>) -> Result<Vec<Vec<u32>>, StreamError> {
    let mut seen = vec![false; ground.classes()];
    let mut found = Vec::with_capacity(groups.len());
    for group in groups {
        let mut classes = Vec::with_capacity(group.len());
        for class in group {
            let class = class.find(ground);
            let class =
                class.map_err(|(wrong, right)| StreamError::new("classes", wrong, right))?;
            if std::mem::replace(&mut seen[class as usize], true) {
                let message = format!("class {} is in two tasks", ground.name_of(&[class]));
                return Err(StreamError::new("classes", message, "each class once"));
            }
            classes.push(class);
        }
        found.push(classes);
    }
    match found.is_empty() || found.iter().any(Vec::is_empty) {
        true => Err(StreamError::new(
            "classes",
            "a task without a class",
            "at least one task, and one class in each",
        )),
        false => Ok(found),
    }
}

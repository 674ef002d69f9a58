//! Classes in groups, one for each task.

use super::{Ground, StreamError};
use lyceum_core::{Stream, Task, shuffle, units::Count};

/// How classes are dealt to tasks: three keys that several kinds of stream have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups<'a> {
    pub(super) tasks: Option<Count>,
    pub(super) classes: Option<&'a [Vec<u32>]>,
    pub(super) shuffled: bool,
}

impl Groups<'_> {
    /// One task a group, with all samples of its classes.
    pub(super) fn tasks(
        &self,
        ground: &Ground<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Task>, StreamError> {
        let groups = self.of(ground.classes(), rng)?;
        let task = |group: &Vec<u32>| ground.task_of_classes(name_of(group), group);
        Ok(groups.iter().map(task).collect())
    }

    /// The classes of each task.
    pub(super) fn of(
        &self,
        classes: usize,
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
            )),
            (Some(tasks), None) => self.equal_parts(tasks.get(), classes, rng),
            (None, Some(groups)) => given(groups, classes),
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
            let label = "a divisor of the number of classes, or `classes` of each task";
            return Err(StreamError::new("tasks", message, label));
        }
        let mut all: Vec<u32> = (0..classes as u32).collect();
        if self.shuffled {
            shuffle(&mut all, rng);
        }
        Ok(all.chunks(classes / tasks).map(<[u32]>::to_vec).collect())
    }
}

fn given(groups: &[Vec<u32>], classes: usize) -> Result<Vec<Vec<u32>>, StreamError> {
    let mut seen = vec![false; classes];
    for &class in groups.iter().flatten() {
        match seen.get_mut(class as usize) {
            None => {
                let message = format!("there is no class {class}");
                return Err(StreamError::new(
                    "classes",
                    message,
                    format!("0 to {}", classes - 1),
                ));
            }
            Some(true) => {
                let message = format!("class {class} is in two tasks");
                return Err(StreamError::new("classes", message, "each class once"));
            }
            Some(seen) => *seen = true,
        }
    }
    match groups.is_empty() || groups.iter().any(Vec::is_empty) {
        true => Err(StreamError::new(
            "classes",
            "a task without a class",
            "at least one task, and one class in each",
        )),
        false => Ok(groups.to_vec()),
    }
}

/// A name such as `0+1`.
pub(super) fn name_of(classes: &[u32]) -> String {
    let names: Vec<_> = classes.iter().map(u32::to_string).collect();
    names.join("+")
}

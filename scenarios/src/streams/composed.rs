//! Tasks that are put together one by one: classes, samples of their own and shared ones, and how they are shown.

use super::{Ground, StreamError, groups::ClassRef};
use crate::data::in_words;
use lyceum_core::{
    Lens, Pixels, Seed, Stream, Task, shuffle,
    units::{Angle, Count, Fraction, NonNegative},
};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Composed {
    /// Classes, by number or name; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<ClassRef>>,
    /// Training samples; by default an equal part of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Count>,
    /// Share of its samples that other tasks have, too: the first ones of its classes in an order that is drawn once for all tasks; none by
    /// default. Its other samples are in no other task.
    #[serde(default = "nothing")]
    pub shared: Fraction,
    /// Degrees by which pictures are turned against the clock; 0 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degrees: Option<Angle>,
    /// Standard deviation of normal noise, the same on a sample every time; 0 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<NonNegative>,
}

fn nothing() -> Fraction {
    Fraction::new(0.0).expect("0 is a share")
}

/// The tasks of a list.
pub(super) fn tasks(
    all: &[Composed],
    ground: &Ground<'_>,
    rng: &mut Stream,
) -> Result<Vec<Task>, StreamError> {
    if all.is_empty() {
        let label = "at least one task";
        return Err(StreamError::new("composed", "the list is empty", label));
    }
    let flags: Vec<Vec<bool>> = all
        .iter()
        .map(|task| task.flags(ground))
        .collect::<Result<_, _>>()?;
    let members = members(all, &flags, ground, rng)?;
    let parts = all.iter().zip(&flags).zip(members).enumerate();
    parts
        .map(|(number, ((task, flags), members))| {
            let lens = task.lens(ground, rng)?;
            let name = task.name(number, flags, ground);
            let probe = ground.probe(|class| flags[class as usize]).to_vec();
            let task = ground.task_of_places(name, members, probe);
            Ok(Task { lens, ..task })
        })
        .collect()
}

/// Places of each task's training samples: those that it shares, then those that it has for itself; and the validation samples of its
/// classes.
fn members(
    all: &[Composed],
    flags: &[Vec<bool>],
    ground: &Ground<'_>,
    rng: &mut Stream,
) -> Result<Vec<Vec<u32>>, StreamError> {
    let pool = ground.pool("composed")?;
    let mut mixed = ground.kept.to_vec();
    shuffle(&mut mixed, rng);
    let shows = |task: usize, place: u32| flags[task][pool.labels[place as usize] as usize];
    let equal = ground.kept.len() / all.len();
    let wanted = |task: &Composed| {
        let samples = task.samples.map_or(equal, Count::get);
        let shared = (samples as f64 * task.shared.get()).round() as usize;
        (shared, samples - shared)
    };
    let mut taken = vec![false; pool.len()];
    let mut members: Vec<Vec<u32>> = Vec::new();
    for (number, task) in all.iter().enumerate() {
        let own = mixed.iter().copied().filter(|&place| shows(number, place));
        let shared: Vec<u32> = own.take(wanted(task).0).collect();
        shared.iter().for_each(|&p| taken[p as usize] = true);
        members.push(shared);
    }
    for (number, task) in all.iter().enumerate() {
        let (shared, alone) = wanted(task);
        let mut own: Vec<u32> = Vec::new();
        for &place in mixed.iter().rev() {
            if own.len() < alone && shows(number, place) && !taken[place as usize] {
                taken[place as usize] = true;
                own.push(place);
            }
        }
        let found = members[number].len() + own.len();
        if found < shared + alone || found == 0 {
            let message = format!(
                "task {number} has {} samples, of which only {found} are left for it",
                shared + alone
            );
            let label = "fewer `samples`, more classes, or a larger `shared`";
            return Err(StreamError::new("composed", message, label));
        }
        members[number].extend(own);
        let held = ground.held.iter().copied();
        members[number].extend(held.filter(|&place| shows(number, place)));
    }
    Ok(members)
}

impl Composed {
    /// One flag a class.
    fn flags(&self, ground: &Ground<'_>) -> Result<Vec<bool>, StreamError> {
        let Some(classes) = &self.classes else {
            return Ok(vec![true; ground.classes()]);
        };
        let refuse = |message: String, label: String| StreamError::new("composed", message, label);
        let mut flags = vec![false; ground.classes()];
        for class in classes {
            let class = class
                .find(ground)
                .map_err(|(wrong, right)| refuse(wrong, right))?;
            flags[class as usize] = true;
        }
        match classes.is_empty() {
            true => Err(refuse(
                "a task without a class".into(),
                "one or more".into(),
            )),
            false => Ok(flags),
        }
    }

    fn lens(&self, ground: &Ground<'_>, rng: &mut Stream) -> Result<Lens, StreamError> {
        let mut pixels = Vec::new();
        if let Some(degrees) = self.degrees {
            let shape = &ground.test.shape;
            let turned = Pixels::rotated(shape, degrees.get()).ok_or_else(|| {
                let message = format!("samples are {}, no pictures", in_words(shape));
                StreamError::new("composed", message, "turning needs pictures")
            })?;
            pixels.push(turned);
        }
        if let Some(deviation) = self.noise {
            pixels.push(Pixels::Noisy {
                deviation: deviation.get() as f32,
                seed: Seed(rng.random()),
            });
        }
        Ok(Lens {
            pixels,
            labels: None,
        })
    }

    /// Such as `0+1+2, 30 degrees`.
    fn name(&self, number: usize, flags: &[bool], ground: &Ground<'_>) -> String {
        let shown = (0..).zip(flags).filter(|(_, shown)| **shown);
        let classes: Vec<u32> = shown.map(|(class, _)| class).collect();
        let mut parts = vec![number.to_string()];
        if classes.len() < flags.len() {
            parts.push(ground.name_of(&classes));
        }
        parts.extend(self.degrees.map(|d| format!("{} degrees", d.get())));
        parts.extend(self.noise.map(|n| format!("noise {}", n.get())));
        parts.join(", ")
    }
}

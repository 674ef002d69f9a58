//! A stream of our own.

use lyceum::{
    core::{Samples, Stream, Task, units::Count},
    scenarios::streams::{Ground, ScenarioPlugin, StreamError},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Points in the plane from the inside to the outside: every task is a ring.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rings {
    /// Number of rings, as wide as each other.
    rings: Count,
}

impl Rings {
    /// The ring that a point is in.
    fn ring(&self, samples: &Samples, place: u32, widest: f32) -> usize {
        let inside = radius(samples, place) / widest * self.rings.get() as f32;
        (inside as usize).min(self.rings.get() - 1)
    }
}

fn radius(samples: &Samples, place: u32) -> f32 {
    let point = samples.values(place as usize);
    point.iter().map(|v| v * v).sum::<f32>().sqrt()
}

impl ScenarioPlugin for Rings {
    fn tasks(&self, ground: &Ground<'_>, _: &mut Stream) -> Result<Vec<Task>, StreamError> {
        let Some(train) = ground.train else {
            return Err(StreamError::new(
                "",
                "rings need all samples in one place",
                "another data set",
            ));
        };
        let all = 0..train.len() as u32;
        let widest = all
            .map(|p| radius(train, p))
            .fold(f32::MIN_POSITIVE, f32::max);
        let test = ground.test;
        let task = |ring: usize| Task {
            train: ground.places(|place, _| self.ring(train, place, widest) == ring),
            probe: (0..test.len() as u32)
                .filter(|&place| self.ring(test, place, widest) == ring)
                .collect(),
            ..ground.task_of_all(format!("ring {ring}"))
        };
        Ok((0..self.rings.get()).map(task).collect())
    }
}

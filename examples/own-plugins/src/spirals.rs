//! A data set of our own.

use lyceum::{
    core::{Affine, Features, Purpose, Samples, Stream, units::Count},
    scenarios::data::{DataError, DataSet, LoadContext, Source},
};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Points on interleaved spirals in the plane, one spiral per class.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spirals {
    /// Number of spirals.
    classes: Count,
    /// Training samples; a fifth as many test samples are drawn beside them.
    samples: Count,
}

impl Spirals {
    fn draw(&self, samples: usize, rng: &mut Stream) -> Samples {
        let classes = self.classes.get();
        let mut values = Vec::with_capacity(2 * samples);
        let labels: Vec<u32> = (0..samples).map(|i| (i % classes) as u32).collect();
        for &label in &labels {
            let radius = rng.random::<f32>();
            let angle = 4.0 * radius + std::f32::consts::TAU * label as f32 / classes as f32;
            values.extend([radius * angle.cos(), radius * angle.sin()]);
        }
        Samples {
            shape: vec![2],
            classes,
            features: Features::F32(values),
            labels,
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine::identity(),
        }
    }
}

impl DataSet for Spirals {
    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        let mut rng = context.seed.once(Purpose::named("own-plugins/spirals"));
        let train = self.draw(self.samples.get(), &mut rng);
        let test = self.draw(self.samples.get() / 5 + 1, &mut rng);
        Ok(Source::Pool {
            train,
            test,
            natural: None,
        })
    }
}

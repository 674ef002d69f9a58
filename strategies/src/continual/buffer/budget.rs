use lyceum_core::{
    Samples, Sizes,
    units::{Count, Misfit},
};

/// What a buffer may hold, as a scenario says it. Several limits hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Samples of the whole buffer.
    pub samples: Option<Count>,
    /// Bytes of the whole buffer: those of the samples as the data set stores them, and 4 for each logit kept.
    pub bytes: Option<Count>,
    /// Samples of one group: of a class, or of a task.
    pub each: Option<Count>,
}

/// What a buffer may hold, in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The whole buffer.
    pub total: usize,
    /// One group: a class, or a task.
    pub each: usize,
}

impl Room {
    /// Room for so many samples in all, of whatever groups.
    pub fn of(total: usize) -> Self {
        let each = usize::MAX;
        Self { total, each }
    }
}

impl Budget {
    /// In samples of this pool, each kept with so many logits.
    pub fn room(&self, pool: &Samples, logits: usize) -> Room {
        let limit = |count: Option<Count>| count.map_or(usize::MAX, Count::get);
        let fitting = self.bytes.map(|b| b.get() / bytes(pool, logits).max(1));
        Room {
            total: limit(self.samples).min(fitting.unwrap_or(usize::MAX)),
            each: limit(self.each),
        }
    }

    /// Whether it has no limit; `keys` are those that could set one.
    pub fn misfit(&self, keys: &[&str]) -> Option<Misfit> {
        let limited = self.samples.is_some() || self.bytes.is_some() || self.each.is_some();
        (!limited).then(|| Misfit {
            key: "memory".into(),
            message: "the buffer has no limit".into(),
            expected: format!("one of {}", keys.join(", ")),
        })
    }

    /// What is wrong where no sample of so many bytes fits in, kept with so many logits.
    pub fn cramped(&self, sample: usize, logits: usize) -> Option<Misfit> {
        let (bytes, each) = (self.bytes?.get(), sample + 4 * logits);
        let with = match logits {
            0 => "",
            _ => " with its logits",
        };
        (bytes < each).then(|| Misfit {
            key: "memory_bytes".into(),
            message: format!("{bytes} bytes hold no sample: one takes {each}{with}"),
            expected: format!("{each} or more"),
        })
    }

    /// How many samples a client keeps at most, each with so many logits.
    pub fn most(&self, sizes: &Sizes, logits: usize) -> usize {
        let groups = sizes.classes.max(Sizes::TASKS);
        let of_groups = self.each.map(|each| each.get().saturating_mul(groups));
        let places = self.places(sizes.sample_bytes, logits);
        let limits = places.into_iter().chain(of_groups);
        limits.min().unwrap_or(sizes.samples)
    }

    /// How many samples of so many bytes fit in, each kept with so many logits.
    pub fn places(&self, sample: usize, logits: usize) -> Option<usize> {
        let fitting = self.bytes.map(|b| b.get() / (sample + 4 * logits).max(1));
        let samples = self.samples.map(Count::get);
        samples.into_iter().chain(fitting).min()
    }
}

fn bytes(pool: &Samples, logits: usize) -> usize {
    pool.sample_bytes() + 4 * logits
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Affine, Features};

    #[test]
    fn bytes_are_those_of_samples_and_logits() {
        let mut pool = Samples {
            shape: vec![28, 28],
            classes: 10,
            features: Features::U8(vec![]),
            labels: vec![],
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine::identity(),
        };
        let budget = Budget {
            bytes: Count::new(100 * 784),
            ..Budget::default()
        };
        assert_eq!(budget.room(&pool, 0).total, 100);
        assert_eq!(budget.room(&pool, 10).total, 95);
        pool.features = Features::F32(vec![]);
        assert_eq!(budget.room(&pool, 0).total, 25);
        let both = Budget {
            samples: Count::new(7),
            ..budget
        };
        assert_eq!(both.room(&pool, 0).total, 7);
    }

    #[test]
    fn bytes_below_a_sample_are_said() {
        let budget = Budget {
            bytes: Count::new(800),
            ..Budget::default()
        };
        assert_eq!(budget.cramped(784, 4), None);
        let misfit = budget.cramped(784, 5).unwrap();
        assert_eq!(misfit.key, "memory_bytes");
        assert_eq!(
            misfit.message,
            "800 bytes hold no sample: one takes 804 with its logits"
        );
        assert_eq!(Budget::default().cramped(784, 0), None);
        assert_eq!(Budget::default().places(784, 0), None);
        assert_eq!(budget.places(784, 4), Some(1));
    }

    #[test]
    fn a_buffer_needs_a_limit() {
        assert!(Budget::default().misfit(&["`memory`"]).is_some());
        let limited = Budget {
            each: Count::new(3),
            ..Budget::default()
        };
        assert_eq!(limited.misfit(&[]), None);
    }
}

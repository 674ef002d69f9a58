//! From raw performances to those that are measured: smoothed, clamped, normalised, in this order.

use super::lifetime::{Block, BlockKind, Experience, Expert, Lifetime, without_variant};
use super::settings::{GivenRange, LifelongError, Normalization, Range, Settings, Smoothing};
use super::smooth::smooth;
use std::collections::BTreeMap;

const SCALE: f64 = 100.0;
/// Keeps ratios finite where a task is at its least.
const OFFSET: f64 = 1.0;
const CLAMP_QUANTILES: (f64, f64) = (0.1, 0.9);

/// Curves that are ready to be measured.
pub(super) struct Prepared {
    pub(super) blocks: Vec<Block>,
    pub(super) tasks: Vec<String>,
    /// The learning curves of each task's experts.
    pub(super) experts: BTreeMap<String, Vec<Vec<Experience>>>,
    /// What each task was normalised by; none without normalisation.
    pub(super) ranges: Option<BTreeMap<String, Range>>,
}

/// Prepares a lifetime and the experts of its tasks.
pub(super) fn prepare(
    lifetime: &Lifetime,
    experts: &[Expert],
    settings: &Settings,
) -> Result<Prepared, LifelongError> {
    let mut lifetime = if settings.variants {
        lifetime.clone()
    } else {
        lifetime.without_variants()
    };
    lifetime
        .blocks
        .retain(|block| !block.experiences.is_empty());
    if lifetime.blocks.is_empty() {
        return Err(LifelongError::Empty);
    }
    let tasks = lifetime.tasks();
    let experts = tasks
        .iter()
        .map(|task| (task.clone(), curves(experts, task, settings)))
        .collect();
    let mut prepared = Prepared {
        blocks: lifetime.blocks,
        tasks,
        experts,
        ranges: None,
    };
    prepared.smooth(settings);
    if settings.clamp {
        prepared.clamp(settings)?;
    }
    prepared.normalize(settings)?;
    Ok(prepared)
}

/// The smoothed curves of a task's experts: those of its name, or else of its variants.
fn curves(experts: &[Expert], task: &str, settings: &Settings) -> Vec<Vec<Experience>> {
    let exact = settings.variants && experts.iter().any(|expert| expert.task == task);
    let serves = |expert: &&Expert| {
        if exact {
            expert.task == task
        } else {
            expert.serves(task)
        }
    };
    let curve = |expert: &Expert| {
        let mut blocks = expert.blocks.clone();
        blocks
            .iter_mut()
            .for_each(|block| smooth_experiences(block, settings.smoothing));
        blocks.concat()
    };
    experts
        .iter()
        .filter(serves)
        .map(curve)
        .filter(|curve| !curve.is_empty())
        .collect()
}

fn smooth_experiences(experiences: &mut [Experience], smoothing: Smoothing) {
    let Smoothing::Flat(length) = smoothing else {
        return;
    };
    let values: Vec<f64> = experiences.iter().map(|e| e.performance).collect();
    for (experience, value) in experiences.iter_mut().zip(smooth(&values, length)) {
        experience.performance = value;
    }
}

impl Prepared {
    fn smooth(&mut self, settings: &Settings) {
        for block in &mut self.blocks {
            if block.kind == BlockKind::Train || settings.smooth_evaluations {
                smooth_experiences(&mut block.experiences, settings.smoothing);
            }
        }
    }

    fn clamp(&mut self, settings: &Settings) -> Result<(), LifelongError> {
        for task in self.tasks.clone() {
            let Range { min, max } = match &settings.range {
                Some(range) => given(range, &task)?,
                None => self.quantiles(&task),
            };
            self.map(&task, |value| value.clamp(min, max));
        }
        Ok(())
    }

    fn normalize(&mut self, settings: &Settings) -> Result<(), LifelongError> {
        if settings.normalization == Normalization::Off {
            return Ok(());
        }
        let range = |task: &String| {
            let range = match &settings.range {
                Some(range) => given(range, task)?,
                None => self.extremes(task),
            };
            Ok((task.clone(), range))
        };
        let ranges: BTreeMap<String, Range> =
            self.tasks.iter().map(range).collect::<Result<_, _>>()?;
        let run = ranges.values().copied().reduce(union);
        for (task, range) in &ranges {
            let used = match settings.normalization {
                Normalization::Run => run.unwrap_or(*range),
                _ => *range,
            };
            self.map(task, |value| scaled(value, used));
        }
        self.ranges = Some(ranges);
        Ok(())
    }

    /// All performances of a task, those of its experts after its own.
    fn values(&self, task: &str) -> Vec<f64> {
        let own = self.blocks.iter().filter(|block| block.task == task);
        let own = own.flat_map(Block::performances);
        let experts = self.experts.get(task).into_iter().flatten().flatten();
        own.chain(experts.map(|experience| experience.performance))
            .collect()
    }

    fn extremes(&self, task: &str) -> Range {
        let values = self.values(task);
        Range {
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    fn quantiles(&self, task: &str) -> Range {
        let mut values = self.values(task);
        values.sort_by(f64::total_cmp);
        Range {
            min: quantile(&values, CLAMP_QUANTILES.0),
            max: quantile(&values, CLAMP_QUANTILES.1),
        }
    }

    fn map(&mut self, task: &str, change: impl Fn(f64) -> f64) {
        let own = self.blocks.iter_mut().filter(|block| block.task == task);
        let own = own.flat_map(|block| block.experiences.iter_mut());
        let experts = self.experts.get_mut(task).into_iter().flatten().flatten();
        for experience in own.chain(experts) {
            experience.performance = change(experience.performance);
        }
    }
}

fn given(range: &GivenRange, task: &str) -> Result<Range, LifelongError> {
    let found = range.of(task).or_else(|| variants(range, task));
    let found = found.ok_or_else(|| LifelongError::NoRange(task.to_owned()))?;
    let Range { min, max } = found;
    if min < max && min.is_finite() && max.is_finite() {
        return Ok(found);
    }
    let task = task.to_owned();
    Err(LifelongError::BadRange { task, min, max })
}

/// The range over the variants of a task that has none itself.
fn variants(range: &GivenRange, task: &str) -> Option<Range> {
    let GivenRange::Tasks(ranges) = range else {
        return None;
    };
    let of_variants = ranges
        .iter()
        .filter(|(name, _)| without_variant(name) == task);
    of_variants.map(|(_, range)| *range).reduce(union)
}

fn union(a: Range, b: Range) -> Range {
    Range {
        min: a.min.min(b.min),
        max: a.max.max(b.max),
    }
}

/// To 1..101; to 1 where the range is a single value.
fn scaled(value: f64, Range { min, max }: Range) -> f64 {
    if min == max {
        return OFFSET;
    }
    (value - min) / (max - min) * SCALE + OFFSET
}

/// Quantile by linear interpolation between the sorted values, of which there is at least one.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        let values = [0.0, 1.0, 2.0, 3.0, 8.0];
        assert!((quantile(&values, 0.1) - 0.4).abs() < 1e-12);
        assert!((quantile(&values, 0.9) - 6.0).abs() < 1e-12);
        assert_eq!(quantile(&[4.0], 0.9), 4.0);
    }

    fn lifetime(values: &[(&str, f64)]) -> Lifetime {
        let block = |(i, &(task, performance)): (usize, &(&str, f64))| Block {
            number: i as u64,
            kind: BlockKind::Test,
            asleep: false,
            task: task.to_owned(),
            experiences: vec![Experience {
                number: i as u64,
                performance,
            }],
        };
        Lifetime {
            blocks: values.iter().enumerate().map(block).collect(),
        }
    }

    fn performances(settings: &Settings) -> Result<Vec<f64>, LifelongError> {
        let lifetime = lifetime(&[("a_1", 0.0), ("b_1", 10.0), ("a_1", 5.0), ("b_1", 20.0)]);
        let experts = [Expert {
            task: "a_1".to_owned(),
            blocks: vec![vec![Experience {
                number: 0,
                performance: 10.0,
            }]],
        }];
        let prepared = prepare(&lifetime, &experts, settings)?;
        Ok(prepared
            .blocks
            .iter()
            .flat_map(Block::performances)
            .collect())
    }

    #[test]
    fn scales_by_task_by_run_and_not_at_all() {
        let with = |normalization| Settings {
            normalization,
            ..Settings::default()
        };
        let by = |normalization| performances(&with(normalization)).unwrap();
        assert_eq!(by(Normalization::PerTask), [1.0, 1.0, 51.0, 101.0]);
        assert_eq!(by(Normalization::Run), [1.0, 51.0, 26.0, 101.0]);
        assert_eq!(by(Normalization::Off), [0.0, 10.0, 5.0, 20.0]);
    }

    #[test]
    fn given_ranges_are_used_to_clamp_and_to_scale() {
        let range = Range {
            min: 5.0,
            max: 15.0,
        };
        let mut settings = Settings {
            range: Some(GivenRange::All(range)),
            clamp: true,
            ..Settings::default()
        };
        let expected = [1.0, 51.0, 1.0, 101.0];
        assert_eq!(performances(&settings).unwrap(), expected);
        settings.clamp = false;
        let expected = [-49.0, 51.0, 1.0, 151.0];
        assert_eq!(performances(&settings).unwrap(), expected);
        let tasks = BTreeMap::from([("a_1".to_owned(), range)]);
        settings.range = Some(GivenRange::Tasks(tasks));
        let missing = LifelongError::NoRange("b_1".to_owned());
        assert_eq!(performances(&settings), Err(missing));
        let range = Range { min: 1.0, max: 1.0 };
        settings.range = Some(GivenRange::All(range));
        assert!(matches!(
            performances(&settings),
            Err(LifelongError::BadRange { .. })
        ));
    }

    #[test]
    fn clamping_without_a_range_takes_the_outer_tenths_off() {
        let settings = Settings {
            clamp: true,
            normalization: Normalization::Off,
            ..Settings::default()
        };
        // a: 0, 5, 10 with its expert, so 1 to 9; b: 10, 20, so 11 to 19.
        assert_eq!(performances(&settings).unwrap(), [1.0, 11.0, 5.0, 19.0]);
    }

    #[test]
    fn a_constant_task_is_one_and_an_empty_life_an_error() {
        let settings = Settings::default();
        let prepared = prepare(&lifetime(&[("a", 3.0), ("a", 3.0)]), &[], &settings).unwrap();
        let values: Vec<f64> = prepared
            .blocks
            .iter()
            .flat_map(Block::performances)
            .collect();
        assert_eq!(values, [1.0, 1.0]);
        let empty = prepare(&Lifetime::default(), &[], &settings);
        assert_eq!(empty.err(), Some(LifelongError::Empty));
    }
}

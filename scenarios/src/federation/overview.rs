//! What a scenario's samples are like, in lines for people, and what about them deserves a warning.

use super::{Kind, Loaded, Pool};
use crate::{
    data::{Normalisation, listed},
    scenario::Scenario,
};
use lyceum_core::{ClientId, Features, Federation, Probe, Samples};

/// Values beyond this are far from what rates and initial weights are made for.
const LARGE: f32 = 30.0;
/// Ranges of features that differ by more are on different scales.
const UNEQUAL: f32 = 100.0;
/// Features, and classes, that are listed one by one.
const ONE_BY_ONE: usize = 12;
/// Clients whose samples are counted.
const COUNTED: u64 = 100_000;

impl Loaded {
    /// What was read: samples, features with their ranges, classes with their sizes.
    pub fn overview(&self, scenario: &Scenario) -> Vec<String> {
        let test = self.test();
        let mut lines = Vec::new();
        match (&self.kind, test) {
            (Kind::Pool(pool), _) => lines.push(format!(
                "samples   {} for training, {} for validation, {} for tests",
                pool.kept.len(),
                pool.held.len(),
                pool.test.len()
            )),
            (Kind::OnDemand(_), Some(test)) => lines.push(format!(
                "samples   {} for tests; `{}` makes those of a client when it is asked",
                test.len(),
                scenario.data_set.name
            )),
            (Kind::OnDemand(_), None) => {}
        }
        let shown = match &self.kind {
            Kind::Pool(pool) => Some(&*pool.train),
            Kind::OnDemand(_) => test,
        };
        if let Some(shown) = shown {
            lines.push(format!("features  {}", self.features(shown)));
        }
        lines.push(format!("classes   {}", self.class_line()));
        lines
    }

    fn test(&self) -> Option<&Samples> {
        match &self.kind {
            Kind::Pool(pool) => Some(&pool.test),
            Kind::OnDemand(federation) => federation.probe(Probe::Test).map(|test| &**test),
        }
    }

    fn features(&self, samples: &Samples) -> String {
        let ranges = ranges(samples);
        let whole = span(ranges.iter().copied());
        let seen = |(low, high): (f32, f32)| format!("{} to {}", short(low), short(high));
        if samples.shape.len() > 1 {
            let sides: Vec<String> = samples.shape.iter().map(usize::to_string).collect();
            return format!("{}, values from {}", sides.join(" x "), seen(whole));
        }
        let names = self
            .names
            .as_ref()
            .and_then(|names| names.features.as_ref());
        match names.filter(|names| names.len() <= ONE_BY_ONE) {
            Some(names) => {
                let each = names.iter().zip(&ranges);
                let each: Vec<_> = each.map(|(n, r)| format!("`{n}` {}", seen(*r))).collect();
                format!("{}: {}", names.len(), each.join(", "))
            }
            None => format!("{}, values from {}", ranges.len(), seen(whole)),
        }
    }

    fn class_line(&self) -> String {
        let test = self
            .test()
            .map_or_else(Vec::new, |test| sizes(test, 0..test.len()));
        let train = match &self.kind {
            Kind::Pool(pool) => Some(kept_sizes(pool)),
            Kind::OnDemand(_) => None,
        };
        if self.classes > ONE_BY_ONE {
            let least = |sizes: &[usize]| {
                let (low, high) = (sizes.iter().min(), sizes.iter().max());
                format!("{} to {}", low.unwrap_or(&0), high.unwrap_or(&0))
            };
            let training = train.map(|sizes| format!("{} training and ", least(&sizes)));
            let training = training.unwrap_or_default();
            let tests = least(&test);
            return format!("{}, each with {training}{tests} test samples", self.classes);
        }
        let each = (0..self.classes).map(|class| {
            let name = self.class_name(class);
            let tests = test.get(class).copied().unwrap_or(0);
            match &train {
                Some(train) => format!("{name} ({} training, {tests} test)", train[class]),
                None => format!("{name} ({tests} test)"),
            }
        });
        format!("{}: {}", self.classes, each.collect::<Vec<_>>().join(", "))
    }

    /// What a class is called in messages.
    fn class_name(&self, class: usize) -> String {
        let name = self
            .names
            .as_ref()
            .and_then(|names| names.classes.get(class));
        name.map_or_else(|| class.to_string(), |name| format!("`{name}`"))
    }

    /// What is probably not meant, in sentences.
    pub fn warnings(&self, scenario: &Scenario) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        let shown = match &self.kind {
            Kind::Pool(pool) => {
                warnings.extend(self.one_class(pool));
                warnings.extend(self.owners_left(scenario, pool));
                Some(&*pool.train)
            }
            Kind::OnDemand(_) => {
                warnings.extend(scenario.idle_on_demand());
                self.test()
            }
        };
        if let (Some(stream), Some(samples)) = (&scenario.stream, shown) {
            warnings.extend(stream.thin_buffers(self.classes, samples.sample_bytes()));
        }
        warnings.extend(shown.and_then(|samples| self.constant(samples)));
        let how = scenario.data.normalise;
        warnings.extend(shown.and_then(|samples| self.unscaled(samples, how)));
        warnings
    }

    fn one_class(&self, pool: &Pool) -> Option<String> {
        let sizes = kept_sizes(pool);
        let mut there = (0..self.classes).filter(|&class| sizes[class] > 0);
        let (only, None) = (there.next()?, there.next()) else {
            return None;
        };
        Some(format!(
            "all training samples are of one class, {}: there is nothing to tell apart",
            self.class_name(only)
        ))
    }

    fn unscaled(&self, samples: &Samples, how: Normalisation) -> Option<String> {
        let raw = match (&samples.features, how) {
            (_, Normalisation::Standard) | (Features::U8(_), Normalisation::Unit) => return None,
            (Features::U8(_), Normalisation::None) => {
                "\"unit\"` in [data] takes bytes to 0 to 1, `\"standard\""
            }
            (Features::F32(_), _) => "\"standard\"",
        };
        let ranges = ranges(samples);
        let (low, high) = span(ranges.iter().copied());
        let flat = samples.shape.len() == 1;
        let finest = match flat {
            true => unequal(&ranges),
            false => None,
        };
        if high.max(-low) <= LARGE && finest.is_none() {
            return None;
        }
        let widest = |column: &usize| ranges[*column].1.abs().max(ranges[*column].0.abs());
        let largest = (0..ranges.len()).max_by(|a, b| widest(a).total_cmp(&widest(b)));
        let shown = |column: usize| {
            let (low, high) = ranges[column];
            let name = self.feature_name(column);
            format!("{name} goes from {} to {}", short(low), short(high))
        };
        let what = match (flat, largest, finest) {
            (true, Some(largest), Some(finest)) if largest != finest => {
                format!("{}, {}", shown(largest), shown(finest))
            }
            (true, Some(largest), _) => shown(largest),
            _ => format!("values go from {} to {}", short(low), short(high)),
        };
        Some(format!(
            "the features are not scaled: {what}; `normalise = {raw}` brings each to mean 0 and deviation 1"
        ))
    }

    /// Columns of a table that say nothing.
    fn constant(&self, samples: &Samples) -> Option<String> {
        if samples.shape.len() != 1 || samples.len() < 2 {
            return None;
        }
        let named = self
            .names
            .as_ref()
            .and_then(|names| names.features.as_ref());
        // Columns without names are places in a grid as often as not, and the margins of pictures are constant.
        let named = named?;
        let ranges = ranges(samples);
        let same = (0..ranges.len()).filter(|&column| ranges[column].0 == ranges[column].1);
        let same: Vec<String> = same
            .filter_map(|column| named.get(column).cloned())
            .collect();
        (!same.is_empty()).then(|| {
            format!(
                "features with one value for all training samples say nothing: {}",
                listed(same.iter())
            )
        })
    }

    fn feature_name(&self, column: usize) -> String {
        let names = self
            .names
            .as_ref()
            .and_then(|names| names.features.as_ref());
        let name = names.and_then(|names| names.get(column));
        name.map_or_else(|| format!("feature {column}"), |name| format!("`{name}`"))
    }

    /// Owners of samples that are no client of the run, or a client without a training sample.
    fn owners_left(&self, scenario: &Scenario, pool: &Pool) -> Vec<String> {
        let by_owner = scenario
            .partition
            .as_ref()
            .is_some_and(|p| p.plugin.keeps_owners());
        let (true, Some(natural)) = (by_owner, &pool.natural) else {
            return Vec::new();
        };
        let owners = natural.iter().max().map_or(0, |&last| last as usize + 1);
        let mut held = vec![0_usize; owners];
        pool.kept
            .iter()
            .for_each(|&place| held[natural[place as usize] as usize] += 1);
        let known = self.names.as_ref().map(|names| &names.owners);
        let name = |owner: usize| {
            let name = known.and_then(|names| names.get(owner));
            name.cloned().unwrap_or_else(|| owner.to_string())
        };
        let clients = scenario.data.clients.get();
        let mut warnings = Vec::new();
        if owners > clients {
            let left: Vec<String> = (clients..owners).map(name).collect();
            let samples: usize = held[clients..].iter().sum();
            warnings.push(format!(
                "{} of {owners} owners are left out, as `clients` in [data] is {clients}: nobody trains on the {samples} samples of {}",
                left.len(),
                listed(left.iter())
            ));
        }
        let empty = (0..owners.min(clients)).filter(|&owner| held[owner] == 0);
        let mut empty: Vec<String> = empty.map(name).collect();
        let without = self.names.iter().flat_map(|names| &names.without);
        empty.extend(without.cloned());
        if !empty.is_empty() {
            warnings.push(format!(
                "owners without a training sample, as all of theirs went to test or validation: {}",
                listed(empty.iter())
            ));
        }
        warnings
    }
}

/// How many samples clients have.
pub fn shares(scenario: &Scenario, federation: &dyn Federation) -> String {
    let clients = scenario.data.clients.get() as u64;
    let counted = clients.min(COUNTED);
    let mut sizes: Vec<usize> = (0..counted)
        .map(|c| federation.samples(ClientId(c)))
        .collect();
    sizes.sort_unstable();
    let (least, most) = (sizes.first().unwrap_or(&0), sizes.last().unwrap_or(&0));
    let median = sizes.get(sizes.len() / 2).unwrap_or(&0);
    let of = match counted < clients {
        true => format!(" of the first {counted}"),
        false => String::new(),
    };
    let real = scenario.data.real.len();
    let real = match real {
        0 => String::new(),
        real => format!(", and {real} real"),
    };
    format!(
        "clients   {clients}{real}, with {least} to {most} training samples (median {median}){of}"
    )
}

/// Least and largest value of each feature; of a picture's samples, one pair for all.
fn ranges(samples: &Samples) -> Vec<(f32, f32)> {
    let width = match samples.shape.len() {
        1 => samples.width(),
        _ => 1,
    };
    let mut ranges = vec![(f32::INFINITY, f32::NEG_INFINITY); width];
    for index in 0..samples.len() {
        for (at, value) in samples.values(index).into_iter().enumerate() {
            let (low, high) = &mut ranges[at % width];
            (*low, *high) = (low.min(value), high.max(value));
        }
    }
    ranges
}

fn span(ranges: impl Iterator<Item = (f32, f32)>) -> (f32, f32) {
    ranges.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), (l, h)| {
        (low.min(l), high.max(h))
    })
}

/// A feature of the lowest tenth by range, if the widest one is on another scale. Features that never vary do not count.
fn unequal(ranges: &[(f32, f32)]) -> Option<usize> {
    let range = |column: usize| ranges[column].1 - ranges[column].0;
    let mut varying: Vec<usize> = (0..ranges.len()).filter(|&c| range(c) > 0.0).collect();
    varying.sort_by(|&a, &b| range(a).total_cmp(&range(b)));
    let low = *varying.get(varying.len() / 10)?;
    let widest = *varying.last()?;
    (range(widest) > UNEQUAL * range(low)).then_some(low)
}

fn sizes(samples: &Samples, places: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut sizes = vec![0; samples.classes];
    places.for_each(|place| sizes[samples.labels[place] as usize] += 1);
    sizes
}

fn kept_sizes(pool: &Pool) -> Vec<usize> {
    sizes(&pool.train, pool.kept.iter().map(|&place| place as usize))
}

/// A value in a few digits.
fn short(value: f32) -> String {
    let size = value.abs();
    if size >= 1e6 || (size > 0.0 && size < 1e-3) {
        return format!("{value:.2e}");
    }
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

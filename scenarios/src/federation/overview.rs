//! What a scenario's samples are like, in lines for people.

use super::{Kind, Loaded, Pool};
use crate::{
    data::{ranges, short, span},
    scenario::Scenario,
};
use lyceum_core::{ClientId, Features, Federation, Probe, Samples, TaskStream};

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
        lines.extend(self.notes.iter().cloned());
        lines
    }

    pub(super) fn test(&self) -> Option<&Samples> {
        match &self.kind {
            Kind::Pool(pool) => Some(&pool.test),
            Kind::OnDemand(federation) => federation.probe(Probe::Test).map(|test| &**test),
        }
    }

    fn features(&self, samples: &Samples) -> String {
        match &samples.features {
            Features::U16(_) => {
                let kinds = span(ranges(samples).into_iter()).1;
                return format!("{} tokens, numbered 0 to {kinds}", samples.width());
            }
            Features::Sparse(rows) => {
                let mean = rows.kept().len() as f64 / samples.len().max(1) as f64;
                return format!(
                    "{} counts, of which {mean:.1} a sample are not 0",
                    samples.width()
                );
            }
            Features::U8(_) | Features::F32(_) | Features::Pairs(_) => {}
        }
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

    /// Classes with training samples that no task shows, in a line. Many a stream leaves some out on purpose.
    pub fn outside_tasks(&self, stream: &TaskStream) -> Option<String> {
        let Kind::Pool(pool) = &self.kind else {
            return None;
        };
        let mut left = vec![0_usize; self.classes];
        for &place in pool.kept.iter() {
            let mut tasks = stream.tasks().iter();
            if !tasks.any(|task| task.train.contain(&pool.train, place)) {
                left[pool.train.labels[place as usize] as usize] += 1;
            }
        }
        let kept = kept_sizes(pool);
        let outside =
            || (0..self.classes).filter(|&class| kept[class] > 0 && left[class] == kept[class]);
        outside().next()?;
        let names: Vec<String> = outside().map(|class| self.class_name(class)).collect();
        Some(format!(
            "outside   in no task of the stream: {}",
            names.join(", ")
        ))
    }

    /// What a class is called in messages.
    pub(super) fn class_name(&self, class: usize) -> String {
        let name = self
            .names
            .as_ref()
            .and_then(|names| names.classes.get(class));
        name.map_or_else(|| class.to_string(), |name| format!("`{name}`"))
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

pub(super) fn sizes(samples: &Samples, places: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut sizes = vec![0; samples.classes];
    places.for_each(|place| sizes[samples.labels[place] as usize] += 1);
    sizes
}

pub(super) fn kept_sizes(pool: &Pool) -> Vec<usize> {
    sizes(&pool.train, pool.kept.iter().map(|&place| place as usize))
}

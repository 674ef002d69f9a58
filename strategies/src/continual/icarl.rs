use super::{
    buffer::{Budget, Room, herd, mean_of},
    nearest_mean::NearestMean,
};
use lyceum_core::{
    ContinualMethod, Draft, Item, Lessons, MEANS, Match, MatchKind, Needs, Params, Predict, Site,
    Sizes, normalised, sets,
    units::{Count, Misfit, Positive},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// iCaRL: trains on new samples and exemplars against labels of new classes and answers of the old model for the others,
/// and answers by the nearest mean of exemplars (Rebuffi et al. 2017).
///
/// The old model is the one at the beginning of the task. When a call is over, exemplars of the classes of its task are
/// chosen by herding, and the means of all classes are taken anew; features are normalised, and so is the mean that
/// herding aims at. Where the memory has fewer places than there are classes so far, the classes that come first in a fixed
/// order have one exemplar each and the others none, and no mean. With `head = "shared"` the labels' loss is over classes that were never seen as well.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Icarl {
    /// Exemplars at most, in equal shares for the classes so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Count>,
    /// Bytes of the exemplars at most, as the data set stores them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Count>,
    /// Exemplars of one class at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_class: Option<Count>,
    /// Divide the loss of a sample by the number of classes so far, instead of summing over them; false by default.
    #[serde(default)]
    pub mean_over_classes: bool,
    /// What the old model's logits are divided by before they are matched, above 0; default 1. The new model's are not.
    #[serde(default = "one")]
    pub temperature: Positive,
}

fn one() -> Positive {
    Positive::new(1.0).expect("defaults are in range")
}

/// What a client keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Exemplars {
    /// Of each class, the best first.
    classes: BTreeMap<u32, Vec<Item>>,
    /// The model at the beginning of the task; empty in the first one.
    old: Params,
    /// What it answers to each sample of the call, divided by the temperature.
    #[serde(skip)]
    answers: BTreeMap<Item, Vec<f32>>,
}

impl Exemplars {
    /// All of them.
    pub fn items(&self) -> impl Iterator<Item = Item> + '_ {
        self.classes.values().flatten().copied()
    }

    /// Has the old model answer to samples of a call.
    fn ask_old(&mut self, items: &[Item], temperature: Positive, site: &mut Site<'_>) {
        self.answers.clear();
        if self.old.is_empty() {
            return;
        }
        let now = site.learner.params().to_vec().into();
        site.learner.load(&self.old);
        let mut logits = Vec::new();
        site.logits(items, &mut logits);
        site.learner.load(&now);
        let temperature = temperature.get() as f32;
        logits.iter_mut().for_each(|logit| *logit /= temperature);
        let rows = logits.chunks_exact(site.network.classes());
        let rows = rows.map(<[f32]>::to_vec);
        self.answers = items.iter().copied().zip(rows).collect();
    }

    /// Chooses exemplars of the classes of the task among the samples of the call (algorithms 4 and 5).
    fn choose(&mut self, budget: Budget, site: &mut Site<'_>) {
        let mut found: BTreeMap<u32, BTreeSet<Item>> = BTreeMap::new();
        for item in site.sight.items() {
            let class = site.sight.label_of(item);
            if site.task.classes.contains(&class) {
                found.entry(class).or_default().insert(item);
            }
        }
        let seen = self.classes.keys().chain(found.keys()).copied().collect();
        let shares = Shares::new(budget.room(&site.sight.pool, 0), &seen);
        for (&class, kept) in &mut self.classes {
            kept.truncate(shares.of(class));
        }
        for (class, items) in found {
            let amount = shares.of(class);
            let items: Vec<Item> = items.into_iter().collect();
            let (rows, width) = directions(&items, site);
            let aim = normalised(&mean_of(&rows, width));
            let picked = herd(&rows, &aim, amount);
            let picked = picked.into_iter().map(|place| items[place]).collect();
            self.classes.insert(class, picked);
        }
    }

    /// Writes the mean of each class into the model.
    fn write_means(&self, site: &mut Site<'_>) {
        let Some(range) = site.network.layout().find(MEANS).map(|e| e.range()) else {
            return;
        };
        let mut means = vec![0.0; range.len()];
        let row = range.len() / site.network.classes().max(1);
        for (&class, items) in self.classes.iter().filter(|(_, c)| !c.is_empty()) {
            let (rows, width) = directions(items, site);
            let out = &mut means[class as usize * row..][..row];
            out[..width].copy_from_slice(&mean_of(&rows, width));
            out[width] = 1.0;
        }
        site.learner.params_mut()[range].copy_from_slice(&means);
    }
}

/// How many exemplars classes may have.
struct Shares {
    each: usize,
    /// Those that have one, where there is not a place for each.
    only: Option<BTreeSet<u32>>,
}

impl Shares {
    /// Equal ones, or one for each of as many classes as there are places: those whose numbers, read backwards in binary, are
    /// the lowest. They lie evenly among all numbers, and a class that has no place has none later either, so that no
    /// place is kept for a class whose samples are gone.
    fn new(room: Room, seen: &BTreeSet<u32>) -> Self {
        let share = room.total / seen.len().max(1);
        let only = (share == 0).then(|| {
            let mut ranked: Vec<u32> = seen.iter().copied().collect();
            ranked.sort_unstable_by_key(|class| class.reverse_bits());
            ranked.into_iter().take(room.total).collect()
        });
        let each = share.max(1).min(room.each);
        Self { each, only }
    }

    fn of(&self, class: u32) -> usize {
        match &self.only {
            Some(only) if !only.contains(&class) => 0,
            _ => self.each,
        }
    }
}

/// Normalised features of items, and how many each has.
fn directions(items: &[Item], site: &mut Site<'_>) -> (Vec<f32>, usize) {
    let mut features = Vec::new();
    site.features(items, &mut features);
    let width = features.len() / items.len().max(1);
    let rows = features.chunks_exact(width.max(1));
    (rows.flat_map(normalised).collect(), width)
}

impl Icarl {
    fn budget(&self) -> Budget {
        Budget {
            samples: self.memory,
            bytes: self.memory_bytes,
            each: self.per_class,
        }
    }

    fn factor(&self, site: &Site<'_>) -> f32 {
        let task = site.task;
        let before = task.before.iter();
        let older = before.filter(|class| !task.classes.contains(class)).count();
        match self.mean_over_classes {
            true => 1.0 / (task.classes.len() + older).max(1) as f32,
            false => 1.0,
        }
    }
}

impl ContinualMethod for Icarl {
    type State = Exemplars;

    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        sizes.models(1) + sizes.buffer(self.budget().most(sizes, 0), 0)
    }

    fn needs(&self) -> Needs {
        Needs {
            boundaries: true,
            features: true,
            means: true,
            sigmoid: true,
            ..Needs::default()
        }
    }

    fn predict(&self) -> Option<Arc<dyn Predict>> {
        Some(Arc::new(NearestMean))
    }

    fn misfit(&self) -> Option<Misfit> {
        let keys = ["`memory`", "`memory_bytes`", "`per_class`"];
        self.budget().misfit(&keys)
    }

    fn cramped(&self, sample: usize, _: usize) -> Option<Misfit> {
        self.budget().cramped(sample, 0)
    }

    fn places(&self, sample: usize, _: usize) -> Option<usize> {
        self.budget().places(sample, 0)
    }

    fn begin_task(&self, state: &mut Exemplars, site: &mut Site<'_>) {
        state.old = match site.task.before.is_empty() {
            true => Params::default(),
            false => site.learner.params().to_vec().into(),
        };
    }

    fn begin_call(&self, state: &mut Exemplars, site: &mut Site<'_>) -> Lessons {
        let mut all: Vec<Item> = site.sight.items().collect();
        let sight: BTreeSet<Item> = all.iter().copied().collect();
        let also = state.items().filter(|item| !sight.contains(item));
        let also: Vec<Item> = also.collect();
        all.extend(&also);
        state.ask_old(&all, self.temperature, site);
        Lessons {
            also,
            ..Lessons::default()
        }
    }

    fn rows(&self, state: &mut Exemplars, draft: &mut Draft, site: &mut Site<'_>) {
        let factor = self.factor(site);
        let own = draft.own();
        if draft.open.len() < own {
            let open = match site.head.masks() {
                true => sets::CURRENT,
                false => sets::FRESH,
            };
            draft.open.resize(own, open);
        }
        for row in 0..own {
            draft.weights[row] *= factor;
            let Some(answer) = state.answers.get(&draft.items[row]) else {
                continue;
            };
            let aim = Match {
                kind: MatchKind::Sigmoid,
                weight: draft.weights[row],
                open: sets::BEFORE,
            };
            draft.matched(row, aim, answer);
        }
    }

    fn end_call(&self, state: &mut Exemplars, site: &mut Site<'_>) {
        state.choose(self.budget(), site);
        state.write_means(site);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::replay_testbed::{Bed, item};
    use lyceum_core::Loss;

    fn rule(per_class: u64) -> Icarl {
        Icarl {
            memory: None,
            memory_bytes: None,
            per_class: Count::new(per_class),
            mean_over_classes: false,
            temperature: one(),
        }
    }

    /// Classes 0 and 1 in the first task, 2 and 3 in the second; the middle one of three points is a class's best.
    fn bed() -> Bed {
        let angles = [
            0.0, 0.2, 0.5, 1.0, 1.2, 1.5, 2.0, 2.2, 2.5, 3.0, 3.2, 3.5_f32,
        ];
        let point = |(i, angle): (u32, &f32)| ([2.0 * angle.cos(), 2.0 * angle.sin()], i / 3);
        let points: Vec<_> = (0..).zip(&angles).map(point).collect();
        let mut bed = Bed::new(&points, 4);
        bed.loss = Loss::Sigmoid;
        bed
    }

    fn past_the_first_task(rule: &Icarl, bed: &mut Bed) -> Exemplars {
        let mut state = Exemplars::default();
        rule.begin_task(&mut state, &mut bed.site());
        assert!(rule.begin_call(&mut state, &mut bed.site()).also.is_empty());
        rule.end_call(&mut state, &mut bed.site());
        state
    }

    #[test]
    fn exemplars_are_the_best_of_their_class_and_are_trained_on_in_the_next_task() {
        let (rule, mut bed) = (rule(1), bed());
        let mut state = past_the_first_task(&rule, &mut bed);
        bed.come_to(1);
        rule.begin_task(&mut state, &mut bed.site());
        let lessons = rule.begin_call(&mut state, &mut bed.site());
        assert_eq!(lessons.also, [item(1, 0), item(4, 0)]);
        assert!(!lessons.only && lessons.start.is_none());
        // What they are packed as is what they were: neither blank nor of another class.
        let mut site = bed.site();
        let packed = site.pack(&lessons.also).clone();
        assert_eq!(packed.labels, [0, 1]);
        assert_eq!(
            packed.inputs[..2],
            [2.0 * 0.2_f32.cos(), 2.0 * 0.2_f32.sin()]
        );
    }

    #[test]
    fn rows_lose_by_new_labels_and_by_what_the_old_model_answers() {
        let (rule, mut bed) = (rule(1), bed());
        let mut state = past_the_first_task(&rule, &mut bed);
        bed.come_to(1);
        rule.begin_task(&mut state, &mut bed.site());
        let lessons = rule.begin_call(&mut state, &mut bed.site());
        let mut all: Vec<Item> = bed.sight.items().collect();
        all.extend(&lessons.also);
        let mut want = Vec::new();
        bed.site().logits(&all, &mut want);
        bed.site().learner.params_mut()[..12].fill(9.0);
        bed.see(&all);
        let mut draft = bed.draft(&[0, 6, 7]);
        rule.rows(&mut state, &mut draft, &mut bed.site());
        assert_eq!(draft.open, [sets::FRESH; 3]);
        for (row, position) in [0, 6, 7].into_iter().enumerate() {
            let aim = draft.matches[row];
            assert_eq!(
                (aim.kind, aim.weight, aim.open),
                (MatchKind::Sigmoid, 1.0, sets::BEFORE)
            );
            assert_eq!(draft.targets[4 * row..][..4], want[4 * position..][..4]);
        }
    }

    #[test]
    fn a_temperature_softens_what_the_old_model_answers() {
        let rule = Icarl {
            temperature: Positive::new(2.0).unwrap(),
            ..rule(1)
        };
        let mut bed = bed();
        let mut state = past_the_first_task(&rule, &mut bed);
        bed.come_to(1);
        rule.begin_task(&mut state, &mut bed.site());
        rule.begin_call(&mut state, &mut bed.site());
        let items: Vec<Item> = bed.sight.items().collect();
        let mut logits = Vec::new();
        bed.site().logits(&items, &mut logits);
        let mut draft = bed.draft(&[0]);
        rule.rows(&mut state, &mut draft, &mut bed.site());
        let want: Vec<f32> = logits[..4].iter().map(|logit| logit / 2.0).collect();
        assert_eq!(draft.targets, want);
    }

    #[test]
    fn means_are_those_of_normalised_exemplars() {
        let (rule, mut bed) = (rule(2), bed());
        let state = past_the_first_task(&rule, &mut bed);
        let kept: Vec<Item> = state.classes[&0].clone();
        assert_eq!(kept.len(), 2);
        let angle = |i: &Item| [0.0, 0.2, 0.5_f32][i.index as usize];
        let want = kept.iter().map(|i| angle(i).cos()).sum::<f32>() / 2.0;
        let means = &bed.layer_params()[12..];
        assert!((means[0] - want).abs() < 1e-6, "{means:?}");
        assert_eq!((means[2], means[5]), (1.0, 1.0));
        assert!(
            means[6..].iter().all(|&m| m == 0.0),
            "no mean before its time"
        );
    }

    #[test]
    fn classes_share_the_memory_and_keep_their_best() {
        let rule = Icarl {
            memory: Count::new(4),
            per_class: None,
            ..rule(1)
        };
        let mut bed = bed();
        let mut state = past_the_first_task(&rule, &mut bed);
        let before = state.classes.clone();
        assert!(before.values().all(|c| c.len() == 2));
        bed.come_to(1);
        rule.begin_task(&mut state, &mut bed.site());
        let also = rule.begin_call(&mut state, &mut bed.site()).also;
        let mut all: Vec<Item> = bed.sight.items().collect();
        all.extend(&also);
        bed.see(&all);
        rule.end_call(&mut state, &mut bed.site());
        assert_eq!(state.items().count(), 4);
        assert!((0..2).all(|c| state.classes[&c] == before[&c][..1]));
    }

    /// Of classes 0 to 3 the fixed order is 0, 2, 1, 3.
    #[test]
    fn where_places_are_fewer_than_classes_some_have_one_and_the_others_none() {
        for (memory, kept) in [(1, vec![0]), (2, vec![0, 2]), (3, vec![0, 1, 2])] {
            let rule = Icarl {
                memory: Count::new(memory),
                per_class: None,
                ..rule(1)
            };
            let mut bed = bed();
            let mut state = past_the_first_task(&rule, &mut bed);
            assert_eq!(state.items().count() as u64, memory.min(2));
            bed.come_to(1);
            rule.begin_task(&mut state, &mut bed.site());
            let also = rule.begin_call(&mut state, &mut bed.site()).also;
            let mut all: Vec<Item> = bed.sight.items().collect();
            all.extend(&also);
            bed.see(&all);
            for _ in 0..2 {
                rule.end_call(&mut state, &mut bed.site());
                let held = state.classes.iter().filter(|(_, items)| !items.is_empty());
                let held: Vec<u32> = held.map(|(&class, _)| class).collect();
                assert_eq!((held, state.items().count()), (kept.clone(), kept.len()));
            }
            let means = &bed.layer_params()[12..];
            let with_mean = (0..4).filter(|class| means[3 * *class as usize + 2] == 1.0);
            assert_eq!(with_mean.collect::<Vec<u32>>(), kept);
        }
    }

    #[test]
    fn a_class_without_a_place_never_gets_one_later() {
        let seen = |classes: u32| (0..classes).collect::<BTreeSet<u32>>();
        for places in 1..12 {
            let mut had = seen(100);
            for classes in 1..100 {
                let shares = Shares::new(Room::of(places), &seen(classes));
                let has: BTreeSet<u32> = (0..classes).filter(|c| shares.of(*c) > 0).collect();
                assert_eq!(has.len(), places.min(classes as usize));
                assert!(has.iter().all(|c| had.contains(c) || *c == classes - 1));
                had = has;
            }
        }
    }
}

use lyceum_core::{
    ContinualMethod, Draft, Match, MatchKind, Needs, Params, Site, Sizes, sets,
    units::{Misfit, NonNegative, Positive},
};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IntoDeserializer, SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use std::fmt;

/// Learning without forgetting: on the samples of a new task the model also matches what it said when the task began,
/// over the classes of the tasks before: `loss + alpha * cross entropy of softmax(z / T) against softmax(teacher / T)`
/// (Li and Hoiem 2016, equations 1 to 3, without their warm-up of the head).
///
/// Code that multiplies the match by `T^2` has an alpha of a `T^2`th of this one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lwf {
    /// Weight of the match beside the labels: a number, or a list with one for each task, the last for all further ones.
    pub alpha: Alpha,
    /// T; 2 by default.
    #[serde(default = "two")]
    pub temperature: Positive,
    /// Which classes the labels' loss is over, where it is not what the stream's head says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
}

/// One number, or one a task.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Alpha {
    /// For every task.
    Constant(NonNegative),
    /// By the client's own count of tasks, from the first.
    Each(Vec<NonNegative>),
}

impl<'de> Deserialize<'de> for Alpha {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrList)
    }
}

/// Reads an [`Alpha`], each number where it stands.
struct NumberOrList;

impl<'de> Visitor<'de> for NumberOrList {
    type Value = Alpha;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, 0 or above, or a list of such numbers")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Alpha, E> {
        NonNegative::deserialize(value.into_deserializer()).map(Alpha::Constant)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Alpha, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Alpha, E> {
        self.visit_f64(value as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Alpha, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Alpha::Each)
    }
}

/// Classes that the labels' loss of new samples is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mask {
    /// Those of the tasks so far.
    Seen,
    /// Those of the task.
    Task,
}

fn two() -> Positive {
    Positive::new(2.0).expect("2 is in range")
}

/// What a client keeps for learning without forgetting.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Teacher {
    /// The model when the task began; empty in the first task.
    model: Params,
    /// What it says of the samples of the call, by position; made when the first step is drafted.
    #[serde(skip)]
    said: Vec<f32>,
}

impl Alpha {
    fn at(&self, place: u32) -> f32 {
        let each = match self {
            Self::Constant(alpha) => std::slice::from_ref(alpha),
            Self::Each(each) => each,
        };
        let own = each.get(place as usize).or(each.last());
        own.map_or(0.0, |alpha| alpha.get() as f32)
    }
}

impl Teacher {
    /// What the teacher says of all samples of the call. The learner is left as it was.
    fn ask(&mut self, site: &mut Site<'_>) {
        let own = site.learner.params().to_vec().into();
        let items: Vec<_> = site.sight.items().collect();
        site.learner.load(&self.model);
        site.logits(&items, &mut self.said);
        site.learner.load(&own);
    }
}

impl ContinualMethod for Lwf {
    type State = Teacher;

    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        sizes.models(1)
    }

    fn needs(&self) -> Needs {
        Needs {
            boundaries: true,
            ..Needs::default()
        }
    }

    fn misfit(&self) -> Option<Misfit> {
        (self.alpha == Alpha::Each(Vec::new())).then(|| Misfit {
            key: "alpha".into(),
            message: "the list is empty".into(),
            expected: "a number, or one for each task".into(),
        })
    }

    fn begin_task(&self, teacher: &mut Teacher, site: &mut Site<'_>) {
        let first = site.task.before.is_empty();
        let model = if first { &[] } else { site.learner.params() };
        teacher.model = model.to_vec().into();
    }

    fn rows(&self, teacher: &mut Teacher, draft: &mut Draft, site: &mut Site<'_>) {
        let own = draft.own();
        if let Some(mask) = self.mask.filter(|_| draft.open.len() < own) {
            let set = match mask {
                Mask::Seen => sets::SEEN,
                Mask::Task => sets::CURRENT,
            };
            draft.open.resize(own, set);
        }
        let weight = self.alpha.at(site.task.place);
        if teacher.model.is_empty() || weight == 0.0 {
            return;
        }
        if teacher.said.is_empty() {
            teacher.ask(site);
        }
        let weight = draft.mean_of(own, weight);
        let temperature = self.temperature.get() as f32;
        for row in 0..own {
            let place = draft.positions[row] as usize * draft.classes;
            let aim = Match {
                kind: MatchKind::Softmax { temperature },
                weight,
                open: sets::BEFORE,
            };
            draft.matched(row, aim, &teacher.said[place..][..draft.classes]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::Bed, *};
    use lyceum_core::{Batch, Mode};

    fn lwf(alpha: f64) -> Lwf {
        Lwf {
            alpha: Alpha::Constant(NonNegative::new(alpha).unwrap()),
            temperature: two(),
            mask: None,
        }
    }

    fn second_task() -> Bed {
        let mut bed = Bed::new(1, 3, &[(&[2.0], 2), (&[-1.0], 2)]);
        bed.learner.weights = vec![0.5, -1.0, 0.0, 0.25, 0.0, 0.0];
        bed.task.before = [0, 1].into();
        bed.task.classes = [2].into();
        bed.task.place = 1;
        bed
    }

    fn drafted(method: &Lwf, teacher: &mut Teacher, bed: &mut Bed) -> Draft {
        let mut draft = Draft::default();
        draft.begin(3, &bed.shard.clone(), &[1, 0], &[]);
        method.rows(teacher, &mut draft, &mut bed.site());
        draft
    }

    #[test]
    fn with_alpha_0_and_in_the_first_task_it_is_naive() {
        let mut bed = second_task();
        let (method, mut teacher) = (lwf(0.0), Teacher::default());
        method.begin_task(&mut teacher, &mut bed.site());
        let draft = drafted(&method, &mut teacher, &mut bed);
        assert!(draft.matches.is_empty() && draft.open.is_empty());
        bed.task.before = [].into();
        let (method, mut teacher) = (lwf(1.0), Teacher::default());
        method.begin_task(&mut teacher, &mut bed.site());
        let draft = drafted(&method, &mut teacher, &mut bed);
        assert!(draft.matches.is_empty() && draft.open.is_empty());
    }

    /// The teacher is the model of the beginning, whatever the learner has come to; its logits stand by position, and
    /// are matched over classes 0 and 1 only.
    #[test]
    fn rows_match_the_model_at_the_beginning_of_the_task() {
        let mut bed = second_task();
        let (method, mut teacher) = (lwf(1.0), Teacher::default());
        method.begin_task(&mut teacher, &mut bed.site());
        bed.learner.weights = vec![9.0; 6];
        let draft = drafted(&method, &mut teacher, &mut bed);
        assert_eq!(bed.learner.weights, [9.0; 6]);
        assert_eq!(draft.targets, [-0.25, 1.0, 0.0, 1.25, -2.0, 0.0]);
        assert!(
            draft
                .matches
                .iter()
                .all(|m| m.open == sets::BEFORE && m.weight == 1.0)
        );
    }

    /// While the learner says what the teacher said, the match is at its least: only the labels have a slope.
    #[test]
    fn at_the_beginning_the_match_has_no_slope() {
        let mut bed = second_task();
        let mut slope = |alpha: f64| {
            let (method, mut teacher) = (lwf(alpha), Teacher::default());
            method.begin_task(&mut teacher, &mut bed.site());
            let draft = drafted(&method, &mut teacher, &mut bed);
            let mut batch = Batch::default();
            bed.shard.pack_items(&draft.items, &mut batch);
            draft.finish(&mut batch);
            batch.aims.sets = bed.sets();
            let mut grad = vec![0.0; 6];
            let learner = &mut bed.learner;
            lyceum_core::Learner::backward(learner, &batch, Mode::Evaluate, &mut grad);
            grad
        };
        for (naive, own) in slope(0.0).iter().zip(slope(3.0)) {
            assert!((naive - own).abs() < 1e-6);
        }
    }

    #[test]
    fn a_list_has_an_alpha_for_each_task() {
        let each = Alpha::Each([0.0, 0.5].map(|a| NonNegative::new(a).unwrap()).into());
        assert_eq!([0, 1, 7].map(|place| each.at(place)), [0.0, 0.5, 0.5]);
    }

    #[test]
    fn a_mask_opens_the_classes_so_far_to_new_rows() {
        let mut bed = second_task();
        let mut method = lwf(0.0);
        method.mask = Some(Mask::Seen);
        let draft = drafted(&method, &mut Teacher::default(), &mut bed);
        assert_eq!(draft.open, [sets::SEEN; 2]);
    }
}

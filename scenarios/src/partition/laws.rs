//! What holds for every partition and every input.

use super::*;
use lyceum_core::units::{Count, Positive};
use lyceum_core::{Purpose, Seed};
use proptest::prelude::*;

pub(super) fn input(labels: &[u32], classes: usize, parts: usize) -> Divide<'_> {
    Divide {
        labels,
        classes,
        parts,
        natural: None,
        difficulty: None,
    }
}

pub(super) fn divide(
    rule: &dyn Partition,
    input: &Divide<'_>,
    seed: u64,
) -> Result<Vec<Vec<u32>>, PartitionError> {
    rule.divide(input, &mut Seed(seed).once(Purpose::PARTITION))
}

#[derive(Debug)]
struct Case {
    labels: Vec<u32>,
    classes: usize,
    parts: usize,
    natural: Vec<u32>,
    difficulty: Vec<f32>,
    alpha: f64,
    least: u32,
    seed: u64,
}

impl Case {
    fn input(&self) -> Divide<'_> {
        Divide {
            natural: Some(&self.natural),
            difficulty: Some(&self.difficulty),
            ..input(&self.labels, self.classes, self.parts)
        }
    }

    /// Every rule, and whether it promises to use every sample.
    fn rules(&self) -> Vec<(Box<dyn Partition>, bool)> {
        let alpha = Positive::new(self.alpha).unwrap();
        let min_samples = self.least;
        let labels = Count::new(u64::from(self.least) + 1).unwrap();
        let by = |order| ByDifficulty {
            order,
            alpha,
            min_samples,
        };
        vec![
            (Box::new(Iid {}), true),
            (Box::new(Dirichlet { alpha, min_samples }), true),
            (Box::new(DirichletEqual { alpha }), false),
            (
                Box::new(LabelsPerClient { labels }),
                self.parts >= self.classes,
            ),
            (Box::new(QuantitySkew { alpha, min_samples }), true),
            (Box::new(ByClient {}), false),
            (Box::new(by(DifficultyOrder::Inc)), true),
            (Box::new(by(DifficultyOrder::Dec)), true),
            (Box::new(by(DifficultyOrder::Rand)), true),
        ]
    }
}

fn case() -> impl Strategy<Value = Case> {
    let sizes = (0..90_usize, 1..8_usize, 1..14_usize);
    let numbers = (
        prop_oneof![Just(1e-12), Just(1e9), 0.01..10.0],
        0..3_u32,
        any::<u64>(),
    );
    (sizes, numbers).prop_flat_map(|((samples, classes, parts), (alpha, least, seed))| {
        let labels = proptest::collection::vec(0..classes as u32, samples);
        let natural = proptest::collection::vec(0..40_u32, samples);
        let difficulty = proptest::collection::vec(
            prop_oneof![Just(0.0), Just(f32::INFINITY), 0.0..9.0_f32],
            samples,
        );
        (labels, natural, difficulty).prop_map(move |(labels, natural, difficulty)| Case {
            labels,
            classes,
            parts,
            natural,
            difficulty,
            alpha,
            least,
            seed,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn parts_are_disjoint_ascending_seeded_and_cover_what_they_promise(case in case()) {
        for (rule, covers) in case.rules() {
            let Ok(parts) = divide(&*rule, &case.input(), case.seed) else { continue };
            prop_assert_eq!(parts.len(), case.parts);
            prop_assert!(parts.iter().all(|part| part.is_sorted()));
            let mut all = parts.concat();
            let used = all.len();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len(), used);
            prop_assert!(all.last().is_none_or(|&last| (last as usize) < case.labels.len()));
            prop_assert!(!covers || used == case.labels.len());
            prop_assert_eq!(divide(&*rule, &case.input(), case.seed), Ok(parts));
        }
    }

    #[test]
    fn promised_sizes_hold(case in case()) {
        let rules = case.rules();
        let sizes = |at: usize| -> Option<Vec<usize>> {
            let parts = divide(&*rules[at].0, &case.input(), case.seed).ok()?;
            Some(parts.iter().map(Vec::len).collect())
        };
        let enough = case.labels.len() >= case.parts;
        prop_assert_eq!(sizes(0).is_some(), enough);
        prop_assert_eq!(sizes(2).is_some(), enough);
        if let Some(sizes) = sizes(2) {
            prop_assert!(sizes.iter().all(|&size| size == case.labels.len() / case.parts));
        }
        for at in [1, 4, 6] {
            if let Some(sizes) = sizes(at) {
                prop_assert!(sizes.iter().all(|&size| size >= case.least as usize));
            }
        }
        let feasible = case.labels.len() >= case.parts * case.least as usize;
        prop_assert_eq!(sizes(4).is_some(), feasible);
    }
}

#[test]
fn broken_inputs_are_refused_by_every_rule() {
    let case = Case {
        labels: vec![0, 3],
        classes: 3,
        parts: 1,
        natural: vec![0, 0],
        difficulty: vec![0.0, 0.0],
        alpha: 1.0,
        least: 0,
        seed: 1,
    };
    for (rule, _) in case.rules() {
        let error = divide(&*rule, &case.input(), 1).unwrap_err();
        assert_eq!(
            error,
            PartitionError::Label {
                label: 3,
                classes: 3
            }
        );
        let no_parts = Divide {
            parts: 0,
            ..case.input()
        };
        assert_eq!(divide(&*rule, &no_parts, 1), Err(PartitionError::NoParts));
    }
}

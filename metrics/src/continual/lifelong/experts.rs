//! A learner against experts that were trained on one task only.

use super::block_statistics::{Saturation, per_experience, saturation};
use super::lifetime::Experience;
use super::settings::ExpertAveraging;

/// Below this share of an expert's saturation a learner has no sample efficiency.
const LEAST_SHARE: f64 = 0.2;

/// The experts' learning curves as they are compared with: each, or their mean cut to the shortest.
pub(super) fn compared(
    experts: &[Vec<Experience>],
    averaging: ExpertAveraging,
) -> Vec<Vec<Experience>> {
    let shortest = experts.iter().map(Vec::len).min();
    match (averaging, shortest) {
        (ExpertAveraging::Time, Some(shortest)) => {
            let at = |i: usize| Experience {
                number: i as u64,
                performance: experts
                    .iter()
                    .map(|curve| curve[i].performance)
                    .sum::<f64>()
                    / experts.len() as f64,
            };
            vec![(0..shortest).map(at).collect()]
        }
        _ => experts.to_vec(),
    }
}

/// Relative performance against each expert: the sum of performances over the first n experiences, the
/// learner's by the expert's, n being the length of the shorter curve.
///
/// `learned` are all learning blocks of the task, one after another. Baker et al. 2023, "performance
/// relative to a single-task expert".
pub(super) fn relative_performance(
    learned: &[Experience],
    experts: &[Vec<Experience>],
) -> Vec<f64> {
    let sum = |curve: &[Experience]| -> f64 { curve.iter().map(|e| e.performance).sum() };
    experts
        .iter()
        .map(|expert| {
            let count = learned.len().min(expert.len());
            sum(&learned[..count]) / sum(&expert[..count])
        })
        .collect()
}

/// Sample efficiency of one task and what it is made of; lists have one value per expert.
#[derive(Debug, Default, PartialEq)]
pub(super) struct SampleEfficiency {
    pub(super) learner: Option<Saturation>,
    pub(super) experts: Vec<Saturation>,
    /// Saturation of the learner / of the expert.
    pub(super) saturation: Vec<f64>,
    /// Experiences to saturation of the expert / of the learner.
    pub(super) experiences: Vec<f64>,
    /// The product, or 0.
    pub(super) values: Vec<f64>,
}

/// Sample efficiency against each expert: (saturation / the expert's) (the expert's experiences to
/// saturation / ours). 0 if the learner saturates below a fifth of the expert or its linear trend falls.
/// Nothing if the learner is highest at its first experience; an expert of which that holds is left out.
///
/// Curves are smoothed once more before their maximum is read, as in l2metrics 3.1.
pub(super) fn sample_efficiency(
    learned: &[Experience],
    experts: &[Vec<Experience>],
) -> SampleEfficiency {
    let found = saturation(&per_experience(learned)).filter(|found| found.experiences > 0);
    let (Some(learner), false) = (found, experts.is_empty()) else {
        return SampleEfficiency::default();
    };
    let experts: Vec<Saturation> = experts
        .iter()
        .filter_map(|expert| saturation(&per_experience(expert)))
        .filter(|found| found.experiences > 0)
        .collect();
    let falls = trend(learned) < 0.0;
    let saturation = |expert: &Saturation| learner.value / expert.value;
    let experiences = |expert: &Saturation| expert.experiences as f64 / learner.experiences as f64;
    let value = |expert: &Saturation| {
        if falls || learner.value < LEAST_SHARE * expert.value {
            0.0
        } else {
            saturation(expert) * experiences(expert)
        }
    };
    SampleEfficiency {
        learner: Some(learner),
        saturation: experts.iter().map(saturation).collect(),
        experiences: experts.iter().map(experiences).collect(),
        values: experts.iter().map(value).collect(),
        experts,
    }
}

/// The sign of the least-squares slope of performance over experience numbers.
fn trend(curve: &[Experience]) -> f64 {
    let count = curve.len() as f64;
    let number = curve.iter().map(|e| e.number as f64).sum::<f64>() / count;
    let performance = curve.iter().map(|e| e.performance).sum::<f64>() / count;
    curve
        .iter()
        .map(|e| (e.number as f64 - number) * (e.performance - performance))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: &[f64]) -> Vec<Experience> {
        let numbered = values.iter().zip(0..);
        numbered
            .map(|(&performance, number)| Experience {
                number,
                performance,
            })
            .collect()
    }

    /// Over the first 3: 6 / 3 and 6 / 6 against two experts; 5.5 against their mean 0.5 + 1.5 + 2.5.
    #[test]
    fn relative_performance_by_hand() {
        let learner = curve(&[1.0, 2.0, 3.0, 9.0]);
        let experts = [curve(&[0.0, 1.0, 2.0]), curve(&[1.0, 2.0, 3.0, 4.0, 5.0])];
        assert_eq!(
            relative_performance(&learner, &experts),
            [6.0 / 3.0, 15.0 / 10.0]
        );
        let mean = compared(&experts, ExpertAveraging::Time);
        assert_eq!(relative_performance(&learner, &mean), [6.0 / 4.5]);
        assert_eq!(compared(&[], ExpertAveraging::Time), Vec::<Vec<_>>::new());
    }

    /// The learner saturates at 4 after 2 experiences, the expert at 5 after 3: 4/5 x 3/2.
    #[test]
    fn sample_efficiency_by_hand() {
        let found = sample_efficiency(&curve(&[1.0, 2.0, 4.0]), &[curve(&[1.0, 2.0, 3.0, 5.0])]);
        assert_eq!(found.values, [0.8 * 1.5]);
        assert_eq!((found.saturation[0], found.experiences[0]), (0.8, 1.5));
    }

    #[test]
    fn a_falling_or_poor_learner_has_none() {
        let expert = [curve(&[1.0, 100.0])];
        let poor = sample_efficiency(&curve(&[1.0, 2.0]), &expert);
        assert_eq!(poor.values, [0.0]);
        let falling = sample_efficiency(&curve(&[90.0, 91.0, 0.0, 0.0]), &expert);
        assert_eq!(falling.values, [0.0]);
        let at_once = sample_efficiency(&curve(&[2.0, 1.0]), &expert);
        assert_eq!(at_once, SampleEfficiency::default());
        let no_curve = sample_efficiency(&curve(&[1.0, 2.0]), &[curve(&[3.0, 1.0])]);
        assert!(no_curve.learner.is_some() && no_curve.values.is_empty());
    }
}

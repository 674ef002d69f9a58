//! Principal components: the directions in which samples vary most.

use super::{DataError, linear::Linear, symmetric::eigen};
use lyceum_core::{Samples, wide};

/// Inputs at most: the time grows with their cube.
const LARGEST: usize = 4096;
/// Samples that are added to the covariance together.
const TOGETHER: usize = 16;
/// A component with less than this share of the largest variance has none.
const NOTHING: f64 = 1e-12;

/// The map of samples to `size` components, fitted to those of some classes, or to all.
pub(super) fn components(
    samples: &Samples,
    size: usize,
    classes: Option<&[u32]>,
    whiten: bool,
) -> Result<Linear, DataError> {
    let refuse = |message: String| DataError::Features { message };
    let inputs = samples.width();
    if size > inputs || inputs > LARGEST {
        let most = inputs.min(LARGEST);
        return Err(refuse(format!(
            "{size} components of {inputs} inputs: expected at most {most} of at most {LARGEST}"
        )));
    }
    let chosen = |place: &usize| classes.is_none_or(|all| all.contains(&samples.labels[*place]));
    let places: Vec<usize> = (0..samples.len()).filter(chosen).collect();
    if places.len() < 2 {
        return Err(refuse(
            "components need two training samples of these classes or more".into(),
        ));
    }
    let mean = mean(samples, &places);
    let found = eigen(covariance(samples, &places, &mean), size);
    let found = found.ok_or_else(|| refuse("some values of samples are no numbers".into()))?;
    let least = NOTHING * found.values[0];
    let scale = |value: f64| match whiten {
        false => 1.0,
        true if value > least => 1.0 / value.sqrt(),
        true => 0.0,
    };
    let scales: Vec<f64> = found.values.iter().map(|value| scale(*value)).collect();
    let vectors = || found.vectors.iter().zip(&scales);
    let weight = |input: usize| vectors().map(move |(v, scale)| (scale * v[input]) as f32);
    let bias = |(vector, scale): (&Vec<f64>, &f64)| {
        let along = vector.iter().zip(&mean).map(|(v, m)| v * m);
        (-scale * along.sum::<f64>()) as f32
    };
    Ok(Linear {
        weights: (0..inputs).flat_map(weight).collect(),
        biases: vectors().map(bias).collect(),
    })
}

fn mean(samples: &Samples, places: &[usize]) -> Vec<f64> {
    let mut sum = vec![0.0; samples.width()];
    for place in places {
        let values = samples.values(*place);
        let sites = sum.iter_mut().zip(values);
        sites.for_each(|(sum, value)| *sum += f64::from(value));
    }
    let share = 1.0 / places.len() as f64;
    sum.into_iter().map(|sum| sum * share).collect()
}

/// Mean products of deviations from the mean, one row an input.
fn covariance(samples: &Samples, places: &[usize], mean: &[f64]) -> Vec<Vec<f64>> {
    let inputs = mean.len();
    let mut rows = vec![vec![0.0; inputs]; inputs];
    for places in places.chunks(TOGETHER) {
        let centred = |place: &usize| -> Vec<f64> {
            let values = samples.values(*place).into_iter();
            values.zip(mean).map(|(x, m)| f64::from(x) - m).collect()
        };
        let some: Vec<Vec<f64>> = places.iter().map(centred).collect();
        wide(
            #[inline(always)]
            || add(&some, &mut rows),
        );
    }
    let share = 1.0 / places.len() as f64;
    for i in 0..inputs {
        let (above, row) = rows.split_at_mut(i);
        let row = &mut row[0][..=i];
        row.iter_mut().for_each(|value| *value *= share);
        let mirrored = above.iter_mut().zip(&*row);
        mirrored.for_each(|(other, value)| other[i] = *value);
    }
    rows
}

/// Adds the products of a few samples to the lower half, sample after sample.
#[inline(always)]
fn add(samples: &[Vec<f64>], rows: &mut [Vec<f64>]) {
    for (i, row) in rows.iter_mut().enumerate() {
        let row = &mut row[..=i];
        for sample in samples {
            let x = sample[i];
            row.iter_mut()
                .zip(sample)
                .for_each(|(sum, y)| *sum += x * y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Affine, Features};

    /// Along (3, 4) the variance is 25 times that of a step; nothing varies across, and class 1 is left out.
    fn line() -> Samples {
        let on = |t: f32| [3.0 * t + 1.0, 4.0 * t - 2.0];
        let mut values: Vec<f32> = [-1.0, 0.0, 1.0].into_iter().flat_map(on).collect();
        values.extend([100.0, -100.0]);
        Samples {
            shape: vec![2],
            classes: 2,
            features: Features::F32(values),
            labels: vec![0, 0, 0, 1],
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine::identity(),
        }
    }

    #[test]
    fn samples_on_a_line_are_where_they_stand_on_it() {
        let mut samples = line();
        let map = components(&samples, 2, Some(&[0]), false).unwrap();
        map.apply(&mut samples, false);
        for (place, want) in [-5.0, 0.0, 5.0].into_iter().enumerate() {
            let found = samples.values(place);
            assert!(
                (found[0] - want).abs() < 1e-5 && found[1].abs() < 1e-5,
                "{found:?}"
            );
        }
        // A variance of 50 / 3 becomes 1, and none stays none.
        let mut samples = line();
        let map = components(&samples, 2, Some(&[0]), true).unwrap();
        map.apply(&mut samples, false);
        let found = samples.values(2);
        assert!(
            (found[0] - 1.5_f32.sqrt()).abs() < 1e-5 && found[1] == 0.0,
            "{found:?}"
        );
    }

    #[test]
    fn what_cannot_be_fitted_says_why() {
        let told = |size, classes: &[u32]| {
            let found = components(&line(), size, Some(classes), false);
            found
                .err()
                .map(|fault| fault.to_string())
                .unwrap_or_default()
        };
        assert!(
            told(3, &[0]).contains("3 components of 2 inputs"),
            "{}",
            told(3, &[0])
        );
        assert!(
            told(1, &[1]).contains("two training samples"),
            "{}",
            told(1, &[1])
        );
    }
}

//! What a set of models is worth together, where tasks pull apart.

/// Volume of the union of the boxes from 0 to each point, all of whose values are 0 or above: the Pareto hypervolume with reference
/// point 0. Exact, by the exclusive volumes of the points, one after another, of WFG (While, Bradstreet and Barone 2012). Time grows
/// with the number of values and, at worst, doubles with each point, so ten points are quick whatever the number of values.
pub fn hypervolume(points: &[Vec<f64>]) -> f64 {
    let mut front = undominated(points);
    front.sort_by(|a, b| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
    let exclusive = |(place, point): (usize, &Vec<f64>)| {
        let limited: Vec<Vec<f64>> = front[place + 1..]
            .iter()
            .map(|other| point.iter().zip(other).map(|(a, b)| a.min(*b)).collect())
            .collect();
        point.iter().product::<f64>() - hypervolume(&limited)
    };
    front.iter().enumerate().map(exclusive).sum()
}

/// The points that no other one reaches in every value; one of several alike.
fn undominated(points: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let reaches = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a >= b);
    let kept = |place: usize| {
        let own = &points[place];
        let mut others = points.iter().enumerate();
        !others.any(|(other, point)| {
            other != place && reaches(point, own) && (other < place || !reaches(own, point))
        })
    };
    let places = (0..points.len()).filter(|place| kept(*place));
    places.map(|place| points[place].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn boxes_by_hand() {
        assert_eq!(hypervolume(&[]), 0.0);
        assert_eq!(hypervolume(&[vec![0.5, 0.5], vec![0.5, 0.5]]), 0.25);
        // Two that cross: 0.5 + 0.5 - 0.25; a third lies within.
        let cross = [vec![1.0, 0.5], vec![0.5, 1.0], vec![0.5, 0.5]];
        assert_eq!(hypervolume(&cross), 0.75);
    }

    /// All non-empty sets of points, by inclusion and exclusion.
    fn by_sets(points: &[Vec<f64>]) -> f64 {
        let volume = |set: u32| {
            let own = points.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1);
            let least = own.fold(vec![1.0_f64; points[0].len()], |least, (_, point)| {
                least.iter().zip(point).map(|(a, b)| a.min(*b)).collect()
            });
            let sign = if set.count_ones() % 2 == 1 { 1.0 } else { -1.0 };
            sign * least.iter().product::<f64>()
        };
        (1..1_u32 << points.len()).map(volume).sum()
    }

    proptest! {
        #[test]
        fn as_inclusion_and_exclusion(
            points in prop::collection::vec(prop::collection::vec(0.0_f64..1.0, 5), 1..8),
        ) {
            let (found, want) = (hypervolume(&points), by_sets(&points));
            prop_assert!((found - want).abs() < 1e-12, "{} {}", found, want);
        }
    }
}

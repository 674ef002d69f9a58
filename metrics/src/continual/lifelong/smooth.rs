//! Smoothing of learning curves.

/// A moving average of the same length: flat window, the curve reflected at both ends.
///
/// The window is `length`, or without one, or if the curve is shorter than it, a fifth of the curve, at
/// most 100 values. A window below 3 leaves the curve as it is. Value i of the result is the mean of the
/// values i - ceil(L / 2) to i - ceil(L / 2) + L - 1: an even window reaches one value further back than
/// ahead, an odd one has its middle at i - 1, both as in l2metrics 3.1.
pub fn smooth(values: &[f64], length: Option<usize>) -> Vec<f64> {
    let count = values.len();
    let length = length
        .filter(|&length| length <= count)
        .unwrap_or_else(|| ((count as f64 * 0.2) as usize).min(100));
    if length < 3 {
        return values.to_vec();
    }
    let back = length.div_ceil(2) as isize;
    (0..count as isize)
        .map(|at| {
            let window = at - back..at - back + length as isize;
            window.map(|i| values[reflected(i, count)]).sum::<f64>() / length as f64
        })
        .collect()
}

/// The index that a place outside the curve is reflected to; the end itself is not repeated.
fn reflected(at: isize, count: usize) -> usize {
    let last = count as isize - 1;
    let inside = if at < 0 {
        -at
    } else if at > last {
        2 * last - at
    } else {
        at
    };
    inside as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Window 4 over 1 2 4 8 16 as ... 4 2 | 1 2 4 8 16 | 8: (4+2+1+2)/4, (2+1+2+4)/4, (1+2+4+8)/4,
    /// (2+4+8+16)/4, (4+8+16+8)/4.
    #[test]
    fn an_even_window_by_hand() {
        let found = smooth(&[1.0, 2.0, 4.0, 8.0, 16.0], Some(4));
        assert_eq!(found, [2.25, 2.25, 3.75, 7.5, 9.0]);
    }

    /// Window 3 is the mean of the value and the two before it: (4+2+1)/3, (2+1+2)/3, (1+2+4)/3, ...
    #[test]
    fn an_odd_window_looks_back() {
        let found = smooth(&[1.0, 2.0, 4.0, 8.0], Some(3));
        let expected = [7.0 / 3.0, 5.0 / 3.0, 7.0 / 3.0, 14.0 / 3.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn short_curves_stay_and_long_ones_have_a_window_of_a_hundred() {
        let short = [
            1.0, 5.0, 2.0, 8.0, 9.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0,
        ];
        assert_eq!(smooth(&short, None), short);
        assert_eq!(smooth(&short, Some(2)), short);
        assert_eq!(smooth(&short, Some(15)), short);
        assert!(smooth(&[], None).is_empty());
        let mut step = vec![0.0; 1000];
        step[500] = 1.0;
        let found = smooth(&step, None);
        assert_eq!(found.iter().filter(|&&value| value > 0.0).count(), 100);
        assert_eq!(found[451], 0.01);
        assert_eq!(found[450], 0.0);
    }
}

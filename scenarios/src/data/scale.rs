//! On which scale the values of samples are.

use lyceum_core::Samples;

/// Values beyond this are far from what rates and initial weights are made for.
const LARGE: f32 = 30.0;
/// Pictures without a value beyond this are all but black.
const FAINT: f32 = 0.01;
/// Ranges of features that differ by more are on different scales.
const UNEQUAL: f32 = 100.0;

/// Which features lie far from what rates and initial weights are made for, in words.
pub(crate) fn far_off(samples: &Samples, name: impl Fn(usize) -> String) -> Option<String> {
    let ranges = ranges(samples);
    let (low, high) = span(ranges.iter().copied());
    let flat = samples.shape.len() == 1;
    let finest = match flat {
        true => unequal(&ranges),
        false => None,
    };
    if high.max(-low) <= LARGE && finest.is_none() {
        return (!flat && faint(low, high)).then(|| values(low, high));
    }
    let widest = |column: &usize| ranges[*column].1.abs().max(ranges[*column].0.abs());
    let largest = (0..ranges.len()).max_by(|a, b| widest(a).total_cmp(&widest(b)));
    let shown = |column: usize| {
        let (low, high) = ranges[column];
        format!(
            "{} goes from {} to {}",
            name(column),
            short(low),
            short(high)
        )
    };
    Some(match (flat, largest, finest) {
        (true, Some(largest), Some(finest)) if largest != finest => {
            format!("{}, {}", shown(largest), shown(finest))
        }
        (true, Some(largest), _) => shown(largest),
        _ => values(low, high),
    })
}

/// Whether pictures are all but black, as those are that were scaled twice.
fn faint(low: f32, high: f32) -> bool {
    high > low && high.max(-low) < FAINT
}

fn values(low: f32, high: f32) -> String {
    format!("values go from {} to {}", short(low), short(high))
}

/// Least and largest value of each feature; of a picture's samples, one pair for all.
pub(crate) fn ranges(samples: &Samples) -> Vec<(f32, f32)> {
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

pub(crate) fn span(ranges: impl Iterator<Item = (f32, f32)>) -> (f32, f32) {
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

/// A value in a few digits.
pub(crate) fn short(value: f32) -> String {
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

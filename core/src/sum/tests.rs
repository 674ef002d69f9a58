use super::*;
use crate::{Layout, Role};
use proptest::prelude::*;

#[test]
fn a_sum_is_within_its_terms_and_a_claimed_one_is_not() {
    let largest = LARGEST_VALUE * 0.999_999;
    let mut sum = ExactSum::new(&[Lane::INTEGER, Lane::SCALAR], 2);
    assert!(sum.is_within(0));
    for terms in 1..=20 {
        sum.add(0, LARGEST_WEIGHT - 1.0, &[largest, -largest])
            .unwrap();
        sum.add(1, LARGEST_WEIGHT - 1.0, &[]).unwrap();
        assert!(sum.is_within(terms) && !sum.is_within(terms - 1), "{terms}");
    }
    let mut heavy = ExactSum::new(&[Lane::SCALAR], 0);
    heavy.lanes[0].weight = u64::MAX;
    heavy.lanes[0].terms = 1;
    assert!(!heavy.is_within(1));
    let mut large = ExactSum::new(&[Lane::INTEGER], 1);
    large.lanes[0].hi[0] = HI_LIMIT as i64 - 1;
    assert!(!large.is_within(100) && !large.is_within(0));
}

fn terms() -> impl Strategy<Value = Vec<(u32, Vec<f32>)>> {
    let value = prop_oneof![
        -1e6_f32..1e6,
        -1e-3_f32..1e-3,
        Just(0.0),
        Just(f32::MIN_POSITIVE)
    ];
    prop::collection::vec((1_u32..1 << 28, prop::collection::vec(value, 3)), 1..40)
}

fn sum<'a>(items: impl Iterator<Item = &'a (u32, Vec<f32>)>) -> ExactSum {
    let mut sum = ExactSum::new(&[Lane::INTEGER], 3);
    items.for_each(|(w, v)| sum.add(0, f64::from(*w), v).unwrap());
    sum
}

proptest! {
    #[test]
    fn any_grouping_and_order_gives_the_same_bits(items in terms(), cut in 0_usize..40) {
        let cut = cut.min(items.len());
        let whole = sum(items.iter());
        let mut parts = sum(items[cut..].iter().rev());
        parts.merge(&sum(items[..cut].iter().rev())).unwrap();
        prop_assert_eq!(whole.mean(0), parts.mean(0));
        prop_assert_eq!(whole.weight(0), parts.weight(0));
    }

    #[test]
    fn folding_is_adding_one_by_one(items in terms()) {
        let mut folded = ExactSum::new(&[Lane::INTEGER], 3);
        let term = |(w, v): &(u32, Vec<f32>)| folded.admit(vec![(f64::from(*w), v.clone().into())]).unwrap();
        let terms: Vec<_> = items.iter().map(term).collect();
        folded.fold(&terms).unwrap();
        prop_assert_eq!(folded.mean(0), sum(items.iter()).mean(0));
        prop_assert_eq!(folded.terms(0), items.len() as u64);
    }

    #[test]
    fn the_mean_is_right(items in terms()) {
        let got = sum(items.iter()).mean(0);
        let weight: f64 = items.iter().map(|(w, _)| f64::from(*w)).sum();
        for (i, got) in got.iter().enumerate() {
            let want = items.iter().map(|(w, v)| f64::from(*w) * f64::from(v[i])).sum::<f64>() / weight;
            prop_assert!((f64::from(*got) - want).abs() <= 1e-6 * want.abs() + 1e-9, "{got} {want}");
        }
    }
}

#[test]
fn ten_thousand_full_size_terms_do_not_overflow() {
    let mut sum = ExactSum::new(&[Lane::INTEGER], 1);
    for _ in 0..1000 {
        sum.add(0, LARGEST_WEIGHT - 1.0, &[LARGEST_VALUE - 1.0])
            .unwrap();
    }
    assert_eq!(sum.mean(0), [LARGEST_VALUE - 1.0]);
    let mut small = ExactSum::new(&[Lane::INTEGER], 1);
    for _ in 0..10_000 {
        small.add(0, 1.0, &[0.1]).unwrap();
    }
    assert_eq!(small.mean(0), [0.1]);
    assert_eq!(small.terms(0), 10_000);
}

#[test]
fn merging_full_units_does_not_overflow() {
    let part = || {
        let mut part = ExactSum::new(&[Lane::INTEGER], 1);
        (0..4095).for_each(|_| part.add(0, 1.0, &[0.124]).unwrap());
        part
    };
    let mut sum = part();
    (0..10).for_each(|_| sum.merge(&part()).unwrap());
    assert_eq!(sum.mean(0), [0.124]);
    let mut small = ExactSum::new(&[Lane::INTEGER], 1);
    (0..10).for_each(|_| small.merge(&part()).unwrap());
    small.merge(&sum).unwrap();
    assert_eq!(small.mean(0), [0.124]);
}

#[test]
fn a_bad_vector_changes_nothing() {
    let mut sum = ExactSum::new(&[Lane::INTEGER], 2);
    sum.add(0, 2.0, &[1.0, 2.0]).unwrap();
    let before = sum.clone();
    for bad in [f32::NAN, f32::INFINITY, -2e6] {
        assert!(matches!(
            sum.add(0, 1.0, &[0.0, bad]),
            Err(SumError::Value { index: 1, .. })
        ));
    }
    assert_eq!(sum.add(0, -1.0, &[0.0, 0.0]), Err(SumError::Weight(-1.0)));
    assert!(sum.add(0, f64::NAN, &[0.0, 0.0]).is_err());
    assert!(sum.add(1, 1.0, &[0.0, 0.0]).is_err());
    let mut two = ExactSum::new(&[Lane::INTEGER, Lane::SCALAR], 2);
    let term = two
        .admit(vec![(1.0, vec![1.0, 2.0].into()), (3.0, vec![].into())])
        .unwrap();
    two.fold(&[term]).unwrap();
    for bad in [
        vec![(1.0, vec![1.0, 2.0].into()), (-1.0, vec![].into())],
        vec![(1.0, vec![1.0, f32::NAN].into()), (3.0, vec![].into())],
        vec![(1.0, vec![1.0].into()), (3.0, vec![].into())],
        vec![(1.0, vec![1.0, 2.0].into())],
    ] {
        assert!(two.admit(bad).is_err());
    }
    assert_eq!(sum, before);
}

#[test]
fn real_weights_keep_sixteen_binary_places() {
    let mut sum = ExactSum::new(&[Lane::REAL], 1);
    sum.add(0, 0.25, &[4.0]).unwrap();
    sum.add(0, 0.75, &[8.0]).unwrap();
    assert_eq!((sum.mean(0)[0], sum.weight(0)), (7.0, 1.0));
}

/// One weight, then two statistics.
fn with_statistics() -> Grid {
    let mut layout = Layout::weights(1);
    layout.push("variance", vec![2], Role::Statistic);
    Grid::from(&layout)
}

fn statistics() -> impl Strategy<Value = Vec<(u32, [f32; 3])>> {
    let any = prop_oneof![
        -1e6_f32..1e6,
        -1e9_f32..1e9,
        any::<f32>().prop_filter("finite", |v| v.is_finite()),
        Just(f32::MAX),
        Just(1.617e8),
        Just(LARGEST_VALUE),
    ];
    let values = (-1e6_f32..1e6, any.clone(), any).prop_map(|(w, a, b)| [w, a, b]);
    prop::collection::vec((1_u32..1 << 28, values), 1..30)
}

/// The sum as a whole number of 2^-149, which every product of a weight and a value is, in words of 32 bits.
#[derive(Clone, Default)]
struct Whole([i128; 12]);

impl Whole {
    fn add(&mut self, weight: u32, value: f32) {
        let bits = value.to_bits();
        let (exponent, digits) = ((bits >> 23 & 0xff) as usize, bits & 0x7f_ffff);
        let (shift, digits) = match exponent {
            0 => (0, digits),
            _ => (exponent - 1, digits | 0x80_0000),
        };
        let sign = if value < 0.0 { -1 } else { 1 };
        let term = (i128::from(weight) * i128::from(digits)) << (shift % 32);
        self.0[shift / 32] += sign * term;
    }

    fn divided(&self, divisor: f64) -> f64 {
        let mut words = self.0;
        for at in 0..11 {
            words[at + 1] += words[at] >> 32;
            words[at] &= (1 << 32) - 1;
        }
        // From the sign down, so that all that cancels does so exactly.
        let parts = words.iter().enumerate().rev();
        let value =
            |(at, word): (usize, &i128)| *word as f64 * f64::from(32 * at as i32 - 149).exp2();
        parts.map(value).sum::<f64>() / divisor
    }
}

proptest! {
    #[test]
    fn statistics_of_any_size_are_summed_exactly_in_any_order(items in statistics(), cut in 0_usize..30) {
        let add = |items: &mut dyn Iterator<Item = &(u32, [f32; 3])>| {
            let mut sum = ExactSum::new(&[Lane::INTEGER, Lane::SCALAR], with_statistics());
            for (weight, values) in items {
                sum.add(0, f64::from(*weight), values).unwrap();
            }
            sum
        };
        let cut = cut.min(items.len());
        let (whole, mut parts) = (add(&mut items.iter()), add(&mut items[cut..].iter().rev()));
        parts.merge(&add(&mut items[..cut].iter())).unwrap();
        prop_assert_eq!(whole.mean(0), parts.mean(0));
        prop_assert_eq!(whole.to_bytes(), parts.to_bytes());
        prop_assert!(whole.is_within(items.len() as u64) && !whole.is_within(items.len() as u64 - 1));
        let lanes = [Lane::INTEGER, Lane::SCALAR];
        let back = ExactSum::from_bytes(&whole.to_bytes(), &lanes, with_statistics()).unwrap();
        prop_assert_eq!(back.mean(0), whole.mean(0));
        let total: f64 = items.iter().map(|(w, _)| f64::from(*w)).sum();
        for (place, got) in whole.mean(0).into_iter().enumerate() {
            let mut want = Whole::default();
            items.iter().for_each(|(w, v)| want.add(*w, v[place]));
            let want = want.divided(total);
            // Values below 2^20 are rounded to the grid of 2^-54; the mean is rounded to `f32` once, from `f64`.
            prop_assert!((f64::from(got) - want).abs() <= 1.2e-7 * want.abs() + 1e-14, "{got} {want}");
        }
    }

    #[test]
    fn what_is_below_the_limit_has_the_same_bits_among_statistics(items in terms()) {
        let mut among = ExactSum::new(&[Lane::INTEGER], with_statistics());
        items.iter().for_each(|(w, v)| among.add(0, f64::from(*w), v).unwrap());
        prop_assert_eq!(among.mean(0), sum(items.iter()).mean(0));
    }
}

#[test]
fn weights_keep_their_limit_and_the_refusal_names_the_tensor() {
    let mut layout = Layout::weights(1);
    layout.push("0.variance", vec![2], Role::Statistic);
    let mut sum = ExactSum::new(&[Lane::INTEGER], Grid::from(&layout));
    sum.add(0, 3.0, &[1.0, 1.6e8, f32::MIN]).unwrap();
    assert_eq!(sum.mean(0), [1.0, 1.6e8, f32::MIN]);
    let told = |values: &[f32]| {
        let before = sum.clone();
        let refused = sum.clone().add(0, 1.0, values).unwrap_err();
        assert_eq!(sum, before);
        refused.told(&layout)
    };
    let weight = told(&[1.6e8, 0.0, 0.0]);
    assert!(
        weight.contains("`weights`") && weight.contains("below 2^20"),
        "{weight}"
    );
    let variance = told(&[0.0, f32::NAN, 0.0]);
    assert!(
        variance.contains("`0.variance`") && !variance.contains("2^20"),
        "{variance}"
    );
}

#[test]
fn what_is_forgotten_is_zero_and_the_weight_stays() {
    let mut sum = ExactSum::new(&[Lane::INTEGER], with_statistics());
    sum.add(0, 2.0, &[1.0, 3e9, 5.0]).unwrap();
    sum.forget(&(1..3));
    assert_eq!((sum.mean(0), sum.weight(0)), (vec![1.0, 0.0, 0.0], 2.0));
    sum.forget(&(0..1));
    assert_eq!(sum.mean(0), [0.0; 3]);
}

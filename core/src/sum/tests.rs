use super::*;
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

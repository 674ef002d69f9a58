use super::*;
use lyceum_core::{
    Directive, Halves, Params, RoundOutcome, RunView, Seed, Steering, TaskId, TrainedModel,
};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use std::collections::BTreeMap;

const HALVES: Halves = Halves { len: 2 };

/// Means and deviations as a model.
fn model(means: [f64; 2], deviations: [f64; 2]) -> Params {
    let all = means.into_iter().chain(deviations.map(f64::ln));
    all.map(|v| v as f32).collect::<Vec<_>>().into()
}

/// Of one weight, by the integral of the squared difference of the quantile functions over the normal law.
#[test]
fn the_wasserstein_distance_equals_its_integral() {
    let halves = Halves { len: 1 };
    for (a, b) in [((0.3, 0.5), (-1.1, 2.0)), ((0.0, 1.0), (0.0, 0.25))] {
        let params = |(m, s): (f64, f64)| vec![m as f32, s.ln() as f32];
        let value = |(m, s): (f64, f64)| (f64::from(m as f32), f64::from(s.ln() as f32).exp());
        let ((m, s), (n, t)) = (value(a), value(b));
        let step = 1e-3;
        let terms = (-12_000..=12_000).map(|k| {
            let z = f64::from(k) * step;
            let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
            ((m + s * z) - (n + t * z)).powi(2) * density * step
        });
        let want = terms.sum::<f64>().sqrt();
        let got = Distance::Wasserstein.between(halves, &params(a), &params(b));
        assert!((got - want).abs() < 1e-6, "{got} {want}");
    }
}

/// Copies of weights change no distance by Wasserstein, and one over the root of their number by the published rule.
#[test]
fn a_threshold_means_the_same_for_every_size_of_model() {
    let (a, b) = (model([0.1, 0.2], [0.5, 0.6]), model([0.4, 0.2], [0.3, 0.6]));
    let twice = |m: &Params| [&m[..2], &m[..2], &m[2..], &m[2..]].concat();
    let large = Halves { len: 4 };
    let pair = |d: Distance| {
        let small = d.between(HALVES, &a, &b);
        (small, d.between(large, &twice(&a), &twice(&b)))
    };
    let (small, both) = pair(Distance::Wasserstein);
    assert!((small - both).abs() < 1e-12);
    assert!((small - (0.13_f64 / 2.0).sqrt()).abs() < 1e-6);
    let (small, both) = pair(Distance::Published);
    assert!((small / both - 2.0_f64.sqrt()).abs() < 1e-12);
    assert!((small - (0.15 + 0.1 / 2.0_f64.sqrt())).abs() < 1e-6);
}

/// Against tables: Abramowitz and Stegun, 26.5 and 26.8.
#[test]
fn quantiles_are_those_of_tables() {
    for (probability, want) in [(0.975, 1.959_964), (0.5, 0.0), (0.005, -2.575_829)] {
        assert!((normal_quantile(probability) - want).abs() < 1e-6);
    }
    for (probability, degrees, want) in [
        (0.99, 1, 6.634_897),
        (0.95, 10, 18.307_038),
        (0.9, 100, 118.498_004),
        (0.99, 500, 576.492_8),
    ] {
        let got = chi_squared_quantile(probability, degrees);
        assert!((got / want - 1.0).abs() < 1e-4, "{degrees}: {got} {want}");
    }
}

#[test]
fn regions_hold_the_mass_that_they_are_named_by() {
    const WEIGHTS: usize = 513;
    let mut rng = rand::rngs::ChaCha12Rng::seed_from_u64(5);
    let draws: Vec<Vec<f64>> = (0..20_000)
        .map(|_| {
            (0..WEIGHTS)
                .map(|_| StandardNormal.sample(&mut rng))
                .collect()
        })
        .collect();
    for alpha in [0.25, 0.1, 0.01] {
        let radius = |kind| Region { kind, alpha }.radius(WEIGHTS);
        let within = |radius: f64| {
            let inside = draws.iter().flatten().filter(|z| z.abs() <= radius).count();
            inside as f64 / (draws.len() * WEIGHTS) as f64
        };
        let of_box = within(radius(RegionKind::Box));
        assert!((of_box - (1.0 - alpha)).abs() < 0.001, "{of_box}");
        let published = within(radius(RegionKind::Published));
        assert!((published - alpha).abs() < 0.001, "{published}");
        let square = radius(RegionKind::Ellipsoid).powi(2);
        let inside = draws
            .iter()
            .filter(|d| d.iter().map(|z| z * z).sum::<f64>() <= square);
        let joint = inside.count() as f64 / draws.len() as f64;
        assert!((joint - (1.0 - alpha)).abs() < 0.01, "{joint}");
    }
}

#[test]
fn models_are_drawn_within_their_region_and_by_their_address() {
    let of = Combined {
        means: vec![1.0, -2.0, 0.5],
        deviations: vec![0.1, 2.0, 1.0],
    };
    for kind in RegionKind::ALL {
        let region = Region { kind, alpha: 0.2 };
        let radius = region.radius(3);
        let mut steps = Vec::new();
        for number in 0..500 {
            let draw = region.draw(Seed(3), (1, number), &of);
            assert_eq!(draw, region.draw(Seed(3), (1, number), &of));
            assert_ne!(draw, region.draw(Seed(3), (2, number), &of));
            let sites = draw.iter().zip(&of.means).zip(&of.deviations);
            let z: Vec<f64> = sites.map(|((d, m), s)| f64::from((d - m) / s)).collect();
            let size = match kind {
                RegionKind::Ellipsoid => z.iter().map(|z| z * z).sum::<f64>().sqrt(),
                _ => z.iter().fold(0.0, |most: f64, z| most.max(z.abs())),
            };
            assert!(size <= radius + 1e-5, "{kind:?}: {z:?}");
            steps.push((z, size));
        }
        // The region is used to its edge, and weights move by themselves unless the published code says otherwise.
        assert!(steps.iter().any(|(_, size)| *size > 0.9 * radius));
        let apart = steps
            .iter()
            .filter(|(z, _)| (z[0] - z[1]).abs() > 1e-3)
            .count();
        assert_eq!(apart == 0, kind == RegionKind::Published);
    }
}

#[test]
fn a_combination_is_linear_in_deviations_or_variances() {
    let (a, b) = (
        model([1.0, 2.0], [1.0, 3.0]),
        model([3.0, -2.0], [2.0, 4.0]),
    );
    let of = [(&a, 0.25), (&b, 0.75)];
    let by_deviation = combine(CombineOn::Deviations, HALVES, &of);
    assert_eq!(by_deviation.means, [2.5, -1.0]);
    let near = |got: &[f32], want: [f64; 2]| {
        let pairs = got.iter().zip(want);
        pairs.for_each(|(g, w)| assert!((f64::from(*g) - w).abs() < 1e-5, "{got:?}"));
    };
    near(&by_deviation.deviations, [1.75, 3.75]);
    let by_variance = combine(CombineOn::Variances, HALVES, &of);
    near(&by_variance.deviations, [3.25_f64.sqrt(), 14.25_f64.sqrt()]);
}

#[test]
fn preferences_that_are_none_say_why() {
    let told = |weights: &[f64]| check_preference(weights, 3).unwrap_err().to_string();
    assert!(check_preference(&[0.2, 0.5, 0.3], 3).is_ok());
    assert!(told(&[0.5, 0.5]).contains("expected 3, found 2"));
    assert!(told(&[1.2, -0.2, 0.0]).contains("weight 1 of the preference is -0.2"));
    assert!(told(&[f64::NAN, 0.5, 0.5]).contains("weight 0 of the preference is NaN"));
    assert!(told(&[0.2, 0.2, 0.2]).contains("sum to 0.6"));
}

/// Learns tasks, one after another, whose posteriors are given: one list of means a task.
fn learn(rule: &Ibcl, tasks: &[&[[f64; 2]]]) -> (Knowledge, BTreeMap<String, Params>) {
    let mut state = rule.init();
    let mut models: BTreeMap<String, Params> =
        rule.first_models(4, Some(HALVES)).into_iter().collect();
    let rounds: Vec<(usize, [f64; 2])> = tasks
        .iter()
        .enumerate()
        .flat_map(|(task, all)| all.iter().map(move |means| (task, *means)))
        .collect();
    for (round, (task, means)) in rounds.iter().enumerate() {
        let prior = round - rounds.iter().position(|(t, _)| t == task).unwrap_or(0);
        let name = format!("posterior.{task}.{prior}");
        models.insert(name.clone(), model(*means, [0.5, 0.5]));
        let last = rounds.get(round + 1).is_none_or(|(next, _)| next != task);
        let stay = RunView {
            round: lyceum_core::Round(round as u64 + 1),
            models: Vec::new(),
            tasks: 1,
            clients: 1,
            stream: None,
        };
        let by_name = models
            .iter()
            .map(|(name, params)| (name.as_str(), params))
            .collect();
        let directives = rule.absorb(
            &mut state,
            &RoundOutcome {
                round: lyceum_core::Round(round as u64),
                trained: &[TrainedModel {
                    model: &name,
                    params: &models[&name],
                    reports: &[],
                }],
                tallies: &BTreeMap::new(),
                models: &by_name,
                halves: Some(HALVES),
                // Without a stream the next round is at task 0.
                now: Some(&stay),
                next: (!last && *task == 0).then_some(&stay),
            },
        );
        for directive in directives {
            if let Directive::Forget { model } = directive {
                models.remove(&model);
            }
        }
        if !last && *task > 0 {
            panic!("tasks after the first have one posterior in this test");
        }
    }
    (state, models)
}

fn rule(priors: usize, threshold: f64) -> Ibcl {
    Ibcl {
        priors: vec![0.5; priors],
        threshold,
        distance: Distance::Wasserstein,
        start: Beginning::First,
        afresh: false,
    }
}

#[test]
fn posteriors_that_are_near_are_given_up_for_those_that_are_there() {
    let tasks: [&[[f64; 2]]; 4] = [&[[0.0, 0.0]], &[[1.0, 0.0]], &[[0.1, 0.0]], &[[1.0, 0.1]]];
    let kept = |threshold| {
        let (state, models) = learn(&rule(1, threshold), &tasks);
        let names: Vec<String> = state.kept().into_iter().map(String::from).collect();
        assert!(names.iter().all(|name| models.contains_key(name)));
        let there = models
            .keys()
            .filter(|name| name.starts_with("posterior."))
            .count();
        assert_eq!(there, names.len());
        names.len()
    };
    // 0.1 / sqrt(2) apart: nothing, then both pairs, then everything.
    assert_eq!([0.0, 0.05, 0.08, 1.0].map(kept), [4, 4, 2, 1]);
    let (state, _) = learn(&rule(1, 0.08), &tasks);
    let models: Vec<&str> = state.points.iter().map(|p| p.model.as_str()).collect();
    assert_eq!(
        models,
        [
            "posterior.0.0",
            "posterior.1.0",
            "posterior.0.0",
            "posterior.1.0"
        ]
    );
    let priors: Vec<&str> = state
        .points
        .iter()
        .map(|p| p.prior_model.as_str())
        .collect();
    assert_eq!(
        priors,
        ["prior.0", "posterior.0.0", "posterior.1.0", "posterior.0.0"]
    );
}

/// A preference for one task alone is the mean of that task's posteriors, or of those that stand for them.
#[test]
fn a_preference_shares_its_weights_out_among_the_posteriors_of_tasks() {
    let tasks: [&[[f64; 2]]; 2] = [&[[0.0, 0.0], [2.0, 0.0]], &[[2.0, 0.01]]];
    let (state, models) = learn(&rule(2, 0.05), &tasks);
    let learned = [TaskId(0), TaskId(1)];
    let named = |weights: [f64; 2]| state.preferred(&learned, &weights);
    let (first, second) = ("posterior.0.0".to_owned(), "posterior.0.1".to_owned());
    assert_eq!(
        named([1.0, 0.0]),
        [(first.clone(), 0.5), (second.clone(), 0.5)]
    );
    assert_eq!(named([0.0, 1.0]), [(second.clone(), 1.0)]);
    assert_eq!(named([0.5, 0.5]), [(first, 0.25), (second, 0.75)]);
    let of: Vec<(&Params, f64)> = named([1.0, 0.0])
        .iter()
        .map(|(n, w)| (&models[n], *w))
        .collect();
    assert_eq!(
        combine(CombineOn::Deviations, HALVES, &of).means,
        [1.0, 0.0]
    );
    assert!(Steering::preferred(&rule(2, 0.05), &state, &[0.5, 0.6]).is_err());
}

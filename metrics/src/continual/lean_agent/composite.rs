//! One number per setup, relative to the setups beside it.

use super::LeanAgent;

/// The composite of a setup and what went into it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Composite {
    /// The measures scaled to 0..1 over the compared setups.
    pub scaled: LeanAgent,
    /// The weighted sum.
    pub score: f64,
}

/// The composite score of each of several setups, in their order: every measure is scaled to 0..1
/// between its least and largest value over the setups (1 if all are equal), then
/// 0.2 (1 - WF) + 0.2 (1 - FM) + 0.2 CFR + 0.2 EBWT + 0.1 WP + 0.1 IP.
///
/// `None` if there are no setups or one lacks a measure. **It is relative: one more setup changes
/// everybody's score.** It stands in the authors' script only, not in the paper; give it measures in
/// either form. Where all setups are equal in forgetting, they score as if all forgot the most.
pub fn composites(setups: &[LeanAgent]) -> Option<Vec<Composite>> {
    let wf = scaled(setups, |setup| setup.wf)?;
    let fm = scaled(setups, |setup| setup.fm)?;
    let cfr = scaled(setups, |setup| setup.cfr)?;
    let ebwt = scaled(setups, |setup| setup.ebwt)?;
    let wp = scaled(setups, |setup| setup.wp)?;
    let ip = scaled(setups, |setup| setup.ip)?;
    let composite = |i: usize| Composite {
        score: 0.2 * (1.0 - wf[i])
            + 0.2 * (1.0 - fm[i])
            + 0.2 * cfr[i]
            + 0.2 * ebwt[i]
            + 0.1 * wp[i]
            + 0.1 * ip[i],
        scaled: LeanAgent {
            wf: Some(wf[i]),
            fm: Some(fm[i]),
            cfr: Some(cfr[i]),
            ebwt: Some(ebwt[i]),
            wp: Some(wp[i]),
            ip: Some(ip[i]),
        },
    };
    Some((0..setups.len()).map(composite).collect())
}

fn scaled(setups: &[LeanAgent], of: impl Fn(&LeanAgent) -> Option<f64>) -> Option<Vec<f64>> {
    let values: Vec<f64> = setups.iter().map(of).collect::<Option<_>>()?;
    let least = values.iter().copied().reduce(f64::min)?;
    let most = values.iter().copied().reduce(f64::max)?;
    let scale = |value: f64| {
        if most > least {
            (value - least) / (most - least)
        } else {
            1.0
        }
    };
    Some(values.into_iter().map(scale).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::measures::tests::close;

    fn setup(values: [f64; 6]) -> LeanAgent {
        let [wf, fm, cfr, ebwt, wp, ip] = values.map(Some);
        LeanAgent {
            wf,
            fm,
            cfr,
            ebwt,
            wp,
            ip,
        }
    }

    /// The published table of the four setups that learn one task after another, and its composites,
    /// to what the two printed decimals allow.
    #[test]
    fn the_published_composites_follow_from_the_published_measures() {
        let table = [
            [0.18, 0.85, 0.88, 1.21, 2.47, 1.02],
            [7.60, 6.53, 0.87, 0.51, 0.89, 0.36],
            [7.17, 4.04, 0.88, 1.04, 1.47, 0.26],
            [0.73, 2.11, 0.85, 0.76, 3.42, 1.06],
        ];
        let found = composites(&table.map(setup)).unwrap();
        for (composite, expected) in found.iter().zip([0.9357, 0.1649, 0.4736, 0.6107]) {
            assert!((composite.score - expected).abs() < 0.05, "{composite:?}");
        }
    }

    /// Two setups: one is best in all but IP, where they are equal (1 for both): 0.2 x 4 + 0.1 + 0.1
    /// = 1; the other has 0 everywhere but IP: 0.1.
    #[test]
    fn two_setups_by_hand() {
        let found = composites(&[
            setup([0.0, 0.1, 0.9, 0.5, 0.3, 0.2]),
            setup([0.2, 0.3, 0.8, 0.1, 0.1, 0.2]),
        ]);
        let found = found.unwrap();
        close(Some(found[0].score), 1.0);
        close(Some(found[1].score), 0.1);
        assert_eq!(found[1].scaled.ip, Some(1.0));
    }

    #[test]
    fn a_missing_measure_leaves_no_composite() {
        let mut lacking = setup([0.0; 6]);
        lacking.ip = None;
        assert_eq!(composites(&[setup([0.0; 6]), lacking]), None);
        assert_eq!(composites(&[]), None);
    }
}

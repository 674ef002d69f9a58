//! Convolutions of sizes around the parts in which they are computed, against plain sums over integers: in any order exact.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use lyceum_core::{Backward, Forward, LayerKind, Mode};
use lyceum_layers::{Conv2d, Pad, PaddingMode, Pair};

struct Case {
    rows: usize,
    input: [usize; 3],
    layer: Conv2d,
}

fn case(rows: usize, input: [usize; 3], [channels, kernel, groups]: [usize; 3]) -> Case {
    let layer = Conv2d {
        channels,
        kernel: Pair::Both(kernel),
        stride: Pair::Both(1),
        padding: Pad::Places(Pair::Both(0)),
        padding_mode: PaddingMode::Zeros,
        groups,
        dilation: Pair::Both(1),
        bias: true,
    };
    Case { rows, input, layer }
}

/// Small integers that repeat themselves late.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len)
        .map(|at| ((at * 7 + at / 11 + seed) % 5) as f32 - 2.0)
        .collect()
}

/// Values of a case: parameters, input, slope.
type Values = [Vec<f32>; 3];

/// Output, gradient and slope at the input, term by term.
fn plain(case: &Case, [params, input, slope]: &Values, out: &[usize]) -> Values {
    let Conv2d {
        channels, groups, ..
    } = case.layer;
    let ([kernel, _], [step, _], [gap, _]) = (
        case.layer.kernel.sides(),
        case.layer.stride.sides(),
        case.layer.dilation.sides(),
    );
    let Pad::Places(border) = case.layer.padding else {
        panic!("a number")
    };
    let border = border.sides()[0];
    let [inputs, height, width] = case.input;
    let (share, places) = (inputs / groups, out[1] * out[2]);
    let weights = channels * share * kernel * kernel;
    let mut made = [
        vec![0.0; slope.len()],
        vec![0.0; params.len()],
        vec![0.0; input.len()],
    ];
    for at in 0..slope.len() {
        let (row, channel) = (at / (channels * places), at / places % channels);
        let (y, x) = (at / out[2] % out[1], at % out[2]);
        made[0][at] += params[weights + channel];
        made[1][weights + channel] += slope[at];
        for tap in 0..share * kernel * kernel {
            let (ky, kx) = (tap / kernel % kernel, tap % kernel);
            let (below_y, below_x) = (y * step + ky * gap, x * step + kx * gap);
            let inside = (border..border + height).contains(&below_y)
                && (border..border + width).contains(&below_x);
            if !inside {
                continue;
            }
            let plane = channel / (channels / groups) * share + tap / (kernel * kernel);
            let line = (row * inputs + plane) * height + below_y - border;
            let from = line * width + below_x - border;
            let weight = channel * share * kernel * kernel + tap;
            made[0][at] += params[weight] * input[from];
            made[1][weight] += slope[at] * input[from];
            made[2][from] += slope[at] * params[weight];
        }
    }
    made
}

/// What the layer makes of it.
fn computed(case: &Case, [params, input, slope]: &Values) -> Values {
    let mut operation = case.layer.operation(0, &case.input);
    let mut made = [slope, params, input].map(|like| vec![f32::NAN; like.len()]);
    let [output, gradient, next] = &mut made;
    operation.forward(Forward {
        params,
        input,
        rows: case.rows,
        mode: Mode::Evaluate,
        output,
    });
    operation.backward(Backward {
        params,
        input,
        output,
        slope: &mut slope.clone(),
        rows: case.rows,
        gradient,
        wanted: Some(next),
    });
    made
}

fn check(case: &Case) {
    let out = case.layer.output(&case.input).unwrap();
    let tensors = case.layer.tensors(&case.input);
    let params: usize = tensors
        .iter()
        .map(|t| t.shape.iter().product::<usize>())
        .sum();
    let [inputs, outputs] = [&case.input[..], &out].map(|s| s.iter().product::<usize>());
    let given = [
        values(params, 1),
        values(case.rows * inputs, 2),
        values(case.rows * outputs, 3),
    ];
    let (got, want) = (computed(case, &given), plain(case, &given, &out));
    for (what, (got, want)) in ["output", "gradient", "slope"]
        .iter()
        .zip(got.iter().zip(&want))
    {
        let off = got.iter().zip(want).position(|(g, w)| g != w);
        let shown = off.map(|at| (at, got[at], want[at]));
        assert_eq!(shown, None, "{what} of {:?}", case.layer);
    }
}

/// Several small images in a part, and one that is left over; several parts in an image, in the midst of lines.
#[test]
fn parts_of_any_size_give_exact_sums() {
    check(&case(70, [3, 4, 4], [5, 3, 1]));
    check(&case(2, [2, 19, 31], [6, 2, 2]));
    check(&case(2, [40, 13, 11], [17, 3, 1]));
    check(&case(3, [300, 5, 9], [4, 3, 2]));
    check(&case(3, [6, 20, 33], [12, 3, 6]));
}

#[test]
fn borders_steps_and_gaps_give_exact_sums() {
    for groups in [1, 2, 4] {
        let mut case = case(5, [4, 21, 18], [8, 3, groups]);
        case.layer.padding = Pad::Places(Pair::Both(2));
        check(&case);
        case.layer.stride = Pair::Both(2);
        check(&case);
        case.layer.dilation = Pair::Both(3);
        check(&case);
    }
}

/// What a user may have said wrong, and what would be right.
#[test]
fn sizes_that_do_not_go_together_are_refused() {
    let refused = |change: fn(&mut Conv2d)| {
        let mut case = case(1, [4, 6, 6], [8, 3, 1]);
        change(&mut case.layer);
        case.layer.output(&case.input).unwrap_err()
    };
    let all = [
        refused(|layer| layer.groups = 3),
        refused(|layer| layer.kernel = Pair::Both(7)),
        refused(|layer| layer.stride = Pair::Both(0)),
        refused(|layer| layer.dilation = Pair::Both(usize::MAX)),
        refused(|layer| {
            layer.padding = Pad::Same(lyceum_layers::Same::Same);
            layer.stride = Pair::Both(2);
        }),
        refused(|layer| {
            layer.padding = Pad::Places(Pair::Both(6));
            layer.padding_mode = PaddingMode::Reflect;
        }),
        refused(|layer| {
            layer.padding = Pad::Places(Pair::Both(1 << 29));
            layer.stride = Pair::Both(1 << 29);
        }),
    ];
    let words = [
        "3 groups do not divide 4 input channels evenly",
        "a window over 7 places does not fit into a side of 6",
        "stride 0 is out of range: from 1 to",
        "dilation 18446744073709551615 is out of range",
        "goes with a stride of 1 alone, but stride is 2",
        "a border of 6 is too wide for a side of 6",
        "larger than 1073741824 values: use less padding",
    ];
    for (message, words) in all.iter().zip(words) {
        assert!(message.contains(words), "{message}");
    }
}

//! Networks whose dense layers draw what they give.

use super::row;
use lyceum_core::{Batch, Layer, Network, Noise};

/// Logits of one draw, rows x classes.
pub(crate) fn logits(network: &Network, params: &[f64], batch: &Batch, noise: Noise) -> Vec<f64> {
    let len = network.halves().expect("a variational network").len;
    let mut values: Vec<f64> = batch.inputs.iter().map(|&v| f64::from(v)).collect();
    let (mut place, rows) = (0, batch.rows());
    let layers = network.layers().iter().enumerate();
    for ((index, layer), shapes) in layers.zip(network.shapes().windows(2)) {
        match *layer {
            Layer::Dense { units } => {
                let inputs = shapes[0][0];
                let size = units * (inputs + 1);
                let (means, rhos) = (&params[place..][..size], &params[len + place..][..size]);
                place += size;
                let mut normal = vec![0.0; units * rows];
                noise.local(index, &mut normal);
                values = dense(units, (means, rhos), &values, &normal);
            }
            Layer::Dropout { share } => {
                let mut mask = vec![0.0; values.len()];
                noise.mask(index, share, &mut mask);
                let kept = values.iter_mut().zip(mask);
                kept.for_each(|(v, m)| *v *= f64::from(m));
            }
            _ => {
                let width = values.len() / rows;
                let lines = values.chunks_exact(width);
                let of_row = |x: &[f64]| row(layer, &shapes[0], &shapes[1], &[], &[], x);
                values = lines.flat_map(of_row).collect();
            }
        }
    }
    values
}

/// Equation 6 of Kingma, Salimans and Welling (2015), with the bias as the weight of an input that is always 1.
fn dense(
    units: usize,
    (means, rhos): (&[f64], &[f64]),
    values: &[f64],
    normal: &[f32],
) -> Vec<f64> {
    let inputs = means.len() / units - 1;
    let rows = values.len() / inputs;
    let mut out = Vec::new();
    for (row, x) in values.chunks_exact(inputs).enumerate() {
        for unit in 0..units {
            let bias = units * inputs + unit;
            let (mut mean, mut variance) = (means[bias], (2.0 * rhos[bias]).exp());
            for (i, x) in x.iter().enumerate() {
                let weight = unit * inputs + i;
                mean += means[weight] * x;
                variance += (2.0 * rhos[weight]).exp() * x * x;
            }
            let drawn = f64::from(normal[unit * rows + row]);
            out.push(mean + variance.sqrt() * drawn);
        }
    }
    out
}

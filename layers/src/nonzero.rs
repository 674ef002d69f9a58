//! Products with rows of which few values are not zero, as bags of words are.

use crate::{kernel::Marks, room};
use lyceum_core::{Sparse, wide};

/// Fewest values of a row for which its zeros are looked for.
const WORTH_LOOKING: usize = 64;
/// Share of values that are not zero up to which they are taken one by one.
const FEW: f64 = 0.08;

/// The values of rows that are not zero. Buffers only ever grow.
#[derive(Debug, Default)]
pub(crate) struct Nonzero {
    marks: Marks,
    /// Where each row ends in the others.
    ends: Vec<u32>,
    places: Vec<u32>,
    values: Vec<f32>,
    /// The same by place: where each place begins, and rows with values.
    starts: Vec<u32>,
    rows: Vec<u32>,
    by_place: Vec<f32>,
}

impl Nonzero {
    /// Takes up rows of `width` values, if few of them are not zero.
    pub(crate) fn take_up(&mut self, input: &[f32], width: usize) -> bool {
        if width < WORTH_LOOKING || !looks_empty(input, width) {
            return false;
        }
        self.marks.mark(input, width);
        if !self.marks.are_within(FEW) {
            return false;
        }
        self.ends.clear();
        self.places.clear();
        self.values.clear();
        for (row, values) in input.chunks_exact(width).enumerate() {
            for place in self.marks.places(row) {
                self.places.push(place as u32);
                self.values.push(values[place]);
            }
            self.ends.push(self.places.len() as u32);
        }
        true
    }

    /// Takes up rows of which the values are known: each is several of `width` values, one behind the other. `false` where they are
    /// not few.
    pub(crate) fn take_known(&mut self, rows: &Sparse, (all, width): (usize, usize)) -> bool {
        if rows.kept().len() as f64 > FEW * all as f64 {
            return false;
        }
        self.ends.clear();
        self.places.clear();
        self.values.clear();
        let each = all / width / rows.len().max(1);
        for row in 0..rows.len() {
            let (places, values) = rows.row(row);
            let mut from = 0;
            for part in 0..each {
                let first = (part * width) as u32;
                let end = first + width as u32;
                let to = from + places[from..].partition_point(|&place| place < end);
                self.places
                    .extend(places[from..to].iter().map(|place| place - first));
                self.values.extend_from_slice(&values[from..to]);
                self.ends.push(self.places.len() as u32);
                from = to;
            }
        }
        true
    }

    /// Writes the product with weights, width x units.
    pub(crate) fn times(&self, weights: &[f32], units: usize, out: &mut [f32]) {
        let mut start = 0;
        let rows = out.chunks_exact_mut(units).zip(&self.ends);
        let mut rows = rows.map(|(out, &end)| {
            let from = std::mem::replace(&mut start, end as usize);
            (out, from..end as usize)
        });
        wide(
            #[inline(always)]
            || {
                for (out, range) in rows.by_ref() {
                    out.fill(0.0);
                    let kept = self.places[range.clone()].iter().zip(&self.values[range]);
                    for (&place, &value) in kept {
                        let line = &weights[place as usize * units..][..units];
                        out.iter_mut().zip(line).for_each(|(o, w)| *o += value * w);
                    }
                }
            },
        );
    }

    /// Writes the gradient of weights, width x units, for a slope of rows x units.
    pub(crate) fn gradient(&mut self, slope: &[f32], width: usize, gradient: &mut [f32]) {
        self.sort(width);
        let units = gradient.len() / width;
        let Self {
            starts,
            rows,
            by_place,
            ..
        } = self;
        let mut lines = gradient.chunks_exact_mut(units).zip(starts.windows(2));
        wide(
            #[inline(always)]
            || {
                for (line, ends) in lines.by_ref() {
                    line.fill(0.0);
                    let range = ends[0] as usize..ends[1] as usize;
                    for (&row, &value) in rows[range.clone()].iter().zip(&by_place[range]) {
                        let slope = &slope[row as usize * units..][..units];
                        line.iter_mut()
                            .zip(slope)
                            .for_each(|(g, s)| *g += value * s);
                    }
                }
            },
        );
    }

    /// Sorts the values by place, and by row within a place.
    fn sort(&mut self, width: usize) {
        let starts = room(&mut self.starts, width + 2);
        starts.fill(0);
        self.places
            .iter()
            .for_each(|&place| starts[place as usize + 2] += 1);
        for place in 2..width + 2 {
            starts[place] += starts[place - 1];
        }
        let rows = room(&mut self.rows, self.places.len());
        let values = room(&mut self.by_place, self.places.len());
        let mut from = 0;
        for (row, &end) in (0..).zip(&self.ends) {
            let range = std::mem::replace(&mut from, end as usize)..end as usize;
            for (&place, &value) in self.places[range.clone()].iter().zip(&self.values[range]) {
                let at = &mut starts[place as usize + 1];
                rows[*at as usize] = row;
                values[*at as usize] = value;
                *at += 1;
            }
        }
    }
}

/// Whether the first two rows are nearly all zero.
fn looks_empty(input: &[f32], width: usize) -> bool {
    let some = &input[..input.len().min(2 * width)];
    let kept = some.iter().filter(|v| **v != 0.0).count();
    kept as f64 <= 2.0 * FEW * some.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_with_few_values_are_products() {
        for (rows, width, units) in [(3, 600, 5), (1, 515, 16), (40, 1024, 24)] {
            let value = |i: usize| match i % 31 {
                0 => (i % 7) as f32 - 2.5,
                _ => 0.0,
            };
            let input: Vec<f32> = (0..rows * width).map(value).collect();
            let weights: Vec<f32> = (0..width * units).map(|i| (i % 13) as f32 - 6.0).collect();
            let slope: Vec<f32> = (0..rows * units).map(|i| (i % 5) as f32 - 2.0).collect();
            let mut few = Nonzero::default();
            assert!(few.take_up(&input, width));
            let (ends, places) = (few.ends.clone(), few.places.clone());
            let mut known = Sparse::default();
            let kept = (0..).zip(&input).filter(|(_, v)| **v != 0.0);
            known.push(kept.map(|(place, v)| (place, *v)));
            assert!(few.take_known(&known, (input.len(), width)));
            assert_eq!((&few.ends, &few.places), (&ends, &places));
            let mut out = vec![f32::NAN; rows * units];
            few.times(&weights, units, &mut out);
            let mut gradient = vec![f32::NAN; width * units];
            few.gradient(&slope, width, &mut gradient);
            for row in 0..rows {
                for unit in 0..units {
                    let at = |k: usize| input[row * width + k] * weights[k * units + unit];
                    let want: f32 = (0..width).map(at).sum();
                    assert_eq!(out[row * units + unit], want);
                }
            }
            for unit in 0..units {
                for place in 0..width {
                    let at = |row: usize| input[row * width + place] * slope[row * units + unit];
                    let want: f32 = (0..rows).map(at).sum();
                    assert_eq!(gradient[place * units + unit], want, "{unit} {place}");
                }
            }
        }
    }

    #[test]
    fn rows_with_many_values_are_left_alone() {
        let mut few = Nonzero::default();
        assert!(!few.take_up(&vec![1.0; 1024], 512));
        assert!(!few.take_up(&vec![0.0; 1024], 32));
        let late = [vec![0.0; 1024], vec![1.0; 1024]].concat();
        assert!(!few.take_up(&late, 512));
    }
}

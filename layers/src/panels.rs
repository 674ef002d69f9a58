//! Units of a recurrent layer sixteen at a time: a *panel*. The weights of a panel's gates lie side by side, so that each product
//! writes what one pass over the gates reads.

use crate::{matrix::Matrix, room};

/// Units of a panel.
pub(crate) const LANES: usize = 16;

/// What is given, and the way through the places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    /// Whether the last state alone is given.
    pub(crate) last: bool,
    /// Whether it goes from the last place to the first.
    pub(crate) reverse: bool,
}

/// Sizes of a layer, and the way through its places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) places: usize,
    pub(crate) features: usize,
    pub(crate) units: usize,
    pub(crate) gates: usize,
    pub(crate) ways: Ways,
}

impl Sizes {
    pub(crate) fn panels(&self) -> usize {
        self.units.div_ceil(LANES)
    }

    /// Gates of a panel.
    pub(crate) fn lines(&self) -> usize {
        self.gates * LANES
    }

    /// Units of a panel, and how many of them there are.
    pub(crate) fn units_of(&self, panel: usize) -> (usize, usize) {
        let first = panel * LANES;
        (first, LANES.min(self.units - first))
    }

    /// The place that a step is at.
    pub(crate) fn place(&self, step: usize) -> usize {
        match self.ways.reverse {
            true => self.places - 1 - step,
            false => step,
        }
    }

    /// Lengths of the four tensors.
    pub(crate) fn lengths(&self) -> [usize; 4] {
        let rows = self.gates * self.units;
        [rows * self.features, rows * self.units, rows, rows]
    }
}

/// Splits tensors that lie one behind the other; the last part is what is left.
pub(crate) fn split(values: &[f32], sizes: Sizes) -> [&[f32]; 5] {
    let mut rest = values;
    let parts = sizes.lengths().map(|len| {
        let (part, more) = rest.split_at(len);
        rest = more;
        part
    });
    let [a, b, c, d] = parts;
    [a, b, c, d, rest]
}

/// One matrix of weights, panel by panel.
#[derive(Debug, Default)]
pub(crate) struct Panels {
    /// gates x width.
    lines: Vec<f32>,
    /// width x gates.
    turned: Vec<f32>,
}

impl Panels {
    /// Lays weights, (gates x units) x width, out in panels; of units that do not exist, zeros.
    pub(crate) fn fill(&mut self, weights: &[f32], width: usize, sizes: Sizes) {
        let len = sizes.panels() * sizes.lines() * width;
        let lines = room(&mut self.lines, len);
        let turned = room(&mut self.turned, len);
        for_panels(sizes, |gate_line, first, count| {
            let from = first * width;
            let to = &mut lines[gate_line * width..][..LANES * width];
            to[..count * width].copy_from_slice(&weights[from..][..count * width]);
            to[count * width..].fill(0.0);
        });
        let panel = sizes.lines() * width;
        let panels = lines
            .chunks_exact(panel)
            .zip(turned.chunks_exact_mut(panel));
        panels.for_each(|(lines, turned)| crate::kernel::transpose(lines, width, turned));
    }

    /// gates x width of a panel.
    pub(crate) fn lines(&self, panel: usize, width: usize, sizes: Sizes) -> Matrix<'_> {
        let len = sizes.lines() * width;
        Matrix::new(&self.lines[panel * len..], sizes.lines(), width)
    }

    /// width x gates of a panel.
    pub(crate) fn turned(&self, panel: usize, width: usize, sizes: Sizes) -> Matrix<'_> {
        let len = sizes.lines() * width;
        Matrix::new(&self.turned[panel * len..], width, sizes.lines())
    }
}

/// Calls `each` for every gate of every panel: its first line in the panels, its first row among the weights, and its units.
pub(crate) fn for_panels(sizes: Sizes, mut each: impl FnMut(usize, usize, usize)) {
    for panel in 0..sizes.panels() {
        let (unit, count) = sizes.units_of(panel);
        for gate in 0..sizes.gates {
            let line = panel * sizes.lines() + gate * LANES;
            each(line, gate * sizes.units + unit, count);
        }
    }
}

/// Takes some units of all rows out, and zeros for those that do not exist.
#[inline(always)]
pub(crate) fn gather(from: &[f32], units: usize, (first, count): (usize, usize), to: &mut [f32]) {
    let rows = from.chunks_exact(units).zip(to.chunks_exact_mut(LANES));
    for (from, to) in rows {
        if let Some(whole) = from[first..].first_chunk::<LANES>() {
            to.copy_from_slice(whole);
        } else {
            to[..count].copy_from_slice(&from[first..]);
            to[count..].fill(0.0);
        }
    }
}

/// Puts some units of all rows back.
#[inline(always)]
pub(crate) fn scatter(from: &[f32], units: usize, (first, count): (usize, usize), to: &mut [f32]) {
    for (from, to) in from.chunks_exact(LANES).zip(to.chunks_exact_mut(units)) {
        match to[first..].first_chunk_mut::<LANES>() {
            Some(whole) => whole.copy_from_slice(from),
            None => to[first..].copy_from_slice(&from[..count]),
        }
    }
}

//! Rows of which most values are zero.

/// Rows of which only the values that are not zero are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse {
    /// Where each row begins in the others, and where the last ends.
    starts: Vec<usize>,
    places: Vec<u32>,
    values: Vec<f32>,
}

impl Default for Sparse {
    fn default() -> Self {
        Self {
            starts: vec![0],
            places: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl Sparse {
    /// Appends a row: places, ascending, with their values.
    pub fn push(&mut self, row: impl Iterator<Item = (u32, f32)>) {
        for (place, value) in row {
            self.places.push(place);
            self.values.push(value);
        }
        self.starts.push(self.places.len());
    }

    /// Forgets all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.starts.truncate(1);
        self.places.clear();
        self.values.clear();
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Places and values of a row.
    pub fn row(&self, index: usize) -> (&[u32], &[f32]) {
        let range = self.starts[index]..self.starts[index + 1];
        (&self.places[range.clone()], &self.values[range])
    }

    /// Writes a row with its zeros to `out`.
    #[inline(always)]
    pub(crate) fn spread(&self, index: usize, out: &mut [f32]) {
        out.fill(0.0);
        let (places, values) = self.row(index);
        let kept = places.iter().zip(values);
        kept.for_each(|(&place, &value)| out[place as usize] = value);
    }

    /// Values that are kept, of all rows.
    pub fn kept(&self) -> &[f32] {
        &self.values
    }
}

/// What of a batch's inputs is not zero. Reused from step to step: what the last batch wrote is taken back value by value, so whoever
/// changes such inputs by other means clears this first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Few {
    rows: Sparse,
}

impl Few {
    /// Nothing is known of the inputs.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// The values of each row, if they are known.
    pub fn rows(&self) -> Option<&Sparse> {
        (!self.rows.is_empty()).then_some(&self.rows)
    }

    /// Writes rows of two parts of `width` values each to inputs, in the place of what they held.
    pub(crate) fn fill<'a>(
        &mut self,
        inputs: &mut Vec<f32>,
        width: usize,
        rows: impl ExactSizeIterator<Item = [(&'a [u32], &'a [f32]); 2]>,
    ) {
        let whole = 2 * width;
        if self.rows.is_empty() || self.rows.len() * whole != inputs.len() {
            inputs.clear();
        }
        for (line, row) in inputs.chunks_exact_mut(whole).zip(0..self.rows.len()) {
            let (places, _) = self.rows.row(row);
            places.iter().for_each(|&place| line[place as usize] = 0.0);
        }
        inputs.resize(rows.len() * whole, 0.0);
        self.rows.clear();
        for (line, [first, second]) in inputs.chunks_exact_mut(whole).zip(rows) {
            let first = first.0.iter().copied().zip(first.1);
            let behind = second.0.iter().map(|place| place + width as u32);
            let kept = first.chain(behind.zip(second.1));
            self.rows
                .push(kept.clone().map(|(place, value)| (place, *value)));
            kept.for_each(|(place, value)| line[place as usize] = *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_before_is_taken_back() {
        let (mut few, mut inputs) = (Few::default(), vec![7.0; 5]);
        type Row<'a> = (&'a [u32], &'a [f32]);
        let (a, b): (Row<'_>, Row<'_>) = ((&[1], &[0.5]), (&[0, 2], &[3.0, 4.0]));
        few.fill(&mut inputs, 3, [[a, b], [b, a]].into_iter());
        let first = [0.0, 0.5, 0.0, 3.0, 0.0, 4.0];
        assert_eq!(inputs[..6], first);
        assert_eq!(inputs[6..], [3.0, 0.0, 4.0, 0.0, 0.5, 0.0]);
        few.fill(&mut inputs, 3, [[a, a]].into_iter());
        assert_eq!(inputs, [0.0, 0.5, 0.0, 0.0, 0.5, 0.0]);
        few.fill(&mut inputs, 3, [[a, b], [a, a]].into_iter());
        assert_eq!(inputs[..6], first);
        let rows = few.rows().expect("they are known");
        assert_eq!(rows.row(0), (&[1, 3, 5][..], &[0.5, 3.0, 4.0][..]));
        few.clear();
        assert_eq!(few.rows(), None);
    }
}

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
        let (places, values): (Vec<u32>, Vec<f32>) = row.unzip();
        self.places.extend(places);
        self.values.extend(values);
        self.starts.push(self.places.len());
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

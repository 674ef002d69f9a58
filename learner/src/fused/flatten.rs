//! Between images (rows x height x width x stored channels) and flat values.

/// Where the values of an image stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Image {
    pub(super) channels: usize,
    /// Channels of a stored position.
    pub(super) stored: usize,
    /// Positions of a channel.
    pub(super) plane: usize,
}

impl Image {
    /// Stored values of one image.
    pub(super) fn values(&self) -> usize {
        self.plane * self.stored
    }

    /// From rows x channels x plane, as batches and dropout masks come.
    pub(super) fn spread_rows(&self, rows: &[f32], out: &mut [f32]) {
        let images = rows
            .chunks_exact(self.channels * self.plane)
            .zip(out.chunks_exact_mut(self.values()));
        for (row, image) in images {
            for (channel, plane) in row.chunks_exact(self.plane).enumerate() {
                let places = image[channel..].iter_mut().step_by(self.stored);
                places.zip(plane).for_each(|(to, from)| *to = *from);
            }
        }
    }

    /// The way back of [`spread_rows`](Self::spread_rows).
    pub(super) fn gather_rows(&self, images: &[f32], out: &mut [f32]) {
        let rows = images
            .chunks_exact(self.values())
            .zip(out.chunks_exact_mut(self.channels * self.plane));
        for (image, row) in rows {
            for (channel, plane) in row.chunks_exact_mut(self.plane).enumerate() {
                let places = image[channel..].iter().step_by(self.stored);
                plane
                    .iter_mut()
                    .zip(places)
                    .for_each(|(to, from)| *to = *from);
            }
        }
    }

    /// To (channels x plane) x rows, as flat layers want them.
    pub(super) fn as_columns(&self, images: &[f32], rows: usize, out: &mut [f32]) {
        for (row, image) in images.chunks_exact(self.values()).enumerate() {
            for (at, position) in image.chunks_exact(self.stored).enumerate() {
                for (channel, value) in position[..self.channels].iter().enumerate() {
                    out[(channel * self.plane + at) * rows + row] = *value;
                }
            }
        }
    }

    /// The way back of [`as_columns`](Self::as_columns); what pads the channels becomes zero.
    pub(super) fn spread_columns(&self, columns: &[f32], rows: usize, out: &mut [f32]) {
        for (row, image) in out.chunks_exact_mut(self.values()).enumerate() {
            for (at, position) in image.chunks_exact_mut(self.stored).enumerate() {
                let (used, padding) = position.split_at_mut(self.channels);
                for (channel, value) in used.iter_mut().enumerate() {
                    *value = columns[(channel * self.plane + at) * rows + row];
                }
                padding.fill(0.0);
            }
        }
    }
}

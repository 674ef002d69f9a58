//! Pooling over planes.

/// Shapes of one pooling layer; planes are channels times rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    pub(super) size: usize,
    pub(super) stride: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) out_height: usize,
    pub(super) out_width: usize,
}

impl Pool {
    /// Largest value of every window, and where in its plane it was found (the first of several).
    pub(super) fn max(&self, input: &[f32], out: &mut [f32], found: &mut [u32]) {
        let outs = out
            .chunks_exact_mut(self.out_plane())
            .zip(found.chunks_exact_mut(self.out_plane()));
        for (plane, (out, found)) in input.chunks_exact(self.plane()).zip(outs) {
            for (position, (out, found)) in out.iter_mut().zip(found).enumerate() {
                let corner = self.corner(position);
                let (mut top, mut at) = (f32::NEG_INFINITY, corner);
                for y in 0..self.size {
                    let line = corner + y * self.width;
                    for (x, &v) in plane[line..line + self.size].iter().enumerate() {
                        // A value that is no number must show in the output.
                        if v > top || v.is_nan() {
                            (top, at) = (v, line + x);
                        }
                    }
                }
                (*out, *found) = (top, at as u32);
            }
        }
    }

    /// Slope at the input: each output's slope goes to where its value came from.
    pub(super) fn max_backward(&self, slope: &[f32], found: &[u32], out: &mut [f32]) {
        out.fill(0.0);
        let slopes = slope
            .chunks_exact(self.out_plane())
            .zip(found.chunks_exact(self.out_plane()));
        for (plane, (slope, found)) in out.chunks_exact_mut(self.plane()).zip(slopes) {
            slope
                .iter()
                .zip(found)
                .for_each(|(s, &at)| plane[at as usize] += s);
        }
    }

    /// Mean of every window.
    pub(super) fn mean(&self, input: &[f32], out: &mut [f32]) {
        let share = 1.0 / (self.size * self.size) as f32;
        for (plane, out) in input
            .chunks_exact(self.plane())
            .zip(out.chunks_exact_mut(self.out_plane()))
        {
            for (position, out) in out.iter_mut().enumerate() {
                let lines = self
                    .lines(position)
                    .map(|line| plane[line..line + self.size].iter().sum::<f32>());
                *out = lines.sum::<f32>() * share;
            }
        }
    }

    /// Slope at the input: each output's slope is spread evenly over its window.
    pub(super) fn mean_backward(&self, slope: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        let share = 1.0 / (self.size * self.size) as f32;
        for (plane, slope) in out
            .chunks_exact_mut(self.plane())
            .zip(slope.chunks_exact(self.out_plane()))
        {
            for (position, slope) in slope.iter().enumerate() {
                for line in self.lines(position) {
                    plane[line..line + self.size]
                        .iter_mut()
                        .for_each(|v| *v += slope * share);
                }
            }
        }
    }

    fn plane(&self) -> usize {
        self.height * self.width
    }

    fn out_plane(&self) -> usize {
        self.out_height * self.out_width
    }

    fn corner(&self, position: usize) -> usize {
        let (y, x) = (position / self.out_width, position % self.out_width);
        (y * self.width + x) * self.stride
    }

    fn lines(&self, position: usize) -> impl Iterator<Item = usize> + use<> {
        let (corner, width) = (self.corner(position), self.width);
        (0..self.size).map(move |y| corner + y * width)
    }
}

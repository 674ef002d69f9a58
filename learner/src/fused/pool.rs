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
        match self.size {
            2 => self.max_of::<2>(input, out, found),
            3 => self.max_of::<3>(input, out, found),
            _ => self.max_of::<0>(input, out, found),
        }
    }

    /// Windows of side `SIDE`, which the compiler then unrolls; 0 stands for any side.
    fn max_of<const SIDE: usize>(&self, input: &[f32], out: &mut [f32], found: &mut [u32]) {
        let side = if SIDE == 0 { self.size } else { SIDE };
        let outs = out
            .chunks_exact_mut(self.out_width)
            .zip(found.chunks_exact_mut(self.out_width));
        for (index, (out, found)) in outs.enumerate() {
            let (plane, y) = (index / self.out_height, index % self.out_height);
            let line = y * self.stride * self.width;
            let lines =
                &input[plane * self.plane() + line..][..(side - 1) * self.width + self.width];
            for (x, (out, found)) in out.iter_mut().zip(found).enumerate() {
                let corner = x * self.stride;
                let (mut top, mut at) = (lines[corner], corner);
                for dy in 0..side {
                    let from = corner + dy * self.width;
                    for (dx, &v) in lines[from..from + side].iter().enumerate() {
                        // A value that is no number must show in the output.
                        (top, at) = if v > top || v.is_nan() {
                            (v, from + dx)
                        } else {
                            (top, at)
                        };
                    }
                }
                (*out, *found) = (top, (line + at) as u32);
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

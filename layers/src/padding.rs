//! Images with a border around them, as convolutions want them.

use crate::room;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What the border around an image holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PaddingMode {
    /// Zeros.
    #[default]
    Zeros,
    /// The image mirrored at its outermost values, which are not repeated.
    Reflect,
    /// The outermost values.
    Replicate,
    /// The other side of the image.
    Circular,
}

impl PaddingMode {
    /// Whether a border may be so wide, or what would be right.
    pub(crate) fn check(self, border: usize, side: usize) -> Result<(), String> {
        let (most, name) = match self {
            Self::Zeros | Self::Replicate => return Ok(()),
            Self::Reflect => (side - 1, "reflect"),
            Self::Circular => (side, "circular"),
        };
        match border <= most {
            true => Ok(()),
            false => Err(format!(
                "a border of {border} is too wide for a side of {side}: with padding_mode \"{name}\" at most {most}"
            )),
        }
    }

    /// Where the value `at` places from the start of a side comes from; negative before it.
    fn source(self, at: isize, side: isize) -> Option<usize> {
        let last = side - 1;
        let from = match self {
            Self::Zeros => return (0..side).contains(&at).then_some(at as usize),
            Self::Reflect => last - (last - at.abs()).abs(),
            Self::Replicate => at.clamp(0, last),
            Self::Circular => at.rem_euclid(side),
        };
        Some(from as usize)
    }
}

/// Widths of a border along one side: before it and after it.
pub(crate) type Border = (usize, usize);

/// A border around planes of one size. Without a border, planes stay where they are.
#[derive(Debug)]
pub(crate) struct Frame {
    height: usize,
    width: usize,
    /// Where each line with its border comes from; `None` for zeros.
    lines: Vec<Option<usize>>,
    /// The same for the columns of a line.
    columns: Vec<Option<usize>>,
    /// Columns that are the line itself.
    inner: Range<usize>,
}

impl Frame {
    pub(crate) fn new(mode: PaddingMode, sides: [usize; 2], borders: [Border; 2]) -> Self {
        let sources = |side: usize, (before, after): Border| {
            let places = 0..before + side + after;
            places
                .map(|at| mode.source(at as isize - before as isize, side as isize))
                .collect()
        };
        let [height, width] = sides;
        let left = borders[1].0;
        Self {
            height,
            width,
            lines: sources(height, borders[0]),
            columns: sources(width, borders[1]),
            inner: left..left + width,
        }
    }

    /// Columns of a line with its border.
    pub(crate) fn stride(&self) -> usize {
        self.columns.len()
    }

    /// Values of a plane with its border.
    pub(crate) fn plane(&self) -> usize {
        self.lines.len() * self.columns.len()
    }

    fn is_empty(&self) -> bool {
        self.plane() == self.height * self.width
    }

    /// Columns of the border, and where each comes from.
    fn edges(&self) -> impl Iterator<Item = (usize, Option<usize>)> {
        let all = self.columns.iter().copied().enumerate();
        all.filter(|(at, _)| !self.inner.contains(at))
    }

    /// Planes with their borders, laid out in a buffer if there are any.
    pub(crate) fn around<'a>(&self, planes: &'a [f32], buffer: &'a mut Vec<f32>) -> &'a [f32] {
        if self.is_empty() {
            return planes;
        }
        let count = planes.len() / (self.height * self.width);
        let framed = room(buffer, count * self.plane());
        let pairs = framed.chunks_exact_mut(self.plane());
        for (framed, plane) in pairs.zip(planes.chunks_exact(self.height * self.width)) {
            let lines = framed.chunks_exact_mut(self.stride()).zip(&self.lines);
            for (line, source) in lines {
                match source {
                    Some(y) => self.line(&plane[y * self.width..][..self.width], line),
                    None => line.fill(0.0),
                }
            }
        }
        framed
    }

    fn line(&self, from: &[f32], to: &mut [f32]) {
        to[self.inner.clone()].copy_from_slice(from);
        for (at, source) in self.edges() {
            to[at] = source.map_or(0.0, |x| from[x]);
        }
    }

    /// Writes the slopes at planes, of which `add` adds up those at planes with borders.
    pub(crate) fn collect(
        &self,
        planes: &mut [f32],
        buffer: &mut Vec<f32>,
        add: impl FnOnce(&mut [f32]),
    ) {
        planes.fill(0.0);
        if self.is_empty() {
            return add(planes);
        }
        let count = planes.len() / (self.height * self.width);
        let framed = room(buffer, count * self.plane());
        framed.fill(0.0);
        add(framed);
        self.fold(framed, planes);
    }

    /// Adds the slopes at planes with borders to those that the values come from.
    fn fold(&self, framed: &[f32], planes: &mut [f32]) {
        let pairs = planes.chunks_exact_mut(self.height * self.width);
        for (plane, framed) in pairs.zip(framed.chunks_exact(self.plane())) {
            let lines = framed.chunks_exact(self.stride()).zip(&self.lines);
            for (line, source) in lines {
                let Some(y) = source else { continue };
                self.fold_line(line, &mut plane[y * self.width..][..self.width]);
            }
        }
    }

    fn fold_line(&self, from: &[f32], to: &mut [f32]) {
        let inner = to.iter_mut().zip(&from[self.inner.clone()]);
        inner.for_each(|(to, from)| *to += from);
        for (at, source) in self.edges() {
            if let Some(x) = source {
                to[x] += from[at];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(mode: PaddingMode) -> Vec<f32> {
        let frame = Frame::new(mode, [1, 3], [(0, 0), (2, 1)]);
        frame.around(&[1.0, 2.0, 3.0], &mut Vec::new()).to_vec()
    }

    #[test]
    fn borders_by_hand() {
        assert_eq!(framed(PaddingMode::Zeros), [0.0, 0.0, 1.0, 2.0, 3.0, 0.0]);
        assert_eq!(framed(PaddingMode::Reflect), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
        assert_eq!(
            framed(PaddingMode::Replicate),
            [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]
        );
        assert_eq!(
            framed(PaddingMode::Circular),
            [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]
        );
    }

    #[test]
    fn borders_that_are_too_wide_are_refused() {
        assert!(PaddingMode::Reflect.check(3, 3).is_err());
        assert!(PaddingMode::Reflect.check(2, 3).is_ok());
        assert!(PaddingMode::Circular.check(4, 3).is_err());
        assert!(PaddingMode::Circular.check(3, 3).is_ok());
        assert!(PaddingMode::Replicate.check(9, 3).is_ok());
    }
}

//! Shapes of the values that residual blocks keep.

use super::{Layer, NetworkError};

/// Shapes that were kept and not yet used up, the last on top, each with the position of the layer that kept it.
#[derive(Debug, Default)]
pub(super) struct Stack(Vec<(usize, Vec<usize>)>);

impl Stack {
    /// What a layer does with the kept values. The shape that comes out of it, if a kept one decides that.
    pub(super) fn after(
        &mut self,
        index: usize,
        layer: &Layer,
        now: &[usize],
    ) -> Result<Option<Vec<usize>>, String> {
        let alone = || "nothing is kept here: put a `fork` before it".to_string();
        match layer {
            Layer::Fork {} => {
                self.0.push((index, now.to_vec()));
                Ok(Some(now.to_vec()))
            }
            Layer::Swap {} => {
                let (_, kept) = self.0.last_mut().ok_or_else(alone)?;
                Ok(Some(std::mem::replace(kept, now.to_vec())))
            }
            Layer::Join {} => {
                let (_, kept) = self.0.pop().ok_or_else(alone)?;
                match kept == now {
                    true => Ok(Some(kept)),
                    false => Err(format!(
                        "{now:?} cannot be added to {kept:?}: a residual block whose shape changes needs a `projection` to it"
                    )),
                }
            }
            _ => Ok(None),
        }
    }

    /// Nothing may be left over behind the last layer.
    pub(super) fn finish(self) -> Result<(), NetworkError> {
        match self.0.last() {
            None => Ok(()),
            Some((index, _)) => Err(NetworkError {
                index: *index,
                layer: "fork".into(),
                reason: "what it keeps is never used: put a `join` behind it".into(),
            }),
        }
    }
}

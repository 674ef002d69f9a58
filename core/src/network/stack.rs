//! Shapes of the values that residual blocks keep.

use super::{Layer, NetworkError};

/// Shapes that were kept and not yet used up, the last on top.
#[derive(Debug, Default)]
pub(super) struct Stack(Vec<Vec<usize>>);

impl Stack {
    /// What a layer does with the kept values. The shape that comes out of it, if a kept one decides that.
    pub(super) fn after(
        &mut self,
        layer: &Layer,
        now: &[usize],
    ) -> Result<Option<Vec<usize>>, String> {
        let alone = || "nothing is kept here: put a `fork` before it".to_string();
        match layer {
            Layer::Fork {} => {
                self.0.push(now.to_vec());
                Ok(Some(now.to_vec()))
            }
            Layer::Swap {} => {
                let kept = self.0.last_mut().ok_or_else(alone)?;
                Ok(Some(std::mem::replace(kept, now.to_vec())))
            }
            Layer::Join {} => {
                let kept = self.0.pop().ok_or_else(alone)?;
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
    pub(super) fn finish(self, last: usize) -> Result<(), NetworkError> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(NetworkError {
                index: last,
                layer: "fork".into(),
                reason: "what it keeps is never used: put a `join` behind it".into(),
            }),
        }
    }
}

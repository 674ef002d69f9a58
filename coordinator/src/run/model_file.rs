//! Parameters as safetensors files: one named tensor per entry of the layout.

use super::RunError;
use lyceum_core::{Layout, Params};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::path::Path;

/// Parameters under the names of their layout. `path` is named in errors.
pub fn to_safetensors(path: &Path, layout: &Layout, params: &Params) -> Result<Vec<u8>, RunError> {
    let views = layout
        .entries()
        .iter()
        .map(|e| {
            let bytes = &params.bytes()[4 * e.range().start..4 * e.range().end];
            Ok((
                e.name.as_str(),
                TensorView::new(Dtype::F32, e.shape.clone(), bytes)?,
            ))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| RunError::damaged(path, e))?;
    safetensors::serialize(views, None).map_err(|e| RunError::damaged(path, e))
}

/// What a kind of numbers is called.
fn in_words(kind: Dtype) -> String {
    match kind {
        Dtype::F64 => "64-bit floating-point numbers (F64)".into(),
        Dtype::F32 => "32-bit floating-point numbers (F32)".into(),
        Dtype::F16 | Dtype::BF16 => format!("16-bit floating-point numbers ({kind:?})"),
        other => format!("numbers of another kind ({other:?})"),
    }
}

/// Reads parameters of this layout from the bytes of the file at `path`; every tensor must be there, with its shape, in `f32`.
pub fn from_safetensors(path: &Path, bytes: &[u8], layout: &Layout) -> Result<Params, RunError> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| {
        use safetensors::SafeTensorError as Wrong;
        let how = match e {
            Wrong::MetadataIncompleteBuffer => "its tensors and their places do not fit each other",
            Wrong::HeaderTooSmall | Wrong::InvalidHeaderLength => "it is shorter than it says",
            Wrong::HeaderTooLarge => "it does not begin with the length of a header",
            _ => "its header cannot be read",
        };
        RunError::damaged(path, format!("this is no whole safetensors file: {how}"))
    })?;
    let mut params = Params::zeros(layout.len());
    let values = params.make_mut();
    for entry in layout.entries() {
        let missing =
            |_| RunError::damaged(path, format!("the tensor `{}` is missing", entry.name));
        let tensor = file.tensor(&entry.name).map_err(missing)?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != entry.shape {
            let found = format!("{:?} in {}", tensor.shape(), in_words(tensor.dtype()));
            let reason = format!(
                "the tensor `{}` has the shape {found}, and the model needs {:?} in {}",
                entry.name,
                entry.shape,
                in_words(Dtype::F32)
            );
            return Err(RunError::damaged(path, reason));
        }
        for (value, word) in values[entry.range()]
            .iter_mut()
            .zip(tensor.data().chunks_exact(4))
        {
            *value = f32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        }
    }
    match params.first_not_finite() {
        Some(index) => Err(RunError::damaged(
            path,
            format!("parameter {index} is not a finite number"),
        )),
        None => Ok(params),
    }
}

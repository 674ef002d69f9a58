//! Parameters as safetensors files: one named tensor per entry of the layout.

use crate::RunError;
use lyceum_core::{Layout, Params};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{fs, path::Path};

/// Writes parameters under the names of their layout.
pub(crate) fn write(path: &Path, layout: &Layout, params: &Params) -> Result<(), RunError> {
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
    let bytes = safetensors::serialize(views, None).map_err(|e| RunError::damaged(path, e))?;
    write_durably(path, &bytes)
}

/// Reads parameters of this layout; every tensor must be there, with its shape, in `f32`.
pub(crate) fn read(path: &Path, layout: &Layout) -> Result<Params, RunError> {
    let bytes = fs::read(path).map_err(RunError::file(path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| RunError::damaged(path, e))?;
    let mut params = Params::zeros(layout.len());
    let values = params.make_mut();
    for entry in layout.entries() {
        let missing =
            |_| RunError::damaged(path, format!("the tensor `{}` is missing", entry.name));
        let tensor = file.tensor(&entry.name).map_err(missing)?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != entry.shape {
            let found = format!("{:?} of {:?}", tensor.shape(), tensor.dtype());
            let reason = format!(
                "the tensor `{}` is {found}, the model needs {:?} of F32",
                entry.name, entry.shape
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

/// Writes a file so that after a crash it is there whole or not at all.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    use std::io::Write;
    let temporary = path.with_extension("new");
    let mut file = fs::File::create(&temporary).map_err(RunError::file(&temporary))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_data())
        .map_err(RunError::file(&temporary))?;
    fs::rename(&temporary, path).map_err(RunError::file(path))?;
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(RunError::file(folder))
}

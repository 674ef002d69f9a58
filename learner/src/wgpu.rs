//! Finding a graphics processor without falling over when there is none.

use burn::tensor::{DType, Device, DeviceKind, DeviceType, Tensor, TensorData};
use std::{panic, sync::OnceLock};

/// The best adapter (or what `CUBECL_WGPU_DEFAULT_DEVICE` names), or why there is none.
pub(crate) fn device() -> Result<Device, String> {
    static DEVICE: OnceLock<Result<Device, String>> = OnceLock::new();
    DEVICE.get_or_init(find).clone()
}

fn find() -> Result<Device, String> {
    match quietly(probe) {
        Some(Some(device)) => Ok(device),
        Some(None) => Err(
            "engine \"wgpu\" found no graphics adapter: install a driver (Debian's \
             mesa-vulkan-drivers has one that runs on the processor), or use engine \"flex\""
                .into(),
        ),
        None => Err(
            "engine \"wgpu\" found a graphics adapter that cannot compute: update its driver, \
             name another adapter in CUBECL_WGPU_DEFAULT_DEVICE, or use engine \"flex\""
                .into(),
        ),
    }
}

/// `None` without an adapter; panics, inside Burn, if the adapter does not work.
fn probe() -> Option<Device> {
    if Device::enumerate(DeviceType::Wgpu).into_vec().is_empty() {
        return None;
    }
    let device = Device::wgpu(DeviceKind::DefaultDevice);
    let one = TensorData::new(vec![1.0_f32, 2.0], [2]);
    let sum = Tensor::<1>::from_data(one, (&device, DType::F32)).sum();
    assert_eq!(sum.into_data().as_slice::<f32>().ok(), Some(&[3.0][..]));
    Some(device)
}

/// `None` if it panics, without the message that a panic prints. Called once per process: the hook
/// is the whole process's.
fn quietly<T>(work: fn() -> T) -> Option<T> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = panic::catch_unwind(work);
    panic::set_hook(hook);
    result.ok()
}

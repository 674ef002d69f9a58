//! What happens to a client's update before it goes into the sums, one file per transform.

mod clip;

pub use clip::Clip;

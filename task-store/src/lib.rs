//! A database of tasks that come while one learns, after the dynamic database of LeanAgent (arXiv 2410.06209).
//!
//! A store is a folder. `tasks.jsonl` is the log of what it was told, `sources/` what was delivered, in files named by their content;
//! `tables/` follows from both, and is made again where it is damaged. What a sample is (`Settings::identity`) says alone whether it is
//! trained on, validated with or tested with, so no task, no merge and no order of arrival moves it.
//!
//! ```
//! use lyceum_task_store::{Delivery, Settings, Store, StoreOptions};
//!
//! let folder = std::env::temp_dir().join(format!("tasks-{}", std::process::id()));
//! let mut store = Store::create(&folder, &Settings::default(), StoreOptions::default())?;
//! let records = [r#"{"statement": "1 + 1 = 2", "steps": 1}"#, r#"{"statement": "a = a", "steps": 2}"#];
//! let how = Delivery::by_column("steps");
//! let taken = store.add("arithmetic", records, &how)?;
//! assert_eq!((taken.samples, taken.new), (2, 2));
//! assert!(store.add("arithmetic", records, &how)?.already);
//! # drop(store);
//! # std::fs::remove_dir_all(&folder).ok();
//! # Ok::<(), lyceum_task_store::StoreError>(())
//! ```

mod bins;
mod check;
mod error;
mod fold;
mod gather;
pub mod import;
mod index;
pub mod log;
mod mend;
pub mod rows;
mod rule;
pub mod sample;
mod settings;
mod solver;
pub mod sources;
mod store;
pub mod told;
mod view;

pub use bins::{Bins, Counts, PERCENTILES, Unknown};
pub use check::{Gone, Report};
pub use error::StoreError;
pub use index::Tuning;
pub use rule::{Choice, MergeRule, PUBLISHED, Rules, Version};
pub use sample::{Columns, Difficulty};
pub use settings::{Settings, Split};
pub use solver::{Solver, Solvers};
pub use store::{Delivery, SolvedCount, Store, StoreOptions, Taken};
pub use told::Kind;
pub use view::{Sample, SolvedSample, Task};

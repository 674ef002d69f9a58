//! Speed lives here: `cargo bench -p lyceum-benches` times single layers, sums and clients; `lyceum bench` the
//! workloads; `peers/` the same workloads in other frameworks.

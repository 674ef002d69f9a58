#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lyceum_fuzz::task_log(bytes));

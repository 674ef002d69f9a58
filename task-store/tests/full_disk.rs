//! A full disk is a sentence, and the same process goes on once there is space.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that panics has failed, and what is measured is told"
)]

mod common;

use common::{Model, create, op, options, tell};
use lyceum_task_store::Store;
use std::{path::Path, process::Command};

const WHERE: &str = "LYCEUM_TASK_STORE_DISK";

/// Not a test by itself: a process with a disk of its own, which fills it, makes it larger and goes on.
#[test]
#[ignore = "a process of the test below"]
fn told_on_a_small_disk() {
    let Ok(folder) = std::env::var(WHERE) else {
        return;
    };
    let path = Path::new(&folder).join("store");
    let mut store = create(&path);
    let mut model = Model::default();
    let mut full = 0;
    for n in 0..2000 {
        if let Err(error) = tell(&mut store, &op(1, n)) {
            let text = error.to_string();
            assert!(
                error.can_go_on() && text.contains("free some space"),
                "{text}"
            );
            full += 1;
            let size = format!("remount,size={}k", 400 + 300 * full);
            let larger = Command::new("mount").args(["-o", &size, &folder]).status();
            assert!(larger.unwrap().success());
            tell(&mut store, &op(1, n)).unwrap();
        }
        model.tell(&op(1, n));
        if full == 3 {
            break;
        }
    }
    model.compare(&store).unwrap();
    assert!(store.check().unwrap().is_good());
    drop(store);
    model
        .compare(&Store::open(&path, options()).unwrap())
        .unwrap();
    println!("\nfull {full} times");
}

#[test]
fn a_full_disk_is_told_and_it_goes_on_once_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    let script = format!(
        "mkdir disk && mount -t tmpfs -o size=400k tmpfs disk && touch disk-there &&
         {WHERE}=$PWD/disk {} told_on_a_small_disk --exact --ignored --nocapture 2>&1",
        exe.display()
    );
    let out = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .current_dir(folder.path())
        .output();
    if !folder.path().join("disk-there").exists() {
        println!("skipped: this system gives a test no disk of its own");
        return;
    }
    let out = out.unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success() && said.contains("full 3 times"),
        "{said}"
    );
}

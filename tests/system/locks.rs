//! Promise: no two processes write one run, on one host or on two that share its folder.

use crate::{
    hostile::Log,
    nodes::{Federation, kill},
};
use std::{
    fs,
    io::{Seek, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What a process of another host leaves in the lock.
fn mark(beat: u64) -> String {
    format!(r#"{{"system":"another","host":"host-b","holder":"1-1","beat":{beat:<20}}}"#)
}

#[test]
fn a_second_coordinator_of_this_host_is_refused_at_once() {
    let federation = Federation::new(&[]);
    let mut first = federation.coordinator().spawn().unwrap();
    Log::of(&mut first).wait_for(&["nodes connect to"]);
    let out = federation.coordinator().output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(
        said.contains("another process is running in this folder"),
        "{said}"
    );
    kill(&mut first);
    // One that was killed leaves its mark, and is of this host: the next one need not wait.
    assert!(
        !fs::read(federation.path().join("run/lock"))
            .unwrap()
            .is_empty()
    );
    let mut next = federation.coordinator().spawn().unwrap();
    let log = Log::of(&mut next);
    log.wait_for(&["nodes connect to"]);
    assert!(!log.text().contains("another host"), "{}", log.text());
    kill(&mut next);
}

#[test]
fn a_mark_of_another_host_that_does_not_change_is_taken_over() {
    let federation = Federation::new(&[]);
    fs::create_dir(federation.path().join("run")).unwrap();
    fs::write(federation.path().join("run/lock"), mark(7)).unwrap();
    let mut command = federation.coordinator();
    let mut coordinator = command.env("LYCEUM__TAKEOVER_S", "0.3").spawn().unwrap();
    let log = Log::of(&mut coordinator);
    log.wait_for(&["host-b", "waiting for up to 0.3 s"]);
    log.wait_for(&["host-b", "taken over"]);
    log.wait_for(&["nodes connect to"]);
    kill(&mut coordinator);
}

/// The other host beats for as long as the process lives, in a file of the same name.
#[test]
fn a_mark_of_another_host_that_changes_is_respected() {
    let federation = Federation::new(&[]);
    fs::create_dir(federation.path().join("run")).unwrap();
    let path = federation.path().join("run/lock");
    fs::write(&path, mark(0)).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let stop = over.clone();
    let mut file = fs::File::options().write(true).open(&path).unwrap();
    let other = std::thread::spawn(move || {
        let mut beat = 0;
        while !stop.load(Ordering::Relaxed) {
            beat += 1;
            file.rewind().unwrap();
            file.write_all(mark(beat).as_bytes()).unwrap();
            std::thread::yield_now();
        }
    });
    let mut command = federation.coordinator();
    let out = command.env("LYCEUM__TAKEOVER_S", "600").output().unwrap();
    over.store(true, Ordering::Relaxed);
    other.join().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("a process on another host"), "{said}");
}

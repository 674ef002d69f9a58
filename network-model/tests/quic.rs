//! Real QUIC over the simulated network, in virtual time.

#![allow(clippy::unwrap_used)]

mod world;

use lyceum_core::{Fingerprint, Seed, Time, units::Fraction};
use lyceum_network_model::{Directions, LinkFaults, Partition};
use std::{io::Write, num::NonZeroU64, process::Command, time::Duration};
use world::{World, bad_link, server_address};

const CLIENTS: u16 = 10;
const UPLOAD: usize = 256 * 1024;

/// Every client sends its upload over one stream; the trace, and the virtual time it took.
fn uploads(seed: u64, faults: LinkFaults) -> (u64, Fingerprint, Time) {
    world::virtual_runtime().block_on(async {
        let world = World::new(Seed(seed), faults);
        let server = world.serve();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| tokio::spawn(world.clone().upload(n, UPLOAD)))
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        let took = world.net.now();
        server.abort();
        let (delivered, trace) = world.net.trace();
        (delivered, trace, took)
    })
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let first = uploads(1, bad_link());
    assert_eq!(first, uploads(1, bad_link()));
    assert_ne!(first.1, uploads(2, bad_link()).1);
}

/// Keys and hash seeds are new in each process.
#[test]
fn the_same_seed_gives_the_same_packets_in_another_process() {
    let here = format!("{:?}", uploads(1, bad_link()));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "say_the_trace", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let there = String::from_utf8(output.stdout).unwrap();
    assert!(there.contains(&here), "{here}\n{there}");
}

#[test]
#[ignore = "the other process of the test above"]
fn say_the_trace() {
    writeln!(std::io::stdout(), "{:?}", uploads(1, bad_link())).unwrap();
}

#[test]
#[ignore = "takes minutes; for a doubt about repeatability"]
fn many_seeds_are_repeatable() {
    for seed in 0..200 {
        let faults = LinkFaults {
            reorder: Fraction::new(0.02).unwrap(),
            reorder_micros: 15_000,
            rate_bytes_per_s: NonZeroU64::new(1_000_000),
            ..bad_link()
        };
        let twice = [(); 2].map(|()| uploads(seed, faults.clone()));
        assert_eq!(twice[0], twice[1], "{seed}");
    }
}

#[test]
fn a_partition_much_shorter_than_the_idle_timeout_heals() {
    let partition = Partition {
        from_micros: 200_000,
        until_micros: 20_200_000,
        direction: Directions::Both,
    };
    let faults = LinkFaults {
        partitions: vec![partition],
        ..bad_link()
    };
    let (_, _, took) = uploads(1, faults);
    assert!(took > Time(20_200_000), "{took:?}");
}

/// A dead server answers nothing; one that is started again tells its peers that their connections are gone.
#[test]
fn a_server_started_again_resets_its_peers_long_before_they_time_out() {
    world::virtual_runtime().block_on(async {
        let world = World::new(Seed(3), LinkFaults::default());
        let server = world.serve();
        let client = world.connect(0).await;
        world.net.crash(server_address());
        server.abort();
        let _again = world.serve_as(1);
        let before = world.net.now();
        client.closed().await;
        let waited = Duration::from_micros(world.net.now().0 - before.0);
        assert!(waited < Duration::from_secs(10), "{waited:?}");
    });
}

#[test]
fn a_partition_switched_on_and_off_only_stops_what_is_sent_in_between() {
    world::virtual_runtime().block_on(async {
        let world = World::new(Seed(4), LinkFaults::default());
        let _server = world.serve();
        let client = world.connect(0).await;
        let (here, there) = (world::client_address(0), server_address());
        world.net.partition(here, there, Directions::AToB, true);
        let sending = tokio::spawn(world::send(client, UPLOAD));
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(!sending.is_finished());
        assert!(world.net.counts(here, there).dropped_by_partition > 0);
        assert_eq!(world.net.counts(there, here).dropped_by_partition, 0);
        world.net.partition(here, there, Directions::AToB, false);
        sending.await.unwrap();
    });
}

#[test]
fn an_address_is_bound_once_until_its_socket_is_dropped() {
    world::virtual_runtime().block_on(async {
        let world = World::new(Seed(5), LinkFaults::default());
        let first = world.net.socket(server_address()).unwrap();
        assert!(world.net.socket(server_address()).is_err());
        drop(first);
        assert!(world.net.socket(server_address()).is_ok());
    });
}

//! The proxy between real sockets.

#![allow(clippy::unwrap_used)]

use lyceum_core::{Seed, units::Fraction};
use lyceum_network_model::{
    LinkFaults,
    proxy::{Proxy, ProxyCounts},
};
use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::net::UdpSocket;

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..len], from).await;
        }
    });
    addr
}

async fn before_an_echo(faults: LinkFaults) -> Proxy {
    Proxy::bind(LOOPBACK.into(), echo().await, Seed(1), faults)
        .await
        .unwrap()
}

/// Runs the proxy until a client is done.
async fn beside(mut proxy: Proxy, client: impl Future<Output = ()>) -> ProxyCounts {
    tokio::pin!(client);
    loop {
        tokio::select! {
            biased;
            () = &mut client => return proxy.counts(),
            done = proxy.step() => done.unwrap(),
        }
    }
}

async fn client_of(proxy: &Proxy) -> UdpSocket {
    let client = UdpSocket::bind(LOOPBACK).await.unwrap();
    client.connect(proxy.local_addr().unwrap()).await.unwrap();
    client
}

#[tokio::test]
async fn an_echo_takes_the_delay_both_ways() {
    let faults = LinkFaults {
        delay_micros: 50_000,
        ..LinkFaults::default()
    };
    let proxy = before_an_echo(faults).await;
    let client = client_of(&proxy).await;
    let clock = Instant::now();
    let counts = beside(proxy, async {
        let mut answer = [0; 8];
        client.send(b"lyceum").await.unwrap();
        assert_eq!(client.recv(&mut answer).await.unwrap(), 6);
    })
    .await;
    assert!(clock.elapsed() >= Duration::from_millis(100));
    assert_eq!(
        (counts.clients, counts.up.sent, counts.down.sent),
        (1, 1, 1)
    );
}

#[tokio::test]
async fn what_is_lost_or_cut_never_reaches_the_server() {
    let lossy = LinkFaults {
        loss: Fraction::new(1.0).unwrap(),
        ..LinkFaults::default()
    };
    let mut cut = before_an_echo(LinkFaults::default()).await;
    cut.cut(true);
    for mut proxy in [before_an_echo(lossy).await, cut] {
        let client = client_of(&proxy).await;
        client.send(b"lyceum").await.unwrap();
        proxy.step().await.unwrap();
        let counts = proxy.counts();
        assert_eq!(counts.up.arriving(), 0);
        assert_eq!(counts.up.lost + counts.up.dropped_by_partition, 1);
    }
}

/// A socket that was just opened can send.
#[tokio::test]
async fn a_perfect_network_loses_not_even_the_first_packet() {
    let proxy = before_an_echo(LinkFaults::default()).await;
    let client = client_of(&proxy).await;
    let counts = beside(proxy, async {
        client.send(b"lyceum").await.unwrap();
        client.recv(&mut [0; 8]).await.unwrap();
    })
    .await;
    assert_eq!((counts.unsent, counts.refused), (0, 0));
}

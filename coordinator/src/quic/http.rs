//! `/metrics`, `/status`, `/healthz` and `/readyz` over HTTP/1.1, for Prometheus, `lyceum status` and whoever starts and stops
//! processes. Read-only.

use super::status::Watch;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

/// Bytes of a request that are read at most.
const REQUEST: usize = 4 << 10;
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests that are answered at a time; others wait.
const AT_ONCE: usize = 16;

/// Answers requests for as long as the task lives.
pub(super) async fn serve(listener: TcpListener, watch: Watch) {
    let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let watch = watch.clone();
        tokio::spawn(async move {
            // Whoever does not read the answer does without it.
            let _ = timeout(PATIENCE, answer(stream, &watch)).await;
            drop(permit);
        });
    }
}

async fn answer(mut stream: TcpStream, watch: &Watch) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|w| w == b"\r\n\r\n") && request.len() < REQUEST {
        let mut piece = [0; 512];
        match stream.read(&mut piece).await? {
            0 => break,
            n => request.extend(&piece[..n]),
        }
    }
    let line = String::from_utf8_lossy(&request);
    let path = line.split_whitespace().nth(1).unwrap_or("");
    let (code, kind, body) = respond(path, watch).await;
    let head = format!(
        "HTTP/1.1 {code}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

const PLAIN: &str = "text/plain";

/// Status line, type and text of an answer.
async fn respond(path: &str, watch: &Watch) -> (&'static str, &'static str, String) {
    let verdict = |result: Result<&str, String>| match result {
        Ok(well) => ("200 OK", PLAIN, format!("{well}\n")),
        Err(reason) => ("503 Service Unavailable", PLAIN, format!("{reason}\n")),
    };
    match path {
        "/metrics" => ("200 OK", "text/plain; version=0.0.4", watch.prometheus()),
        "/status" => {
            let json = serde_json::to_string(&watch.status()).unwrap_or_default();
            ("200 OK", "application/json", json)
        }
        "/healthz" => verdict(watch.health().lives(Instant::now())),
        "/readyz" => verdict(watch.health().is_ready().await),
        _ => (
            "404 Not Found",
            PLAIN,
            "there are /metrics, /status, /healthz and /readyz\n".into(),
        ),
    }
}

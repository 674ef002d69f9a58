//! A name may have several addresses, of which some lead nowhere: all are tried.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// How long an address is tried alone before the next one is tried beside it. A closed port of UDP does not say so.
const HEAD_START: Duration = Duration::from_millis(250);

/// Tries the addresses in turn until one answers: the next one begins once the one before has failed, or has not
/// answered for a while. All errors, in the order in which they came, where none does.
pub async fn first_answer<T, E, F>(
    addresses: &[SocketAddr],
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, Vec<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut errors = Vec::new();
    let mut waiting = addresses.iter().copied();
    let mut running = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            running.push(Box::pin(attempt(address)));
        } else if running.is_empty() {
            return Err(errors);
        }
        let next = Instant::now() + HEAD_START;
        let more = waiting.len() > 0;
        tokio::select! {
            biased;
            result = any(&mut running) => match result {
                Ok(found) => return Ok(found),
                Err(error) => errors.push(error),
            },
            () = sleep_until(next), if more => {}
        }
    }
}

/// Listens on the first of these addresses that can be had; the last one's error, and which it was, where none can.
pub fn first_bound<T>(
    addresses: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> Result<T, (SocketAddr, io::Error)> {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut failure = (nowhere, io::Error::other("there is no address"));
    for &address in addresses {
        match bind(address) {
            Ok(bound) => return Ok(bound),
            Err(error) => failure = (address, error),
        }
    }
    Err(failure)
}

/// The first of these that is ready, which is taken out.
async fn any<F: Future>(running: &mut Vec<Pin<Box<F>>>) -> F::Output {
    poll_fn(|context| {
        for place in 0..running.len() {
            if let Poll::Ready(output) = running[place].as_mut().poll(context) {
                drop(running.remove(place));
                return Poll::Ready(output);
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::pending, sync::Mutex};

    fn addresses() -> [SocketAddr; 3] {
        [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[tokio::test]
    async fn an_address_that_is_silent_does_not_keep_the_next_from_being_tried() {
        let addresses = addresses();
        let answered = first_answer(&addresses, |address| async move {
            match address.port() {
                3 => Ok(address),
                _ => pending::<Result<_, ()>>().await,
            }
        });
        assert_eq!(answered.await.unwrap().port(), 3);
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_followed_by_the_next_and_all_errors_are_told() {
        let (tried, addresses) = (Mutex::new(Vec::new()), addresses());
        let refused = first_answer(&addresses, |address| {
            tried.lock().unwrap().push(address.port());
            async move { Err::<(), _>(format!("{} refuses", address.port())) }
        });
        let errors = refused.await.unwrap_err();
        assert_eq!(errors, ["1 refuses", "2 refuses", "3 refuses"]);
        assert_eq!(*tried.lock().unwrap(), [1, 2, 3]);
    }

    #[tokio::test]
    async fn an_address_that_answers_is_the_last_one_tried() {
        let (tried, addresses) = (Mutex::new(0), addresses());
        let answered = first_answer(&addresses, |address| {
            *tried.lock().unwrap() += 1;
            async move { Ok::<_, ()>(address) }
        });
        assert_eq!(answered.await.unwrap().port(), 1);
        assert_eq!(*tried.lock().unwrap(), 1);
    }
}

//! `HOST:PORT`: what stands on the command line, and the addresses that it leads to.

use serde::Deserialize;
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    str::FromStr,
};

/// A name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// All addresses that the name has now, in the system's order; at least one.
    pub(crate) fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        self.resolve_by(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }

    /// As [`resolve`](Self::resolve), without keeping other tasks waiting.
    pub(crate) async fn find(&self) -> Result<Vec<SocketAddr>, String> {
        let address = self.clone();
        let found = tokio::task::spawn_blocking(move || address.resolve()).await;
        found.unwrap_or_else(|e| Err(e.to_string()))
    }

    fn resolve_by(
        &self,
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
    ) -> Result<Vec<SocketAddr>, String> {
        let found = look_up(&self.host, self.port).map_err(|e| self.unknown(&e.to_string()))?;
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        match addresses.is_empty() {
            true => Err(self.unknown("it has none")),
            false => Ok(addresses),
        }
    }

    fn unknown(&self, why: &str) -> String {
        let (_, why) = why.split_once("information: ").unwrap_or(("", why));
        format!("no address is known for the name `{}`: {why}", self.host)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            "expected HOST:PORT, such as localhost:4433, 192.0.2.7:4433 or [2001:db8::7]:4433"
                .to_string()
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let port = port.parse().map_err(|_| expected())?;
        let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if inner.is_some_and(|h| text.parse::<SocketAddr>().is_err() || h.is_empty()) {
            return Err(expected());
        }
        let plain = |c: char| !c.is_whitespace() && !"[]:/@".contains(c);
        if inner.is_none() && (host.is_empty() || !host.chars().all(plain)) {
            return Err(expected());
        }
        Ok(Self {
            host: inner.unwrap_or(host).into(),
            port,
        })
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl<A: Into<IpAddr>> From<(A, u16)> for Address {
    fn from(address: (A, u16)) -> Self {
        Self::from(SocketAddr::from(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn names_and_addresses_of_both_kinds_are_taken() {
        for text in [
            "localhost:4433",
            "192.0.2.7:0",
            "[::1]:9433",
            "a-b.example:65535",
        ] {
            assert_eq!(address(text).to_string(), text);
        }
        let numeric = address("[::1]:9433").resolve().unwrap();
        assert_eq!(numeric, ["[::1]:9433".parse().unwrap()]);
    }

    #[test]
    fn what_is_no_address_says_what_one_looks_like() {
        for text in [
            "localhost",
            "localhost:",
            "localhost:x",
            ":4433",
            "::1:4433",
            "[::1]",
            "[x]:1",
            "a:70000",
            "http://a:4433",
            "a b:4433",
            "",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.starts_with("expected HOST:PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn all_addresses_of_a_name_are_kept_once_and_in_order() {
        let two: Vec<SocketAddr> = ["[::1]:7", "127.0.0.1:7", "[::1]:7"]
            .map(|a| a.parse().unwrap())
            .into();
        let found = address("twins:7").resolve_by(|host, port| {
            assert_eq!((host, port), ("twins", 7));
            Ok(two.clone())
        });
        assert_eq!(found.unwrap(), two[..2]);
    }

    #[test]
    fn a_name_without_an_address_is_named() {
        let none = address("nobody:7").resolve_by(|_, _| Ok(Vec::new()));
        assert_eq!(
            none.unwrap_err(),
            "no address is known for the name `nobody`: it has none"
        );
        let failed = address("nobody:7").resolve_by(|_, _| {
            Err(io::Error::other(
                "failed to lookup address information: Name or service not known",
            ))
        });
        assert_eq!(
            failed.unwrap_err(),
            "no address is known for the name `nobody`: Name or service not known"
        );
    }
}

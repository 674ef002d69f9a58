mod connections;
mod credentials;
mod enrolment;
mod names;
mod revocations;
mod tokens;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use super::{Authority, Credentials, Identity, Request};

const HOUR: Duration = Duration::from_secs(3600);
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn id(text: &str) -> Identity {
    text.parse().unwrap()
}

fn credentials(authority: &Authority, identity: &str) -> Credentials {
    authority.credentials(&id(identity), HOUR).unwrap()
}

fn credentials_between(
    authority: &Authority,
    identity: &str,
    not_before: SystemTime,
    not_after: SystemTime,
) -> Credentials {
    let request = Request::new(&id(identity)).unwrap();
    let chain = authority
        .issue_between(request.csr_pem(), &id(identity), not_before, not_after)
        .unwrap();
    request
        .certified(&chain, authority.certificate_pem())
        .unwrap()
}

fn expired(authority: &Authority, identity: &str) -> Credentials {
    let now = SystemTime::now();
    credentials_between(authority, identity, now - 2 * HOUR, now - HOUR)
}

fn not_yet_valid(authority: &Authority, identity: &str) -> Credentials {
    let now = SystemTime::now();
    credentials_between(authority, identity, now + HOUR, now + 2 * HOUR)
}

/// Credentials from an operator's own ECDSA authority, which lets any role be client and server.
fn foreign(identity: &str) -> Credentials {
    use rcgen::{BasicConstraints, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
    let mut root = rcgen::CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut leaf = super::request::named(&id(identity)).unwrap();
    leaf.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    let leaf = leaf.signed_by(&key, &root).unwrap();
    Credentials::from_pem(&leaf.pem(), &key.serialize_pem(), &root.pem()).unwrap()
}

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};

use super::super::{Authority, AuthorityError, Credentials, CredentialsError, Request};
use super::{HOUR, credentials, expired, foreign, id, not_yet_valid};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_authority_opens_again_and_its_key_is_its_owners_alone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("deep/authority");
    let made = Authority::create(&folder).unwrap();
    assert_eq!(
        (mode(&folder), mode(&folder.join("authority.key"))),
        (0o700, 0o600)
    );
    let opened = Authority::open(&folder).unwrap();
    assert_eq!(opened.fingerprint(), made.fingerprint());
    // What either signs is good under the other.
    let node = credentials(&opened, "node/n");
    node.write(parent.path()).unwrap();
    fs::write(parent.path().join("authority.pem"), made.certificate_pem()).unwrap();
    Credentials::load(parent.path()).unwrap();
}

#[test]
fn an_authority_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let made = Authority::create(folder.path()).unwrap();
    for lost in ["authority.key", "authority.pem"] {
        let error = Authority::create(folder.path()).err().unwrap().to_string();
        assert!(error.contains("exists already"), "{error}");
        assert_eq!(
            Authority::open(folder.path()).unwrap().fingerprint(),
            made.fingerprint()
        );
        let kept = fs::read(folder.path().join(lost)).unwrap();
        fs::remove_file(folder.path().join(lost)).unwrap();
        Authority::create(folder.path()).err().unwrap();
        fs::write(folder.path().join(lost), kept).unwrap();
        fs::set_permissions(folder.path().join(lost), Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn an_authority_with_anothers_key_does_not_open() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Authority::create(one.path()).unwrap();
    Authority::create(two.path()).unwrap();
    let pem = "authority.pem";
    fs::copy(one.path().join(pem), two.path().join(pem)).unwrap();
    let error = Authority::open(two.path()).err().unwrap().to_string();
    assert!(
        error.contains("authority.pem") && error.contains("another's"),
        "{error}"
    );
}

#[test]
fn credentials_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::ephemeral().unwrap();
    for identity in ["client/a", "coordinator/c"] {
        let written = credentials(&authority, identity);
        written.write(folder.path()).unwrap();
        assert_eq!(mode(&folder.path().join("identity.key")), 0o600);
        let read = Credentials::load(folder.path()).unwrap();
        assert_eq!(read.as_peer(), written.as_peer());
        assert_eq!(read.identity(), &id(identity));
        assert!(read.expires() > SystemTime::now());
        assert!(!format!("{read:?}").contains("PRIVATE"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn an_operators_own_credentials_load() {
    let folder = tempfile::tempdir().unwrap();
    foreign("client/site").write(folder.path()).unwrap();
    assert_eq!(
        Credentials::load(folder.path()).unwrap().identity(),
        &id("client/site")
    );
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(folder.path()).unwrap();
    credentials(&authority, "node/n")
        .write(folder.path())
        .unwrap();
    for key in ["identity.key", "authority.key"] {
        let path = folder.path().join(key);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = match key {
            "identity.key" => Credentials::load(folder.path()).unwrap_err().to_string(),
            _ => Authority::open(folder.path()).err().unwrap().to_string(),
        };
        assert!(
            error.contains(&format!("chmod 600 {}", path.display())),
            "{error}"
        );
    }
}

#[test]
fn credentials_that_are_not_good_now_do_not_load_and_say_which_file() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::ephemeral().unwrap();
    let load = |credentials: Credentials| {
        credentials.write(folder.path()).unwrap();
        Credentials::load(folder.path()).unwrap_err()
    };
    let past = load(expired(&authority, "node/n"));
    assert!(matches!(past, CredentialsError::Expired { .. }), "{past}");
    let future = load(not_yet_valid(&authority, "node/n"));
    assert!(
        matches!(future, CredentialsError::NotYet { .. }),
        "{future}"
    );
    let mut files = vec![past, future];

    credentials(&authority, "node/n")
        .write(folder.path())
        .unwrap();
    let other = Authority::ephemeral().unwrap();
    fs::write(folder.path().join("authority.pem"), other.certificate_pem()).unwrap();
    files.push(Credentials::load(folder.path()).unwrap_err());
    assert!(
        matches!(files[2], CredentialsError::Untrusted { .. }),
        "{}",
        files[2]
    );

    let key = Request::new(&id("node/n")).unwrap().key_pem();
    fs::write(folder.path().join("identity.key"), key).unwrap();
    files.push(Credentials::load(folder.path()).unwrap_err());
    assert!(
        matches!(files[3], CredentialsError::Mismatch { .. }),
        "{}",
        files[3]
    );

    fs::write(folder.path().join("identity.pem"), "nothing").unwrap();
    files.push(Credentials::load(folder.path()).unwrap_err());
    fs::remove_file(folder.path().join("identity.pem")).unwrap();
    files.push(Credentials::load(folder.path()).unwrap_err());
    for error in files {
        let name = folder.path().join("identity.pem").display().to_string();
        assert!(error.to_string().contains(&name), "{error}");
    }
}

#[test]
fn a_request_is_granted_only_what_the_operator_grants() {
    let authority = Authority::ephemeral().unwrap();
    let request = Request::new(&id("node/a")).unwrap();
    let error = authority
        .issue(request.csr_pem(), &id("node/b"), HOUR)
        .unwrap_err();
    assert!(matches!(error, AuthorityError::Granted { .. }), "{error}");
    let error = authority
        .issue(request.csr_pem(), &id("client/a"), HOUR)
        .unwrap_err();
    assert!(matches!(error, AuthorityError::Granted { .. }), "{error}");
}

#[test]
fn a_request_with_more_names_than_its_identity_is_refused() {
    let authority = Authority::ephemeral().unwrap();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut params = super::super::request::named(&id("node/a")).unwrap();
    let dns = super::super::COORDINATOR_NAME.try_into().unwrap();
    params.subject_alt_names.push(rcgen::SanType::DnsName(dns));
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    let error = authority.issue(&csr, &id("node/a"), HOUR).unwrap_err();
    assert!(matches!(error, AuthorityError::Granted { .. }), "{error}");
}

#[test]
fn a_request_with_another_signature_or_key_type_is_refused() {
    let authority = Authority::ephemeral().unwrap();
    let request = Request::new(&id("node/a")).unwrap();
    let mut der = pem_bytes(request.csr_pem());
    *der.last_mut().unwrap() ^= 1;
    let forged = super::super::request::verified_der(&der, &id("node/a")).unwrap_err();
    assert!(matches!(forged, AuthorityError::Request(_)), "{forged}");

    let ecdsa = CertificateParams::default();
    let csr = ecdsa
        .serialize_request(&KeyPair::generate().unwrap())
        .unwrap()
        .pem()
        .unwrap();
    let error = authority.issue(&csr, &id("node/a"), HOUR).unwrap_err();
    assert!(matches!(error, AuthorityError::Algorithm), "{error}");
    let error = authority
        .issue("no request", &id("node/a"), HOUR)
        .unwrap_err();
    assert!(matches!(error, AuthorityError::Request(_)), "{error}");
}

fn pem_bytes(csr: &str) -> Vec<u8> {
    use rustls::pki_types::CertificateSigningRequestDer;
    use rustls::pki_types::pem::PemObject;
    CertificateSigningRequestDer::from_pem_slice(csr.as_bytes())
        .unwrap()
        .to_vec()
}

#[test]
fn a_certificate_of_no_time_is_not_issued() {
    let authority = Authority::ephemeral().unwrap();
    let request = Request::new(&id("node/a")).unwrap();
    let now = SystemTime::now();
    let error = authority
        .issue_between(request.csr_pem(), &id("node/a"), now, now)
        .unwrap_err();
    assert!(matches!(error, AuthorityError::Validity), "{error}");
}

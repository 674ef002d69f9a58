use super::super::{Identity, Name, Role, Sha256};
use super::id;

#[test]
fn a_name_is_1_to_63_safe_characters() {
    let longest = "a".repeat(63);
    for good in ["a", "site-3_b.eu", "0", longest.as_str()] {
        assert_eq!(good.parse::<Name>().unwrap().to_string(), good);
    }
    let too_long = "a".repeat(64);
    for bad in [
        "",
        ".",
        "..",
        "A",
        "a/b",
        "a b",
        "ä",
        "a\n",
        too_long.as_str(),
    ] {
        let error = bad.parse::<Name>().unwrap_err().to_string();
        assert!(
            error.contains("write 1 to 63 characters"),
            "{bad:?}: {error}"
        );
    }
}

#[test]
fn an_identity_and_its_uri_read_back() {
    for (text, role) in [
        ("coordinator/c1", Role::Coordinator),
        ("node/gpu-7", Role::Simulate),
        ("client/hospital.a", Role::Client),
    ] {
        let identity = id(text);
        assert_eq!((identity.role, identity.to_string().as_str()), (role, text));
        assert_eq!(identity.uri(), format!("spiffe://lyceum/{text}"));
        assert_eq!(Identity::from_uri(&identity.uri()), Ok(identity));
    }
}

#[test]
fn other_uris_are_no_identities() {
    for bad in [
        "spiffe://lyceum/admin/a",
        "spiffe://lyceum/node",
        "spiffe://lyceum/node/a/b",
        "spiffe://other/node/a",
        "node/a",
    ] {
        assert!(Identity::from_uri(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_hash_reads_back_and_has_one_spelling() {
    let hash = Sha256::of(b"");
    let digits = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(hash.to_string(), digits);
    assert_eq!(digits.parse(), Ok(hash));
    for bad in [
        digits.to_uppercase(),
        format!("{digits}0"),
        digits[1..].to_owned(),
    ] {
        assert!(bad.parse::<Sha256>().is_err(), "{bad}");
    }
}

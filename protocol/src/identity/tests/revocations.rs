use std::fs;

use super::super::{Authority, Revocation, Revocations, revoke};
use super::{credentials, id};

#[test]
fn no_file_is_an_empty_list_and_a_line_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("revoked");
    let authority = Authority::ephemeral().unwrap();
    let (a, b) = (
        credentials(&authority, "client/a"),
        credentials(&authority, "client/b"),
    );
    let list = Revocations::open(&file).unwrap();
    assert_eq!(list.refuses(a.as_peer()), None);
    assert!(!list.reload().unwrap());

    let key = a.as_peer().key_hash;
    fs::write(&file, format!("# stolen\n\n  {key}  # laptop\nnode/b\n")).unwrap();
    assert!(list.reload().unwrap());
    assert!(!list.reload().unwrap());
    assert_eq!(list.refuses(a.as_peer()), Some(Revocation::Key(key)));
    // A client and a node of one name are two.
    assert_eq!(list.refuses(b.as_peer()), None);
}

#[test]
fn a_damaged_line_is_named_and_the_list_in_force_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("revoked");
    let authority = Authority::ephemeral().unwrap();
    let node = credentials(&authority, "node/n");
    fs::write(&file, "node/n\n").unwrap();
    let list = Revocations::open(&file).unwrap();
    for bad in ["nod/n", "coordinator/c", "node/N", "abc"] {
        fs::write(&file, format!("# list\n{bad}\n")).unwrap();
        let error = list.reload().unwrap_err().to_string();
        assert!(
            error.contains(&format!("{}, line 2", file.display())),
            "{error}"
        );
        assert!(list.refuses(node.as_peer()).is_some());
    }
}

#[test]
fn revoking_adds_a_line_also_behind_an_open_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("revoked");
    revoke(&file, &Revocation::Identity(id("node/a"))).unwrap();
    fs::write(&file, "node/a\nnode/b").unwrap();
    revoke(&file, &"client/c".parse().unwrap()).unwrap();
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "node/a\nnode/b\nclient/c\n"
    );
    revoke(&file, &Revocation::Identity(id("coordinator/c"))).unwrap_err();
    Revocations::open(&file).unwrap();
}

use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::super::{Authority, Identity, Join, Refusal, Role, Token, TokenError, Tokens};
use super::{HOUR, id};

const ONCE: NonZeroU32 = NonZeroU32::MIN;

fn tokens() -> (tempfile::TempDir, Tokens) {
    let folder = tempfile::tempdir().unwrap();
    Authority::create(folder.path()).unwrap();
    let tokens = Tokens::open(folder.path()).unwrap();
    (folder, tokens)
}

fn refusal(tokens: &Tokens, token: &Token, identity: &Identity) -> Refusal {
    match tokens.redeem(token, identity) {
        Err(TokenError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_join_string_reads_back_and_names_the_authority() {
    let (folder, tokens) = tokens();
    let join = tokens.issue(Role::Simulate, None, ONCE, HOUR).unwrap();
    assert_eq!(
        join.authority,
        Authority::open(folder.path()).unwrap().fingerprint()
    );
    let text = join.to_string();
    assert_eq!(text.len(), 137);
    assert_eq!(text.parse::<Join>().unwrap(), join);
    for bad in [
        "",
        "lyceum1.a.b",
        &text[1..],
        &text[..136],
        &format!("{text}.x"),
    ] {
        assert!(bad.parse::<Join>().is_err(), "{bad}");
    }
}

#[test]
fn a_token_is_good_for_its_uses_and_no_more() {
    let (_folder, tokens) = tokens();
    let two = NonZeroU32::new(2).unwrap();
    let token = tokens.issue(Role::Simulate, None, two, HOUR).unwrap().token;
    tokens.redeem(&token, &id("node/a")).unwrap();
    tokens.redeem(&token, &id("node/b")).unwrap();
    assert_eq!(refusal(&tokens, &token, &id("node/c")), Refusal::UsedUp);
}

#[test]
fn a_token_raced_for_is_given_to_as_many_as_it_has_uses() {
    let (folder, tokens) = tokens();
    let uses = NonZeroU32::new(3).unwrap();
    let token = tokens.issue(Role::Client, None, uses, HOUR).unwrap().token;
    // Each with a store of its own, as separate processes would have.
    let redeem = |_| {
        Tokens::open(folder.path())
            .unwrap()
            .redeem(&token, &id("client/a"))
            .is_ok()
    };
    let won = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|n| scope.spawn(move || redeem(n))).collect();
        racers
            .into_iter()
            .filter_map(|racer| racer.join().ok())
            .filter(|won| *won)
            .count()
    });
    assert_eq!(won, 3);
}

#[test]
fn a_token_is_refused_when_expired_forged_or_for_another() {
    let (_folder, tokens) = tokens();
    let named = Some("a".parse().unwrap());
    let token = tokens.issue(Role::Client, named, ONCE, HOUR).unwrap().token;
    assert!(matches!(
        refusal(&tokens, &token, &id("client/b")),
        Refusal::Name { .. }
    ));
    assert!(matches!(
        refusal(&tokens, &token, &id("node/a")),
        Refusal::Role { .. }
    ));
    let forged = Token::from_digits(&"0".repeat(64)).unwrap();
    assert_eq!(refusal(&tokens, &forged, &id("client/a")), Refusal::Unknown);
    let late = tokens
        .issue(Role::Client, None, ONCE, Duration::ZERO)
        .unwrap()
        .token;
    assert_eq!(refusal(&tokens, &late, &id("client/a")), Refusal::Expired);
    // None of that has cost the use.
    tokens.redeem(&token, &id("client/a")).unwrap();
}

#[test]
fn the_file_is_its_owners_alone_and_holds_no_token() {
    let (folder, tokens) = tokens();
    let token = tokens
        .issue(Role::Simulate, None, ONCE, HOUR)
        .unwrap()
        .token;
    let file = folder.path().join("tokens");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!fs::read_to_string(&file).unwrap().contains(&token.digits()));
    assert_eq!(format!("{token:?}"), "Token(elided)");

    fs::write(&file, "nonsense\n").unwrap();
    let error = tokens
        .redeem(&token, &id("node/a"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&format!("{}, line 1", file.display())),
        "{error}"
    );
}

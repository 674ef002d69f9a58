//! `lyceum identity`.

use crate::network::resolved;
use crate::{
    address::Address,
    arguments::{IdentityCommand, Issue, Log},
    codes::is_full,
    failure::Failure,
    network::{log_to_stderr, runtime},
    output::line,
};
use lyceum_protocol::identity::{
    Authority, Credentials, Identity, Join, Name, Revocation, Role, Tokens, enrol, revoke,
};
use std::{
    path::Path,
    time::{Duration, SystemTime},
};

const DAY: u64 = 24 * 3600;
/// Hours for which a join string may be used, at most.
const LONGEST_HOURS: u64 = 366 * 24;

/// Makes, shows, revokes and hands out certificates.
pub(crate) fn identity(command: &IdentityCommand) -> Result<(), Failure> {
    match command {
        IdentityCommand::Init { folder } => init(folder),
        IdentityCommand::Coordinator(issue) => make(Role::Coordinator, issue),
        IdentityCommand::Node(issue) => make(Role::Simulate, issue),
        IdentityCommand::Client(issue) => make(Role::Client, issue),
        IdentityCommand::Revoke { entry, list } => revoke_entry(entry, list),
        IdentityCommand::Show { folder } => show(folder),
        IdentityCommand::Token {
            role,
            name,
            uses,
            hours,
            authority,
        } => token(role, name.as_deref(), *uses, *hours, authority),
        IdentityCommand::Serve {
            listen,
            authority,
            log,
        } => serve(listen, authority, log),
        IdentityCommand::Join {
            role,
            name,
            join,
            server,
            out,
        } => enrol_here(role, name, join, server, out),
    }
}

fn init(folder: &Path) -> Result<(), Failure> {
    let authority = Authority::create(folder).map_err(Failure::file)?;
    line(format_args!("authority {}", authority.fingerprint()));
    line(format_args!("folder    {}", folder.display()));
    Ok(())
}

fn make(role: Role, issue: &Issue) -> Result<(), Failure> {
    let authority = Authority::open(&issue.authority).map_err(Failure::input)?;
    let identity = Identity::new(role, name(&issue.name)?);
    is_free(&issue.out)?;
    let validity = Duration::from_secs(u64::from(issue.days) * DAY);
    let credentials = authority
        .credentials(&identity, validity)
        .map_err(Failure::other)?;
    credentials.write(&issue.out).map_err(Failure::file)?;
    describe(&credentials, &issue.out);
    Ok(())
}

/// Refuses a folder with a key in it: whoever has the key's certificate would lose it.
fn is_free(folder: &Path) -> Result<(), Failure> {
    match folder.join("identity.key").exists() {
        false => Ok(()),
        true => Err(Failure::input(format!(
            "{} holds an identity already, and its key would be lost: choose another --out, or remove it first",
            folder.display()
        ))),
    }
}

fn describe(credentials: &Credentials, folder: &Path) {
    let left = credentials
        .expires()
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    line(format_args!("identity  {}", credentials.identity()));
    line(format_args!("key       {}", credentials.as_peer().key_hash));
    line(format_args!(
        "valid for {} days",
        left.as_secs().div_ceil(DAY)
    ));
    line(format_args!("folder    {}", folder.display()));
}

fn show(folder: &Path) -> Result<(), Failure> {
    let credentials = Credentials::load(folder).map_err(Failure::input)?;
    describe(&credentials, folder);
    Ok(())
}

fn revoke_entry(entry: &str, list: &Path) -> Result<(), Failure> {
    let entry: Revocation = entry
        .parse()
        .map_err(|e| Failure::input(format!("{entry}: {e}")))?;
    revoke(list, &entry).map_err(|e| match is_full(&e) {
        true => Failure::file(e),
        false => Failure::input(format!(
            "{e}; --list names the coordinator's file, which is revoked.txt beside its certificate"
        )),
    })?;
    line(format_args!("revoked   {entry}"));
    line(format_args!("list      {}", list.display()));
    Ok(())
}

fn token(
    role_word: &str,
    name_text: Option<&str>,
    uses: std::num::NonZeroU32,
    hours: f64,
    authority: &Path,
) -> Result<(), Failure> {
    let whole = (hours * 3600.0).round();
    let ttl = Duration::try_from_secs_f64(whole).ok();
    let ttl = ttl.filter(|ttl| (1..=LONGEST_HOURS * 3600).contains(&ttl.as_secs()));
    let ttl = ttl.ok_or_else(|| {
        let right = format!("expected hours above 0, and at most {LONGEST_HOURS}, a year");
        Failure::input(format!("--hours {hours}: {right}"))
    })?;
    let name = name_text.map(name).transpose()?;
    let tokens = Tokens::open(authority).map_err(Failure::file)?;
    let join = tokens
        .issue(role(role_word)?, name, uses, ttl)
        .map_err(|e| Failure::unless_full(&e, Failure::other(&e)))?;
    line(format_args!("{join}"));
    Ok(())
}

fn serve(listen: &Address, folder: &Path, log: &Log) -> Result<(), Failure> {
    log_to_stderr(log)?;
    let addresses = resolved("--listen", listen)?;
    let authority = Authority::open(folder).map_err(Failure::input)?;
    let tokens = Tokens::open(folder).map_err(Failure::input)?;
    line(format_args!("authority {}", authority.fingerprint()));
    runtime(1)?
        .block_on(enrol::serve(&addresses, authority, tokens))
        .map_err(|error| match error {
            enrol::ServeError::Listen { .. } => Failure::input(error),
            other => Failure::other(other),
        })
}

fn enrol_here(
    role_word: &str,
    name_text: &str,
    join: &str,
    server: &Address,
    out: &Path,
) -> Result<(), Failure> {
    let join: Join = join
        .parse()
        .map_err(|e| Failure::input(format!("the join string: {e}")))?;
    let identity = Identity::new(role(role_word)?, name(name_text)?);
    is_free(out)?;
    let addresses = server
        .resolve()
        .map_err(|e| Failure::other(format!("--server {server}: {e}")))?;
    let credentials = runtime(1)?.block_on(async {
        enrol::join(&addresses, &join, &identity)
            .await
            .map_err(|error| match error {
                // The string, or the name, is not the right one.
                enrol::EnrolError::Refused { .. } | enrol::EnrolError::WrongAuthority(_) => {
                    Failure::input(error)
                }
                other => Failure::other(other),
            })
    })?;
    credentials.write(out).map_err(Failure::file)?;
    describe(&credentials, out);
    Ok(())
}

fn name(text: &str) -> Result<Name, Failure> {
    text.parse()
        .map_err(|e| Failure::input(format!("the name `{text}`: {e}")))
}

fn role(word: &str) -> Result<Role, Failure> {
    Role::from_word(word)
        .ok_or_else(|| Failure::input(format!("`{word}`: expected node, client or coordinator")))
}

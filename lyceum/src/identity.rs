//! `lyceum identity`.

use crate::{
    address::Address,
    arguments::{IdentityCommand, Issue, Log},
    codes::is_full,
    failure::Failure,
    network::{given, log_to_stderr, resolved, runtime},
    output::line,
    place::own_name,
    settings::ProcessSettings,
};
use lyceum_protocol::identity::{
    Authority, Credentials, CredentialsError, Identity, Join, Name, Revocation, Role, Tokens,
    enrol, revoke,
};
use std::{
    path::Path,
    time::{Duration, SystemTime},
};

const DAY: u64 = 24 * 3600;
/// Hours for which a join string may be used, at most.
const LONGEST_HOURS: u64 = 366 * 24;
/// Pause before a host that joins tries again.
const AGAIN: Duration = Duration::from_secs(1);

/// Makes, shows, revokes and hands out certificates.
pub(crate) fn identity(command: &IdentityCommand) -> Result<(), Failure> {
    match command {
        IdentityCommand::Init { folder, keep } => init(folder, *keep),
        IdentityCommand::Take { from, out, replace } => take(from, out, *replace),
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
        } => serve(listen.as_ref(), authority, log),
        IdentityCommand::Join {
            role,
            name,
            join,
            join_file,
            server,
            out,
            keep,
            patience,
        } => enrol_here(&Enrolment {
            role,
            name: name.as_deref(),
            join: join.as_deref(),
            join_file: join_file.as_deref(),
            server: server.as_ref(),
            out,
            keep: *keep,
            patience: *patience,
        }),
    }
}

fn init(folder: &Path, keep: bool) -> Result<(), Failure> {
    let authority = match keep && folder.join("authority.key").exists() {
        true => Authority::open(folder),
        false => Authority::create(folder),
    };
    let authority = authority.map_err(Failure::file)?;
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

/// Files of an identity as others call them: chain, key, and the authority's certificate.
const TAKEN: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

/// Puts an identity that another authority has signed where it is looked for.
fn take(from: &Path, out: &Path, replace: bool) -> Result<(), Failure> {
    if !replace {
        is_free(out)?;
    }
    let read = |name: &str| {
        let path = from.join(name);
        std::fs::read_to_string(&path)
            .map_err(|e| Failure::input(format!("{}: {e}", path.display())))
    };
    let [chain, key, roots] = TAKEN.map(read);
    let credentials = Credentials::from_pem(&chain?, &key?, &roots?).map_err(Failure::input)?;
    credentials.write(out).map_err(Failure::input)?;
    describe(&credentials, out);
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

fn serve(listen: Option<&Address>, folder: &Path, log: &Log) -> Result<(), Failure> {
    let settings = ProcessSettings::read()?;
    log_to_stderr(log, &settings)?;
    let default = || ([0, 0, 0, 0], 4434).into();
    let listen = listen.cloned().or(settings.listen).unwrap_or_else(default);
    let addresses = resolved("--listen", &listen)?;
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

/// What a host that joins is told.
struct Enrolment<'a> {
    role: &'a str,
    name: Option<&'a str>,
    join: Option<&'a str>,
    join_file: Option<&'a Path>,
    server: Option<&'a Address>,
    out: &'a Path,
    keep: bool,
    patience: f64,
}

fn enrol_here(enrolment: &Enrolment<'_>) -> Result<(), Failure> {
    let settings = ProcessSettings::read()?;
    let Enrolment { out, patience, .. } = *enrolment;
    let name = match enrolment.name {
        Some(text) => name(text)?,
        None => own_name(&settings)?,
    };
    let identity = Identity::new(role(enrolment.role)?, name);
    if is_kept(enrolment, &identity)? {
        return Ok(());
    }
    let names = "--server HOST:PORT, or the setting `server` (LYCEUM__SERVER)";
    let server = given(&enrolment.server.cloned(), &settings.server, names)?;
    let join: Join = join_string(enrolment, &settings)?
        .trim()
        .parse()
        .map_err(|e| Failure::input(format!("the join string: {e}")))?;
    let patience = Duration::try_from_secs_f64(patience).map_err(|_| {
        Failure::input(format!(
            "--patience {patience}: expected seconds, 0 or above"
        ))
    })?;
    let credentials = runtime(1)?.block_on(join_within(&server, &join, &identity, patience))?;
    credentials.write(out).map_err(Failure::file)?;
    describe(&credentials, out);
    Ok(())
}

/// Whether the folder holds this identity already, so that a host that is started again goes on with it. One that has expired
/// gives way to a new one; any other is not touched.
fn is_kept(enrolment: &Enrolment<'_>, wanted: &Identity) -> Result<bool, Failure> {
    let folder = enrolment.out;
    if !enrolment.keep || !folder.join("identity.key").exists() {
        return is_free(folder).map(|()| false);
    }
    match Credentials::load(folder) {
        Ok(credentials) if credentials.identity() == wanted => {
            describe(&credentials, folder);
            Ok(true)
        }
        Err(CredentialsError::Expired { identity, .. }) if identity == *wanted => Ok(false),
        Ok(_) => is_free(folder).map(|()| false),
        Err(error) => Err(Failure::input(error)),
    }
}

/// The join string: of the command line, of a file, or of the settings.
fn join_string(enrolment: &Enrolment<'_>, settings: &ProcessSettings) -> Result<String, Failure> {
    let flags = (enrolment.join, enrolment.join_file);
    let (text, file) = match flags {
        (None, None) => (settings.join.as_deref(), settings.join_file.as_deref()),
        flags => flags,
    };
    match (text, file) {
        (Some(text), _) => Ok(text.into()),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|e| Failure::input(format!("{}: {e}", file.display()))),
        (None, None) => Err(Failure::input(
            "expected a join string: here, in a file that --join-file names, or in LYCEUM__JOIN",
        )),
    }
}

/// Joins, trying again for a while where nobody answers.
async fn join_within(
    server: &Address,
    join: &Join,
    identity: &Identity,
    patience: Duration,
) -> Result<Credentials, Failure> {
    let until = tokio::time::Instant::now() + patience;
    loop {
        let failure = match join_once(server, join, identity).await {
            Err(failure @ Failure::Other(_)) => failure,
            settled => return settled,
        };
        if tokio::time::Instant::now() + AGAIN > until {
            return Err(failure);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn join_once(
    server: &Address,
    join: &Join,
    identity: &Identity,
) -> Result<Credentials, Failure> {
    let addresses = server.find().await;
    let addresses = addresses.map_err(|e| Failure::other(format!("--server {server}: {e}")))?;
    let joined = enrol::join(&addresses, join, identity).await;
    joined.map_err(|error| match error {
        // The string, or the name, is not the right one.
        enrol::EnrolError::Refused { .. } | enrol::EnrolError::WrongAuthority(_) => {
            Failure::input(error)
        }
        other => Failure::other(other),
    })
}

fn name(text: &str) -> Result<Name, Failure> {
    text.parse()
        .map_err(|e| Failure::input(format!("the name `{text}`: {e}")))
}

fn role(word: &str) -> Result<Role, Failure> {
    Role::from_word(word)
        .ok_or_else(|| Failure::input(format!("`{word}`: expected node, client or coordinator")))
}

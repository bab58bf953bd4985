//! Which server a call goes to: the one that was named, the data directory's, or one started for this call.

use std::{
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{args::ServerArgs, exit::Fail};

/// What a running `qflow dev` leaves in its data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFile {
    /// Its process.
    pub pid: u32,
    /// Where it listens for clients.
    pub http: String,
    /// Where its health-aggregator listens.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub health: String,
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To that server.
    Server {
        /// Its address.
        url: String,
        /// Its token.
        token: Option<String>,
        /// Where its health-aggregator is, where that is known.
        health: Option<String>,
    },
    /// To a server that is started for this call.
    Embedded,
}

/// The data directory: as set, else `$XDG_DATA_HOME/qflow`, else `~/.local/share/qflow`.
pub fn data_dir(set: Option<PathBuf>) -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share"));
    set.or_else(|| {
        std::env::var_os("XDG_DATA_HOME")
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
            .or_else(home)
            .map(|p| p.join("qflow"))
    })
    .unwrap_or_else(|| PathBuf::from(".qflow"))
}

/// Decides where a call goes.
pub fn discover(args: &ServerArgs, data_dir: &Path) -> Result<Target, Fail> {
    let token = token(args, data_dir)?;
    if let Some(url) = &args.server {
        return Ok(Target::Server { url: url.clone(), token, health: None });
    }
    match read_server(data_dir) {
        Some(ServerFile { pid, http, health }) if is_alive(pid) => {
            Ok(Target::Server { url: http, token, health: Some(health).filter(|url| !url.is_empty()) })
        }
        _ => Ok(Target::Embedded),
    }
}

/// The token that calls show.
pub fn token(args: &ServerArgs, data_dir: &Path) -> Result<Option<String>, Fail> {
    Ok(match (&args.token, &args.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(path)) => Some(
            std::fs::read_to_string(path)
                .map_err(|e| Fail::usage(format!("read the token from {}: {e}", path.display())))?
                .trim()
                .to_owned(),
        ),
        (None, None) => read_token(data_dir),
    })
}

/// Where the health-aggregator beside a server is, unless somebody says otherwise: on the same host, on the published port.
pub fn beside(server: &str) -> String {
    let (scheme, rest) = server.split_once("://").unwrap_or(("http", server));
    let authority = rest.split('/').next().unwrap_or_default();
    // What stands in brackets is an address with colons of its own.
    let host_end = authority.rfind(':').filter(|at| !authority[*at..].contains(']')).unwrap_or(authority.len());
    format!("{scheme}://{}:7404", &authority[..host_end])
}

fn read_server(data_dir: &Path) -> Option<ServerFile> {
    serde_json::from_str(&std::fs::read_to_string(data_dir.join("server.json")).ok()?).ok()
}

/// The data directory's token, where it has one.
pub fn read_token(data_dir: &Path) -> Option<String> {
    let token = std::fs::read_to_string(data_dir.join("token")).ok()?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// The data directory's token, made where it is missing; only its owner reads it.
pub fn ensure_token(data_dir: &Path) -> std::io::Result<String> {
    // Sources, values and lines of users lie in it: a folder that is made here is its owner's alone.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    if let Some(token) = read_token(data_dir) {
        return Ok(token);
    }
    let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    write_whole(&data_dir.join("token"), &token)?;
    Ok(token)
}

/// Tells clients of the data directory where the server is.
pub fn write_server(data_dir: &Path, server: &ServerFile) -> std::io::Result<()> {
    write_whole(&data_dir.join("server.json"), &serde_json::to_string(server)?)
}

/// Takes back what [`write_server`] told, where it is still this process that it told of.
pub fn remove_server(data_dir: &Path) {
    if read_server(data_dir).is_some_and(|server| server.pid == std::process::id()) {
        // Best effort: a file that stays names a process that is gone, which readers notice.
        drop(std::fs::remove_file(data_dir.join("server.json")));
    }
}

/// Writes beside and renames, so that no reader sees a part.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(beside, path)
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // A process of another user is alive too: it refuses the signal instead of being absent.
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_named_server_wins_over_the_data_directorys() {
        let home = tempfile::tempdir().unwrap();
        let server =
            ServerFile { pid: std::process::id(), http: "http://127.0.0.1:1".to_owned(), health: String::new() };
        write_server(home.path(), &server).unwrap();
        let args =
            ServerArgs { server: Some("http://there".to_owned()), token: Some("t".to_owned()), ..Default::default() };
        let target = discover(&args, home.path()).unwrap();
        assert_eq!(
            target,
            Target::Server { url: "http://there".to_owned(), token: Some("t".to_owned()), health: None }
        );
    }

    #[test]
    fn a_running_server_of_the_data_directory_is_found_with_its_token() {
        let home = tempfile::tempdir().unwrap();
        let token = ensure_token(home.path()).unwrap();
        assert_eq!(discover(&ServerArgs::default(), home.path()).unwrap(), Target::Embedded);
        let health = "http://127.0.0.1:2".to_owned();
        let server = ServerFile { pid: std::process::id(), http: "http://127.0.0.1:1".to_owned(), health };
        write_server(home.path(), &server).unwrap();
        let target = discover(&ServerArgs::default(), home.path()).unwrap();
        assert_eq!(target, Target::Server { url: server.http, token: Some(token), health: Some(server.health) });
        remove_server(home.path());
        assert_eq!(discover(&ServerArgs::default(), home.path()).unwrap(), Target::Embedded);
    }

    #[test]
    fn a_server_that_died_is_not_called() {
        let home = tempfile::tempdir().unwrap();
        let http = "http://127.0.0.1:1".to_owned();
        write_server(home.path(), &ServerFile { pid: i32::MAX as u32, http, health: String::new() }).unwrap();
        assert_eq!(discover(&ServerArgs::default(), home.path()).unwrap(), Target::Embedded);
    }

    #[test]
    fn the_health_aggregator_is_beside_its_server() {
        for (server, health) in [
            ("http://127.0.0.1:7400", "http://127.0.0.1:7404"),
            ("qflow.example", "http://qflow.example:7404"),
            ("https://qflow.example/", "https://qflow.example:7404"),
            ("http://[::1]:7400", "http://[::1]:7404"),
            ("http://[::1]", "http://[::1]:7404"),
        ] {
            assert_eq!(beside(server), health);
        }
    }

    #[test]
    fn the_token_stays_and_only_its_owner_reads_it() {
        let home = tempfile::tempdir().unwrap();
        let token = ensure_token(home.path()).unwrap();
        assert_eq!(ensure_token(home.path()).unwrap(), token);
        let mode = std::fs::metadata(home.path().join("token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

//! A program that asks another of its kind whether it is ready: for health checks in images that have no shell.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

/// How long each step of the question may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of an answer that are looked at: its first line says all.
const ANSWER: u64 = 64;

/// What a program may be asked to do in place of serving.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Ask {
    /// Ask the service at this admin address whether it is ready, and end with 0 where it is: for health checks.
    #[arg(long, value_name = "ADDRESS")]
    pub ready: Option<SocketAddr>,
}

impl Ask {
    /// Asks, where that was wanted.
    pub fn answer(&self) -> Option<ExitCode> {
        let address = self.ready?;
        Some(match ask(address) {
            Ok(line) if line.contains(" 200 ") => ExitCode::SUCCESS,
            Ok(line) => {
                eprintln!("{address} is not ready: {line}");
                ExitCode::FAILURE
            }
            Err(error) => {
                eprintln!("{address} does not answer: {error}");
                ExitCode::FAILURE
            }
        })
    }
}

/// The first line of the answer.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use qflow_telemetry::Telemetry;

    use super::*;
    use crate::{Readiness, Shutdown, admin};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_service_is_ready_once_it_says_so() {
        let (listener, shutdown) = (crate::bind("127.0.0.1:0".parse().unwrap()).await.unwrap(), Shutdown::new());
        let (address, readiness) = (listener.local_addr().unwrap(), Readiness::new());
        let serving = tokio::spawn(admin(listener, Telemetry::silent(), readiness.clone(), shutdown.clone()));
        let asked = || tokio::task::spawn_blocking(move || ask(address));
        assert!(asked().await.unwrap().unwrap().contains(" 503 "));
        readiness.started();
        assert!(asked().await.unwrap().unwrap().contains(" 200 "));
        shutdown.trigger();
        serving.await.unwrap().unwrap();
        assert!(asked().await.unwrap().is_err(), "nobody listens any more");
    }
}

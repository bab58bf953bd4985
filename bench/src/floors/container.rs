//! The floor of Docker: its API's own create and start of a container that is like one of ours.

use std::{
    io::{Read as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

use crate::clock::{median, ms, now};

/// Containers that are started.
const ROUNDS: usize = 5;
/// How long one may take to say a byte: past it, it never will.
const PATIENCE: Duration = Duration::from_secs(20);

/// Docker's API on its socket.
pub(crate) struct Docker(PathBuf);

impl Docker {
    /// Where `DOCKER_HOST` says, else where it usually is.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
        let path = host.strip_prefix("unix://").with_context(|| format!("DOCKER_HOST is `{host}`, not a socket"))?;
        Ok(Self(path.into()))
    }

    /// One call: its answer in JSON, null where it is empty.
    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut stream =
            UnixStream::connect(&self.0).await.with_context(|| format!("connect to {}", self.0.display()))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: docker\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
        let status: u16 =
            head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("an answer has a status")?;
        anyhow::ensure!(status < 400, "{method} {path}: {status} {}", body.trim());
        Ok(serde_json::from_str(body).unwrap_or_default())
    }

    /// What a container writes, from now on.
    async fn output(&self, id: &str) -> anyhow::Result<BufReader<UnixStream>> {
        let mut stream = UnixStream::connect(&self.0).await?;
        let head = format!(
            "POST /containers/{id}/attach?stream=1&stdout=1 HTTP/1.1\r\nhost: docker\r\nconnection: Upgrade\r\n\
             upgrade: tcp\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let (mut stream, mut line) = (BufReader::new(stream), String::new());
        stream.read_line(&mut line).await?;
        anyhow::ensure!(line.contains(" 101 "), "attach to a container: {}", line.trim());
        while !line.trim().is_empty() {
            line.clear();
            stream.read_line(&mut line).await?;
        }
        Ok(stream)
    }

    /// How one of our containers was made: what `create` is to be told to make another like it.
    pub(crate) async fn like(&self, container: &str) -> anyhow::Result<Value> {
        let seen = self.call("GET", &format!("/containers/{container}/json"), None).await?;
        let mut config = seen["Config"].clone();
        // It is to do nothing but say that it is there: the one whose folder it shares must not find another in it.
        config["Cmd"] = json!(["python3", "-c", "import os, time; os.write(1, b'x'); time.sleep(60)"]);
        config["Tty"] = json!(false);
        config["AttachStdout"] = json!(true);
        config["Entrypoint"] = Value::Null;
        config["Labels"] = json!({});
        config["HostConfig"] = seen["HostConfig"].clone();
        Ok(config)
    }

    /// Removes a volume, where it is there and nobody uses it.
    pub(crate) async fn forget_volume(&self, name: &str) -> anyhow::Result<()> {
        self.call("DELETE", &format!("/volumes/{name}?force=true"), None).await.map(drop)
    }

    /// Milliseconds of create and start together, and until Python's first byte has come by a pipe: medians.
    pub(crate) async fn start_ms(&self, config: &Value) -> anyhow::Result<(f64, f64)> {
        let (mut took, mut spoke) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
        for _ in 0..ROUNDS {
            let begun = now();
            let made = self.call("POST", "/containers/create", Some(config)).await?;
            let id = made["Id"].as_str().context("a container has an id")?.to_owned();
            let mut container = Container { docker: self, id: Some(id.clone()) };
            // Whoever listens only afterwards may miss it.
            let listens = now();
            let mut output = self.output(&id).await?;
            let listening = listens.elapsed();
            let started = self.call("POST", &format!("/containers/{id}/start"), None).await;
            took.push(ms(begun.elapsed().saturating_sub(listening)));
            if started.is_ok() {
                let heard = tokio::time::timeout(PATIENCE, output.read_u8()).await;
                heard.context("a container says nothing")?.context("a container's output ended")?;
                spoke.push(ms(begun.elapsed().saturating_sub(listening)));
            }
            self.call("DELETE", &format!("/containers/{id}?force=true"), None).await?;
            container.id = None;
            started?;
        }
        Ok((median(&mut took), median(&mut spoke)))
    }
}

/// A container that is to be removed, also where this program is asked to end meanwhile.
struct Container<'a> {
    docker: &'a Docker,
    id: Option<String>,
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let Some(id) = &self.id else { return };
        let removed = std::os::unix::net::UnixStream::connect(&self.docker.0).and_then(|mut stream| {
            write!(stream, "DELETE /containers/{id}?force=true HTTP/1.0\r\nhost: docker\r\n\r\n")?;
            stream.read_to_end(&mut Vec::new())
        });
        if let Err(error) = removed {
            eprintln!("the container {id} stays: {error}");
        }
    }
}

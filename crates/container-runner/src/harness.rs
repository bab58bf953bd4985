//! The line to a harness (`docs/HARNESS.md`): frames, and a link that outlives its connections.

mod message;

use std::{path::Path, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
pub use message::{AttachmentHead, AttemptSay, EndedSaid, Line, Piece, Said, Say, SpanSaid};
use serde::Deserialize;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::codec::{Decoder, Encoder, Framed};

/// Bytes of a frame's body: what one side makes the other hold at once.
pub const FRAME_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that one message may announce: a value's bound and some.
const ANNOUNCED_BYTES: u64 = qflow_model::limits::VALUE_BYTES + (64 << 20);
/// Messages in flight on a link: enough for bursts of log lines.
const IN_FLIGHT: usize = 64;
/// How long a dialer may take to say who it is.
const HELLO: Duration = Duration::from_secs(5);

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A JSON message.
    Json(Bytes),
    /// Bytes that the last message announced.
    Bytes(Bytes),
}

/// Reads and writes frames.
#[derive(Debug, Default)]
pub struct Codec;

impl Decoder for Codec {
    type Item = Frame;
    type Error = std::io::Error;
    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, std::io::Error> {
        let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head) as usize;
        if length == 0 || length > FRAME_BYTES + 1 {
            return Err(bad(format!("a frame of {length} bytes, where 1 to {} are allowed", FRAME_BYTES + 1)));
        }
        if buffer.len() < 4 + length {
            buffer.reserve(4 + length - buffer.len());
            return Ok(None);
        }
        buffer.advance(4);
        let kind = buffer.get_u8();
        let body = buffer.split_to(length - 1).freeze();
        match kind {
            b'J' => Ok(Some(Frame::Json(body))),
            b'B' => Ok(Some(Frame::Bytes(body))),
            other => Err(bad(format!("a frame of kind {other}"))),
        }
    }
}

impl Encoder<Frame> for Codec {
    type Error = std::io::Error;
    fn encode(&mut self, frame: Frame, buffer: &mut BytesMut) -> Result<(), std::io::Error> {
        let (kind, body) = match frame {
            Frame::Json(body) => (b'J', body),
            Frame::Bytes(body) => (b'B', body),
        };
        if body.len() > FRAME_BYTES {
            return Err(bad(format!("a frame of {} bytes, where {FRAME_BYTES} are allowed", body.len())));
        }
        buffer.reserve(5 + body.len());
        buffer.put_u32(body.len() as u32 + 1);
        buffer.put_u8(kind);
        buffer.put_slice(&body);
        Ok(())
    }
}

fn bad(message: String) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, message)
}

/// A message with its number and the bytes it announced.
#[derive(Debug)]
pub struct Heard {
    /// Its number.
    pub seq: u64,
    /// The message.
    pub said: Said,
    /// For a result: the encoding, then each attachment.
    pub parts: Vec<Bytes>,
}

/// What a link tells its holder.
#[derive(Debug)]
pub enum Told {
    /// A message.
    Heard(Box<Heard>),
    /// The harness left the grammar: the container must end.
    Fault(String),
}

/// One container's line, over as many connections as it takes.
#[derive(Debug)]
pub struct Link {
    say: mpsc::Sender<(Say, Vec<Bytes>)>,
    told: mpsc::Receiver<Told>,
    task: JoinHandle<()>,
}

impl Link {
    /// Listens at `socket` for a harness that knows `token`.
    pub fn listen(socket: &Path, token: String, mode: u32) -> std::io::Result<Self> {
        if let Err(error) = std::fs::remove_file(socket)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let listener = UnixListener::bind(socket)?;
        std::fs::set_permissions(socket, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        let (say, to_say) = mpsc::channel(IN_FLIGHT);
        let (tell, told) = mpsc::channel(IN_FLIGHT);
        let task = tokio::spawn(Talk { listener, token, to_say, tell, seen: 0, acked: 0 }.run());
        Ok(Self { say, told, task })
    }

    /// Says something; false where the link has ended.
    pub async fn say(&self, say: Say, parts: Vec<Bytes>) -> bool {
        self.say.send((say, parts)).await.is_ok()
    }

    /// Tells that everything up to `seq` is safe.
    pub async fn ack(&self, seq: u64) {
        self.say(Say::Ack { seq }, Vec::new()).await;
    }

    /// What comes next; `None` once the link has ended.
    pub async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Talk {
    listener: UnixListener,
    token: String,
    to_say: mpsc::Receiver<(Say, Vec<Bytes>)>,
    tell: mpsc::Sender<Told>,
    seen: u64,
    acked: u64,
}

impl Talk {
    /// Accepts, talks until the connection breaks, accepts again.
    async fn run(mut self) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else { return };
            let mut framed = Framed::new(stream, Codec);
            let Ok(Some(hello)) = tokio::time::timeout(HELLO, self.hello(&mut framed)).await else { continue };
            if self.tell.send(Told::Heard(Box::new(hello))).await.is_err() {
                return;
            }
            match self.talk(&mut framed).await {
                Ok(false) => return,
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    // Nobody listens any more: then the container is being removed anyway.
                    self.tell.send(Told::Fault(error.to_string())).await.ok();
                    return;
                }
                Ok(true) | Err(_) => {}
            }
        }
    }

    async fn hello(&mut self, framed: &mut Framed<UnixStream, Codec>) -> Option<Heard> {
        let Some(Ok(Frame::Json(body))) = framed.next().await else { return None };
        let heard = parse(&body).ok()?;
        match &heard.said {
            Said::Hello { token, .. } if *token == self.token => {}
            _ => return None,
        }
        write(framed, Say::Welcome { ack: self.acked }, Vec::new()).await.ok()?;
        Some(heard)
    }

    /// True where the harness may dial again, false where nobody holds the link any more.
    async fn talk(&mut self, framed: &mut Framed<UnixStream, Codec>) -> std::io::Result<bool> {
        loop {
            tokio::select! {
                frame = framed.next() => {
                    let Some(frame) = frame else { return Ok(true) };
                    let Frame::Json(body) = frame? else { return Err(bad("bytes that no message announced".into())) };
                    let mut heard = parse(&body)?;
                    heard.parts = parts(framed, &heard.said).await?;
                    if heard.seq != 0 && heard.seq <= self.seen {
                        continue;
                    }
                    self.seen = self.seen.max(heard.seq);
                    if self.tell.send(Told::Heard(Box::new(heard))).await.is_err() {
                        return Ok(false);
                    }
                }
                say = self.to_say.recv() => {
                    let Some((say, parts)) = say else { return Ok(false) };
                    if let Say::Ack { seq } = say {
                        self.acked = self.acked.max(seq);
                    }
                    write(framed, say, parts).await?;
                }
            }
        }
    }
}

fn parse(body: &[u8]) -> std::io::Result<Heard> {
    #[derive(Deserialize)]
    struct Seq {
        #[serde(default)]
        seq: u64,
    }
    let seq: Seq = serde_json::from_slice(body).map_err(|e| bad(e.to_string()))?;
    let said = serde_json::from_slice(body).map_err(|e| bad(e.to_string()))?;
    Ok(Heard { seq: seq.seq, said, parts: Vec::new() })
}

async fn parts(framed: &mut Framed<UnixStream, Codec>, said: &Said) -> std::io::Result<Vec<Bytes>> {
    let (sizes, bound): (Vec<u64>, u64) = match said {
        Said::Result { size, attachments, .. } => {
            let following = attachments.iter().filter(|a| a.content.is_none()).map(|a| a.size);
            (std::iter::once(*size).chain(following).collect(), ANNOUNCED_BYTES)
        }
        Said::Content(piece) => (vec![piece.size], FRAME_BYTES as u64),
        _ => return Ok(Vec::new()),
    };
    let announced = sizes.iter().fold(0_u64, |sum, size| sum.saturating_add(*size));
    if announced > bound {
        return Err(bad(format!("a message with {announced} bytes, where {bound} are allowed")));
    }
    let mut all = BytesMut::new();
    while (all.len() as u64) < announced {
        match framed.next().await {
            // What comes in one frame is not copied.
            Some(Ok(Frame::Bytes(bytes))) if sizes.len() == 1 && bytes.len() as u64 == announced => {
                return Ok(vec![bytes]);
            }
            Some(Ok(Frame::Bytes(bytes))) => all.extend_from_slice(&bytes),
            Some(Ok(Frame::Json(_))) => return Err(bad("a message where bytes were announced".into())),
            Some(Err(error)) => return Err(error),
            None => return Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
    if all.len() as u64 > announced {
        return Err(bad("more bytes than were announced".into()));
    }
    let mut all = all.freeze();
    Ok(sizes.iter().map(|size| all.split_to(*size as usize)).collect())
}

async fn write(framed: &mut Framed<UnixStream, Codec>, say: Say, parts: Vec<Bytes>) -> std::io::Result<()> {
    let body = serde_json::to_vec(&say).map_err(|e| bad(e.to_string()))?;
    framed.feed(Frame::Json(body.into())).await?;
    for mut part in parts {
        while !part.is_empty() {
            framed.feed(Frame::Bytes(part.split_to(part.len().min(FRAME_BYTES)))).await?;
        }
    }
    framed.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back_as_it_was_written() {
        let mut buffer = BytesMut::new();
        Codec.encode(Frame::Json(Bytes::from_static(b"{}")), &mut buffer).unwrap();
        Codec.encode(Frame::Bytes(Bytes::from_static(b"abc")), &mut buffer).unwrap();
        assert_eq!(&buffer[..5], b"\0\0\0\x03J");
        assert_eq!(Codec.decode(&mut buffer).unwrap(), Some(Frame::Json(Bytes::from_static(b"{}"))));
        assert_eq!(Codec.decode(&mut buffer).unwrap(), Some(Frame::Bytes(Bytes::from_static(b"abc"))));
        assert_eq!(Codec.decode(&mut buffer).unwrap(), None);
    }

    #[test]
    fn a_frame_that_is_too_long_or_of_no_kind_is_refused() {
        let mut long = BytesMut::from(&u32::MAX.to_be_bytes()[..]);
        assert!(Codec.decode(&mut long).is_err());
        let mut kind = BytesMut::from(&b"\0\0\0\x01X"[..]);
        assert!(Codec.decode(&mut kind).is_err());
    }

    #[tokio::test]
    async fn a_harness_that_dials_again_is_welcomed_with_what_was_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let mut link = Link::listen(&socket, "t".into(), 0o600).unwrap();
        let dial = async |messages: &[&str]| {
            let mut framed = Framed::new(UnixStream::connect(&socket).await.unwrap(), Codec);
            let hello = r#"{"type":"hello","token":"t","python":"3.11.7","pid":1,"seq":0}"#;
            for message in std::iter::once(&hello).chain(messages) {
                framed.send(Frame::Json(Bytes::copy_from_slice(message.as_bytes()))).await.unwrap();
            }
            let Some(Ok(Frame::Json(welcome))) = framed.next().await else { panic!("no welcome") };
            (framed, String::from_utf8(welcome.to_vec()).unwrap())
        };
        let started = r#"{"type":"started","attempt":"a","seq":1}"#;
        let (mut first, welcome) = dial(&[started]).await;
        assert_eq!(welcome, r#"{"type":"welcome","ack":0}"#);
        assert!(matches!(link.next().await, Some(Told::Heard(heard)) if matches!(heard.said, Said::Hello { .. })));
        assert!(matches!(link.next().await, Some(Told::Heard(heard)) if heard.seq == 1));
        link.ack(1).await;
        assert!(matches!(first.next().await, Some(Ok(Frame::Json(_)))));
        drop(first);
        let (_second, welcome) = dial(&[started, r#"{"type":"started","attempt":"b","seq":2}"#]).await;
        assert_eq!(welcome, r#"{"type":"welcome","ack":1}"#);
        assert!(matches!(link.next().await, Some(Told::Heard(heard)) if matches!(heard.said, Said::Hello { .. })));
        assert!(matches!(link.next().await, Some(Told::Heard(heard)) if heard.seq == 2));
    }
}

//! A result of any size, piece by piece: what is one content as it is, everything else in the plain form, written while it is read.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{TryStreamExt as _, future::BoxFuture};
use qflow_blobs::Blobs;
use qflow_model::{
    expression::{Path, Segment},
    ids::RunId,
    value::{Argument, Attachment, ValueRef},
};
use qflow_types::value::{self, stream};
use serde_json::Value;
use tokio::{runtime::Handle, sync::mpsc};

use super::{Error, RESULT_BYTES, Reader, unreadable};

/// Bytes of a piece: what is held of a result, a few times.
const PIECE_BYTES: usize = 1 << 20;

/// What comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Download {
    /// Content as it is: a file, a folder's archive, a frame.
    Content {
        /// Which.
        attachment: Attachment,
        /// What the node called it; else empty.
        name: String,
    },
    /// Everything else, in the plain form.
    Plain {
        /// Where it comes from.
        result: Argument,
        /// A text without quotes.
        raw: bool,
    },
}

/// What a result is, or one content of it.
pub async fn look(
    blobs: &Arc<Blobs>,
    run: RunId,
    result: &Argument,
    content: Option<u32>,
    raw: bool,
) -> Result<Download, Error> {
    let result = resolved(blobs, run, result).await?;
    if let Some(number) = content {
        let mut all = Vec::new();
        contents(&result, &mut all);
        let attachment = all.get(number as usize).copied().cloned();
        let attachment = attachment.ok_or(Error::NoContent { number, held: all.len() })?;
        return Ok(Download::Content { attachment, name: String::new() });
    }
    let Argument::Value { value, element, path } = &result else { return Ok(Download::Plain { result, raw }) };
    if value.attachments.is_empty() {
        return Ok(Download::Plain { result, raw });
    }
    let (stored, full) = (Stored::new(blobs, run, value), full(*element, path));
    let looked = tokio::task::spawn_blocking(move || stream::attachment_at(&stored, &full)).await;
    let Some(form) = looked.map_err(|e| unreadable(&e))?.map_err(Error::Unreadable)? else {
        return Ok(Download::Plain { result, raw });
    };
    let text = |key: &str| form.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let index = form.get("i").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
    let attachment = index.and_then(|index| value.attachments.get(index));
    let attachment = attachment.ok_or_else(|| unreadable(&"an attachment is missing"))?.clone();
    Ok(Download::Content { attachment, name: text("n") })
}

/// Sends it, as fast as it is taken.
pub async fn send(blobs: Arc<Blobs>, run: RunId, what: Download, to: mpsc::Sender<Bytes>) -> Result<(), Error> {
    match what {
        Download::Content { attachment, .. } => {
            let mut pieces = blobs.pieces(run, attachment.digest, attachment.size);
            while let Some(mut piece) = pieces.try_next().await? {
                while !piece.is_empty() {
                    let next = piece.split_to(piece.len().min(PIECE_BYTES));
                    if to.send(next).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        }
        Download::Plain { result, raw } => {
            let runtime = Handle::current();
            let writing = tokio::task::spawn_blocking(move || {
                let to = Pieces { piece: Vec::new(), to };
                let mut writer = Writer { blobs, run, runtime, how: stream::Written { first: 0, raw }, to };
                writer.argument(&result)?;
                writer.to.flush().map_err(|e| unreadable(&e))
            });
            writing.await.map_err(|e| unreadable(&e))?
        }
    }
}

/// A result whose lists of values are read, so that what is left are values.
fn resolved<'a>(blobs: &'a Blobs, run: RunId, result: &'a Argument) -> BoxFuture<'a, Result<Argument, Error>> {
    let all = async move |parts: &'a [Argument]| {
        let mut read = Vec::with_capacity(parts.len());
        for part in parts {
            read.push(resolved(blobs, run, part).await?);
        }
        Ok::<_, Error>(read)
    };
    Box::pin(async move {
        Ok(match result {
            Argument::Kept(kept) => {
                let kept: Argument = read(blobs, run, kept).await?;
                resolved(blobs, run, &kept).await?
            }
            Argument::Manifest { list, element, path, .. } => {
                let values: Vec<ValueRef> = read(blobs, run, list).await?;
                let element = element.map(|element| Segment::Index(i64::from(element)));
                gathered(values, &element.into_iter().chain(path.iter().cloned()).collect::<Vec<_>>())?
            }
            Argument::Gathered { values, path } => gathered(values.clone(), path)?,
            Argument::List(parts) => Argument::List(all(parts).await?),
            Argument::Tuple(parts) => Argument::Tuple(all(parts).await?),
            Argument::Format(parts) => Argument::Format(all(parts).await?),
            Argument::Dict(parts) => {
                let mut read = Vec::with_capacity(parts.len());
                for (key, part) in parts {
                    read.push((key.clone(), resolved(blobs, run, part).await?));
                }
                Argument::Dict(read)
            }
            Argument::Outcome { value: Some(value), error } => {
                let value = Some(Box::new(resolved(blobs, run, value).await?));
                Argument::Outcome { value, error: error.clone() }
            }
            Argument::Literal(_) | Argument::Value { .. } | Argument::Outcome { value: None, .. } => result.clone(),
        })
    })
}

async fn read<T: serde::de::DeserializeOwned>(blobs: &Blobs, run: RunId, of: &ValueRef) -> Result<T, Error> {
    serde_json::from_slice(&blobs.bytes(run, of).await?).map_err(|e| unreadable(&e))
}

/// The list of several values, or the part of one of them.
fn gathered(mut values: Vec<ValueRef>, path: &Path) -> Result<Argument, Error> {
    let Some((Segment::Index(index), rest)) = path.split_first() else {
        return Ok(Argument::Gathered { values, path: path.clone() });
    };
    let at = if *index < 0 { values.len() as i64 + index } else { *index };
    let at = usize::try_from(at).ok().filter(|at| *at < values.len());
    let value = values.swap_remove(at.ok_or_else(|| unreadable(&"list index out of range"))?);
    Ok(Argument::Value { value, element: None, path: rest.to_vec() })
}

/// Every content of a resolved result, in the order of its values.
fn contents<'a>(result: &'a Argument, all: &mut Vec<&'a Attachment>) {
    match result {
        Argument::Value { value, .. } => all.extend(&value.attachments),
        Argument::Gathered { values, .. } => all.extend(values.iter().flat_map(|value| &value.attachments)),
        Argument::List(parts) | Argument::Tuple(parts) | Argument::Format(parts) => {
            parts.iter().for_each(|part| contents(part, all));
        }
        Argument::Dict(parts) => parts.iter().for_each(|(_, part)| contents(part, all)),
        Argument::Outcome { value: Some(value), .. } => contents(value, all),
        Argument::Literal(_) | Argument::Outcome { .. } | Argument::Kept(_) | Argument::Manifest { .. } => {}
    }
}

fn full(element: Option<u32>, path: &[Segment]) -> Vec<Segment> {
    element.map(|index| Segment::Index(i64::from(index))).into_iter().chain(path.iter().cloned()).collect()
}

/// Writes a resolved result in the plain form, on a thread that may wait.
struct Writer {
    blobs: Arc<Blobs>,
    run: RunId,
    runtime: Handle,
    how: stream::Written,
    to: Pieces,
}

impl Writer {
    fn argument(&mut self, argument: &Argument) -> Result<(), Error> {
        let raw = std::mem::take(&mut self.how.raw);
        match argument {
            Argument::Value { value, element, path } => {
                self.how.raw = raw;
                self.value(value, &full(*element, path))
            }
            Argument::Gathered { values, .. } => self.list(values, |writer, value| writer.value(value, &[])),
            Argument::List(parts) | Argument::Tuple(parts) => self.list(parts, Self::argument),
            Argument::Dict(parts) => {
                self.put(b"{")?;
                for (at, (key, part)) in parts.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    self.put(format!("{comma}{}:", Value::from(key.as_str())).as_bytes())?;
                    self.argument(part)?;
                }
                self.put(b"}")
            }
            Argument::Outcome { value: of, error } => {
                self.put(format!("{{\"ok\":{},\"value\":", error.is_none()).as_bytes())?;
                match of {
                    Some(of) => self.argument(of)?,
                    None => self.put(b"null")?,
                }
                self.put(format!(",\"error\":{}}}", serde_json::json!(error)).as_bytes())
            }
            Argument::Literal(plain) => self.small(&value::to_plain(plain), raw),
            // Texts of parts, which are short: as they are shown.
            Argument::Format(_) | Argument::Kept(_) | Argument::Manifest { .. } => {
                let attachments = u64::from(self.how.first);
                let mut reader = Reader { blobs: &self.blobs, run: self.run, left: RESULT_BYTES, attachments };
                let read = self.runtime.block_on(reader.argument(argument))?;
                self.small(&value::to_plain(&read), raw)
            }
        }
    }

    fn small(&mut self, plain: &Value, raw: bool) -> Result<(), Error> {
        match plain {
            Value::String(text) if raw => self.put(text.as_bytes()),
            other => self.put(other.to_string().as_bytes()),
        }
    }

    fn list<T>(&mut self, items: &[T], mut one: impl FnMut(&mut Self, &T) -> Result<(), Error>) -> Result<(), Error> {
        self.put(b"[")?;
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.put(b",")?;
            }
            one(self, item)?;
        }
        self.put(b"]")
    }

    fn value(&mut self, value: &ValueRef, path: &[Segment]) -> Result<(), Error> {
        let stored = Stored { runtime: self.runtime.clone(), ..Stored::new(&self.blobs, self.run, value) };
        let written = stream::plain_part(&stored, path, self.how, &mut self.to);
        self.how.first += value.attachments.len() as u32;
        written.map_err(Error::Unreadable)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.to.write_all(bytes).map_err(|e| unreadable(&e))
    }
}

/// A value where it lies, to be read on a thread that may wait.
struct Stored {
    blobs: Arc<Blobs>,
    run: RunId,
    value: ValueRef,
    runtime: Handle,
}

impl Stored {
    fn new(blobs: &Arc<Blobs>, run: RunId, value: &ValueRef) -> Self {
        Self { blobs: Arc::clone(blobs), run, value: value.clone(), runtime: Handle::current() }
    }
}

impl stream::Bytes for Stored {
    fn open(&self) -> impl Read {
        Reading { of: self, at: 0, piece: self.value.inline.clone().map(Bytes::from).unwrap_or_default() }
    }
}

struct Reading<'a> {
    of: &'a Stored,
    at: u64,
    piece: Bytes,
}

impl Read for Reading<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let Stored { blobs, run, value, runtime } = self.of;
        if self.piece.is_empty() && self.at < value.size {
            let range = self.at..value.size.min(self.at + PIECE_BYTES as u64);
            self.piece = runtime.block_on(blobs.range(*run, value.digest, range)).map_err(io::Error::other)?;
        }
        let taken = self.piece.len().min(to.len());
        to[..taken].copy_from_slice(&self.piece.split_to(taken));
        self.at += taken as u64;
        Ok(taken)
    }
}

/// Gathers what is written into pieces, and waits where they are not taken.
struct Pieces {
    piece: Vec<u8>,
    to: mpsc::Sender<Bytes>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        if piece.is_empty() {
            return Ok(());
        }
        self.to.blocking_send(piece.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests;

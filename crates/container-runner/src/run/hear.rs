//! What a harness says of the attempt in its container, message by message.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use qflow_model::{outcome::Ending, status::FailureClass, value::Produced};
use qflow_telemetry::{Event, SpanRecord, TraceContext, labels::Validation};
use qflow_types::{Ty, value::Headers};
use tokio::time::Instant;

use super::{Over, Progress, Runner, Stage, Word, insist::Wanted, ms};
use crate::{
    content,
    ending::{failed, import, killed, lost, node_ref},
    harness::{EndedSaid, Heard, Line, Piece, Said, SpanSaid},
    headers,
    pool::Container,
    result,
};

/// Lines that a death certificate keeps.
const LAST_LINES: usize = 20;

impl Runner {
    /// Takes one message; gives the end where it was the last.
    pub(super) async fn hear(
        &self,
        container: &mut Container,
        progress: &mut Progress<'_>,
        heard: Heard,
    ) -> Option<Over> {
        progress.seen = progress.seen.max(heard.seq);
        let key = progress.order.key.to_string();
        match heard.said {
            // Said again after a restart it is no word to begin: what the order needs for that is not kept.
            Said::Loaded { ms, threads, lines, .. } if progress.stage == Stage::Loading => {
                progress.phases.import_ms = ms;
                if !lines.is_empty() {
                    self.lines(progress, lines).await;
                }
                if threads {
                    progress.warnings.push("the file starts threads when imported, so attempts start fresh".into());
                }
                container.state.loaded = Some(progress.loaded.clone());
                container.link.ack(heard.seq).await;
                if let Some(reason) = progress.why {
                    return Some(Over { ending: killed(reason), said: EndedSaid::default(), healthy: true });
                }
                self.begin(container, progress).await.err().map(|ending| Over {
                    ending,
                    said: EndedSaid::default(),
                    healthy: true,
                })
            }
            Said::LoadFailed { error, lines, .. } => {
                if !lines.is_empty() {
                    self.lines(progress, lines).await;
                }
                let ending = Ending::Failed(Box::new(import(error)));
                Some(Over { ending, said: EndedSaid::default(), healthy: false })
            }
            // What it had to say of the attempt it said again before this: the order never came to it.
            Said::Resumed { attempt } if progress.stage == Stage::Running && attempt.as_ref() != Some(&key) => {
                let ending = lost("runner_lost", "the runner ended before the attempt was in its container");
                Some(Over { ending, said: EndedSaid::default(), healthy: true })
            }
            Said::Started { attempt } if attempt == key => {
                progress.stage = Stage::Running;
                progress.began = Some(Instant::now());
                self.say(progress.order, Word::Started { container_id: container.state.id.clone() }).await;
                None
            }
            Said::Logs { attempt, lines } if attempt == key => {
                self.lines(progress, lines).await;
                acknowledge(container, progress).await;
                None
            }
            Said::Progress { attempt, fraction } if attempt == key => {
                self.say(progress.order, Word::Doing { doing: String::new(), fraction }).await;
                acknowledge(container, progress).await;
                None
            }
            Said::Span(span) if span.attempt == key => {
                self.span(progress, span);
                acknowledge(container, progress).await;
                None
            }
            Said::Content(piece) if piece.attempt == key => {
                let began = Instant::now();
                self.content(progress, &piece, heard.parts).await;
                progress.phases.upload_ms += ms(began);
                acknowledge(container, progress).await;
                None
            }
            Said::Result { attempt, items, attachments, .. } if attempt == key => {
                let began = Instant::now();
                let raw = result::Raw { parts: heard.parts, items, attachments };
                progress.value = Some(match progress.untaken.take() {
                    Some(ending) => Err(ending),
                    None => self.result(progress, raw).await,
                });
                progress.phases.upload_ms += ms(began);
                None
            }
            Said::Ended(said) if said.attempt == key => Some(Self::ended(progress, said)),
            // A hello again, or of an attempt before this one: a message that was sent again.
            _ => None,
        }
    }

    /// Takes a piece of content. Where one cannot be taken the rest passes by: the result will say so.
    async fn content(&self, progress: &mut Progress<'_>, piece: &Piece, parts: Vec<Bytes>) {
        if progress.untaken.is_some() {
            return;
        }
        let bytes = parts.into_iter().next().unwrap_or_default();
        progress.untaken = self.take(progress, piece, &bytes).await.err();
    }

    /// Takes a piece, and makes content that is whole with it a blob.
    async fn take(&self, progress: &mut Progress<'_>, piece: &Piece, bytes: &Bytes) -> Result<(), Ending> {
        let order = progress.order;
        if let Some(whole) = progress.contents.take(piece, bytes).await.map_err(|error| untaken(&error))? {
            let once = || self.blobs.take_in(order.key.run, whole.digest, &whole.file);
            self.insist(order, Wanted::Result, once).await?;
            progress.contents.kept(whole).await.map_err(|error| untaken(&error))?;
        }
        Ok(())
    }

    /// Checks a result, and makes what is large of it blobs.
    async fn result(&self, progress: &Progress<'_>, raw: result::Raw) -> Result<Produced, Ending> {
        let (order, began) = (progress.order, Instant::now());
        let headers = self.headers(progress, &raw).await?;
        let checked = result::check((order, &self.declared), raw, &progress.contents, &headers);
        let duration = self.telemetry.metrics().type_validation(Validation::of("value"));
        duration.record_in(began.elapsed().as_secs_f64(), TraceContext::parse(&order.traceparent).as_ref());
        let result::Checked { produced, blobs } = checked?;
        for (digest, bytes) in blobs {
            let once = || self.blobs.write(order.key.run, digest, bytes.clone());
            self.insist(order, Wanted::Result, once).await?;
        }
        Ok(produced)
    }

    /// Headers of a result's frames and arrays, where its type says what they hold.
    async fn headers(&self, progress: &Progress<'_>, raw: &result::Raw) -> Result<Headers, Ending> {
        let (order, mut known) = (progress.order, Headers::new());
        let declares = |ty: Arc<Ty>| qflow_types::value::declares(&ty, &order.classes);
        if raw.attachments.is_empty() || !self.declared.read(&order.returns).is_ok_and(declares) {
            return Ok(known);
        }
        for (number, kind, content) in raw.contents(&progress.contents) {
            let once = || headers::read(&self.blobs, order.key.run, kind, &content);
            if let Some(header) = self.insist(order, Wanted::Result, once).await? {
                let header = header.map_err(|wrong| failed(FailureClass::User, "protocol", wrong.to_string()))?;
                known.insert(number, header);
            }
        }
        Ok(known)
    }

    async fn lines(&self, progress: &mut Progress<'_>, mut lines: Vec<Line>) {
        let order = progress.order;
        lines.retain(|line| line.sequence >= progress.next_line);
        progress.next_line = lines.last().map_or(progress.next_line, |line| line.sequence + 1);
        for line in &mut lines {
            line.text = progress.redact(&line.text);
            line.fields = progress.redacted_fields(std::mem::take(&mut line.fields));
            progress.last.push(line.text.clone());
            self.telemetry.emit(Event::UserLine {
                node: node_ref(order),
                sequence: line.sequence,
                stream: line.stream.clone(),
                text: line.text.clone(),
                fields: line.fields.clone(),
            });
        }
        let surplus = progress.last.len().saturating_sub(LAST_LINES);
        progress.last.drain(..surplus);
        if let Err(error) = self.spool.add_lines(order.key, &lines) {
            progress.warnings.push(format!("lines were not kept: {error}"));
        }
        self.say(order, Word::Lines { node_id: order.node_id.clone(), lines }).await;
    }

    /// A span of user code joins the run's trace.
    fn span(&self, progress: &Progress<'_>, span: SpanSaid) {
        let Some(context) = TraceContext::parse(&progress.order.traceparent) else { return };
        let mut record = SpanRecord::new(progress.redact(&span.name), &context, time(span.start_us), time(span.end_us));
        record.span_id = span.span_id;
        record.parent_span_id = Some(span.parent_id.unwrap_or(context.span_id));
        record.attributes = span
            .attributes
            .into_iter()
            .map(|(name, value)| (progress.redact(&name), progress.redacted(value)))
            .collect();
        record.error = span.error.map(|error| progress.redact(&error));
        self.telemetry.record_span(record);
    }
}

fn untaken(error: &content::Error) -> Ending {
    match error {
        content::Error::TooLarge => failed(FailureClass::User, "output_size", error.to_string()),
        content::Error::OutOfOrder => failed(FailureClass::User, "protocol", error.to_string()),
        content::Error::Disk(_) => lost("blob_unwritable", &error.to_string()),
    }
}

/// Tells the harness that what it said is safe. Nothing is while a result waits for its `ended`: after a restart both are needed.
async fn acknowledge(container: &Container, progress: &Progress<'_>) {
    if progress.value.is_none() {
        container.link.ack(progress.seen).await;
    }
}

fn time(us: i64) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

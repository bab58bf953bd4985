//! Arguments become bytes beside their consumer: stored values are read, whole or by range, and put together.

use std::path::{Path as FilePath, PathBuf};

use bytes::Bytes;
use qflow_blobs::Blobs;
use qflow_model::{
    expression::{Path, Segment},
    ids::{Digest, RunId},
    value::{Argument, Attachment, ValueRef, outcome},
};
use qflow_types::value as tagged;
use serde_json::{Map, Value};

use crate::{harness::AttachmentHead, unpack};

/// The end of an encoding with an offset table: a line break and the skeleton's length in 20 digits.
const TAIL: u64 = 21;
/// Bytes of an offset table: 11 for each of ten million elements.
const TABLE_BYTES: u64 = 110 << 20;

/// Bytes of an attachment that go with the message; more lies in the container's folder, and no process holds it whole.
const WHOLE_BYTES: u64 = 64 << 10;
/// Bytes of a file's name, as Linux has it.
const NAME_BYTES: usize = 255;

/// Who will read the arguments, and where what is large is laid out for them.
#[derive(Clone, Debug)]
pub struct Reader {
    /// A folder of the attempt's own on this machine; made when it is needed.
    pub folder: PathBuf,
    /// The same as seen inside.
    pub inside: String,
    /// Whether nobody inside can write to it.
    pub sealed: bool,
    /// The environment's lock.
    pub lock: String,
    /// Whose run it is.
    pub user: String,
}

/// The arguments of an attempt, as they go to the harness.
#[derive(Debug, Default)]
pub struct Resolved {
    /// A JSON object of the arguments.
    pub object: Bytes,
    /// What follows it.
    pub heads: Vec<AttachmentHead>,
    /// Their bytes.
    pub attachments: Vec<Bytes>,
}

/// Why an argument could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A blob is not to be had: another try may help.
    #[error(transparent)]
    Blob(#[from] qflow_blobs::Error),
    /// There is no room to lay it out.
    #[error("lay out an argument: {0}")]
    Disk(String),
    /// What is stored is not what it says.
    #[error("stored value: {0}")]
    Stored(String),
    /// What is there is not for this node.
    #[error("argument `{name}`: {message}")]
    Pickle {
        /// The parameter.
        name: String,
        /// Why not.
        message: String,
    },
    /// The path leads nowhere.
    #[error("argument `{name}`: {message}")]
    Path {
        /// The parameter.
        name: String,
        /// As Python would say.
        message: String,
    },
}

/// Puts all arguments of an attempt together.
pub async fn arguments(
    blobs: &Blobs,
    run: RunId,
    arguments: &[(String, Argument)],
    reader: &Reader,
) -> Result<Resolved, Error> {
    let mut resolver = Resolver { blobs, run, reader, used: Vec::new() };
    let mut object = Map::new();
    for (name, argument) in arguments {
        let value = resolver.argument(argument).await.map_err(|error| match error {
            Error::Path { message, .. } => Error::Path { name: name.clone(), message },
            Error::Pickle { message, .. } => Error::Pickle { name: name.clone(), message },
            other => other,
        })?;
        object.insert(name.clone(), value);
    }
    let mut resolved = Resolved {
        object: serde_json::to_vec(&Value::Object(object)).map_err(|e| Error::Stored(e.to_string()))?.into(),
        ..Resolved::default()
    };
    for (number, Used { attachment, name }) in resolver.used.into_iter().enumerate() {
        let is_whole = attachment.size <= WHOLE_BYTES && !matches!(attachment.kind.as_str(), "file" | "folder");
        if is_whole {
            let content = blobs.read(run, attachment.digest).await?;
            let size = content.len() as u64;
            resolved.heads.push(AttachmentHead { kind: attachment.kind, size, ..AttachmentHead::default() });
            resolved.attachments.push(content);
        } else {
            let path = reader.lay_out(blobs, run, &attachment, number, &name).await?;
            resolved.heads.push(AttachmentHead {
                kind: attachment.kind,
                path: Some(path),
                ..AttachmentHead::default()
            });
        }
    }
    Ok(resolved)
}

impl Reader {
    /// Lays an attachment out in a folder of its own, by the name it is known by; gives where that is inside.
    async fn lay_out(
        &self,
        blobs: &Blobs,
        run: RunId,
        attachment: &Attachment,
        number: usize,
        name: &str,
    ) -> Result<String, Error> {
        let (folder, name) = (self.folder.join(number.to_string()), file_name(name));
        open_folder(&folder).await.map_err(|e| Error::Disk(format!("{}: {e}", folder.display())))?;
        let to = folder.join(name);
        if attachment.kind == "folder" {
            unpack(blobs, run, attachment.digest, &to).await?;
        } else {
            blobs.lay_out(run, attachment.digest, &to, self.sealed).await?;
        }
        Ok(format!("{}/{number}/{name}", self.inside))
    }
}

/// Unpacks a blob that is the archive of a folder.
async fn unpack(blobs: &Blobs, run: RunId, digest: Digest, to: &FilePath) -> Result<(), Error> {
    let beside = to.with_extension("tar");
    blobs.lay_out(run, digest, &beside, true).await?;
    let (archive, folder) = (beside.clone(), to.to_owned());
    let unpacked =
        tokio::task::spawn_blocking(move || unpack::folder(std::fs::File::open(archive)?, &folder, unpack::READ_ONLY))
            .await;
    // What stays goes with the folder it is in.
    tokio::fs::remove_file(&beside).await.ok();
    let unpacked = unpacked.unwrap_or_else(|_| Err(std::io::Error::other("unpacking ended early")));
    unpacked.map_err(|e| Error::Disk(format!("unpack {}: {e}", to.display())))
}

impl Reader {
    /// A pickle runs code of its environment: it goes to an equal one, of the same user, or nowhere.
    fn may_unpickle(&self, pickle: &Map<String, Value>) -> Result<(), Error> {
        let is = |key: &str, wanted: &str| pickle.get(key).and_then(Value::as_str) == Some(wanted);
        let why = if !is("lock", &self.lock) {
            "it was pickled in another environment: give both nodes the same python and requirements, or return its data"
        } else if !is("user", &self.user) {
            "it was pickled in a run of another user"
        } else {
            return Ok(());
        };
        Err(Error::Pickle { name: String::new(), message: why.to_owned() })
    }
}

/// A folder that the container's user may look into.
async fn open_folder(folder: &FilePath) -> std::io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    for each in [folder.parent().unwrap_or(folder), folder] {
        tokio::fs::set_permissions(each, std::os::unix::fs::PermissionsExt::from_mode(0o755)).await?;
    }
    Ok(())
}

/// The name that user code gave a file, where it is one.
fn file_name(name: &str) -> &str {
    let good =
        !name.is_empty() && name.len() <= NAME_BYTES && !name.contains(['/', '\0']) && name != "." && name != "..";
    if good { name } else { "content" }
}

struct Resolver<'a> {
    blobs: &'a Blobs,
    run: RunId,
    reader: &'a Reader,
    used: Vec<Used>,
}

/// An attachment that an argument points to, and the name that it is known by.
struct Used {
    attachment: Attachment,
    name: String,
}

impl Resolver<'_> {
    async fn argument(&mut self, argument: &Argument) -> Result<Value, Error> {
        match argument {
            Argument::Literal(value) => Ok(value.clone()),
            Argument::Value { value, element, path } => self.value(value, *element, path).await,
            Argument::Gathered { values, path } => self.gathered(values, path).await,
            Argument::Manifest { list, count: _, element, path } => {
                let bytes = self.bytes(list).await?;
                let values: Vec<ValueRef> =
                    serde_json::from_slice(&bytes).map_err(|e| Error::Stored(format!("a manifest: {e}")))?;
                match element {
                    None => self.gathered(&values, path).await,
                    Some(element) => {
                        let value = values.get(*element as usize).ok_or_else(|| nowhere("list index out of range"))?;
                        self.value(value, None, path).await
                    }
                }
            }
            Argument::List(parts) => Ok(Value::Array(self.all(parts).await?)),
            Argument::Tuple(parts) => Ok(serde_json::json!({"$": "tuple", "v": self.all(parts).await?})),
            Argument::Dict(parts) => {
                let mut object = Map::new();
                for (key, part) in parts {
                    let key = if key.starts_with('$') { format!("${key}") } else { key.clone() };
                    object.insert(key, Box::pin(self.argument(part)).await?);
                }
                Ok(Value::Object(object))
            }
            Argument::Outcome { value, error } => {
                let inner = match value {
                    Some(value) => Some(Box::pin(self.argument(value)).await?),
                    None => None,
                };
                Ok(outcome(inner.as_ref(), error.as_deref()))
            }
            Argument::Kept(kept) => {
                let bytes = self.bytes(kept).await?;
                let argument: Argument =
                    serde_json::from_slice(&bytes).map_err(|e| Error::Stored(format!("an argument: {e}")))?;
                Box::pin(self.argument(&argument)).await
            }
            Argument::Format(parts) => {
                Ok(Value::String(self.all(parts).await?.iter().map(tagged::to_text).collect::<String>()))
            }
        }
    }

    async fn all(&mut self, parts: &[Argument]) -> Result<Vec<Value>, Error> {
        let mut values = Vec::with_capacity(parts.len());
        for part in parts {
            values.push(Box::pin(self.argument(part)).await?);
        }
        Ok(values)
    }

    /// The list of several values; a path that begins with an index needs only one of them.
    async fn gathered(&mut self, values: &[ValueRef], path: &Path) -> Result<Value, Error> {
        if let Some((Segment::Index(index), rest)) = path.split_first() {
            let at = if *index < 0 { values.len() as i64 + index } else { *index };
            let value = usize::try_from(at).ok().and_then(|at| values.get(at));
            let value = value.ok_or_else(|| nowhere("list index out of range"))?;
            return self.value(value, None, &rest.to_vec()).await;
        }
        if !path.is_empty() {
            return Err(nowhere("list indices must be integers"));
        }
        let mut list = Vec::with_capacity(values.len());
        for value in values {
            list.push(self.value(value, None, &Path::new()).await?);
        }
        Ok(Value::Array(list))
    }

    /// A stored value, an element of it, a part of that.
    async fn value(&mut self, value: &ValueRef, element: Option<u32>, path: &Path) -> Result<Value, Error> {
        let found = match (element, value.items, &value.inline) {
            (Some(element), Some(_), None) => self.element(value, element).await?,
            (element, ..) => {
                let whole = tagged::decode(&self.bytes(value).await?).map_err(|e| Error::Stored(e.to_string()))?;
                match element {
                    None => whole,
                    Some(element) => pick(whole, element)?,
                }
            }
        };
        let mut part = tagged::at(&found, path).map_err(|message| nowhere(&message))?.clone();
        self.renumber(&mut part, &value.attachments)?;
        Ok(part)
    }

    /// The bytes of a value's encoding.
    async fn bytes(&self, value: &ValueRef) -> Result<Bytes, Error> {
        match &value.inline {
            Some(inline) => Ok(Bytes::copy_from_slice(inline)),
            None => Ok(self.blobs.read(self.run, value.digest).await?),
        }
    }

    /// One element of a long list, by its range: the rest is not read.
    async fn element(&self, value: &ValueRef, element: u32) -> Result<Value, Error> {
        let wrong = || Error::Stored("its offset table does not read".into());
        let tail = value.size.saturating_sub(TAIL)..value.size;
        let tail = self.blobs.range(self.run, value.digest, tail).await?;
        let skeleton = tagged::trailer_start(&tail).filter(|start| *start < value.size).ok_or_else(wrong)?;
        if value.size - skeleton > TABLE_BYTES {
            return Err(wrong());
        }
        let trailer = self.blobs.range(self.run, value.digest, skeleton..value.size).await?;
        let offsets = tagged::Offsets::read(&trailer, skeleton).map_err(|e| Error::Stored(e.to_string()))?;
        let range = offsets.range(element).filter(|r| r.start < r.end && r.end < skeleton).ok_or_else(wrong)?;
        let bytes = self.blobs.range(self.run, value.digest, range).await?;
        serde_json::from_slice(&bytes).map_err(|e| Error::Stored(e.to_string()))
    }

    /// Attachments are counted per value; together they need numbers of their own.
    fn renumber(&mut self, value: &mut Value, attachments: &[Attachment]) -> Result<(), Error> {
        match value {
            Value::Array(parts) => parts.iter_mut().try_for_each(|part| self.renumber(part, attachments)),
            Value::Object(object) if object.get("$").and_then(Value::as_str) == Some("attachment") => {
                let index = object.get("i").and_then(Value::as_u64).map(|i| i as usize);
                let attachment = index.and_then(|i| attachments.get(i));
                let attachment = attachment.ok_or_else(|| Error::Stored("an attachment that is not there".into()))?;
                if attachment.kind == "pickle" {
                    self.reader.may_unpickle(object)?;
                }
                object.insert("i".into(), self.used.len().into());
                let name = object.get("n").and_then(Value::as_str).unwrap_or_default().to_owned();
                self.used.push(Used { attachment: attachment.clone(), name });
                Ok(())
            }
            Value::Object(object) => object.values_mut().try_for_each(|part| self.renumber(part, attachments)),
            _ => Ok(()),
        }
    }
}

/// An element of a list or a tuple that is in memory.
fn pick(whole: Value, element: u32) -> Result<Value, Error> {
    let list = match whole {
        Value::Array(list) => list,
        Value::Object(mut object) => match object.remove("v") {
            Some(Value::Array(list)) => list,
            _ => return Err(nowhere("it is not a list")),
        },
        _ => return Err(nowhere("it is not a list")),
    };
    list.into_iter().nth(element as usize).ok_or_else(|| nowhere("list index out of range"))
}

fn nowhere(message: &str) -> Error {
    Error::Path { name: String::new(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qflow_model::value::OutcomeError;

    fn run() -> RunId {
        RunId(uuid::Uuid::from_u128(1))
    }

    fn inline(text: &str) -> ValueRef {
        ValueRef {
            digest: Digest::of(text.as_bytes()),
            size: text.len() as u64,
            inline: Some(text.as_bytes().to_vec()),
            items: None,
            attachments: vec![],
        }
    }

    fn blobs() -> (tempfile::TempDir, Blobs) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::in_folder(folder.path()).unwrap();
        (folder, blobs)
    }

    fn reader(folder: &FilePath) -> Reader {
        Reader {
            folder: folder.join("in"),
            inside: "/run/qflow/in".into(),
            sealed: true,
            lock: "l".into(),
            user: "u".into(),
        }
    }

    async fn text(blobs: &Blobs, argument: Argument) -> String {
        let reader = reader(FilePath::new("/nowhere"));
        let resolved = arguments(blobs, run(), &[("x".into(), argument)], &reader).await.unwrap();
        String::from_utf8(resolved.object.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_path_and_an_element_are_applied_beside_the_consumer() {
        let (_folder, blobs) = blobs();
        let value = inline(r#"[{"a":1},{"a":2}]"#);
        let path = vec![Segment::Key("a".into())];
        assert_eq!(text(&blobs, Argument::Value { value, element: Some(1), path }).await, r#"{"x":2}"#);
        let gathered = Argument::Gathered { values: vec![inline("1"), inline("2")], path: vec![Segment::Index(-1)] };
        assert_eq!(text(&blobs, gathered).await, r#"{"x":2}"#);
    }

    #[tokio::test]
    async fn an_element_of_a_long_list_is_read_by_its_range() {
        let (_folder, blobs) = blobs();
        let skeleton = r#"["aa",[1,2],"c"]"#;
        let encoding = format!("{skeleton}\n1,6,12\n{:020}", skeleton.len());
        let digest = Digest::of(encoding.as_bytes());
        let value = ValueRef { digest, size: encoding.len() as u64, inline: None, items: Some(3), attachments: vec![] };
        blobs.write(run(), digest, encoding).await.unwrap();
        for (element, wanted) in [(0, r#"{"x":"aa"}"#), (1, r#"{"x":[1,2]}"#), (2, r#"{"x":"c"}"#)] {
            let argument = Argument::Value { value: value.clone(), element: Some(element), path: vec![] };
            assert_eq!(text(&blobs, argument).await, wanted);
        }
    }

    #[tokio::test]
    async fn attachments_of_several_values_are_numbered_together() {
        let (_folder, blobs) = blobs();
        let mut parts = Vec::new();
        for content in ["one", "two"] {
            let digest = Digest::of(content.as_bytes());
            blobs.write(run(), digest, content).await.unwrap();
            let mut value = inline(r#"{"$":"attachment","k":"bytes","i":0}"#);
            value.attachments = vec![Attachment { digest, size: 3, kind: "bytes".into() }];
            parts.push(Argument::Value { value, element: None, path: vec![] });
        }
        let reader = reader(FilePath::new("/nowhere"));
        let resolved = arguments(&blobs, run(), &[("x".into(), Argument::List(parts))], &reader).await.unwrap();
        let object: Value = serde_json::from_slice(&resolved.object).unwrap();
        assert_eq!((object["x"][0]["i"].as_u64(), object["x"][1]["i"].as_u64()), (Some(0), Some(1)));
        assert_eq!(resolved.attachments, ["one", "two"]);
    }

    #[tokio::test]
    async fn an_outcome_has_its_value_or_its_error() {
        let (_folder, blobs) = blobs();
        let value = Argument::Value { value: inline("[1]"), element: None, path: vec![] };
        let good = Argument::Outcome { value: Some(Box::new(value)), error: None };
        let error =
            OutcomeError { error_type: "E".into(), message: "m".into(), status: "timed_out".into(), attempts: 3 };
        let bad = Argument::Outcome { value: None, error: Some(Box::new(error)) };
        let list = serde_json::to_vec(&Argument::List(vec![good, bad])).unwrap();
        let digest = Digest::of(&list);
        blobs.write(run(), digest, list.clone()).await.unwrap();
        let kept = ValueRef { digest, size: list.len() as u64, inline: None, items: None, attachments: vec![] };
        let read: Value = serde_json::from_str(&text(&blobs, Argument::Kept(kept)).await).unwrap();
        let error = serde_json::json!({"type": "E", "message": "m", "status": "timed_out", "attempts": 3});
        let error = serde_json::json!({"$": "object", "t": "qflow.OutcomeError", "v": error});
        assert_eq!(read["x"][0], serde_json::json!({"$": "outcome", "v": {"ok": true, "value": [1], "error": null}}));
        assert_eq!(
            read["x"][1],
            serde_json::json!({"$": "outcome", "v": {"ok": false, "value": null, "error": error}})
        );
    }

    #[tokio::test]
    async fn a_path_that_leads_nowhere_names_the_parameter() {
        let (_folder, blobs) = blobs();
        let argument = Argument::Gathered { values: vec![], path: vec![Segment::Index(0)] };
        let reader = reader(FilePath::new("/nowhere"));
        let error = arguments(&blobs, run(), &[("rows".into(), argument)], &reader).await.unwrap_err();
        assert_eq!(error.to_string(), "argument `rows`: list index out of range");
    }

    async fn stored(blobs: &Blobs, skeleton: &str, kind: &str, content: Vec<u8>) -> Argument {
        let mut value = inline(skeleton);
        let (digest, size) = (Digest::of(&content), content.len() as u64);
        blobs.write(run(), digest, content).await.unwrap();
        value.attachments = vec![Attachment { digest, size, kind: kind.into() }];
        Argument::Value { value, element: None, path: vec![] }
    }

    #[tokio::test]
    async fn files_and_what_is_large_are_laid_out_read_only_beside_the_container() {
        let (folder, blobs) = blobs();
        let file = stored(&blobs, r#"{"$":"attachment","k":"file","i":0,"n":"a.csv"}"#, "file", b"1,2".to_vec()).await;
        let odd = stored(&blobs, r#"{"$":"attachment","k":"file","i":0,"n":"../a"}"#, "file", b"3".to_vec()).await;
        let large = stored(&blobs, r#"{"$":"attachment","k":"bytes","i":0}"#, "bytes", vec![7; 70_000]).await;
        let given: Vec<_> = ["x", "y", "z"].map(String::from).into_iter().zip([file, odd, large]).collect();
        for sealed in [true, false] {
            let reader = Reader { sealed, folder: folder.path().join(sealed.to_string()), ..reader(folder.path()) };
            let resolved = arguments(&blobs, run(), &given, &reader).await.unwrap();
            let paths: Vec<_> = resolved.heads.iter().map(|head| head.path.clone().unwrap()).collect();
            assert_eq!(paths, ["/run/qflow/in/0/a.csv", "/run/qflow/in/1/content", "/run/qflow/in/2/content"]);
            assert!(resolved.attachments.is_empty());
            let laid_out = reader.folder.join("0/a.csv");
            assert_eq!(std::fs::read(&laid_out).unwrap(), b"1,2");
            let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&laid_out).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o444);
            let links = std::os::unix::fs::MetadataExt::nlink(&std::fs::metadata(&laid_out).unwrap());
            assert_eq!(links, if sealed { 2 } else { 1 });
        }
    }

    #[tokio::test]
    async fn a_pickle_goes_to_an_equal_environment_of_the_same_user_only() {
        let (folder, blobs) = blobs();
        for (lock, user, why) in [
            ("l", "u", None),
            ("m", "u", Some("argument `x`: it was pickled in another environment")),
            ("l", "v", Some("argument `x`: it was pickled in a run of another user")),
        ] {
            let skeleton = format!(r#"{{"$":"attachment","k":"pickle","i":0,"lock":"{lock}","user":"{user}"}}"#);
            let argument = stored(&blobs, &skeleton, "pickle", b"p".to_vec()).await;
            let told = arguments(&blobs, run(), &[("x".into(), argument)], &reader(folder.path())).await;
            match why {
                None => assert_eq!(told.unwrap().attachments, ["p"]),
                Some(why) => assert!(told.unwrap_err().to_string().starts_with(why)),
            }
        }
    }
}

//! Who reads arguments: what is large is laid out for it, and a pickle goes to its equals.

use std::path::{Path as FilePath, PathBuf};

use qflow_blobs::Blobs;
use qflow_model::{
    ids::{Digest, RunId},
    value::Attachment,
};
use serde_json::{Map, Value};

use super::Error;
use crate::unpack;

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

impl Reader {
    /// Lays an attachment out in a folder of its own, by the name it is known by; gives where that is inside.
    pub(super) async fn lay_out(
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
    pub(super) fn may_unpickle(&self, pickle: &Map<String, Value>) -> Result<(), Error> {
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

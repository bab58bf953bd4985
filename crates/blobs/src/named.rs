//! Objects by the names that they have in their store, as a back-up moves them.

use std::{os::unix::fs::PermissionsExt as _, path::Path as FilePath};

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStore as _, ObjectStoreExt as _, path::Path};

use crate::{Blobs, Error, PART_BYTES, failed, there};

/// Of a file that is copied: its owner's alone.
const PRIVATE: u32 = 0o600;

/// A name as the store has it: what of it had to be written otherwise (`talk%5B0%5D`) is so already.
fn called(name: &str) -> Result<Path, Error> {
    Path::parse(name).map_err(|error| failed("name", &Path::from(name))(error.into()))
}

impl Blobs {
    /// The names of all objects below a folder.
    pub async fn names(&self, folder: &str) -> Result<Vec<String>, Error> {
        let folder = Path::from(folder);
        let found = self.store.list(Some(&folder)).map_ok(|meta| meta.location.to_string()).try_collect().await;
        found.map_err(failed("list", &folder))
    }

    /// Whether there is any object below a folder.
    pub async fn any(&self, folder: &str) -> Result<bool, Error> {
        let folder = Path::from(folder);
        let first = self.store.list(Some(&folder)).next().await.transpose();
        first.map(|first| first.is_some()).map_err(failed("list", &folder))
    }

    /// Copies an object to a file of this machine, piece by piece; whether it was there.
    pub async fn copy_out(&self, name: &str, to: &FilePath) -> Result<bool, Error> {
        let path = called(name)?;
        let copied = self.fetch(&path, to).await.map_err(failed("copy", &path));
        match copied {
            Ok(()) => {}
            Err(error) if error.is_absent() => return Ok(false),
            Err(error) => return Err(error),
        }
        let private = tokio::fs::set_permissions(to, std::fs::Permissions::from_mode(PRIVATE)).await;
        private.map(|()| true).map_err(crate::files::on_disk).map_err(failed("copy", &path))
    }

    /// Copies a file of this machine to an object, in parts where it is large.
    pub async fn copy_in(&self, name: &str, from: &FilePath) -> Result<(), Error> {
        let path = called(name)?;
        let size =
            tokio::fs::metadata(from).await.map_err(crate::files::on_disk).map_err(failed("write", &path))?.len();
        if size > PART_BYTES as u64 {
            return self.send(from, &path).await.map_err(failed("write", &path));
        }
        let content = tokio::fs::read(from).await.map_err(crate::files::on_disk).map_err(failed("write", &path))?;
        self.put(&path, content.into()).await
    }

    /// Removes what is below a folder and not to be kept.
    pub async fn prune(&self, folder: &str, kept: impl Fn(&str) -> bool) -> Result<(), Error> {
        let folder = Path::from(folder);
        let mut found = self.store.list(Some(&folder));
        while let Some(meta) = found.try_next().await.map_err(failed("list", &folder))? {
            if !kept(meta.location.as_ref()) {
                there(self.store.delete(&meta.location).await).map_err(failed("remove", &meta.location))?;
            }
        }
        Ok(())
    }
}

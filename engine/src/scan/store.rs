//! The only place a tenant's queries can read bytes from.
//!
//! A [`TenantRegistry`] resolves exactly one URL, that of its tenant's segments, and a
//! [`TenantStore`] only reads below one directory. Whatever a statement names (`file://`, `http://`, another tenant's
//! URL) is unknown here, and nothing can be written, listed or deleted.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::DateTime;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};
use quiver_catalog::TenantId;
use url::Url;

use crate::error::{EngineError, Result as EngineResult};
use crate::storage_fs::{StorageFile, StorageFs};
use crate::task::on_blocking_pool;

/// Object stores of one tenant's runtime: a single one, put there at construction.
#[derive(Debug)]
pub(crate) struct TenantRegistry {
    url: ObjectStoreUrl,
    store: Arc<dyn ObjectStore>,
}

impl TenantRegistry {
    /// A registry that knows the segments of `tenant_id`, which lie under `data_directory`.
    ///
    /// # Errors
    /// `Io` when the directory does not exist.
    pub(crate) fn new(
        fs: Arc<dyn StorageFs>,
        tenant_id: TenantId,
        data_directory: &FilePath,
    ) -> EngineResult<Self> {
        let store = TenantStore::new(fs, data_directory)?;
        Ok(Self {
            url: tenant_store_url(tenant_id)?,
            store: Arc::new(store),
        })
    }

    /// The URL under which the tenant's segment paths are resolved.
    pub(crate) fn url(&self) -> ObjectStoreUrl {
        self.url.clone()
    }
}

impl ObjectStoreRegistry for TenantRegistry {
    fn register_store(
        &self,
        url: &Url,
        _store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        // The trait leaves no way to fail; a store that is not kept is one that cannot be read.
        tracing::warn!(scheme = url.scheme(), "refused to register an object store");
        None
    }

    fn deregister_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        Err(unknown_location(url))
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        let own: &Url = self.url.as_ref();
        let same = url.scheme() == own.scheme()
            && url.host_str() == own.host_str()
            && url.port().is_none()
            && url.username().is_empty();
        if same {
            Ok(Arc::clone(&self.store))
        } else {
            Err(unknown_location(url))
        }
    }
}

/// A directory that can be read, and nothing else.
#[derive(Debug)]
pub(crate) struct TenantStore {
    fs: Arc<dyn StorageFs>,
    directory: PathBuf,
}

impl TenantStore {
    /// A store of the files below `directory`.
    ///
    /// # Errors
    /// `Io` when the directory does not exist.
    pub(crate) fn new(fs: Arc<dyn StorageFs>, directory: &FilePath) -> EngineResult<Self> {
        if !fs.is_dir(directory) {
            return Err(EngineError::Io {
                action: "open",
                path: directory.to_path_buf(),
                source: io::ErrorKind::NotFound.into(),
            });
        }
        Ok(Self {
            fs,
            directory: directory.to_path_buf(),
        })
    }

    /// Reads parts of a file, away from the threads that must not wait.
    async fn read<T, F>(&self, location: &Path, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn StorageFile) -> io::Result<T> + Send + 'static,
    {
        // A location has neither empty nor dotted parts: it stays below the directory.
        let path = location.parts().fold(self.directory.clone(), |path, part| {
            path.join(part.as_ref())
        });
        let fs = Arc::clone(&self.fs);
        let job = on_blocking_pool(move || read(&*fs.open_read(&path)?));
        let result = job
            .await
            .map_err(io::Error::other)
            .and_then(|result| result);
        result.map_err(|error| unreadable(location, &error))
    }
}

/// Bytes `range` of a file.
fn read_range(file: &dyn StorageFile, range: Range<u64>) -> io::Result<Bytes> {
    let bytes = range.end.saturating_sub(range.start);
    let mut buffer = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    let read = file.read_at(range.start, &mut buffer)?;
    match read == buffer.len() {
        true => Ok(buffer.into()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl fmt::Display for TenantStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The directory stays out of plans and messages: they reach the tenant's users.
        f.write_str("TenantStore")
    }
}

#[async_trait]
impl ObjectStore for TenantStore {
    async fn put_opts(
        &self,
        _location: &Path,
        _payload: PutPayload,
        _options: PutOptions,
    ) -> Result<PutResult> {
        Err(read_only("put"))
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only("put_multipart"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (wanted, head) = (options.range, options.head);
        let read = move |file: &dyn StorageFile| {
            let size = file.len()?;
            let range = match &wanted {
                None => 0..size,
                Some(wanted) => wanted.as_range(size).map_err(io::Error::other)?,
            };
            let bytes = match head {
                true => Bytes::new(),
                false => read_range(file, range.clone())?,
            };
            Ok((size, range, bytes))
        };
        let (size, range, bytes) = self.read(location, read).await?;
        let payload = stream::once(async { Ok(bytes) });
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload.boxed()),
            meta: ObjectMeta {
                location: location.clone(),
                // Segments never change.
                last_modified: DateTime::UNIX_EPOCH,
                size,
                e_tag: None,
                version: None,
            },
            range,
            attributes: Attributes::default(),
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let ranges = ranges.to_vec();
        let read = move |file: &dyn StorageFile| {
            let parts = ranges.into_iter().map(|range| read_range(file, range));
            parts.collect()
        };
        self.read(location, read).await
    }

    fn delete_stream(
        &self,
        _locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        stream::once(async { Err(read_only("delete")) }).boxed()
    }

    fn list(&self, _prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::once(async { Err(read_only("list")) }).boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        Err(read_only("list"))
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(read_only("copy"))
    }

    async fn rename_opts(&self, _from: &Path, _to: &Path, _options: RenameOptions) -> Result<()> {
        Err(read_only("rename"))
    }
}

/// The internal URL of a tenant's segments. No statement can create it: it is only ever put into
/// plans by the engine.
pub(crate) fn tenant_store_url(tenant_id: TenantId) -> EngineResult<ObjectStoreUrl> {
    Ok(ObjectStoreUrl::parse(format!(
        "quiver-{}://segments",
        tenant_id.0
    ))?)
}

fn unknown_location(url: &Url) -> DataFusionError {
    DataFusionError::Plan(format!("unknown location {url}: only tables can be read"))
}

/// The error without the machine's paths, which are for the operator only.
fn unreadable(location: &Path, error: &io::Error) -> object_store::Error {
    tracing::error!(%location, %error, "a segment cannot be read");
    match error.kind() {
        io::ErrorKind::NotFound => object_store::Error::NotFound {
            path: location.to_string(),
            source: "the segment is missing".into(),
        },
        _ => object_store::Error::Generic {
            store: "segments",
            source: format!("cannot read {location}").into(),
        },
    }
}

fn read_only(operation: &'static str) -> object_store::Error {
    object_store::Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: "a read-only store".to_owned(),
    }
}

#[cfg(test)]
mod tests;

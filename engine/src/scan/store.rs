//! The only place a tenant's queries can read bytes from.
//!
//! A [`TenantRegistry`] resolves exactly one URL, that of its tenant's segments, and a
//! [`TenantStore`] only reads below one directory. Whatever a statement names (`file://`, `http://`, another tenant's
//! URL) is unknown here, and nothing can be written, listed or deleted.

use std::fmt;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use quiver_catalog::TenantId;
use url::Url;

use crate::error::{EngineError, Result as EngineResult};

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
    pub(crate) fn new(tenant_id: TenantId, data_directory: &FilePath) -> EngineResult<Self> {
        let store = TenantStore::new(data_directory)?;
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
    files: LocalFileSystem,
}

impl TenantStore {
    /// A store of the files below `directory`.
    ///
    /// # Errors
    /// `Io` when the directory does not exist.
    pub(crate) fn new(directory: &FilePath) -> EngineResult<Self> {
        let files =
            LocalFileSystem::new_with_prefix(directory).map_err(|error| EngineError::Io {
                action: "open",
                path: directory.to_path_buf(),
                source: error.into(),
            })?;
        Ok(Self { files })
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
        self.files
            .get_opts(location, options)
            .await
            .map_err(|error| unreadable(location, &error))
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files
            .get_ranges(location, ranges)
            .await
            .map_err(|error| unreadable(location, &error))
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
fn unreadable(location: &Path, error: &object_store::Error) -> object_store::Error {
    tracing::error!(%location, %error, "a segment cannot be read");
    match error {
        object_store::Error::NotFound { .. } => object_store::Error::NotFound {
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

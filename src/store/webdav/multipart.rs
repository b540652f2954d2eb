//! Multipart uploads, buffered and sent as one PUT.
//!
//! Chunks of the archive are far below the limit, and one PUT is cheaper than any chunked upload (WEBDAV §4.6). Nothing is sent
//! before `complete`, so an abort has nothing to clean up.

use std::fmt;

use async_trait::async_trait;
use object_store::{
    Error, MultipartUpload, ObjectStore, PutOptions, PutPayload, PutResult, Result, UploadPart, path::Path,
};

use super::{Code, Problem, WebDav};

/// The largest object a multipart upload takes: 64 MB (WEBDAV §2.2: most servers pass that in one PUT).
pub const LARGEST: usize = 64 * 1024 * 1024;

/// Parts in order, kept until the upload is completed.
pub(super) struct Buffered {
    store: WebDav,
    path: Path,
    parts: Vec<PutPayload>,
    length: usize,
}

impl fmt::Debug for Buffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffered").field("path", &self.path).field("length", &self.length).finish_non_exhaustive()
    }
}

impl Buffered {
    pub(super) fn new(store: WebDav, path: Path) -> Self {
        Self { store, path, parts: Vec::new(), length: 0 }
    }

    fn check(&self) -> Result<()> {
        if self.length <= LARGEST {
            return Ok(());
        }
        let why = format!("{} is larger than the {LARGEST} bytes that one upload may have", self.path);
        Err(Problem::new(Code::TooLarge, why).into_store_error(&self.path))
    }
}

#[async_trait]
impl MultipartUpload for Buffered {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.length = self.length.saturating_add(data.content_length());
        let checked = self.check();
        if checked.is_ok() {
            self.parts.push(data);
        }
        Box::pin(std::future::ready(checked))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.check()?;
        let payload = std::mem::take(&mut self.parts).into_iter().flatten().collect();
        self.store.put_opts(&self.path, payload, PutOptions::default()).await
    }

    async fn abort(&mut self) -> Result<(), Error> {
        self.parts.clear();
        Ok(())
    }
}

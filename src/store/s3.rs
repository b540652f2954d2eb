//! S3 as a remote: the crate's `AmazonS3`, spoken to through this room's own HTTP client.
//!
//! Promises: the server computes SHA-256 of what it receives and refuses an upload that differs; a name that is there is never overwritten by
//! `PutMode::Create`; credentials are those of the settings alone, never a machine's role or another program's; no redirect is
//! followed; every request is counted, retries included; no wait is without end.

use std::{fmt, path::Path as FsPath, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, Checksum},
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    },
    path::Path,
    prefix::PrefixStore,
};
use reqwest::header::{ACCEPT_ENCODING, HeaderValue};
use secrecy::ExposeSecret as _;
use url::Url;

use super::{count::Requests, http};
use crate::{
    config::RemoteKind,
    error::{Error, Kind, OrFail as _, Result},
};

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// Time for an answer's head after the body was sent, and between two pieces of its body.
const ANSWER: Duration = Duration::from_secs(60);
/// The slowest upload that is still waited for, in bytes a second.
const SLOWEST: u64 = 16 * 1024;

/// Opens the S3 remote `name`, with the counter of requests. Nothing is sent yet.
///
/// # Errors
/// `Config` when the settings make no address, or a certificate file cannot be read; `Bug` for another kind of remote.
pub(super) fn open(name: &str, kind: &RemoteKind) -> Result<(Arc<dyn ObjectStore>, Arc<Requests>)> {
    let RemoteKind::S3 {
        bucket,
        prefix,
        endpoint,
        region,
        access_key_id,
        secret_access_key,
        virtual_host_style,
        ca_file,
    } = kind
    else {
        return Err(Error::new(Kind::Bug, format!("remote {name} is not S3")));
    };
    let bad = || format!("the settings of remote {name} make no S3 address");
    let address = match endpoint {
        Some(endpoint) => host_style(endpoint, bucket, *virtual_host_style).or_fail(Kind::Config, bad)?,
        None if *virtual_host_style => {
            Url::parse(&format!("https://{bucket}.s3.{region}.amazonaws.com")).or_fail(Kind::Config, bad)?
        }
        None => Url::parse(&format!("https://s3.{region}.amazonaws.com")).or_fail(Kind::Config, bad)?,
    };
    let requests = Arc::new(Requests::default());
    let connector = Connector::new(&address, ca_file.as_deref(), Arc::clone(&requests))?;
    let store = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_endpoint(address.as_str().trim_end_matches('/'))
        .with_virtual_hosted_style_request(*virtual_host_style)
        .with_allow_http(address.scheme() == "http")
        .with_access_key_id(access_key_id)
        .with_secret_access_key(secret_access_key.expose_secret())
        .with_checksum_algorithm(Checksum::SHA256)
        .with_disable_bulk_delete(true)
        .with_retry(retry())
        .with_http_connector(connector)
        .build()
        .or_fail(Kind::Config, bad)?;
    let prefix = Path::parse(prefix).or_fail(Kind::Config, bad)?;
    let store: Arc<dyn ObjectStore> =
        if prefix == Path::default() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) };
    Ok((store, requests))
}

/// The endpoint's address, with the bucket in the host name where that is asked for.
fn host_style(endpoint: &Url, bucket: &str, virtual_host: bool) -> std::result::Result<Url, url::ParseError> {
    let mut url = endpoint.clone();
    if virtual_host {
        let host = url.host_str().unwrap_or_default().to_owned();
        url.set_host(Some(&format!("{bucket}.{host}")))?;
    }
    Ok(url)
}

/// Whether a server of S3 refused the key, or what it may do.
pub(super) fn refused(error: &object_store::Error) -> bool {
    let is_http =
        |source: &(dyn std::error::Error + Send + Sync + 'static)| source.to_string().contains("status code: 403");
    matches!(error, object_store::Error::PermissionDenied { source, .. } if is_http(source.as_ref()))
}

fn retry() -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(250), max_backoff: Duration::from_secs(8), base: 2. };
    RetryConfig { backoff, max_retries: 4, retry_timeout: Duration::from_secs(180) }
}

/// Gives the crate our client.
struct Connector {
    http: reqwest::Client,
    requests: Arc<Requests>,
}

impl Connector {
    fn new(address: &Url, ca_file: Option<&FsPath>, requests: Arc<Requests>) -> Result<Self> {
        Ok(Self { http: http::client(address, ca_file, CONNECT)?, requests })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service { http: self.http.clone(), requests: Arc::clone(&self.requests) }))
    }
}

struct Service {
    http: reqwest::Client,
    requests: Arc<Requests>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // An answer in another encoding would not have the object's length.
        request.headers_mut().entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
        let sent = request.body().content_length() as u64;
        self.requests.record(method(request.method().as_str()), sent);
        let limit = ANSWER + Duration::from_secs(sent / SLOWEST);
        let answer = tokio::time::timeout(limit, self.http.call(request)).await.map_err(|_| late("no answer"))??;
        let (parts, body) = answer.into_parts();
        Ok(HttpResponse::from_parts(parts, timed(body, Arc::clone(&self.requests))))
    }
}

/// A body of which each piece has to come in time.
fn timed(body: HttpResponseBody, requests: Arc<Requests>) -> HttpResponseBody {
    let pieces = stream::try_unfold((body, requests), |(mut body, requests)| async move {
        match tokio::time::timeout(ANSWER, body.frame()).await {
            Ok(Some(frame)) => {
                let frame = frame?;
                requests.received(frame.data_ref().map_or(0, |data| data.len() as u64));
                Ok(Some((frame, (body, requests))))
            }
            Ok(None) => Ok(None),
            Err(_) => Err(late("the answer stands still")),
        }
    });
    HttpResponseBody::new(StreamBody::new(pieces))
}

fn late(what: &str) -> HttpError {
    let why = std::io::Error::new(std::io::ErrorKind::TimedOut, format!("{what} for {} s", ANSWER.as_secs()));
    HttpError::new(HttpErrorKind::Timeout, why)
}

fn method(name: &str) -> &'static str {
    ["GET", "HEAD", "PUT", "POST", "DELETE"].into_iter().find(|known| *known == name).unwrap_or("OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_stands_in_the_host_or_in_the_path() {
        let endpoint = Url::parse("https://s3.example:9000").unwrap();
        let host = |style| host_style(&endpoint, "vault", style).unwrap().to_string();
        assert_eq!(
            (host(true).as_str(), host(false).as_str()),
            ("https://vault.s3.example:9000/", "https://s3.example:9000/")
        );
    }
}

//! Downloads: whole objects, ranges, conditions.
//!
//! Conditions are sent to the server and checked here again, since some servers ignore them (WEBDAV §7); a server that ignores
//! the range gets the unwanted bytes dropped. A body that is shorter than announced is an error. A folder is no object, whatever
//! the server answers to its GET.

use std::{ops::Range, time::SystemTime};

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, Result, path::Path};
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, LAST_MODIFIED},
};

use super::{Code, Problem, WebDav, listing::parse_http_date, not_implemented, request::Request};

impl WebDav {
    pub(super) async fn get(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        if options.version.is_some() {
            return Err(not_implemented("get_opts with a version"));
        }
        if let Some(range) = &options.range {
            check_range(range).map_err(|problem| problem.into_store_error(path))?;
        }
        if options.head {
            let meta = self.inner.stat(path).await.map_err(|problem| problem.into_store_error(path))?;
            options.check_preconditions(&meta)?;
            let range = 0..meta.size;
            return Ok(result(meta, range, futures::stream::empty().boxed()));
        }
        let answer = self.ask(path, &options).await.map_err(|problem| problem.into_store_error(path))?;
        let (meta, sent) = self.describe(path, &answer).await.map_err(|problem| problem.into_store_error(path))?;
        options.check_preconditions(&meta)?;
        let wanted = match &options.range {
            None => 0..meta.size,
            Some(range) => resolve(range, meta.size).map_err(|problem| problem.into_store_error(path))?,
        };
        if wanted.start < sent.start || wanted.end > sent.end {
            let why = format!("GET {path}: the server sent bytes {sent:?} instead of {wanted:?}");
            return Err(Problem::new(Code::Unexpected, why).into_store_error(path));
        }
        let skip = wanted.start - sent.start;
        let body = self.body(path.clone(), answer, skip, wanted.end - wanted.start);
        Ok(result(meta, wanted, body))
    }

    async fn ask(&self, path: &Path, options: &GetOptions) -> Result<Response, Problem> {
        let client = &self.inner.client;
        let request = || {
            let mut request = client.request("GET", path, false);
            if let Some(range) = &options.range {
                request = request.header("range", &range_header(range))?;
            }
            conditions(request, options)
        };
        client.send_again(request).await.map_err(|problem| match problem.code() {
            // Some servers redirect or refuse the GET of a folder, which is no object.
            Code::NotAllowed | Code::Redirected if self.inner.folders.is_known(path) => {
                Problem::new(Code::Missing, format!("{path} is a folder, not an object"))
            }
            _ => problem,
        })
    }

    /// The object's properties and the range of bytes that the answer's body holds.
    async fn describe(&self, path: &Path, answer: &Response) -> Result<(ObjectMeta, Range<u64>), Problem> {
        let content_range = header(answer, &CONTENT_RANGE).and_then(parse_content_range);
        let length = header(answer, &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        let partial = answer.status() == StatusCode::PARTIAL_CONTENT;
        let etag = header(answer, &ETAG);
        if etag.is_none() {
            // Nextcloud answers the GET of a folder with 200 and a sentence about itself. Objects have an etag there; where an answer
            // has none, a look tells what it is about.
            self.inner.stat(path).await?;
        }
        let known = match (partial, &content_range, length) {
            (true, Some((_, total)), _) => *total,
            (false, _, length) => length,
            (true, None, _) => {
                return Err(Problem::new(
                    Code::Unexpected,
                    format!("GET {path}: a part without a Content-Range came back"),
                ));
            }
        };
        let meta = match known {
            Some(size) => ObjectMeta {
                location: path.clone(),
                last_modified: header(answer, &LAST_MODIFIED)
                    .and_then(parse_http_date)
                    .unwrap_or(SystemTime::UNIX_EPOCH)
                    .into(),
                size,
                e_tag: etag.map(str::to_owned),
                version: None,
            },
            // The answer does not tell the whole length; the listing does.
            None => self.inner.stat(path).await?,
        };
        let sent = match content_range {
            Some((range, _)) if partial => range,
            _ => 0..meta.size,
        };
        Ok((meta, sent))
    }

    /// The body without its first `skip` bytes, `length` bytes long.
    fn body(&self, path: Path, answer: Response, skip: u64, length: u64) -> BoxStream<'static, Result<Bytes>> {
        let store = self.clone();
        let start = (answer, skip, length);
        futures::stream::try_unfold(start, move |(mut answer, mut skip, mut left)| {
            let (store, path) = (store.clone(), path.clone());
            async move {
                let what = format!("GET {path}");
                while left > 0 {
                    let piece = store.inner.client.next_piece(&mut answer, &what).await;
                    let Some(mut piece) = piece.map_err(|problem| problem.into_store_error(&path))? else {
                        let problem =
                            Problem::new(Code::Broken, format!("{what}: the answer ends {left} bytes too early"));
                        return Err(problem.into_store_error(&path));
                    };
                    let dropped = piece.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
                    skip -= dropped as u64;
                    piece = piece.slice(dropped..);
                    piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    if !piece.is_empty() {
                        left -= piece.len() as u64;
                        return Ok(Some((piece, (answer, skip, left))));
                    }
                }
                Ok(None)
            }
        })
        .boxed()
    }
}

fn result(meta: ObjectMeta, range: Range<u64>, body: BoxStream<'static, Result<Bytes>>) -> GetResult {
    GetResult {
        payload: GetResultPayload::Stream(body),
        meta,
        range,
        attributes: Default::default(),
        extensions: Default::default(),
    }
}

fn header<'a>(answer: &'a Response, name: &HeaderName) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

fn conditions(mut request: Request, options: &GetOptions) -> Result<Request, Problem> {
    let date = |seconds: i64| {
        jiff::Timestamp::from_second(seconds)
            .and_then(|at| jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at))
            .map_err(|_| Problem::new(Code::Unexpected, "a date in a condition is out of range"))
    };
    if let Some(tag) = &options.if_match {
        request = request.header("if-match", tag)?;
    }
    if let Some(tag) = &options.if_none_match {
        request = request.header("if-none-match", tag)?;
    }
    if let Some(at) = options.if_modified_since {
        request = request.header("if-modified-since", &date(at.timestamp())?)?;
    }
    if let Some(at) = options.if_unmodified_since {
        request = request.header("if-unmodified-since", &date(at.timestamp())?)?;
    }
    Ok(request)
}

fn check_range(range: &GetRange) -> Result<(), Problem> {
    match range {
        GetRange::Bounded(range) if range.start >= range.end => {
            Err(Problem::new(Code::BadRange, format!("the range {range:?} is empty")))
        }
        _ => Ok(()),
    }
}

fn range_header(range: &GetRange) -> String {
    match range {
        GetRange::Bounded(range) => format!("bytes={}-{}", range.start, range.end - 1),
        GetRange::Offset(from) => format!("bytes={from}-"),
        GetRange::Suffix(last) => format!("bytes=-{last}"),
    }
}

/// The bytes that a range means in an object of `size` bytes.
fn resolve(range: &GetRange, size: u64) -> Result<Range<u64>, Problem> {
    let (start, end) = match range {
        GetRange::Bounded(range) => (range.start, range.end.min(size)),
        GetRange::Offset(from) => (*from, size),
        GetRange::Suffix(last) => (size.saturating_sub(*last), size),
    };
    if start >= size && !matches!(range, GetRange::Suffix(_)) {
        return Err(Problem::new(Code::BadRange, format!("the range begins at {start}, the object ends at {size}")));
    }
    Ok(start..end)
}

/// `bytes 2-4/14`; the total may be `*`.
fn parse_content_range(text: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let end = last.checked_add(1).filter(|end| first < *end)?;
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some((first..end, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read() {
        assert_eq!(parse_content_range("bytes 2-4/14"), Some((2..5, Some(14))));
        assert_eq!(parse_content_range("bytes 0-0/*"), Some((0..1, None)));
        for bad in ["bytes */14", "2-4/14", "bytes 4-2/14", "bytes 0-18446744073709551615/1", ""] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn ranges_are_resolved_against_the_length() {
        assert_eq!(resolve(&GetRange::Bounded(2..100), 14).unwrap(), 2..14);
        assert_eq!(resolve(&GetRange::Suffix(100), 14).unwrap(), 0..14);
        assert_eq!(resolve(&GetRange::Offset(3), 14).unwrap(), 3..14);
        assert!(resolve(&GetRange::Offset(14), 14).is_err());
        assert!(resolve(&GetRange::Bounded(20..30), 14).is_err());
    }
}

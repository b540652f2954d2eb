//! The user's files: storing, reading, deleting, hashing.

use bytes::Bytes;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};

use super::{
    Server, Storage,
    answer::{self, Answer, bad_request, bare, conflict, forbidden, header, locked, not_found, precondition},
    listing::http_date,
    serve::{Head, Taken, Twist, refuse, take},
    state::{File, Node, parent, spoiled},
};

/// The path below the user's root, or none for other places.
pub(super) fn relative<'a>(server: &Server, path: &'a str) -> Option<&'a str> {
    let uid = &server.options.uid;
    let modern = path.strip_prefix("/remote.php/dav/files/").and_then(|rest| match rest.split_once('/') {
        Some((user, rest)) => user.eq_ignore_ascii_case(uid).then_some(rest),
        None => rest.eq_ignore_ascii_case(uid).then_some(""),
    });
    modern.or_else(|| path.strip_prefix("/remote.php/webdav")).map(|path| path.trim_matches('/'))
}

/// Somebody asks for what is not the user's.
pub(super) async fn stranger(server: &Server, head: &Head, body: Incoming) -> Answer {
    let is_files = head.path.starts_with("/remote.php/dav/files/");
    let answer = match head.method.as_str() {
        "PROPFIND" if is_files => super::listing::foreign_folder(server, head),
        "PUT" | "MKCOL" | "DELETE" if is_files => forbidden("Permission denied to access another user's files"),
        _ => not_found(&head.path),
    };
    refuse(server, head, body, answer).await
}

/// Why a name is refused.
pub(super) fn bad_name(path: &str) -> Option<Answer> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let lower = name.to_lowercase();
    let bad = name.len() > 250
        || name.contains('\\')
        || name.chars().any(char::is_control)
        || [".part", ".filepart"].iter().any(|end| lower.ends_with(end))
        || lower == ".htaccess"
        || name.ends_with([' ', '.']) && name.len() <= 2;
    bad.then(|| bad_request("File name contains at least one invalid character, or is too long"))
}

/// Everything that speaks against a PUT before its body is read.
fn objection(server: &Server, head: &Head, path: &str) -> Option<Answer> {
    let mut state = server.state();
    if let Some(answer) = bad_name(path) {
        return Some(answer);
    }
    if head.headers.contains_key("content-range") {
        return Some(bad_request("Content-Range on PUT requests are forbidden."));
    }
    if state.is_folder(path) {
        return Some(conflict("PUT is not allowed on non-files."));
    }
    if server.options.conditions {
        let etag = state.file(path).map(|file| format!("\"{}\"", file.etag));
        if head.header("if-none-match") == Some("*") && etag.is_some() {
            return Some(precondition(
                "An If-None-Match header was specified, but the ETag matched (or * was specified).",
            ));
        }
        if let Some(wanted) = head.header("if-match")
            && etag.as_deref() != Some(wanted)
            && (wanted != "*" || etag.is_none())
        {
            return Some(precondition("An If-Match header was specified, but the resource did not match."));
        }
    }
    if !state.is_folder(parent(path)) {
        let auto = server.options.version >= 32 && head.header("x-nc-webdav-auto-mkcol") == Some("1");
        if auto {
            state.make_folders(parent(path));
        } else if server.options.version >= 31 {
            return Some(not_found(&format!("/{}", parent(path))));
        } else {
            return Some(conflict("Files cannot be created in non-existent collections"));
        }
    }
    let told = |name: &str| head.header(name).and_then(|value| value.parse().ok());
    let length = head.length.or(told("oc-total-length")).or(told("x-expected-entity-length"));
    let replaced = state.file(path).map_or(0, |file| file.size);
    if length.is_some_and(|length| !state.fits(length.saturating_sub(replaced))) {
        return Some(answer::full_disk());
    }
    state.is_locked(path).then(|| locked(path))
}

pub(super) async fn put(server: &Server, head: &Head, path: &str, body: Incoming, twist: &Twist) -> Answer {
    if let Some(answer) = objection(server, head, path) {
        return refuse(server, head, body, answer).await;
    }
    // Between the look above and this somebody else may have come: then the lock says so.
    let taken_by_others = {
        let mut state = server.state();
        let held = state.is_locked(path);
        if !held {
            state.locks.insert(path.to_owned(), None);
        }
        held
    };
    if taken_by_others {
        return refuse(server, head, body, locked(path)).await;
    }
    let taken = take(server, head, body, twist.takes).await;
    tokio::time::sleep(twist.lasts).await;
    server.state().locks.remove(path);
    store(server, head, path, taken, twist)
}

fn store(server: &Server, head: &Head, path: &str, taken: Taken, twist: &Twist) -> Answer {
    let mut state = server.state();
    let existed = state.file(path).is_some();
    if !taken.whole {
        let in_place = existed && server.options.overwrite_in_place;
        if in_place || twist.visible || server.options.storage == Storage::S3 {
            let modified = state.now();
            let file = File::new(taken.data.clone(), modified, &mut state.ids);
            state.nodes.insert(path.to_owned(), Node::File(file));
            state.touch_parents(path);
        }
        let (expected, came) = (head.length.unwrap_or_default(), taken.data.len());
        return bad_request(&format!(
            "Expected filesize of {expected} bytes but read (from Nextcloud client) and wrote (to Nextcloud storage) {came} bytes."
        ));
    }
    let received = if twist.corrupt_received { spoiled(&taken.data) } else { taken.data };
    let stored = twisted(&received, twist);
    let wish = head.header("x-oc-mtime").and_then(|time| time.parse().ok()).filter(|_| server.options.mtime);
    let modified = wish.unwrap_or_else(|| state.now());
    let mut file = File::new(stored, modified, &mut state.ids);
    if let Some(before) = state.file(path) {
        file.id = before.id;
    }
    file.checksum = head.header("oc-checksum").map(str::to_owned);
    let mut answer = stored_answer(server, if existed { 204 } else { 201 }, &file);
    if wish.is_some() {
        answer = header(answer, "x-oc-mtime", "accepted");
    }
    answer = with_hash(server, head, answer, &received);
    state.nodes.insert(path.to_owned(), Node::File(file));
    state.touch_parents(path);
    answer
}

/// What is really stored.
pub(super) fn twisted(data: &Bytes, twist: &Twist) -> Bytes {
    let mut data = if twist.corrupt { spoiled(data) } else { data.clone() };
    data.truncate(twist.truncate.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX));
    data
}

/// The headers every stored file is answered with.
pub(super) fn stored_answer(server: &Server, status: u16, file: &File) -> Answer {
    let etag = format!("\"{}\"", file.etag);
    let answer = header(header(bare(status), "etag", &etag), "oc-etag", &etag);
    let answer = header(answer, "oc-fileid", &format!("{:08}ocdouble", file.id));
    if server.options.version < 32 {
        return answer;
    }
    header(header(answer, "x-nc-ownerid", &server.options.uid), "x-nc-permissions", "RGDNVW")
}

/// `X-Hash-SHA256` of what was received, when it was asked for.
pub(super) fn with_hash(server: &Server, head: &Head, answer: Answer, received: &Bytes) -> Answer {
    let wanted = head.header("x-hash").is_some_and(|name| ["sha256", "all"].contains(&name));
    if !wanted || !server.options.x_hash {
        return answer;
    }
    header(answer, "x-hash-sha256", &sha256(received))
}

pub(super) fn sha256(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

/// What versions 30, 32 and 34 answer to the GET of a folder; 32 to some clients nothing, with 200, too.
const FOLDER: &str = "This is the WebDAV interface. It can only be accessed by WebDAV clients such as the Nextcloud desktop sync client.";

/// Reads from the disk what the database believes to be there.
pub(super) fn get(server: &Server, head: &Head, path: &str) -> Answer {
    let mut state = server.state();
    let is_get = head.method == "GET";
    if state.is_locked(path) && state.file(path).is_some() && is_get {
        return locked(path);
    }
    if state.is_folder(path) {
        // Neither an etag nor a date: the sentence is about the server, not the folder.
        return answer::with_body(200, "text/html; charset=UTF-8", if is_get { FOLDER } else { "" });
    }
    let Some(file) = state.file_mut(path) else { return not_found(&format!("/{path}")) };
    if is_get && file.gone {
        state.nodes.remove(path);
        return answer::error(503, "Sabre\\DAV\\Exception\\ServiceUnavailable", "Failed to open file");
    }
    if is_get {
        // Reading shows the truth, and the database learns it.
        file.size = file.data.len() as u64;
    }
    let file = file.clone();
    drop(state);
    if let Some(answer) = unwanted(head, &file) {
        return answer;
    }
    let length = file.size;
    let (status, range) = match head.header("range").map(|range| parse_range(range, length)) {
        None => (200, 0..length),
        Some(Some(range)) => (206, range),
        Some(None) => {
            let exception = "Sabre\\DAV\\Exception\\RequestedRangeNotSatisfiable";
            return answer::error(416, exception, "The start offset exceeded the size of the entity");
        }
    };
    let place = |at: u64| usize::try_from(at).unwrap().min(file.data.len());
    let piece = if is_get { file.data.slice(place(range.start)..place(range.end)) } else { Bytes::new() };
    let mut answer = answer::with_body(status, "application/octet-stream", piece);
    if status == 206 {
        let told = format!("bytes {}-{}/{length}", range.start, range.end - 1);
        answer = header(answer, "content-range", &told);
    }
    if !is_get && length > 0 {
        answer = header(answer, "content-length", &length.to_string());
    }
    let etag = format!("\"{}\"", file.etag);
    answer = header(header(answer, "etag", &etag), "oc-etag", &etag);
    answer = header(answer, "last-modified", &http_date(file.modified));
    if let Some(checksum) = &file.checksum {
        answer = header(answer, "oc-checksum", checksum);
    }
    header(answer, "accept-ranges", "bytes")
}

/// The answer to conditions that say no.
fn unwanted(head: &Head, file: &File) -> Option<Answer> {
    let etag = format!("\"{}\"", file.etag);
    let lists =
        |name: &str| head.header(name).map(|tags| tags.split(',').any(|tag| ["*", &etag].contains(&tag.trim())));
    let moment = |name: &str| {
        let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
        parser.parse_timestamp(head.header(name)?).ok().map(jiff::Timestamp::as_second)
    };
    if lists("if-match") == Some(false) || moment("if-unmodified-since").is_some_and(|time| file.modified > time) {
        return Some(precondition("The resource has changed"));
    }
    let same = match lists("if-none-match") {
        Some(listed) => listed,
        None => moment("if-modified-since").is_some_and(|time| file.modified <= time),
    };
    same.then(|| header(bare(304), "etag", &etag))
}

/// `bytes=a-b`, `bytes=a-`, `bytes=-n`; none beyond the end.
fn parse_range(text: &str, length: u64) -> Option<std::ops::Range<u64>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (from, to) {
        ("", count) => length.saturating_sub(count.parse().ok()?)..length,
        (from, "") => from.parse().ok()?..length,
        (from, to) => from.parse().ok()?..length.min(to.parse::<u64>().ok()?.saturating_add(1)),
    };
    (range.start < range.end).then_some(range)
}

pub(super) fn make_folder(server: &Server, path: &str) -> Answer {
    let mut state = server.state();
    if state.nodes.contains_key(path) {
        return answer::not_allowed("The resource you tried to create already exists");
    }
    if !state.is_folder(parent(path)) {
        return conflict("Parent node does not exist");
    }
    if let Some(answer) = bad_name(path) {
        return answer;
    }
    if state.is_locked(parent(path)) {
        return locked(parent(path));
    }
    state.make_folders(path);
    state.touch_parents(path);
    bare(201)
}

pub(super) fn delete(server: &Server, head: &Head, path: &str) -> Answer {
    let mut state = server.state();
    let Some(node) = state.nodes.get(path) else { return not_found(&format!("/{path}")) };
    if path.is_empty() {
        return forbidden("The root cannot be deleted");
    }
    let etag = match node {
        Node::File(file) => format!("\"{}\"", file.etag),
        Node::Folder(folder) => format!("\"{}\"", folder.etag),
    };
    if head.header("if-match").is_some_and(|wanted| wanted != etag && wanted != "*") {
        return precondition("An If-Match header was specified, but none of the specified ETags matched.");
    }
    if state.is_locked(path) {
        return locked(path);
    }
    let skips = server.options.version >= 29 && head.header("x-nc-skip-trashbin") == Some("true");
    state.remove(path, server.options.trash && !skips);
    bare(204)
}

/// Hashes what is on the disk.
pub(super) fn patch(server: &Server, head: &Head, path: &str) -> Answer {
    let Some(wanted) = head.header("x-recalculate-hash").filter(|_| server.options.patch_hash) else {
        return answer::error(
            501,
            "Sabre\\DAV\\Exception\\NotImplemented",
            "There was no plugin in the system that was willing to handle this PATCH method",
        );
    };
    let mut state = server.state();
    if state.is_folder(path) {
        return conflict("PATCH is not allowed on non-files.");
    }
    let Some(file) = state.file_mut(path) else { return not_found(&format!("/{path}")) };
    if wanted != "sha256" {
        return answer::internal("hash(): Argument #1 ($algo) must be a valid hashing algorithm");
    }
    if file.gone {
        return answer::internal("Failed to open file");
    }
    let checksum = format!("SHA256:{}", sha256(&file.data));
    file.checksum = Some(checksum.clone());
    header(bare(204), "oc-checksum", &checksum)
}

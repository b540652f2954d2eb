//! Chunked upload version 2: staging folders, their parts, and the MOVE that makes a file of them.

use bytes::Bytes;
use hyper::body::Incoming;

use super::{
    Server, Storage,
    answer::{self, Answer, bad_request, bare, conflict, header, internal, not_found, precondition},
    files::{stored_answer, twisted, with_hash},
    listing,
    serve::{Head, Twist, refuse, take},
    state::{File, Node, Part, Staging, new_etag, parent},
    transfer,
};

/// `below` is what follows `/uploads/`: user, id, part. The user is not looked at: it is always one's own folder.
pub(super) async fn answer(server: &Server, head: Head, below: &str, body: Incoming, twist: Twist) -> Answer {
    let mut segments = below.trim_end_matches('/').splitn(3, '/').skip(1);
    let (id, name) = (segments.next().map(str::to_owned), segments.next().map(str::to_owned));
    let Some(id) = id else {
        let answer = listing::all_staging(server, &head);
        return refuse(server, &head, body, answer).await;
    };
    match (head.method.as_str(), name) {
        ("PUT", Some(name)) => put(server, &head, &id, &name, body, &twist).await,
        ("MOVE", Some(name)) if name == ".file" => {
            let answer = assemble(server, &head, &id, &twist).await;
            refuse(server, &head, body, answer).await
        }
        ("PROPFIND", None) => {
            take(server, &head, body, None).await;
            listing::staging(server, &head, &id)
        }
        (_, name) => {
            let answer = small(server, &head, &id, name.as_deref());
            refuse(server, &head, body, answer).await
        }
    }
}

fn small(server: &Server, head: &Head, id: &str, name: Option<&str>) -> Answer {
    let mut state = server.state();
    match (head.method.as_str(), name) {
        ("MKCOL", None) => {
            if state.uploads.contains_key(id) {
                return answer::not_allowed("The resource you tried to create already exists");
            }
            let multipart = server.options.storage == Storage::S3 && head.headers.contains_key("destination");
            let staging = Staging { parts: Default::default(), multipart, cached: true, taken: 0 };
            state.uploads.insert(id.to_owned(), staging);
            bare(201)
        }
        ("DELETE", None) => match state.uploads.remove(id) {
            Some(_) => bare(204),
            None => not_found(id),
        },
        ("DELETE", Some(name)) => match state.uploads.get_mut(id).and_then(|staging| staging.parts.remove(name)) {
            Some(_) => bare(204),
            None => not_found(name),
        },
        ("GET", Some(name)) => match state.uploads.get(id).and_then(|staging| staging.parts.get(name)) {
            Some(_) if server.options.version >= 32 => answer::not_allowed("Parts cannot be read"),
            Some(part) => answer::with_body(200, "application/octet-stream", part.data.clone()),
            None => not_found(name),
        },
        (method, _) => answer::not_allowed(&format!("{method} is not known here")),
    }
}

/// What speaks against a part before its body is read.
fn objection(server: &Server, head: &Head, id: &str, name: &str) -> Option<Answer> {
    let state = server.state();
    let Some(staging) = state.uploads.get(id) else { return Some(not_found(&format!("uploads/{id}"))) };
    if staging.multipart {
        if !name.parse::<u32>().is_ok_and(|number| (1..=10_000).contains(&number)) {
            return Some(bad_request("Invalid chunk name, must be numeric between 1 and 10000"));
        }
        if !staging.cached {
            return Some(precondition(
                "Missing metadata for chunked upload. The distributed cache does not hold the information of previous requests.",
            ));
        }
    }
    if let Some(total) = head.header("oc-total-length").and_then(|value| value.parse().ok()) {
        // The same status as for a lost staging folder.
        if let Ok(to) = transfer::destination(server, head)
            && !state.is_folder(parent(&to))
        {
            return Some(not_found(&format!("/{}", parent(&to))));
        }
        if !state.fits(total) {
            return Some(answer::full_disk());
        }
    }
    None
}

async fn put(server: &Server, head: &Head, id: &str, name: &str, body: Incoming, twist: &Twist) -> Answer {
    if let Some(answer) = objection(server, head, id, name) {
        return refuse(server, head, body, answer).await;
    }
    let taken = take(server, head, body, twist.takes).await;
    tokio::time::sleep(twist.lasts).await;
    let mut state = server.state();
    let Some(staging) = state.uploads.get_mut(id) else { return not_found(&format!("uploads/{id}")) };
    if !taken.whole {
        return bad_request("Expected another filesize");
    }
    let received = if twist.corrupt_received { super::state::spoiled(&taken.data) } else { taken.data };
    let etag = new_etag();
    let part = Part { data: twisted(&received, twist), etag: etag.clone() };
    staging.taken += part.data.len() as u64;
    let known = staging.parts.insert(name.to_owned(), part).is_some();
    let status = match (staging.multipart, known) {
        (true, _) => 200,
        (false, true) => 204,
        (false, false) => 201,
    };
    let answer = header(bare(status), "oc-etag", &format!("\"{etag}\""));
    with_hash(server, head, answer, &received)
}

/// Parts in their natural order: 2 before 10.
fn in_order(staging: &Staging) -> Vec<&Part> {
    let mut names: Vec<&String> = staging.parts.keys().collect();
    names.sort_by_key(|name| (name.parse::<u64>().unwrap_or(u64::MAX), name.as_str()));
    names.into_iter().map(|name| &staging.parts[name]).collect()
}

async fn assemble(server: &Server, head: &Head, id: &str, twist: &Twist) -> Answer {
    let to = match transfer::destination(server, head) {
        Ok(to) => to,
        Err(answer) => return answer,
    };
    let data = match begin(server, head, id, &to) {
        Ok(data) => data,
        Err(answer) => return answer,
    };
    // Assembling takes its time, and nobody else may do the same meanwhile.
    tokio::time::sleep(twist.lasts).await;
    let mut state = server.state();
    state.locks.remove(&to);
    let multipart = state.uploads.remove(id).is_some_and(|staging| staging.multipart);
    let existed = state.file(&to).is_some();
    let wish = head.header("x-oc-mtime").and_then(|time| time.parse().ok()).filter(|_| server.options.mtime);
    let modified = wish.unwrap_or_else(|| state.now());
    let mut file = File::new(twisted(&data, twist), modified, &mut state.ids);
    if !multipart {
        file.checksum = head.header("oc-checksum").map(str::to_owned);
    }
    let mut answer = stored_answer(server, if existed { 204 } else { 201 }, &file);
    if wish.is_some() {
        answer = header(answer, "x-oc-mtime", "accepted");
    }
    if !multipart {
        answer = with_hash(server, head, answer, &data);
    }
    state.nodes.insert(to.clone(), Node::File(file));
    state.touch_parents(&to);
    answer
}

/// Looks whether the MOVE may be done; locks the destination and gives the bytes.
fn begin(server: &Server, head: &Head, id: &str, to: &str) -> Result<Bytes, Answer> {
    let mut state = server.state();
    if !state.uploads.contains_key(id) {
        return Err(not_found(&format!("uploads/{id}/.file")));
    }
    // It is about the source, which is there.
    if head.header("if-none-match") == Some("*") {
        return Err(precondition("An If-None-Match header was specified, but the ETag matched (or * was specified)."));
    }
    if let Some(answer) = transfer::objection(&mut state, head, to) {
        return Err(answer);
    }
    let staging = &state.uploads[id];
    let parts = in_order(staging);
    if staging.multipart {
        if !staging.cached {
            return Err(internal("Missing metadata for chunked upload"));
        }
        let all_but_last = parts.split_last().map_or(&[][..], |(_, rest)| rest);
        if all_but_last.iter().any(|part| part.data.len() < server.options.smallest_part) {
            return Err(internal("Your proposed upload is smaller than the minimum allowed object size."));
        }
    }
    let data = Bytes::from(parts.iter().map(|part| &part.data[..]).collect::<Vec<_>>().concat());
    let told = head.header("oc-total-length").and_then(|value| value.parse::<usize>().ok());
    if !staging.multipart && told.is_some_and(|told| told != data.len()) {
        let message = format!("Chunks on server do not sum up to {} but to {} bytes", told.unwrap_or(0), data.len());
        return Err(bad_request(&message));
    }
    if !state.fits(data.len() as u64) {
        return Err(answer::full_disk());
    }
    if state.is_folder(to) {
        return Err(conflict("The destination is a folder"));
    }
    state.locks.insert(to.to_owned(), None);
    Ok(data)
}

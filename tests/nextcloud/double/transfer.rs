//! MOVE and COPY among the user's files.

use percent_encoding::percent_decode_str;

use super::{
    Server,
    answer::{Answer, bare, conflict, forbidden, locked, not_found, precondition},
    files::{bad_name, relative, stored_answer},
    serve::{Head, Twist},
    state::{File, Node, State, new_etag, parent},
};

/// The path below the user's root that a `Destination` means: a URL or a path; the host is ignored.
pub(super) fn destination(server: &Server, head: &Head) -> Result<String, Answer> {
    let given = head.header("destination").ok_or_else(|| conflict("The destination header was not supplied"))?;
    let path = match given.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => given,
    };
    let path = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let below = path.strip_prefix(server.options.base.as_str()).and_then(|path| relative(server, path));
    below.map(str::to_owned).ok_or_else(|| forbidden("The destination lies outside of the base path of this server"))
}

/// What speaks against putting something at `to`.
pub(super) fn objection(state: &mut State, head: &Head, to: &str) -> Option<Answer> {
    if let Some(answer) = bad_name(to) {
        return Some(answer);
    }
    if !state.is_folder(parent(to)) {
        return Some(conflict("The destination node is not found"));
    }
    if state.nodes.contains_key(to) && head.header("overwrite") == Some("F") {
        return Some(precondition("The destination node already exists, and the overwrite header is set to false"));
    }
    state.is_locked(to).then(|| locked(to))
}

pub(super) async fn transfer(server: &Server, head: &Head, from: &str, twist: &Twist) -> Answer {
    let to = match destination(server, head) {
        Ok(to) => to,
        Err(answer) => return answer,
    };
    let is_move = head.method == "MOVE";
    {
        let mut state = server.state();
        let Some(node) = state.nodes.get(from) else { return not_found(&format!("/{from}")) };
        // Conditions are about what the request's path names, not about the destination.
        if let Node::File(file) = node
            && let Some(wanted) = head.header("if-none-match")
            && [format!("\"{}\"", file.etag).as_str(), "*"].contains(&wanted)
        {
            return precondition("An If-None-Match header was specified, but the ETag matched");
        }
        if let Some(answer) = objection(&mut state, head, &to) {
            return answer;
        }
        if from == to || to.starts_with(&format!("{from}/")) {
            return forbidden("Source and destination uri are identical, or one holds the other.");
        }
        if is_move && state.is_locked(from) {
            return locked(from);
        }
        state.locks.insert(to.clone(), None);
    }
    tokio::time::sleep(twist.lasts).await;
    let mut state = server.state();
    state.locks.remove(&to);
    let existed = state.nodes.contains_key(&to);
    let names: Vec<String> = state.below(from).map(|(name, _)| name.to_owned()).collect();
    if existed {
        state.remove(&to, server.options.trash);
    }
    for name in names.into_iter().chain([from.to_owned()]) {
        let target = format!("{to}{}", &name[from.len()..]);
        let node = if is_move { state.nodes.remove(&name) } else { state.nodes.get(&name).cloned() };
        let Some(mut node) = node else { continue };
        if !is_move {
            renew(&mut node, &mut state);
        }
        state.nodes.insert(target, node);
    }
    state.touch_parents(from);
    state.touch_parents(&to);
    let status = if existed { 204 } else { 201 };
    match state.file(&to) {
        Some(file) => stored_answer(server, status, file),
        None => bare(status),
    }
}

/// A copy is a file of its own, and without the original's checksum.
fn renew(node: &mut Node, state: &mut State) {
    let id = state.ids.next();
    match node {
        Node::File(File { etag, checksum, id: own, .. }) => (*etag, *checksum, *own) = (new_etag(), None, id),
        Node::Folder(folder) => (folder.etag, folder.id) = (new_etag(), id),
    }
}

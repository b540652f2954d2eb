//! Reading a PROPFIND answer: which objects are in a folder, how long they are.
//!
//! Elements are matched by namespace, never by prefix; each property counts only when its own propstat says 2xx; hrefs may be
//! absolute or relative, with either case of hex digits. Promises: a document that is cut off, malformed or not about the folder
//! asked for is an error, never an empty folder, because "absent" would make a caller upload again or prune.

use std::time::SystemTime;

use object_store::path::Path;
use percent_encoding::percent_decode_str;
use quick_xml::{
    NsReader,
    events::{BytesRef, Event},
    name::{Namespace, ResolveResult},
};

use super::problem::{Code, Problem};

/// The body of every PROPFIND: only what is used.
pub(super) const PROPFIND: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<d:propfind xmlns:d=\"DAV:\"><d:prop>\
    <d:resourcetype/><d:getcontentlength/><d:getetag/><d:getlastmodified/></d:prop></d:propfind>";

/// The body of a PROPFIND that asks for the room left.
pub(super) const QUOTA: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<d:propfind xmlns:d=\"DAV:\"><d:prop>\
    <d:resourcetype/><d:quota-available-bytes/><d:quota-used-bytes/></d:prop></d:propfind>";

/// Nested deeper than this is no WebDAV answer.
const MAX_DEPTH: usize = 64;

/// One resource of an answer, its href as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) href: String,
    pub(super) folder: bool,
    pub(super) size: Option<u64>,
    pub(super) e_tag: Option<String>,
    pub(super) modified: Option<SystemTime>,
    /// Bytes left for the folder; negative ones say that it is not known (WEBDAV §1.4).
    pub(super) free: Option<i64>,
    pub(super) used: Option<i64>,
}

/// One resource with its place below the store's base; the root is the empty path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: Path,
    pub(super) resource: Resource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Multistatus,
    Response,
    Href,
    Propstat,
    Status,
    Prop,
    ResourceType,
    Collection,
    Length,
    ETag,
    Modified,
    Free,
    Used,
    Other,
}

fn element(namespace: &ResolveResult<'_>, name: &str) -> Element {
    if *namespace != ResolveResult::Bound(Namespace("DAV:")) {
        return Element::Other;
    }
    match name {
        "multistatus" => Element::Multistatus,
        "response" => Element::Response,
        "href" => Element::Href,
        "propstat" => Element::Propstat,
        "status" => Element::Status,
        "prop" => Element::Prop,
        "resourcetype" => Element::ResourceType,
        "collection" => Element::Collection,
        "getcontentlength" => Element::Length,
        "getetag" => Element::ETag,
        "getlastmodified" => Element::Modified,
        "quota-available-bytes" => Element::Free,
        "quota-used-bytes" => Element::Used,
        _ => Element::Other,
    }
}

/// The state of reading one document.
#[derive(Default)]
struct Parser {
    stack: Vec<Element>,
    text: String,
    response: Resource,
    response_ok: bool,
    propstat: Resource,
    propstat_ok: bool,
    found: Vec<Resource>,
    closed: bool,
}

impl Parser {
    fn open(&mut self, element: Element) -> Result<(), String> {
        if self.stack.is_empty() && (self.closed || element != Element::Multistatus) {
            return Err("the document is not one multistatus".to_owned());
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err("elements are nested too deeply".to_owned());
        }
        self.stack.push(element);
        self.text.clear();
        match self.stack[..] {
            [Element::Multistatus, Element::Response] => {
                self.response = Resource::default();
                self.response_ok = true;
            }
            [Element::Multistatus, Element::Response, Element::Propstat] => {
                self.propstat = Resource::default();
                self.propstat_ok = false;
            }
            [
                Element::Multistatus,
                Element::Response,
                Element::Propstat,
                Element::Prop,
                Element::ResourceType,
                Element::Collection,
            ] => self.propstat.folder = true,
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let text = self.text.trim();
        match self.stack[..] {
            [Element::Multistatus] => self.closed = true,
            [Element::Multistatus, Element::Response] => self.end_response()?,
            [Element::Multistatus, Element::Response, Element::Href] => text.clone_into(&mut self.response.href),
            [Element::Multistatus, Element::Response, Element::Status] => self.response_ok = is_success(text)?,
            [Element::Multistatus, Element::Response, Element::Propstat, Element::Status] => {
                self.propstat_ok = is_success(text)?;
            }
            [Element::Multistatus, Element::Response, Element::Propstat] => self.end_propstat(),
            [Element::Multistatus, Element::Response, Element::Propstat, Element::Prop, property] => match property {
                // An empty element stands in a 404 propstat.
                Element::Length if !text.is_empty() => {
                    let length = text.parse().map_err(|_| format!("a length is not a number: {text:.40}"))?;
                    self.propstat.size = Some(length);
                }
                Element::ETag if !text.is_empty() => self.propstat.e_tag = Some(quoted(text)),
                Element::Modified => self.propstat.modified = parse_http_date(text),
                // A figure for people; what is no number is not known.
                Element::Free => self.propstat.free = text.parse().ok(),
                Element::Used => self.propstat.used = text.parse().ok(),
                _ => {}
            },
            _ => {}
        }
        self.stack.pop();
        self.text.clear();
        Ok(())
    }

    fn end_propstat(&mut self) {
        let found = std::mem::take(&mut self.propstat);
        if self.propstat_ok {
            self.response.folder |= found.folder;
            self.response.size = found.size.or(self.response.size);
            self.response.e_tag = found.e_tag.or_else(|| self.response.e_tag.take());
            self.response.modified = found.modified.or(self.response.modified);
            self.response.free = found.free.or(self.response.free);
            self.response.used = found.used.or(self.response.used);
        }
    }

    fn end_response(&mut self) -> Result<(), String> {
        let response = std::mem::take(&mut self.response);
        if response.href.is_empty() {
            return Err("a response has no href".to_owned());
        }
        if self.response_ok {
            self.found.push(response);
        }
        Ok(())
    }
}

/// The resources of a multistatus document.
pub(super) fn parse(text: &str) -> Result<Vec<Resource>, Problem> {
    parse_document(text)
        .map_err(|why| Problem::new(Code::Listing, format!("the server's listing cannot be read: {why}")))
}

fn parse_document(text: &str) -> Result<Vec<Resource>, String> {
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut parser = Parser::default();
    loop {
        match reader.read_resolved_event().map_err(|e| e.to_string())? {
            (namespace, Event::Start(start)) => parser.open(element(&namespace, start.local_name().as_ref()))?,
            (_, Event::End(_)) => parser.close()?,
            (_, Event::Text(text)) => parser.text.push_str(&text.xml10_content()),
            (_, Event::CData(text)) => parser.text.push_str(&text.xml10_content()),
            (_, Event::GeneralRef(reference)) => parser.text.push(referenced(&reference)?),
            (_, Event::Eof) => break,
            _ => {}
        }
    }
    if !parser.closed {
        return Err("it ends too early".to_owned());
    }
    Ok(parser.found)
}

fn referenced(reference: &BytesRef<'_>) -> Result<char, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|e| e.to_string())? {
        return Ok(character);
    }
    match &**reference {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        other => Err(format!("unknown entity {other:.40}")),
    }
}

/// An etag as headers have it. Some servers leave the quotes out in listings, and would not know their own etag again.
fn quoted(tag: &str) -> String {
    if tag.ends_with('"') { tag.to_owned() } else { format!("\"{tag}\"") }
}

/// `HTTP/1.1 200 OK` and the like.
fn is_success(status: &str) -> Result<bool, String> {
    let code = status.split_ascii_whitespace().nth(1).and_then(|code| code.parse::<u16>().ok());
    code.map(|code| (200..300).contains(&code)).ok_or_else(|| format!("a status is malformed: {status:.40}"))
}

/// An HTTP date. Unreadable ones count as missing: no decision depends on a server's clock.
pub(super) fn parse_http_date(text: &str) -> Option<SystemTime> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    parser.parse_timestamp(text).ok().map(SystemTime::from)
}

/// Places the resources below `base` (decoded path segments of the store's URL). What lies elsewhere, or has a name that no
/// object can have, is left out.
pub(super) fn place(base: &[String], resources: Vec<Resource>) -> Vec<Entry> {
    resources
        .into_iter()
        .filter_map(|resource| {
            let segments = href_segments(&resource.href)?;
            let below = segments.strip_prefix(base)?;
            let path = if below.is_empty() { Path::default() } else { Path::parse(below.join("/")).ok()? };
            (path.parts_count() == below.len()).then_some(Entry { path, resource })
        })
        .collect()
}

/// The decoded path segments of an href. Scheme and host are not compared: behind a proxy that ends TLS they differ from ours.
pub(super) fn href_segments(href: &str) -> Option<Vec<String>> {
    let path = match href.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => &rest[rest.find('/')?..],
        _ => href,
    };
    let path = path.split(['?', '#']).next()?;
    let decode = |segment: &str| percent_decode_str(segment).decode_utf8().ok().map(String::from);
    path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(responses: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><d:multistatus xmlns:d=\"DAV:\" xmlns:oc=\"http://owncloud.org/ns\">{responses}</d:multistatus>"
        )
    }

    fn file(href: &str, size: u64) -> String {
        format!(
            "<d:response><d:href>{href}</d:href><d:propstat><d:prop><d:resourcetype/><d:getcontentlength>{size}</d:getcontentlength>\
             <d:getetag>&quot;a&amp;b&quot;</d:getetag><d:getlastmodified>Sun, 22 Nov 2026 01:02:03 GMT</d:getlastmodified></d:prop>\
             <d:status>HTTP/1.1 200 OK</d:status></d:propstat><d:propstat><d:prop><d:quota-used-bytes/></d:prop>\
             <d:status>HTTP/1.1 404 Not Found</d:status></d:propstat></d:response>"
        )
    }

    fn base() -> Vec<String> {
        vec!["remote.php".into(), "dav".into(), "my files".into()]
    }

    fn names(text: &str) -> Vec<String> {
        place(&base(), parse(text).unwrap()).into_iter().map(|entry| entry.path.to_string()).collect()
    }

    #[test]
    fn properties_come_from_the_propstat_that_succeeded() {
        let found = parse(&answer(&file("/remote.php/dav/my%20files/a", 7))).unwrap();
        assert_eq!(found[0].size, Some(7));
        assert_eq!(found[0].e_tag.as_deref(), Some("\"a&b\""));
        assert!(found[0].modified.is_some() && !found[0].folder);

        let refused = "<d:response><d:href>/x</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype>\
            <d:getcontentlength>9</d:getcontentlength></d:prop><d:status>HTTP/1.1 403 Forbidden</d:status></d:propstat></d:response>";
        let found = parse(&answer(refused)).unwrap();
        assert_eq!((found[0].size, found[0].folder), (None, false));
    }

    #[test]
    fn every_form_of_href_gives_the_same_object() {
        for href in [
            "/remote.php/dav/my%20files/t/a%2bb%c3%a9.parquet",
            "/remote.php/dav/my%20files/t/a+b%C3%A9.parquet",
            "https://other.example:8443/remote.php/dav/my%20files/t/a%2Bb%C3%A9.parquet",
            "/remote.php/dav//my%20files/t/a+bé.parquet",
        ] {
            assert_eq!(names(&answer(&file(href, 1))), ["t/a+bé.parquet"], "{href}");
        }
    }

    #[test]
    fn foreign_hrefs_and_impossible_names_are_left_out() {
        let odd = [
            "/elsewhere/a",
            "/remote.php/dav/my%20filesX/a",
            "/remote.php/dav/my%20files/a%2Fb",
            "/remote.php/dav/my%20files/%ff",
        ];
        let text = answer(&odd.iter().map(|href| file(href, 1)).collect::<String>());
        assert!(names(&text).is_empty());
    }

    #[test]
    fn another_prefix_or_a_default_namespace_is_the_same_document() {
        let text = "<multistatus xmlns=\"DAV:\"><response><href>/remote.php/dav/my%20files/f/</href><propstat><prop>\
            <resourcetype><x:collection xmlns:x=\"DAV:\"/></resourcetype></prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>";
        let found = parse(text).unwrap();
        assert!(found[0].folder);
        // The same names in another namespace mean nothing.
        let foreign = text.replace("xmlns:x=\"DAV:\"", "xmlns:x=\"urn:other\"");
        assert!(!parse(&foreign).unwrap()[0].folder);
        assert!(parse(&text.replace("xmlns=\"DAV:\"", "xmlns=\"urn:other\"")).is_err());
    }

    #[test]
    fn room_is_read_also_when_it_is_not_known() {
        let told = |free: &str| {
            let text = answer(&format!(
                "<d:response><d:href>/x/</d:href><d:propstat><d:prop><d:quota-available-bytes>{free}</d:quota-available-bytes>\
                 <d:quota-used-bytes>7</d:quota-used-bytes></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
            ));
            let found = parse(&text).unwrap().remove(0);
            (found.free, found.used)
        };
        assert_eq!(told("12345678901"), (Some(12_345_678_901), Some(7)));
        assert_eq!(told("-3"), (Some(-3), Some(7)));
        assert_eq!(told("plenty"), (None, Some(7)));
    }

    #[test]
    fn a_listing_cut_off_anywhere_is_an_error() {
        let text = answer(&(file("/remote.php/dav/my%20files/a", 7) + &file("/remote.php/dav/my%20files/b", 8)));
        assert_eq!(names(&text), ["a", "b"]);
        for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)) {
            assert!(parse(&text[..end]).is_err(), "cut at {end} was accepted");
        }
    }

    #[test]
    fn nonsense_is_refused_without_panic() {
        for text in [
            "",
            "not xml",
            "<html><body>Sign in</body></html>",
            "<d:multistatus xmlns:d=\"DAV:\"><d:response/></d:multistatus>",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&answer(&file("/x", 1).replace("&quot;", "&evil;"))).is_err());
        assert!(parse(&answer(&file("/x", 1).replace(">1<", ">-1<"))).is_err());
        let deep = "<d:x>".repeat(5000) + &"</d:x>".repeat(5000);
        assert!(parse(&answer(&deep)).is_err());
        assert_eq!(parse(&answer("")).unwrap(), []);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(text in "\\PC{0,200}") {
            let _ = parse(&text);
            let _ = href_segments(&text);
        }
    }
}

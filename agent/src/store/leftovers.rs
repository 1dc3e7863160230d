//! Aborts multipart uploads that nobody will finish: S3 keeps, and bills, their parts.
//!
//! Two requests that `object_store` does not know (Amazon S3 API: ListMultipartUploads,
//! AbortMultipartUpload), as presigned URLs.

use std::time::Duration;

use futures::StreamExt;
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use quick_xml::Reader;
use quick_xml::events::Event;
use reqwest::Method;

use super::fault::Call;
use super::key;
use super::remote::{Remote, S3};
use crate::clock::{self, Timestamp};
use crate::error::{Kind, Result};

/// A page holds at most 1,000 uploads of at most 1,024 bytes of key.
const PAGE_BYTES_MAX: usize = 8 << 20;
pub(super) const PAGES_MAX: usize = 1_000;
const TRIES_MAX: usize = 4;
const SIGNED_FOR: Duration = Duration::from_secs(300);
const BACKOFF: Duration = Duration::from_millis(250);

/// A page of a listing: of uploads, or of the parts of one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Key, upload ID, and when it was begun, where the server says so.
    pub(super) uploads: Vec<(String, String, Option<Timestamp>)>,
    /// Key marker and upload ID marker of the next page.
    pub(super) next: Option<Markers>,
    /// When each part was stored, where the server says so, and its size.
    pub(super) parts: Vec<(Option<Timestamp>, u64)>,
    /// The number of the part after which the next page begins.
    pub(super) next_part: Option<String>,
}

/// Where a page of uploads begins.
pub(super) type Markers = (String, String);

impl Remote {
    /// See [`super::Store::clean_leftovers`].
    pub(super) async fn clean_leftovers(
        &self,
        prefix: &str,
        which: &(impl Fn(&str) -> bool + Send),
    ) -> Result<u64> {
        let Some(s3) = &self.s3 else { return Ok(0) };
        match self.abort_uploads(s3, prefix, which).await {
            // 501: servers that have multipart uploads but cannot list them.
            Err(e) if matches!(e.kind(), Kind::Denied | Kind::Config) => {
                tracing::warn!(store = %self.words.url, prefix, error = ?e, "unfinished uploads could not be listed");
                Ok(0)
            }
            outcome => outcome,
        }
    }

    async fn abort_uploads(
        &self,
        s3: &S3,
        prefix: &str,
        which: &(impl Fn(&str) -> bool + Send),
    ) -> Result<u64> {
        let whole = key::join(&self.prefix, prefix);
        let mut markers = Markers::default();
        let mut aborted = 0;
        for _ in 0..PAGES_MAX {
            let page = self.page_of_uploads(s3, prefix, &markers).await?;
            for (key, id, _) in page.uploads {
                // Checked here as well: some servers ignore the prefix.
                if key::below(&whole, &key).is_none() || !which(&key) {
                    continue;
                }
                self.abort(s3, &key, &id).await?;
                aborted += 1;
            }
            match page.next {
                Some(next) if next != markers => markers = next,
                _ => return Ok(aborted),
            }
        }
        Ok(aborted)
    }

    /// A page of the unfinished uploads below `prefix`.
    pub(super) async fn page_of_uploads(&self, s3: &S3, prefix: &str, markers: &Markers) -> Result<Page> {
        let whole = key::join(&self.prefix, prefix);
        let listed = if whole.is_empty() { String::new() } else { format!("{whole}/") };
        let query = [
            ("uploads", ""),
            ("prefix", &listed),
            ("key-marker", &markers.0),
            ("upload-id-marker", &markers.1),
        ];
        let query = query.into_iter().filter(|(name, value)| *name == "uploads" || !value.is_empty());
        let call = self.call("list unfinished uploads of", prefix, 0);
        let body = request(s3, &call, Method::GET, &Path::default(), query).await?;
        Page::parse(&body).map_err(|why| call.fail(Kind::Unreachable, &why))
    }

    /// Removes what is stored of an upload; one that was finished or aborted meanwhile is no error.
    pub(super) async fn abort(&self, s3: &S3, whole: &str, id: &str) -> Result<()> {
        let call = self.call("remove the unfinished upload of", whole, 0);
        let path = Path::parse(whole).map_err(|e| call.fail(Kind::Unreachable, &e.to_string()))?;
        match request(s3, &call, Method::DELETE, &path, [("uploadId", id)]).await {
            Err(e) if e.kind() != Kind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// Sends one request, a few times where the server does not answer; returns the body.
pub(super) async fn request<'a>(
    s3: &S3,
    call: &Call,
    method: Method,
    path: &Path,
    query: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<u8>> {
    let options = SignedUrlOptions::new().with_query(query);
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match call.run(send(s3, method.clone(), path, &options)).await {
            Ok(body) => return Ok(body),
            Err(e) => e,
        };
        if error.kind() != Kind::Unreachable || tries >= TRIES_MAX {
            return Err(error);
        }
        clock::sleep(BACKOFF * 2u32.pow(tries as u32)).await;
    }
}

async fn send(
    s3: &S3,
    method: Method,
    path: &Path,
    options: &SignedUrlOptions,
) -> object_store::Result<Vec<u8>> {
    let generic =
        |e: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic { store: "S3", source: e };
    let url = s3.signer.signed_url_opts(method.clone(), path, SIGNED_FOR, options).await?;
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.method_mut() = method;
    *request.uri_mut() = url.as_str().parse().map_err(|_| generic("the URL is no URI".into()))?;
    let answer = s3.http.execute(request).await.map_err(|e| generic(e.into()))?;
    let status = answer.status();
    let mut body = Vec::new();
    let mut pieces = answer.into_body().bytes_stream();
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece.map_err(|e| generic(e.into()))?);
        if body.len() > PAGE_BYTES_MAX {
            return Err(generic(format!("the answer is larger than {PAGE_BYTES_MAX} bytes").into()));
        }
    }
    if status.is_success() {
        return Ok(body);
    }
    let text: String = String::from_utf8_lossy(&body).chars().take(2_000).collect();
    let source = format!("HTTP {status}: {text}").into();
    // An upload's 404 is NoSuchUpload; a bucket's is recognized by its text.
    Err(match status.as_u16() {
        404 => object_store::Error::NotFound { path: path.to_string(), source },
        _ => generic(source),
    })
}

impl Page {
    /// Reads an answer to ListMultipartUploads or ListParts.
    pub(super) fn parse(body: &[u8]) -> Result<Page, String> {
        let mut reader = Reader::from_reader(body);
        let mut page = Page::default();
        let (mut tags, mut text) = (Vec::<String>::new(), String::new());
        let (mut key, mut id, mut begun) = (String::new(), String::new(), None);
        let (mut stored, mut size) = (None, 0);
        let (mut truncated, mut next, mut next_part) = (false, Markers::default(), String::new());
        loop {
            match reader.read_event().map_err(|e| format!("the answer is not XML: {e}"))? {
                Event::Start(tag) => {
                    tags.push(String::from_utf8_lossy(tag.local_name().as_ref()).into_owned());
                    text.clear();
                }
                Event::Text(piece) => text.push_str(&piece.decode().map_err(|e| e.to_string())?),
                Event::GeneralRef(entity) => {
                    text.push(character(&entity.decode().map_err(|e| e.to_string())?)?);
                }
                Event::CData(piece) => text.push_str(&piece.decode().map_err(|e| e.to_string())?),
                Event::End(_) => {
                    let names: Vec<&str> = tags.iter().map(String::as_str).collect();
                    match names.as_slice() {
                        [_, "Upload", "Key"] => key = std::mem::take(&mut text),
                        [_, "Upload", "UploadId"] => id = std::mem::take(&mut text),
                        [_, "Upload", "Initiated"] => begun = text.trim().parse().ok(),
                        [_, "Upload"] => {
                            let (key, id) = (std::mem::take(&mut key), std::mem::take(&mut id));
                            page.uploads.push((key, id, begun.take()));
                        }
                        [_, "Part", "LastModified"] => stored = text.trim().parse().ok(),
                        [_, "Part", "Size"] => size = text.trim().parse().unwrap_or_default(),
                        [_, "Part"] => page.parts.push((stored.take(), std::mem::take(&mut size))),
                        [_, "IsTruncated"] => truncated = text.trim() == "true",
                        [_, "NextKeyMarker"] => next.0 = std::mem::take(&mut text),
                        [_, "NextUploadIdMarker"] => next.1 = std::mem::take(&mut text),
                        [_, "NextPartNumberMarker"] => next_part = std::mem::take(&mut text),
                        _ => {}
                    }
                    tags.pop();
                }
                Event::Eof if !tags.is_empty() => return Err("the answer is truncated".to_owned()),
                Event::Eof => break,
                _ => {}
            }
        }
        page.next = truncated.then_some(next);
        page.next_part = truncated.then_some(next_part);
        Ok(page)
    }
}

fn character(entity: &str) -> Result<char, String> {
    let number = |text: &str, radix| u32::from_str_radix(text, radix).ok().and_then(char::from_u32);
    let found = match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match (entity.strip_prefix("#x"), entity.strip_prefix('#')) {
            (Some(hex), _) => number(hex, 16),
            (None, Some(decimal)) => number(decimal, 10),
            (None, None) => None,
        },
    };
    found.ok_or_else(|| format!("the answer has the unknown entity {entity:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let page = Page::parse(
            b"<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
              <Bucket>b</Bucket><IsTruncated>true</IsTruncated><NextKeyMarker>p/k</NextKeyMarker>\
              <NextUploadIdMarker>i2</NextUploadIdMarker>\
              <Upload><Key>p/a&amp;b&#x41;</Key><UploadId>i1</UploadId><Initiated>2026-11-20T01:58:12.000Z</Initiated><Owner><ID>x</ID></Owner></Upload>\
              <Upload><UploadId>i2</UploadId><Key>p/k</Key></Upload></ListMultipartUploadsResult>",
        );
        let page = page.unwrap();
        let begun = "2026-11-20T01:58:12Z".parse().ok();
        assert_eq!(page.uploads, [("p/a&bA".into(), "i1".into(), begun), ("p/k".into(), "i2".into(), None)]);
        assert_eq!(page.next, Some(("p/k".into(), "i2".into())));
        let parts = Page::parse(
            b"<ListPartsResult><NextPartNumberMarker>2</NextPartNumberMarker><IsTruncated>true</IsTruncated>\
              <Part><PartNumber>1</PartNumber><LastModified>2026-11-20T01:58:12.000Z</LastModified>\
              <Size>7</Size></Part><Part><PartNumber>2</PartNumber></Part></ListPartsResult>",
        );
        let parts = parts.unwrap();
        assert_eq!((parts.parts, parts.next_part), (vec![(begun, 7), (None, 0)], Some("2".into())));
    }

    #[test]
    fn an_answer_that_is_cut_or_strange_is_an_error() {
        assert_eq!(Page::parse(b"<R></R>").unwrap(), Page::default());
        for bad in ["<R><Upload>", "<R>&what;</R>", "<R></S>"] {
            assert!(Page::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

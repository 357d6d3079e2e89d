//! Downloads over HTTP that give up early, continue where they stopped, and keep the token at home.
//!
//! hf-hub's own transport is not used: it has no time-outs, takes what a server sends after a `Range` for
//! granted, and sends the token on to the host that a download is redirected to.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body};

use super::files::{self, FileFacts};
use super::{HubError, HubOptions, Progress};

/// Resolving and connecting end together in less than 5 s: an unreachable hub must not keep anyone waiting.
const RESOLVE: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_millis(2500);
/// A server that took the connection may think for so long, also between two pieces of a file.
const SILENCE: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: usize = 5;
/// A download that broke off goes on at once if it got this far, in bytes.
const WORTH_CONTINUING: u64 = 1 << 20;

/// A connection to the hub.
pub struct Client {
    agent: Agent,
    endpoint: String,
    origin: Origin,
    token: Option<String>,
}

/// A file to download.
#[derive(Debug, Clone, Copy)]
pub struct Want<'a> {
    /// Path after the endpoint, without a leading slash.
    pub path: &'a str,
    /// Name in the model's folder, for messages.
    pub name: &'a str,
    /// SHA-256 that it must have, where known beforehand.
    pub sha256: Option<&'a str>,
    /// Most bytes it may have.
    pub limit: u64,
    /// How long it may take as a whole; `None` while bytes keep coming.
    pub patience: Option<Duration>,
}

/// A downloaded file.
#[derive(Debug)]
pub struct Got {
    /// Size and hash.
    pub facts: FileFacts,
    /// Commit that the hub says it belongs to.
    pub commit: Option<String>,
}

/// What a request ended in.
#[derive(Debug)]
pub enum Outcome {
    /// The file is on disk.
    Stored(Got),
    /// The server's status, when it does not give the file.
    Refused(u16),
}

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let usual = match &scheme[..] {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        Some(Self {
            host: uri.host()?.to_ascii_lowercase(),
            port: uri.port_u16().unwrap_or(usual),
            scheme,
        })
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host == "[::1]" || self.host.starts_with("127.")
    }
}

impl Client {
    /// To the endpoint of the options.
    pub fn new(options: &HubOptions) -> Result<Self, HubError> {
        let endpoint = options.endpoint.trim_end_matches('/').to_string();
        let odd = endpoint.contains(['@', '?', '#', ' ']);
        let origin = Origin::of(&endpoint).filter(|_| !odd);
        let origin = origin.ok_or_else(|| HubError::Option {
            name: "HF_ENDPOINT",
            what: "must be an address such as https://hub.example.org".to_string(),
        })?;
        let token = options.token.clone().filter(|token| !token.is_empty());
        if token
            .iter()
            .any(|t| !t.chars().all(|c| c.is_ascii_graphic()))
        {
            return Err(HubError::Option {
                name: "HF_TOKEN",
                what: "has characters that no token has; copy it again".to_string(),
            });
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .accept_encoding("identity")
            .user_agent(concat!("retune/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(RESOLVE))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE));
        if origin.is_loopback() {
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            endpoint,
            origin,
            token,
        })
    }

    /// Downloads a file to `to`, going on from `to` with `.part` appended if that is there.
    pub fn download(
        &self,
        want: &Want<'_>,
        to: &Path,
        on: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, HubError> {
        let mut part = to.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        loop {
            let have = fs::metadata(&part).map_or(0, |m| m.len());
            // An empty file has no first byte to ask for: the range is for going on only.
            let range = (have > 0).then(|| format!("bytes={have}-"));
            let (reply, first) = self.request(want, range)?;
            let status = reply.status().as_u16();
            let start = match status {
                200 => 0,
                206 if range_start(reply.headers()) == Some(have) => have,
                // What is on disk does not fit the server's file: begin anew.
                206 | 416 if have > 0 => {
                    fs::remove_file(&part).map_err(HubError::io("remove", &part))?;
                    continue;
                }
                _ => return Ok(Outcome::Refused(status)),
            };
            match receive(want, reply, &part, start, on) {
                Ok(()) => return finish(want, &part, to, &first).map(Outcome::Stored),
                Err(Broken::Fatal(error)) => return Err(error),
                Err(Broken::Off { have: now, .. }) if now >= have + WORTH_CONTINUING => {}
                Err(Broken::Off { have, what }) => {
                    let file = want.name.to_string();
                    return Err(HubError::Interrupted { file, have, what });
                }
            }
        }
    }

    /// Asks for part of a file and follows redirects; also gives the headers of the first reply, which
    /// describe the file. The token goes to the endpoint only.
    fn request(
        &self,
        want: &Want<'_>,
        range: Option<String>,
    ) -> Result<(Response<Body>, HeaderMap), HubError> {
        let deadline = want.patience.map(|patience| Instant::now() + patience);
        let odd = |what: String| HubError::Answer {
            file: want.name.to_string(),
            what,
        };
        let mut url = format!("{}/{}", self.endpoint, want.path);
        let mut first = None;
        for _ in 0..=MOST_REDIRECTS {
            let origin =
                Origin::of(&url).ok_or_else(|| odd("the redirect makes no sense".into()))?;
            if self.origin.scheme == "https" && origin.scheme != "https" {
                return Err(odd("the redirect leads to an unencrypted connection".into()));
            }
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            let request = self.agent.get(&url).config();
            let mut request = request.timeout_global(left).build();
            if let Some(range) = &range {
                request = request.header("Range", range);
            }
            if let Some(token) = self.token.as_ref().filter(|_| origin == self.origin) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let reply = request.call().map_err(|e| unreachable(&origin, &e))?;
            let headers = reply.headers();
            let next = header(headers, "location").map(str::to_string);
            let first = first.get_or_insert_with(|| headers.clone());
            match next {
                Some(next) if reply.status().is_redirection() => url = join(&origin, next),
                _ => return Ok((reply, first.clone())),
            }
        }
        Err(odd(format!("more than {MOST_REDIRECTS} redirects")))
    }
}

/// The address that a redirect from `origin` leads to.
fn join(origin: &Origin, location: String) -> String {
    if !location.starts_with('/') || location.starts_with("//") {
        return location;
    }
    let Origin { scheme, host, port } = origin;
    format!("{scheme}://{host}:{port}{location}")
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn unreachable(origin: &Origin, error: &ureq::Error) -> HubError {
    let what = match error {
        ureq::Error::Timeout(_) => "no answer in time".to_string(),
        ureq::Error::HostNotFound => "no such host".to_string(),
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    HubError::Unreachable {
        host: format!("{}:{}", origin.host, origin.port),
        what,
    }
}

/// First byte of a partial reply.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = header(headers, "content-range")?.strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}

/// Size of the whole file, where the reply tells it.
fn whole_size(headers: &HeaderMap, start: u64) -> Option<u64> {
    let total = header(headers, "content-range").and_then(|r| r.rsplit('/').next()?.parse().ok());
    total.or_else(|| Some(start + header(headers, "content-length")?.parse::<u64>().ok()?))
}

enum Broken {
    /// The connection ended early.
    Off {
        have: u64,
        what: String,
    },
    Fatal(HubError),
}

/// Writes the reply's body to the partial file from byte `start` on.
fn receive(
    want: &Want<'_>,
    reply: Response<Body>,
    part: &Path,
    start: u64,
    on: &mut dyn FnMut(Progress),
) -> Result<(), Broken> {
    let total = whole_size(reply.headers(), start);
    let large = |size: u64| {
        let what = format!("it has {size} bytes, more than the {} expected", want.limit);
        let file = want.name.to_string();
        Broken::Fatal(HubError::Answer { file, what })
    };
    if let Some(size) = total.filter(|size| *size > want.limit) {
        return Err(large(size));
    }
    let fatal = |what| move |e| Broken::Fatal(HubError::io(what, part)(e));
    let open = OpenOptions::new().create(true).append(true).open(part);
    let mut file: File = open.map_err(fatal("create"))?;
    file.set_len(start).map_err(fatal("write"))?;
    on(Progress::Started {
        file: want.name.to_string(),
        total,
    });
    let mut body = reply.into_body().into_reader();
    let mut block = vec![0; 256 << 10];
    let mut have = start;
    let ended = loop {
        match body.read(&mut block) {
            Ok(0) => break None,
            Ok(read) => {
                have += read as u64;
                if have > want.limit {
                    drop(file);
                    let _ = fs::remove_file(part);
                    return Err(large(have));
                }
                file.write_all(&block[..read]).map_err(fatal("write"))?;
                on(Progress::Bytes { done: have });
            }
            Err(error) => break Some(error.to_string()),
        }
    };
    file.sync_all().map_err(fatal("write"))?;
    on(Progress::Finished);
    match ended {
        Some(what) => Err(Broken::Off { have, what }),
        None if total.is_some_and(|total| have != total) => Err(Broken::Off {
            have,
            what: format!("{} were announced", total.unwrap_or_default()),
        }),
        None => Ok(()),
    }
}

/// Checks the hash of a complete file and gives it its name.
fn finish(want: &Want<'_>, part: &Path, to: &Path, first: &HeaderMap) -> Result<Got, HubError> {
    let facts = files::facts(part)?;
    let told = header(first, "x-linked-etag").and_then(linked_hash);
    for expected in [want.sha256, told].into_iter().flatten() {
        if expected != facts.sha256 {
            fs::remove_file(part).map_err(HubError::io("remove", part))?;
            return Err(HubError::Hash {
                file: want.name.to_string(),
                expected: expected.to_string(),
                found: facts.sha256,
            });
        }
    }
    fs::rename(part, to).map_err(HubError::io("move", part))?;
    let commit = header(first, "x-repo-commit").filter(|c| is_commit(c));
    Ok(Got {
        facts,
        commit: commit.map(str::to_string),
    })
}

/// The hub names large files by their SHA-256; other tags are no such hash.
fn linked_hash(tag: &str) -> Option<&str> {
    let tag = tag.trim_start_matches("W/").trim_matches('"');
    let hash = tag.len() == 64 && tag.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    hash.then_some(tag)
}

/// Whether a commit can be the name of a folder.
fn is_commit(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn origins_differ_by_scheme_host_and_port() {
        let of = |url| Origin::of(url).unwrap();
        assert_eq!(of("https://Hub.example/a"), of("https://hub.example:443/b"));
        assert_ne!(of("https://hub.example"), of("http://hub.example"));
        assert_ne!(of("http://127.0.0.1:1"), of("http://127.0.0.1:2"));
        assert_ne!(
            of("https://hub.example"),
            of("https://hub.example.evil.test")
        );
        assert_eq!(Origin::of("ftp://hub.example"), None);
        assert_eq!(Origin::of("hub.example"), None);
    }

    #[test]
    fn redirects_are_joined_to_where_they_come_from() {
        let origin = Origin::of("https://hub.example/a/b").unwrap();
        let join = |to: &str| join(&origin, to.to_string());
        assert_eq!(join("/c?d=1"), "https://hub.example:443/c?d=1");
        assert_eq!(join("https://cdn.example/x"), "https://cdn.example/x");
        assert!(Origin::of(&join("//evil.test/x")).is_none());
    }

    #[test]
    fn only_hashes_are_taken_for_hashes() {
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(linked_hash(&format!("\"{hash}\"")), Some(hash));
        assert_eq!(linked_hash("\"a5cce0\""), None);
        assert!(!is_commit("../x") && !is_commit("") && is_commit("c0ffee"));
    }

    #[test]
    fn patience_ends_where_there_is_another_source() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut stream = stream;
                    std::thread::sleep(Duration::from_secs(1));
                    let _ = stream.read(&mut [0; 4096]);
                    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                    let _ = stream.write_all(reply);
                });
            }
        });
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(&HubOptions {
            home: dir.path().into(),
            hf_home: dir.path().into(),
            endpoint: format!("http://{address}"),
            token: None,
            offline: false,
            pip: String::new(),
        });
        let client = client.unwrap();
        let to = dir.path().join("file");
        let mut want = Want {
            path: "a",
            name: "a",
            sha256: None,
            limit: 2,
            patience: Some(Duration::from_millis(20)),
        };
        let error = client.download(&want, &to, &mut |_| {}).unwrap_err();
        assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
        want.patience = None;
        let outcome = client.download(&want, &to, &mut |_| {}).unwrap();
        assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
        want.limit = 1;
        let error = client.download(&want, &to, &mut |_| {}).unwrap_err();
        assert!(
            error.to_string().contains("more than the 1 expected"),
            "{error}"
        );
    }
}

//! A small HTTP server on the loopback that answers as a test wants it to.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The commit that every file belongs to.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a client asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub path: String,
    pub range: Option<u64>,
    pub auth: Option<String>,
}

/// What it gets: status, headers, body, and after how many bytes of it the connection breaks.
#[derive(Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub cut: Option<usize>,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// A file of the commit, from the byte that was asked for.
    pub fn file(request: &Request, content: &[u8]) -> Self {
        let commit = ("X-Repo-Commit", COMMIT.to_string());
        match request.range {
            None => Self {
                status: 200,
                headers: vec![commit],
                body: content.to_vec(),
                cut: None,
            },
            Some(from) if from >= content.len() as u64 => Self::status(416),
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
                Self {
                    status: 206,
                    headers: vec![commit, ("Content-Range", range)],
                    body: content[from as usize..].to_vec(),
                    cut: None,
                }
            }
        }
    }
}

/// A server on a free port of the loopback, which ends with the process.
pub struct Server {
    pub endpoint: String,
    pub asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn new(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || {
                    if let Some(request) = read(&stream) {
                        log.lock().unwrap().push(request.clone());
                        write(stream, &answer(&request));
                    }
                });
            }
        });
        Self { endpoint, asked }
    }

    /// Serves the files of `org/name` and nothing else.
    pub fn of(files: BTreeMap<&'static str, Vec<u8>>) -> Self {
        Self::new(move |request| match files.get(file_name(request)) {
            Some(content) => Reply::file(request, content),
            None => Reply::status(404),
        })
    }

    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    pub fn times(&self, name: &str) -> usize {
        self.asked().iter().filter(|r| file_name(r) == name).count()
    }
}

/// Name of the file in the repository, on the main branch.
pub fn file_name(request: &Request) -> &str {
    let path = request.path.strip_prefix("/org/name/resolve/main/");
    path.unwrap_or_default()
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let mut request = Request {
        path: lines.next()?.ok()?.split(' ').nth(1)?.to_string(),
        ..Request::default()
    };
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        match &name.to_ascii_lowercase()[..] {
            "range" => {
                let from = value.trim().strip_prefix("bytes=")?.split('-').next()?;
                request.range = Some(from.parse().ok()?);
            }
            "authorization" => request.auth = Some(value.trim().to_string()),
            _ => {}
        }
    }
    Some(request)
}

fn write(mut stream: TcpStream, reply: &Reply) {
    let mut lines = vec![
        format!("HTTP/1.1 {} Status", reply.status),
        "Connection: close".to_string(),
        format!("Content-Length: {}", reply.body.len()),
    ];
    let headers = reply.headers.iter();
    lines.extend(headers.map(|(name, value)| format!("{name}: {value}")));
    let head = lines.join("\r\n") + "\r\n\r\n";
    // A client that has heard enough closes the connection.
    let _ = stream.write_all(head.as_bytes());
    let sent = reply.cut.unwrap_or(reply.body.len());
    let _ = stream.write_all(&reply.body[..sent]);
}

//! A small HTTP server on loopback, which can break off and refuse as real ones do.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the server does with a path.
#[derive(Clone)]
pub struct Route {
    /// The bytes it serves.
    pub body: Vec<u8>,
    /// The number of first answers that break off after this many bytes of body.
    pub cut: Option<(u32, usize)>,
    /// Whether it honours ranges.
    pub ranges: bool,
    /// The status of its answers, 200 (or 206) if none is given.
    pub status: Option<u16>,
}

impl Route {
    /// A route that serves bytes without mischief.
    pub fn of(body: impl Into<Vec<u8>>) -> Route {
        Route {
            body: body.into(),
            cut: None,
            ranges: true,
            status: None,
        }
    }
}

/// What was asked for: paths and ranges.
pub type Log = Mutex<Vec<(String, Option<String>)>>;

/// A server on loopback, with a log of requests.
pub struct Server {
    /// `http://127.0.0.1:port`.
    pub url: String,
    /// Requests so far.
    pub log: Arc<Log>,
}

impl Server {
    /// Serves these paths until the test ends.
    pub fn start(routes: HashMap<String, Route>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (routes, shared) = (Arc::new(Mutex::new(routes)), Arc::clone(&log));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (routes, log) = (Arc::clone(&routes), Arc::clone(&shared));
                std::thread::spawn(move || drop(serve(stream, &routes, &log)));
            }
        });
        Server { url, log }
    }
}

fn serve(
    mut stream: TcpStream,
    routes: &Mutex<HashMap<String, Route>>,
    log: &Log,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let path = request.split_whitespace().nth(1).unwrap_or("").to_owned();
    let mut range = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range:") {
            range = Some(value.trim().to_owned());
        }
    }
    log.lock().unwrap().push((path.clone(), range.clone()));
    let route = {
        let mut routes = routes.lock().unwrap();
        let Some(route) = routes.get_mut(&path) else {
            return write!(
                stream,
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        };
        let answer = route.clone();
        if let Some((times, _)) = &mut route.cut {
            *times -= 1;
            if *times == 0 {
                route.cut = None;
            }
        }
        answer
    };
    let total = route.body.len();
    let start = range.filter(|_| route.ranges).and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse::<usize>()
            .ok()
    });
    if start.is_some_and(|start| start >= total) {
        return write!(
            stream,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let body = &route.body[start.unwrap_or(0)..];
    match (route.status, start) {
        (Some(status), _) => write!(stream, "HTTP/1.1 {status} Status\r\n")?,
        (None, Some(start)) => write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{total}\r\n",
            total - 1
        )?,
        (None, None) => write!(stream, "HTTP/1.1 200 OK\r\n")?,
    }
    write!(
        stream,
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    let most = route
        .cut
        .map_or(body.len(), |(_, most)| most.min(body.len()));
    stream.write_all(&body[..most])
}

//! Files of a static site, served by the platform's own executable below a supervisor.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use domain::deployment::step::Fence;
use domain::plan::Start;
use domain::service::release::InstanceId;
use switchback_workers::output::Output;
use switchback_workers::runtime::Runtime;
use switchback_workers::runtime::process::ProcessRuntime;

use crate::installation::{Installation, LIMIT, until};

const GRACE: Duration = Duration::from_secs(10);

struct Site {
    installation: Installation,
    runtime: ProcessRuntime,
    id: InstanceId,
    address: SocketAddr,
}

/// An answer: its status, its headers (in small letters), its body.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Site {
    /// Serves the directory `public` of an application, once `fill` has filled it.
    async fn start(fill: impl FnOnce(&Path)) -> Self {
        let installation = Installation::new();
        let public = installation.files().join("public");
        std::fs::create_dir(&public).unwrap();
        fill(&public);
        let runtime = installation.runtime();
        let mut request = installation.instance("");
        request.start = Start::Static { directory: "public".into() };
        let instance = runtime.start(Fence(1), &request, Output::nowhere()).await.unwrap();
        until("it listens", || TcpStream::connect(instance.address).is_ok()).await;
        Self { installation, runtime, id: instance.id, address: instance.address }
    }

    fn ask(&self, path: &str) -> Answer {
        self.ask_with("GET", path, &[])
    }

    /// Asks exactly for what is said, as no well-behaved client would.
    fn ask_with(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = vec![];
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Answer { status, headers, body: answer[end + 4..].to_vec() }
    }

    async fn stop(self) {
        self.runtime.stop(self.id, GRACE).await.unwrap();
        assert_eq!(self.installation.left(), Vec::<String>::new());
    }
}

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

#[tokio::test]
async fn files_are_served_with_their_types() {
    let site = Site::start(|public| {
        write(public, "index.html", "<p>hello");
        write(public, "docs/index.html", "<p>docs");
        write(public, "a b ä.txt", "text");
        write(public, "app.js", "1");
        write(public, "image.png", [0x89]);
        write(public, ".well-known/security.txt", "Contact:");
    })
    .await;
    for (path, kind, body) in [
        ("/", "text/html; charset=utf-8", "<p>hello"),
        ("/?a=b", "text/html; charset=utf-8", "<p>hello"),
        ("/index.html", "text/html; charset=utf-8", "<p>hello"),
        ("/docs/", "text/html; charset=utf-8", "<p>docs"),
        ("/a%20b%20%C3%A4.txt", "text/plain; charset=utf-8", "text"),
        ("/app.js", "text/javascript; charset=utf-8", "1"),
        ("/.well-known/security.txt", "text/plain; charset=utf-8", "Contact:"),
    ] {
        let answer = site.ask(path);
        assert_eq!(
            (answer.status, answer.header("content-type"), answer.text()),
            (200, kind, body),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), "no-cache");
    }
    assert_eq!(site.ask("/image.png").header("content-type"), "image/png");
    let answer = site.ask("/docs");
    assert_eq!((answer.status, answer.header("location")), (307, "/docs/"));
    site.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_the_page_for_that() {
    let plain = Site::start(|public| write(public, "empty/file", "")).await;
    for path in ["/none", "/empty/", "/", "/empty/file/"] {
        let answer = plain.ask(path);
        assert_eq!((answer.status, answer.text()), (404, "404 Not Found\n"), "{path}");
    }
    plain.stop().await;
    let site = Site::start(|public| write(public, "404.html", "<p>not here")).await;
    let answer = site.ask("/none");
    assert_eq!((answer.status, answer.text()), (404, "<p>not here"));
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    let head = site.ask_with("HEAD", "/none", &[]);
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (404, 0, "11"));
    site.stop().await;
}

#[tokio::test]
async fn nothing_outside_and_nothing_hidden_is_served() {
    let site = Site::start(|public| {
        write(public, "index.html", "inside");
        write(public, ".env", "hidden");
        write(public, ".git/config", "hidden");
        write(public, "docs/.secret/file", "hidden");
        write(public, "docs/index.html", "docs");
        write(&public.join(".."), "outside.txt", "outside");
        symlink("../outside.txt", public.join("link")).unwrap();
        symlink("/etc", public.join("etc")).unwrap();
        symlink("..", public.join("up")).unwrap();
        symlink("/proc/self/cwd", public.join("magic")).unwrap();
        symlink("/dev/zero", public.join("zero")).unwrap();
        symlink("loop", public.join("loop")).unwrap();
        symlink("docs/index.html", public.join("inner")).unwrap();
        let pipe = rustix::fs::CWD;
        rustix::fs::mknodat(pipe, public.join("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
    })
    .await;
    for path in [
        "/../outside.txt",
        "/docs/../../outside.txt",
        "/%2e%2e/outside.txt",
        "/%2E%2E%2Foutside.txt",
        "/..%2foutside.txt",
        "/docs/..%2f..%2foutside.txt",
        "/....//outside.txt",
        "/%252e%252e/outside.txt",
        "/..%5coutside.txt",
        "/..%00/outside.txt",
        "/index.html%00",
        "/%ff",
        "//etc/passwd",
        "///etc/passwd",
        "//docs",
        "/%2fetc/passwd",
        "/etc/passwd",
        "/link",
        "/up/outside.txt",
        "/magic/index.html",
        "/zero",
        "/loop",
        "/pipe",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/docs/.secret/file",
        "/.well-known/../.env",
    ] {
        let answer = site.ask(path);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert_eq!(site.ask_with("HEAD", path, &[]).status, 404, "{path}");
    }
    assert_eq!(site.ask(&format!("/{}", "a/".repeat(3000))).status, 404);
    let answer = site.ask("/inner");
    assert_eq!((answer.status, answer.text()), (200, "docs"), "a link within is followed");
    assert_eq!(site.ask_with("POST", "/", &[]).status, 405);
    site.stop().await;
}

#[tokio::test]
async fn a_browser_that_has_a_file_is_told_so_until_it_is_another() {
    let site = Site::start(|public| write(public, "index.html", "first")).await;
    let file = site.installation.files().join("public/index.html");
    let first = site.ask("/");
    let tag = first.header("etag");
    assert!(!tag.is_empty() && !first.header("last-modified").is_empty(), "{first:?}");
    let again = site.ask_with("GET", "/", &[("If-None-Match", tag)]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(again.header("cache-control"), "no-cache");
    // Another release: same length, same time of modification, as archives have it.
    let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, "other").unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    let other = site.ask_with("GET", "/", &[("If-None-Match", tag)]);
    assert_eq!((other.status, other.text()), (200, "other"));
    let later = "Fri, 31 Dec 2100 23:59:59 GMT";
    assert_eq!(site.ask_with("GET", "/", &[("If-Modified-Since", later)]).status, 200);
    site.stop().await;
}

#[tokio::test]
async fn parts_of_a_file_are_served() {
    let content: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    let site = Site::start(|public| write(public, "film.mp4", &content)).await;
    let whole = site.ask("/film.mp4");
    assert_eq!(whole.body, content);
    assert_eq!(whole.header("content-length"), "300000");
    let head = site.ask_with("HEAD", "/film.mp4", &[]);
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, "300000"));
    let part = site.ask_with("GET", "/film.mp4", &[("Range", "bytes=1000-1999")]);
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 1000-1999/300000"));
    assert_eq!(part.body, content[1000..2000]);
    let tail = site.ask_with("GET", "/film.mp4", &[("Range", "bytes=-5")]);
    assert_eq!((tail.status, &tail.body[..]), (206, &content[299_995..]));
    assert_eq!(site.ask_with("GET", "/film.mp4", &[("Range", "bytes=300000-")]).status, 416);
    let several = site.ask_with("GET", "/film.mp4", &[("Range", "bytes=0-1,5-6")]);
    assert_eq!((several.status, several.body.len()), (200, 300_000));
    for (condition, status) in [(whole.header("etag"), 206), ("\"another\"", 200)] {
        let headers = [("Range", "bytes=0-9"), ("If-Range", condition)];
        assert_eq!(site.ask_with("GET", "/film.mp4", &headers).status, status, "{condition}");
    }
    site.stop().await;
}

#[tokio::test]
async fn an_answer_that_was_begun_is_sent_to_its_end_when_the_server_is_stopped() {
    let site = Site::start(|public| write(public, "large", vec![7; 16 << 20])).await;
    let mut stream = TcpStream::connect(site.address).unwrap();
    write!(stream, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut begin = [0; 1];
    stream.read_exact(&mut begin).unwrap();
    let reader = std::thread::spawn(move || {
        let mut rest = vec![];
        stream.read_to_end(&mut rest).map(|_| rest.len())
    });
    site.stop().await;
    assert!(reader.join().unwrap().unwrap() > 16 << 20);
}

#[tokio::test]
async fn a_directory_that_is_not_there_ends_the_server_with_the_reason() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let (recorder, output, _stored) = crate::recorder::Recorder::start();
    let mut request = installation.instance("");
    request.start = Start::Static { directory: "dist".into() };
    runtime.start(Fence(1), &request, output).await.unwrap();
    let lines = recorder.wait_for("cannot serve dist", 1).await;
    assert!(lines[0].contains("No such file"), "{lines:?}");
    runtime.stop(request.id, GRACE).await.unwrap();
}

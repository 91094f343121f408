//! `onion get` from servers of HTTP, through proxies too.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use futures::io::AsyncWriteExt;
use http_body_util::Full;
use onionskin::endpoint::{Incoming, Listener};
use onionskin::http::HyperIo;
use onionskin::http::http::{Request, Response};
use onionskin::http::hyper::body::{Bytes, Incoming as Body};
use onionskin::http::hyper::rt::Executor;
use onionskin::http::hyper::server::conn::{http1, http2};
use onionskin::http::hyper::service::service_fn;
use onionskin::runtime::{self, Runtime};

use crate::common::Authority;
use crate::onion::{Directory, Outcome, onion, run};
use crate::relay::{Relay, block_on};

/// A server at a free port, for as long as the process runs.
struct Site {
    directory: Directory,
    port: u16,
}

impl Site {
    /// In clear, or inside TLS with these protocols.
    fn new(alpn: Option<&str>) -> Self {
        let directory = Directory::new();
        let authority = Authority::new();
        directory.write("ca.pem", authority.pem());
        let (chain, key) = authority.pem_identity("localhost");
        directory.write("chain.pem", chain);
        directory.write("key.pem", key);
        let tls = alpn.map(|alpn| {
            format!("+tls:cert={}:key={}:alpn={alpn}", directory.file("chain.pem"), directory.file("key.pem"))
        });
        let endpoint = format!("tcp:127.0.0.1:0{}", tls.unwrap_or_default());
        let runtime = runtime::preferred().unwrap();
        let listener = runtime::block_on(runtime, Listener::new(runtime, &endpoint.parse().unwrap())).unwrap();
        let port = listener.local_address().port().unwrap();
        thread::spawn(move || {
            runtime::block_on(runtime, async move {
                while let Ok(incoming) = listener.accept().await {
                    runtime.spawn(Box::pin(serve(runtime, incoming)));
                }
            });
        });
        Self { directory, port }
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://localhost:{}{path}", self.port)
    }

    fn get(&self, url: &str, more: &[&str]) -> Outcome {
        let ca = self.directory.file("ca.pem");
        run(["get", url, "--ca", &ca].into_iter().chain(more.iter().copied()), "")
    }
}

async fn serve(runtime: &'static dyn Runtime, incoming: Incoming) {
    // Who does not trust the certificate is gone before that.
    let Ok(connection) = incoming.ready().await else { return };
    let layers = connection.layers();
    let is_http2 =
        layers.iter().last().and_then(|layer| layer.tls.as_ref()?.alpn.clone()).is_some_and(|alpn| alpn == b"h2");
    let io = HyperIo(connection);
    let _ = match is_http2 {
        true => http2::Builder::new(Spawner(runtime)).serve_connection(io, service_fn(answer)).await,
        false => http1::Builder::new().serve_connection(io, service_fn(answer)).await,
    };
}

#[derive(Clone)]
struct Spawner(&'static dyn Runtime);

impl<F: Future + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, task: F) {
        self.0.spawn(Box::pin(async move { drop(task.await) }));
    }
}

async fn answer(request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (path, host) = (request.uri().path().to_owned(), request.headers().get("host").cloned());
    let host =
        request.uri().authority().map(ToString::to_string).or(host.map(|host| host.to_str().unwrap().to_owned()));
    let (method, version) = (request.method(), request.version());
    let builder = Response::builder();
    let builder = match path.strip_prefix("/status/") {
        Some(status) => builder.status(status.parse::<u16>().unwrap()).header("location", "/elsewhere"),
        None => builder,
    };
    let body = match &*path {
        "/big" => big(),
        _ => {
            format!("{method} {} {version:?} {}\n", request.uri().path_and_query().unwrap(), host.unwrap()).into_bytes()
        }
    };
    Ok(builder.header("x-name", "value").body(Full::new(body.into())).unwrap())
}

fn big() -> Vec<u8> {
    b"0123456789abcde\n".repeat(100_000)
}

#[test]
fn a_body_comes_in_clear_and_inside_tls_by_either_version() {
    for (scheme, alpn, version) in [
        ("http", None, "HTTP/1.1"),
        ("https", Some("http/1.1"), "HTTP/1.1"),
        ("https", Some("h2,http/1.1"), "HTTP/2.0"),
    ] {
        let site = Site::new(alpn);
        let outcome = site.get(&site.url(scheme, "/path?query=1#fragment"), &[]).succeeded();
        assert_eq!(outcome.stdout, format!("GET /path?query=1 {version} localhost:{}\n", site.port));
        assert!(outcome.stderr.contains(&format!("127.0.0.1:{}", site.port)), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.contains("TLSv1.3"), scheme == "https", "{}", outcome.stderr);
        let outcome = site.get(&site.url(scheme, ""), &[]).succeeded();
        assert!(outcome.stdout.starts_with("GET / "), "{}", outcome.stdout);
        assert!(site.get(&site.url(scheme, "/big"), &[]).succeeded().stdout.as_bytes() == big());
        let outcome = site.get(&site.url(scheme, "/path"), &["--head"]).succeeded();
        let lines = outcome.lines();
        assert_eq!(lines[0], format!("{version} 200 OK"));
        assert!(lines.contains(&"x-name: value") && !outcome.stdout.contains("GET"), "{}", outcome.stdout);
    }
}

#[test]
fn the_exit_status_says_of_which_class_the_answer_is() {
    let site = Site::new(Some("h2"));
    for (answer, status) in [(204, 0), (301, 3), (404, 4), (418, 4), (503, 5)] {
        let outcome = site.get(&site.url("https", &format!("/status/{answer}")), &[]);
        assert_eq!(outcome.status, Some(status), "{outcome:?}");
        if status > 0 {
            let error = outcome.stderr.lines().last().unwrap();
            assert!(error.starts_with(&format!("error: the answer is {answer} ")), "{error}");
            assert!(error.ends_with(", to /elsewhere"), "{error}");
            assert!(outcome.stdout.starts_with("GET /status/"), "the body is printed: {outcome:?}");
        }
    }
}

#[test]
fn through_one_proxy_and_through_two_the_host_is_verified_and_asked() {
    let site = Site::new(Some("h2"));
    let proxy = || Relay::started(onion(["proxy", "tcp:127.0.0.1:0", "--allow", "127.0.0.0/8"]));
    let (first, second) = (proxy(), proxy());
    let second_place = second.endpoint.strip_prefix("tcp:").unwrap();
    let url = site.url("https", "/path");
    for (route, hops) in [
        (format!("{}+connect", first.endpoint), 1),
        (format!("{}+socks5", first.endpoint), 1),
        (format!("{}+socks4a:user=onion", first.endpoint), 1),
        (format!("{}+socks5:{second_place}+connect", first.endpoint), 2),
    ] {
        let outcome = site.get(&url, &["--via", &route]).succeeded();
        assert_eq!(outcome.stdout, format!("GET /path HTTP/2.0 localhost:{}\n", site.port));
        let drawn = (1..=3).take_while(|hop| outcome.stderr.contains(&format!("hop {hop} "))).count();
        assert_eq!(drawn, hops, "{}", outcome.stderr);
        let outcome = site.get(&url, &["--via", &route, "--json-route"]).succeeded();
        let route: serde_json::Value = serde_json::from_str(outcome.stderr.lines().next().unwrap()).unwrap();
        assert_eq!(route.as_array().unwrap().len(), hops);
        assert_eq!(route[hops - 1]["target"]["host"], "localhost");
        assert_eq!(route[hops - 1]["target"]["port"], site.port);
    }
    // The control: of a host with another certificate nothing is believed, proxy or not.
    let route = format!("{}+connect", first.endpoint);
    let elsewhere = format!("https://127.0.0.1:{}/", site.port);
    for more in [&[][..], &["--via", &route]] {
        let said = site.get(&elsewhere, more).failed(1);
        assert!(said.contains("certificate"), "{said}");
    }
    // A proxy that may not go there says so.
    let strict = Relay::started(onion(["proxy", "tcp:127.0.0.1:0"]));
    let said = site.get(&url, &["--via", &format!("{}+connect", strict.endpoint)]).failed(1);
    assert!(said.contains("403"), "{said}");
}

#[test]
fn a_body_that_is_not_whole_is_a_failure() {
    for (answer, good) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf!", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf!\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf!", true),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let mut client = listener.accept().unwrap().0;
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            client.write_all(answer.as_bytes()).unwrap();
        });
        let outcome = run(["get", &url], "");
        server.join().unwrap();
        assert_eq!(outcome.stdout, "half!");
        assert_eq!(outcome.status, Some(if good { 0 } else { 1 }), "{outcome:?}");
        assert_eq!(outcome.stderr.contains("error: the body is not whole: "), !good, "{outcome:?}");
    }
}

/// Without a length a body ends with the connection, and only a close_notify says that it was no cut.
#[test]
fn a_body_that_ends_without_a_close_notify_is_a_failure() {
    let site = Site::new(Some("http/1.1"));
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| site.directory.file(name));
    for cut in [true, false] {
        let listener = block_on(Listener::new(
            runtime::preferred().unwrap(),
            &format!("tcp:127.0.0.1:0+tls:cert={chain}:key={key}").parse().unwrap(),
        ));
        let listener = listener.unwrap();
        let url = format!("https://localhost:{}/", listener.local_address().port().unwrap());
        let server = thread::spawn(move || {
            block_on(async {
                let mut connection = listener.accept().await.unwrap().ready().await.unwrap();
                while connection.read_line().await.unwrap().is_some_and(|line| !line.is_empty()) {}
                connection.write_line("HTTP/1.0 200 OK").await.unwrap();
                connection.write_line("").await.unwrap();
                connection.write_line("half!").await.unwrap();
                match cut {
                    true => connection.close_wire().await.unwrap(),
                    false => connection.close().await.unwrap(),
                }
                while let Ok(Some(_)) = connection.read_line().await {}
            });
        });
        let outcome = site.get(&url, &[]);
        server.join().unwrap();
        assert_eq!(outcome.stdout.trim_end(), "half!");
        assert_eq!(outcome.status, Some(i32::from(cut)), "{outcome:?}");
        assert_eq!(outcome.stderr.contains("without a close_notify"), cut, "{outcome:?}");
    }
}

#[test]
fn what_is_no_url_and_no_route_is_told() {
    for (arguments, cause) in [
        (&["ftp://localhost/"][..], "it has to begin with http:// or https://"),
        (&["localhost"], "it has to begin with"),
        (&["http://user:secret@localhost/"], "a URL with a user in it"),
        (&["http://local host/"], "no URL"),
        (&["http://localhost/", "--via", "tcp:localhost:1080"], "the last step is to be"),
        (&["http://localhost/", "--via", "tcp:localhost:1080+connect:localhost:1"], "no HOST and PORT"),
    ] {
        let said = run(["get"].into_iter().chain(arguments.iter().copied()), "").failed(2);
        assert!(said.contains(cause), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

//! Two names have a border of their own: runtimes, and the connections of rustls. CONTRIBUTING.md says where they may stand.

use super::{at, code, read, sources};

#[test]
fn a_runtime_is_named_in_its_folder_only() {
    assert_eq!(strays(|file| file.starts_with("runtime/"), &RUNTIMES), [""; 0]);
}

#[test]
fn a_connection_of_rustls_is_named_in_the_tls_room_only() {
    assert_eq!(strays(|file| file.starts_with("layer/tls/"), &CONNECTIONS), [""; 0]);
}

#[test]
fn a_stray_name_is_found() {
    for (source, names) in [
        ("fn f() { tokio::spawn(async {}); }", &RUNTIMES[..]),
        ("use async_std::net::TcpStream;", &RUNTIMES),
        ("use rustls::{ClientConfig, ClientConnection};", &CONNECTIONS),
        ("struct S(rustls::server::UnbufferedServerConnection);", &CONNECTIONS),
    ] {
        assert!(found(source, names).is_some(), "{source}");
    }
    for source in [
        "use crate::runtime::tokio_io;",
        "// tokio::spawn\n#[cfg(feature = \"tokio\")]\nuse x::Tokio;",
        "mod tokio_io;",
    ] {
        assert_eq!(found(source, &RUNTIMES), None, "{source}");
    }
    assert!(!strays(|_| false, &RUNTIMES).is_empty() && !strays(|_| false, &CONNECTIONS).is_empty(), "both are in use");
}

/// The files that use one of the names though they are not at home, each with the name.
fn strays(is_home: impl Fn(&str) -> bool, names: &[&'static str]) -> Vec<String> {
    let files = sources(&at("src")).into_iter().filter(|file| !is_home(file));
    files.filter_map(|file| Some(format!("{file}: {}", found(&read(&at("src").join(&file)), names)?))).collect()
}

fn found(source: &str, names: &[&'static str]) -> Option<&'static str> {
    let code = code::of(source);
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    names.iter().copied().find(|name| {
        code.match_indices(name).any(|(at, _)| {
            !code[..at].ends_with(|letter| is_word(letter) || letter == ':') || name.ends_with("Connection")
        })
    })
}

const RUNTIMES: [&str; 3] = ["async_std::", "smol::", "tokio::"];

const CONNECTIONS: [&str; 4] =
    ["ClientConnection", "ServerConnection", "UnbufferedConnectionCommon", "KernelConnection"];

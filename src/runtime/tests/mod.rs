//! What holds with any choice of runtimes, also with none; then the runtimes one by one.

#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod every_runtime;

use super::{Address, Runtime, all, preferred};

#[test]
fn preferred_is_the_first_of_all() {
    let names: Vec<_> = all().iter().map(|runtime| runtime.name()).collect();
    let expected: Vec<&str> = [
        (cfg!(feature = "async-std"), "async-std"),
        (cfg!(feature = "smol"), "smol"),
        (cfg!(feature = "tokio"), "tokio"),
    ]
    .into_iter()
    .filter_map(|(compiled, name)| compiled.then_some(name))
    .collect();
    assert_eq!(names, expected);
    let first = preferred().map(Runtime::name);
    assert_eq!(first, expected.first().copied());
}

#[test]
fn addresses_print() {
    assert_eq!(Address::Tcp("127.0.0.1:25".parse().unwrap()).to_string(), "tcp 127.0.0.1:25");
    assert_eq!(Address::Tcp("[::1]:25".parse().unwrap()).to_string(), "tcp [::1]:25");
    assert_eq!(Address::Unix(Some("/run/app.sock".into())).to_string(), "unix /run/app.sock");
    assert_eq!(Address::Unix(None).to_string(), "unix (unnamed)");
    assert_eq!(Address::Abstract(b"app\0\n".to_vec()).to_string(), r"unix @app\x00\n");
    assert_eq!(Address::Stdio.to_string(), "stdio");
}

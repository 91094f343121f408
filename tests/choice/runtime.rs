//! The runtime. Most of it shows only where several are compiled in.

use onionskin::runtime::{self, Runtime};

use crate::alone;

#[test]
fn the_one_that_the_program_has_installed_comes_first() {
    alone("runtime::installed", &[]);
}

#[test]
#[ignore = "is the other process, which the test above starts"]
fn installed() {
    let Some(&last) = runtime::all().last() else { return };
    let first = preferred();
    assert_eq!(first, runtime::all()[0].name(), "the first one that was compiled in, unless somebody says otherwise");
    runtime::install(last).unwrap();
    assert_eq!(preferred(), last.name());
    #[cfg(feature = "tokio")]
    assert_eq!(inside_tokio(preferred), last.name(), "what was said counts more than where the call is made");

    let error = runtime::install(runtime::all()[0]).unwrap_err();
    assert_eq!(error.name(), last.name());
    assert!(error.to_string().contains(last.name()), "{error}");
    assert_eq!(format!("{error:?}"), error.to_string());
    assert_eq!(preferred(), last.name());
}

#[cfg(feature = "tokio")]
#[test]
fn inside_tokio_it_is_tokio() {
    alone("runtime::around_the_call", &[]);
}

#[cfg(feature = "tokio")]
#[test]
#[ignore = "is the other process, which the test above starts"]
fn around_the_call() {
    let outside = runtime::all()[0].name();
    assert_eq!(preferred(), outside);
    assert_eq!(inside_tokio(preferred), "tokio");
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let thread = tokio.block_on(async { tokio::task::spawn_blocking(preferred).await.unwrap() });
    assert_eq!(thread, "tokio");
    assert_eq!(preferred(), outside, "it is over with the call");

    // What is opened there is tokio's, whatever else is compiled in.
    let listening = |endpoint: &'static str| async { format!("{:?}", onionskin::listen(endpoint).await.unwrap()) };
    let inside = tokio.block_on(listening("tcp:127.0.0.1:0"));
    assert!(inside.contains("runtime: Tokio"), "{inside}");
    let first = runtime::preferred().unwrap();
    let outside = runtime::block_on(first, listening("tcp:127.0.0.1:0"));
    assert_eq!(outside.contains("runtime: Tokio"), first.name() == "tokio", "{outside}");
}

fn preferred() -> &'static str {
    runtime::preferred().map_or("none", Runtime::name)
}

#[cfg(feature = "tokio")]
fn inside_tokio<T>(call: impl FnOnce() -> T) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async { call() })
}

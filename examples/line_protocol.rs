//! A store of keys and values for many clients, with TLS that each of them starts and stops whenever it likes.
//!
//! ```text
//! cargo run --example line_protocol -- tcp:127.0.0.1:4433 /tmp/ca.pem
//! cargo run --features cli -- connect tcp:127.0.0.1:4433 --ca /tmp/ca.pem
//! ```
//! In there: `SET colour red`, `\starttls localhost`, `GET colour`, `\starttls localhost`, `LIST`, `\stoptls`, `\quit`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use onionskin::protocol::{Addresses, LineReceiver, Lines, Protocol, Result, Transport};
use onionskin::tls::{Identity, TlsServer};
use onionskin::{listen_with, runtime};

struct Session {
    lines: Lines,
    tls: TlsServer,
    store: Arc<Mutex<BTreeMap<String, String>>>, // the same in all sessions
}

impl Protocol for Session {
    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.receive_lines(transport)
    }
}

impl LineReceiver for Session {
    fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
        let words: Vec<_> = std::str::from_utf8(line)?.splitn(3, ' ').collect();
        match words[..] {
            ["STARTTLS", ..] => {
                self.send_line(transport, format!("OK STARTTLS {}", transport.depth() + 1))?; // the last line outside
                transport.start_tls(self.tls.accept()?)?; // what stands behind the command goes into TLS
            }
            ["STOPTLS"] if transport.depth() > 0 => {
                self.send_line(transport, format!("OK STOPTLS {}", transport.depth() - 1))?; // the last line inside
                transport.stop_tls()?; // what stands behind the close_notify comes out below it
            }
            ["QUIT"] => {
                self.send_line(transport, "BYE")?;
                transport.close();
            }
            _ => self.send_line(transport, answer(&self.store, &words).as_deref().unwrap_or("ERR unknown"))?,
        }
        Ok(())
    }
}

fn answer(store: &Mutex<BTreeMap<String, String>>, words: &[&str]) -> Option<String> {
    let mut store = store.lock().ok()?;
    match *words {
        ["SET", ..] if store.len() == 1000 => None,
        ["SET", key, value] => Some(store.insert(key.into(), value.into()).map_or("NEW", |_| "CHANGED").into()),
        ["GET", key] => store.get(key).map(|value| format!("VALUE {value}")),
        ["DEL", key] => store.remove(key).map(|_| "DELETED".into()),
        ["LIST"] => Some(store.keys().fold("KEYS".into(), |list, key| list + " " + key)),
        _ => None,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = |number, default: &str| std::env::args().nth(number).unwrap_or(default.to_owned());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(argument(2, "/tmp/ca.pem"), made.cert.pem())?;
    let identity = Identity::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes())?;
    let (tls, store) = (TlsServer::new(identity)?, Arc::default());
    let factory = move |_: &Addresses| Session { lines: Lines::new(), tls: tls.clone(), store: Arc::clone(&store) };
    runtime::block_on(runtime::preferred().ok_or("built without a runtime")?, async {
        let mut server = listen_with(&argument(1, "tcp:127.0.0.1:4433"), factory).await?;
        println!("listening on {}", server.endpoint());
        server.wait().await;
        Ok(())
    })
}

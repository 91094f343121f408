//! Programs of others that bring mail to our server, the example `smtp_sink`.

use crate::Case;
use crate::bench::{Bench, Peer};
use crate::clients::{curl, python, swaks};
use crate::example::{example, serve};
use crate::servers::NAME;

pub(crate) fn cases() -> Vec<Case> {
    let send = ["--mail-from", "sender@client.example", "--mail-rcpt", "onion@onion.test", "--upload-file", "-"];
    vec![
        brings("swaks", |bench, address, sink| {
            swaks(bench, address, "from swaks", &[]).with("250 ");
            sink.expect("Subject: from swaks");
        }),
        brings("curl", move |bench, address, sink| {
            curl(bench, "smtp", address, "", &send, "Subject: from curl\r\n\r\nonion\r\n").with("250 ");
            sink.expect("Subject: from curl");
        }),
        brings("python3", |bench, address, sink| {
            python(bench, "smtp", address).with("content");
            sink.expect("Subject: from smtplib");
        }),
    ]
}

fn brings(client: &'static str, run: impl FnOnce(&Bench, &str, &mut Peer) + Send + 'static) -> Case {
    Case::new(format!("smtp_sink with {client}: a letter"), move |bench| {
        let mut command = example("smtp_sink");
        command.arg("tcp:127.0.0.1:0").arg(bench.certificate(NAME)).arg(bench.key(NAME));
        let (mut sink, address) = serve(&mut command);
        run(bench, &address, &mut sink);
    })
    .uses(client)
}

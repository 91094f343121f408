//! TLS that was stopped is started again, on one connection, as often as anybody likes.

use onionskin::starttls::{Ftp, Imap, Lmtp, Negotiate, Smtp, StartTls};

use crate::common::link::{Link, ONE, each};

#[test]
fn one_connection_starts_and_stops_forty_times() {
    each(ONE, |case| {
        let protocols: [(&dyn StartTls, &dyn StartTls); 4] = [
            (&Smtp::new(), &Smtp::new().greeted()),
            (&Lmtp::new(), &Lmtp::new().greeted()),
            (&Imap::new(), &Imap::new().greeted()),
            (&Ftp::new(), &Ftp::new().greeted()),
        ];
        for (first, again) in protocols {
            let mut link = Link::new(case);
            for round in 0..40 {
                let protocol = if round == 0 { first } else { again };
                let (left, right) = (link.client_layer(), link.server_layer());
                let left = link.left.splice(Negotiate::new(protocol, left));
                let right = link.right.splice(Negotiate::new(protocol, right));
                link.run();
                link.assert_ready(left, right);
                link.talk();
                link.stop();
                link.talk();
                assert_eq!(link.tls_depth(), (0, 0), "{} {round}", first.name());
            }
        }
    });
}

//! The server is honest about STARTTLS and not about who it is.

use onionskin::stack::LayerError;
use onionskin::starttls::Negotiate;
use onionskin::tls::{Identity, TlsServer};
use rcgen::{CertificateParams, date_time_ymd};

use crate::common::Authority;
use crate::common::link::{Link, NAME, text};
use crate::subject::{SECRET, assert_discreet, each_subject};

#[test]
fn a_wrong_name_and_an_expired_certificate_are_told_nothing_and_a_good_one_is() {
    let authority = Authority::new();
    let mut expired = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let (chain, key) = authority.issue(&expired);
    let expired = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let cases = [
        (authority.identity("other.example"), Some("does not stand for")),
        (expired, Some("expired")),
        (authority.identity(NAME), None),
    ];
    each_subject(|subject, case| {
        for (identity, complaint) in &cases {
            let mut link = Link::new(case);
            let server = TlsServer::builder(identity.clone()).versions(subject.versions).build().unwrap();
            let client = authority.client(subject.versions);
            let peer = (subject.peer)();
            link.left.splice(Negotiate::new(&*peer, client.to(NAME).unwrap()));
            link.left.write(SECRET);
            link.right.splice(Negotiate::new(&*peer, server.accept().unwrap()));
            link.run();
            let Some(complaint) = complaint else {
                assert_eq!(text(&link.right.read()), text(SECRET));
                continue;
            };
            assert_discreet(&mut link.left);
            assert_eq!(text(&link.right.read()), "");
            let reason = link.left.lost().expect("the certificate is refused").clone();
            assert!(reason.layer_error().is_some_and(LayerError::is_certificate), "{reason}");
            assert!(reason.to_string().contains(complaint), "{reason}");
        }
    });
}

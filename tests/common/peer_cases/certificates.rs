//! The certificates of the cases, made on the spot and in files of a directory that goes when this does.

use std::path::PathBuf;

use onionskin::rustls;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::common::Authority;

pub(crate) struct World {
    directory: PathBuf,
}

impl World {
    pub(crate) fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("onionskin-peers-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let world = Self { directory };
        let [root, other, outer] = [Authority::new(), Authority::new(), Authority::new()];
        world.write("root.pem", &root.pem());
        world.write("other.pem", &other.pem());
        world.write("outer.pem", &outer.pem());
        let names = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            CertificateParams::new(names).unwrap()
        };
        world.issue(&outer, "outer.test", &names(&["outer.test"]));
        world.issue(&root, "good", &names(&["good.test", "*.wild.test", "a_b.exact.test"]));
        let mut nameless = names(&[]);
        nameless.distinguished_name.push(DnType::CommonName, "cnonly.test");
        world.issue(&root, "cnonly", &nameless);
        world.issue(&other, "unknown", &names(&["good.test"]));
        world.issue(&root, "ipsan", &names(&["127.0.0.1"]));
        let mut for_clients = names(&["good.test"]);
        for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        world.issue(&root, "clientonly", &for_clients);
        let mut expired = names(&["good.test"]);
        (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
        world.issue(&root, "expired", &expired);
        for (file, is_ca) in [("selfca", IsCa::Ca(BasicConstraints::Unconstrained)), ("selfee", IsCa::ExplicitNoCa)] {
            let key = KeyPair::generate().unwrap();
            let mut params = names(&["self.test"]);
            params.is_ca = is_ca;
            world.write(&format!("{file}.pem"), &params.self_signed(&key).unwrap().pem());
            world.write(&format!("{file}.key"), &key.serialize_pem());
        }
        world.intermediate();
        // Of version 1: what makes certificates now makes none.
        world.write("v1.pem", include_str!("../../behaviour/credentials/version1.pem"));
        world.write("v1.key", include_str!("../../behaviour/credentials/good.key"));
        world
    }

    /// One that an authority below the root has issued, with that authority's certificate behind it and without.
    fn intermediate(&self) {
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            (params, KeyPair::generate().unwrap())
        };
        let (params, key) = authority("root of an intermediate");
        let top = CertifiedIssuer::self_signed(params, key).unwrap();
        let (params, key) = authority("intermediate");
        let inter = CertifiedIssuer::signed_by(params, key, &top).unwrap();
        // The root of all cases trusts this one too.
        let both = [std::fs::read_to_string(self.path("root.pem")).unwrap(), top.pem()].concat();
        self.write("root.pem", &both);
        self.write("inter.pem", &inter.pem());
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["good.test".to_owned()]).unwrap().signed_by(&key, &inter).unwrap().pem();
        self.write("viaint.pem", &own);
        self.write("viaint-chain.pem", &[own, inter.pem()].concat());
        self.write("viaint.key", &key.serialize_pem());
        self.write("viaint-chain.key", &key.serialize_pem());
    }

    fn issue(&self, authority: &Authority, file: &str, params: &CertificateParams) {
        let (chain, key) = authority.issue(params);
        self.write(&format!("{file}.pem"), &chain);
        self.write(&format!("{file}.key"), &key);
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.directory.join(file), text).unwrap();
    }

    pub(crate) fn path(&self, file: &str) -> String {
        self.directory.join(file).display().to_string()
    }

    pub(crate) fn certified(&self, name: &str) -> rustls::sign::CertifiedKey {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let chain = CertificateDer::pem_file_iter(self.path(&format!("{name}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
        let key = onionskin::tls::default_provider().unwrap().key_provider.load_private_key(key).unwrap();
        // Not looked at, since one of version 1 would not be taken.
        rustls::sign::CertifiedKey::new(chain.collect::<Result<_, _>>().unwrap(), key)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

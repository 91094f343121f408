//! OpenLDAP's slapd, with GnuTLS: LDAP with the extended operation StartTLS.
//!
//! | service | what it is |
//! |---|---|
//! | `ldap` | the tree below [`BASE`]; a bind with a password needs TLS, reading does not |
//!
//! The entry [`USER_DN`] has the password [`PASSWORD`]. It runs as the user `openldap`.

use super::place::{Place, Running, as_user, free_port};
use super::{PASSWORD, Server, USER, program, text};

pub(crate) const SLAPD: Server =
    Server { name: "slapd", programs: &["slapd", "/etc/ldap/schema/inetorgperson.schema"], needs_root: false, start };

pub(crate) const BASE: &str = "dc=onion,dc=test";
pub(crate) const USER_DN: &str = "uid=onion,dc=onion,dc=test";

fn start(place: Place) -> Running {
    let ldap = free_port();
    let database = place.folder("database");
    let configuration = place.write("slapd.conf", &{
        let (directory, database) = (text(place.directory()), text(&database));
        let (certificate, key, ca) = (place.certificate(), place.key(), place.ca());
        let (certificate, key, ca) = (text(&certificate), text(&key), text(&ca));
        format!(
            "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {directory}/pid
argsfile {directory}/args
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
security simple_bind=128
database mdb
suffix {BASE}
directory {database}
maxsize 16777216
dbnosync
access to attrs=userPassword by self write by * auth
access to * by * read
"
        )
    });
    let entries = place.write(
        "entries.ldif",
        &format!(
            "dn: {BASE}
objectClass: domain
dc: onion

dn: {USER_DN}
objectClass: inetOrgPerson
uid: {USER}
cn: Onion
sn: Skin
userPassword: {PASSWORD}
"
        ),
    );
    place.give_to("openldap");
    let slapd = program("slapd");
    // One program with many names: -T add makes it slapadd.
    place.must(as_user("openldap", &slapd).args(["-T", "add", "-f"]).arg(&configuration).arg("-l").arg(entries));
    let mut command = as_user("openldap", &slapd);
    command.args(["-d", "stats", "-h", &format!("ldap://127.0.0.1:{ldap}/"), "-f"]).arg(&configuration);
    place.launch(&command).ready("ldap", ldap, ANONYMOUS_BIND, BIND_RESPONSE)
}

const ANONYMOUS_BIND: &[u8] = b"0\x0c\x02\x01\x01`\x07\x02\x01\x03\x04\x00\x80\x00";
/// The message id of the request, and the tag of a BindResponse.
const BIND_RESPONSE: &str = "\x02\x01\x01a";

//! LDAP.

use super::{Ended, client, run};
use crate::bench::Bench;
use crate::servers::PASSWORD;
use crate::servers::slapd::{BASE, USER_DN};

/// OpenLDAP's `ldapsearch`: StartTLS (`-ZZ`: or nothing), a simple bind as [`USER_DN`], and a search below [`BASE`].
pub(crate) fn ldapsearch(bench: &Bench, address: &str, filter: &str) -> Ended {
    let mut command = client("ldapsearch");
    command.env("LDAPTLS_CACERT", bench.ca()).env("LDAPTLS_REQCERT", "demand").env("LDAPCONF", "/dev/null");
    command.args([
        "-x",
        "-ZZ",
        "-LLL",
        "-o",
        "nettimeout=10",
        "-o",
        "ldif-wrap=no",
        "-H",
        &format!("ldap://{address}"),
    ]);
    run(command.args(["-D", USER_DN, "-w", PASSWORD, "-b", BASE, filter]), "")
}

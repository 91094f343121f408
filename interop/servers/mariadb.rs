//! MariaDB: TLS behind an SSLRequest packet, in the middle of the handshake of MySQL's protocol.
//!
//! | service | what it is |
//! |---|---|
//! | `mysql` | the database `mysql` and others, for [`USER`] with `mysql_native_password`, over TLS only |
//!
//! It runs as the user `mysql`. Its system tables are made anew, which takes two seconds.

use super::place::{Place, Running, as_user, free_port};
use super::{PASSWORD, Server, USER, program, text};

pub(crate) const MARIADB: Server =
    Server { name: "mariadb", programs: &["mariadbd", "mariadb-install-db"], needs_root: false, start };

fn start(place: Place) -> Running {
    let port = free_port();
    let data = place.folder("data");
    let users = place.write(
        "users.sql",
        &format!(
            "CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL;
GRANT ALL ON *.* TO {USER}@'127.0.0.1';
"
        ),
    );
    place.give_to("mysql");
    let data = format!("--datadir={}", text(&data));
    let mut install = as_user("mysql", &program("mariadb-install-db"));
    install.args(["--no-defaults", &data, "--skip-test-db", "--auth-root-authentication-method=normal"]);
    place.must(install.args(SMALL));
    let mut mariadbd = as_user("mysql", &program("mariadbd"));
    mariadbd.args(["--no-defaults", &data, "--bind-address=127.0.0.1", "--skip-name-resolve"]).args(SMALL);
    mariadbd.args([
        format!("--port={port}"),
        format!("--socket={}", text(&place.path("socket"))),
        format!("--pid-file={}", text(&place.path("pid"))),
        format!("--init-file={}", text(&users)),
        format!("--ssl-cert={}", text(&place.certificate())),
        format!("--ssl-key={}", text(&place.key())),
    ]);
    // It listens before it has read the file with the users, but answers nobody until then.
    place.launch(&mariadbd).ready("mysql", port, b"", "mysql_native_password")
}

/// It keeps little and syncs nothing: it lives for a run.
const SMALL: [&str; 3] =
    ["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0"];

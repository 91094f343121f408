//! Apache's httpd with mod_proxy_connect and mod_http2: a proxy for CONNECT over HTTP/1.1 and HTTP/2.
//!
//! | service | what it is |
//! |---|---|
//! | `http` | HTTP/1.1, and HTTP/2 for those who know before |
//! | `https` | TLS, and either of them by ALPN |
//!
//! It takes everybody to any port. It runs as the user `proxy`.

use super::place::{Place, Running, as_user, free_port};
use super::{NAME, Server, program, text};

pub(crate) const APACHE: Server = Server {
    name: "apache",
    programs: &["apache2", "/usr/lib/apache2/modules/mod_proxy_connect.so", "/usr/lib/apache2/modules/mod_http2.so"],
    needs_root: false,
    start: |place| start(place, ""),
};

/// The same, which ends a tunnel in which nothing moves for two seconds.
pub(crate) const APACHE_IMPATIENT: Server =
    Server { name: "apache-impatient", start: |place| start(place, "Timeout 2\n"), ..APACHE };

fn start(place: Place, more: &str) -> Running {
    let (http, https) = (free_port(), free_port());
    let modules: String = MODULES
        .iter()
        .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"))
        .collect();
    // It is to be its own, not that of whoever starts it.
    place.write("log", "");
    let configuration = place.write("httpd.conf", &{
        let (directory, log) = (text(place.directory()), place.log());
        let (certificate, key, log) = (place.certificate(), place.key(), text(&log));
        let (certificate, key) = (text(&certificate), text(&key));
        format!(
            "{modules}{more}ServerRoot {directory}
ServerName {NAME}
DefaultRuntimeDir {directory}
PidFile {directory}/pid
ErrorLog {log}
StartServers 1
Listen 127.0.0.1:{http}
Listen 127.0.0.1:{https}
Protocols h2 h2c http/1.1
H2ProxyRequests on
ProxyRequests on
AllowCONNECT 1-65535
<Proxy \"*\">
Require all granted
</Proxy>
<VirtualHost 127.0.0.1:{https}>
SSLEngine on
SSLCertificateFile {certificate}
SSLCertificateKeyFile {key}
</VirtualHost>
"
        )
    });
    place.give_to("proxy");
    let mut apache = as_user("proxy", &program("apache2"));
    apache.arg("-f").arg(configuration).arg("-DFOREGROUND");
    let running = place.launch(&apache).ready("http", http, b"OPTIONS * HTTP/1.0\r\n\r\n", "HTTP/1.1 200");
    running.ready("https", https, b"", "")
}

const MODULES: &[&str] = &["mpm_event", "authz_core", "proxy", "proxy_connect", "http2", "socache_shmcb", "ssl"];

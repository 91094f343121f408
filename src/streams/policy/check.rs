//! What a policy has to be beyond its keys: every name is defined, and every stream can be one.

use super::document::Document;
use super::mistake::{At, MAX_MISTAKES, Mistake, MistakeKind, nearest, shown};
use super::{Auth, Policy, Protocol, StreamPolicy, Template, document};

/// All that makes no sense in a policy. The document that it was read from, if there is one, knows the places; and what is missing
/// because it could not be read is not told again.
pub(super) fn check(policy: &Policy, document: Option<&Document>, known: &[Mistake]) -> Vec<Mistake> {
    let mut check = Check { policy, document, known, mistakes: Vec::new() };
    check.retries();
    check.trust();
    for (name, stream) in &policy.streams {
        check.stream(name, stream);
    }
    check.mistakes
}

/// What is right, and will not be the same everywhere: filters of one client that overlap. Brokers send a message that both of them
/// match once or twice, and with the quality of service of either.
pub(super) fn doubts(policy: &Policy, document: Option<&Document>) -> Vec<Mistake> {
    let mut check = Check { policy, document, known: &[], mistakes: Vec::new() };
    for (name, stream) in &policy.streams {
        let filters: Vec<_> =
            stream.mqtt.subscriptions.iter().map(|subscription| subscription.filter.to_string()).collect();
        for (index, one) in filters.iter().enumerate() {
            let Some(other) = filters[..index].iter().find(|other| overlap(one, other)) else { continue };
            let message = format!(
                "{} and {} overlap: brokers differ in how often and how surely they send what both match",
                shown(other),
                shown(one)
            );
            check.wrong(MistakeKind::Doubtful, &["s", name, "mqtt_subscribe"], message);
        }
    }
    check.mistakes
}

/// Whether a topic matches both filters for certain, whatever the values in them (MQTT 3.1.1, section 4.7).
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(this), Some(that)) if this == that => {}
            _ => return false,
        }
    }
}

struct Check<'p> {
    policy: &'p Policy,
    document: Option<&'p Document>,
    known: &'p [Mistake],
    mistakes: Vec<Mistake>,
}

impl Check<'_> {
    fn retries(&mut self) {
        for (name, retry) in &self.policy.retries {
            if let (Some(ping), Some(hang_up)) = (retry.ping_after, retry.hang_up_after)
                && ping >= hang_up
            {
                let message = format!(
                    "`svalidping` of {} s is not below `svalidhup` of {} s: the peer would be given up before it is asked",
                    ping.as_secs(),
                    hang_up.as_secs()
                );
                self.wrong(MistakeKind::WrongValue, &["retry", name, "svalidping"], message);
            }
            if retry.backoff.is_empty() {
                self.wrong(MistakeKind::Missing, &["retry", name, "backoff"], "there is no delay");
            }
        }
    }

    fn trust(&mut self) {
        let policy = self.policy;
        for (name, store) in &policy.trust_stores {
            store
                .certificates
                .iter()
                .for_each(|certificate| self.certificate(&["trust_stores", name, "stack"], certificate));
        }
        for (name, identity) in &policy.client_certificates {
            identity
                .certificate
                .iter()
                .for_each(|certificate| self.certificate(&["client_certs", name, "cert"], certificate));
            self.certificate(&["client_certs", name, "key"], &identity.key);
        }
        for (name, auth) in &policy.auth {
            if let Auth::ClientCredentials { stream, .. } = auth {
                self.name(&["auth", name, "streamtype"], "stream", stream, policy.streams.keys());
            }
        }
    }

    fn stream(&mut self, name: &str, stream: &StreamPolicy) {
        let policy = self.policy;
        let tls = &stream.tls;
        let at = |key| ["s", name, key];
        if let Some(retry) = &stream.retry {
            self.name(&at("retry"), "table of delays", retry, policy.retries.keys());
        }
        if let Some(store) = &tls.trust_store {
            self.name(&at("tls_trust_store"), "trust store", store, policy.trust_stores.keys());
        }
        if let Some(store) = &tls.client_trust_store {
            self.name(&at("client_ca"), "trust store", store, policy.trust_stores.keys());
        }
        // A number is one that the program brings, perhaps later.
        if let Some(identity) = tls.client_certificate.as_ref().filter(|name| name.parse::<u32>().is_err()) {
            self.name(&at("client_cert"), "client certificate", identity, policy.client_certificates.keys());
        }
        tls.server_certificate.iter().for_each(|certificate| self.certificate(&at("server_cert"), certificate));
        tls.server_key.iter().for_each(|key| self.certificate(&at("server_key"), key));
        tls.revocation_lists.iter().for_each(|list| self.certificate(&at("crl"), list));
        for server in &tls.server_names {
            server
                .certificate
                .iter()
                .chain([&server.key])
                .for_each(|certificate| self.certificate(&at("server_names"), certificate));
        }
        if let Some(auth) = &stream.auth {
            self.name(&at("use_auth"), "auth", auth, policy.auth.keys());
        }
        if let (Some(least), Some(most)) = (tls.min_version, tls.max_version)
            && least > most
        {
            self.wrong(MistakeKind::WrongValue, &at("min_version"), "`min_version` is above `max_version`");
        }
        if stream.is_server && tls.is_on && (tls.server_certificate.is_empty() || tls.server_key.is_none()) {
            self.missing(
                &at("tls"),
                &["server_cert", "server_key"],
                "a server with TLS needs `server_cert` and `server_key`",
            );
        }
        if !stream.is_server {
            self.client(name, stream);
        }
        let templates =
            stream.templates().chain(stream.auth.iter().filter_map(|auth| policy.auth.get(auth)).flat_map(of_auth));
        for (key, template) in templates {
            for value in template.names().filter(|value| !stream.values.contains_key(*value)) {
                let known = nearest(value, stream.values.keys().map(String::as_str));
                let message = format!("`${{{value}}}` is not declared: give it a place in `metadata`{known}");
                self.wrong(MistakeKind::Undeclared, &at(key), message);
            }
        }
    }

    fn client(&mut self, name: &str, stream: &StreamPolicy) {
        let at = |key| ["s", name, key];
        match &stream.endpoint {
            None => self.missing(&at("endpoint"), &["endpoint"], "a client needs an `endpoint`"),
            Some(endpoint) if stream.port == 0 && stream.protocol == Protocol::Raw => {
                let text = endpoint.to_string();
                if !text.starts_with('+') && !text.contains("://") && !endpoint.is_one_value() {
                    self.missing(&at("port"), &["port"], "a `raw` stream needs a `port`");
                }
            }
            Some(_) => {}
        }
        if stream.protocol == Protocol::Mqtt && stream.mqtt.topic.is_none() && stream.mqtt.subscriptions.is_empty() {
            self.missing(
                &at("protocol"),
                &["mqtt_topic", "mqtt_subscribe"],
                "a stream of MQTT needs `mqtt_topic` or `mqtt_subscribe`",
            );
        }
    }

    fn certificate(&mut self, at: &[&str], name: &str) {
        self.name(at, "certificate", name, self.policy.certificates.keys());
    }

    fn name<'k>(&mut self, at: &[&str], what: &str, name: &str, known: impl Iterator<Item = &'k String>) {
        let known: Vec<_> = known.map(String::as_str).collect();
        if !known.contains(&name) {
            let message = format!("no {what} is called {}{}", shown(name), nearest(name, known));
            self.wrong(MistakeKind::UnknownName, at, message);
        }
    }

    /// Something is not there, and none of the keys that would say it could not be read.
    fn missing(&mut self, at: &[&str], keys: &[&str], message: &str) {
        let (parent, _) = self.place(&at[..at.len() - 1]);
        let is_broken = |mistake: &Mistake| {
            let of_key = |key: &&str| mistake.path().starts_with(&format!("{parent}.{key}"));
            mistake.path() == parent && mistake.kind() == MistakeKind::WrongType || keys.iter().any(of_key)
        };
        if !self.known.iter().any(is_broken) {
            self.wrong(MistakeKind::Missing, at, message);
        }
    }

    fn wrong(&mut self, kind: MistakeKind, at: &[&str], message: impl Into<String>) {
        if self.mistakes.len() < MAX_MISTAKES {
            let (path, at) = self.place(at);
            self.mistakes.push(Mistake::new(kind, path, at, message));
        }
    }

    /// Where it is written: there, or where it could be.
    fn place(&self, names: &[&str]) -> (String, At) {
        let mut path = "$".to_owned();
        let mut node = self.document.map(|document| &document.root);
        let mut at = node.map(|node| node.at).unwrap_or_default();
        for name in names {
            match node.and_then(|node| node.value.member(name)) {
                Some(member) => {
                    path.push_str(&member.step);
                    at = member.at;
                    node = Some(&member.node);
                }
                // A trust store may be its stack alone.
                None if *name == "stack" => {}
                None => {
                    if self.document.is_none() || node.is_some() {
                        path.push_str(&document::step(name));
                    }
                    node = None;
                }
            }
        }
        (path, at)
    }
}

fn of_auth(auth: &Auth) -> Vec<(&'static str, &Template)> {
    let templates = match auth {
        Auth::Basic { user, password } => vec![user, password],
        Auth::Bearer { token } => vec![token],
        Auth::ClientCredentials { client_id, client_secret, scope, .. } => {
            [client_id, client_secret].into_iter().chain(scope).collect()
        }
        Auth::SigV4 => Vec::new(),
    };
    templates.into_iter().map(|template| ("use_auth", template)).collect()
}

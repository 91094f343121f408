//! From a document to a policy, by the tables.
//!
//! All mistakes are told, and not only the first: a key that is wrong is passed over, and what comes of the rest is read on. Names are
//! looked up when everything is read, so that it does not matter what comes first; that is [`check`](super::super::check), which also
//! looks at policies that no text says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::document::{Document, Member, Node, Value};
use super::super::mistake::{At, MAX_MISTAKES, Mistake, MistakeKind, nearest, shown};
use super::super::{Auth, ClientCertificate, Material, Place, Policy, Qos, Retry, Subscription, Template, TrustStore};
use super::named::{AUTH, AUTH_TYPES, AuthKeys, RETRY, TRUST_STORE};
use super::policy::POLICY;
use super::stream::{STREAM, SUBSCRIPTIONS, StreamKeys};
use super::{Key, Kind, Side, Spoken};

/// A policy that is being read.
pub(in super::super) struct Reading {
    /// What the names of files start from.
    folder: PathBuf,
    pub(in super::super) mistakes: Vec<Mistake>,
    pub(in super::super) notes: Vec<Mistake>,
}

/// Reads a document as far as it can be read. Names are not looked up.
pub(in super::super) fn read(document: &Document, folder: &Path) -> (Policy, Reading) {
    let mut reading = Reading { folder: folder.to_owned(), mistakes: document.doubled.clone(), notes: Vec::new() };
    let mut policy = Policy::default();
    reading.object(POLICY, &document.root, "$", &mut policy);
    (policy, reading)
}

impl Reading {
    /// Reads all keys of an object.
    fn object<T>(&mut self, keys: &'static [Key<T>], node: &Node, path: &str, into: &mut T) {
        let Value::Object(members) = &node.value else { return self.wrong_type(node, path, "an object") };
        for member in members {
            let path = format!("{path}{}", member.step);
            match keys.iter().find(|key| key.name == member.name) {
                Some(key) => self.key(key, member, &path, into),
                None => {
                    let known = nearest(&member.name, keys.iter().map(|key| key.name));
                    self.wrong(
                        MistakeKind::UnknownKey,
                        &path,
                        member.at,
                        format!("no key is called {}{known}", shown(&member.name)),
                    );
                }
            }
        }
        for key in keys.iter().filter(|key| key.is_needed && node.value.member(key.name).is_none()) {
            self.wrong(MistakeKind::Missing, path, node.at, format!("`{}` is missing", key.name));
        }
    }

    fn key<T>(&mut self, key: &Key<T>, member: &Member, path: &str, into: &mut T) {
        let node = &member.node;
        match &key.kind {
            Kind::Flag(set) => match node.value {
                Value::Flag(flag) => set(into, flag),
                _ => self.wrong_type(node, path, "true or false"),
            },
            Kind::Number { least, most, unit, set } => {
                if let Some(number) = self.number(node, path, *least, *most, unit) {
                    set(into, number);
                }
            }
            Kind::NumberOr { least, most, word, set } => match &node.value {
                Value::Text(text) if text == word => set(into, None),
                Value::Number(_) => {
                    if let Some(number) = self.number(node, path, *least, *most, "") {
                        set(into, Some(number));
                    }
                }
                _ => self.wrong_type(node, path, &format!("a number, or \"{word}\"")),
            },
            Kind::Numbers { least, most, unit, count, set } => {
                let Value::List(nodes) = &node.value else { return self.wrong_type(node, path, "an array of numbers") };
                if !(1..=*count).contains(&nodes.len()) {
                    return self.wrong(
                        MistakeKind::WrongValue,
                        path,
                        node.at,
                        format!("expected 1 to {count} numbers, and not {}", nodes.len()),
                    );
                }
                let numbers: Vec<_> = nodes
                    .iter()
                    .enumerate()
                    .filter_map(|(index, node)| self.number(node, &format!("{path}[{index}]"), *least, *most, unit))
                    .collect();
                if numbers.len() == nodes.len() {
                    set(into, numbers);
                }
            }
            Kind::Time { least, set } => {
                if let Some(time) = self.number(node, path, *least, u32::MAX.into(), "ms") {
                    set(into, (time > 0).then(|| Duration::from_millis(time)));
                }
            }
            Kind::Text { expected, set } => {
                let Value::Text(text) = &node.value else { return self.wrong_type(node, path, expected) };
                if let Err(mistake) = set(into, text) {
                    self.wrong(MistakeKind::WrongValue, path, node.at, format!("{mistake} (expected {expected})"));
                }
            }
            Kind::Choice { words, set } => {
                let Value::Text(text) = &node.value else { return self.wrong_type(node, path, &one_of(words)) };
                match words.iter().position(|word| word == text) {
                    Some(index) => set(into, index),
                    None => {
                        let message = format!(
                            "expected {}, and not {}{}",
                            one_of(words),
                            shown(text),
                            nearest(text, words.iter().copied())
                        );
                        self.wrong(MistakeKind::WrongValue, path, node.at, message);
                    }
                }
            }
            Kind::Template { place, set } => {
                if let Some(template) = self.template(node, path, *place) {
                    set(into, template);
                }
            }
            Kind::Name { what, set } => match &node.value {
                Value::Text(name) => set(into, name.clone()),
                _ => self.wrong_type(node, path, &format!("the name of a {what}")),
            },
            Kind::Names { what, set } => {
                if let Some(names) = self.texts(node, path, &format!("names of {what}s")) {
                    set(into, names.into_iter().map(|(_, name)| name).collect());
                }
            }
            Kind::Texts { expected, set } => {
                for (node, text) in self.texts(node, path, expected).into_iter().flatten() {
                    if let Err(mistake) = set(into, &text) {
                        self.wrong(MistakeKind::WrongValue, path, node, format!("{mistake} (expected {expected})"));
                    }
                }
            }
            Kind::Texted { expected, set } => {
                for (member, path) in self.members(node, path, expected) {
                    let Value::Text(text) = &member.node.value else {
                        self.wrong_type(&member.node, &path, "a text");
                        continue;
                    };
                    if let Err(mistake) = set(into, &member.name, text) {
                        self.wrong(MistakeKind::WrongValue, &path, member.at, mistake);
                    }
                }
            }
            Kind::Numbered { expected, names: [first, last], most, set } => {
                for (member, path) in self.members(node, path, expected) {
                    let Some(name) = whole(&member.name).filter(|name| (*first..=*last).contains(name)) else {
                        self.wrong(
                            MistakeKind::WrongValue,
                            &path,
                            member.at,
                            format!("expected a key from {first} to {last}, and not {}", shown(&member.name)),
                        );
                        continue;
                    };
                    if let Some(number) = self.number(&member.node, &path, 0, *most, "") {
                        set(into, name, number);
                    }
                }
            }
            Kind::Own { read, .. } => read(self, node, path, into),
            Kind::Without(why) => {
                if self.notes.len() < MAX_MISTAKES && !self.notes.iter().any(|note| note.path().ends_with(&member.step))
                {
                    let message = format!("`{}` has no effect: {why}", key.name);
                    self.notes.push(Mistake::new(MistakeKind::WithoutEffect, path, member.at, message));
                }
            }
        }
    }

    pub(super) fn retries(&mut self, node: &Node, path: &str, policy: &mut Policy) {
        for (member, path) in self.members(node, path, "tables of delays by name") {
            let mut retry = Retry::default();
            self.object(RETRY, &member.node, &path, &mut retry);
            policy.retries.insert(member.name.clone(), retry);
        }
    }

    pub(super) fn certificates(&mut self, node: &Node, path: &str, policy: &mut Policy) {
        for (member, path) in self.members(node, path, "certificates by name") {
            if let Some(material) = self.material(&member.node, &path) {
                policy.certificates.insert(member.name.clone(), material);
            }
        }
    }

    /// What is inline is decoded at once; a file is read when it is needed.
    fn material(&mut self, node: &Node, path: &str) -> Option<Material> {
        let expected = "base64 of DER, a text in PEM, or `{ \"file\": PATH }`";
        match &node.value {
            Value::Text(text) if text.contains("-----BEGIN ") => Some(Material::Pem(text.clone())),
            Value::Text(text) => {
                let text: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
                match STANDARD.decode(text) {
                    // Whatever is in DER here is a sequence (X.680).
                    Ok(der) if der.first() == Some(&0x30) => Some(Material::Der(der)),
                    Ok(_) => {
                        self.wrong(
                            MistakeKind::WrongValue,
                            path,
                            node.at,
                            format!("base64, and no DER in it (expected {expected})"),
                        );
                        None
                    }
                    Err(error) => {
                        self.wrong(
                            MistakeKind::WrongValue,
                            path,
                            node.at,
                            format!("no base64: {error} (expected {expected})"),
                        );
                        None
                    }
                }
            }
            Value::Object(members) => {
                let [Member { name, node: Node { value: Value::Text(file), .. }, .. }] = &members[..] else {
                    self.wrong_type(node, path, expected);
                    return None;
                };
                if name != "file" {
                    self.wrong(
                        MistakeKind::UnknownKey,
                        path,
                        node.at,
                        format!("no key is called {} here; did you mean \"file\"?", shown(name)),
                    );
                    return None;
                }
                Some(Material::File(self.folder.join(file)))
            }
            _ => {
                self.wrong_type(node, path, expected);
                None
            }
        }
    }

    pub(super) fn trust_stores(&mut self, node: &Node, path: &str, policy: &mut Policy) {
        for (member, path) in self.members(node, path, "trust stores by name") {
            let mut store = TrustStore::default();
            match &member.node.value {
                Value::Object(_) => self.object(TRUST_STORE, &member.node, &path, &mut store),
                _ => {
                    let Some(names) = self.texts(&member.node, &path, "names of certificates") else { continue };
                    store.certificates = names.into_iter().map(|(_, name)| name).collect();
                }
            }
            if store.certificates.is_empty() && !store.system {
                self.wrong(
                    MistakeKind::Missing,
                    &path,
                    member.at,
                    "a trust store without certificates trusts nobody: name some in `stack`",
                );
            }
            policy.trust_stores.insert(member.name.clone(), store);
        }
    }

    pub(super) fn client_certificates(&mut self, node: &Node, path: &str, policy: &mut Policy) {
        policy.client_certificates = self.identities(node, path).into_iter().collect();
    }

    /// Objects of `cert` and `key` by name.
    pub(super) fn identities(&mut self, node: &Node, path: &str) -> Vec<(String, ClientCertificate)> {
        const KEYS: &[Key<ClientCertificate>] = &[
            Key::<ClientCertificate>::new(
                "cert",
                Kind::Names { what: "certificate", set: |identity, names| identity.certificate = names },
                "",
                "",
            )
            .needed(),
            Key::<ClientCertificate>::new(
                "key",
                Kind::Name { what: "certificate", set: |identity, name| identity.key = name },
                "",
                "",
            )
            .needed(),
        ];
        let mut identities = Vec::new();
        for (member, path) in self.members(node, path, "objects of `cert` and `key` by name") {
            let mut identity = ClientCertificate { certificate: Vec::new(), key: String::new() };
            let before = self.mistakes.len();
            self.object(KEYS, &member.node, &path, &mut identity);
            if self.mistakes.len() == before {
                identities.push((member.name.clone(), identity));
            }
        }
        identities
    }

    pub(super) fn auth(&mut self, node: &Node, path: &str, policy: &mut Policy) {
        for (member, path) in self.members(node, path, "who asks, by name") {
            let mut keys = AuthKeys::default();
            let before = self.mistakes.len();
            self.object(AUTH, &member.node, &path, &mut keys);
            if self.mistakes.len() > before {
                continue;
            }
            let kind = AUTH_TYPES[keys.kind];
            let of_kind: &[&str] = match kind {
                "basic" => &["user", "password"],
                "bearer" => &["token"],
                "oauth2" => &["streamtype", "client_id", "client_secret", "scope"],
                _ => &["streamtype"],
            };
            for key in AUTH.iter().filter(|key| !["type", "blob"].contains(&key.name)) {
                let there = member.node.value.member(key.name);
                match there {
                    Some(there) if !of_kind.contains(&key.name) => {
                        let path = format!("{path}{}", there.step);
                        self.wrong(
                            MistakeKind::Misplaced,
                            &path,
                            there.at,
                            format!("`{}` is nothing for the type {kind}", key.name),
                        );
                    }
                    None if of_kind.contains(&key.name) && key.name != "scope" && kind != "sigv4" => {
                        self.wrong(
                            MistakeKind::Missing,
                            &path,
                            member.at,
                            format!("the type {kind} needs `{}`", key.name),
                        );
                    }
                    _ => {}
                }
            }
            let AuthKeys { stream, user, password, token, client_id, client_secret, scope, .. } = keys;
            let auth = match kind {
                "basic" => user.zip(password).map(|(user, password)| Auth::Basic { user, password }),
                "bearer" => token.map(|token| Auth::Bearer { token }),
                "oauth2" => stream.zip(client_id).zip(client_secret).map(|((stream, client_id), client_secret)| {
                    Auth::ClientCredentials { stream, client_id, client_secret, scope }
                }),
                _ => Some(Auth::SigV4),
            };
            policy.auth.extend(auth.map(|auth| (member.name.clone(), auth)));
        }
    }

    pub(super) fn streams(&mut self, node: &Node, path: &str, policy: &mut Policy) {
        for (member, path) in self.members(node, path, "streams by name") {
            let mut keys = StreamKeys::default();
            self.object(STREAM, &member.node, &path, &mut keys);
            self.misplaced(member, &path, &keys);
            policy.streams.insert(member.name.clone(), keys.finish());
        }
    }

    /// Keys that make no sense for what the stream is.
    fn misplaced(&mut self, stream: &Member, path: &str, keys: &StreamKeys) {
        let Value::Object(members) = &stream.node.value else { return };
        let spoken = Spoken::of(keys.stream.protocol, keys.stream.mqtt.over_ws);
        // With a protocol that is none, nobody knows.
        let is_known = !self.mistakes.iter().any(|mistake| mistake.path() == format!("{path}.protocol"));
        let side = if keys.stream.is_server { Side::Server } else { Side::Client };
        for member in members {
            let Some(key) = STREAM.iter().find(|key| key.name == member.name) else { continue };
            let message = if is_known && !key.is_for(spoken) {
                let those: Vec<_> = key.spoken.iter().map(|spoken| spoken.name()).collect();
                format!("`{}` is for {}, and this stream speaks {}", key.name, those.join(", "), spoken.name())
            } else if key.side != Side::Both && key.side != side && member.node.value != Value::Flag(false) {
                match side {
                    Side::Server => format!("`{}` is for clients, and this stream is a server", key.name),
                    _ => format!("`{}` is for servers: write \"server\": true too", key.name),
                }
            } else if let Some(other) = key.needs.filter(|other| !is_set(members, other)) {
                format!("`{}` needs `{other}` beside it", key.name)
            } else {
                continue;
            };
            self.wrong(MistakeKind::Misplaced, &format!("{path}{}", member.step), member.at, message);
        }
        let both = ["via", "via-socks5"].map(|name| stream.node.value.member(name));
        if let [Some(_), Some(short)] = both {
            self.wrong(
                MistakeKind::Misplaced,
                &format!("{path}{}", short.step),
                short.at,
                "`via` says the same beside it: give one of them",
            );
        }
    }

    pub(super) fn subscription(&mut self, node: &Node, path: &str) -> Option<Subscription> {
        match &node.value {
            Value::Text(_) => self.template(node, path, Place::Filter).map(Subscription::new),
            Value::Object(members) => {
                let (mut filter, mut qos) = (None, None);
                for member in members {
                    let path = format!("{path}{}", member.step);
                    match member.name.as_str() {
                        "filter" => filter = self.template(&member.node, &path, Place::Filter),
                        "qos" => qos = self.number(&member.node, &path, 0, 2, ""),
                        name => self.wrong(
                            MistakeKind::UnknownKey,
                            &path,
                            member.at,
                            format!("no key is called {}{}", shown(name), nearest(name, ["filter", "qos"])),
                        ),
                    }
                }
                if node.value.member("filter").is_none() {
                    self.wrong(MistakeKind::Missing, path, node.at, "`filter` is missing");
                }
                let qos = qos.map(|qos| {
                    [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]
                        [usize::try_from(qos).unwrap_or_default().min(2)]
                });
                Some(Subscription { filter: filter?, qos })
            }
            _ => {
                self.wrong_type(node, path, SUBSCRIPTIONS);
                None
            }
        }
    }

    fn template(&mut self, node: &Node, path: &str, place: Place) -> Option<Template> {
        let Value::Text(text) = &node.value else {
            self.wrong_type(node, path, "a text");
            return None;
        };
        match Template::parse(text, place) {
            Ok(template) => Some(template),
            Err(error) => {
                self.wrong(MistakeKind::WrongValue, path, node.at, format!("not {place}: {error}"));
                None
            }
        }
    }

    fn number(&mut self, node: &Node, path: &str, least: u64, most: u64, unit: &str) -> Option<u64> {
        let space = if unit.is_empty() { "" } else { " " };
        let expected = format!("a whole number from {least} to {most}{space}{unit}");
        let Value::Number(text) = &node.value else {
            self.wrong_type(node, path, &expected);
            return None;
        };
        let number = whole(text).filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.wrong(
                MistakeKind::WrongValue,
                path,
                node.at,
                format!("expected {expected}, and not {}", shown(text).trim_matches('"')),
            );
        }
        number
    }

    /// One text or several, each with its place.
    fn texts(&mut self, node: &Node, path: &str, expected: &str) -> Option<Vec<(At, String)>> {
        match &node.value {
            Value::Text(text) => Some(vec![(node.at, text.clone())]),
            Value::List(nodes) => {
                let mut texts = Vec::new();
                for (index, node) in nodes.iter().enumerate() {
                    match &node.value {
                        Value::Text(text) => texts.push((node.at, text.clone())),
                        _ => self.wrong_type(node, &format!("{path}[{index}]"), "a text"),
                    }
                }
                (texts.len() == nodes.len()).then_some(texts)
            }
            _ => {
                self.wrong_type(node, path, expected);
                None
            }
        }
    }

    /// The members of an object with names, each with its path.
    fn members<'n>(&mut self, node: &'n Node, path: &str, expected: &str) -> Vec<(&'n Member, String)> {
        match &node.value {
            Value::Object(members) => members.iter().map(|member| (member, format!("{path}{}", member.step))).collect(),
            _ => {
                self.wrong_type(node, path, expected);
                Vec::new()
            }
        }
    }

    pub(super) fn wrong_type(&mut self, node: &Node, path: &str, expected: &str) {
        self.wrong(
            MistakeKind::WrongType,
            path,
            node.at,
            format!("expected {expected}, and not {}", node.value.kind()),
        );
    }

    pub(super) fn wrong(&mut self, kind: MistakeKind, path: &str, at: At, message: impl Into<String>) {
        if self.mistakes.len() < MAX_MISTAKES {
            self.mistakes.push(Mistake::new(kind, path, at, message));
        }
    }
}

/// A number without sign, point and exponent, which JSON has without zeros at the front.
fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Whether a key is there, and no `false`.
fn is_set(members: &[Member], name: &str) -> bool {
    members.iter().any(|member| member.name == name && member.node.value != Value::Flag(false))
}

fn one_of(words: &[&str]) -> String {
    let known: BTreeSet<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    known.into_iter().collect::<Vec<_>>().join(", ")
}

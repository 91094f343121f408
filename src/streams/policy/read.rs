//! The ways to read a policy.

use std::path::Path;

use super::check::{check, doubts};
use super::document::Document;
use super::mistake::{Mistake, MistakeKind, PolicyError};
use super::{At, Policy, keys};

impl Policy {
    /// Reads a policy, strictly: whatever is not right is a mistake, and all mistakes are told. Names of files start from the
    /// folder of the process.
    ///
    /// Keys without effect, which are in policies for microcontrollers, are told once each, as warnings in the log; so are filters of MQTT
    /// that overlap.
    ///
    /// # Errors
    ///
    /// All mistakes, each with the path in JSON, the line, and what was expected.
    pub fn read(text: &str) -> Result<Self, PolicyError> {
        Document::parse_leniently(text)?.policy()
    }

    /// As [`read`](Self::read), from a file, from whose folder names of files start.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and when the file cannot be read.
    pub fn read_file(path: impl AsRef<Path>) -> Result<Self, PolicyError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Mistake::new(MistakeKind::Syntax, "$", At::default(), format!("cannot read {}: {error}", path.display()))
        })?;
        Document::parse_leniently(&text)?.policy_in(path.parent().unwrap_or(Path::new("")))
    }

    /// Reads what can be read, and tells what it has passed over: the mistakes that [`read`](Self::read) would tell, and what
    /// it would only log. What was passed over is as if it were not there, but for names that are not defined: a stream that trusts whom nobody
    /// knows is never opened.
    ///
    /// # Errors
    ///
    /// When the text is no JSON.
    pub fn read_leniently(text: &str) -> Result<(Self, Vec<Mistake>), PolicyError> {
        Ok(Document::parse_leniently(text)?.policy_leniently(Path::new("")))
    }

    /// Looks for what makes no sense in a policy that a program has put together, as reading one does.
    ///
    /// # Errors
    ///
    /// All mistakes, without lines.
    pub fn check(&self) -> Result<(), PolicyError> {
        PolicyError::unless_none(check(self, None, &[]))
    }
}

impl Document {
    /// The policy that it is. Names of files start from the folder of the process.
    ///
    /// # Errors
    ///
    /// As [`Policy::read`].
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        self.policy_in(Path::new(""))
    }

    /// As [`policy`](Self::policy), where names of files start from this folder.
    ///
    /// # Errors
    ///
    /// As [`Policy::read`].
    pub fn policy_in(&self, folder: &Path) -> Result<Policy, PolicyError> {
        let (policy, mut reading) = keys::read(self, folder);
        reading.mistakes.extend(check(&policy, Some(self), &reading.mistakes));
        PolicyError::unless_none(reading.mistakes)?;
        reading.notes.extend(doubts(&policy, Some(self)));
        reading.notes.iter().for_each(|note| log::warn!("policy: {note}"));
        Ok(policy)
    }

    /// The policy that can be read, and what was passed over, as [`Policy::read_leniently`] has it.
    pub fn policy_leniently(&self, folder: &Path) -> (Policy, Vec<Mistake>) {
        let (policy, reading) = keys::read(self, folder);
        let senseless = check(&policy, Some(self), &reading.mistakes);
        let mut passed_over = [reading.mistakes, reading.notes, senseless, doubts(&policy, Some(self))].concat();
        passed_over.sort_by_key(Mistake::at);
        (policy, passed_over)
    }
}

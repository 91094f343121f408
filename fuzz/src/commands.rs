//! The onion line protocol of the command.

use crate::protocol::{Command, LINE_LIMIT};

/// What parses prints as the line that it was, and parses again; a refusal is one line.
pub fn commands(input: &[u8]) {
    for line in input.split(|&byte| byte == b'\n') {
        let line = &line[..line.len().min(LINE_LIMIT)];
        match Command::parse(line) {
            Ok(command) => {
                let printed = command.line();
                let again = Command::parse(&printed).expect("what is printed parses");
                assert_eq!(again, command, "{} prints as {}", line.escape_ascii(), printed.escape_ascii());
            }
            Err(refusal) => {
                let reason = refusal.to_string();
                assert!(!reason.is_empty() && !reason.contains(['\r', '\n']), "{reason:?}");
            }
        }
    }
}

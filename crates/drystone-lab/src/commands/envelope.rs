//! What every JSON object of the program begins with.

use serde::Serialize;

use super::measured::command_line;
use crate::error::Failure;
use crate::host::Host;
use crate::results::{SCHEMA, json_text};

#[derive(Serialize)]
struct Envelope<'a, T> {
    schema: &'static str,
    kind: &'a str,
    command: String,
    /// `null` where nothing is random.
    seed: Option<u64>,
    host: Host,
    #[serde(flatten)]
    body: T,
}

/// The JSON text of `body`, whose keys stand beside those of the envelope.
pub(crate) fn text(kind: &str, seed: Option<u64>, body: impl Serialize) -> Result<String, Failure> {
    json_text(&Envelope {
        schema: SCHEMA,
        kind,
        command: command_line(),
        seed,
        host: Host::of_this_machine(),
        body,
    })
}

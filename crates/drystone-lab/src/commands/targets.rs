//! `--with list`: the targets of this build.

use std::process::ExitCode;

use serde_json::json;

use super::{envelope, print};
use crate::error::Failure;
use crate::lab::Lab;
use crate::targets::not_included;

/// Whether the option asks for the list.
pub(crate) fn asked(with: &[String]) -> bool {
    with.iter().any(|name| name == "list")
}

pub(crate) fn list(lab: &Lab, as_json: bool) -> Result<ExitCode, Failure> {
    let all = lab
        .contestants()
        .iter()
        .map(|contestant| &contestant.description);
    if as_json {
        let targets: Vec<_> = all
            .map(|d| {
                json!({
                    "name": d.name, "about": d.about, "version": d.version, "flags": d.flags,
                    "role": d.role.name(),
                })
            })
            .collect();
        let missing: Vec<_> = not_included()
            .iter()
            .map(|(name, reason)| json!({ "name": name, "reason": reason }))
            .collect();
        let all = json!({ "targets": targets, "not_included": missing });
        print(&envelope::text("targets", None, all)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for d in all {
        text += &format!("{:<19} {} ({})\n", d.name, d.about, d.version);
    }
    for (name, reason) in not_included() {
        text += &format!("{name:<19} not in this build: {reason}\n");
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

//! `drystone synth`: writes a synthetic trace.

use std::process::ExitCode;

use drystone_trace::synth::Scenario;
use serde_json::json;

use super::print;
use crate::cli::SynthArgs;
use crate::error::Failure;
use crate::results::{SCHEMA, json_text};
use crate::text::grouped;

pub(crate) fn run(args: &SynthArgs) -> Result<ExitCode, Failure> {
    if args.scenario == "list" {
        return list(args.json);
    }
    let scenario = Scenario::from_name(&args.scenario).ok_or_else(|| {
        Failure::usage(
            format!("--scenario: there is no scenario {:?}", args.scenario),
            "`drystone synth --scenario list` prints them",
        )
    })?;
    let path = args
        .output
        .as_ref()
        .ok_or_else(|| Failure::usage("synth needs a file to write", "name it with `-o FILE`"))?;
    let trace = scenario.generate(args.seed, args.records);
    let name = path.display().to_string();
    std::fs::write(path, trace.to_bytes())
        .map_err(|e| Failure::io(&name, "cannot write it", &e))?;
    let records = trace.records().len();
    if args.json {
        print(&json_text(&json!({
            "schema": SCHEMA,
            "kind": "synth",
            "scenario": scenario.name(),
            "seed": args.seed,
            "records": records,
            "output": name,
        }))?)?;
    } else {
        print(&format!(
            "{name}: {} records of {}\n",
            grouped(records as u64),
            scenario.name()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(as_json: bool) -> Result<ExitCode, Failure> {
    if as_json {
        let all: Vec<_> = Scenario::ALL
            .iter()
            .map(|scenario| json!({ "name": scenario.name(), "about": scenario.about() }))
            .collect();
        print(&json_text(
            &json!({ "schema": SCHEMA, "kind": "scenarios", "scenarios": all }),
        )?)?;
    } else {
        let lines = Scenario::ALL.map(|s| format!("{:<24} {}\n", s.name(), s.about()));
        print(&lines.concat())?;
    }
    Ok(ExitCode::SUCCESS)
}

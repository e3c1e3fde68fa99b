//! `drystone synth`: writes a synthetic trace.

use std::path::Path;
use std::process::ExitCode;

use drystone_trace::synth::Scenario;
use serde_json::json;

use super::{envelope, print, print_bytes};
use crate::cli::SynthArgs;
use crate::error::Failure;
use crate::text::{grouped, printable};

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
    let to_stdout = path == Path::new("-");
    if to_stdout && args.json {
        return Err(Failure::usage(
            "standard output cannot hold the trace and --json",
            "write the trace to a file, or leave --json out",
        ));
    }
    let trace = scenario.generate(args.seed, args.records);
    if to_stdout {
        return print_bytes(&trace.to_bytes()).map(|()| ExitCode::SUCCESS);
    }
    let name = printable(&path.display().to_string());
    std::fs::write(path, trace.to_bytes())
        .map_err(|e| Failure::io(&name, "cannot write it", &e))?;
    let records = trace.records().len();
    if args.json {
        let written = json!({
            "scenario": scenario.name(),
            "records": records,
            "output": name,
        });
        print(&envelope::text("synth", Some(args.seed), written)?)?;
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
        print(&envelope::text(
            "scenarios",
            None,
            json!({ "scenarios": all }),
        )?)?;
    } else {
        let lines = Scenario::ALL.map(|s| format!("{:<24} {}\n", s.name(), s.about()));
        print(&lines.concat())?;
    }
    Ok(ExitCode::SUCCESS)
}

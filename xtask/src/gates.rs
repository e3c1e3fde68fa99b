//! Running a list of checks to its end and saying how each one went.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::workspace::Workspace;

/// One check of a run.
pub(crate) struct Gate {
    pub(crate) name: &'static str,
    /// The command that runs this gate alone.
    pub(crate) command: &'static str,
    pub(crate) run: fn(&Workspace) -> Result<(), Failure>,
}

/// Which gates of a list are wanted.
pub(crate) struct Selection {
    /// Empty means all.
    pub(crate) only: Vec<String>,
    pub(crate) skip: Vec<String>,
    /// A gate that cannot run counts as failed.
    pub(crate) strict: bool,
}

struct Outcome {
    name: &'static str,
    result: Result<(), Failure>,
    time: Duration,
}

/// Runs the selected gates, all of them whatever their outcomes, and prints a table.
pub(crate) fn run(
    gates: &[Gate],
    selection: &Selection,
    workspace: &Workspace,
) -> Result<(), Failure> {
    let selected = select(gates, selection)?;
    let outcomes: Vec<Outcome> = selected
        .iter()
        .map(|gate| run_one(gate, workspace))
        .collect();
    println!("\n{}", table(&outcomes));
    verdict(&outcomes, selection.strict)
}

fn select<'g>(gates: &'g [Gate], selection: &Selection) -> Result<Vec<&'g Gate>, Failure> {
    for name in selection.only.iter().chain(&selection.skip) {
        if !gates.iter().any(|gate| gate.name == name) {
            return Err(Failure::usage(format!(
                "there is no gate `{name}`; --list shows them"
            )));
        }
    }
    let wanted = |gate: &&Gate| {
        let named = |names: &[String]| names.iter().any(|name| name == gate.name);
        (selection.only.is_empty() || named(&selection.only)) && !named(&selection.skip)
    };
    Ok(gates.iter().filter(wanted).collect())
}

fn run_one(gate: &Gate, workspace: &Workspace) -> Outcome {
    println!("\n=== gate {}: {}", gate.name, gate.command);
    let start = Instant::now();
    let result = (gate.run)(workspace);
    let outcome = Outcome {
        name: gate.name,
        result,
        time: start.elapsed(),
    };
    let seconds = outcome.time.as_secs_f64();
    match &outcome.result {
        Ok(()) => println!("=== gate {}: ok in {seconds:.1} s", gate.name),
        Err(failure) => println!("=== gate {}: {failure} ({seconds:.1} s)", gate.name),
    }
    outcome
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!("{:<18} {:<8} {:>8}\n", "gate", "outcome", "seconds");
    for Outcome { name, result, time } in outcomes {
        let word = match result {
            Ok(()) => "ok",
            Err(Failure::Unavailable(_)) => "not run",
            Err(_) => "FAILED",
        };
        text += &format!("{name:<18} {word:<8} {:>8.1}\n", time.as_secs_f64());
    }
    let total: Duration = outcomes.iter().map(|outcome| outcome.time).sum();
    text + &format!("{:<18} {:<8} {:>8.1}", "total", "", total.as_secs_f64())
}

fn verdict(outcomes: &[Outcome], strict: bool) -> Result<(), Failure> {
    for outcome in outcomes {
        if let Err(Failure::Unavailable(reason)) = &outcome.result {
            println!("gate {} was not run: {reason}", outcome.name);
        }
    }
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| match outcome.result {
            Ok(()) => false,
            Err(Failure::Unavailable(_)) => strict,
            Err(_) => true,
        })
        .map(|outcome| outcome.name)
        .collect();
    match failed.len() {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "failed gates: {}",
            failed.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATES: &[Gate] = &[
        Gate {
            name: "a",
            command: "a",
            run: |_| Ok(()),
        },
        Gate {
            name: "b",
            command: "b",
            run: |_| Ok(()),
        },
    ];

    fn selection(only: &[&str], skip: &[&str]) -> Selection {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Selection {
            only: owned(only),
            skip: owned(skip),
            strict: false,
        }
    }

    fn names(only: &[&str], skip: &[&str]) -> Vec<&'static str> {
        let selected = select(GATES, &selection(only, skip));
        selected.unwrap().iter().map(|gate| gate.name).collect()
    }

    fn outcome(name: &'static str, result: Result<(), Failure>) -> Outcome {
        Outcome {
            name,
            result,
            time: Duration::from_secs(1),
        }
    }

    #[test]
    fn selects_by_name_and_skips() {
        assert_eq!(names(&[], &[]), ["a", "b"]);
        assert_eq!(names(&["b"], &[]), ["b"]);
        assert_eq!(names(&[], &["a"]), ["b"]);
        assert!(matches!(
            select(GATES, &selection(&["c"], &[])),
            Err(Failure::Usage(_))
        ));
        assert!(matches!(
            select(GATES, &selection(&[], &["c"])),
            Err(Failure::Usage(_))
        ));
    }

    #[test]
    fn one_failed_gate_fails_the_run_and_is_named() {
        let outcomes = [
            outcome("a", Ok(())),
            outcome("b", Err(Failure::failed("x"))),
            outcome("c", Err(Failure::unavailable("y"))),
        ];
        assert_eq!(
            verdict(&outcomes, false),
            Err(Failure::failed("failed gates: b"))
        );
        assert_eq!(
            verdict(&outcomes, true),
            Err(Failure::failed("failed gates: b, c"))
        );
        assert_eq!(verdict(&outcomes[..1], true), Ok(()));
        let table = table(&outcomes);
        for word in ["ok", "FAILED", "not run", "3.0"] {
            assert!(table.contains(word), "{word} in\n{table}");
        }
    }
}

//! `drystone compare OLD.json NEW.json` from outside, and what it takes to call a difference one.

mod support;

use serde_json::Value;
use support::{code, drystone, file, json, stdout, text, tiny};

/// Results of a real run with its speeds multiplied.
fn scaled(results: &Value, factor: f64) -> Vec<u8> {
    let mut results = results.clone();
    for row in results["traces"][0]["rows"].as_array_mut().unwrap() {
        row["throughput"]["rounds_ops_per_s"] = [99.0, 100.0, 101.0]
            .map(|rate| rate * factor * 1e4)
            .to_vec()
            .into();
    }
    results["traces"][0]["noise"]["floor_ratio"] = 0.01.into();
    serde_json::to_vec(&results).unwrap()
}

#[test]
fn the_gate_lets_pass_what_is_not_worse() {
    let path = file("gate.satrace", &tiny().to_bytes());
    let output = drystone(&[
        "replay",
        text(&path),
        "--rounds",
        "1",
        "--json",
        "--with",
        "system",
    ]);
    let results = json(&output);
    let old = file("gate-old.json", &scaled(&results, 1.0));
    let slower = file("gate-slower.json", &scaled(&results, 0.8));
    let faster = file("gate-faster.json", &scaled(&results, 1.3));
    assert_eq!(code(&drystone(&["compare", text(&old), text(&old)])), 0);
    assert_eq!(code(&drystone(&["compare", text(&old), text(&faster)])), 0);
    assert_eq!(code(&drystone(&["compare", text(&old), text(&slower)])), 1);
    let lenient = ["compare", text(&old), text(&slower), "--threshold", "30%"];
    assert_eq!(code(&drystone(&lenient)), 0);
    let gate = json(&drystone(&["compare", text(&old), text(&slower), "--json"]));
    assert_eq!(
        (&gate["kind"], &gate["regressions"]),
        (&"gate".into(), &1.into())
    );
    let mixed = drystone(&["compare", text(&old), text(&path)]);
    assert_eq!(code(&mixed), 2);
    let damaged = file("gate-damaged.json", b"{\"schema\": 1}");
    assert_eq!(code(&drystone(&["compare", text(&old), text(&damaged)])), 3);
}

/// The results of a short real run, as a gate reads them.
fn measured(name: &str) -> Value {
    let path = file(&format!("{name}.satrace"), &tiny().to_bytes());
    let arguments = ["--rounds", "1", "--json", "--with", "system,size-classed"];
    let output = drystone(&[&["replay", text(&path)], &arguments[..]].concat());
    assert_eq!(code(&output), 0, "{output:?}");
    let results = serde_json::from_slice(&scaled(&json(&output), 1.0));
    results.unwrap()
}

/// Exit code, JSON and complaint of the gate on two results.
fn gate(name: &str, old: &Value, new: &Value) -> (i32, Value, String) {
    let [old, new] = [("old", old), ("new", new)].map(|(age, results)| {
        file(
            &format!("{name}-{age}.json"),
            &serde_json::to_vec(results).unwrap(),
        )
    });
    let output = drystone(&["compare", text(&old), text(&new), "--json"]);
    let complaint = String::from_utf8(output.stderr.clone()).unwrap();
    let said = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (code(&output), said, complaint)
}

#[test]
fn the_gate_sees_a_slowdown_beyond_a_noise_of_100_percent_and_is_not_silent_below() {
    let old = measured("gate-noise");
    let slower = |factor: f64| {
        let mut new: Value = serde_json::from_slice(&scaled(&old, factor)).unwrap();
        new["traces"][0]["noise"]["floor_ratio"] = 1.5.into();
        new
    };
    let (code_far, far, complaint) = gate("gate-noise-far", &old, &slower(0.2));
    assert_eq!(code_far, 1, "{far}");
    assert_eq!(far["rows"][0]["speed"], "slower");
    assert!(
        complaint.contains("gate-noise: system (worse)"),
        "{complaint}"
    );
    let (code_near, near, _) = gate("gate-noise-near", &old, &slower(0.7));
    assert_eq!((code_near, &near["too_noisy"]), (0, &2.into()), "{near}");
    assert_eq!(near["rows"][0]["speed"], "too_noisy");
    let files = ["gate-noise-near-old.json", "gate-noise-near-new.json"];
    let shown = stdout(&drystone(&["compare", files[0], files[1]]));
    assert!(
        shown.ends_with("2 rows: 0 worse, 2 too noisy to judge\n"),
        "{shown}"
    );
}

#[test]
fn the_gate_matches_traces_by_name_and_figures() {
    let mut old = measured("gate-twins");
    let twin = |results: &Value, records: u64, factor: f64| {
        let scaled: Value = serde_json::from_slice(&scaled(results, factor)).unwrap();
        let mut trace = scaled["traces"][0].clone();
        trace["figures"]["records"] = records.into();
        trace
    };
    let (first, second) = (twin(&old, 300, 1.0), twin(&old, 999, 0.5));
    old["traces"] = vec![first.clone(), second.clone()].into();
    let mut swapped = old.clone();
    swapped["traces"] = vec![second, first.clone()].into();
    let (same, said, complaint) = gate("gate-twins-same", &old, &swapped);
    assert_eq!(
        (same, said["rows"].as_array().unwrap().len()),
        (0, 4),
        "{complaint}"
    );
    let mut other = old.clone();
    let third = twin(&old, 1000, 1.0);
    other["traces"] = vec![first, third].into();
    let (lost, said, complaint) = gate("gate-twins-other", &old, &other);
    assert_eq!((lost, &said["lost"]), (1, &2.into()), "{said}");
    let why = said["rows"][2]["lost"].as_str().unwrap();
    assert!(why.contains("999 records"), "{why}");
    assert!(
        complaint.contains("gate-twins: system (lost)"),
        "{complaint}"
    );
}

#[test]
fn what_vanished_from_the_new_results_is_lost() {
    let old = measured("gate-lost");
    let mut new = old.clone();
    new["traces"][0]["rows"].as_array_mut().unwrap().remove(1);
    let (lost, said, complaint) = gate("gate-lost-target", &old, &new);
    assert_eq!((lost, &said["lost"]), (1, &1.into()));
    assert!(
        complaint.contains("gate-lost: size-classed (lost)"),
        "{complaint}"
    );
    let mut new = old.clone();
    new["traces"] = Vec::<Value>::new().into();
    assert_eq!(gate("gate-lost-trace", &old, &new).0, 1);
    let mut new = old.clone();
    new["traces"][0]["rows"][0]["throughput"] = Value::Null;
    assert_eq!(gate("gate-lost-figure", &old, &new).0, 1);
    assert_eq!(gate("gate-lost-added", &new, &old).0, 0);
}

#[test]
fn the_gate_refuses_results_of_other_settings_and_names_the_setting() {
    let old = measured("gate-settings");
    let others: [(&str, &str, Value); 5] = [
        ("--align", "align", "rust".into()),
        ("--touch", "touch", "none".into()),
        ("--mode", "mode", "step".into()),
        ("--threads", "threads", "1".into()),
        ("--skew", "skew_records", 7.into()),
    ];
    for (option, key, value) in others {
        let mut new = old.clone();
        new["settings"][key] = value;
        let (usage, _, complaint) = gate("gate-settings", &old, &new);
        assert_eq!(usage, 2, "{option}: {complaint}");
        assert!(complaint.contains(option), "{complaint}");
    }
}

#[test]
fn too_few_rounds_give_no_interval_and_no_verdict() {
    let mut old = measured("few-rounds");
    let mut new: Value = serde_json::from_slice(&scaled(&old, 0.1)).unwrap();
    for results in [&mut old, &mut new] {
        for row in results["traces"][0]["rows"].as_array_mut().unwrap() {
            let rates = row["throughput"]["rounds_ops_per_s"].as_array_mut();
            rates.unwrap().truncate(2);
        }
    }
    let (passed, said, _) = gate("few-rounds", &old, &new);
    assert_eq!((passed, &said["too_few_rounds"]), (0, &2.into()), "{said}");
    assert_eq!(said["rows"][0]["speed"], "too_few_rounds");
    assert!(said["rows"][0]["throughput"]["low_ratio"].is_null());
    let path = file("few-rounds-live.satrace", &tiny().to_bytes());
    let shown = |rounds| {
        let arguments = ["--rounds", rounds, "--with", "system,bump,size-classed"];
        stdout(&drystone(
            &[&["replay", text(&path)], &arguments[..]].concat(),
        ))
    };
    let two = shown("2");
    assert!(two.contains("noise not measured"), "{two}");
    assert!(two.contains("too few rounds for an interval"), "{two}");
    let bump = two.lines().find(|line| line.starts_with("bump")).unwrap();
    let cells: Vec<&str> = bump.split_whitespace().collect();
    assert_eq!(cells[3..5], ["-", "-"], "{bump}");
    let three = shown("3");
    assert!(!three.contains("too few rounds"), "{three}");
    assert!(three.contains("a ceiling for speed"), "{three}");
}

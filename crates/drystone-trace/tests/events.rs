//! Events between the operations: every form that has them gives them back.

use drystone_trace::{EventKind, Sample, Trace};
use proptest::prelude::*;

const TEXT: &str = "satrace-dump 1\n\
    threads 1\n\
    objects 1\n\
    records 2\n\
    timed 1\n\
    events 7\n\
    # thread operation object size align nanoseconds\n\
    0 thread-start 0\n\
    - fork 1\n\
    0 allocate 0 100 16 5\n\
    0 mark =tables%20are%0aloaded%25 5\n";

fn text() -> String {
    TEXT.replace("%0a", "%c2%a0")
        + "- sample 4096 2048 1024 7\n\
           - gap 18446744073709551615 8\n\
           0 free 0 100 9\n\
           0 mark = 9\n\
           0 thread-exit 18446744073709551615\n"
}

fn dump(trace: &Trace) -> String {
    let mut bytes = Vec::new();
    trace
        .write_dump(&mut bytes)
        .expect("writing to memory succeeds");
    String::from_utf8(bytes).expect("a dump is text")
}

#[test]
fn every_event_comes_back() {
    let trace = Trace::parse_dump(&text()).expect("a dump");
    let kinds: Vec<_> = trace.events().iter().map(|event| &event.kind).collect();
    let name = "tables are\u{a0}loaded%".to_owned();
    let sample = Sample {
        rss_bytes: 4096,
        pss_bytes: 2048,
        lazy_free_bytes: 1024,
    };
    let expected = [
        &EventKind::ThreadStart,
        &EventKind::Fork,
        &EventKind::Mark(name),
        &EventKind::Sample(sample),
        &EventKind::Gap { lost: u64::MAX },
        &EventKind::Mark(String::new()),
        &EventKind::ThreadExit,
    ];
    assert_eq!(kinds, expected);
    assert_eq!(trace.lost(), u64::MAX);
    let positions: Vec<_> = trace.events().iter().map(|event| event.position).collect();
    assert_eq!(positions, [0, 0, 1, 1, 1, 2, 2]);
    assert_eq!(dump(&trace), text());
    let file = trace.to_dst();
    assert_eq!(Trace::from_bytes(&file).expect("a trace"), trace);
}

#[test]
fn what_no_event_is_is_refused_with_its_line() {
    // The interpreter takes a second for each.
    let cases = if cfg!(miri) { 2 } else { usize::MAX };
    let damages = [
        ("0 thread-start 0", "9 thread-start 0", 8),
        ("0 thread-start 0", "x thread-start 0", 8),
        ("0 thread-start 0", "0 thread-start", 8),
        ("- fork 1", "- fork 1 2", 9),
        ("- fork 1", "- allocate 0 100 16 1", 9),
        ("=tables", "tables", 11),
        ("%20are", "%2", 11),
        ("%20", "%+1", 11),
        ("%20", "%0a", 11),
        ("sample 4096 2048", "sample 4096", 12),
        ("gap 18446744073709551615", "gap 18446744073709551616", 13),
        ("2048 1024 7", "2048 1024 4", 12),
        ("events 7", "events 8", 16),
        ("events 7\n", "", 15),
    ];
    for (from, to, line) in damages.into_iter().take(cases) {
        let damaged = text().replacen(from, to, 1);
        assert_ne!(damaged, text());
        let error = Trace::parse_dump(&damaged).expect_err(to);
        assert_eq!(error.line(), Some(line), "{to}: {error}");
    }
    // A fault of a record is found behind events.
    let error = Trace::parse_dump(&text().replace("0 free 0 100", "0 free 0 99"));
    assert_eq!(error.expect_err("another size").line(), Some(14));
}

#[test]
fn times_that_are_put_on_are_those_of_the_records() {
    let trace = Trace::parse_dump(&text()).expect("a dump");
    let trace = trace.with_times_ns(vec![3, 4]).expect("rising");
    let times: Vec<_> = trace.events().iter().map(|event| event.time_ns).collect();
    assert_eq!(times, [0, 0, 3, 3, 3, 4, 4]);
    assert_eq!(Trace::parse_dump(&dump(&trace)).expect("a dump"), trace);
}

/// The lines of an event of any kind.
fn event() -> impl Strategy<Value = String> {
    let number = any::<u64>();
    prop_oneof![
        Just("thread-start".to_owned()),
        Just("thread-exit".to_owned()),
        Just("fork".to_owned()),
        number.prop_map(|lost| format!("gap {lost}")),
        (number, number, number).prop_map(|(a, b, c)| format!("sample {a} {b} {c}")),
        "[a-zA-Z0-9äß€]{0,50}".prop_map(|name| format!("mark ={name}")),
        Just("mark =%20%25%20%e2%80%a9".to_owned()),
    ]
}

const LINES: usize = if cfg!(miri) { 6 } else { 40 };

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn operations_and_events_in_any_order_come_back(
        lines in proptest::collection::vec((event(), any::<bool>(), 0_u8..5, 0_u64..1 << 40), 0..LINES),
        timed in any::<bool>(),
    ) {
        let mut body = String::new();
        let (mut objects, mut records, mut events, mut now) = (0, 0, 0, 0_u64);
        let mut live = Vec::new();
        for (event, by_nobody, operation, step) in lines {
            now += step;
            let time = if timed { format!(" {now}") } else { String::new() };
            let size = step % 5000;
            let line = match (operation, live.last().copied()) {
                (0, _) | (3 | 4, None) => {
                    live.push((objects, size));
                    objects += 1;
                    format!("0 allocate {} {size} 8", objects - 1)
                }
                (3, Some((object, _))) => {
                    live.pop();
                    live.push((object, size));
                    format!("0 reallocate {object} {size} 16")
                }
                (4, Some((object, last))) => {
                    live.pop();
                    format!("0 free {object} {last}")
                }
                _ => {
                    events += 1;
                    let thread = if by_nobody { "-" } else { "0" };
                    body += &format!("{thread} {event}{time}\n");
                    continue;
                }
            };
            records += 1;
            body += &format!("{line}{time}\n");
        }
        // A thread has a record.
        if records == 0 {
            body = body.replace("\n0 ", "\n- ");
            if body.starts_with("0 ") {
                body.replace_range(..1, "-");
            }
        }
        let threads = u32::from(records > 0);
        let timed = if timed { "timed 1\n" } else { "" };
        let counted = if events > 0 { format!("events {events}\n") } else { String::new() };
        let text = format!(
            "satrace-dump 1\nthreads {threads}\nobjects {objects}\nrecords {records}\n{timed}{counted}{body}"
        );
        let trace = Trace::parse_dump(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(trace.events().len(), events);
        let back = Trace::from_bytes(&trace.to_dst());
        prop_assert_eq!(&back.map_err(|e| TestCaseError::fail(e.to_string()))?, &trace);
        let again = Trace::parse_dump(&dump(&trace));
        prop_assert_eq!(&again.map_err(|e| TestCaseError::fail(e.to_string()))?, &trace);
    }
}

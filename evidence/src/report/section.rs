//! The generated parts of the report, in Markdown, by their names in the template.

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use std::fmt::Write;

use crate::{
    ci::{picture::time, record::CiRecord},
    folder::{Evidence, Run},
    manifest::{Manifest, Outcome, Verdict},
    record::{AlertRecord, Delivery},
    timeline::Stage,
};

/// Returns the part `name`.
///
/// # Errors
/// If there is none of that name.
pub(super) fn write(name: &str, run: &Run, manifest: &Manifest) -> Result<String> {
    if let Some(alert) = name.strip_prefix("alert ") {
        return driven(alert, run, manifest);
    }
    match name {
        "run" => Ok(made_with(manifest)),
        "results" => Ok(results(manifest)),
        "baseline" => baseline(run, manifest),
        "reproduce" => Ok(reproduce(run)),
        "ci" => Ok(ci(run)),
        "artifacts" => Ok(artifacts(manifest)),
        _ => bail!("there is no such part"),
    }
}

fn made_with(manifest: &Manifest) -> String {
    let versions = &manifest.versions;
    let host = &manifest.host;
    let changed = if manifest.clean {
        "the tree as committed"
    } else {
        "**with changes that are not committed**"
    };
    let variants: Vec<_> = manifest.rules.iter().map(|file| &*file.variant).collect();
    let mut rows = vec![
        ("Commit", format!("`{}`, {changed}", manifest.commit)),
        (
            "Component",
            format!(
                "`{}`, SHA-256 `{}`",
                manifest.component.file, manifest.component.sha256
            ),
        ),
        ("metrics-host", code(&versions.metrics_host)),
        ("Prometheus", code(&versions.prometheus)),
        ("Alertmanager", code(&versions.alertmanager)),
        (
            "Chromium",
            versions
                .chromium
                .as_deref()
                .map_or("none: no pages were pictured".into(), code),
        ),
        ("Rust", code(&versions.rustc)),
        (
            "Machine",
            format!(
                "{} cores, {:.1} GiB of memory, {} on kernel {}",
                host.cores,
                host.memory_bytes as f64 / f64::from(1 << 30),
                host.architecture,
                host.kernel
            ),
        ),
    ];
    let mut rules = variants;
    rules.dedup();
    rows.push((
        "Rules",
        format!(
            "variant {}: digests in [manifest.json](manifest.json)",
            rules.join(", ")
        ),
    ));
    let mut text = table(&["", "what was run"]);
    for (name, value) in rows {
        row(&mut text, &[name, &value]);
    }
    text
}

fn results(manifest: &Manifest) -> String {
    let mut text = table(&[
        "scenario",
        "alert",
        "pending",
        "firing",
        "notified",
        "resolved",
        "told of its end",
        "sent",
        "answered",
        "counted",
        "difference",
        "verdict",
    ]);
    for outcome in &manifest.results {
        let stage = |stage| match outcome.stage(stage) {
            Some(passed) => format!("{:.1} s", passed.seconds),
            None => "–".to_owned(),
        };
        row(
            &mut text,
            &[
                &format!("`{}`", outcome.scenario),
                outcome.alert.as_deref().unwrap_or("–"),
                &stage(Stage::Pending),
                &stage(Stage::Firing),
                &stage(Stage::Notified),
                &stage(Stage::Resolved),
                &stage(Stage::NotifiedOfEnd),
                &outcome.sent.to_string(),
                &outcome.answered.to_string(),
                &outcome.counted.to_string(),
                &outcome.difference.to_string(),
                verdict(outcome),
            ],
        );
    }
    text
}

fn verdict(outcome: &Outcome) -> &'static str {
    match outcome.verdict {
        Verdict::Proven => "**proven**",
        Verdict::NotProven => "**not proven**",
    }
}

fn driven(alert: &str, run: &Run, manifest: &Manifest) -> Result<String> {
    let Some(evidence) = run.driving(alert) else {
        return Ok("Not driven in this run.\n".to_owned());
    };
    let record = &evidence.record;
    let found = record.alert.as_ref().context("it was found by its alert")?;
    let outcome = manifest.outcome(&record.scenario);
    let outcome = outcome.context("every scenario has an outcome")?;
    let labels: Vec<_> = found
        .labels
        .iter()
        .map(|(name, value)| format!("`{name}=\"{value}\"`"))
        .collect();
    let mut text = format!(
        "- **Expression**, as Prometheus had it loaded:\n\n  ```promql\n{}\n  ```\n\n\
         - **For**: {} s. **Labels**: {}.\n- **Driven by**: {}.\n\n",
        indented(&found.query),
        found.for_seconds,
        labels.join(", "),
        record.traffic,
    );
    text += &timeline(found, outcome);
    text += &pictures(evidence);
    text += &told(found, &evidence.deliveries);
    text += &counts(outcome);
    Ok(text)
}

fn timeline(alert: &AlertRecord, outcome: &Outcome) -> String {
    let mut text = table(&["stage", "seen at (UTC)", "after"]);
    for passed in &outcome.stages {
        let after = format!("{:.1} s", passed.seconds);
        row(&mut text, &[&passed.stage, &clock(passed.at), &after]);
    }
    let held = outcome
        .stage(Stage::Firing)
        .zip(outcome.stage(Stage::Pending))
        .map(|(firing, pending)| firing.seconds - pending.seconds);
    if let Some(held) = held {
        _ = writeln!(
            text,
            "\nIt was seen pending for {held:.1} s, to the moment of a look; its rule asks for {} s.",
            alert.for_seconds
        );
    }
    text + "\n"
}

fn pictures(evidence: &Evidence) -> String {
    let record = &evidence.record;
    let scenario = &record.scenario;
    let mut text = String::new();
    if evidence.graph.is_some() {
        _ = writeln!(
            text,
            "![What the expression came to, with its threshold and the stages of the alert]({scenario}/query.svg)\n"
        );
    }
    if !record.pictures.is_empty() {
        let pictures = record.pictures.iter();
        let heads: Vec<_> = pictures
            .clone()
            .map(|picture| picture.shows.as_str())
            .collect();
        text += &table(&heads);
        let thumbnails = pictures.map(|picture| {
            let file = format!("{scenario}/{}", picture.file);
            format!("[![{}]({file})]({file})", picture.shows.replace('`', ""))
        });
        let thumbnails: Vec<_> = thumbnails.collect();
        let cells: Vec<_> = thumbnails.iter().map(String::as_str).collect();
        row(&mut text, &cells);
        text.push('\n');
    }
    text
}

/// Says what Alertmanager posted of the alert.
fn told(alert: &AlertRecord, deliveries: &[Delivery]) -> String {
    let mut text = table(&[
        "delivered at (UTC)",
        "status",
        "startsAt",
        "endsAt",
        "summary",
    ]);
    for delivery in deliveries {
        let alerts = delivery.payload["alerts"].as_array();
        for told in alerts.into_iter().flatten() {
            if told["labels"]["alertname"] != alert.name.as_str() {
                continue;
            }
            let field =
                |value: &serde_json::Value| value.as_str().unwrap_or("–").replace('|', "\\|");
            let ended = told["status"] == "resolved";
            row(
                &mut text,
                &[
                    &clock(delivery.at),
                    &field(&told["status"]),
                    &field(&told["startsAt"]),
                    &if ended {
                        field(&told["endsAt"])
                    } else {
                        "–".into()
                    },
                    &field(&told["annotations"]["summary"]),
                ],
            );
        }
    }
    text + "\n"
}

fn counts(outcome: &Outcome) -> String {
    format!(
        "{} requests sent, {} answered, {} counted by the service: a difference of **{}**. {}\n",
        outcome.sent,
        outcome.answered,
        outcome.counted,
        outcome.difference,
        files(&outcome.scenario)
    )
}

fn files(scenario: &str) -> String {
    let link = |file: &str| format!("[{file}]({scenario}/{file})");
    format!(
        "Raw files: {}, {}, {}, {}, {}, {}.",
        link("record.json"),
        link("metrics-before.txt"),
        link("metrics-after.txt"),
        link("samples.json"),
        link("query.json"),
        link("notifications.json")
    )
}

fn baseline(run: &Run, manifest: &Manifest) -> Result<String> {
    let mut found = run
        .scenarios
        .iter()
        .filter(|evidence| evidence.record.alert.is_none());
    let Some(evidence) = found.next() else {
        return Ok("Not part of this run.\n".to_owned());
    };
    let record = &evidence.record;
    let outcome = manifest.outcome(&record.scenario);
    let outcome = outcome.context("every scenario has an outcome")?;
    let mut text = format!(
        "{}: {} requests sent, {} answered, {} counted, a difference of **{}**.\n\n",
        record.traffic, outcome.sent, outcome.answered, outcome.counted, outcome.difference
    );
    text += &table(&[
        "method",
        "endpoint",
        "status",
        "answers read by the client",
        "gained by `app_requests_total`",
    ]);
    for kind in record.answered.kinds() {
        let count = |tally: &crate::tally::Tally| tally.count(|other| other == kind).to_string();
        row(
            &mut text,
            &[
                &kind.method,
                &format!("`{}`", kind.endpoint),
                &kind.status,
                &count(&record.answered),
                &count(&record.counted),
            ],
        );
    }
    text.push('\n');
    if !record.watched.is_empty() {
        let watched: Vec<_> = record.watched.iter().map(|alert| &*alert.name).collect();
        _ = writeln!(
            text,
            "These stayed inactive meanwhile: {}.\n",
            watched.join(", ")
        );
    }
    text += &pictures(evidence);
    _ = writeln!(text, "{}", files(&record.scenario));
    Ok(text)
}

fn reproduce(run: &Run) -> String {
    let mut text = "```sh\n".to_owned();
    for evidence in &run.scenarios {
        let record = &evidence.record;
        let minutes = (record.ended.as_second() - record.started.as_second())
            .max(0)
            .unsigned_abs();
        let arguments = match record.arguments.join(" ") {
            // They may begin with the scenario's name, or not.
            arguments if arguments.starts_with(&record.scenario) => arguments,
            arguments => format!("{} {arguments}", record.scenario),
        };
        _ = writeln!(text, "# {}; took {} here", record.traffic, time(minutes));
        _ = writeln!(
            text,
            "cargo run --release -p evidence -- {}",
            arguments.trim()
        );
    }
    text + "```\n"
}

fn ci(run: &Run) -> String {
    let Some(record) = &run.ci else {
        return "The pipeline was not run with this evidence: `make evidence-ci` does.\n"
            .to_owned();
    };
    let commit = record.commit.get(..12).unwrap_or(&record.commit);
    let took = record.ended.as_second() - record.started.as_second();
    let mut text = format!(
        "Run at commit `{commit}`{}, in {}.\n\n",
        if record.clean {
            ""
        } else {
            " **with changes that are not committed**"
        },
        time(took.max(0).unsigned_abs())
    );
    let picture = if record.pipeline_passed() {
        "CI-success.svg"
    } else {
        "CI-pipeline.svg"
    };
    text += &format!("![The steps of the pipeline, with their results](ci/{picture})\n\n");
    text += &table(&["step", "result", "time", "log"]);
    for step in &record.steps {
        let seconds = step.seconds.map_or("–".to_owned(), time);
        row(
            &mut text,
            &[
                &format!("`make {}`", step.step),
                &step.result.replace('|', "\\|"),
                &seconds,
                &log(step.log.as_deref()),
            ],
        );
    }
    text += &planted(record);
    text
}

fn planted(record: &CiRecord) -> String {
    if record.faults.is_empty() {
        return "\nNo fault was planted.\n".to_owned();
    }
    let mut text = String::from(
        "\nEach gate of the pipeline was given a tree with one fault that it is there for:\n\n",
    );
    if record.faults.iter().any(|fault| fault.stopped) {
        text += "![Planted faults, and the gates that stopped them](ci/CI-failed.svg)\n\n";
    }
    text += &table(&[
        "fault for",
        "stopped by that gate alone",
        "time of all gates",
        "what the gate said",
    ]);
    for fault in &record.faults {
        let stopped = if fault.stopped { "yes" } else { "**no**" };
        row(
            &mut text,
            &[
                &format!("`{}`", fault.fault),
                stopped,
                &time(fault.seconds),
                &log(fault.log.as_deref()),
            ],
        );
    }
    text
}

fn log(file: Option<&str>) -> String {
    file.map_or("–".to_owned(), |file| format!("[{file}](ci/{file})"))
}

fn artifacts(manifest: &Manifest) -> String {
    let mut text = table(&["file", "bytes", "SHA-256"]);
    for artifact in &manifest.artifacts {
        let name = &artifact.file;
        let digest = artifact.sha256.get(..16).unwrap_or(&artifact.sha256);
        row(
            &mut text,
            &[
                &format!("[{name}]({name})"),
                &artifact.bytes.to_string(),
                &format!("`{digest}…`"),
            ],
        );
    }
    text
}

fn table(heads: &[&str]) -> String {
    let mut text = String::new();
    row(&mut text, heads);
    row(&mut text, &vec!["---"; heads.len()]);
    text
}

fn row(text: &mut String, cells: &[&str]) {
    _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn indented(text: &str) -> String {
    let lines = text.trim().lines().map(|line| format!("  {line}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn clock(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

//! Do the stages of an alert follow one another as they can?

use jiff::{SignedDuration, Timestamp};

use crate::{
    record::{AlertRecord, Record},
    timeline::Stage,
};

/// How late a stage may be seen: looks at it are some tenths of a second apart, on a busy machine some seconds.
pub(super) const SEEN: SignedDuration = SignedDuration::from_secs(10);

/// Returns when a stage was seen.
pub(super) fn at(alert: &AlertRecord, stage: Stage) -> Option<Timestamp> {
    let mut timeline = alert.timeline.iter();
    let step = timeline.find(|step| step.stage == stage.as_str())?;
    Some(step.at)
}

/// Returns what cannot be.
pub(super) fn complaints(record: &Record, alert: &AlertRecord) -> Vec<String> {
    let mut complaints = Vec::new();
    let stages: Vec<_> = alert.timeline.iter().map(|step| &*step.stage).collect();
    if !stages
        .iter()
        .copied()
        .eq(Stage::passed(alert.for_seconds).map(Stage::as_str))
    {
        complaints.push(format!("it passed the stages {}", stages.join(", ")));
        return complaints;
    }
    let times = alert.timeline.iter().map(|step| step.at);
    let times: Vec<_> = [record.started]
        .into_iter()
        .chain(times)
        .chain([record.ended])
        .collect();
    if !times.is_sorted() {
        complaints.push("its stages are not in the order of their times".to_owned());
    }
    if let Some((pending, firing)) = at(alert, Stage::Pending).zip(at(alert, Stage::Firing)) {
        let held = firing.duration_since(pending);
        // Pending may have been seen late, and firing at once.
        if (held + SEEN).as_secs_f64() < alert.for_seconds {
            complaints.push(format!(
                "it fired {:.1} s after it was pending, and not {} s",
                held.as_secs_f64(),
                alert.for_seconds
            ));
        }
    }
    complaints
}

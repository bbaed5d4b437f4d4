use super::*;
use metric::{Kind, Registry};
use otlp::{Amount, Buckets, Family, Identity, PointValue, SeriesValue, Stream};
use request_counts::{LabelSpace, RequestCounts};
use std::{sync::Arc, time::Duration};
use telemetry::{Observation, Series};

const LIMITS: JournalLimits = JournalLimits {
    series: SeriesLimits {
        space: LabelSpace {
            max_series: 100,
            max_label_len: 20,
        },
        max_metrics: 10,
        max_series: 1000,
    },
    max_senders: 200,
    checkpoint: CheckpointLimits {
        interval: Duration::MAX,
        max_log: u64::MAX,
    },
};

fn open(dir: &tempfile::TempDir) -> Journal {
    let path = dir.path().join("journal.sqlite");
    Journal::open(&path, LIMITS, JournalMetrics::register(&Registry::new())).unwrap()
}

fn change(instance: &str, sequence: u64) -> Change {
    let mut requests = Delta::default();
    requests.record(Observation {
        series: Series::new("GET", "/", 500, Some("store")),
        duration: Duration::from_millis(3),
    });
    requests.lost = 1;
    let key = BatchKey {
        instance: instance.into(),
        sequence,
    };
    Change {
        batch: Some(Batch {
            key,
            body: [sequence as u8; 32],
            end_unix_nanos: 0,
        }),
        component: carts(),
        requests,
        ..Change::default()
    }
}

fn carts() -> Component {
    Component::new("shop", "carts")
}

fn requests(journal: &Journal) -> u64 {
    let requests = |counts: &RequestCounts| counts.requests.values().sum();
    journal.state().reported.sum(requests)
}

const COUNTED: Receipt = Receipt::Counted {
    missing: 0,
    uncounted: Uncounted::new(),
};

#[tokio::test]
async fn an_acknowledged_batch_survives_a_restart_and_its_retry_is_recognised() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    assert_eq!(journal.commit(change("a", 1)).await, Ok(COUNTED));
    assert_eq!(journal.commit(change("a", 2)).await, Ok(COUNTED));
    drop(journal);

    let journal = open(&dir);
    assert_eq!(journal.commit(change("a", 2)).await, Ok(Receipt::Duplicate));
    assert_eq!(journal.commit(change("a", 1)).await, Ok(Receipt::Duplicate));
    let mut other = change("a", 2);
    other.batch.as_mut().unwrap().body = [7; 32];
    assert_eq!(
        journal.commit(other).await,
        Err(CommitError::ReusedKey("a-2".into()))
    );
    let skipping = journal.commit(change("a", 5)).await;
    assert!(matches!(skipping, Ok(Receipt::Counted { missing: 2, .. })));
    let state = journal.state();
    let counts = state.reported.get(&carts()).unwrap();
    assert_eq!(counts.requests.values().sum::<u64>(), 3);
    assert_eq!(counts.latency["/"].sum_nanos, 9_000_000);
    assert_eq!((counts.errors, counts.lost, state.senders()), (3, 3, 1));
}

#[tokio::test]
async fn equal_series_of_two_components_stay_apart_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let users = Component::new("shop", "users");
    for round in 1..=2 {
        let journal = open(&dir);
        journal.commit(change("a", round)).await.unwrap();
        for instance in ["b", "c"] {
            let mut change = change(instance, round);
            change.component = users.clone();
            journal.commit(change).await.unwrap();
        }
        let state = journal.state();
        for (component, requests) in [(&carts(), round), (&users, 2 * round)] {
            let counts = state.reported.get(component).unwrap();
            assert_eq!(counts.requests.values().sum::<u64>(), requests);
            assert_eq!((counts.errors, counts.lost), (requests, requests));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_in_one_transaction_are_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(open(&dir));
    let commits = (0..300).map(|index| {
        let journal = Arc::clone(&journal);
        tokio::spawn(async move { journal.commit(change(&format!("i{}", index % 3), 1)).await })
    });
    let mut counted = 0;
    for commit in commits.collect::<Vec<_>>() {
        counted += usize::from(commit.await.unwrap() == Ok(COUNTED));
    }
    assert_eq!((counted, requests(&journal)), (3, 3));
}

#[tokio::test]
async fn memory_of_senders_is_bounded_and_the_oldest_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    for index in 0..=LIMITS.max_senders {
        journal
            .commit(change(&format!("i{index}"), 1))
            .await
            .unwrap();
    }
    let senders = journal.state().senders();
    assert!(
        senders <= LIMITS.max_senders && senders > LIMITS.max_senders - 10,
        "{senders}"
    );
    let newest = format!("i{}", LIMITS.max_senders);
    assert_eq!(
        journal.commit(change(&newest, 1)).await,
        Ok(Receipt::Duplicate)
    );
    drop(journal);
    assert_eq!(open(&dir).state().senders(), senders);
}

fn point(start_unix_nanos: u64, time_unix_nanos: u64, value: PointValue) -> Change {
    let kind = match value {
        PointValue::Total(Amount::Histogram(_)) => Kind::Histogram,
        _ => Kind::Counter,
    };
    let family = Family {
        name: format!("n_{}", kind.as_str()),
        kind,
        help: "Help.".into(),
        origin: u64::MAX,
    };
    let stream = Stream {
        id: [1; 16],
        legacy_id: [0; 16],
    };
    let labels = [("a", "\"b\"")].into_iter().collect();
    let point = Point {
        identity: Arc::new(Identity::new(Arc::new(family), labels, stream)),
        start_unix_nanos,
        time_unix_nanos,
        value,
    };
    Change {
        points: vec![point],
        ..Change::default()
    }
}

fn shown(journal: &Journal) -> Vec<Amount> {
    let state = journal.state();
    let series = state.otlp.metrics().flat_map(|(_, series)| series);
    let amount = series
        .filter(|(_, series)| !series.ended)
        .map(|(_, series)| match &series.value {
            SeriesValue::Sum(sum) => sum.amount.clone(),
            other => panic!("{other:?}"),
        });
    amount.collect()
}

#[tokio::test]
async fn generic_metrics_survive_a_restart_with_what_is_known_of_their_senders() {
    let dir = tempfile::tempdir().unwrap();
    let total = |number| PointValue::Total(Amount::Number(number));
    let more = |number| PointValue::More(Amount::Number(number));
    let histogram = |bounds: &[f64], counts: &[u64]| {
        Box::new(Buckets::new(bounds.to_vec(), counts.to_vec(), Some(1.0)).unwrap())
    };
    // A start may be larger than any signed integer.
    for (change, expected) in [
        (point(u64::MAX, 1, total(5.0)), 5.0),
        (point(u64::MAX, 2, total(7.0)), 7.0),
        (point(1, 2, more(3.0)), 10.0),
        (point(1, 2, more(3.0)), 10.0),
        (point(2, 3, more(3.0)), 13.0),
        (point(1, 2, more(3.0)), 13.0),
        (point(2, 3, more(3.0)), 13.0),
    ] {
        let journal = open(&dir);
        journal.commit(change).await.unwrap();
        assert_eq!(shown(&journal), [Amount::Number(expected)]);
    }
    let journal = open(&dir);
    journal.commit(point(1, 2, PointValue::End)).await.unwrap();
    drop(journal);
    let journal = open(&dir);
    assert_eq!(shown(&journal), []);
    for (start, buckets) in [
        (1, histogram(&[1.0], &[1, 2])),
        (2, histogram(&[2.0], &[3, 4])),
    ] {
        let total = PointValue::Total(Amount::Histogram(buckets));
        journal.commit(point(start, 9, total)).await.unwrap();
    }
    drop(journal);
    let sum = Buckets::new(vec![1.0, 2.0], vec![1, 3, 6], Some(2.0)).unwrap();
    assert_eq!(shown(&open(&dir)), [Amount::Histogram(sum.into())]);
}

#[tokio::test]
async fn a_refused_point_is_told_with_its_series() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir);
    let total = |number| PointValue::Total(Amount::Number(number));
    journal.commit(point(1, 2, total(5.0))).await.unwrap();
    let Receipt::Counted { uncounted, .. } = journal.commit(point(1, 3, total(4.0))).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(uncounted.rejected["decreased"], 1);
    let series = r#"n_counter{a="\"b\""}"#.to_owned();
    assert_eq!(uncounted.streams, [("decreased", series)]);
}

mod crash;

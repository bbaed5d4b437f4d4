use super::*;
use metric::{Kind, Registry};
use otlp::{Amount, Family, PointValue, SeriesValue};
use request_counts::{LabelSpace, RequestCounts};
use std::time::Duration;
use telemetry::{Observation, Series};

const LIMITS: JournalLimits = JournalLimits {
    series: SeriesLimits {
        space: LabelSpace {
            max_series: 100,
            max_label_len: 20,
        },
        max_metrics: 10,
    },
    max_senders: 200,
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
    rejected: Rejections::new(),
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
    assert_eq!((counts.errors, counts.lost, state.senders), (3, 3, 1));
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
    let senders = journal.state().senders;
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
    assert_eq!(open(&dir).state().senders, senders);
}

#[tokio::test]
async fn generic_metrics_survive_a_restart_with_their_senders_totals() {
    let dir = tempfile::tempdir().unwrap();
    let total = |number| Change {
        points: vec![Point {
            family: Arc::new(Family {
                name: "n_total".into(),
                kind: Kind::Counter,
                help: "Help.".into(),
            }),
            labels: vec![("a".into(), "\"b\"".into())],
            time_unix_nanos: 1,
            value: PointValue::Total {
                stream: [1; 16],
                start_unix_nanos: 0,
                amount: Amount::Number(number),
            },
        }],
        ..Change::default()
    };
    let journal = open(&dir);
    journal.commit(total(5.0)).await.unwrap();
    drop(journal);
    let journal = open(&dir);
    journal.commit(total(7.0)).await.unwrap();
    let state = journal.state();
    let shown: Vec<_> = state.otlp.metrics()["n_total"].series.values().collect();
    assert_eq!(shown, [&SeriesValue::Sum(Amount::Number(7.0))]);
}

//! Ends at every point: after each transaction the files are copied, and SQLite's log is cut anywhere. A copy
//! has what was committed, and nothing else.

use super::*;
use crate::{entry::Stored, senders::LastBatch, state::State, store::Store, writer::Writer};
use otlp::Track;
use proptest::prelude::*;
use request_counts::ApplicationCounts;
use std::{collections::BTreeMap, fs};

/// Returns a folder in memory, if the system has one: each start writes to the disk.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// All that is on disk.
#[derive(Clone, Debug, PartialEq)]
struct Committed {
    reported: ApplicationCounts,
    host: ApplicationCounts,
    senders: BTreeMap<String, (u64, [u8; 32])>,
    series: BTreeMap<(String, String), Stored<Amount, Vec<Track>>>,
}

impl Committed {
    fn of(state: &State) -> Self {
        let senders = state.senders.all().into_iter();
        let sender =
            |(instance, last): (&str, LastBatch)| (instance.to_owned(), (last.sequence, last.body));
        let mut series = BTreeMap::new();
        for (metric, all) in state.otlp.metrics() {
            for (labels, one) in all {
                if let SeriesValue::Sum(sum) = &one.value {
                    let names = (metric.name.clone(), labels.as_str().to_owned());
                    let mut tracks = one.tracks.clone();
                    // Two writers have two clocks.
                    tracks.iter_mut().for_each(|track| track.seen = 0);
                    let value = (sum.amount.clone(), one.ended, one.origin, tracks);
                    series.insert(names, value);
                }
            }
        }
        Self {
            reported: state.reported.clone(),
            host: state.host.clone(),
            senders: senders.map(sender).collect(),
            series,
        }
    }

    fn read(path: &Path) -> Self {
        Self::of(&Store::open(path).unwrap().state)
    }
}

fn writer(path: &Path) -> Writer {
    let metrics = JournalMetrics::register(&Registry::new());
    let mut writer = Writer::new(Store::open(path).unwrap(), LIMITS, metrics);
    // Pieces of one row, so that a checkpoint has many transactions.
    writer.checkpoints.piece = 1;
    writer
}

fn committed(writer: &Writer) -> Committed {
    Committed::of(&writer.state.lock().unwrap())
}

/// Copies the database and its write-ahead log, as they would be found after an end of the process.
fn copy(path: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        fs::copy(name(path), name(to)).unwrap();
    }
    _ = fs::remove_file(format!("{}-shm", to.display()));
}

/// Bytes of SQLite's write-ahead log before its frames, and of a frame.
const WAL_HEADER: usize = 32;
const WAL_FRAME: usize = 24 + 4096;

/// A step of a writer.
#[derive(Clone, Debug)]
enum Step {
    /// A group of changes.
    Commit(Vec<Report>),
    /// A piece of a checkpoint.
    Piece,
    /// An end of the process, and a start.
    Restart,
}

/// A change.
#[derive(Clone, Debug)]
enum Report {
    Batch { instance: u8, sequence: u64 },
    Delta { label: u8, interval: u64 },
    Total { label: u8, start: u64, total: u32 },
    Histogram { label: u8, counts: [u64; 2] },
    Gauge { label: u8 },
    End { label: u8 },
}

impl Report {
    fn change(&self) -> Change {
        let number = |number: f64| Amount::Number(number);
        let (name, label, start, time, value) = match *self {
            Self::Batch { instance, sequence } => {
                return change(&format!("i{instance}"), sequence);
            }
            Self::Delta { label, interval } => {
                let more = PointValue::More(number(1.0));
                ("delta_total", label, interval, interval + 1, more)
            }
            Self::Total {
                label,
                start,
                total,
            } => {
                let value = PointValue::Total(number(total.into()));
                ("total_total", label, start, 100 + u64::from(total), value)
            }
            Self::Histogram { label, counts } => {
                let buckets = Buckets::new(vec![1.0], counts.to_vec(), Some(1.0));
                let amount = Amount::Histogram(buckets.unwrap().into());
                ("histogram", label, 0, 0, PointValue::More(amount))
            }
            Self::Gauge { label } => ("gauge", label, 0, 0, PointValue::Now(1.0)),
            Self::End { label } => ("total_total", label, 1, 1000, PointValue::End),
        };
        let kind = match name {
            "histogram" => Kind::Histogram,
            "gauge" => Kind::Gauge,
            _ => Kind::Counter,
        };
        let family = Family {
            name: name.into(),
            kind,
            help: "Help.".into(),
            origin: 1,
        };
        let stream = Stream {
            id: [label; 16],
            legacy_id: [0; 16],
        };
        let labels = [("l", label.to_string())].into_iter().collect();
        let point = Point {
            identity: Arc::new(Identity::new(Arc::new(family), labels, stream)),
            start_unix_nanos: start,
            time_unix_nanos: time,
            value,
        };
        Change {
            points: vec![point],
            ..Change::default()
        }
    }
}

fn reports() -> impl Strategy<Value = Report> {
    prop_oneof![
        (0..3u8, 1..6u64).prop_map(|(instance, sequence)| Report::Batch { instance, sequence }),
        (0..3u8, 1..4u64).prop_map(|(label, interval)| Report::Delta { label, interval }),
        (0..3u8, 1..3u64, 0..9u32).prop_map(|(label, start, total)| Report::Total {
            label,
            start,
            total
        }),
        (0..2u8, any::<[u8; 2]>()).prop_map(|(label, counts)| Report::Histogram {
            label,
            counts: counts.map(u64::from)
        }),
        (0..2u8).prop_map(|label| Report::Gauge { label }),
        (0..3u8).prop_map(|label| Report::End { label }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let group = prop::collection::vec(reports(), 1..5);
    let step = prop_oneof![
        4 => group.prop_map(Step::Commit),
        3 => Just(Step::Piece),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// After each transaction, also between the pieces of a checkpoint, the files have exactly what was committed; and
    /// a journal that lives on in memory counts the same as one that was opened again and again.
    #[test]
    fn an_end_after_any_transaction_loses_nothing_and_counts_nothing_twice(steps in steps()) {
        let dir = scratch();
        let (path, copied) = (dir.path().join("journal"), dir.path().join("copy"));
        let (mut tested, mut model) = (writer(&path), writer(&dir.path().join("model")));
        for step in steps {
            match step {
                Step::Commit(reports) => {
                    let changes = || reports.iter().map(Report::change).collect();
                    let receipts = tested.commit(changes()).unwrap();
                    // Gauges do not survive a restart, so their receipts may differ.
                    let expected = model.commit(changes()).unwrap();
                    prop_assert_eq!(receipts.len(), expected.len());
                }
                Step::Piece => tested.checkpoint(),
                Step::Restart => {
                    drop(tested);
                    tested = writer(&path);
                }
            }
            let expected = committed(&model);
            prop_assert_eq!(&committed(&tested), &expected);
            copy(&path, &copied);
            prop_assert_eq!(&Committed::read(&copied), &expected);
        }
    }
}

#[test]
fn a_log_that_is_cut_anywhere_has_the_first_commits_and_nothing_else() {
    let dir = scratch();
    let (path, copied) = (dir.path().join("journal"), dir.path().join("copy"));
    let mut writer = writer(&path);
    let pragma = "PRAGMA wal_checkpoint(TRUNCATE)";
    let connection = &writer.store.connection;
    connection.query_row(pragma, [], |_| Ok(())).unwrap();
    let mut prefixes = vec![committed(&writer)];
    for sequence in 1..=2 {
        let batch = Report::Batch {
            instance: 0,
            sequence,
        };
        let delta = Report::Delta {
            label: 0,
            interval: sequence,
        };
        let changes = [batch, delta].iter().map(Report::change).collect();
        writer.commit(changes).unwrap();
        prefixes.push(committed(&writer));
        if sequence == 1 {
            writer.checkpoint();
        }
    }
    copy(&path, &copied);
    let wal = dir.path().join("copy-wal");
    let database = fs::read(&copied).unwrap();
    let log = fs::read(&wal).unwrap();
    let mut found = vec![];
    // At each byte around the ends of SQLite's frames, and at every seventh within them.
    let is_cut = |length: &usize| {
        let in_frame = length.saturating_sub(WAL_HEADER) % WAL_FRAME;
        length.is_multiple_of(7) || !(40..WAL_FRAME - 8).contains(&in_frame)
    };
    for length in (0..=log.len()).filter(is_cut) {
        fs::write(&copied, &database).unwrap();
        fs::write(&wal, &log[..length]).unwrap();
        _ = fs::remove_file(dir.path().join("copy-shm"));
        let read = Committed::read(&copied);
        let prefix = prefixes.iter().position(|prefix| *prefix == read);
        let prefix = prefix.unwrap_or_else(|| panic!("{length} bytes: {read:?}"));
        if found.last() != Some(&prefix) {
            found.push(prefix);
        }
    }
    assert_eq!(found, [0, 1, 2], "each commit once, in their order");
}

#[test]
fn a_checkpoint_that_the_disk_refuses_keeps_the_log_and_is_tried_again() {
    let dir = scratch();
    let path = dir.path().join("journal");
    let mut writer = writer(&path);
    let commit = |writer: &mut Writer, sequence| {
        let change = change("i", sequence);
        writer.commit(vec![change]).unwrap();
    };
    commit(&mut writer, 1);
    let limit = |writer: &Writer, pages: i64| {
        let connection = &writer.store.connection;
        connection.pragma_update(None, "query_only", pages).unwrap();
    };
    limit(&writer, 1);
    writer.checkpoint();
    assert_eq!(writer.metrics.checkpoint_failures.get(), 1);
    assert!(writer.store.log.size > 0);
    limit(&writer, 0);
    commit(&mut writer, 2);
    let expected = committed(&writer);
    assert_eq!(Committed::read(&path), expected);
    while writer.store.log.size > 0 {
        writer.checkpoint();
    }
    assert_eq!(writer.metrics.checkpoint_failures.get(), 1);
    assert_eq!(Committed::read(&path), expected);
}

#[test]
fn a_commit_that_a_full_disk_refuses_counts_nothing_and_can_be_repeated() {
    let dir = scratch();
    let path = dir.path().join("journal");
    let mut writer = writer(&path);
    writer.commit(vec![change("i", 1)]).unwrap();
    let before = committed(&writer);
    let limit = |writer: &Writer, pages: i64| {
        let connection = &writer.store.connection;
        let limited = connection.pragma_update(None, "max_page_count", pages);
        limited.unwrap();
    };
    let connection = &writer.store.connection;
    let pages = connection.pragma_query_value(None, "page_count", |row| row.get(0));
    limit(&writer, pages.unwrap());
    // More than fits on a page.
    let changes = || (0..150).map(|index| change(&format!("{index:0100}"), 1));
    let log = writer.store.log;
    let refused = writer.commit(changes().collect()).unwrap_err();
    assert_eq!(
        refused.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DiskFull)
    );
    assert_eq!(
        (committed(&writer), writer.store.log),
        (before.clone(), log)
    );
    assert_eq!(Committed::read(&path), before);
    limit(&writer, 1 << 20);
    let receipts = writer.commit(changes().collect()).unwrap();
    assert!(receipts.iter().all(|receipt| *receipt == Ok(COUNTED)));
    assert_eq!(requests_in(&writer), 151);
    assert_eq!(Committed::read(&path), committed(&writer));
}

fn requests_in(writer: &Writer) -> u64 {
    let requests = |counts: &RequestCounts| counts.requests.values().sum();
    committed(writer).reported.sum(requests)
}

use super::*;
use std::time::Duration;

fn database() -> (tempfile::TempDir, Arc<Database>) {
    let dir = tempfile::tempdir().unwrap();
    let database = open(&dir);
    (dir, database)
}

fn open(dir: &tempfile::TempDir) -> Arc<Database> {
    Database::open(&dir.path().join("db"), Duration::from_secs(1), 1 << 20).unwrap()
}

async fn store(database: &Arc<Database>, label: &str) -> KeyValueStore {
    create(database).await.unwrap();
    KeyValueStore::of(database, label.into())
}

fn values(pairs: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    let owned = pairs
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()));
    owned.collect()
}

fn keys(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).into()).collect()
}

#[tokio::test]
async fn values_are_set_replaced_and_deleted_together() {
    let (_dir, database) = database();
    let store = store(&database, "default").await;
    let written = values(&[("a", b"1"), ("b", b""), ("c", &[0, 255])]);
    store.set(written.clone()).await.unwrap();
    assert_eq!(store.get(keys(&["c", "a", "b", "d"])).await, Ok(written));
    // The last of two values under one key counts.
    store
        .set(values(&[("a", b"2"), ("a", b"3"), ("d", b"4")]))
        .await
        .unwrap();
    assert_eq!(store.get_one("a".into()).await, Ok(Some(b"3".to_vec())));
    store.delete(keys(&["a", "b", "never"])).await.unwrap();
    assert_eq!(store.keys().await, Ok(keys(&["c", "d"])));
    assert_eq!(store.get_one("a".into()).await, Ok(None));
}

#[tokio::test]
async fn nothing_given_is_nothing_done() {
    let (_dir, database) = database();
    let store = store(&database, "default").await;
    store.set(vec![]).await.unwrap();
    store.delete(vec![]).await.unwrap();
    assert_eq!(store.get(vec![]).await, Ok(vec![]));
    assert_eq!(store.keys().await, Ok(vec![]));
}

#[tokio::test]
async fn stores_are_apart_and_outlive_a_restart() {
    let (dir, database) = database();
    let (one, other) = (
        store(&database, "one").await,
        store(&database, "other").await,
    );
    one.set(values(&[("key", b"one")])).await.unwrap();
    other.set(values(&[("key", b"other")])).await.unwrap();
    one.delete(keys(&["key"])).await.unwrap();
    drop((one, other, database));
    let database = open(&dir);
    let (one, other) = (
        store(&database, "one").await,
        store(&database, "other").await,
    );
    assert_eq!(one.keys().await, Ok(vec![]));
    assert_eq!(
        other.get_one("key".into()).await,
        Ok(Some(b"other".to_vec()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_of_many_instances_are_exact() {
    let (_dir, database) = database();
    let stores = store(&database, "default").await;
    let adding = (1..=200).map(|number| {
        let store = KeyValueStore::of(&database, "default".into());
        tokio::spawn(async move { store.add("sum".into(), number).await.unwrap() })
    });
    futures::future::join_all(adding).await;
    assert_eq!(stores.add("sum".into(), 0).await, Ok(20_100));
    assert_eq!(stores.add("sum".into(), -20_101).await, Ok(-1));
    // Spin can read it.
    let bytes = (-1i64).to_le_bytes().to_vec();
    assert_eq!(stores.get_one("sum".into()).await, Ok(Some(bytes)));
    let bytes = 0x0102_0304_0506_0708i64.to_le_bytes().to_vec();
    stores.set(vec![("of Spin".into(), bytes)]).await.unwrap();
    let sum = 0x0102_0304_0506_0709;
    assert_eq!(stores.add("of Spin".into(), 1).await, Ok(sum));
}

#[tokio::test]
async fn a_value_that_is_no_number_and_a_sum_that_is_too_large_change_nothing() {
    let (_dir, database) = database();
    let store = store(&database, "default").await;
    for (key, value) in [
        ("text", &b"7 pears"[..]),
        ("binary", &[7, 0]),
        ("none", b""),
    ] {
        store.set(values(&[(key, value)])).await.unwrap();
        let error = store.add(key.into(), 1).await.unwrap_err().to_string();
        assert!(error.starts_with("the value is not a number"), "{error}");
        assert_eq!(store.get_one(key.into()).await, Ok(Some(value.to_vec())));
    }
    assert_eq!(store.add("large".into(), i64::MAX).await, Ok(i64::MAX));
    assert!(store.add("large".into(), 1).await.is_err());
    assert_eq!(store.add("large".into(), -1).await, Ok(i64::MAX - 1));
    assert_eq!(store.add("small".into(), i64::MIN).await, Ok(i64::MIN));
    assert!(store.add("small".into(), -1).await.is_err());
    assert_eq!(store.add("small".into(), 1).await, Ok(i64::MIN + 1));
}

#[tokio::test]
async fn a_component_opens_only_the_stores_of_its_manifest() {
    let (_dir, database) = database();
    store(&database, "default").await;
    let opens = |label: &str, allowed: &[&str], database: Option<&Arc<Database>>| {
        KeyValueStore::open(database, &keys(allowed), label.into()).is_some()
    };
    assert!(opens("default", &["other", "default"], Some(&database)));
    assert!(!opens("other", &["default"], Some(&database)));
    assert!(!opens("default", &[], None));
}

#[tokio::test]
async fn a_swap_happens_only_over_the_value_that_was_read() {
    let (_dir, database) = database();
    let store = store(&database, "default").await;
    let (one, other) = (
        CompareAndSwap::new(store.clone(), "key".into()),
        CompareAndSwap::new(store.clone(), "key".into()),
    );
    assert_eq!(one.current().await, Ok(None));
    assert_eq!(one.swap(b"1".to_vec()).await, Ok(true));
    assert_eq!(one.current().await, Ok(Some(b"1".to_vec())));
    assert_eq!(other.current().await, Ok(Some(b"1".to_vec())));
    assert_eq!(other.swap(b"2".to_vec()).await, Ok(true));
    assert_eq!(one.swap(b"3".to_vec()).await, Ok(false));
    assert_eq!(one.current().await, Ok(Some(b"2".to_vec())));
    assert_eq!(one.swap(b"3".to_vec()).await, Ok(true));
    assert_eq!(store.get_one("key".into()).await, Ok(Some(b"3".to_vec())));
}

//! Processor time and memory of each component.

use crate::{
    client::get,
    scrape::Scrape,
    stack::{self, Host},
};
use std::{fs, time::Duration};
use tokio::time::sleep;

const COMPONENT: (&str, &str) = ("component", "misbehaving");

/// Returns the processor time of a host, in hundredths of a second: `process_cpu_seconds_total` has whole seconds.
fn process_seconds(host: &Host) -> f64 {
    let pid = host.process.pid();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name, in parentheses, may have spaces.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        / 100.0
}

#[tokio::test(flavor = "multi_thread")]
async fn processor_time_is_that_of_the_component() {
    let host = stack::serve_misbehaving().start().await.unwrap();
    let scrape = Scrape::of(host.metrics()).await;
    for component in ["misbehaving", "synchronous"] {
        let labels = [("application", "misbehaving"), ("component", component)];
        assert!(scrape.has("app_component_cpu_seconds_total", &labels));
        assert_eq!(scrape.sum("app_component_memory_bytes", &labels), 0.0);
    }
    let used = async || {
        let scrape = Scrape::of(host.metrics()).await;
        let component = scrape.sum("app_component_cpu_seconds_total", &[COMPONENT]);
        (component, process_seconds(&host))
    };
    // Waiting costs nothing.
    let before = used().await;
    assert_eq!(get(host.api(), "GET /sleep?500").await.status, 200);
    let (waited, _) = used().await;
    assert!(waited - before.0 < 0.1, "{}", waited - before.0);

    let before = used().await;
    while process_seconds(&host) - before.1 < 1.5 {
        assert_eq!(get(host.api(), "GET /work?1000").await.status, 200);
    }
    let after = used().await;
    let (component, process) = (after.0 - before.0, after.1 - before.1);
    assert!(
        component > 0.85 * process && component < 1.1 * process,
        "{component} of {process}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_that_of_live_instances() {
    const KEPT: f64 = (20 << 20) as f64;
    let launch = stack::serve_misbehaving().args(&["--instance-reuse", "2"]);
    let host = launch.start().await.unwrap();
    let memory = async || {
        let scrape = Scrape::of(host.metrics()).await;
        scrape.sum("app_component_memory_bytes", &[COMPONENT])
    };
    assert_eq!(get(host.api(), "GET /keep?20").await.status, 200);
    let held = memory().await;
    assert!((KEPT..KEPT + 8e6).contains(&held), "{held}");
    sleep(Duration::from_millis(200)).await;
    assert_eq!(memory().await, held);
    // The second request is the last one of its instance.
    assert_eq!(get(host.api(), "GET /fine").await.status, 200);
    Scrape::until(host.metrics(), "the end of the instance", |scrape| {
        scrape.sum("app_component_memory_bytes", &[COMPONENT]) == 0.0
    })
    .await;
    // So does a trap, and a growth that is refused does not count.
    assert_eq!(get(host.api(), "GET /allocate").await.status, 500);
    Scrape::until(host.metrics(), "the end of the instance", |scrape| {
        scrape.sum("app_component_memory_bytes", &[COMPONENT]) == 0.0
    })
    .await;
}

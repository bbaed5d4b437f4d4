//! The metrics reference, `docs/metrics-reference.md`, is made of [`metric::ALL`]. `make reference` writes it.

use metric::{ALL, Family};
use std::{env, fs, path::Path};

/// Sections of the page: heading, and the prefix of the names in it. A name belongs to the first one that fits.
const SECTIONS: [(&str, &str); 5] = [
    ("Application", "app_"),
    ("Spin's spans", "spin_"),
    ("Ingest", "metrics_host_ingest_"),
    ("Components", "metrics_host_guest_"),
    ("metrics-host", "metrics_host_"),
];

#[test]
fn the_reference_has_every_metric() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics-reference.md");
    let expected = page();
    if env::var_os("WRITE_REFERENCE").is_some() {
        fs::write(&file, &expected).unwrap();
    }
    let written = fs::read_to_string(file).unwrap_or_default();
    assert!(
        written == expected,
        "docs/metrics-reference.md is not up to date: run `make reference`"
    );
}

fn page() -> String {
    let mut page = "# Metrics reference\n\n\
        Every metric of metrics-host with its labels and help text, as the code declares them; `make reference` writes this \
        page.\n[Metrics](metrics.md) says when each one counts.\n"
        .to_owned();
    let section = |family: &Family| {
        let fits = |(_, prefix): &(&str, &str)| family.name.starts_with(prefix);
        SECTIONS.iter().position(fits)
    };
    for (position, (heading, _)) in SECTIONS.iter().enumerate() {
        page +=
            &format!("\n## {heading}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n");
        for family in ALL
            .iter()
            .filter(|family| section(family) == Some(position))
        {
            page += &row(family);
        }
    }
    page
}

fn row(family: &Family) -> String {
    let labels: Vec<_> = family
        .labels
        .iter()
        .map(|label| format!("`{label}`"))
        .collect();
    let row = format!(
        "| `{}` | {} | {} | {} |\n",
        family.name,
        family.kind.as_str(),
        labels.join(", "),
        family.help
    );
    row.replace("|  |", "| |")
}

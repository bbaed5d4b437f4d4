//! A page of `/metrics`: which series there are.

use std::collections::BTreeMap;

/// Name and labels of a sample.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
}

/// Returns the series of a page in the text format.
pub(crate) fn series(page: &str) -> Vec<Series> {
    let samples = page
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    samples.map(parse).collect()
}

fn parse(line: &str) -> Series {
    let end = line.find(['{', ' ']).unwrap();
    let mut labels = BTreeMap::new();
    // Values of ours hold no quotes.
    if let Some((pairs, _)) = line[end..]
        .strip_prefix('{')
        .and_then(|rest| rest.rsplit_once('}'))
    {
        let mut rest = pairs;
        while let Some((name, after)) = rest.split_once("=\"") {
            let (value, after) = after.split_once('"').unwrap();
            labels.insert(name.trim_start_matches(',').to_owned(), value.to_owned());
            rest = after;
        }
    }
    Series {
        name: line[..end].to_owned(),
        labels,
    }
}

#[test]
fn a_page_is_read_sample_by_sample() {
    let page = "# HELP a b\n# TYPE a counter\na{x=\"/items/{id}\",y=\"2\"} 3\nb 0\n";
    let read = series(page);
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].name, "a");
    assert_eq!(read[0].labels["x"], "/items/{id}");
    assert_eq!(read[0].labels["y"], "2");
    assert_eq!(read[1].name, "b");
    assert!(read[1].labels.is_empty());
}

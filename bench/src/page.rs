//! Samples of a page in the Prometheus text format.

/// Returns the sum of all samples of `family`, a counter.
pub fn sum(page: &str, family: &str) -> u64 {
    let values = samples(page).filter(|(name, _)| *name == family);
    // Counts are far below 2^53, to which a double holds them.
    values.map(|(_, value)| value).sum::<f64>().round() as u64
}

/// Returns how many samples have a name that starts with `prefix`.
pub fn count(page: &str, prefix: &str) -> usize {
    samples(page)
        .filter(|(name, _)| name.starts_with(prefix))
        .count()
}

/// Splits the page into names and values.
fn samples(page: &str) -> impl Iterator<Item = (&str, f64)> {
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, _) = series.split_once('{').unwrap_or((series, ""));
            Some((name, value.parse().ok()?))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP a_total A b.\n# TYPE a_total counter\na_total{x=\"1 2\"} 3\na_total{x=\"{\"} 1e3\n\
        # TYPE a_total_b counter\na_total_b 5\n";

    #[test]
    fn only_the_family_itself_is_summed() {
        assert_eq!(sum(PAGE, "a_total"), 1003);
        assert_eq!(sum(PAGE, "a_total_b"), 5);
        assert_eq!(sum(PAGE, "a"), 0);
    }

    #[test]
    fn samples_are_counted_by_prefix() {
        assert_eq!(count(PAGE, "a_total"), 3);
        assert_eq!(count(PAGE, "b"), 0);
    }
}

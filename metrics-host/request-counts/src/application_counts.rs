//! Counters of several components.

use crate::{Component, LabelSpace, OTHER, RequestCounts, Room, update};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use telemetry::{Histogram, Series, attribute::UNKNOWN_SERVICE};

/// `service.name` of Spin, unless OTEL_SERVICE_NAME is set.
const SPIN: &str = "spin";

/// Counters of requests by component: totals at one moment, or the increments of one change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationCounts(BTreeMap<Component, RequestCounts>);

impl ApplicationCounts {
    /// Returns the components in order, each with its counters.
    pub fn iter(&self) -> impl Iterator<Item = (&Component, &RequestCounts)> {
        self.0.iter()
    }

    /// Returns the counters of `component`, if it has any.
    pub fn get(&self, component: &Component) -> Option<&RequestCounts> {
        self.0.get(component)
    }

    /// Returns the counters of `component`; they begin at 0.
    pub fn of(&mut self, component: &Component) -> &mut RequestCounts {
        self.0.entry(component.clone()).or_default()
    }

    /// Adds the counters of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (component, counts) in &other.0 {
            update(&mut self.0, component, |own| own.merge(counts));
        }
    }

    /// Returns the new values of the counters that `change` increments. The errors, overflowed and lost requests of each
    /// component in `change` are among them.
    #[must_use]
    pub fn after(&self, change: &Self) -> Self {
        let nothing = RequestCounts::default();
        let after = change.0.iter().map(|(component, change)| {
            let before = self.0.get(component).unwrap_or(&nothing);
            (component.clone(), before.after(change))
        });
        Self(after.collect())
    }

    /// Sets the counters that `values` has, as [`Self::after`] returned them.
    pub fn set(&mut self, values: &Self) {
        for (component, values) in &values.0 {
            update(&mut self.0, component, |own| own.set(values));
        }
    }

    /// Returns whether there are no counters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names of the applications, without repetition.
    pub fn applications(&self) -> BTreeSet<&str> {
        let components = self.0.keys();
        components.map(|of| &*of.application).collect()
    }

    /// Returns whether these counters may have the requests of `application`. A name that every Spin has by default may
    /// stand for any application.
    pub fn covers(&self, application: &str) -> bool {
        let is_anonymous = [SPIN, UNKNOWN_SERVICE].contains(&application);
        self.0
            .keys()
            .any(|known| is_anonymous || known.application == application)
    }

    /// Adds the counters of `other` for applications that these do not cover.
    pub fn merge_uncovered(&mut self, other: &Self) {
        let missing = other.0.iter();
        let missing = missing.filter(|(component, _)| !self.covers(&component.application));
        let missing: Vec<_> = missing
            .map(|(key, counts)| (key.clone(), counts.clone()))
            .collect();
        self.0.extend(missing);
    }

    /// Returns the increments that `counted` makes to these counters: each component once, with its lost requests and its
    /// series. A new label set that does not fit into `space` goes to the overflow series of its component, and a
    /// component that does not fit to the component `other` of the application `other`.
    #[must_use]
    pub fn change<'a, S>(
        &self,
        counted: impl IntoIterator<Item = (&'a Component, u64, S)>,
        space: LabelSpace,
    ) -> Self
    where
        S: IntoIterator<Item = (&'a Series, &'a Histogram)>,
    {
        let in_use = |series: fn(&RequestCounts) -> usize| self.0.values().map(series).sum();
        let left = |in_use| space.max_series.saturating_sub(in_use);
        let mut room = Room {
            series: left(in_use(|counts| counts.requests.len())),
            endpoints: left(in_use(|counts| counts.latency.len())),
            max_label_len: space.max_label_len,
        };
        let nothing = RequestCounts::default();
        let mut change = Self::default();
        for (component, lost, series) in counted {
            let known = self.0.get(component);
            let fits = known.is_some()
                || room.series > 0
                    && room.endpoints > 0
                    && component.is_legible(space.max_label_len);
            let (component, room) = match fits {
                true => (component, &mut room),
                false => (
                    &Component::new(OTHER, OTHER),
                    &mut Room { series: 0, ..room },
                ),
            };
            let mut increments = known.unwrap_or(&nothing).change(series, room);
            increments.lost = lost;
            match change.0.entry(component.clone()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(increments);
                }
                // Several that do not fit.
                Entry::Occupied(occupied) => occupied.into_mut().merge(&increments),
            }
        }
        change
    }

    /// Returns the sum of `value` over all components.
    pub fn sum(&self, value: impl Fn(&RequestCounts) -> u64) -> u64 {
        self.0.values().map(value).fold(0, u64::saturating_add)
    }

    /// Returns the number of series; a histogram counts as one.
    pub fn series(&self) -> usize {
        self.0.values().map(RequestCounts::series).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ComponentFailure, RequestLabels, Status};
    use std::time::Duration;
    use telemetry::{Delta, Observation, attribute};

    const SPACE: LabelSpace = LabelSpace {
        max_series: 3,
        max_label_len: 10,
    };

    fn delta(requests: &[(&str, u16, Option<&str>)]) -> Delta {
        let mut delta = Delta::default();
        for (route, status, error) in requests {
            delta.record(Observation {
                series: Series::new("GET", route, *status, *error),
                duration: Duration::from_millis(1),
            });
        }
        delta
    }

    fn shop() -> Component {
        Component::new("shop", "carts")
    }

    /// Counts requests of [`shop`].
    fn count(counts: &mut ApplicationCounts, requests: &[(&str, u16, Option<&str>)]) {
        let change = counts.change([(&shop(), 0, delta(requests).iter())], SPACE);
        counts.merge(&change);
    }

    fn of(
        counts: &ApplicationCounts,
        component: &Component,
        endpoint: &str,
        status: Status,
    ) -> u64 {
        let labels = RequestLabels {
            endpoint: endpoint.into(),
            method: if endpoint == OTHER { OTHER } else { "GET" },
            status,
        };
        counts.0[component].requests[&labels]
    }

    #[test]
    fn a_known_series_always_fits() {
        let mut counts = ApplicationCounts::default();
        let first = [("/a", 200, None), ("/b", 200, None), ("/c", 200, None)];
        count(&mut counts, &first);
        count(&mut counts, &first);
        count(&mut counts, &[("/d", 503, None), ("/a", 404, None)]);
        assert_eq!(counts.sum(|counts| counts.overflowed), 2);
        assert_eq!(of(&counts, &shop(), "/c", Status::Code(200)), 2);
        assert_eq!(of(&counts, &shop(), OTHER, Status::Class(5)), 1);
        assert_eq!(of(&counts, &shop(), OTHER, Status::Class(4)), 1);
        assert_eq!(counts.0[&shop()].latency[OTHER].count(), 2);
    }

    #[test]
    fn an_illegible_endpoint_does_not_fit() {
        let illegible = [
            ("", 200, None),
            ("a\nb", 200, None),
            ("/01234567890", 200, None),
        ];
        let mut counts = ApplicationCounts::default();
        count(&mut counts, &illegible);
        let counts = &counts.0[&shop()];
        assert_eq!((counts.overflowed, counts.requests.len()), (3, 1));
    }

    #[test]
    fn a_trap_is_counted_once_for_all_requests_it_ends() {
        let mut counts = ApplicationCounts::default();
        count(
            &mut counts,
            &[
                ("/a", 500, Some(attribute::ERROR_PANIC)),
                ("/a", 500, Some(attribute::ERROR_NEIGHBOUR)),
                ("/", 500, Some("store")),
            ],
        );
        let counts = &counts.0[&shop()];
        assert_eq!(counts.errors, 3);
        assert_eq!(counts.component_failures[&ComponentFailure::Trap], 1);
    }

    #[test]
    fn equal_series_of_two_components_stay_apart_and_share_the_space() {
        let (carts, users) = (shop(), Component::new("shop", "users"));
        let blog = Component::new("blog", "carts");
        let requests = delta(&[("/items", 200, None)]);
        let mut counts = ApplicationCounts::default();
        for component in [&carts, &users, &blog, &blog] {
            let change = counts.change([(component, 0, requests.iter())], SPACE);
            counts.merge(&change);
        }
        let ok = Status::Code(200);
        assert_eq!(of(&counts, &carts, "/items", ok), 1);
        assert_eq!(of(&counts, &users, "/items", ok), 1);
        assert_eq!(of(&counts, &blog, "/items", ok), 2);
        // The space is full. Known components overflow by themselves, a new one goes to `other`.
        count(&mut counts, &[("/more", 500, None)]);
        assert_eq!(of(&counts, &carts, OTHER, Status::Class(5)), 1);
        let new = Component::new("late", "x");
        let change = counts.change([(&new, 7, requests.iter())], SPACE);
        counts.merge(&change);
        assert!(counts.get(&new).is_none());
        let other = Component::new(OTHER, OTHER);
        assert_eq!(of(&counts, &other, OTHER, Status::Class(2)), 1);
        assert_eq!(counts.sum(|counts| counts.overflowed), 2);
        assert_eq!(counts.get(&other).map(|counts| counts.lost), Some(7));
    }

    #[test]
    fn a_component_with_an_illegible_name_is_counted_under_other() {
        let counts = ApplicationCounts::default();
        for name in ["a\nb", "01234567890"] {
            let component = Component::new("shop", name);
            let change = counts.change([(&component, 0, delta(&[("/", 200, None)]).iter())], SPACE);
            let other = Component::new(OTHER, OTHER);
            assert_eq!(of(&change, &other, OTHER, Status::Class(2)), 1);
        }
    }
    #[test]
    fn setting_the_values_after_a_change_is_the_same_as_merging_it() {
        let mut counts = ApplicationCounts::default();
        let requests = [
            [("/a", 200, None), ("/a", 500, Some("store"))],
            [("/a", 200, None), ("/b", 500, Some(attribute::ERROR_PANIC))],
            [("/c", 200, None), ("/c", 503, None)],
        ];
        for requests in requests {
            let mut merged = counts.clone();
            let change = counts.change([(&shop(), 2, delta(&requests).iter())], SPACE);
            merged.merge(&change);
            let after = counts.after(&change);
            counts.set(&after);
            assert_eq!(counts, merged);
            // Again, as from a journal that is read twice.
            counts.set(&after);
            assert_eq!(counts, merged);
        }
        let shop = counts.get(&shop()).unwrap();
        assert_eq!((shop.errors, shop.lost, shop.overflowed), (2, 6, 2));
    }
}

//! What a PromQL expression relies on: metrics, and their labels.

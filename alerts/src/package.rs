//! Rules and dashboards as objects of Kubernetes, and as a configuration of Terraform.

use crate::{Dashboard, File, configuration::HEADER};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Name and labels of objects of Kubernetes.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// The name, or what it begins with.
    pub name: String,
    /// Labels, such as those by which an operator selects objects.
    pub labels: Vec<(String, String)>,
}

impl Metadata {
    fn write(&self, api: &str, kind: &str, name: &str) -> String {
        let mut text = format!("apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {name}\n");
        for (at, (label, value)) in self.labels.iter().enumerate() {
            if at == 0 {
                text += "  labels:\n";
            }
            let _ = writeln!(text, "    {label}: \"{value}\"");
        }
        text
    }
}

/// Returns all rules as one file.
pub fn joined(rules: &[File]) -> String {
    format!("{HEADER}groups:\n{}", groups(rules))
}

/// Returns all rules as one object of the Prometheus operator.
pub fn prometheus_rule(rules: &[File], metadata: &Metadata) -> String {
    let head = metadata.write("monitoring.coreos.com/v1", "PrometheusRule", &metadata.name);
    let groups = indented(&groups(rules), "  ");
    format!("{HEADER}{head}spec:\n  groups:\n{groups}")
}

/// Returns the groups of all files, each after the comments at its start.
fn groups(rules: &[File]) -> String {
    let files = rules.iter().map(|file| {
        let text = file.text.strip_prefix(HEADER).unwrap_or(&file.text);
        let (comments, groups) = text.split_once("\ngroups:\n").unwrap_or_default();
        format!("{}\n\n{groups}", indented(comments.trim_end(), "  "))
    });
    files.collect::<Vec<_>>().join("\n")
}

/// Returns the dashboard as Grafana's file.
pub fn file(dashboard: &Dashboard) -> String {
    format!("{:#}\n", dashboard.model)
}

/// Returns the dashboards as objects that the sidecar of Grafana's chart loads.
pub fn config_maps(dashboards: &[Dashboard], metadata: &Metadata) -> String {
    let maps = dashboards.iter().map(|dashboard| {
        let uid = dashboard.uid();
        let mut text = metadata.write("v1", "ConfigMap", &format!("{}-{uid}", metadata.name));
        let _ = writeln!(text, "data:\n  {uid}.json: |");
        text + &indented(&file(dashboard), "    ")
    });
    maps.collect::<Vec<_>>().join("---\n")
}

/// Returns the dashboards as a configuration of Terraform's provider for Grafana, in JSON.
pub fn terraform(dashboards: &[Dashboard]) -> String {
    let resources = dashboards.iter().map(|dashboard| {
        // `${` and `%{` would be Terraform's.
        let model = dashboard.model.to_string();
        let model = model.replace("${", "$${").replace("%{", "%%{");
        let resource = json!({ "config_json": model, "overwrite": true });
        (dashboard.uid().replace('-', "_"), resource)
    });
    let resources = Value::Object(resources.collect());
    let configuration = json!({ "resource": { "grafana_dashboard": resources } });
    format!("{configuration:#}\n")
}

fn indented(text: &str, by: &str) -> String {
    let mut indented = String::with_capacity(text.len() * 5 / 4);
    for line in text.split_inclusive('\n') {
        if !line.trim().is_empty() {
            indented += by;
        }
        indented += line;
    }
    indented
}

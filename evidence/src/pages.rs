//! The pages that show an alert, as pictures.

use anyhow::Result;
use std::{fs, path::Path};
use tempfile::NamedTempFile;

use crate::{browser::Browser, record::Picture, scenario::Alert, system::System};

/// Takes a picture of each page that shows what has become of an alert, or that none came, into `folder`.
///
/// # Errors
/// If a page or the browser fails.
pub async fn pictures(
    browser: &Browser,
    system: &System,
    alert: Option<&Alert>,
    folder: &Path,
) -> Result<Vec<Picture>> {
    let mut pictures = Vec::new();
    let mut taken = |file: &str, shows: String| {
        pictures.push(Picture {
            file: file.to_owned(),
            shows,
        });
        folder.join(file)
    };
    let state = alert.map_or(
        "while no alert of the application fires".to_owned(),
        |alert| format!("while {} fires", alert.name),
    );

    let prometheus = system.prometheus.url();
    // Debian's package has the older pages only.
    let path = match prometheus.get("/alerts").await?.status.is_success() {
        true => "/alerts",
        false => "/classic/alerts",
    };
    let file = taken(
        "prometheus.png",
        format!("Prometheus's alerts (`{path}`) {state}"),
    );
    browser
        .picture(&format!("{prometheus}{path}"), 1570, &file)
        .await?;

    let alertmanager = system.alertmanager.url();
    if alertmanager.get("/script.js").await?.status.is_success() {
        let file = taken("alertmanager.png", format!("Alertmanager's alerts {state}"));
        let url = format!("{alertmanager}/#/alerts");
        browser.picture(&url, 720, &file).await?;
    } else {
        let shown = match alert {
            Some(alert) => system.alertmanager.raw_alerts_named(alert.name).await?,
            None => system.alertmanager.raw_alerts().await?,
        };
        let file = taken(
            "alertmanager.png",
            format!(
                "what Alertmanager's API answers (`/api/v2/alerts`) {state}; its package has no pages, so the runner set the \
                 answer on one"
            ),
        );
        let page = NamedTempFile::with_suffix(".html")?;
        fs::write(page.path(), answer(&shown)?)?;
        let url = format!("file://{}", page.path().display());
        browser.picture(&url, 720, &file).await?;
    }

    let status = &system.service.operations;
    let file = taken("status.png", format!("the service's status page {state}"));
    browser.picture(&format!("{status}/"), 2160, &file).await?;
    Ok(pictures)
}

/// Returns a page that shows an answer of Alertmanager's API.
fn answer(alerts: &serde_json::Value) -> Result<String> {
    let text = serde_json::to_string_pretty(alerts)?;
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    Ok(format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Alertmanager</title>\
         <style>body {{ font: 16px sans-serif; margin: 2em }} pre {{ font-size: 14px; white-space: pre-wrap }}</style>\
         <h1>Alertmanager: GET /api/v2/alerts</h1><pre>{text}</pre>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_shown_as_it_is() {
        let page = answer(&json!([{"labels": {"a": "<b>&amp;"}}])).unwrap();
        assert!(page.contains(r#""a": "&lt;b>&amp;amp;""#), "{page}");
    }
}

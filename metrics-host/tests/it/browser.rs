//! Headless Chromium, driven over a pipe: pages as a person sees them, and the messages of the console.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use testkit::process::Process;

/// Time that an answer may take.
const REACTION: Duration = Duration::from_secs(60);
/// The end of a message of the DevTools protocol.
const END: u8 = 0;
/// Chromium reads commands from descriptor 3 and writes answers to 4.
const START: &str = r#"exec chromium "$@" 3<&0 4>&1 >&2"#;

/// A viewport and colour scheme.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Width in pixels.
    pub(crate) width: u32,
    /// `light` or `dark`.
    pub(crate) scheme: &'static str,
}

/// A page that was loaded.
#[derive(Debug)]
pub(crate) struct Shown {
    /// HTTP status.
    pub(crate) status: u64,
    /// The document after it was parsed.
    pub(crate) html: String,
    /// Width of the content, in pixels.
    pub(crate) width: f64,
    /// Messages of the console: refused by the policy, not found, not understood.
    pub(crate) complaints: Vec<String>,
    /// A picture of the whole page, as PNG in base64.
    pub(crate) picture: String,
}

/// A running browser with one tab.
pub(crate) struct Browser {
    _process: Process,
    commands: ChildStdin,
    messages: Receiver<Value>,
    /// Messages that came while another was awaited.
    events: Vec<Value>,
    session: Option<String>,
    last_id: u64,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser with a profile of its own.
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", START, "chromium"])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args([
                "--disable-sync",
                "--hide-scrollbars",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = Process::spawn(command).unwrap();
        let mut answers = BufReader::new(process.child().stdout.take().unwrap());
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while answers
                .read_until(END, &mut message)
                .is_ok_and(|read| read > 0)
            {
                message.pop();
                let parsed = serde_json::from_slice(&message).unwrap();
                message.clear();
                if sender.send(parsed).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            commands: process.child().stdin.take().unwrap(),
            _process: process,
            messages,
            events: Vec::new(),
            session: None,
            last_id: 0,
            _profile: profile,
        };
        let tab = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": tab["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Log", "Runtime", "Network", "DOM"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Opens `path` of the server at `address`, and waits until it is loaded.
    pub(crate) fn open(&mut self, address: SocketAddr, path: &str, view: View) -> Shown {
        let View { width, scheme } = view;
        let metrics =
            json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": [scheme] }),
        );
        self.events.clear();
        let url = format!("http://{address}{path}");
        let opened = self.call("Page.navigate", json!({ "url": url }));
        assert_eq!(opened.get("errorText"), None, "{url}: {opened}");
        self.wait_for("Page.loadEventFired");
        let document = self.call("DOM.getDocument", json!({}));
        let root = json!({ "nodeId": document["root"]["nodeId"] });
        let html = self.call("DOM.getOuterHTML", root);
        let layout = self.call("Page.getLayoutMetrics", json!({}));
        let whole = json!({ "captureBeyondViewport": true, "clip": {
            "x": 0, "y": 0, "scale": 1, "width": width, "height": layout["cssContentSize"]["height"],
        } });
        let picture = self.call("Page.captureScreenshot", whole);
        let document = self.events.iter().find(|event| {
            event["method"] == "Network.responseReceived" && event["params"]["type"] == "Document"
        });
        let document = document.expect("the page came over the network");
        Shown {
            status: document["params"]["response"]["status"].as_u64().unwrap(),
            html: html["outerHTML"].as_str().unwrap().to_owned(),
            width: layout["cssContentSize"]["width"].as_f64().unwrap(),
            complaints: self.complaints(),
            picture: picture["data"].as_str().unwrap().to_owned(),
        }
    }

    /// Has pages do without their scripts.
    pub(crate) fn forbid_scripts(&mut self) {
        let params = json!({ "value": true });
        self.call("Emulation.setScriptExecutionDisabled", params);
    }

    /// Takes a picture of the page that is open, with a height of at most `height` pixels, as WebP in
    /// base64.
    pub(crate) fn picture(&mut self, width: u32, height: u32) -> String {
        let layout = self.call("Page.getLayoutMetrics", json!({}));
        let content = layout["cssContentSize"]["height"].as_f64().unwrap();
        let clip = json!({
            "x": 0, "y": 0, "scale": 1, "width": width, "height": content.min(f64::from(height)),
        });
        let params = json!({
            "format": "webp", "quality": 60, "captureBeyondViewport": true, "clip": clip,
        });
        let picture = self.call("Page.captureScreenshot", params);
        picture["data"].as_str().unwrap().to_owned()
    }

    /// Runs a script in the page, waits for its promise, and returns the text that it resolves to.
    pub(crate) fn evaluate(&mut self, script: &str) -> String {
        let params = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", params);
        let text = answer["result"]["value"].as_str();
        text.unwrap_or_else(|| panic!("{script}: {answer}"))
            .to_owned()
    }

    fn complaints(&self) -> Vec<String> {
        let said = self.events.iter().filter(|event| {
            // The next page ends what this one was loading.
            let is_ended = event["params"]["canceled"] == true;
            !is_ended
                && matches!(
                    event["method"].as_str(),
                    Some(
                        "Log.entryAdded"
                            | "Runtime.consoleAPICalled"
                            | "Runtime.exceptionThrown"
                            | "Network.loadingFailed"
                    )
                )
        });
        said.map(Value::to_string).collect()
    }

    /// Sends a command, and returns its result.
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut command = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(END);
        self.commands
            .write_all(&bytes)
            .expect("chromium is not there: run `make setup-test`");
        let mut answer = self.next_where(method, |message| message["id"] == id);
        assert_eq!(answer.get("error"), None, "{method}: {answer}");
        answer["result"].take()
    }

    fn wait_for(&mut self, event: &str) {
        if !self.events.iter().any(|seen| seen["method"] == event) {
            let event = self.next_where(event, |message| message["method"] == event);
            self.events.push(event);
        }
    }

    /// Returns the next message that `fits`, and keeps the messages before it.
    fn next_where(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + REACTION;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left).unwrap_or_else(|error| {
                panic!("{what}: {error}; if chromium is not there, run `make setup-test`")
            });
            if fits(&message) {
                return message;
            }
            self.events.push(message);
        }
    }
}

//! Takes out of evidence what identifies a machine: paths, host names, users, and the servers it fetches from.
//!
//! Text is redacted before its digest is taken. Every file is searched afterwards, screenshots included: their pixels
//! cannot be searched, so pages are served under addresses and names that say nothing.

use anyhow::{Context, Result, ensure};
use regex::{Regex, escape};
use std::{env, fs, path::Path};
use testkit::root;

use crate::digest;

/// Extensions of text files.
const TEXT: [&str; 7] = ["json", "txt", "log", "md", "svg", "html", "yml"];
/// Shortest run of printable bytes that counts as text in a binary file: its bytes spell any short name by chance.
const SPOKEN: usize = 12;
/// Host names that are no secret: names of what runs here, or of any machine.
const PUBLIC: [&str; 7] = [
    "localhost",
    "127.0.0.1",
    "metrics-host",
    "prometheus",
    "alertmanager",
    "app",
    "items",
];
/// Folders of users and of temporary files, on any machine.
const FOLDERS: [(&str, &str); 3] = [
    (r"/(home|Users)/[\w.-]+", "<home>"),
    ("/root", "<home>"),
    ("/tmp", "<tmp>"),
];
/// Parts of the names of variables that hold the URLs of package servers.
const SERVERS: [&str; 4] = ["INDEX", "PROXY", "REGISTR", "proxy"];

/// Patterns to replace, each with its replacement, in this order.
#[derive(Clone, Debug)]
pub struct Redactor(Vec<(Regex, String)>);

impl Redactor {
    /// Returns the redactor for this machine.
    pub fn of_this_machine() -> Result<Self> {
        let variable = |name| env::var(name).unwrap_or_default();
        let repository = root();
        let real = repository.canonicalize()?;
        let paths = [
            (repository.display().to_string(), "<repository>"),
            (real.display().to_string(), "<repository>"),
            (variable("CARGO_HOME"), "<cargo>"),
            (variable("RUSTUP_HOME"), "<rustup>"),
            (variable("HOME"), "<home>"),
            (env::temp_dir().display().to_string(), "<tmp>"),
        ];
        let mut hosts = vec![fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()];
        for (name, url) in env::vars() {
            if SERVERS.iter().any(|part| name.contains(part)) {
                hosts.extend(host(&url)?);
            }
        }
        Self::new(&paths, &hosts, &variable("USER"))
    }

    fn new(paths: &[(String, &str)], hosts: &[String], user: &str) -> Result<Self> {
        let paths = paths
            .iter()
            .map(|(path, word)| (path.trim_end_matches('/'), *word));
        let paths = paths.filter(|(path, _)| !path.is_empty());
        let mut paths: Vec<_> = paths.map(|(path, word)| (escape(path), word)).collect();
        // One path may be inside another.
        paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        paths.extend(FOLDERS.map(|(path, word)| (path.to_owned(), word)));
        let mut rules = Vec::new();
        for (path, word) in paths {
            // A path does not begin inside a word or after a replacement.
            rules.push((
                Regex::new(&format!(r"(^|[^\w>]){path}\b"))?,
                format!("${{1}}{word}"),
            ));
        }
        for host in hosts.iter().map(|host| host.trim()) {
            if !host.is_empty() && !PUBLIC.contains(&host) {
                rules.push((
                    Regex::new(&format!(r"\b{}\b", escape(host)))?,
                    "<host>".into(),
                ));
            }
        }
        if !user.is_empty() {
            // Elsewhere the name of a user may be a word like any other: `runner`, `demo`.
            rules.push((
                Regex::new(&format!(r"\b{}@", escape(user)))?,
                "<user>@".into(),
            ));
        }
        Ok(Self(rules))
    }

    /// Returns `text` with every match replaced.
    pub fn redact(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (rule, word)| {
            rule.replace_all(&text, word).into_owned()
        })
    }

    /// Redacts every text file in `folder`.
    ///
    /// # Errors
    /// If a file cannot be read or written, or is not text.
    pub fn redact_folder(&self, folder: &Path) -> Result<()> {
        for file in digest::files(folder)?.iter().filter(|file| is_text(file)) {
            let path = folder.join(file);
            let text = fs::read_to_string(&path).with_context(|| file.clone())?;
            fs::write(&path, self.redact(&text)).with_context(|| file.clone())?;
        }
        Ok(())
    }

    /// Searches every file in `folder`, and its name.
    ///
    /// # Errors
    /// If something is found.
    pub fn check_folder(&self, folder: &Path) -> Result<()> {
        for file in digest::files(folder)? {
            let content = fs::read(folder.join(&file)).with_context(|| file.clone())?;
            let printable = content.split(|byte| !(b' '..=b'~').contains(byte));
            let least = if is_text(&file) { 0 } else { SPOKEN };
            let spoken = printable.filter(|run| run.len() >= least);
            for text in spoken.chain([file.as_bytes()]).map(String::from_utf8_lossy) {
                for (rule, _) in &self.0 {
                    let found = rule.find(&text).map_or("", |found| found.as_str());
                    ensure!(found.is_empty(), "{file}: {found:?} was not taken out");
                }
            }
        }
        Ok(())
    }
}

/// Returns the host of a URL.
fn host(url: &str) -> Result<Option<String>> {
    let host = Regex::new("://(?:[^/@]*@)?([^/:?]+)")?;
    let found = host.captures(url);
    Ok(found.map(|found| found[1].to_owned()))
}

fn is_text(file: &str) -> bool {
    TEXT.contains(&file.rsplit('.').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts before and after.
    const TEXTS: &str = r#"
        error: /srv/build/items/spin.toml:1 => error: <repository>/spin.toml:1
        /srv/build/itemsize /srv/building => <home>/itemsize /srv/building
        {"at":"/srv/build/items"} => {"at":"<repository>"}
        file:///home/jane.doe/x /Users/me => file://<home>/x <home>
        /root/.cargo/bin, /tmp/tmp.A/x => <home>/.cargo/bin, <tmp>/tmp.A/x
        on vm: vmstat, kvm, vm-1, VM => on <host>: vmstat, kvm, <host>-1, VM
        https://mirror.example/simple/x => https://<host>/simple/x
        demo@vm runs the demo => <user>@<host> runs the demo
        https://example.com/home/page => https://example.com/home/page
        /items/{id} /health/live => /items/{id} /health/live"#;

    fn redactor() -> Redactor {
        let paths = "/srv/build/ <home>|/srv/build/items <repository>|/ <none>".split('|');
        let paths = paths.map(|line| line.split_once(' ').unwrap());
        let paths: Vec<_> = paths.map(|(path, word)| (path.to_owned(), word)).collect();
        let hosts = ["vm\n".to_owned(), "mirror.example".to_owned()];
        Redactor::new(&paths, &hosts, "demo").unwrap()
    }

    #[test]
    fn paths_hosts_and_users_are_replaced_and_words_like_them_are_not() {
        for line in TEXTS.trim().lines().map(str::trim) {
            let (text, redacted) = line.split_once(" => ").unwrap();
            assert_eq!(redactor().redact(text), redacted);
            assert_eq!(redactor().redact(redacted), redacted);
        }
    }

    #[test]
    fn a_folder_is_redacted_and_any_file_or_name_is_searched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let error = || redactor().check_folder(path).unwrap_err().to_string();
        fs::write(path.join("host.log"), "started\nin /srv/build/items\n").unwrap();
        fs::write(path.join("page.png"), b"\x89PNG\xff ok").unwrap();
        assert!(error().starts_with("host.log: "));
        redactor().redact_folder(path).unwrap();
        redactor().check_folder(path).unwrap();
        let log = fs::read_to_string(path.join("host.log")).unwrap();
        assert_eq!(log, "started\nin <repository>\n");

        fs::write(path.join("page.png"), b"\x89PNG\xff\nvm\n/tmp/page-1234").unwrap();
        redactor().redact_folder(path).unwrap();
        assert_eq!(error(), "page.png: \"/tmp\" was not taken out");
        fs::rename(path.join("page.png"), path.join("of-vm.txt")).unwrap();
        fs::write(path.join("of-vm.txt"), "").unwrap();
        assert_eq!(error(), "of-vm.txt: \"vm\" was not taken out");
    }

    #[test]
    fn this_machine_is_taken_out() {
        let redactor = Redactor::of_this_machine().unwrap();
        let text = redactor.redact(&format!("in {}/Cargo.toml", root().display()));
        assert_eq!(text, "in <repository>/Cargo.toml");
        let host = |url| host(url).unwrap().unwrap_or_default();
        let urls = [
            "http://u@b.example:80",
            "sparse+https://a.example/index/",
            "direct",
        ];
        assert_eq!(urls.map(host), ["b.example", "a.example", ""]);
    }
}

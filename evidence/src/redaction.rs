//! Takes out of evidence what is nobody's business: paths of the machine, its name, who uses it, and from where it fetches.
//!
//! Texts are redacted before their digests are taken, and every file is searched afterwards, pictures included: what a
//! picture shows cannot be seen that way, so pages are taken under addresses and names that say nothing.

use anyhow::{Context, Result, bail};
use std::{env, fs, path::Path};

use crate::{digest, stack};

/// What of a run is text.
const TEXT: [&str; 7] = ["json", "txt", "log", "md", "svg", "html", "yml"];
/// Characters in a row that are text in a file that is none.
const SPOKEN: usize = 12;
/// Folders of users and of what is temporary, on any machine of ours.
const FOLDERS: [(&str, &str); 4] = [
    ("/home/", "<home>"),
    ("/Users/", "<home>"),
    ("/root/", "<home>"),
    ("/tmp/", "<tmp>"),
];
/// Names of machines that are names of what runs on them, or of any machine.
const NO_NAMES: [&str; 7] = [
    "localhost",
    "127.0.0.1",
    "metrics-host",
    "prometheus",
    "alertmanager",
    "app",
    "items",
];

/// What variables are called that name servers which this machine fetches from.
const SERVERS: [&str; 4] = ["INDEX", "PROXY", "REGISTR", "proxy"];

/// What is taken out, and what is put in its place.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    /// Paths, longest first: one may be in another.
    paths: Vec<(String, &'static str)>,
    hosts: Vec<String>,
    user: Option<String>,
}

impl Redactor {
    /// Returns that of this machine.
    pub fn of_this_machine() -> Self {
        let mut redactor = Self::default();
        let repository = stack::repository();
        redactor.path(repository.to_str(), "<repository>");
        let repository = repository.canonicalize().ok();
        redactor.path(repository.as_deref().and_then(Path::to_str), "<repository>");
        for (variable, word) in [
            ("CARGO_HOME", "<cargo>"),
            ("RUSTUP_HOME", "<rustup>"),
            ("HOME", "<home>"),
        ] {
            redactor.path(env::var(variable).ok().as_deref(), word);
        }
        redactor.path(env::temp_dir().to_str(), "<tmp>");
        let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let used = env::vars().filter(|(name, _)| SERVERS.iter().any(|word| name.contains(word)));
        let used: Vec<_> = used
            .filter_map(|(_, url)| Some(host(&url)?.to_owned()))
            .collect();
        redactor.hosts = [own.trim().to_owned()].into_iter().chain(used).collect();
        redactor
            .hosts
            .retain(|name| !name.is_empty() && !NO_NAMES.contains(&name.as_str()));
        redactor.user = env::var("USER").ok().filter(|name| !name.is_empty());
        redactor
    }

    fn path(&mut self, path: Option<&str>, word: &'static str) {
        if let Some(path) = path
            .map(|path| path.trim_end_matches('/'))
            .filter(|path| path.len() > 1)
        {
            self.paths.push((path.to_owned(), word));
            self.paths
                .sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        }
    }

    /// Returns `text` without what is nobody's business.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        while let Some((start, end, word)) = self.find(text.as_bytes()) {
            text.replace_range(start..end, word);
        }
        text
    }

    /// Returns the first thing in `bytes` that is nobody's business: from where to where, and what to write instead.
    fn find(&self, bytes: &[u8]) -> Option<(usize, usize, &'static str)> {
        let named = self.paths.iter().find_map(|(path, word)| {
            let (start, end) = find_word(bytes, path, is_path)?;
            Some((start, end, *word))
        });
        named
            .or_else(|| {
                FOLDERS
                    .iter()
                    .find_map(|(folder, word)| below(bytes, folder, word))
            })
            .or_else(|| {
                let mut found = self.hosts.iter();
                let (start, end) = found.find_map(|host| find_word(bytes, host, is_name))?;
                Some((start, end, "<host>"))
            })
            .or_else(|| {
                // Elsewhere the name of a user may be a word like any other: `runner`, `demo`.
                let user = self.user.as_deref()?;
                let (start, _) = find_word(bytes, &format!("{user}@"), |_| false)?;
                Some((start, start + user.len(), "<user>"))
            })
    }
}

/// Returns the host of a URL.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit('@').next()?;
    host.split(':').next().filter(|host| !host.is_empty())
}

/// Redacts every text in `folder`.
///
/// # Errors
/// If a file cannot be read or written, or a text is none.
pub fn redact(folder: &Path, redactor: &Redactor) -> Result<()> {
    for file in digest::files(folder)? {
        let path = folder.join(&file);
        if !is_text(&file) {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| file.clone())?;
        let redacted = redactor.redact(&text);
        if redacted != text {
            fs::write(&path, redacted).with_context(|| file.clone())?;
        }
    }
    Ok(())
}

/// Searches every file in `folder`.
///
/// # Errors
/// If one of them, or its name, has something that was to be taken out.
pub fn check(folder: &Path, redactor: &Redactor) -> Result<()> {
    for file in digest::files(folder)? {
        let content = fs::read(folder.join(&file)).with_context(|| file.clone())?;
        let texts = if is_text(&file) {
            vec![&content[..]]
        } else {
            texts(&content).collect()
        };
        for (what, text) in [("its name", file.as_bytes())]
            .into_iter()
            .chain(texts.into_iter().map(|text| ("it", text)))
        {
            if let Some((start, end, word)) = redactor.find(text) {
                let found = String::from_utf8_lossy(&text[start..end]);
                bail!("{file}: {what} has {found:?}, which should read {word}");
            }
        }
    }
    Ok(())
}

/// Returns what in other files can be read as text. A picture's bytes spell any short name sooner or later.
fn texts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let runs = bytes.split(|byte| !(byte.is_ascii_graphic() || *byte == b' '));
    runs.filter(|run| run.len() >= SPOKEN)
}

fn is_text(file: &str) -> bool {
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    TEXT.contains(&extension)
}

/// Bytes that continue a part of a path.
fn is_path(byte: u8) -> bool {
    is_name(byte) || byte == b'-' || byte == b'.'
}

/// Bytes that continue a name.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Finds `word` where it is not the middle or the end of another, nor goes on by what `continues` it.
fn find_word(bytes: &[u8], word: &str, continues: impl Fn(u8) -> bool) -> Option<(usize, usize)> {
    let word = word.as_bytes();
    let starts = bytes.windows(word.len()).enumerate();
    let mut found = starts.filter(|(_, window)| *window == word);
    found.find_map(|(start, _)| {
        let end = start + word.len();
        let before = start.checked_sub(1).map(|at| bytes[at]);
        let apart =
            !before.is_some_and(is_name) && !bytes.get(end).copied().is_some_and(&continues);
        apart.then_some((start, end))
    })
}

/// Finds a path below `folder`, with the part that follows it: the name of a user, or of something temporary.
fn below(bytes: &[u8], folder: &str, word: &'static str) -> Option<(usize, usize, &'static str)> {
    let (start, mut end) = find_word(bytes, folder, |_| false)?;
    let is_home = folder != "/root/" && word == "<home>";
    if is_home {
        while bytes.get(end).copied().is_some_and(is_path) {
            end += 1;
        }
        Some((start, end, word))
    } else {
        Some((start, end - 1, word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        let mut redactor = Redactor {
            hosts: vec!["vm".into(), "mirror.example".into()],
            user: Some("demo".into()),
            ..Redactor::default()
        };
        for (path, word) in [
            ("/srv/build", "<home>"),
            ("/srv/build/items", "<repository>"),
            ("/", "<none>"),
        ] {
            redactor.path(Some(path), word);
        }
        redactor
    }

    #[test]
    fn paths_hosts_and_users_are_replaced_and_words_like_them_are_not() {
        for (text, redacted) in [
            (
                "error: /srv/build/items/spin.toml:1",
                "error: <repository>/spin.toml:1",
            ),
            (
                "/srv/build/itemsize /srv/building",
                "<home>/itemsize /srv/building",
            ),
            (r#"{"at":"/srv/build/items"}"#, r#"{"at":"<repository>"}"#),
            (
                "file:///home/jane.doe/x /Users/me",
                "file://<home>/x <home>",
            ),
            (
                "/root/.cargo/bin, /tmp/evidence-Ab1/state",
                "<home>/.cargo/bin, <tmp>/evidence-Ab1/state",
            ),
            (
                "on vm: vmstat, kvm, vm-1, VM",
                "on <host>: vmstat, kvm, <host>-1, VM",
            ),
            (
                "Fetching https://mirror.example/simple/x",
                "Fetching https://<host>/simple/x",
            ),
            ("demo@vm runs the demo", "<user>@<host> runs the demo"),
            (
                "https://example.com/home/page",
                "https://example.com/home/page",
            ),
            ("/items/{id} /health/live", "/items/{id} /health/live"),
        ] {
            assert_eq!(redactor().redact(text), redacted);
            assert_eq!(redactor().redact(redacted), redacted);
        }
    }

    #[test]
    fn a_folder_is_redacted_and_what_is_left_is_found_in_any_file_and_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("5xx")).unwrap();
        fs::write(path.join("5xx/host.log"), "started\nin /srv/build/items\n").unwrap();
        fs::write(path.join("5xx/page.png"), b"\x89PNG\xff ok").unwrap();
        assert!(check(path, &redactor()).is_err());
        redact(path, &redactor()).unwrap();
        check(path, &redactor()).unwrap();
        let log = fs::read_to_string(path.join("5xx/host.log")).unwrap();
        assert_eq!(log, "started\nin <repository>\n");

        fs::write(
            path.join("5xx/page.png"),
            b"\x89PNG\xff\nvm\n/tmp/page-1234",
        )
        .unwrap();
        redact(path, &redactor()).unwrap();
        let error = check(path, &redactor()).unwrap_err().to_string();
        assert_eq!(
            error,
            "5xx/page.png: it has \"/tmp\", which should read <tmp>"
        );
        fs::remove_file(path.join("5xx/page.png")).unwrap();
        fs::write(path.join("5xx/of-vm.txt"), "").unwrap();
        let error = check(path, &redactor()).unwrap_err().to_string();
        assert!(error.starts_with("5xx/of-vm.txt: its name"), "{error}");
    }

    #[test]
    fn the_host_of_a_url_is_what_stands_between_user_and_port() {
        assert_eq!(host("sparse+https://a.example/index/"), Some("a.example"));
        assert_eq!(host("http://user@b.example:8080"), Some("b.example"));
        assert_eq!(host("direct"), None);
    }

    #[test]
    fn this_machine_is_taken_out() {
        let redactor = Redactor::of_this_machine();
        let repository = stack::repository();
        let text = redactor.redact(&format!("in {}/Cargo.toml", repository.display()));
        assert_eq!(text, "in <repository>/Cargo.toml");
    }
}

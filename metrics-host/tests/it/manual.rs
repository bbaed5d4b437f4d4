//! Completions and man pages know every command and flag.

use std::{fs, process::Command};

fn metrics_host(args: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_metrics-host"))
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn a_shell_accepts_its_completions_and_completes_a_flag() {
    let directory = tempfile::tempdir().unwrap();
    let completions = directory.path().join("metrics-host");
    fs::write(&completions, metrics_host(&["completions", "bash"])).unwrap();
    let script = r#"
        source "$0"
        COMP_WORDS=(metrics-host proxy --upst) COMP_CWORD=2
        "$(complete -p metrics-host | sed 's/.*-F \([^ ]*\).*/\1/')" metrics-host --upst proxy
        echo "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash")
        .args(["-c", script])
        .arg(&completions)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "--upstream\n",
        "{output:?}"
    );
    for shell in ["elvish", "fish", "powershell", "zsh"] {
        let completions = String::from_utf8(metrics_host(&["completions", shell])).unwrap();
        assert!(completions.contains("otlp-allowed-origin"), "{shell}");
    }
}

#[test]
fn each_command_has_a_man_page() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("share/man/man1");
    metrics_host(&["man", pages.to_str().unwrap()]);
    for (page, expected) in [
        ("metrics-host.1", "sidecar"),
        ("metrics-host-serve.1", "METRICS_HOST_MANIFEST"),
        ("metrics-host-proxy.1", "METRICS_HOST_UPSTREAM"),
        ("metrics-host-sidecar.1", "METRICS_HOST_MAX_SENDERS"),
        ("metrics-host-check.1", "spin.toml"),
    ] {
        let page = fs::read_to_string(pages.join(page)).unwrap();
        assert!(page.contains(expected), "{page}");
    }
}

use super::*;
use crate::wait::until;
use std::fs;

const SOON: Duration = Duration::from_secs(30);

fn shell(script: &str) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Process::start(command).unwrap()
}

fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn a_process_outlives_the_thread_that_started_it() {
    let start = || shell("read -r line </dev/tcp 2>/dev/null; sleep 0.2; echo alive");
    let mut process = thread::spawn(start).join().unwrap();
    assert!(process.end(SOON).await.unwrap().success());
    process
        .line("a sign", SOON, |line| (line == "alive").then_some(()))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_early_end_is_an_error_with_the_log() {
    let mut process = shell("echo out; echo err >&2; exit 3");
    let started = process.until(Wait::up_to(SOON), "a start", async || {
        Ok(Seen::<()>::NotYet("nothing".into()))
    });
    let error = started.await.unwrap_err().to_string();
    assert!(
        error.starts_with("sh ended with exit status: 3\n--- log of sh ---"),
        "{error}"
    );
    let error = process
        .line("more", SOON, |_| None::<()>)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "more: no such line\n--- log of sh ---\nout\nerr"
    );
    assert_eq!(process.lines(), ["out", "err"]);
}

#[tokio::test]
async fn a_process_ends_with_what_it_started() {
    let process = shell("sleep 600 & echo $!; wait");
    let child = process.line("a child", SOON, |line| Some(line.to_owned()));
    let child = child.await.unwrap();
    assert!(runs(&child));
    process.kill();
    until("the end of the child", SOON, async || {
        Ok(Seen::when(!runs(&child), "running"))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_process_is_asked_to_end_and_one_that_refuses_is_an_error() {
    let obeys = shell("trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    obeys.line("ready", SOON, |_| Some(())).await.unwrap();
    obeys.terminate(SOON).await.unwrap();
    let refuses = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done");
    refuses.line("ready", SOON, |_| Some(())).await.unwrap();
    let error = refuses
        .terminate(Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("the end of sh: not within 0.05 s"),
        "{error:#}"
    );
}

#[test]
fn a_program_that_is_not_installed_is_named() {
    let error = Process::start(Command::new("no-such-program")).unwrap_err();
    assert!(error.to_string().contains("no-such-program"), "{error:#}");
}

#[test]
fn pipes_are_the_commands_own_if_it_is_only_spawned() {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::spawn(command).unwrap();
    drop(process.child().stdin.take());
    let mut output = String::new();
    let mut stdout = process.child().stdout.take().unwrap();
    stdout.read_to_string(&mut output).unwrap();
    assert_eq!(output, "");
}

//! What is asked of AWS Batch, by a server that answers from a script.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stagger_coordinator::BatchRequest;
use stagger_storage::runtime;

use super::{Batch, terminate_jobs};
use crate::lambda::scripted::{answer, serve, shared_config};

const RUN: &str = "s3://bucket/runs/nightly-2026-11-21";

fn jobs(workers: usize) -> BatchRequest {
    BatchRequest { queue: "gpus".to_owned(), definition: "worker:3".to_owned(), workers }
}

/// Paths and bodies of requests.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// Answers every request so; keeps path and body of each.
fn script(reply: impl Fn(&str) -> String + Send + Sync + 'static) -> (String, Asked) {
    let asked: Asked = Arc::default();
    let kept = Arc::clone(&asked);
    let (url, _) = serve(Box::new(move |text| {
        let path = text.split_whitespace().nth(1).unwrap_or_default().to_owned();
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        kept.lock().unwrap().push((path.clone(), serde_json::from_str(body).unwrap_or_default()));
        reply(&path)
    }));
    (url, asked)
}

#[test]
fn jobs_begin_with_the_run_and_end_with_it() {
    let (url, asked) = script(|_| answer(200, "", r#"{"jobName":"n","jobId":"j-1"}"#));
    let batch = Batch::new(&shared_config(&url), jobs(3), "https://sqs/tasks");
    runtime().unwrap().block_on(async {
        batch.submit(RUN).await.unwrap();
        batch.terminate().await;
        batch.terminate().await;
    });
    let asked = asked.lock().unwrap();
    let [(submit, job), (terminate, ended)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((submit.as_str(), terminate.as_str()), ("/v1/submitjob", "/v1/terminatejob"));
    assert_eq!(job["jobName"], "stagger-nightly-2026-11-21");
    assert_eq!((&job["jobQueue"], &job["jobDefinition"]), (&json!("gpus"), &json!("worker:3")));
    assert_eq!(job["arrayProperties"]["size"], 3);
    assert_eq!(job["containerOverrides"]["environment"][0]["value"], "https://sqs/tasks");
    assert_eq!(job["tags"]["stagger-run"], "nightly-2026-11-21");
    assert_eq!(ended["jobId"], "j-1");
}

#[test]
fn one_job_is_no_array_and_a_refusal_says_what_to_check() {
    let (url, asked) =
        script(|_| answer(400, "x-amzn-ErrorType: ClientException\r\n", r#"{"message":"no such queue."}"#));
    let batch = Batch::new(&shared_config(&url), jobs(1), "https://sqs/tasks");
    let refused = runtime().unwrap().block_on(batch.submit(RUN)).unwrap_err();
    assert_eq!(refused.message, "batch:SubmitJob on `gpus`: ClientException: no such queue");
    assert!(refused.hint.unwrap().contains("--batch"));
    assert!(asked.lock().unwrap()[0].1.get("arrayProperties").is_none());
}

#[test]
fn only_jobs_of_the_run_are_ended() {
    let list =
        r#"{"jobSummaryList":[{"jobId":"a","jobName":"stagger-r1"},{"jobId":"b","jobName":"stagger-r2"}]}"#;
    let (url, asked) =
        script(move |path| answer(200, "", if path.ends_with("listjobs") { list } else { "{}" }));
    let ended = runtime().unwrap().block_on(terminate_jobs(&shared_config(&url), "gpus", "r1")).unwrap();
    let asked = asked.lock().unwrap();
    let terminated: Vec<&Value> = asked
        .iter()
        .filter(|(path, _)| path.ends_with("terminatejob"))
        .map(|(_, body)| &body["jobId"])
        .collect();
    assert_eq!(ended, 5, "one a status that is alive");
    assert!(terminated.iter().all(|id| **id == "a") && terminated.len() == 5, "{terminated:?}");
}

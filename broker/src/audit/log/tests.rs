use std::fs::File;
use std::sync::Mutex;

use vouchsafe_model::record::Phase;

use super::*;
use crate::audit::verify::verify_folder;

/// A disk that hangs while its gate is held, or refuses.
#[derive(Clone, Default)]
struct Gated {
    gate: Arc<Mutex<()>>,
    refuses: Arc<AtomicBool>,
}

impl Medium for Gated {
    fn sync(&mut self, file: &File) -> std::io::Result<()> {
        drop(self.gate.lock());
        if self.refuses.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("EIO"));
        }
        file.sync_data()
    }
}

fn entry(request: &str) -> Entry {
    let mut entry = Entry::new(Phase::Outcome);
    request.clone_into(&mut entry.request);
    entry
}

async fn end(lifecycle: Lifecycle) {
    lifecycle.stop("the test is over");
    lifecycle.drain(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_receipt_belongs_to_its_request_and_its_record_is_in_the_file() {
    let (folder, lifecycle) = (tempfile::tempdir().unwrap(), Lifecycle::new());
    let log = Log::open(&LogOptions::new(folder.path()), &lifecycle).unwrap();
    let receipt = log.record(entry("r1")).await.unwrap();
    let text = std::fs::read_to_string(folder.path().join("audit-00000001.jsonl")).unwrap();
    assert_eq!(receipt.request(), "r1");
    assert!(text.contains(&format!("\"sequence\":{},", receipt.sequence())) && text.contains("\"request\":\"r1\""));
    drop(log);
    end(lifecycle).await;
    let report = verify_folder(folder.path(), None).unwrap();
    assert_eq!((report.faults.len(), report.records), (0, 3), "opened, r1, closed");
}

#[tokio::test]
async fn many_records_share_one_sync() {
    let (folder, lifecycle) = (tempfile::tempdir().unwrap(), Lifecycle::new());
    let log = Log::open(&LogOptions::new(folder.path()), &lifecycle).unwrap();
    let (ids, state) = ((0..500).map(|number| number.to_string()).collect::<Vec<_>>(), log.state());
    let receipts = futures_join(ids.iter().map(|id| log.record(entry(id)))).await;
    assert!(receipts.iter().zip(&ids).all(|(receipt, id)| receipt.as_ref().unwrap().request() == id));
    assert_eq!(state.records(), 500);
    assert!(state.batches() < 50, "{} syncs for 500 records", state.batches());
    drop(log);
    end(lifecycle).await;
    assert!(verify_folder(folder.path(), None).unwrap().is_intact());
}

#[tokio::test]
async fn a_disk_that_hangs_costs_a_bounded_wait_and_a_bounded_queue() {
    let (folder, lifecycle, medium) = (tempfile::tempdir().unwrap(), Lifecycle::new(), Gated::default());
    let log = Log::open_on(&LogOptions::new(folder.path()), medium.clone(), &lifecycle).unwrap();
    let hold = Arc::clone(&medium.gate);
    let (held, release) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    let holder = tokio::task::spawn_blocking(move || {
        let _guard = hold.lock().unwrap();
        held.0.send(()).unwrap();
        release.1.recv().unwrap();
    });
    held.1.recv().unwrap();
    let started = Instant::now();
    assert_eq!(log.record(entry("r1")).await.unwrap_err(), AuditError::Slow);
    assert!(started.elapsed() >= WAIT && started.elapsed() < WAIT * 2);
    // Those that wait fill the queue; whoever finds it full is refused at once.
    let ids: Vec<String> = (0..QUEUE + 10).map(|number| number.to_string()).collect();
    let results = futures_join(ids.iter().map(|id| log.record(entry(id)))).await;
    let full = results.iter().filter(|result| matches!(result, Err(AuditError::Full))).count();
    assert!(full >= 1 && results.iter().all(Result::is_err), "{full} refused at once");
    release.0.send(()).unwrap();
    holder.await.unwrap();
    let receipt = loop {
        match log.record(entry("r2")).await {
            // The writer has only begun to work the queue off.
            Err(AuditError::Full | AuditError::Slow) => tokio::task::yield_now().await,
            other => break other.unwrap(),
        }
    };
    assert_eq!(receipt.request(), "r2");
    drop(log);
    end(lifecycle).await;
    assert!(verify_folder(folder.path(), None).unwrap().is_intact());
}

#[tokio::test]
async fn a_disk_that_refuses_gives_no_receipt_and_works_again_later() {
    let (folder, lifecycle, medium) = (tempfile::tempdir().unwrap(), Lifecycle::new(), Gated::default());
    let log = Log::open_on(&LogOptions::new(folder.path()), medium.clone(), &lifecycle).unwrap();
    medium.refuses.store(true, Ordering::Relaxed);
    assert_eq!(log.record(entry("r1")).await.unwrap_err(), AuditError::Failed);
    assert!(!log.state().is_writable());
    medium.refuses.store(false, Ordering::Relaxed);
    let _receipt = log.record(entry("r2")).await.unwrap();
    assert!(log.state().is_writable());
    assert_eq!(log.state().failures(), 1);
    drop(log);
    end(lifecycle).await;
    assert!(verify_folder(folder.path(), None).unwrap().is_intact());
}

/// Waits for all futures, polled together.
async fn futures_join<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in waiting.iter_mut().filter(|(_, output)| output.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(context) {
                *output = Some(value);
            }
        }
        if waiting.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    waiting.into_iter().map(|(_, output)| output.unwrap()).collect()
}

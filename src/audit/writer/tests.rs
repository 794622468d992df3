//! The recorder and its writer together, on a store that can be away.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::*;
use crate::audit::record::tests::sample;
use crate::audit::{Full, Recorder, RefusalKind, Stopped, reader};
use crate::model::{DecisionId, ManualClock, Page, PageRequest, Record, RecordFilter, Timestamp};

/// Keeps in memory; refuses while it is away.
#[derive(Default)]
struct MemoryStore {
    away: AtomicBool,
    records: Mutex<Vec<(DecisionId, Vec<u8>)>>,
    refusals: Mutex<Vec<Refusals>>,
    largest_batch: Mutex<usize>,
    batches: AtomicUsize,
    /// How long it takes to store a batch, in milliseconds.
    takes_ms: AtomicU64,
}

impl MemoryStore {
    fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), StoreError> {
        let why = || "the test says so".to_owned();
        let away = self.away.load(Ordering::SeqCst);
        if away { Err(StoreError::Corrupt { what: "anything", why: why() }) } else { Ok(()) }
    }

    fn ids(&self) -> Vec<DecisionId> {
        self.records.lock().unwrap().iter().map(|(id, _)| *id).collect()
    }
}

#[async_trait]
impl Decisions for MemoryStore {
    async fn append_records(&self, records: &[StoredRecord<'_>]) -> Result<(), StoreError> {
        self.check()?;
        tokio::time::sleep(Duration::from_millis(self.takes_ms.load(Ordering::SeqCst))).await;
        self.batches.fetch_add(1, Ordering::SeqCst);
        let mut largest = self.largest_batch.lock().unwrap();
        *largest = records.len().max(*largest);
        let owned = records.iter().map(|record| (record.head.id, record.bytes.to_vec()));
        self.records.lock().unwrap().extend(owned);
        Ok(())
    }

    async fn get_record(&self, id: DecisionId) -> Result<Option<Vec<u8>>, StoreError> {
        let records = self.records.lock().unwrap();
        Ok(records.iter().find(|(known, _)| *known == id).map(|(_, bytes)| bytes.clone()))
    }

    async fn list_records(&self, _: &RecordFilter, _: &PageRequest) -> Result<Page<Vec<u8>>, StoreError> {
        let records = self.records.lock().unwrap();
        Ok(Page { items: records.iter().map(|(_, bytes)| bytes.clone()).collect(), next: None })
    }

    async fn add_refusals(&self, refusals: &[Refusals]) -> Result<(), StoreError> {
        self.check()?;
        self.refusals.lock().unwrap().extend_from_slice(refusals);
        Ok(())
    }

    async fn list_refusals(&self, _: &PageRequest) -> Result<Page<Refusals>, StoreError> {
        Ok(Page { items: self.refusals.lock().unwrap().clone(), next: None })
    }
}

struct Fixture {
    store: Arc<MemoryStore>,
    recorder: Recorder,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn start(config: Config) -> Fixture {
    let store = Arc::new(MemoryStore::default());
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(90)));
    let decisions: Arc<dyn Decisions + Send + Sync> = store.clone();
    let (recorder, writer) = Recorder::new(decisions, clock, "replica-1".into(), config);
    let stop = CancellationToken::new();
    let task = tokio::spawn(writer.run(stop.clone()));
    Fixture { store, recorder, stop, task }
}

fn of_size(queue: usize, batch: usize) -> Config {
    Config { queue: queue.try_into().unwrap(), batch: batch.try_into().unwrap(), ..Config::default() }
}

fn record(recorder: &Recorder) -> DecisionId {
    let id = DecisionId::generate();
    recorder.reserve().unwrap().record(Record { id, ..sample() });
    id
}

#[tokio::test]
async fn what_was_recorded_can_be_read_after_a_flush() {
    let fixture = start(Config::default());
    let id = record(&fixture.recorder);
    fixture.recorder.flush().await.unwrap();
    let read = reader::get(&*fixture.store, id).await.unwrap().unwrap();
    assert_eq!(read, Record { id, ..sample() });
    let page = reader::list(&*fixture.store, &RecordFilter::default(), &PageRequest::first(9)).await.unwrap();
    assert_eq!(page.items, [read]);
}

#[tokio::test]
async fn records_are_masked_before_they_are_stored() {
    let fixture = start(Config::default());
    let id = DecisionId::generate();
    let path = Some("/orders/7?token=s3cret".into());
    fixture.recorder.reserve().unwrap().record(Record { id, path, ..sample() });
    fixture.recorder.flush().await.unwrap();
    let read = reader::get(&*fixture.store, id).await.unwrap().unwrap();
    assert_eq!(read.path.as_deref(), Some("/orders/7?token=***"));
}

#[tokio::test]
async fn a_full_queue_gives_no_place_and_a_dropped_slot_frees_its_own() {
    let fixture = start(of_size(2, 8));
    let first = fixture.recorder.reserve().unwrap();
    let _second = fixture.recorder.reserve().unwrap();
    assert_eq!(fixture.recorder.reserve().unwrap_err(), Full);
    drop(first);
    assert!(fixture.recorder.reserve().is_ok());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_reordered_while_the_store_is_away() {
    let fixture = start(of_size(100, 8));
    fixture.store.set_away(true);
    let ids: Vec<_> = (0..50).map(|_| record(&fixture.recorder)).collect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let stats = fixture.recorder.stats();
    assert!(stats.retried > 5 && stats.written == 0 && stats.queued == 50, "{stats:?}");
    fixture.store.set_away(false);
    fixture.recorder.flush().await.unwrap();
    assert_eq!(fixture.store.ids(), ids);
    assert_eq!(*fixture.store.largest_batch.lock().unwrap(), 8);
    let stats = fixture.recorder.stats();
    assert_eq!((stats.written, stats.queued), (50, 0));
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_batch_is_stored_waits_for_others() {
    let fixture = start(Config { flush_interval: Duration::from_millis(100), ..Config::default() });
    fixture.store.takes_ms.store(20, Ordering::SeqCst);
    let mut every_ms = tokio::time::interval(Duration::from_millis(1));
    for _ in 0..1_200 {
        every_ms.tick().await;
        record(&fixture.recorder);
    }
    let batches = fixture.store.batches.load(Ordering::SeqCst);
    assert!((8..=10).contains(&batches), "one in 120 ms, and not {batches} in all");
    fixture.recorder.flush().await.unwrap();
    assert_eq!(fixture.store.ids().len(), 1_200);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_full_while_the_store_is_away_takes_records_again_later() {
    let fixture = start(of_size(4, 2));
    fixture.store.set_away(true);
    let mut taken = 0;
    for _ in 0..20 {
        if let Ok(slot) = fixture.recorder.reserve() {
            slot.record(Record { id: DecisionId::generate(), ..sample() });
            taken += 1;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(taken, 4, "what the writer has taken waits too");
    fixture.store.set_away(false);
    fixture.recorder.flush().await.unwrap();
    assert_eq!(fixture.store.ids().len(), taken);
    assert!(fixture.recorder.reserve().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stop_stores_also_what_came_while_the_store_was_away() {
    let fixture = start(Config::default());
    fixture.store.set_away(true);
    let taken = record(&fixture.recorder);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let queued = record(&fixture.recorder);
    fixture.stop.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    fixture.store.set_away(false);
    fixture.task.await.unwrap();
    assert_eq!(fixture.store.ids(), [taken, queued]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_nobody_who_was_refused_a_place() {
    let store: Arc<dyn Decisions + Send + Sync> = Arc::new(MemoryStore::default());
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(90)));
    let (recorder, writer) = Recorder::new(store, clock, "replica-1".into(), Config::default());
    let shared = Arc::clone(&writer.shared);
    assert!(shared.places.take(), "by somebody who is about to be told that it came too late");
    let stop = CancellationToken::new();
    stop.cancel();
    let task = tokio::spawn(writer.run(stop));
    while !shared.places.is_closed() {
        tokio::task::yield_now().await;
    }
    shared.places.give_back(1);
    assert_eq!(recorder.reserve().unwrap_err(), Full);
    let began = tokio::time::Instant::now();
    task.await.unwrap();
    assert!(began.elapsed() < Config::default().drain_timeout);
}

#[tokio::test]
async fn without_a_writer_there_are_no_places() {
    let store: Arc<dyn Decisions + Send + Sync> = Arc::new(MemoryStore::default());
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(90)));
    let (recorder, writer) = Recorder::new(store, clock, "replica-1".into(), Config::default());
    assert!(recorder.reserve().is_ok());
    drop(writer);
    assert_eq!(recorder.reserve().unwrap_err(), Full);
}

#[tokio::test(start_paused = true)]
async fn a_stop_stores_what_is_queued_and_what_is_still_being_decided() {
    let fixture = start(Config::default());
    fixture.store.set_away(true);
    let queued = record(&fixture.recorder);
    let deciding = fixture.recorder.reserve().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    fixture.stop.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.recorder.reserve().unwrap_err(), Full, "no more places after a stop");
    fixture.store.set_away(false);
    let late = DecisionId::generate();
    deciding.record(Record { id: late, ..sample() });
    fixture.task.await.unwrap();
    assert_eq!(fixture.store.ids(), [queued, late]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_longer_than_its_timeout() {
    let fixture = start(Config::default());
    fixture.store.set_away(true);
    record(&fixture.recorder);
    fixture.stop.cancel();
    tokio::time::timeout(Duration::from_secs(11), fixture.task).await.unwrap().unwrap();
    assert_eq!(fixture.recorder.flush().await, Err(Stopped));
}

#[tokio::test]
async fn refusals_are_stored_as_counts() {
    let fixture = start(Config::default());
    for _ in 0..3 {
        fixture.recorder.note_refusal(RefusalKind::Unauthenticated, "192.0.2.1", "Check");
    }
    assert_eq!(fixture.recorder.stats().refusals_queued, 3);
    fixture.recorder.flush().await.unwrap();
    let refusals = fixture.store.refusals.lock().unwrap().clone();
    let [row] = refusals.as_slice() else { panic!("{refusals:?}") };
    assert_eq!((row.count, row.minute, row.replica.as_str()), (3, Timestamp::from_seconds(60), "replica-1"));
}

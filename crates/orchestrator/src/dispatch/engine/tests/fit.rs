//! Orders that carry too much, while the blob store is away.

use qflow_model::value::Argument;
use tokio::sync::oneshot;

use super::{super::fit::fit, *};

/// An order whose argument is to become a blob.
async fn large(house: &House) -> Order {
    let mut runner = Player::connect(house, 1, vec![]).await;
    house.submit(1, 1).await;
    let mut order = runner.order().await;
    let bytes = vec![b'1'; 2 << 20];
    let value = ValueRef {
        digest: Digest::of(&bytes),
        size: bytes.len() as u64,
        inline: Some(bytes),
        items: None,
        attachments: vec![],
    };
    order.arguments.push(("x".into(), Argument::Value { value, element: None, path: vec![] }));
    order
}

/// A store whose folder is where a file is, and that file.
fn away(place: &std::path::Path) -> (Arc<Blobs>, std::path::PathBuf) {
    let folder = place.join("blobs");
    let blobs = Arc::new(Blobs::in_folder(&folder).unwrap());
    std::fs::remove_dir(&folder).unwrap();
    std::fs::write(&folder, "no folder").unwrap();
    (blobs, folder)
}

#[tokio::test(start_paused = true)]
async fn an_order_waits_for_the_blob_store_as_long_as_its_attempt_is_to_be_had() {
    let (house, place) = (House::new().await, tempfile::tempdir().unwrap());
    let order = large(&house).await;
    let (blobs, folder) = away(place.path());
    let (to, mut words) = mpsc::channel(4);
    let fitting = tokio::spawn(fit(order.clone(), Arc::clone(&blobs), to.downgrade()));
    for _ in 0..20 {
        let Some(Word::Fitting(key, goes_on)) = words.recv().await else { panic!("it waits") };
        assert_eq!(key, order.key);
        goes_on.send(()).unwrap();
    }
    std::fs::remove_file(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let fitted = loop {
        match words.recv().await.unwrap() {
            Word::Fitting(_, goes_on) => goes_on.send(()).unwrap(),
            Word::Fitted(_, fitted) => break fitted.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let Argument::Value { value, .. } = &fitted.arguments[0].1 else { panic!("{fitted:?}") };
    assert_eq!((value.inline.as_ref(), blobs.read(order.key.run, value.digest).await.unwrap().len()), (None, 2 << 20));
    fitting.await.unwrap();

    // Cancelled meanwhile, nobody waits for it any more.
    let place = tempfile::tempdir().unwrap();
    let (blobs, _) = away(place.path());
    let fitting = tokio::spawn(fit(order, blobs, to.downgrade()));
    let Some(Word::Fitting(_, goes_on)) = words.recv().await else { panic!("it waits") };
    drop(goes_on);
    fitting.await.unwrap();
    assert!(words.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_order_waits_keeps_its_lease_until_it_is_cancelled() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let run = house.submit(1, 1).await;
    let key = runner.order().await.key;
    let ask = async || {
        let (goes_on, answered) = oneshot::channel();
        assert!(house.engine.say(Word::Fitting(key, goes_on)).await);
        answered.await.is_ok()
    };
    for _ in 0..12 {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        assert!(ask().await);
    }
    assert_eq!(house.node(run, 0).await.attempt, 1, "two leases went by");
    house.store.post(run, Command::Cancel { by: "u".into() }, None).await.unwrap();
    house.engine.work_off().await;
    assert!(!ask().await);
}

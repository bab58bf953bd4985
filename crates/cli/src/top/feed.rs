//! Where the view's news come from: streams that are opened again when they end, and the run that is looked into.

use std::{future::Future, time::Duration};

use ratatui::crossterm::event::KeyEvent;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use tokio_stream::StreamExt;

use crate::{
    exit::Fail,
    submit::{Client, Health, Line, Overseer, Pool, Run, SystemStatus},
};

/// Between two tries of a feed that ended.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two looks at the pools.
const POOLS: Duration = Duration::from_secs(2);

/// Something to show.
#[derive(Debug)]
pub(super) enum News {
    /// A key.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// The terminal has gone.
    Gone,
    /// What is under way.
    Status(SystemStatus),
    /// How the parts are.
    Health(Health),
    /// All pools.
    Pools(Vec<Pool>),
    /// The run that is looked into, or what changed of it.
    Run(Box<Run>),
    /// Lines of it.
    Lines(String, Vec<Line>),
    /// A feed does not come, by its name, and why.
    Trouble(&'static str, String),
}

/// All feeds; they end when this is dropped.
pub(super) struct Feeds {
    client: Client,
    to: mpsc::Sender<News>,
    tasks: JoinSet<()>,
    /// The run that is followed, and its feeds.
    run: Option<(String, [AbortHandle; 2])>,
}

impl Feeds {
    /// Starts those that always come.
    pub(super) fn start(client: Client, overseer: Overseer, to: mpsc::Sender<News>) -> Self {
        let mut tasks = JoinSet::new();
        let (told, asked) = (to.clone(), overseer.clone());
        tasks.spawn(again("status", to.clone(), move || statuses(asked.clone(), told.clone())));
        let told = to.clone();
        tasks.spawn(again("health", to.clone(), move || healths(overseer.clone(), told.clone())));
        let (told, asked) = (to.clone(), client.clone());
        tasks.spawn(again("pools", to.clone(), move || pools(asked.clone(), told.clone())));
        Self { client, to, tasks, run: None }
    }

    /// Follows a run from now on, or none.
    pub(super) fn follow(&mut self, run: Option<&str>) {
        if self.run.as_ref().map(|(id, _)| id.as_str()) == run {
            return;
        }
        if let Some((_, feeds)) = self.run.take() {
            feeds.iter().for_each(AbortHandle::abort);
        }
        self.run = run.map(|id| {
            let (client, to, run) = (self.client.clone(), self.to.clone(), id.to_owned());
            let changes = again("run", to.clone(), move || changes(client.clone(), run.clone(), to.clone()));
            let (client, to, run) = (self.client.clone(), self.to.clone(), id.to_owned());
            let lines = again("log", to.clone(), move || lines(client.clone(), run.clone(), to.clone()));
            (id.to_owned(), [self.tasks.spawn(changes), self.tasks.spawn(lines)])
        });
    }
}

/// Keeps a feed coming until it says that there is no more of it, or nobody listens.
async fn again<F: Future<Output = Result<bool, Fail>>>(
    name: &'static str,
    to: mpsc::Sender<News>,
    feed: impl Fn() -> F,
) {
    loop {
        match feed().await {
            Ok(true) => return,
            Ok(false) => {}
            Err(fail) => {
                let first = fail.message.lines().next().unwrap_or_default().to_owned();
                if to.send(News::Trouble(name, first)).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn statuses(overseer: Overseer, to: mpsc::Sender<News>) -> Result<bool, Fail> {
    let mut statuses = overseer.statuses().await?;
    while let Some(status) = statuses.next().await {
        if to.send(News::Status(status?)).await.is_err() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn healths(overseer: Overseer, to: mpsc::Sender<News>) -> Result<bool, Fail> {
    let mut healths = overseer.healths().await?;
    while let Some(health) = healths.next().await {
        if to.send(News::Health(health?)).await.is_err() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn pools(client: Client, to: mpsc::Sender<News>) -> Result<bool, Fail> {
    loop {
        let pools = client.pools("").await?;
        if to.send(News::Pools(pools)).await.is_err() {
            return Ok(true);
        }
        tokio::time::sleep(POOLS).await;
    }
}

async fn changes(client: Client, run: String, to: mpsc::Sender<News>) -> Result<bool, Fail> {
    let mut changes = client.watch(&run).await?;
    let mut ended = false;
    while let Some(run) = changes.next().await {
        let run = run?;
        ended = run.status.is_terminal();
        if to.send(News::Run(Box::new(run))).await.is_err() {
            return Ok(true);
        }
    }
    Ok(ended)
}

async fn lines(client: Client, run: String, to: mpsc::Sender<News>) -> Result<bool, Fail> {
    let mut batches = client.logs(&run, "", true).await?;
    while let Some(batch) = batches.next().await {
        if to.send(News::Lines(run.clone(), batch?)).await.is_err() {
            return Ok(true);
        }
    }
    // It ends with the run.
    Ok(true)
}

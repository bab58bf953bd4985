//! `qflow top`: all that is under way, live, on a terminal. What is shown is a state; drawing it and taking keys in are pure.

mod draw;
mod feed;
mod view;

use std::{io::IsTerminal as _, path::Path, time::Duration};

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use self::{
    feed::{Feeds, News},
    view::View,
};
use crate::{
    args::ServerArgs,
    dev,
    exit::{Exit, Fail},
    run::Orders,
};

/// What `qflow top --help` says at its end.
pub const HELP: &str = "\
Keys: up and down choose a run · Enter shows its nodes, its log and its trace id, Tab chooses which of them scrolls · Esc goes back ·
/ filters by workflow, user, state or id · s sorts · ? tells the keys · q quits.

Through a cluster's services:
  kubectl port-forward svc/qflow-orchestrator 7400 &  kubectl port-forward svc/qflow-health-aggregator 7404 &
  QFLOW_SERVER=http://127.0.0.1:7400 QFLOW_TOKEN=… qflow top

Without a terminal: qflow status. Exit codes: 0 it was left · 2 no terminal · 4 the server does not answer ·
130 it was ended by a signal.";

/// Between two looks for a key, after which the reading thread sees that nobody listens any more.
const KEYS: Duration = Duration::from_millis(200);
/// Between two pictures: what comes within it is shown together.
const PICTURE: Duration = Duration::from_millis(50);
/// After which there is another picture though there is no news.
const AGES: Duration = Duration::from_secs(1);
/// News that may wait for a picture.
const QUEUE: usize = 256;

/// `qflow top`.
#[derive(Clone, Debug, Args)]
pub struct TopArgs {
    /// The health-aggregator's address; else port 7404 of the server's host.
    #[arg(long, env = "QFLOW_HEALTH_SERVER", value_name = "URL")]
    pub health_server: Option<String>,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Shows it until somebody quits.
pub async fn top(args: TopArgs, data_dir: &Path) -> Result<Exit, Fail> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Fail::usage(
            "`qflow top` needs a terminal; `qflow status` prints the same once (-o json for programs)",
        ));
    }
    let (client, overseer, server) = dev::running(&args, data_dir).await?;
    let (to, mut news) = mpsc::channel(QUEUE);
    let mut view =
        View { server, colour: std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()), ..View::default() };
    let mut feeds = Feeds::start(client, overseer, to.clone());
    // Before the terminal is taken: who ends the program by a signal is to have it back.
    let mut orders = Orders::new()?;
    let mut terminal = ratatui::try_init().map_err(|e| Fail::new(Exit::Failed, format!("take the terminal: {e}")))?;
    let keys = std::thread::spawn(move || keys(&to));
    let begun = Instant::now();
    let ended = loop {
        if let Err(error) = terminal.draw(|frame| draw::draw(frame, &view)) {
            break Err(Fail::new(Exit::Failed, format!("draw on the terminal: {error}")));
        }
        // Without news time passes all the same, and what is shown ages.
        let first = tokio::select! {
            first = timeout(AGES, news.recv()) => first,
            () = orders.next() => break Ok(Exit::Interrupted),
        };
        view.at = begun.elapsed();
        match first {
            Ok(Some(first)) => view.hear(first),
            Ok(None) => break Ok(Exit::Completed),
            Err(_) => {}
        }
        while let Ok(more) = news.try_recv() {
            view.hear(more);
        }
        feeds.follow(view.run_shown());
        if view.left {
            break Ok(Exit::Completed);
        }
        tokio::time::sleep(PICTURE).await;
    };
    ratatui::restore();
    drop((news, feeds));
    // It sees that within a look.
    keys.join().ok();
    ended
}

/// Reads keys until nobody listens.
fn keys(to: &mpsc::Sender<News>) {
    while !to.is_closed() {
        let heard = match event::poll(KEYS) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let news = match heard {
            Ok(Event::Key(key)) if key.kind == KeyEventKind::Press => News::Key(key),
            Ok(Event::Resize(..)) => News::Resized,
            Ok(_) => continue,
            // The terminal has gone.
            Err(_) => News::Gone,
        };
        let gone = matches!(news, News::Gone);
        if to.blocking_send(news).is_err() || gone {
            return;
        }
    }
}

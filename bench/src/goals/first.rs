//! Goal 6: from the start of `qflow dev` to the end of its first node; and goal 1 in its shape.

use anyhow::Context;

use super::{
    Lab, Row,
    chain::{CHAIN, chains, told},
};
use crate::{
    client::What,
    clock::{median, ms, now},
    dev::Dev,
    floors::Floor,
};

/// How often a start is measured.
const STARTS: u32 = 5;

pub(super) async fn measure(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let begun = now();
        let dev = Dev::start(&lab.bin, &lab.runtime).await?;
        let ended = dev.client().run(&What::Source(CHAIN.to_owned()), &[]).await?;
        took.push(ms(ended.ends.first().context("the chain has nodes")?.duration_since(begun)));
        dev.stop().await?;
    }
    let floors = [Floor::F, Floor::L, Floor::R, Floor::W];
    lab.floors(&floors).await;
    let dev = Dev::start(&lab.bin, &lab.runtime).await?;
    let embedded = chains(dev.client(), lab.rounds).await?;
    dev.stop().await?;
    lab.floors(&floors).await;
    let mut rows = told(lab, "embedded", Floor::L, &embedded)?;
    rows.insert(0, Row::most(6, "`qflow dev` to first node", "1.0 s", "ms", 1000.0, median(&mut took)));
    Ok(rows)
}

//! Goal 6: from the start of `qflow dev` to the end of its first node.

use anyhow::Context;

use super::{Lab, Row, chain::CHAIN};
use crate::{
    client::What,
    clock::{median, ms, now},
    dev::Dev,
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
    Ok(vec![Row::most(6, "`qflow dev` to first node", "1.0 s", "ms", 1000.0, median(&mut took))])
}

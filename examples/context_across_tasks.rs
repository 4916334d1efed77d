//! Values that travel along: per thread, per task across `await`, nested. `cargo run --example context_across_tasks`.

use metlog::{Context, WithContext, context, fields, info};
use std::time::Duration;

async fn handle() {
    info!("begins");
    // Another task runs on this thread meanwhile, in its own context.
    tokio::time::sleep(Duration::from_millis(5)).await;
    {
        let _step = context! { step = "payment" };
        info!("nested: what both say, the inner one wins");
    }
    let child = tokio::spawn(async { info!("a child task knows whose it is") }.in_current_context());
    child.await.expect("the task ends");
    info!("ends");
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _guard = metlog::from_text("[metlog]\nlogger = tasks\nsender_class = stdout", "metlog")?.guard();
    let trace = Context::new(fields! { trace_id = "4bf92f3577b34da6" });
    let tasks = (1..=3).map(|user| tokio::spawn(handle().in_context(trace.with(fields! { user_id = user }))));
    for task in tasks.collect::<Vec<_>>() {
        task.await?;
    }
    info!("outside of all of them");
    Ok(())
}

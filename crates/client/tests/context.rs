//! Context: nested, per thread, per task across `await`.

mod common;

use common::{client, settle};
use metlog::{Context, Fields, Message, Setup, Value, WithContext, context, fields};
use std::time::Duration;

fn fields_of(messages: &[Message], payload: &str) -> Fields {
    let found = messages.iter().find(|message| message.payload == Value::from(payload));
    found.unwrap_or_else(|| panic!("no message says {payload}")).fields.clone()
}

#[test]
fn contexts_nest_and_merge_and_end() {
    let (client, kept) = client(Setup::new("context"));
    let say = |what: &str| metlog::info!(client: client, "{}", what);
    say("outside");
    {
        let _request = context! { trace_id = "t", user_id = 42 };
        say("request");
        {
            let _inner = context! { user_id = 43, extra = [1, 2] };
            say("inner");
            metlog::info!(client: client, "own"; user_id = 44);
            metlog::incr!(client: client, "hits");
        }
        say("request again");
        std::thread::scope(|scope| {
            scope.spawn(|| say("another thread"));
        });
    }
    say("outside again");
    Context::new(fields! { set = true }).set();
    say("set");
    Context::clear();
    say("cleared");
    settle(&client);
    let messages = kept.messages();
    let of = |payload| fields_of(&messages, payload);
    for empty in ["outside", "outside again", "another thread", "cleared"] {
        assert_eq!(of(empty), Fields::new(), "{empty}");
    }
    assert_eq!(of("request"), fields! { trace_id = "t", user_id = 42 });
    assert_eq!(of("inner"), fields! { trace_id = "t", user_id = 43, extra = [1, 2] });
    assert_eq!(of("own"), fields! { trace_id = "t", extra = [1, 2], user_id = 44 });
    assert_eq!(of("request again"), fields! { trace_id = "t", user_id = 42 });
    assert_eq!(of("set"), fields! { set = true });
    assert_eq!(of("1").get("trace_id"), Some(&Value::from("t")), "counters carry it too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_keep_theirs_across_await() {
    let (client, kept) = client(Setup::new("tasks"));
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let client = client.clone();
            let work = async move {
                for step in 0..10 {
                    metlog::info!(client: client, "{} {}", task, step);
                    tokio::time::sleep(Duration::from_micros(100)).await;
                    if step == 5 {
                        Context::current().with(fields! { late = true }).set();
                    }
                }
            };
            tokio::spawn(work.in_context(Context::new(fields! { task = task })))
        })
        .collect();
    for task in tasks {
        task.await.expect("it ends");
    }
    metlog::info!(client: client, "after");
    settle(&client);
    let messages = kept.messages();
    assert_eq!(messages.len(), 201);
    for task in 0..20 {
        for step in 0..10 {
            let fields = fields_of(&messages, &format!("{task} {step}"));
            assert_eq!(fields.get("task"), Some(&Value::from(task)));
            assert_eq!(fields.contains("late"), step > 5, "what a task sets stays with the task");
        }
    }
    assert_eq!(fields_of(&messages, "after"), Fields::new());
}

#[tokio::test]
async fn the_current_context_can_be_taken_along() {
    let (client, kept) = client(Setup::new("along"));
    let inner = client.clone();
    let task = {
        let _outer = context! { outer = 1 };
        tokio::spawn(async move { metlog::info!(client: inner, "child") }.in_current_context())
    };
    task.await.expect("it ends");
    settle(&client);
    assert_eq!(fields_of(&kept.messages(), "child"), fields! { outer = 1 });
}

#[tokio::test]
async fn a_cancelled_task_still_has_its_context_while_it_goes() {
    struct Says(metlog::Client);
    impl Drop for Says {
        fn drop(&mut self) {
            metlog::info!(client: self.0, "going");
        }
    }
    let (client, kept) = client(Setup::new("cancelled"));
    let says = Says(client.clone());
    let work = async move {
        let _says = says;
        std::future::pending::<()>().await;
    };
    let task = tokio::spawn(work.in_context(Context::new(fields! { task = 1 })));
    tokio::task::yield_now().await;
    task.abort();
    assert!(task.await.is_err());
    settle(&client);
    assert_eq!(fields_of(&kept.messages(), "going"), fields! { task = 1 });
}

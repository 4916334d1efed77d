//! Context: values that every message of a stretch of code carries, nested and merged, per thread and per task.
//!
//! ```
//! use metlog::{context, info};
//! let _request = context!(trace_id = "4bf92f35", user_id = 42);
//! info!("loading the cart");                 // carries trace_id and user_id
//! {
//!     let _inner = context!(user_id = 43);   // the inner one wins
//!     info!("as someone else");
//! }
//! ```
//!
//! A context is rendered once, when it is entered; a message copies its bytes. A task takes its context along with
//! [`WithContext::in_context`], because between two polls another task runs on the thread.

use metlog_message::{Fields, Value, wire};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};

/// Values, and the bytes that a record takes: per entry `name length u16 · name · JSON length u32 · JSON`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context(Arc<Rendered>);

#[derive(Debug, Default, PartialEq)]
struct Rendered {
    fields: Fields,
    bytes: Vec<u8>,
}

thread_local! {
    /// Whether [`CURRENT`] holds anything; a plain flag, so that a call outside any context pays one load.
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
    static CURRENT: RefCell<Context> = RefCell::new(Context::default());
}

/// Whether this thread stands in a context.
#[inline(always)]
pub fn active() -> bool {
    ACTIVE.get()
}

/// Hands the current context's bytes to `with`.
pub fn bytes<T>(with: impl FnOnce(&[u8]) -> T) -> T {
    if !active() {
        return with(&[]);
    }
    // Cloned out, so that nothing is borrowed while user code runs; gone when the thread ends.
    let current = CURRENT.try_with(|current| current.borrow().clone()).unwrap_or_default();
    with(&current.0.bytes)
}

impl Context {
    /// From these values alone.
    pub fn new(fields: Fields) -> Self {
        let mut bytes = Vec::new();
        for (name, value) in fields.iter() {
            // A name longer than u16 holds is beyond every limit of a message; it is cut where a character ends.
            let name = &name[..name.floor_char_boundary(usize::from(u16::MAX))];
            let mut json = Vec::new();
            wire::write_value(&mut json, value);
            bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&(json.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&json);
        }
        Context(Arc::new(Rendered { fields, bytes }))
    }

    /// The context this thread stands in now.
    pub fn current() -> Self {
        CURRENT.try_with(|current| current.borrow().clone()).unwrap_or_default()
    }

    /// Its values.
    pub fn fields(&self) -> &Fields {
        &self.0.fields
    }

    /// This context with more values; a name given again takes the new value.
    pub fn with(&self, more: Fields) -> Self {
        let mut fields = self.0.fields.clone();
        for (name, value) in more {
            fields.set(name, value);
        }
        Context::new(fields)
    }

    /// Stands in exactly this context until the guard goes.
    pub fn enter(&self) -> Entered {
        Entered { before: swap(self.clone()), _thread: std::marker::PhantomData }
    }

    /// Replaces the thread's context without a guard: the set/clear form, for callbacks that have no scope.
    pub fn set(&self) {
        swap(self.clone());
    }

    /// Leaves every context of this thread.
    pub fn clear() {
        swap(Context::default());
    }
}

fn swap(next: Context) -> Context {
    let active = !next.0.bytes.is_empty();
    let before = CURRENT.try_with(|current| current.replace(next)).unwrap_or_default();
    ACTIVE.set(active);
    before
}

/// Ends the stretch when it goes. It belongs to its thread: for a task, see [`WithContext`].
#[must_use = "the context ends when this value goes; bind it to a name (`_context`, not `_`)"]
pub struct Entered {
    before: Context,
    _thread: std::marker::PhantomData<Rc<()>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        swap(std::mem::take(&mut self.before));
    }
}

/// Enters the current context with these values added. [`crate::context!`] calls it.
pub fn enter(more: impl IntoIterator<Item = (&'static str, Value)>) -> Entered {
    Context::current().with(more.into_iter().collect()).enter()
}

/// A future that runs in a context wherever it is polled.
#[derive(Debug)]
pub struct InContext<F> {
    context: Context,
    /// `None` only while it is dropped.
    future: Option<Pin<Box<F>>>,
}

/// `.in_context(…)` on every future.
pub trait WithContext: Future + Sized {
    /// Runs in this context at every poll, on whatever thread.
    fn in_context(self, context: Context) -> InContext<Self> {
        InContext { context, future: Some(Box::pin(self)) }
    }

    /// Takes the context along in which this is called: for `spawn`, which starts with none.
    fn in_current_context(self) -> InContext<Self> {
        self.in_context(Context::current())
    }
}

impl<F: Future> WithContext for F {}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let entered = self.context.enter();
        let Some(future) = &mut self.future else { return Poll::Pending };
        let polled = future.as_mut().poll(cx);
        // What the future set with `set`/`clear` stays with the task, not with the thread.
        self.context = Context::current();
        drop(entered);
        Poll::Ready(ready!(polled))
    }
}

impl<F> Drop for InContext<F> {
    /// What a cancelled task says while it goes still carries its context.
    fn drop(&mut self) {
        let _entered = self.context.enter();
        self.future = None;
    }
}

/// Walks the entries of a record's context: names and JSON values.
pub struct Entries<'a>(pub &'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (json, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        self.0 = rest;
        Some((name, json))
    }
}

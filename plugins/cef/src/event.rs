//! What happened, and the trait that lets code tell a client.

use metlog_message::{Fields, Value};
use metlog_pipeline::{Emit, MethodError};

/// A security event. Only name and severity are needed; what else is known of the request helps whoever reads it.
///
/// ```
/// use metlog_cef::Event;
/// let event = Event::new("login failed", 7)
///     .user("bob")
///     .request("POST", "/login")
///     .from_address("192.0.2.7")
///     .extension("reason", "bad password");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    args: Fields,
    environ: Fields,
    extensions: Fields,
}

impl Event {
    /// An event of this name and CEF severity: 0 to 10, or `Low`, `Medium`, `High`, `Very-High`. It has nothing to do
    /// with the message's own severity, which stays the client's default.
    pub fn new(name: impl Into<String>, severity: impl Into<Value>) -> Self {
        Event::default().arg("name", name.into()).arg("severity", severity)
    }

    fn arg(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.args.set(name, value);
        self
    }

    fn environ(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environ.set(name, value.into());
        self
    }

    /// What kind of event it is, for machines; the name if not given.
    #[must_use]
    pub fn signature(self, signature: impl Into<String>) -> Self {
        self.arg("signature", signature.into())
    }

    /// `suser`: who did it.
    #[must_use]
    pub fn user(self, name: impl Into<String>) -> Self {
        self.arg("username", name.into())
    }

    /// `requestMethod` and `request`: the HTTP method and the path.
    #[must_use]
    pub fn request(self, method: impl Into<String>, path: impl Into<String>) -> Self {
        self.environ("REQUEST_METHOD", method).environ("PATH_INFO", path)
    }

    /// `src`: the peer's address.
    #[must_use]
    pub fn from_address(self, address: impl Into<String>) -> Self {
        self.environ("REMOTE_ADDR", address)
    }

    /// The `X-Forwarded-For` header, whose first entry then is `src`. Anyone can send one: pass it on only from a proxy
    /// of yours.
    #[must_use]
    pub fn forwarded_for(self, header: impl Into<String>) -> Self {
        self.environ("HTTP_X_FORWARDED_FOR", header)
    }

    /// `dhost`: the host that was asked for.
    #[must_use]
    pub fn host(self, name: impl Into<String>) -> Self {
        self.environ("HTTP_HOST", name)
    }

    /// `cs1`, labelled `requestClientApplication`.
    #[must_use]
    pub fn user_agent(self, text: impl Into<String>) -> Self {
        self.environ("HTTP_USER_AGENT", text)
    }

    /// One more key and value. Letters, digits, `_`, `-` and `.` make a key; anything else in it becomes `_`.
    #[must_use]
    pub fn extension(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extensions.set(key, value);
        self
    }

    /// As arguments of a method.
    pub fn fields(&self) -> Fields {
        let mut fields = self.args.clone();
        fields.set("environ", self.environ.clone());
        fields.set("extensions", self.extensions.clone());
        fields
    }
}

/// `client.cef(&Event::new("login failed", 7))`, for a client that has the method under its own name.
pub trait Cef {
    /// Sends the event and returns its CEF line.
    ///
    /// # Errors
    /// If the client has no such method, or the event or configuration lacks what CEF demands.
    fn cef(&self, event: &Event) -> Result<String, MethodError> {
        self.cef_as("cef", event)
    }

    /// The same for a client that has the method under another name (`override = "name"`).
    ///
    /// # Errors
    /// As above.
    fn cef_as(&self, method: &str, event: &Event) -> Result<String, MethodError>;
}

impl<E: Emit + ?Sized> Cef for E {
    fn cef_as(&self, method: &str, event: &Event) -> Result<String, MethodError> {
        Ok(self.call(method, &event.fields())?.to_text().into_owned())
    }
}

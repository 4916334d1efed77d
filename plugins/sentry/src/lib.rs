//! `sentry`: errors become events in Sentry.

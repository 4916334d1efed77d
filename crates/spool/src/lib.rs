//! One append-only journal, many readers, each with a durable cursor.

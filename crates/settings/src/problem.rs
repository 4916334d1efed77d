//! What is wrong with a configuration, all of it at once: nobody wants to start a program eleven times.

use crate::Origin;
use std::fmt;

/// How many are kept. A binary file given by mistake has a problem on each of its lines.
pub const MAX_PROBLEMS: usize = 100;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, if that is known.
    pub origin: Option<Origin>,
    /// What is wrong and what would be right.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Problem {
    /// A problem at a place.
    pub fn at(origin: &Origin, message: impl Into<String>) -> Self {
        Problem { origin: Some(origin.clone()), message: message.into(), suggestion: None }
    }

    /// A problem that has no place.
    pub fn anywhere(message: impl Into<String>) -> Self {
        Problem { origin: None, message: message.into(), suggestion: None }
    }

    /// Adds what was probably meant.
    #[must_use]
    pub fn suggest(mut self, suggestion: Option<&str>) -> Self {
        self.suggestion = suggestion.map(str::to_owned);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(meant) => write!(f, "; did you mean `{meant}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// Everything that is wrong, one line each when printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    more: usize,
}

impl Problems {
    /// None so far.
    pub fn new() -> Self {
        Problems::default()
    }

    /// Adds one; beyond [`MAX_PROBLEMS`] they are only counted.
    pub fn push(&mut self, problem: Problem) {
        if self.list.len() < MAX_PROBLEMS {
            self.list.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// Adds all of another section or file.
    pub fn merge(&mut self, other: impl Into<Problems>) {
        let other = other.into();
        self.more += other.more;
        other.list.into_iter().for_each(|problem| self.push(problem));
    }

    /// The value, or `None` after noting what was wrong with it: lets a caller go on and collect the rest.
    pub fn note<T, E: Into<Problems>>(&mut self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.merge(error)).ok()
    }

    /// Into file order.
    pub fn sort(&mut self) {
        self.list.sort_by(|a, b| a.origin.cmp(&b.origin));
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.list.len() + self.more
    }

    /// Whether all is well.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Each of them, to say more about it.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Problem> {
        self.list.iter_mut()
    }

    /// `value` if all is well.
    ///
    /// # Errors
    /// These problems, if there are any.
    pub fn or<T>(self, value: T) -> Result<T, Problems> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Problems { list: vec![problem], more: 0 }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.list.iter().enumerate() {
            write!(f, "{}{problem}", if at == 0 { "" } else { "\n" })?;
        }
        if self.more > 0 {
            write!(f, "\n… and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

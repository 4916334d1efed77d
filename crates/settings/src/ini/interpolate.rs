//! `%(name)s` in INI values: another option of the section, or of `[DEFAULT]`. A percent sign is `%%`.

use super::lines::Section;
use crate::expand::Expander;
use crate::suggest;

/// As deep as the original went; it also ends circles.
const MAX_NESTING: usize = 10;

/// What a reference may name.
pub(super) struct Interpolator<'a> {
    pub section: &'a Section,
    pub defaults: &'a Section,
}

impl Interpolator<'_> {
    /// `text` with every reference replaced.
    pub fn resolve(&self, text: &str, allowance: &mut Expander<'_>) -> Result<String, String> {
        self.level(text, 0, allowance)
    }

    fn level(&self, text: &str, depth: usize, allowance: &mut Expander<'_>) -> Result<String, String> {
        if depth > MAX_NESTING {
            return Err("`%(…)s` references go too deep; do they go in a circle?".into());
        }
        // Each step costs something even when it adds no text: ten levels of ten references each are 10^10 steps.
        allowance.spend(text.len() + 16)?;
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                out.push('%');
                rest = after;
                continue;
            }
            let reference = after.strip_prefix('(').and_then(|after| after.split_once(')'));
            let reference = reference.and_then(|(name, after)| Some((name, after.strip_prefix('s')?)));
            let Some((name, after)) = reference.filter(|(name, _)| !name.is_empty()) else {
                return Err("`%` begins a reference, `%(name)s`; for a percent sign write `%%`".into());
            };
            out.push_str(&self.level(&self.find(name)?, depth + 1, allowance)?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn find(&self, name: &str) -> Result<String, String> {
        let name = name.to_lowercase();
        if let Some(setting) = self.section.get(&name).or_else(|| self.defaults.get(&name)) {
            let lines: Vec<&str> = setting.pieces.iter().map(|piece| piece.text.as_str()).collect();
            return Ok(lines.join("\n"));
        }
        let known = self.section.options.iter().chain(&self.defaults.options).map(|setting| setting.name.as_str());
        let meant =
            suggest::nearest(&name, known).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        Err(format!("`%({name})s` names no option of [{}] or [DEFAULT]{meant}", self.section.name))
    }
}

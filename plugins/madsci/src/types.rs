//! The words of an event: its types and levels, and which release knows which.

use metlog_message::Severity;

/// Whose words they are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// 0.5.2.
    Old,
    /// 0.8.1.
    New,
    /// Either may read it.
    Either,
}

/// What both releases know.
const BOTH: &[&str] = &[
    "unknown",
    "log",
    "log_debug",
    "log_info",
    "log_warning",
    "log_error",
    "log_critical",
    "test",
    "lab_create",
    "lab_start",
    "lab_stop",
    "node_create",
    "node_start",
    "node_stop",
    "node_config_update",
    "node_status_update",
    "node_error",
    "workcell_create",
    "workcell_start",
    "workcell_stop",
    "workcell_config_update",
    "workcell_status_update",
    "workflow_create",
    "workflow_start",
    "workflow_complete",
    "workflow_abort",
    "experiment_create",
    "experiment_start",
    "experiment_complete",
    "experiment_failed",
    "experiment_pause",
    "experiment_continued",
    "campaign_create",
    "campaign_start",
    "campaign_complete",
    "campaign_abort",
    "action_status_change",
];

/// How 0.5.2 spells the end of an experiment that was called off.
const STOP: &str = "experiment_stop";

/// How 0.8.1 does.
const CANCELLED: &str = "experiment_cancelled";

/// What else 0.8.1 knows. 0.5.2 answers these with 422, and reads nothing that holds one.
const NEW: &[&str] = &[
    "resource_create",
    "resource_update",
    "resource_delete",
    "resource_allocate",
    "resource_release",
    "location_create",
    "location_update",
    "location_delete",
    "attachment_create",
    "attachment_delete",
    "data_store",
    "data_query",
    "data_export",
    "manager_start",
    "manager_stop",
    "manager_error",
    "manager_health_check",
    "workflow_step_start",
    "workflow_step_complete",
    "workflow_step_failed",
    "action_start",
    "action_complete",
    "action_failed",
    "backup_create",
    "backup_restore",
];

/// A type's name as either release spells it, whatever its case.
pub fn known(name: &str) -> Option<&'static str> {
    let same = |known: &&str| known.eq_ignore_ascii_case(name.trim());
    known_to_both(name).or_else(|| [STOP, CANCELLED].into_iter().chain(NEW.iter().copied()).find(same))
}

/// A type's name if both releases know it.
pub fn known_to_both(name: &str) -> Option<&'static str> {
    BOTH.iter().copied().find(|known| known.eq_ignore_ascii_case(name.trim()))
}

/// The nearest type that a reader understands: one unknown to it makes it throw away all it was given.
pub fn spoken(kind: &'static str, speaker: Speaker) -> &'static str {
    match (speaker, kind) {
        (Speaker::Old, STOP | CANCELLED) => STOP,
        (Speaker::New, STOP | CANCELLED) => CANCELLED,
        (Speaker::New, _) => kind,
        _ => known_to_both(kind).unwrap_or("unknown"),
    }
}

/// Whether it only says that something was logged, so that a type inside the event's data says more.
pub fn is_log(kind: &str) -> bool {
    kind == "unknown" || kind == "log" || kind.starts_with("log_")
}

/// The level of a name.
pub fn level(name: &str) -> Option<u8> {
    let name = name.trim().to_ascii_uppercase();
    Some(match name.strip_prefix("EVENTLOGLEVEL.").unwrap_or(&name) {
        "NOTSET" => 0,
        "DEBUG" => 10,
        "INFO" => 20,
        "WARNING" => 30,
        "ERROR" => 40,
        "CRITICAL" => 50,
        number => number.parse().ok().filter(|level| is_level(*level))?,
    })
}

/// Whether there is such a level.
pub fn is_level(level: u8) -> bool {
    level <= 50 && level.is_multiple_of(10)
}

/// The severity of an event of this level.
pub fn severity(level: u8) -> Severity {
    match level {
        ..20 => Severity::Debug,
        20..30 => Severity::Informational,
        30..40 => Severity::Warning,
        40..50 => Severity::Error,
        _ => Severity::Critical,
    }
}

/// The level of a message of this severity, and the type that stands for it.
pub fn of_severity(severity: Severity) -> (u8, &'static str) {
    match severity {
        Severity::Emergency | Severity::Alert | Severity::Critical => (50, "log_critical"),
        Severity::Error => (40, "log_error"),
        Severity::Warning => (30, "log_warning"),
        Severity::Notice | Severity::Informational => (20, "log_info"),
        Severity::Debug => (10, "log_debug"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_hears_its_own_words() {
        assert_eq!((BOTH.len() + 1, BOTH.len() + 1 + NEW.len()), (38, 63));
        for kind in BOTH.iter().chain(NEW).chain(&[STOP, CANCELLED]) {
            let kind = known(&kind.to_uppercase()).expect("known in capitals");
            let old = spoken(kind, Speaker::Old);
            assert!(BOTH.contains(&old) || old == STOP, "{old}");
            let new = spoken(kind, Speaker::New);
            assert!(BOTH.contains(&new) || NEW.contains(&new) || new == CANCELLED, "{new}");
            assert!(BOTH.contains(&spoken(kind, Speaker::Either)));
        }
        assert_eq!((spoken(CANCELLED, Speaker::Old), spoken(STOP, Speaker::New)), (STOP, CANCELLED));
        assert_eq!(spoken("resource_create", Speaker::Old), "unknown");
    }

    #[test]
    fn levels_and_severities_are_in_the_same_order() {
        let mut last = u8::MAX;
        for level in [0, 10, 20, 30, 40, 50] {
            assert!(is_level(level));
            let severity = severity(level).number();
            assert!(severity <= last);
            last = severity;
            assert_eq!(of_severity(super::severity(level)).0, level.max(10));
        }
        assert_eq!([level("Error"), level(" EventLogLevel.INFO"), level("10")], [Some(40), Some(20), Some(10)]);
        assert_eq!([level("25"), level("loud"), level("")], [None; 3]);
    }
}

//! Reports as tables, in the columns of MADSci's. One file holds several tables, as theirs do, each under its title.

use metlog_message::{Fields, Value};

/// Rows of a table under construction.
struct Table(String);

impl Table {
    fn new(title: &str) -> Self {
        let mut table = Table(String::new());
        table.title(title);
        table.blank();
        table
    }

    /// A title, or another line of our own.
    fn title(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push_str("\r\n");
    }

    fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        for (at, cell) in cells.into_iter().enumerate() {
            if at > 0 {
                self.0.push(',');
            }
            cell_into(&mut self.0, cell);
        }
        self.0.push_str("\r\n");
    }

    fn blank(&mut self) {
        self.0.push_str("\r\n");
    }

    /// A title, then names with their values, then nothing.
    fn block(&mut self, title: &str, of: Option<&Value>, rows: &[(&str, &str)]) {
        self.title(title);
        for (label, key) in rows {
            self.row([*label, &text(of, key)]);
        }
        self.blank();
    }

    /// The columns' names, then a row for each.
    fn columns<'a>(&mut self, columns: &[(&str, &str)], of: impl Iterator<Item = &'a Value>) {
        self.row(columns.iter().map(|(label, _)| *label));
        for one in of {
            let cells: Vec<String> = columns.iter().map(|(_, key)| text(Some(one), key)).collect();
            self.row(cells.iter().map(String::as_str));
        }
    }
}

/// Quoted where it must be. A text that a spreadsheet would take for a formula gets an apostrophe in front: anybody who
/// can send an event can choose a name, and somebody else opens the table.
fn cell_into(out: &mut String, cell: &str) {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    let guard = if is_formula { "'" } else { "" };
    if cell.contains([',', '"', '\r', '\n']) {
        out.push('"');
        out.push_str(guard);
        out.push_str(&cell.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(guard);
        out.push_str(cell);
    }
}

fn text(of: Option<&Value>, key: &str) -> String {
    match of.and_then(|of| of.as_map()?.get(key)) {
        None | Some(Value::Null) => String::new(),
        Some(value) => value.to_text().into_owned(),
    }
}

fn at<'a>(report: &'a Value, path: &str) -> Option<&'a Value> {
    report.as_map()?.at(path)
}

fn items<'a>(report: &'a Value, path: &str) -> &'a [Value] {
    at(report, path).and_then(Value::as_list).unwrap_or_default()
}

fn entries<'a>(report: &'a Value, path: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    at(report, path).and_then(Value::as_map).into_iter().flat_map(Fields::iter)
}

/// The report of sessions.
pub fn sessions(report: &Value) -> String {
    let mut table = Table::new("=== UTILIZATION REPORT ===");
    let metadata = [
        ("Generated At", "generated_at"),
        ("Analysis Start", "analysis_start"),
        ("Analysis End", "analysis_end"),
        ("Total Sessions", "total_sessions"),
        ("Analysis Duration (hours)", "analysis_duration_hours"),
    ];
    table.block("Report Metadata", at(report, "report_metadata"), &metadata);
    let summary = [
        ("Total Sessions", "total_sessions"),
        ("Total System Runtime (hours)", "total_system_runtime_hours"),
        ("Total Active Time (hours)", "total_active_time_hours"),
        ("Average System Utilization (%)", "average_system_utilization_percent"),
        ("Total Experiments", "total_experiments"),
        ("Nodes Tracked", "nodes_tracked"),
    ];
    table.block("Overall Summary", at(report, "overall_summary"), &summary);
    let details = items(report, "session_details");
    if !details.is_empty() {
        table.title("=== SESSION DETAILS ===");
        let columns = [
            ("Session Type", "session_type"),
            ("Session Name", "session_name"),
            ("Start Time", "start_time"),
            ("End Time", "end_time"),
            ("Duration (hours)", "duration_hours"),
            ("System Utilization (%)", "system_utilization_percent"),
            ("Total Experiments", "total_experiments"),
            ("Nodes Active", "nodes_active"),
        ];
        table.columns(&columns, details.iter());
        table.blank();
    }
    let mut nodes = entries(report, "overall_summary.node_summary").peekable();
    if nodes.peek().is_some() {
        table.title("=== NODE SUMMARY ===");
        table.row(["Node ID", "Average Utilization (%)", "Total Busy Time (hours)", "Sessions Active"]);
        for (id, node) in nodes {
            let of = |key| text(Some(node), key);
            let cells = [of("average_utilization_percent"), of("total_busy_time_hours"), of("sessions_active")];
            table.row([id].into_iter().chain(cells.iter().map(String::as_str)));
        }
    }
    table.0
}

/// The report of users.
pub fn users(report: &Value) -> String {
    let mut table = Table::new("=== DETAILED USER UTILIZATION REPORT ===");
    let metadata = [
        ("Generated At", "generated_at"),
        ("Analysis Start", "analysis_start"),
        ("Analysis End", "analysis_end"),
        ("Total Users", "total_users"),
        ("Total Workflows", "total_workflows"),
    ];
    table.block("Report Metadata", at(report, "report_metadata"), &metadata);
    let summary = [
        ("Total Workflows", "total_workflows"),
        ("Total Runtime (hours)", "total_runtime_hours"),
        ("Average Workflow Duration (hours)", "average_workflow_duration_hours"),
        ("Completion Rate (%)", "completion_rate_percent"),
        ("Author Attribution Rate (%)", "author_attribution_rate_percent"),
    ];
    table.block("System Summary", at(report, "system_summary"), &summary);
    table.title("=== USER DETAILS ===");
    let columns = [
        ("Author", "author"),
        ("Total Workflows", "total_workflows"),
        ("Completed", "completed_workflows"),
        ("Failed", "failed_workflows"),
        ("Cancelled", "cancelled_workflows"),
        ("Total Runtime (hours)", "total_runtime_hours"),
        ("Avg Duration (hours)", "average_workflow_duration_hours"),
        ("Completion Rate (%)", "completion_rate_percent"),
        ("Shortest (hours)", "shortest_workflow_hours"),
        ("Longest (hours)", "longest_workflow_hours"),
    ];
    table.columns(&columns, entries(report, "user_utilization").map(|(_, user)| user));
    table.0
}

/// The report of periods.
pub fn periods(report: &Value) -> String {
    let mut table = Table::new("=== UTILIZATION PERIODS REPORT ===");
    let metadata = [
        ("Analysis Type", "analysis_type"),
        ("Generated At", "generated_at"),
        ("Period Start", "period_start"),
        ("Period End", "period_end"),
        ("User Timezone", "user_timezone"),
        ("Total Periods", "total_periods"),
    ];
    table.block("Metadata", at(report, "summary_metadata"), &metadata);
    let metrics = [
        ("Average Utilization (%)", "average_utilization"),
        ("Peak Utilization (%)", "peak_utilization"),
        ("Peak Period", "peak_period"),
        ("Total Experiments", "total_experiments"),
        ("Total Runtime (hours)", "total_runtime_hours"),
        ("Total Active Time (hours)", "total_active_time_hours"),
        ("Active Periods", "active_periods"),
        ("Total Periods", "total_periods"),
    ];
    table.block("Key Metrics", at(report, "key_metrics"), &metrics);
    table.title("=== TIME SERIES DATA ===");
    let series = [
        ("Period Number", "period_number"),
        ("Period Type", "period_type"),
        ("Period Display", "period_display"),
        ("Date", "date"),
        ("Start Time", "start_time"),
        ("Utilization (%)", "utilization"),
        ("Experiments", "experiments"),
        ("Runtime (hours)", "runtime_hours"),
    ];
    table.columns(&series, items(report, "time_series.system").iter());
    table.blank();
    nodes_and_places(&mut table, report);
    users_and_experiments(&mut table, report);
    table.0
}

fn nodes_and_places(table: &mut Table, report: &Value) {
    table.title("=== NODE SUMMARY ===");
    let mut nodes = entries(report, "node_summary").map(|(_, node)| node).peekable();
    let daily = text(at(report, "summary_metadata"), "analysis_type") == "daily";
    if nodes.peek().is_some() {
        let columns = [
            ("Node ID", "node_id"),
            ("Node Name", "node_name"),
            ("Display Name", "display_name"),
            ("Average Utilization (%)", "average_utilization"),
            ("Peak Utilization (%)", "peak_utilization"),
            ("Peak Period", "peak_period"),
            ("Total Busy (hours)", "total_busy_hours"),
        ];
        table.columns(&columns, nodes);
    } else if daily {
        table.title("No node activity detected during this daily analysis period");
    } else {
        table.title("No node data available for this time period");
    }
    table.blank();
    let mut places = entries(report, "workcell_summary").map(|(_, place)| place).peekable();
    if places.peek().is_some() {
        table.title("=== WORKCELL SUMMARY ===");
        let columns = [
            ("Workcell ID", "workcell_id"),
            ("Workcell Name", "workcell_name"),
            ("Display Name", "display_name"),
            ("Average Utilization (%)", "average_utilization"),
            ("Peak Utilization (%)", "peak_utilization"),
            ("Peak Period", "peak_period"),
            ("Total Experiments", "total_experiments"),
            ("Total Runtime (hours)", "total_runtime_hours"),
            ("Total Active Time (hours)", "total_active_time_hours"),
        ];
        table.columns(&columns, places);
        table.blank();
    }
}

fn users_and_experiments(table: &mut Table, report: &Value) {
    if at(report, "user_utilization").is_some() {
        table.title("=== USER UTILIZATION ===");
        let columns = [
            ("Author", "author"),
            ("Total Workflows", "total_workflows"),
            ("Total Runtime (hours)", "total_runtime_hours"),
            ("Completion Rate (%)", "completion_rate_percent"),
            ("Average Workflow Duration (hours)", "average_workflow_duration_hours"),
        ];
        table.columns(&columns, items(report, "user_utilization.top_users").iter());
        table.blank();
    }
    let experiments = items(report, "experiment_details.experiments");
    if experiments.is_empty() {
        return;
    }
    table.title("=== EXPERIMENT DETAILS ===");
    let columns = [
        ("Experiment ID", "experiment_id"),
        ("Experiment Name", "experiment_name"),
        ("Start Time", "start_time"),
        ("End Time", "end_time"),
        ("Status", "status"),
        ("Duration (hours)", "duration_hours"),
        ("Duration Display", "duration_display"),
    ];
    table.columns(&columns, experiments.iter());
    let total = at(report, "experiment_details.total_experiments").and_then(Value::as_i64).unwrap_or_default();
    let more = usize::try_from(total).unwrap_or_default().saturating_sub(experiments.len());
    if more > 0 {
        table.title(&format!("... and {more} more experiments"));
    }
    table.blank();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_what_it_is_and_never_a_formula() {
        let mut table = Table(String::new());
        table.row(["plain", "a,b", "say \"x\"", "two\nlines", "=SUM(A1)", "-1.5", "-x", "", "'", "@a,b"]);
        let expected = "plain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",'=SUM(A1),-1.5,'-x,,',\"'@a,b\"\r\n";
        assert_eq!(table.0, expected);
    }
}

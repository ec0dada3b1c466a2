//! `each` and `matrix`: the rows of a table, the points of a matrix, and their labels.

use std::sync::Arc;

use crate::limits::CASES;
use crate::place::Span;
use crate::yaml::names::is_name;
use crate::yaml::reader::{Reader, find};
use crate::yaml::tree::{Kind, Node, NodeRef};

use super::{Param, resolved};

/// One of the cases that a case becomes.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    /// What stands in the brackets; `None` without `each` and `matrix`.
    pub(crate) label: Option<String>,
    /// Where the row stands, or the value of a matrix.
    pub(crate) span: Option<Span>,
    /// What is filled in, in the order of [`variants`]' names.
    pub(crate) params: Vec<Param>,
}

/// All variants of a case. One when it has neither `each` nor `matrix`; none when they are wrong.
pub(crate) fn variants(reader: &mut Reader, case: &Node) -> Option<Vec<Variant>> {
    let rows = match case.get("each") {
        Some(entry) => rows(reader, &entry.value)?,
        None => vec![Variant { label: None, span: None, params: Vec::new() }],
    };
    let axes = match case.get("matrix") {
        Some(matrix) => axes(reader, &matrix.value)?,
        None => Vec::new(),
    };
    let names = rows.iter().flat_map(|row| &row.params);
    let twice: Vec<_> = axes
        .iter()
        .filter_map(|axis| Some((axis, names.clone().find(|p| p.name == axis.name)?.span)))
        .collect();
    for (axis, first) in twice {
        let text = format!("{} is a parameter of `each` and of `matrix`", axis.name);
        reader.wrong_see(axis.span, text, first, "of `each` here");
    }
    let factors = std::iter::once(rows.len()).chain(axes.iter().map(|axis| axis.values.len()));
    let count = factors.clone().fold(1, usize::saturating_mul);
    if count > CASES {
        let count = if count == usize::MAX { "2^64 or more".to_owned() } else { count.to_string() };
        let factors: Vec<String> = factors.filter(|&n| n != 1).map(|n| n.to_string()).collect();
        let text = format!("{count} cases come of this; the most is {CASES}");
        let table = case.get("matrix").or(case.get("each")).map_or(case.span, |table| table.key_span);
        reader.wrong_help(table, text, factors.join(" × "));
        return None;
    }
    let mut all = rows;
    for axis in &axes {
        all = all
            .iter()
            .flat_map(|variant| axis.values.iter().map(|value| axis.with(variant, value)))
            .collect();
    }
    Some(all)
}

fn rows(reader: &mut Reader, table: &NodeRef) -> Option<Vec<Variant>> {
    let table = resolved(reader, table);
    let items = reader.list(&table, "rows")?;
    if items.is_empty() {
        reader.wrong(table.span, "an empty table");
        return None;
    }
    let rows: Vec<_> = items.iter().map(|item| row(reader, item)).collect();
    let rows: Vec<_> = rows.into_iter().flatten().collect();
    Some(same_columns(reader, rows))
}

fn row(reader: &mut Reader, node: &Node) -> Option<Variant> {
    let Some(entries) = node.entries() else {
        let help = "a row is {case: its name, parameter: value, …}";
        reader.wrong_help(node.span, format!("{} where a row belongs", node.what()), help);
        return None;
    };
    let label = match find(entries, "case") {
        Some(entry) => reader.word(&entry.value, "the name of a row")?.trim().to_owned(),
        None => {
            reader.wrong_help(node.span, "a row without `case`", "`case` names the row");
            return None;
        }
    };
    let mut params = Vec::new();
    for entry in entries.iter().filter(|e| &*e.key != "case") {
        parameter_name(reader, &entry.key, entry.key_span)?;
        params.push(Param { name: entry.key.clone(), span: entry.key_span, value: entry.value.clone() });
    }
    Some(Variant { label: Some(label), span: Some(node.span), params })
}

/// A parameter that some rows lack would be a `$name` there that nobody saves: the rows that have them all.
fn same_columns(reader: &mut Reader, mut rows: Vec<Variant>) -> Vec<Variant> {
    let mut columns: Vec<Param> = Vec::new();
    for param in rows.iter().flat_map(|row| &row.params) {
        if !columns.iter().any(|c| c.name == param.name) {
            columns.push(param.clone());
        }
    }
    rows.retain(|row| {
        let missing = columns.iter().filter(|c| !row.params.iter().any(|p| p.name == c.name));
        let mut complete = true;
        for column in missing {
            let span = row.span.unwrap_or(column.span);
            let text = format!("a row without {}, which other rows have", column.name);
            reader.wrong_see(span, text, column.span, "in this row, say");
            complete = false;
        }
        complete
    });
    rows
}

/// A parameter of a matrix.
struct Axis {
    name: Arc<str>,
    span: Span,
    values: Vec<NodeRef>,
}

impl Axis {
    fn with(&self, variant: &Variant, value: &NodeRef) -> Variant {
        let point = format!("{}={}", self.name, label(value));
        let label = variant.label.as_ref().map_or(point.clone(), |row| format!("{row},{point}"));
        let mut params = variant.params.clone();
        params.push(Param { name: self.name.clone(), span: self.span, value: value.clone() });
        Variant { label: Some(label), span: Some(value.span), params }
    }
}

fn axes(reader: &mut Reader, matrix: &NodeRef) -> Option<Vec<Axis>> {
    let matrix = resolved(reader, matrix);
    let Some(entries) = matrix.entries() else {
        let help = "write matrix: {flags: [BPF_ANY, BPF_EXIST]}";
        reader.wrong_help(matrix.span, format!("{} where a matrix belongs", matrix.what()), help);
        return None;
    };
    if entries.is_empty() {
        reader.wrong(matrix.span, "an empty matrix");
        return None;
    }
    let mut axes = Vec::new();
    for entry in entries {
        let values = reader.list(&entry.value, "values");
        if values.is_some_and(<[_]>::is_empty) {
            reader.wrong(entry.value.span, format!("no values for {}", entry.key));
        }
        let named = parameter_name(reader, &entry.key, entry.key_span);
        let values = values.filter(|v| !v.is_empty()).map(<[_]>::to_vec);
        axes.push(named.and(values).map(|values| Axis {
            name: entry.key.clone(),
            span: entry.key_span,
            values,
        }));
    }
    axes.into_iter().collect()
}

fn parameter_name(reader: &mut Reader, name: &str, span: Span) -> Option<()> {
    if is_name(name) {
        return Some(());
    }
    let help = "a name has letters, digits and _, and does not start with a digit";
    reader.wrong_help(span, format!("{name} cannot be the name of a parameter"), help);
    None
}

/// A value as it stands in a label: in YAML's flow style, without spaces that were not written.
fn label(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(scalar) => scalar.text.trim().to_owned(),
        Kind::List(items) => {
            let items: Vec<_> = items.iter().map(|item| label(item)).collect();
            format!("[{}]", items.join(","))
        }
        Kind::Map(entries) => {
            let entries: Vec<_> = entries.iter().map(|e| format!("{}:{}", e.key, label(&e.value))).collect();
            format!("{{{}}}", entries.join(","))
        }
    }
}

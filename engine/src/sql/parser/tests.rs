//! Tests of the statement layer: every statement, every refusal, every limit.
#![expect(clippy::unwrap_used, reason = "tests")]

mod accepted;
mod hostile;
mod limits;
mod redaction;
mod refused;

use super::{CopyOptions, CreateTable, PartitionTransform, QueryForm, Statement, parse};

/// A statement in one line, with everything in it that was parsed.
fn brief(sql: &str) -> String {
    let parsed = parse(sql).unwrap_or_else(|error| unreachable!("{sql}: {error}"));
    match parsed.statement {
        Statement::Query(QueryForm::Sql(query)) => format!("query {query}"),
        Statement::Query(QueryForm::Plan(plan)) => format!("{plan:?}"),
        Statement::Insert(insert) => format!("insert {insert}"),
        Statement::Change(change) => match change {
            super::Change::Delete(delete) => format!("change {delete}"),
            super::Change::Update(update) => format!("change {update}"),
            super::Change::Merge(merge) => format!("change {merge}"),
        },
        Statement::Truncate { names, if_exists } => {
            format!("truncate {}{}", list(&names), flag(if_exists, " if exists"))
        }
        Statement::AlterTable {
            name,
            if_exists,
            action,
        } => {
            format!(
                "alter table {name}{} {action:?}",
                flag(if_exists, " if exists")
            )
        }
        Statement::CreateTable(create) => brief_create_table(&create),
        Statement::DropTable { names, if_exists } => {
            format!(
                "drop table {}{}",
                list(&names),
                flag(if_exists, " if exists")
            )
        }
        Statement::CreateSchema {
            name,
            if_not_exists,
        } => {
            format!(
                "create schema {name}{}",
                flag(if_not_exists, " if not exists")
            )
        }
        Statement::DropSchema {
            name,
            if_exists,
            cascade,
        } => {
            let flags = [flag(if_exists, " if exists"), flag(cascade, " cascade")].concat();
            format!("drop schema {name}{flags}")
        }
        Statement::CopyFrom {
            table,
            columns,
            path,
            options,
        } => {
            format!(
                "copy {table}({}) from {path} {}",
                list(&columns),
                brief_options(&options)
            )
        }
        Statement::CopyTo {
            source,
            path,
            options,
        } => {
            let source = match source {
                super::CopySource::Table { name, columns } => format!("{name}({})", list(&columns)),
                super::CopySource::Query(query) => format!("({query})"),
            };
            format!("copy {source} to {path} {}", brief_options(&options))
        }
        Statement::Call {
            procedure,
            arguments,
        } => {
            let argument = |argument: &super::CallArgument| match &argument.name {
                Some(name) => format!("{name} => {}", argument.value),
                None => argument.value.to_string(),
            };
            let arguments: Vec<String> = arguments.iter().map(argument).collect();
            format!("call {}({})", procedure.join("."), arguments.join(", "))
        }
        Statement::Begin => "begin".to_owned(),
        Statement::Commit => "commit".to_owned(),
        Statement::Rollback => "rollback".to_owned(),
        Statement::Savepoint(name) => format!("savepoint {name}"),
        Statement::RollbackTo(name) => format!("rollback to {name}"),
        Statement::ReleaseSavepoint(name) => format!("release {name}"),
        Statement::Set { name, value } => format!("set {name} = {value}"),
        Statement::Reset { name } => format!("reset {name}"),
        Statement::Admin(admin) => format!("{admin:?}"),
    }
}

fn brief_create_table(create: &CreateTable) -> String {
    let mut text = format!("create table {} [{}]", create.name, list(&create.columns));
    text += flag(create.if_not_exists, " if not exists");
    text += flag(create.or_replace, " or replace");
    if !create.primary_key.is_empty() {
        text += &format!(" key {}", list(&create.primary_key));
    }
    for transform in &create.partitioned_by {
        let name = match transform {
            PartitionTransform::Identity { .. } => "identity".to_owned(),
            PartitionTransform::Year { .. } => "year".to_owned(),
            PartitionTransform::Month { .. } => "month".to_owned(),
            PartitionTransform::Day { .. } => "day".to_owned(),
            PartitionTransform::Hour { .. } => "hour".to_owned(),
            PartitionTransform::Bucket { buckets, .. } => format!("bucket{buckets}"),
        };
        text += &format!(" by {name}({})", transform.column());
    }
    for key in &create.sorted_by {
        let direction = if key.descending { "desc" } else { "asc" };
        let nulls = if key.nulls_first { "first" } else { "last" };
        text += &format!(" sort {} {direction} {nulls}", key.column);
    }
    for (key, value) in &create.options {
        text += &format!(" {key}={value}");
    }
    if let Some(query) = &create.query {
        text += &format!(" as {query}");
    }
    text
}

/// The format and whatever is not its default.
fn brief_options(options: &CopyOptions) -> String {
    let CopyOptions {
        format,
        header,
        delimiter,
        quote,
        escape,
        null,
        compression,
    } = options;
    let byte = |name: &str, byte: &Option<u8>| byte.map(|b| format!("{name}={:?}", char::from(b)));
    let parts = [
        header.map(|header| format!("header={header}")),
        byte("delimiter", delimiter),
        byte("quote", quote),
        byte("escape", escape),
        null.as_ref().map(|null| format!("null={null:?}")),
        compression.clone(),
    ];
    let parts: Vec<String> = [Some(format!("{format:?}"))]
        .into_iter()
        .chain(parts)
        .flatten()
        .collect();
    parts.join(" ")
}

fn list(items: &[impl std::fmt::Display]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn flag(set: bool, text: &str) -> &str {
    if set { text } else { "" }
}

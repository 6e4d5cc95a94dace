//! Statements that were parsed and planned before.
//!
//! A client asks what a query returns, fetches the rows, and sends the same text again: each of
//! these would parse and plan it anew.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use quiver_catalog::{CatalogVersion, TenantId};

use super::known_query::KnownQuery;
use super::parser::{ParseError, ParsedStatement, SqlText, Statement, StatementText, parse};

/// Statements that are kept, about.
const STATEMENTS: usize = 4096;
/// Bytes of text of which the syntax trees are kept, which take some fifty times their text.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Bytes of plans that are kept.
const PLAN_BYTES_MAX: u64 = 64 << 20;
/// What an entry weighs beside its text.
const HEAD_BYTES: u64 = 64;

/// The statements of all tenants.
#[derive(Debug)]
pub(crate) struct StatementCache {
    /// What a text says does not depend on who sends it.
    parsed: Cache<SqlText, Arc<ParsedStatement>, Bytes>,
    planned: Cache<QueryKey, Arc<KnownQuery>, Bytes>,
}

/// What a query means depends on this, and on the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct QueryKey {
    pub(crate) tenant_id: TenantId,
    /// A query may ask for it.
    pub(crate) tenant_name: String,
    /// A query may ask for it.
    pub(crate) default_schema: String,
    pub(crate) text: StatementText,
}

impl StatementCache {
    pub(crate) fn new() -> Self {
        Self {
            parsed: Cache::with_weighter(STATEMENTS, TEXT_BYTES_MAX, Bytes),
            planned: Cache::with_weighter(STATEMENTS, PLAN_BYTES_MAX, Bytes),
        }
    }

    /// As [`parse`].
    pub(crate) fn parse(&self, sql: &str) -> Result<Arc<ParsedStatement>, ParseError> {
        if let Some(parsed) = self.parsed.get(sql) {
            return Ok(parsed);
        }
        let parsed = Arc::new(parse(sql)?);
        // Others are rare, and may hold passwords.
        if matches!(parsed.statement, Statement::Query(_) | Statement::Insert(_))
            && let StatementText::Sql(text) = &parsed.text
        {
            self.parsed.insert(text.clone(), Arc::clone(&parsed));
        }
        Ok(parsed)
    }

    /// A plan that is good for this catalog.
    pub(crate) fn planned(
        &self,
        key: &QueryKey,
        catalog: &CatalogVersion,
    ) -> Option<Arc<KnownQuery>> {
        self.planned.get(key).filter(|known| known.is_good(catalog))
    }

    pub(crate) fn keep(&self, key: QueryKey, query: Arc<KnownQuery>) {
        self.planned.insert(key, query);
    }
}

/// Syntax trees weigh what their texts do, plans what they take.
#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<SqlText, Arc<ParsedStatement>> for Bytes {
    fn weight(&self, text: &SqlText, _parsed: &Arc<ParsedStatement>) -> u64 {
        text.expose().len() as u64 + HEAD_BYTES
    }
}

impl Weighter<QueryKey, Arc<KnownQuery>> for Bytes {
    fn weight(&self, key: &QueryKey, query: &Arc<KnownQuery>) -> u64 {
        key.text.bytes() as u64 + HEAD_BYTES + query.bytes()
    }
}

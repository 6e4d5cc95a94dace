//! Relations.

use super::{
    AdvancedExtension, Expression, FunctionArgument, FunctionOption, LiteralStruct, NamedStruct,
    Opaque,
};

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Rel {
    #[prost(
        oneof = "RelType",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24"
    )]
    pub rel: Option<RelType>,
}

#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum RelType {
    #[prost(message, tag = "1")]
    Read(Box<ReadRel>),
    #[prost(message, tag = "2")]
    Filter(Box<FilterRel>),
    #[prost(message, tag = "3")]
    Fetch(Box<FetchRel>),
    #[prost(message, tag = "4")]
    Aggregate(Box<AggregateRel>),
    #[prost(message, tag = "5")]
    Sort(Box<SortRel>),
    #[prost(message, tag = "6")]
    Join(Box<JoinRel>),
    #[prost(message, tag = "7")]
    Project(Box<ProjectRel>),
    #[prost(message, tag = "8")]
    Set(SetRel),
    #[prost(message, tag = "9")]
    ExtensionSingle(Opaque),
    #[prost(message, tag = "10")]
    ExtensionMulti(Opaque),
    #[prost(message, tag = "11")]
    ExtensionLeaf(Opaque),
    #[prost(message, tag = "12")]
    Cross(Box<CrossRel>),
    #[prost(message, tag = "13")]
    HashJoin(Opaque),
    #[prost(message, tag = "14")]
    MergeJoin(Opaque),
    #[prost(message, tag = "15")]
    Exchange(Opaque),
    #[prost(message, tag = "16")]
    Expand(Opaque),
    #[prost(message, tag = "17")]
    Window(Opaque),
    #[prost(message, tag = "18")]
    NestedLoopJoin(Opaque),
    #[prost(message, tag = "19")]
    Write(Opaque),
    #[prost(message, tag = "20")]
    Ddl(Opaque),
    #[prost(message, tag = "21")]
    Reference(Opaque),
    #[prost(message, tag = "22")]
    Update(Opaque),
    #[prost(message, tag = "23")]
    TopN(Opaque),
    #[prost(message, tag = "24")]
    LateralJoin(Opaque),
}

/// What all relations have. Hints are passed over: they change no rows.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RelCommon {
    /// The columns that are handed on; without it, all.
    #[prost(message, optional, tag = "2")]
    pub emit: Option<Emit>,
    #[prost(message, optional, tag = "4")]
    pub advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct Emit {
    #[prost(int32, repeated, tag = "1")]
    pub output_mapping: Vec<i32>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ReadRel {
    #[prost(message, optional, tag = "1")]
    pub common: Option<RelCommon>,
    #[prost(message, optional, tag = "2")]
    pub base_schema: Option<NamedStruct>,
    #[prost(message, optional, tag = "3")]
    pub filter: Option<Expression>,
    #[prost(message, optional, tag = "4")]
    pub projection: Option<MaskExpression>,
    #[prost(message, optional, tag = "10")]
    pub advanced_extension: Option<AdvancedExtension>,
    #[prost(oneof = "ReadType", tags = "5, 6, 7, 8, 9")]
    pub read: Option<ReadType>,
}

#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum ReadType {
    #[prost(message, tag = "5")]
    VirtualTable(VirtualTable),
    #[prost(message, tag = "6")]
    LocalFiles(Opaque),
    #[prost(message, tag = "7")]
    NamedTable(NamedTable),
    #[prost(message, tag = "8")]
    ExtensionTable(Opaque),
    #[prost(message, tag = "9")]
    IcebergTable(Opaque),
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct NamedTable {
    #[prost(string, repeated, tag = "1")]
    pub names: Vec<String>,
    #[prost(message, optional, tag = "10")]
    pub advanced_extension: Option<AdvancedExtension>,
}

/// Rows that are in the plan: constants up to 0.85, expressions since 0.57.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct VirtualTable {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<LiteralStruct>,
    #[prost(message, repeated, tag = "2")]
    pub expressions: Vec<ExpressionStruct>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ExpressionStruct {
    #[prost(message, repeated, tag = "1")]
    pub fields: Vec<Expression>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct MaskExpression {
    #[prost(message, optional, tag = "1")]
    pub select: Option<StructSelect>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StructSelect {
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<StructItem>,
}

#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct StructItem {
    #[prost(int32, tag = "1")]
    pub field: i32,
    #[prost(message, optional, tag = "2")]
    pub child: Option<Opaque>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct FilterRel {
    #[prost(message, optional, tag = "1")]
    pub common: Option<RelCommon>,
    #[prost(message, optional, tag = "2")]
    pub input: Option<Rel>,
    #[prost(message, optional, tag = "3")]
    pub condition: Option<Expression>,
    #[prost(message, optional, tag = "10")]
    pub advanced_extension: Option<AdvancedExtension>,
}

/// Up to 0.62, `count` is always there and 0 on the wire is nothing; since, nothing means all.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct FetchRel {
    #[prost(message, optional, tag = "1")]
    pub common: Option<RelCommon>,
    #[prost(message, optional, tag = "2")]
    pub input: Option<Rel>,
    #[prost(int64, optional, tag = "3")]
    pub offset: Option<i64>,
    #[prost(int64, optional, tag = "4")]
    pub count: Option<i64>,
    #[prost(message, optional, tag = "5")]
    pub offset_expr: Option<Expression>,
    #[prost(message, optional, tag = "6")]
    pub count_expr: Option<Expression>,
    #[prost(message, optional, tag = "10")]
    pub advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct AggregateRel {
    #[prost(message, optional, tag = "1")]
    pub common: Option<RelCommon>,
    #[prost(message, optional, tag = "2")]
    pub input: Option<Rel>,
    #[prost(message, repeated, tag = "3")]
    pub groupings: Vec<Grouping>,
    #[prost(message, repeated, tag = "4")]
    pub measures: Vec<Measure>,
    #[prost(message, repeated, tag = "5")]
    pub grouping_expressions: Vec<Expression>,
    #[prost(message, optional, tag = "10")]
    pub advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Grouping {
    /// The old form; positions in the relation's `grouping_expressions` are the new one.
    #[prost(message, repeated, tag = "1")]
    pub grouping_expressions: Vec<Expression>,
    #[prost(uint32, repeated, tag = "2")]
    pub expression_references: Vec<u32>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Measure {
    #[prost(message, optional, tag = "1")]
    pub measure: Option<AggregateFunction>,
    #[prost(message, optional, tag = "2")]
    pub filter: Option<Expression>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct AggregateFunction {
    #[prost(uint32, tag = "1")]
    pub function_reference: u32,
    /// Of versions before 0.56.
    #[prost(message, repeated, tag = "2")]
    pub args: Vec<Opaque>,
    #[prost(message, repeated, tag = "3")]
    pub sorts: Vec<SortField>,
    #[prost(int32, tag = "4")]
    pub phase: i32,
    #[prost(int32, tag = "6")]
    pub invocation: i32,
    #[prost(message, repeated, tag = "7")]
    pub arguments: Vec<FunctionArgument>,
    #[prost(message, repeated, tag = "8")]
    pub options: Vec<FunctionOption>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SortRel {
    #[prost(message, optional, tag = "1")]
    pub common: Option<RelCommon>,
    #[prost(message, optional, tag = "2")]
    pub input: Option<Rel>,
    #[prost(message, repeated, tag = "3")]
    pub sorts: Vec<SortField>,
    #[prost(message, optional, tag = "10")]
    pub advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SortField {
    #[prost(message, optional, tag = "1")]
    pub expr: Option<Expression>,
    #[prost(oneof = "SortKind", tags = "2, 3")]
    pub kind: Option<SortKind>,
}

#[derive(Clone, Copy, PartialEq, Eq, ::prost::Oneof)]
pub enum SortKind {
    /// 1 to 4: ascending twice, then descending, NULLs first before NULLs last.
    #[prost(int32, tag = "2")]
    Direction(i32),
    #[prost(uint32, tag = "3")]
    ComparisonFunction(u32),
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct JoinRel {
    #[prost(message, optional, tag = "1")]
    pub common: Option<RelCommon>,
    #[prost(message, optional, tag = "2")]
    pub left: Option<Rel>,
    #[prost(message, optional, tag = "3")]
    pub right: Option<Rel>,
    #[prost(message, optional, tag = "4")]
    pub expression: Option<Expression>,
    #[prost(message, optional, tag = "5")]
    pub post_join_filter: Option<Expression>,
    #[prost(int32, tag = "6")]
    pub kind: i32,
    #[prost(message, optional, tag = "10")]
    pub advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CrossRel {
    #[prost(message, optional, tag = "1")]
    pub common: Option<RelCommon>,
    #[prost(message, optional, tag = "2")]
    pub left: Option<Rel>,
    #[prost(message, optional, tag = "3")]
    pub right: Option<Rel>,
    #[prost(message, optional, tag = "10")]
    pub advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProjectRel {
    #[prost(message, optional, tag = "1")]
    pub common: Option<RelCommon>,
    #[prost(message, optional, tag = "2")]
    pub input: Option<Rel>,
    #[prost(message, repeated, tag = "3")]
    pub expressions: Vec<Expression>,
    #[prost(message, optional, tag = "10")]
    pub advanced_extension: Option<AdvancedExtension>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SetRel {
    #[prost(message, optional, tag = "1")]
    pub common: Option<RelCommon>,
    #[prost(message, repeated, tag = "2")]
    pub inputs: Vec<Rel>,
    #[prost(int32, tag = "3")]
    pub op: i32,
    #[prost(message, optional, tag = "10")]
    pub advanced_extension: Option<AdvancedExtension>,
}

//! Expressions.

use super::{Literal, Opaque, Rel, SortField, Type};

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Expression {
    #[prost(
        oneof = "RexType",
        tags = "1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17"
    )]
    pub rex: Option<RexType>,
}

#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum RexType {
    #[prost(message, tag = "1")]
    Literal(Box<Literal>),
    #[prost(message, tag = "2")]
    Selection(Box<FieldReference>),
    #[prost(message, tag = "3")]
    ScalarFunction(ScalarFunction),
    #[prost(message, tag = "5")]
    WindowFunction(Box<WindowFunction>),
    #[prost(message, tag = "6")]
    IfThen(Box<IfThen>),
    #[prost(message, tag = "7")]
    Switch(Box<Switch>),
    #[prost(message, tag = "8")]
    SingularOrList(Box<SingularOrList>),
    #[prost(message, tag = "9")]
    MultiOrList(Opaque),
    #[prost(message, tag = "10")]
    Enum(Opaque),
    #[prost(message, tag = "11")]
    Cast(Box<Cast>),
    #[prost(message, tag = "12")]
    Subquery(Box<Subquery>),
    #[prost(message, tag = "13")]
    Nested(Opaque),
    #[prost(message, tag = "14")]
    DynamicParameter(DynamicParameter),
    #[prost(message, tag = "15")]
    Lambda(Opaque),
    #[prost(message, tag = "16")]
    LambdaInvocation(Opaque),
    #[prost(message, tag = "17")]
    ExecutionContextVariable(Opaque),
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct FieldReference {
    #[prost(oneof = "ReferenceType", tags = "1, 2")]
    pub reference: Option<ReferenceType>,
    #[prost(oneof = "RootType", tags = "3, 4, 5, 6")]
    pub root: Option<RootType>,
}

#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum ReferenceType {
    #[prost(message, tag = "1")]
    Direct(ReferenceSegment),
    #[prost(message, tag = "2")]
    Masked(Opaque),
}

#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum RootType {
    #[prost(message, tag = "3")]
    Expression(Opaque),
    #[prost(message, tag = "4")]
    Root(Opaque),
    #[prost(message, tag = "5")]
    Outer(OuterReference),
    #[prost(message, tag = "6")]
    LambdaParameter(Opaque),
}

#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct OuterReference {
    #[prost(uint32, tag = "1")]
    pub steps_out: u32,
    /// After 0.85.
    #[prost(uint32, optional, tag = "2")]
    pub rel_reference: Option<u32>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ReferenceSegment {
    #[prost(oneof = "SegmentType", tags = "1, 2, 3")]
    pub segment: Option<SegmentType>,
}

#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum SegmentType {
    #[prost(message, tag = "1")]
    MapKey(Opaque),
    #[prost(message, tag = "2")]
    StructField(Box<StructField>),
    #[prost(message, tag = "3")]
    ListElement(Opaque),
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StructField {
    #[prost(int32, tag = "1")]
    pub field: i32,
    #[prost(message, optional, boxed, tag = "2")]
    pub child: Option<Box<ReferenceSegment>>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct FunctionArgument {
    #[prost(oneof = "ArgumentType", tags = "1, 2, 3")]
    pub argument: Option<ArgumentType>,
}

#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum ArgumentType {
    #[prost(string, tag = "1")]
    Enum(String),
    #[prost(message, tag = "2")]
    Type(Opaque),
    #[prost(message, tag = "3")]
    Value(Expression),
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct FunctionOption {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, repeated, tag = "2")]
    pub preference: Vec<String>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ScalarFunction {
    #[prost(uint32, tag = "1")]
    pub function_reference: u32,
    /// Of versions before 0.56.
    #[prost(message, repeated, tag = "2")]
    pub args: Vec<Opaque>,
    #[prost(message, repeated, tag = "4")]
    pub arguments: Vec<FunctionArgument>,
    #[prost(message, repeated, tag = "5")]
    pub options: Vec<FunctionOption>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct WindowFunction {
    #[prost(uint32, tag = "1")]
    pub function_reference: u32,
    #[prost(message, repeated, tag = "2")]
    pub partitions: Vec<Expression>,
    #[prost(message, repeated, tag = "3")]
    pub sorts: Vec<SortField>,
    #[prost(message, optional, tag = "4")]
    pub upper_bound: Option<Bound>,
    #[prost(message, optional, tag = "5")]
    pub lower_bound: Option<Bound>,
    #[prost(int32, tag = "6")]
    pub phase: i32,
    /// Of versions before 0.56.
    #[prost(message, repeated, tag = "8")]
    pub args: Vec<Opaque>,
    #[prost(message, repeated, tag = "9")]
    pub arguments: Vec<FunctionArgument>,
    #[prost(int32, tag = "10")]
    pub invocation: i32,
    #[prost(message, repeated, tag = "11")]
    pub options: Vec<FunctionOption>,
    #[prost(int32, tag = "12")]
    pub bounds_type: i32,
}

#[derive(Clone, Copy, PartialEq, ::prost::Message)]
pub struct Bound {
    #[prost(oneof = "BoundKind", tags = "1, 2, 3, 4")]
    pub kind: Option<BoundKind>,
}

#[derive(Clone, Copy, PartialEq, ::prost::Oneof)]
pub enum BoundKind {
    #[prost(message, tag = "1")]
    Preceding(Distance),
    #[prost(message, tag = "2")]
    Following(Distance),
    #[prost(message, tag = "3")]
    CurrentRow(Opaque),
    #[prost(message, tag = "4")]
    Unbounded(Opaque),
}

#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct Distance {
    #[prost(int64, tag = "1")]
    pub offset: i64,
    /// After 0.85.
    #[prost(message, optional, tag = "2")]
    pub offset_expr: Option<Opaque>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct IfThen {
    #[prost(message, repeated, tag = "1")]
    pub ifs: Vec<IfClause>,
    #[prost(message, optional, boxed, tag = "2")]
    pub otherwise: Option<Box<Expression>>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct IfClause {
    #[prost(message, optional, tag = "1")]
    pub condition: Option<Expression>,
    #[prost(message, optional, tag = "2")]
    pub then: Option<Expression>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Switch {
    #[prost(message, repeated, tag = "1")]
    pub ifs: Vec<IfValue>,
    #[prost(message, optional, boxed, tag = "2")]
    pub otherwise: Option<Box<Expression>>,
    #[prost(message, optional, boxed, tag = "3")]
    pub value: Option<Box<Expression>>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct IfValue {
    #[prost(message, optional, tag = "1")]
    pub value: Option<Literal>,
    #[prost(message, optional, tag = "2")]
    pub then: Option<Expression>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SingularOrList {
    #[prost(message, optional, boxed, tag = "1")]
    pub value: Option<Box<Expression>>,
    #[prost(message, repeated, tag = "2")]
    pub options: Vec<Expression>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Cast {
    #[prost(message, optional, tag = "1")]
    pub to: Option<Type>,
    #[prost(message, optional, boxed, tag = "2")]
    pub input: Option<Box<Expression>>,
    #[prost(int32, tag = "3")]
    pub failure_behavior: i32,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DynamicParameter {
    #[prost(message, optional, tag = "1")]
    pub kind: Option<Type>,
    /// From 0.
    #[prost(uint32, tag = "2")]
    pub reference: u32,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Subquery {
    #[prost(oneof = "SubqueryType", tags = "1, 2, 3, 4")]
    pub kind: Option<SubqueryType>,
}

#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum SubqueryType {
    #[prost(message, tag = "1")]
    Scalar(Box<ScalarSubquery>),
    #[prost(message, tag = "2")]
    InPredicate(Box<InPredicate>),
    #[prost(message, tag = "3")]
    SetPredicate(Box<SetPredicate>),
    #[prost(message, tag = "4")]
    SetComparison(Opaque),
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ScalarSubquery {
    #[prost(message, optional, boxed, tag = "1")]
    pub input: Option<Box<Rel>>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct InPredicate {
    #[prost(message, repeated, tag = "1")]
    pub needles: Vec<Expression>,
    #[prost(message, optional, boxed, tag = "2")]
    pub haystack: Option<Box<Rel>>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SetPredicate {
    /// 1 is EXISTS, 2 is UNIQUE.
    #[prost(int32, tag = "1")]
    pub op: i32,
    #[prost(message, optional, boxed, tag = "2")]
    pub tuples: Option<Box<Rel>>,
}

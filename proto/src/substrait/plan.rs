//! The plan as a whole.

use super::Rel;

/// A message of which only its presence is of interest.
#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct Opaque {}

/// What a producer adds: hints, which may be passed over, and changes of meaning.
#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct AdvancedExtension {
    #[prost(message, optional, tag = "2")]
    pub enhancement: Option<Opaque>,
}

/// A plan with its functions and types.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Plan {
    #[prost(message, repeated, tag = "2")]
    pub extensions: Vec<Declaration>,
    #[prost(message, repeated, tag = "3")]
    pub relations: Vec<PlanRel>,
    #[prost(message, optional, tag = "4")]
    pub advanced_extensions: Option<AdvancedExtension>,
    #[prost(message, optional, tag = "6")]
    pub version: Option<Version>,
    #[prost(message, repeated, tag = "7")]
    pub parameter_bindings: Vec<Opaque>,
}

#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct Version {
    #[prost(uint32, tag = "1")]
    pub major_number: u32,
    #[prost(uint32, tag = "2")]
    pub minor_number: u32,
}

/// A function, type or type variation by its anchor.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Declaration {
    #[prost(oneof = "Mapping", tags = "1, 2, 3")]
    pub mapping: Option<Mapping>,
}

#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum Mapping {
    #[prost(message, tag = "1")]
    Type(Opaque),
    #[prost(message, tag = "2")]
    TypeVariation(Opaque),
    #[prost(message, tag = "3")]
    Function(FunctionDeclaration),
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct FunctionDeclaration {
    #[prost(uint32, tag = "2")]
    pub anchor: u32,
    /// Mostly with its signature: `equal:any_any`.
    #[prost(string, tag = "3")]
    pub name: String,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PlanRel {
    #[prost(oneof = "PlanRelType", tags = "1, 2")]
    pub kind: Option<PlanRelType>,
}

#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum PlanRelType {
    #[prost(message, tag = "1")]
    Rel(Opaque),
    #[prost(message, tag = "2")]
    Root(RelRoot),
}

/// The result: names of its columns, depth first through nested types.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RelRoot {
    #[prost(message, optional, tag = "1")]
    pub input: Option<Rel>,
    #[prost(string, repeated, tag = "2")]
    pub names: Vec<String>,
}

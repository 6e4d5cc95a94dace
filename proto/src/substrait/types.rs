//! Types.

use super::Opaque;

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Type {
    #[prost(
        oneof = "Kind",
        tags = "1, 2, 3, 5, 7, 10, 11, 12, 13, 14, 16, 17, 19, 20, 21, 22, 23, 24, 25, 27, 28, 29, \
                30, 31, 32, 33, 34, 35, 36, 37, 38"
    )]
    pub kind: Option<Kind>,
}

#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum Kind {
    #[prost(message, tag = "1")]
    Bool(Simple),
    #[prost(message, tag = "2")]
    I8(Simple),
    #[prost(message, tag = "3")]
    I16(Simple),
    #[prost(message, tag = "5")]
    I32(Simple),
    #[prost(message, tag = "7")]
    I64(Simple),
    #[prost(message, tag = "10")]
    Fp32(Simple),
    #[prost(message, tag = "11")]
    Fp64(Simple),
    #[prost(message, tag = "12")]
    String(Simple),
    #[prost(message, tag = "13")]
    Binary(Simple),
    #[prost(message, tag = "14")]
    Timestamp(Simple),
    #[prost(message, tag = "16")]
    Date(Simple),
    #[prost(message, tag = "17")]
    Time(Simple),
    #[prost(message, tag = "19")]
    IntervalYear(Simple),
    #[prost(message, tag = "20")]
    IntervalDay(Simple),
    #[prost(message, tag = "21")]
    FixedChar(Sized),
    #[prost(message, tag = "22")]
    Varchar(Sized),
    #[prost(message, tag = "23")]
    FixedBinary(Sized),
    #[prost(message, tag = "24")]
    Decimal(DecimalType),
    #[prost(message, tag = "25")]
    Struct(StructType),
    #[prost(message, tag = "27")]
    List(Box<ListType>),
    #[prost(message, tag = "28")]
    Map(Box<MapType>),
    #[prost(message, tag = "29")]
    TimestampTz(Simple),
    #[prost(message, tag = "30")]
    UserDefined(Opaque),
    #[prost(uint32, tag = "31")]
    UserDefinedReference(u32),
    #[prost(message, tag = "32")]
    Uuid(Simple),
    #[prost(message, tag = "33")]
    PrecisionTimestamp(Sized),
    #[prost(message, tag = "34")]
    PrecisionTimestampTz(Sized),
    #[prost(message, tag = "35")]
    IntervalCompound(Opaque),
    #[prost(message, tag = "36")]
    PrecisionTime(Sized),
    #[prost(message, tag = "37")]
    Alias(Opaque),
    #[prost(message, tag = "38")]
    Func(Opaque),
}

/// A type without parameters. Whether it is nullable follows from what it is the type of.
#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct Simple {
    #[prost(uint32, tag = "1")]
    pub variation: u32,
}

/// A type with a length or precision.
#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct Sized {
    #[prost(int32, tag = "1")]
    pub size: i32,
    #[prost(uint32, tag = "2")]
    pub variation: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct DecimalType {
    #[prost(int32, tag = "1")]
    pub scale: i32,
    #[prost(int32, tag = "2")]
    pub precision: i32,
    #[prost(uint32, tag = "3")]
    pub variation: u32,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StructType {
    #[prost(message, repeated, tag = "1")]
    pub types: Vec<Type>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListType {
    #[prost(message, optional, boxed, tag = "1")]
    pub item: Option<Box<Type>>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct MapType {
    #[prost(message, optional, boxed, tag = "1")]
    pub key: Option<Box<Type>>,
    #[prost(message, optional, boxed, tag = "2")]
    pub value: Option<Box<Type>>,
}

/// Columns: names depth first through nested types, types of the outermost ones.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct NamedStruct {
    #[prost(string, repeated, tag = "1")]
    pub names: Vec<String>,
    #[prost(message, optional, tag = "2")]
    pub types: Option<StructType>,
}

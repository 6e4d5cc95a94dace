//! Constants.

use super::{Opaque, Type};

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Literal {
    #[prost(
        oneof = "LiteralType",
        tags = "1, 2, 3, 5, 7, 10, 11, 12, 13, 14, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, \
                29, 30, 31, 32, 33, 34, 35, 36, 37"
    )]
    pub value: Option<LiteralType>,
    #[prost(uint32, tag = "51")]
    pub variation: u32,
}

#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum LiteralType {
    #[prost(bool, tag = "1")]
    Boolean(bool),
    #[prost(int32, tag = "2")]
    I8(i32),
    #[prost(int32, tag = "3")]
    I16(i32),
    #[prost(int32, tag = "5")]
    I32(i32),
    #[prost(int64, tag = "7")]
    I64(i64),
    #[prost(float, tag = "10")]
    Fp32(f32),
    #[prost(double, tag = "11")]
    Fp64(f64),
    #[prost(string, tag = "12")]
    String(String),
    #[prost(bytes = "vec", tag = "13")]
    Binary(Vec<u8>),
    #[prost(int64, tag = "14")]
    Timestamp(i64),
    #[prost(int32, tag = "16")]
    Date(i32),
    #[prost(int64, tag = "17")]
    Time(i64),
    #[prost(message, tag = "19")]
    IntervalYearToMonth(IntervalYearToMonth),
    #[prost(message, tag = "20")]
    IntervalDayToSecond(IntervalDayToSecond),
    #[prost(string, tag = "21")]
    FixedChar(String),
    #[prost(message, tag = "22")]
    VarChar(VarChar),
    #[prost(bytes = "vec", tag = "23")]
    FixedBinary(Vec<u8>),
    #[prost(message, tag = "24")]
    Decimal(Decimal),
    #[prost(message, tag = "25")]
    Struct(Opaque),
    #[prost(message, tag = "26")]
    Map(Opaque),
    #[prost(int64, tag = "27")]
    TimestampTz(i64),
    #[prost(bytes = "vec", tag = "28")]
    Uuid(Vec<u8>),
    #[prost(message, tag = "29")]
    Null(Type),
    #[prost(message, tag = "30")]
    List(Opaque),
    #[prost(message, tag = "31")]
    EmptyList(Opaque),
    #[prost(message, tag = "32")]
    EmptyMap(Opaque),
    #[prost(message, tag = "33")]
    UserDefined(Opaque),
    #[prost(message, tag = "34")]
    PrecisionTimestamp(Precise),
    #[prost(message, tag = "35")]
    PrecisionTimestampTz(Precise),
    #[prost(message, tag = "36")]
    IntervalCompound(Opaque),
    #[prost(message, tag = "37")]
    PrecisionTime(Precise),
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct VarChar {
    #[prost(string, tag = "1")]
    pub value: String,
}

/// A point in time in units of 10 to the minus `precision` seconds.
#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct Precise {
    #[prost(int32, tag = "1")]
    pub precision: i32,
    #[prost(int64, tag = "2")]
    pub value: i64,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct Decimal {
    /// 16 bytes, the least significant one first, in two's complement.
    #[prost(bytes = "vec", tag = "1")]
    pub value: Vec<u8>,
    #[prost(int32, tag = "2")]
    pub precision: i32,
    #[prost(int32, tag = "3")]
    pub scale: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct IntervalYearToMonth {
    #[prost(int32, tag = "1")]
    pub years: i32,
    #[prost(int32, tag = "2")]
    pub months: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct IntervalDayToSecond {
    #[prost(int32, tag = "1")]
    pub days: i32,
    #[prost(int32, tag = "2")]
    pub seconds: i32,
    /// Before 0.57; `subseconds` since.
    #[prost(int32, tag = "3")]
    pub microseconds: i32,
    #[prost(int32, tag = "4")]
    pub precision: i32,
    #[prost(int64, tag = "5")]
    pub subseconds: i64,
}

/// A row of constants.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LiteralStruct {
    #[prost(message, repeated, tag = "1")]
    pub fields: Vec<Literal>,
}

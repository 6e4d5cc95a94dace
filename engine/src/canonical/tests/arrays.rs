//! Random types and arrays of every Arrow type, from a seed.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;

/// A small generator: the same seed makes the same arrays.
pub(crate) struct Source(u64);

impl Source {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn small(&mut self) -> i64 {
        self.below(20_001) as i64 - 10_000
    }

    fn bytes(&mut self, max: usize) -> Vec<u8> {
        (0..self.below(max + 1))
            .map(|_| b'a' + self.below(26) as u8)
            .collect()
    }

    fn text(&mut self) -> String {
        let mut text = String::from_utf8(self.bytes(20)).unwrap();
        if self.below(4) == 0 {
            text.push('ß');
        }
        text
    }

    fn nulls(&mut self, len: usize) -> Option<NullBuffer> {
        match self.below(3) {
            0 => None,
            _ => Some(NullBuffer::new(BooleanBuffer::collect_bool(len, |_| {
                self.below(4) > 0
            }))),
        }
    }

    /// A type that can be kept. Intervals are not among them: their texts differ by unit.
    pub(crate) fn data_type(&mut self, depth: usize) -> DataType {
        match self.below(if depth == 0 { 27 } else { 36 }) {
            0 => DataType::Boolean,
            1 => DataType::Int8,
            2 => DataType::Int16,
            3 => DataType::Int32,
            4 => DataType::Int64,
            5 => DataType::UInt8,
            6 => DataType::UInt16,
            7 => DataType::UInt32,
            8 => DataType::UInt64,
            9 => DataType::Float16,
            10 => DataType::Float32,
            11 => DataType::Float64,
            12 => DataType::Utf8,
            13 => DataType::LargeUtf8,
            14 => DataType::Utf8View,
            15 => DataType::Binary,
            16 => DataType::LargeBinary,
            17 => DataType::BinaryView,
            18 => DataType::FixedSizeBinary(1 + self.below(5) as i32),
            19 => DataType::Date32,
            20 => DataType::Date64,
            21 => DataType::Time32([TimeUnit::Second, TimeUnit::Millisecond][self.below(2)]),
            22 => DataType::Time64([TimeUnit::Microsecond, TimeUnit::Nanosecond][self.below(2)]),
            23 => DataType::Timestamp(self.unit(), None),
            24 => DataType::Timestamp(self.unit(), Some("Europe/Berlin".into())),
            25 => DataType::Decimal128(12, self.below(4) as i8 - 1),
            26 => match self.below(3) {
                0 => DataType::Decimal32(9, self.below(3) as i8),
                1 => DataType::Decimal64(18, self.below(3) as i8 - 1),
                _ => DataType::Decimal256(30, self.below(3) as i8 - 1),
            },
            27 => DataType::List(self.child("item", depth)),
            28 => DataType::LargeList(self.child("x", depth)),
            29 => DataType::FixedSizeList(self.child("item", depth), 1 + self.below(3) as i32),
            30 => DataType::ListView(self.child("item", depth)),
            31 => DataType::LargeListView(self.child("item", depth)),
            32 => DataType::Struct(self.fields(depth - 1)),
            33 => {
                let key = Field::new("keys", DataType::LargeUtf8, false);
                let value = self.child("values", depth).as_ref().clone();
                let entries = DataType::Struct(vec![key, value].into());
                DataType::Map(Arc::new(Field::new("key_value", entries, false)), false)
            }
            34 => {
                let values = Box::new(self.data_type(0));
                DataType::Dictionary(Box::new(DataType::Int16), values)
            }
            _ => DataType::RunEndEncoded(
                Arc::new(Field::new("run_ends", DataType::Int32, false)),
                Arc::new(Field::new("values", self.data_type(0), true)),
            ),
        }
    }

    fn unit(&mut self) -> TimeUnit {
        [
            TimeUnit::Second,
            TimeUnit::Millisecond,
            TimeUnit::Microsecond,
            TimeUnit::Nanosecond,
        ][self.below(4)]
    }

    fn child(&mut self, name: &str, depth: usize) -> FieldRef {
        Arc::new(Field::new(name, self.data_type(depth - 1), true))
    }

    pub(crate) fn fields(&mut self, depth: usize) -> Fields {
        let count = 1 + self.below(4);
        (0..count)
            .map(|i| Field::new(format!("c{i}"), self.data_type(depth), true))
            .collect()
    }

    pub(crate) fn batch(&mut self, schema: &SchemaRef, rows: usize) -> RecordBatch {
        let columns = schema
            .fields()
            .iter()
            .map(|f| self.array(f.data_type(), rows))
            .collect();
        RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
    }

    /// An array that starts somewhere inside its buffers.
    pub(crate) fn array(&mut self, data_type: &DataType, len: usize) -> ArrayRef {
        let (before, after) = (self.below(3), self.below(3));
        let whole = self.whole(data_type, before + len + after);
        assert_eq!(whole.data_type(), data_type);
        whole.slice(before, len)
    }

    fn primitive<T: ArrowPrimitiveType>(
        &mut self,
        data_type: &DataType,
        len: usize,
        value: impl Fn(i64) -> T::Native,
    ) -> ArrayRef {
        let values: Vec<T::Native> = (0..len).map(|_| value(self.small())).collect();
        let array = PrimitiveArray::<T>::new(ScalarBuffer::from(values), self.nulls(len));
        Arc::new(array.with_data_type(data_type.clone()))
    }

    fn whole(&mut self, data_type: &DataType, len: usize) -> ArrayRef {
        let t = data_type;
        match t {
            DataType::Boolean => {
                let bits = BooleanBuffer::collect_bool(len, |_| self.below(2) == 0);
                Arc::new(BooleanArray::new(bits, self.nulls(len)))
            }
            DataType::Int8 => self.primitive::<Int8Type>(t, len, |v| v as i8),
            DataType::Int16 => self.primitive::<Int16Type>(t, len, |v| v as i16),
            DataType::Int32 => self.primitive::<Int32Type>(t, len, |v| v as i32 * 9999),
            DataType::Int64 => self.primitive::<Int64Type>(t, len, |v| v << 40),
            DataType::UInt8 => self.primitive::<UInt8Type>(t, len, |v| v as u8),
            DataType::UInt16 => self.primitive::<UInt16Type>(t, len, |v| v as u16),
            DataType::UInt32 => self.primitive::<UInt32Type>(t, len, |v| v as u32),
            DataType::UInt64 => self.primitive::<UInt64Type>(t, len, |v| v as u64),
            DataType::Float16 => self.primitive::<Float16Type>(t, len, |v| {
                <Float16Type as ArrowPrimitiveType>::Native::from_f32((v % 64) as f32 + 0.5)
            }),
            DataType::Float32 => self.primitive::<Float32Type>(t, len, |v| v as f32 / 3.0),
            DataType::Float64 => self.primitive::<Float64Type>(t, len, |v| v as f64 / 7.0),
            DataType::Date32 => self.primitive::<Date32Type>(t, len, |v| v as i32),
            DataType::Date64 => self.primitive::<Date64Type>(t, len, |v| v * 86_400_000),
            DataType::Time32(TimeUnit::Second) => {
                self.primitive::<Time32SecondType>(t, len, |v| v.unsigned_abs() as i32)
            }
            DataType::Time32(_) => {
                self.primitive::<Time32MillisecondType>(t, len, |v| v.unsigned_abs() as i32)
            }
            DataType::Time64(TimeUnit::Microsecond) => {
                self.primitive::<Time64MicrosecondType>(t, len, |v| v.abs() * 1_234)
            }
            DataType::Time64(_) => {
                self.primitive::<Time64NanosecondType>(t, len, |v| v.abs() * 1_000)
            }
            DataType::Timestamp(TimeUnit::Second, _) => {
                self.primitive::<TimestampSecondType>(t, len, |v| v * 4_321)
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                self.primitive::<TimestampMillisecondType>(t, len, |v| v * 54_321)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                self.primitive::<TimestampMicrosecondType>(t, len, |v| v * 7_654_321)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                self.primitive::<TimestampNanosecondType>(t, len, |v| v * 87_654_321_000)
            }
            // Never 0: arrow shows it as "00" where the scale is negative.
            DataType::Decimal32(_, _) => self.primitive::<Decimal32Type>(t, len, |v| v as i32),
            DataType::Decimal64(_, _) => self.primitive::<Decimal64Type>(t, len, |v| (v | 1) * 777),
            DataType::Decimal128(_, _) => {
                self.primitive::<Decimal128Type>(t, len, |v| i128::from(v | 1) * 777)
            }
            DataType::Decimal256(_, _) => self
                .primitive::<Decimal256Type>(t, len, |v| i256::from_i128(i128::from(v | 1) * 777)),
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => self.bytes_array(t, len),
            _ => self.nested(t, len),
        }
    }

    fn bytes_array(&mut self, data_type: &DataType, len: usize) -> ArrayRef {
        let texts: Vec<Option<String>> = (0..len)
            .map(|_| (self.below(5) > 0).then(|| self.text()))
            .collect();
        let bytes = || texts.iter().map(|text| text.as_ref().map(String::as_bytes));
        match data_type {
            DataType::Utf8 => Arc::new(StringArray::from(texts)),
            DataType::LargeUtf8 => Arc::new(LargeStringArray::from(texts)),
            DataType::Utf8View => Arc::new(StringViewArray::from_iter(texts)),
            DataType::Binary => Arc::new(BinaryArray::from_iter(bytes())),
            DataType::LargeBinary => Arc::new(LargeBinaryArray::from_iter(bytes())),
            DataType::BinaryView => Arc::new(BinaryViewArray::from_iter(bytes())),
            DataType::FixedSizeBinary(size) => {
                let values = (0..len * *size as usize)
                    .map(|_| self.below(256) as u8)
                    .collect();
                let values: Vec<u8> = values;
                let nulls = self.nulls(len);
                Arc::new(
                    FixedSizeBinaryArray::try_new_with_len(*size, values.into(), nulls, len)
                        .unwrap(),
                )
            }
            other => unreachable!("{other}"),
        }
    }

    /// Offsets of lists that do not start at 0 and leave elements behind NULLs.
    fn offsets(&mut self, len: usize) -> Vec<usize> {
        let mut next = self.below(3);
        let mut offsets = vec![next];
        for _ in 0..len {
            next += self.below(4);
            offsets.push(next);
        }
        offsets
    }

    fn nested(&mut self, data_type: &DataType, len: usize) -> ArrayRef {
        match data_type {
            DataType::List(child) => {
                let offsets: Vec<i32> = self.offsets(len).iter().map(|o| *o as i32).collect();
                let values = self.array(child.data_type(), offsets[len] as usize + 1);
                let offsets = OffsetBuffer::new(offsets.into());
                Arc::new(ListArray::new(
                    Arc::clone(child),
                    offsets,
                    values,
                    self.nulls(len),
                ))
            }
            DataType::LargeList(child) => {
                let offsets: Vec<i64> = self.offsets(len).iter().map(|o| *o as i64).collect();
                let values = self.array(child.data_type(), offsets[len] as usize + 1);
                let offsets = OffsetBuffer::new(offsets.into());
                Arc::new(LargeListArray::new(
                    Arc::clone(child),
                    offsets,
                    values,
                    self.nulls(len),
                ))
            }
            DataType::FixedSizeList(child, size) => {
                let values = self.array(child.data_type(), len * *size as usize);
                let nulls = self.nulls(len);
                let child = Arc::clone(child);
                Arc::new(
                    FixedSizeListArray::try_new_with_length(child, *size, values, nulls, len)
                        .unwrap(),
                )
            }
            DataType::ListView(child) => {
                let (starts, sizes) = self.views(len);
                let values = self.array(child.data_type(), 10);
                let starts: ScalarBuffer<i32> = starts.iter().map(|s| *s as i32).collect();
                let sizes: ScalarBuffer<i32> = sizes.iter().map(|s| *s as i32).collect();
                let (child, nulls) = (Arc::clone(child), self.nulls(len));
                Arc::new(ListViewArray::new(child, starts, sizes, values, nulls))
            }
            DataType::LargeListView(child) => {
                let (starts, sizes) = self.views(len);
                let values = self.array(child.data_type(), 10);
                let starts: ScalarBuffer<i64> = starts.iter().map(|s| *s as i64).collect();
                let sizes: ScalarBuffer<i64> = sizes.iter().map(|s| *s as i64).collect();
                let (child, nulls) = (Arc::clone(child), self.nulls(len));
                Arc::new(LargeListViewArray::new(child, starts, sizes, values, nulls))
            }
            DataType::Struct(fields) => {
                let columns = fields
                    .iter()
                    .map(|f| self.array(f.data_type(), len))
                    .collect();
                Arc::new(StructArray::new(fields.clone(), columns, self.nulls(len)))
            }
            DataType::Map(entries, _) => self.map(entries, len),
            DataType::Dictionary(_, values) => {
                let values = self.array(values, 5);
                let keys: Int16Array = (0..len)
                    .map(|_| (self.below(6) > 0).then(|| self.below(5) as i16))
                    .collect();
                Arc::new(DictionaryArray::new(keys, values))
            }
            DataType::RunEndEncoded(_, values) => {
                let mut end = 0;
                let mut ends = Vec::new();
                while end < len.max(1) {
                    end += 1 + self.below(3);
                    ends.push(end as i32);
                }
                let values = self.array(values.data_type(), ends.len());
                let runs = RunArray::<Int32Type>::try_new(&ends.into(), &values).unwrap();
                Arc::new(runs.slice(0, len))
            }
            other => unreachable!("{other}"),
        }
    }

    fn views(&mut self, len: usize) -> (Vec<usize>, Vec<usize>) {
        (0..len)
            .map(|_| {
                let start = self.below(10);
                (start, self.below(11 - start))
            })
            .unzip()
    }

    fn map(&mut self, entries: &FieldRef, len: usize) -> ArrayRef {
        let DataType::Struct(fields) = entries.data_type() else {
            unreachable!()
        };
        let offsets: Vec<i32> = self.offsets(len).iter().map(|o| *o as i32).collect();
        let count = offsets[len] as usize + 1;
        let keys: ArrayRef = Arc::new(LargeStringArray::from_iter_values(
            (0..count).map(|_| self.text()),
        ));
        let values = self.array(fields[1].data_type(), count);
        let all = StructArray::new(fields.clone(), vec![keys, values], None);
        let offsets = OffsetBuffer::new(offsets.into());
        let nulls = self.nulls(len);
        Arc::new(MapArray::new(
            Arc::clone(entries),
            offsets,
            all,
            nulls,
            false,
        ))
    }
}

//! Messages whose fields are at their limits, beyond them, or of no sense at all.

use std::collections::{BTreeSet, HashMap};

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use super::rng::Rng;
use crate::harness::{GROUP, REFERENCE, methods};

/// Makes messages.
pub(super) struct Sender<'a> {
    rng: &'a mut Rng,
    /// How many of 100 values make no sense. Few, and what is behind the checks is
    /// reached.
    madness: usize,
    /// The full names of the fields that were set.
    pub(super) tried: BTreeSet<String>,
}

/// The full names of all fields that a request can have.
pub(super) fn fields() -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    for method in methods() {
        gather(&method.input(), &mut fields);
    }
    fields
}

fn gather(message: &MessageDescriptor, fields: &mut BTreeSet<String>) {
    for field in message.fields() {
        if fields.insert(field.full_name().to_owned())
            && let Kind::Message(inner) = field.kind()
        {
            gather(&inner, fields);
        }
    }
}

impl<'a> Sender<'a> {
    pub(super) fn new(rng: &'a mut Rng) -> Self {
        let madness = *rng.one_of(&[1, 10, 60]);
        Self {
            rng,
            madness,
            tried: BTreeSet::new(),
        }
    }

    pub(super) fn message(&mut self, kind: &MessageDescriptor) -> Vec<u8> {
        self.build(kind).encode_to_vec()
    }

    fn build(&mut self, kind: &MessageDescriptor) -> DynamicMessage {
        let mut message = DynamicMessage::new(kind.clone());
        for field in kind.fields() {
            if self.rng.percent(60) {
                self.tried.insert(field.full_name().to_owned());
                let value = self.value(&field);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn value(&mut self, field: &FieldDescriptor) -> Value {
        if field.is_map() {
            let count = self.count();
            let entry = field.kind();
            let entry = entry.as_message().expect("an entry").clone();
            let names = [entry.map_entry_key_field(), entry.map_entry_value_field()];
            self.tried.extend(names.map(|it| it.full_name().to_owned()));
            let mut map = HashMap::new();
            for _ in 0..count {
                let key = self.text(field.name());
                let value = self.text(field.name());
                map.insert(MapKey::String(key), Value::String(value));
            }
            Value::Map(map)
        } else if field.is_list() {
            let count = self.count();
            let mut items: Vec<_> = (0..count.min(4)).map(|_| self.single(field)).collect();
            if count > 4 {
                let small = match field.kind() {
                    Kind::Message(inner) => Value::Message(DynamicMessage::new(inner)),
                    Kind::String => Value::String("web".to_owned()),
                    _ => Value::EnumNumber(1),
                };
                items.resize(count, small);
            }
            Value::List(items)
        } else {
            self.single(field)
        }
    }

    fn single(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::String => Value::String(self.text(field.name())),
            Kind::Bool => Value::Bool(self.rng.percent(50)),
            Kind::Int32 => Value::I32(self.number(&INT32)),
            Kind::Int64 => Value::I64(self.number(&INT64)),
            Kind::Enum(_) => Value::EnumNumber(self.number(&ENUM)),
            Kind::Message(inner) => Value::Message(self.build(&inner)),
            kind => panic!("{}: make {kind:?} too", field.full_name()),
        }
    }

    fn is_mad(&mut self) -> bool {
        self.rng.percent(self.madness)
    }

    fn number<T: Copy>(&mut self, values: &[T]) -> T {
        let end = if self.is_mad() { values.len() } else { SENSE };
        values[self.rng.below(end)]
    }

    /// Mostly few, at times more than anyone may have.
    fn count(&mut self) -> usize {
        if !self.is_mad() {
            return self.rng.below(4);
        }
        match self.rng.below(100) {
            0 => 20_000,
            1..6 => 1_001,
            6..20 => 101,
            _ => self.rng.below(4),
        }
    }

    fn text(&mut self, field: &str) -> String {
        if !self.is_mad() {
            let sense: &[&str] = match field {
                "deployment" | "deployments" => &[REFERENCE, "shop/other"],
                "project" => &["shop", "stock"],
                "name" => &["web", "other", "third"],
                "revision" | "expected_revision" => &["1", "2", "3"],
                "resource_group" => &[GROUP, ""],
                "label_selector" => &["a=b", "!a", "a in (b,c),d notin (e)"],
                "paths" => &["policy", "labels", "*", "policy.blue_green.min_ready"],
                "path" => &["/", "/health"],
                "route_id" => &[UUID],
                "page_token" | "resume_token" => &[""],
                "request_id" => return new_uuid(self.rng),
                _ => &["web", "1", "b"],
            };
            return (*self.rng.one_of(sense)).to_owned();
        }
        match self.rng.below(12) {
            0 => "x".repeat(70_000),
            1 => "0".repeat(5_000) + "7",
            2 => "(".repeat(5_000),
            3 => "é\u{202e}🦀".repeat(100),
            4 => UUID.to_owned(),
            5 => format!("a{}", self.rng.below(50)),
            _ => (*self.rng.one_of(&TEXTS)).to_owned(),
        }
    }
}

fn new_uuid(rng: &mut Rng) -> String {
    format!("01890a5d-ac96-774b-8000-{:012x}", rng.next() >> 16)
}

const UUID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const TEXTS: [&str; 18] = [
    "",
    " ",
    "\0",
    "a\0b",
    "/",
    "a/b/c",
    "../../etc/passwd",
    "'; DROP TABLE deployments; --",
    "%s%n%x",
    "\u{feff}",
    "\n\r\t\u{7f}",
    "-1",
    "0",
    "9223372036854775807",
    "99999999999999999999",
    "NaN",
    "eyJhZnRlciI6MSwicXVlc3Rpb24iOjF9",
    "{00000000-0000-0000-0000-000000000000}",
];
/// The first few of these lists make sense.
const SENSE: usize = 3;
const INT32: [i32; 13] = [
    0,
    1,
    2,
    3,
    -1,
    99,
    100,
    101,
    500,
    501,
    1_001,
    i32::MIN,
    i32::MAX,
];
const INT64: [i64; 11] = [
    0,
    1,
    3,
    5,
    -1,
    2_592_000,
    2_592_001,
    1_000_000_000,
    315_576_000_001,
    i64::MIN,
    i64::MAX,
];
const ENUM: [i32; 10] = [1, 2, 3, 4, 5, 6, 0, 99, -1, i32::MAX];

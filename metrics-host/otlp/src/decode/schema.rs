//! The message types of OTLP, from the descriptors that come with the protocol.

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use std::{collections::HashMap, sync::LazyLock};

/// Points of each signal: a malformed one is dropped alone and counted as one.
const POINTS: [&str; 6] = [
    "NumberDataPoint",
    "HistogramDataPoint",
    "ExponentialHistogramDataPoint",
    "SummaryDataPoint",
    "Span",
    "LogRecord",
];
/// Containers of points: a malformed one is dropped alone and counted as the points in it.
const CONTAINERS: [&str; 7] = [
    "Metric",
    "ScopeMetrics",
    "ResourceMetrics",
    "ScopeSpans",
    "ResourceSpans",
    "ScopeLogs",
    "ResourceLogs",
];
/// Parts that are never shown: a malformed one is dropped alone and not counted.
const EXTRAS: [&str; 3] = ["Exemplar", "Event", "Link"];

/// All message types.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) messages: Vec<MessageType>,
    pub(super) enums: Vec<EnumType>,
    by_name: HashMap<String, usize>,
}

/// A message type.
#[derive(Debug)]
pub(super) struct MessageType {
    pub(super) loss: Loss,
    pub(super) fields: Vec<Field>,
}

/// Names of the values of an enum, with their numbers.
pub(super) type EnumType = Vec<(String, i32)>;

/// The extent of the loss when a message of a type holds a wrong value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The message around it is malformed, too.
    Parent,
    /// Only the message itself; one point.
    Point,
    /// Only the message itself with the points in it.
    Container,
    /// Only the message itself, which is no point and holds none.
    Extra,
}

/// A field of a message type.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    /// Name in camel case, as in JSON.
    pub(super) json_name: String,
    /// Name in snake case, which JSON may have, too.
    pub(super) proto_name: String,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
    /// Whether only one of several fields may be present. No message type has two such groups.
    pub(super) one_of: bool,
}

/// Type of a field; enums and messages with their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    String,
    Bytes,
    Enum(usize),
    Message(usize),
}

impl Schema {
    /// Returns the message types, read once.
    pub(super) fn get() -> &'static Self {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::read);
        &SCHEMA
    }

    /// Returns a message type by its full name.
    pub(super) fn message(&self, name: &str) -> &MessageType {
        &self.messages[self.by_name[name]]
    }

    fn read() -> Self {
        let files = FileDescriptorSet::decode(opentelemetry_proto::DESCRIPTORS)
            .expect("the crate's descriptors are valid");
        let mut types = Types::default();
        for file in &files.file {
            let package = format!(".{}", file.package());
            types.enums(&package, &file.enum_type);
            types.messages(&package, &file.message_type);
        }
        let message = |declared: &DescriptorProto| MessageType {
            loss: loss(declared.name()),
            fields: declared
                .field
                .iter()
                .map(|field| types.field(field))
                .collect(),
        };
        Self {
            messages: types
                .messages
                .iter()
                .map(|(_, declared)| message(declared))
                .collect(),
            enums: types
                .enums
                .iter()
                .map(|(_, declared)| numbers(declared))
                .collect(),
            by_name: types
                .messages
                .iter()
                .enumerate()
                .map(|(index, (name, _))| (name[1..].to_owned(), index))
                .collect(),
        }
    }
}

/// Declarations with their full names, which begin with a dot.
#[derive(Default)]
struct Types<'a> {
    messages: Vec<(String, &'a DescriptorProto)>,
    enums: Vec<(String, &'a EnumDescriptorProto)>,
}

impl<'a> Types<'a> {
    fn enums(&mut self, scope: &str, declared: &'a [EnumDescriptorProto]) {
        let named = declared
            .iter()
            .map(|one| (format!("{scope}.{}", one.name()), one));
        self.enums.extend(named);
    }

    fn messages(&mut self, scope: &str, declared: &'a [DescriptorProto]) {
        for message in declared {
            let name = format!("{scope}.{}", message.name());
            self.enums(&name, &message.enum_type);
            self.messages(&name, &message.nested_type);
            self.messages.push((name, message));
        }
    }

    fn field(&self, field: &FieldDescriptorProto) -> Field {
        let position = |found: Option<usize>| found.expect("a field's type is declared");
        let kind = match field.r#type() {
            Type::Bool => Kind::Bool,
            Type::Int32 => Kind::Int32,
            Type::Int64 => Kind::Int64,
            Type::Uint32 => Kind::Uint32,
            Type::Uint64 => Kind::Uint64,
            Type::Sint32 => Kind::Sint32,
            Type::Fixed32 => Kind::Fixed32,
            Type::Fixed64 => Kind::Fixed64,
            Type::Sfixed64 => Kind::Sfixed64,
            Type::Double => Kind::Double,
            Type::String => Kind::String,
            Type::Bytes => Kind::Bytes,
            Type::Enum => Kind::Enum(position(
                self.enums
                    .iter()
                    .position(|(name, _)| name == field.type_name()),
            )),
            Type::Message => Kind::Message(position(
                self.messages
                    .iter()
                    .position(|(name, _)| name == field.type_name()),
            )),
            other => unreachable!("OTLP has no field of type {}", other.as_str_name()),
        };
        Field {
            number: field.number().unsigned_abs(),
            json_name: field.json_name().to_owned(),
            proto_name: field.name().to_owned(),
            kind,
            repeated: field.label() == Label::Repeated,
            // An optional field is in a group of its own.
            one_of: field.oneof_index.is_some() && !field.proto3_optional(),
        }
    }
}

fn numbers(declared: &EnumDescriptorProto) -> EnumType {
    let values = declared.value.iter();
    values
        .map(|value| (value.name().to_owned(), value.number()))
        .collect()
}

fn loss(name: &str) -> Loss {
    if POINTS.contains(&name) {
        Loss::Point
    } else if CONTAINERS.contains(&name) {
        Loss::Container
    } else if EXTRAS.contains(&name) {
        Loss::Extra
    } else {
        Loss::Parent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_that_is_dropped_alone_is_a_message_type() {
        let schema = Schema::get();
        let known = |name: &&str| {
            schema
                .by_name
                .keys()
                .any(|full| full.rsplit('.').next() == Some(name))
        };
        for name in POINTS.iter().chain(&CONTAINERS).chain(&EXTRAS) {
            assert!(known(name), "{name}");
        }
    }

    #[test]
    fn a_message_type_has_the_fields_of_the_protocol() {
        let schema = Schema::get();
        let point = schema.message("opentelemetry.proto.metrics.v1.HistogramDataPoint");
        assert_eq!(point.loss, Loss::Point);
        let field = |name| {
            point
                .fields
                .iter()
                .find(|field| field.json_name == name)
                .unwrap()
        };
        let counts = field("bucketCounts");
        assert_eq!(
            (counts.number, counts.kind, counts.repeated),
            (6, Kind::Fixed64, true)
        );
        assert!(!field("sum").one_of, "optional");
        let number = schema.message("opentelemetry.proto.metrics.v1.NumberDataPoint");
        let one_of = number.fields.iter().filter(|field| field.one_of);
        let names: Vec<_> = one_of.map(|field| &*field.json_name).collect();
        assert_eq!(names, ["asDouble", "asInt"]);
    }
}

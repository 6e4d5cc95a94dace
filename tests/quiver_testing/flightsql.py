"""The Flight and Flight SQL messages the tests send and read, described to protobuf at run time.

Field numbers are those of Apache Arrow's Flight.proto and FlightSql.proto.
"""

from __future__ import annotations

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

SQL_PACKAGE = "arrow.flight.protocol.sql"
FLIGHT_PACKAGE = "arrow.flight.protocol"
OPTIONAL = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
REPEATED = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
KINDS = descriptor_pb2.FieldDescriptorProto

SQL_MESSAGES = """
CommandStatementQuery: query=1 string, transaction_id=2 bytes?
CommandStatementUpdate: query=1 string, transaction_id=2 bytes?
CommandPreparedStatementQuery: prepared_statement_handle=1 bytes
CommandPreparedStatementUpdate: prepared_statement_handle=1 bytes
TicketStatementQuery: statement_handle=1 bytes
TableDefinitionOptions: if_not_exist=1 int32, if_exists=2 int32
CommandStatementIngest: table_definition_options=1 TableDefinitionOptions, table=2 string,
  schema=3 string?, catalog=4 string?, temporary=5 bool, transaction_id=6 bytes?
CommandGetCatalogs:
CommandGetDbSchemas: catalog=1 string?, db_schema_filter_pattern=2 string?
CommandGetTables: catalog=1 string?, db_schema_filter_pattern=2 string?,
  table_name_filter_pattern=3 string?, table_types=4 string*, include_schema=5 bool
CommandGetTableTypes:
CommandGetSqlInfo: info=1 uint32*
CommandGetXdbcTypeInfo: data_type=1 int32?
CommandGetPrimaryKeys: catalog=1 string?, db_schema=2 string?, table=3 string
CommandGetExportedKeys: catalog=1 string?, db_schema=2 string?, table=3 string
CommandGetImportedKeys: catalog=1 string?, db_schema=2 string?, table=3 string
CommandGetCrossReference: pk_catalog=1 string?, pk_db_schema=2 string?, pk_table=3 string,
  fk_catalog=4 string?, fk_db_schema=5 string?, fk_table=6 string
SubstraitPlan: plan=1 bytes, version=2 string
CommandStatementSubstraitPlan: plan=1 SubstraitPlan, transaction_id=2 bytes?
ActionCreatePreparedSubstraitPlanRequest: plan=1 SubstraitPlan, transaction_id=2 bytes?
DoPutUpdateResult: record_count=1 int64
DoPutPreparedStatementResult: prepared_statement_handle=1 bytes?
ActionCreatePreparedStatementRequest: query=1 string, transaction_id=2 bytes?
ActionCreatePreparedStatementResult: prepared_statement_handle=1 bytes, dataset_schema=2 bytes,
  parameter_schema=3 bytes, is_update=4 bool?
ActionClosePreparedStatementRequest: prepared_statement_handle=1 bytes
ActionBeginTransactionRequest:
ActionBeginTransactionResult: transaction_id=1 bytes
ActionEndTransactionRequest: transaction_id=1 bytes, action=2 int32
ActionBeginSavepointRequest: transaction_id=1 bytes, name=2 string
ActionBeginSavepointResult: savepoint_id=1 bytes
ActionEndSavepointRequest: savepoint_id=1 bytes, action=2 int32
"""

FLIGHT_MESSAGES = """
FlightDescriptor: type=1 int32, cmd=2 bytes, path=3 string*
FlightData: flight_descriptor=1 FlightDescriptor, data_header=2 bytes, app_metadata=3 bytes,
  data_body=1000 bytes
PutResult: app_metadata=1 bytes
Ticket: ticket=1 bytes
Action: type=1 string, body=2 bytes
Result: body=1 bytes
HandshakeRequest: protocol_version=1 uint64, payload=2 bytes
HandshakeResponse: protocol_version=1 uint64, payload=2 bytes
SchemaResult: schema=1 bytes
FlightEndpoint: ticket=1 Ticket
FlightInfo: schema=1 bytes, flight_descriptor=2 FlightDescriptor, endpoint=3 FlightEndpoint*,
  total_records=4 int64, total_bytes=5 int64, ordered=6 bool, app_metadata=7 bytes
PollInfo: info=1 FlightInfo, flight_descriptor=2 FlightDescriptor, progress=3 double?
StringListValue: values=1 string*
SessionOptionValue: string_value=1 string?, bool_value=2 bool?, int64_value=3 sfixed64?,
  double_value=4 double?, string_list_value=5 StringListValue
SessionOptionEntry: key=1 string, value=2 SessionOptionValue
SessionErrorValue: value=1 int32
SessionErrorEntry: key=1 string, value=2 SessionErrorValue
SetSessionOptionsRequest: session_options=1 SessionOptionEntry*
SetSessionOptionsResult: errors=1 SessionErrorEntry*
GetSessionOptionsRequest:
GetSessionOptionsResult: session_options=1 SessionOptionEntry*
CloseSessionRequest:
CloseSessionResult: status=1 int32
CancelFlightInfoRequest: info=1 FlightInfo
CancelFlightInfoResult: status=1 int32
RenewFlightEndpointRequest: endpoint=1 FlightEndpoint
"""


def _describe(package: str, text: str) -> dict[str, type]:
    """Message classes for one table above: `Name: field=number type[?*], …`."""
    file = descriptor_pb2.FileDescriptorProto(name=package + ".proto", package=package)
    file.syntax = "proto3"
    for entry in text.replace("\n  ", " ").strip().splitlines():
        name, _, fields = entry.partition(":")
        message = file.message_type.add(name=name)
        for field in filter(None, map(str.strip, fields.split(","))):
            _add_field(message, package, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    get = pool.FindMessageTypeByName
    names = [message.name for message in file.message_type]
    return {n: message_factory.GetMessageClass(get(f"{package}.{n}")) for n in names}


def _add_field(message, package: str, text: str) -> None:
    declaration, kind = text.split()
    name, number = declaration.split("=")
    optional, repeated = kind.endswith("?"), kind.endswith("*")
    kind = kind.rstrip("?*")
    field = message.field.add(name=name, number=int(number))
    field.label = REPEATED if repeated else OPTIONAL
    if hasattr(KINDS, "TYPE_" + kind.upper()):
        field.type = getattr(KINDS, "TYPE_" + kind.upper())
    else:
        field.type, field.type_name = KINDS.TYPE_MESSAGE, f".{package}.{kind}"
    if optional:
        field.proto3_optional = True
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name="_" + name)


SQL = _describe(SQL_PACKAGE, SQL_MESSAGES)
FLIGHT = _describe(FLIGHT_PACKAGE, FLIGHT_MESSAGES)


def command(name: str, /, **fields) -> bytes:
    """A Flight SQL message in the Any it travels in."""
    return pack(name, SQL[name](**fields).SerializeToString())


def pack(name: str, value: bytes) -> bytes:
    """Any bytes under a Flight SQL type URL, well formed or not."""
    url = f"type.googleapis.com/{SQL_PACKAGE}.{name}"
    return any_pb2.Any(type_url=url, value=value).SerializeToString()


def unpack(body: bytes, name: str):
    """The message `name` out of an Any, its type URL checked."""
    wrapper = any_pb2.Any.FromString(bytes(body))
    assert wrapper.type_url.endswith("." + name), wrapper.type_url
    return SQL[name].FromString(wrapper.value)


def ingest(table: str, mode: str = "create_append", schema: str | None = None, **fields) -> bytes:
    """A CommandStatementIngest in one of the modes of ADBC."""
    if_not_exist, if_exists = {
        "create": (1, 1),
        "append": (2, 2),
        "replace": (1, 3),
        "create_append": (1, 2),
        "unspecified": (0, 0),
    }[mode]
    options = SQL["TableDefinitionOptions"](if_not_exist=if_not_exist, if_exists=if_exists)
    if schema is not None:
        fields["schema"] = schema
    return command("CommandStatementIngest", table_definition_options=options, table=table, **fields)

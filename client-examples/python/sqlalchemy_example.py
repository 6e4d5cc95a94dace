"""SQLAlchemy: tables, parameters, transactions and reflection, over ADBC.

    pip install sqlalchemy sqlalchemy-adbc adbc-driver-flightsql adbc-driver-manager pyarrow
    python sqlalchemy_example.py grpc://127.0.0.1:50051 admin quiver

`create_engine("adbc+flightsql://127.0.0.1:50051/?tls=false&username=admin&password=quiver")` is enough to query;
the dialect below is for the rest. There is no UPDATE, DELETE or RETURNING, and no key, default or index in a table:
objects of the ORM can be added, under keys that you give them, and queried, but not changed. What reflection finds
has its types without precision and time zone.
"""

import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.sql.compiler import DDLCompiler, GenericTypeCompiler
from sqlalchemy_adbc.flightsql import ADBCFlightSQLDialect


class Types(GenericTypeCompiler):
    """By default a column of `DateTime(timezone=True)` loses its time zone."""

    def visit_TIMESTAMP(self, type_, **options):
        return "TIMESTAMP WITH TIME ZONE" if type_.timezone else "TIMESTAMP"

    visit_DATETIME = visit_TIMESTAMP


class Definitions(DDLCompiler):
    def visit_primary_key_constraint(self, constraint, **options):
        return None  # the ORM wants to know what identifies a row; a table does not


class Bytes(sa.LargeBinary):
    def bind_processor(self, dialect):
        return None  # as they are: the driver has no wrapper for them


class Quiver(ADBCFlightSQLDialect):
    """What sqlalchemy-adbc 0.3 leaves open: without it, decimals go through floats, and booleans are numbers."""

    supports_statement_cache = True
    supports_native_boolean = True
    supports_native_decimal = True
    supports_multivalues_insert = True
    type_compiler_cls = Types
    ddl_compiler = Definitions
    colspecs = {sa.LargeBinary: Bytes}

    def _get_default_schema_name(self, connection):
        return "main"

    def _tree(self, connection, *, schema=None, depth="all", **options):
        """The database's names: of schema main unless told otherwise, and with TABLE spelt as expected."""
        schema = schema or (None if depth == "db_schemas" else "main")
        tree = super()._tree(connection, schema=schema, depth=depth, **options)
        for found in (found for catalog in tree for found in catalog["catalog_db_schemas"] or ()):
            for table in found["db_schema_tables"] or ():
                table["table_type"] = table["table_type"].lower()
        return tree


registry.register("quiver", __name__, "Quiver")


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "shop_orders"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    placed: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    amount: Mapped[Decimal] = mapped_column(sa.Numeric(20, 2))
    customer: Mapped[str | None]
    paid: Mapped[bool]
    receipt: Mapped[bytes | None]


orders = Order.__table__


def main(uri: str, user: str, password: str) -> None:
    url = sa.make_url(uri)
    url = url.set(drivername="quiver", query={"tls": str(url.drivername == "grpc+tls")})
    engine = sa.create_engine(url, connect_args={"db_kwargs": {"username": user, "password": password}})
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    for step in (insert, report, undo, reflect):
        step(engine)
    engine.dispose()


def insert(engine: sa.Engine) -> None:
    """A list of rows is one upload, of 16 MiB at most, and what `begin` opened is one commit."""
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    rows = [
        {"id": n, "placed": start + timedelta(hours=n), "amount": Decimal(n) / 4, "paid": n % 3 == 0,
         "customer": f"customer {n % 97}" if n % 10 else None, "receipt": bytes([n % 256])}
        for n in range(1, 5001)
    ]
    with engine.begin() as connection:
        print("inserted", connection.execute(sa.insert(orders), rows).rowcount, "rows")
    with Session(engine) as session, session.begin():
        session.add(Order(id=5001, placed=start, amount=Decimal("900719925474099312.75"), paid=True))
    with Session(engine) as session:
        print("by its key:", session.get(Order, 5001).amount)


def report(engine: sa.Engine) -> None:
    total = sa.func.sum(orders.c.amount).label("total")
    best = (
        sa.select(orders.c.customer, sa.func.count().label("orders"), total)
        .where(orders.c.paid, orders.c.placed >= datetime(2026, 3, 1, tzinfo=timezone.utc))
        .where(orders.c.customer.in_(["customer 7", "customer 11", "customer 13"]))
        .group_by(orders.c.customer).order_by(total.desc()).limit(2)
    )
    with engine.connect() as connection:
        for row in connection.execute(best):
            print(row._mapping)


def undo(engine: sa.Engine) -> None:
    """Savepoints too; and record batches, through the driver below, are part of the same transaction."""
    count = sa.select(sa.func.count()).select_from(orders)
    with engine.connect() as connection:
        with connection.begin_nested() as savepoint:
            connection.execute(sa.insert(orders).from_select(orders.columns.keys(), sa.select(orders)))
            savepoint.rollback()
        with connection.connection.driver_connection.cursor() as cursor:
            some = cursor.execute("SELECT * FROM shop_orders LIMIT 100").fetch_arrow_table()
            cursor.adbc_ingest("shop_orders", some, mode="append")
        print("in the transaction:", connection.scalar(count), "rows")
        connection.rollback()
        print("after the rollback:", connection.scalar(count), "rows")


def reflect(engine: sa.Engine) -> None:
    print("listed:", "shop_orders" in sa.inspect(engine).get_table_names())
    found = sa.Table("shop_orders", sa.MetaData(), autoload_with=engine)
    print({column.name: str(column.type) for column in found.columns})


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["grpc://127.0.0.1:50051", "admin", "quiver"]))

"""A look at a store from outside: what is there at one moment, whether a server runs on it or not. Nothing is changed."""

import contextlib
import pathlib
import sqlite3
from collections.abc import Iterator
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from perdure_control_plane.storage.heads import HeadCache
from perdure_control_plane.storage.migrate import require_current_schema
from perdure_control_plane.storage.sqlite import DATABASE, check_structure
from perdure_control_plane.storage.sqlite_errors import is_of_the_store, plain_sentence
from perdure_control_plane.storage.store_broken import StoreBroken
from perdure_control_plane.storage.unit_of_work import SqlTransaction, statements_of


@contextlib.contextmanager
def offline_reading(directory: pathlib.Path) -> Iterator[SqlTransaction]:
    """The store of a data directory as it is now; its time is 0. Raises StoreBroken, SchemaUnknown."""
    path = directory / DATABASE
    if not path.is_file():
        raise StoreBroken(f"{path} does not exist; name the directory that a server was started with")
    try:
        check_structure(path)
        with _reading(path) as transaction:
            yield transaction
    except (sqlite3.DatabaseError, DBAPIError) as error:
        sentence = plain_sentence(error)
        if sentence is None:
            raise
        raise StoreBroken(f"{path}: {sentence}") from error


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[SqlTransaction]:
    url = f"sqlite:///file:{path.resolve()}?mode=ro&uri=true"
    engine = create_engine(url, poolclass=StaticPool, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            require_current_schema(connection)
            driver: Any = connection.connection.driver_connection
            driver.execute("BEGIN")
            yield SqlTransaction(connection, driver, statements_of(engine.dialect), HeadCache(), 0, is_of_the_store)
            driver.execute("ROLLBACK")
    finally:
        engine.dispose()

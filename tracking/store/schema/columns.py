"""The metadata of all tables, and the columns that most of them have."""

from sqlalchemy import BigInteger, Column, Integer, MetaData, Text

metadata = MetaData()

Id = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER counts up by itself there


def text_column(name: str, **more: object) -> Column[str]:
    """Returns a column of texts, "" where nothing is known."""
    return Column(name, Text, nullable=False, server_default="", **more)  # type: ignore[arg-type]


def int_column(name: str, default: int = 0) -> Column[int]:
    """Returns a column of whole numbers."""
    return Column(name, BigInteger, nullable=False, server_default=str(default))

"""Queries to Shopify fit its schema, and stay within the cost that it allows."""

import re
from pathlib import Path

import pytest
from graphql import GraphQLSchema, parse, validate

from tests.standins.shopify_admin import (
    MOST_A_QUERY,
    SCHEMA_FILE,
    VERSIONS,
    cost_of,
    shopifys_schema,
)
from tracking.clients.shopify_graphql import PAGE_SIZES
from tracking.clients.shopify_queries import ALL, API_VERSION

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return shopifys_schema()


@pytest.mark.parametrize("name", ALL)
def test_a_document_fits_shopifys_schema(schema: GraphQLSchema, name: str) -> None:
    assert validate(schema, parse(ALL[name])) == []


@pytest.mark.parametrize("name", ALL)
def test_a_document_is_named_as_it_is_known(name: str) -> None:
    assert re.search(rf"^(query|mutation) {name}\(", ALL[name], re.MULTILINE)


@pytest.mark.parametrize("name", ALL)
def test_a_document_costs_less_than_a_query_may(schema: GraphQLSchema, name: str) -> None:
    assert cost_of(schema, parse(ALL[name]), {"first": PAGE_SIZES.get(name, 1)}) <= MOST_A_QUERY


def test_the_schema_that_is_kept_is_the_one_of_the_version_that_is_asked() -> None:
    assert f"version {API_VERSION}," in SCHEMA_FILE.read_text("utf-8").partition("\n")[0]
    assert VERSIONS[-1] == API_VERSION


def test_the_version_is_written_in_one_place() -> None:
    written = [
        path.name
        for folder in ("tracking", "webhooks")
        for path in (ROOT / folder).rglob("*.py")
        if f'"{API_VERSION}"' in path.read_text("utf-8")
    ]

    assert written == ["shopify_queries.py"]

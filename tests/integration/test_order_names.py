"""The names of orders by their ids, on both databases."""

from app import assemble
from tests.actors import Shop, order
from tracking.service import Service
from tracking.store import orders


def test_an_order_is_called_by_its_name_and_without_one_by_its_id(service: Service) -> None:
    shop = Shop(assemble(service).test_client())
    shop.sends("orders/create", order(id=5, name="#1001"))
    shop.sends("orders/create", order(id=6, name=None))

    with service.store.read() as conn:
        found = orders.names_by_id(conn, {"5", "6", "7"})
        assert found == {"5": "#1001", "6": "6", "7": "7"}
        assert orders.names_by_id(conn, ()) == {}

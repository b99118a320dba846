"""What is written down beside Envoy's files, and read again after a restart."""

import json

import pytest

from holdfast.domain.gateway import Clusters, External, Route, Routing, clusters_text, origin_cluster, parse_clusters

ROUTING = Routing(
    serial=42,
    routes={
        "support-chat": Route(serial=40, arms={"1": 9500, "2": 500}, header="x-user-id"),
        "new": Route(serial=42, arms={}, header="x-account"),
    },
)
CLUSTERS = {
    "support-chat": Clusters(
        revisions=frozenset({1, 2}),
        failover={2: 1},
        externals=(External(name="desk", url="https://desk.test/v1"), External(name="m", url="http://m", model="x/y")),
    ),
    "new": Clusters(),
}


def test_the_routing_is_read_as_it_was_written() -> None:
    assert Routing.parse(ROUTING.text()) == ROUTING


def test_the_routing_has_the_form_that_is_documented() -> None:
    assert json.loads(ROUTING.text())["deployments"]["support-chat"] == {
        "serial": 40,
        "arms": {"1": 9500, "2": 500},
        "header": "x-user-id",
    }


def test_the_clusters_are_read_as_they_were_written() -> None:
    assert parse_clusters(clusters_text(CLUSTERS)) == CLUSTERS


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"serial":"x","deployments":{}}', '{"serial":1,"deployments":{"a":1}}']
)
def test_a_routing_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Routing.parse(text)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"a":{}}', '{"a":{"revisions":["x"],"failover":{},"externals":[]}}'])
def test_clusters_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_clusters(text)


def test_another_definition_of_an_external_is_another_cluster() -> None:
    names = {
        origin_cluster("chat", External(name="desk", url=url, model=model))
        for url, model in [("https://a.test", None), ("https://b.test", None), ("https://a.test", "m")]
    }
    assert len(names) == 3

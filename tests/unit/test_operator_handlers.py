"""kopf is set up as the figures say it must be; each of these settings was learnt from a failure."""

import kopf
import pytest

from holdfast import handlers
from holdfast.cluster import kinds
from holdfast.probes import Health
from model.fake_cluster import FakeCluster
from process import OperatorProcess


@pytest.fixture
def registry() -> kopf.OperatorRegistry:
    process = OperatorProcess(FakeCluster())
    registry = kopf.OperatorRegistry()
    health = Health(process.controller, clock=process.clock)
    handlers.register(registry, handlers.Runtime(controller=process.controller, health=health))
    return registry


def test_every_watched_kind_has_one_handler_of_events(registry: kopf.OperatorRegistry) -> None:
    found = [handler.selector for handler in registry._watching.get_all_handlers()]
    assert [(each.group, each.version, each.any_name) for each in found if each is not None] == [
        (kind.group, kind.version, kind.plural) for kind in kinds.WATCHED
    ]


def test_nothing_that_writes_to_objects_or_keeps_its_own_cache_is_registered(registry: kopf.OperatorRegistry) -> None:
    for others in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert list(others.get_all_handlers()) == []


def test_workers_of_the_watch_engine_are_not_limited() -> None:
    assert handlers.kopf_settings().queueing.worker_limit is None
    assert handlers.kopf_settings().queueing.idle_timeout <= 1


def test_no_events_no_peering_and_no_scanning() -> None:
    settings = handlers.kopf_settings()
    assert settings.posting.enabled is False
    assert settings.peering.standalone is True
    assert settings.scanning.disabled is True


def test_the_server_selects_what_is_watched() -> None:
    selectors = handlers.kopf_settings().watching.label_selectors
    assert len(selectors) == len(kinds.WATCHED) - len(kinds.OWN)
    assert set(selectors.values()) == {"holdfast.dev/component"}

"""What lets a Job delete files that no revision names, and what keeps everything."""

import json
from typing import Any

import pytest

from holdfast.domain.artifacts import artifacts
from holdfast.domain.retention import Named
from holdfast.render.deployment import engine_objects, shared_objects
from holdfast.weights.options import parse
from unit.render.cases import CLAIM, MINIMAL, owner, resolved, revision

Objects = dict[str, Any]
MODEL, PATHS = MINIMAL["vllm"]
DIGEST = f"sha256:{'a' * 64}"
NAMED = Named(revision=3, manifest_digests=(DIGEST,))
DELETE = CLAIM | {"unused": "Delete"}


def job_spec(cache: Objects) -> Objects:
    found = engine_objects(owner(MODEL, cache=cache), revision(MODEL, PATHS), 1)
    (spec,) = [each["spec"]["template"]["spec"] for each in found if each["kind"] == "Job"]
    return dict(spec)


def listed(named: Named | None, cache: Objects = DELETE) -> list[Objects]:
    return [each for each in shared_objects(owner(MODEL, cache=cache), named) if each["kind"] == "ConfigMap"]


@pytest.mark.parametrize("cache", [CLAIM, CLAIM | {"unused": "Keep"}], ids=["absent", "Keep"])
def test_a_job_is_given_no_list_without_the_owner_s_word(cache: Objects) -> None:
    spec = job_spec(cache)
    assert not [arg for arg in spec["containers"][0]["args"] if arg.startswith("--named")]
    assert "named" not in {volume["name"] for volume in spec["volumes"]}
    assert listed(NAMED, cache) == []


def test_a_job_reads_the_list_where_it_is_mounted() -> None:
    spec = job_spec(DELETE)
    (container,) = spec["containers"]
    options = parse(container["args"])
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "named"]
    (volume,) = [each for each in spec["volumes"] if each["name"] == "named"]
    (config,) = listed(NAMED)
    assert options.named.parent.as_posix() == mount["mountPath"]
    assert mount["readOnly"]
    assert volume["configMap"]["name"] == config["metadata"]["name"]
    assert volume["configMap"]["optional"], "a Job has to fetch, whatever became of the list"
    assert json.loads(config["data"][options.named.name]) == {"revision": 3, "manifestDigests": [DIGEST]}


def test_the_template_of_a_job_is_the_same_whatever_is_named() -> None:
    """Another revision that comes while a Job runs does not replace the Job."""
    spec = json.dumps(job_spec(DELETE))
    assert not [artifact for artifact in artifacts(resolved(MODEL, PATHS)) if artifact.source.manifest_digest in spec]


@pytest.mark.parametrize("cache", [CLAIM, DELETE], ids=["Keep", "Delete"])
def test_pods_and_jobs_mark_what_they_use_with_their_revision(cache: Objects) -> None:
    found = engine_objects(owner(MODEL, cache=cache), revision(MODEL, PATHS), 1)
    (engine,) = [each["spec"]["template"]["spec"] for each in found if each["kind"] == "Deployment"]
    for container in (engine["initContainers"][0], job_spec(cache)["containers"][0]):
        assert parse(container["args"]).revision == revision(MODEL, PATHS).spec.number


def test_engines_are_the_same_whether_or_not_something_is_deleted() -> None:
    one, other = (engine_objects(owner(MODEL, cache=cache), revision(MODEL, PATHS), 1)[-1] for cache in (CLAIM, DELETE))
    assert one["kind"] == "Deployment"
    assert one == other


@pytest.mark.parametrize(
    "named",
    [None, Named(revision=1, manifest_digests=tuple(f"sha256:{number:064x}" for number in range(14_000)))],
    ids=["not known", "too much for a ConfigMap"],
)
def test_a_list_that_is_not_whole_is_empty(named: Named | None) -> None:
    (config,) = listed(named)
    assert "data" not in config

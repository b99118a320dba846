"""Names of ModelDeployments are what the cluster accepts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.api.crd_rules import deployment_rules
from holdfast.cli.naming import deployment_name, problem


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2-5-7b-instruct"),
        ("microsoft/phi-4", "phi4"),
        ("lab/7b", "model-7b"),
        ("lab/holdfast-x", "model-holdfast-x"),
        ("lab/A__very...long_name_that_goes_on_and_on_and_on", "a-very-long-name-that-goes-on-and-on-and"),
        ("lab/" + "a" * 39 + "-b", "a" * 39),
        ("lab/" + "a" * 38 + "-1-2", "a" * 38 + "1"),
    ],
)
def test_a_name_is_made_that_kubernetes_and_holdfast_allow(repository: str, name: str) -> None:
    assert deployment_name(repository) == name


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}", fullmatch=True))
def test_every_repository_gets_a_name_that_is_allowed(repository: str) -> None:
    assert problem(deployment_name(repository)) is None


@pytest.mark.parametrize("name", ["Chat", "chat-2", "holdfast-x", "a" * 41, "1chat", "chat_x", "chat-", ""])
def test_what_is_said_about_a_name_is_what_the_kind_says(name: str) -> None:
    said = {rule.message for rule in deployment_rules("^$") if rule.field == ".metadata.name"}
    assert len(said) == 4
    assert problem(name) in said


@pytest.mark.parametrize("name", ["chat", "c", "a" * 40, "llama-3b", "chat-2b"])
def test_nothing_is_said_about_a_good_name(name: str) -> None:
    assert problem(name) is None

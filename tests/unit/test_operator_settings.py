"""The operator's settings: what may be said, what is assumed, and what is told about mistakes."""

from pathlib import Path

import pytest

from builders import ENGINE_IMAGE, WEIGHTS_IMAGE
from holdfast.settings import OperatorSettings, SettingsError

LEAST = {"HOLDFAST_WEIGHTS_IMAGE": WEIGHTS_IMAGE, "HOLDFAST_GATEWAY_IMAGE": ENGINE_IMAGE}


def test_two_images_are_enough() -> None:
    settings = OperatorSettings.from_environment(LEAST)
    assert settings == OperatorSettings(
        weights_image=WEIGHTS_IMAGE,
        gateway_image=ENGINE_IMAGE,
        hub_endpoint="https://huggingface.co",
        hub_token_file=None,
        registry_credentials_file=None,
        registry_mirrors={},
        registry_token_servers={},
        namespaces=(),
        listen_address="0.0.0.0",  # noqa: S104
        metrics_port=8081,
        health_port=8080,
        log_format="json",
    )


def test_everything_can_be_said() -> None:
    settings = OperatorSettings.from_environment(
        LEAST
        | {
            "HOLDFAST_HUB_ENDPOINT": "http://hub.example:8000/mirror",
            "HOLDFAST_HUB_TOKEN_FILE": "/etc/holdfast/token",
            "HOLDFAST_REGISTRY_CREDENTIALS_FILE": "/etc/holdfast/config.json",
            "HOLDFAST_REGISTRY_MIRRORS": '{"docker.io": ["https://m.example/v2/hub", "http://10.0.0.5:5000"]}',
            "HOLDFAST_REGISTRY_TOKEN_SERVERS": '{"registry.gitlab.example:5050": "gitlab.example"}',
            "HOLDFAST_NAMESPACES": "team-a, team-b,",
            "HOLDFAST_METRICS_PORT": "9000",
            "HOLDFAST_LOG_FORMAT": "text",
        }
    )
    assert settings.hub_endpoint == "http://hub.example:8000/mirror"
    assert settings.hub_token_file == Path("/etc/holdfast/token")
    assert settings.registry_credentials_file == Path("/etc/holdfast/config.json")
    assert settings.registry_mirrors == {"docker.io": ("https://m.example/v2/hub", "http://10.0.0.5:5000")}
    assert settings.registry_token_servers == {"registry.gitlab.example:5050": "gitlab.example"}
    assert settings.namespaces == ("team-a", "team-b")
    assert (settings.metrics_port, settings.log_format) == (9000, "text")


def test_an_empty_value_is_an_absent_one() -> None:
    empty = LEAST | {"HOLDFAST_NAMESPACES": "", "HOLDFAST_HUB_ENDPOINT": " ", "HOLDFAST_HUB_TOKEN_FILE": ""}
    assert OperatorSettings.from_environment(empty) == OperatorSettings.from_environment(LEAST)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"HOLDFAST_WEIGHTS_IMAGE": ""}, "HOLDFAST_WEIGHTS_IMAGE is not set"),
        (
            {"HOLDFAST_GATEWAY_IMAGE": "envoy:v1"},
            "HOLDFAST_GATEWAY_IMAGE is 'envoy:v1'; it must be registry/name@sha256:<64 hex digits>, without a tag",
        ),
        ({"HOLDFAST_METRICS_PORT": "http"}, "HOLDFAST_METRICS_PORT is 'http': Input should be a valid integer"),
        ({"HOLDFAST_HEALTH_PORT": "70000"}, "HOLDFAST_HEALTH_PORT is '70000': Input should be less than or equal to 65535"),
        ({"HOLDFAST_HUB_ENDPOINT": "huggingface.co"}, "HOLDFAST_HUB_ENDPOINT is 'huggingface.co'"),
        ({"HOLDFAST_REGISTRY_MIRRORS": "docker.io=https://m.example"}, "HOLDFAST_REGISTRY_MIRRORS is"),
        ({"HOLDFAST_REGISTRY_MIRRORS": "docker.io=https://m.example"}, "it is no JSON"),
        (
            {"HOLDFAST_REGISTRY_MIRRORS": '{"docker.io": ["m.example"]}'},
            "HOLDFAST_REGISTRY_MIRRORS is 'm.example': String should match",
        ),
        ({"HOLDFAST_REGISTRY_MIRRORS": '{"docker.io": ["https://me:word@m.example"]}'}, "HOLDFAST_REGISTRY_MIRRORS is"),
        ({"HOLDFAST_REGISTRY_MIRRORS": '{"https://docker.io": ["https://m.example"]}'}, "HOLDFAST_REGISTRY_MIRRORS is"),
        ({"HOLDFAST_REGISTRY_TOKEN_SERVERS": '{"a.example": "https://b.example"}'}, "HOLDFAST_REGISTRY_TOKEN_SERVERS is"),
        ({"HOLDFAST_NAMESPACES": "team-a,Team B"}, "'Team B' is no name of a namespace"),
        ({"HOLDFAST_LOG_FORMAT": "xml"}, "HOLDFAST_LOG_FORMAT is 'xml': Input should be 'json' or 'text'"),
    ],
)
def test_a_mistake_is_told_with_the_variable_and_what_it_must_be(given: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        OperatorSettings.from_environment(LEAST | given)
    assert told in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        OperatorSettings.from_environment({"HOLDFAST_LOG_FORMAT": "xml"})
    assert len(str(caught.value).split("; ")) == 3

"""Reads the small files of a model that say how it is used. Facts: transformers 5.20, ``configuration_utils``, ``chat_template_utils``."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from holdfast.api.found import Found

CONFIG: Final = "config.json"
GENERATION: Final = "generation_config.json"
TOKENIZER: Final = "tokenizer_config.json"
ADAPTER: Final = "adapter_config.json"
_TEMPLATE: Final = "chat_template.jinja"
_PROCESSOR_TEMPLATE: Final = "chat_template.json"
_MORE_TEMPLATES: Final = "additional_chat_templates/"
_CODE: Final = (
    CONFIG,
    TOKENIZER,
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
)


class UnreadableError(Exception):
    """A file is not what its name says; the text names it."""


def document(found: Found, path: str) -> dict[str, Any] | None:
    """Return a JSON object; None without the file, or when nobody read it.

    Raises:
        UnreadableError: it is no JSON object.
    """
    text = (found.texts or {}).get(path)
    if text is None:
        return None
    try:
        value = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path} is not JSON") from error
    if not isinstance(value, dict):
        raise UnreadableError(f"{path} is not a JSON object")
    return value


def nested(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a configuration, and the part that describes the language model if it is of several models."""
    yield config
    for key in ("text_config", "llm_config", "language_config", "thinker_config"):
        inner = config.get(key)
        if isinstance(inner, dict):
            yield inner


@dataclass(frozen=True, slots=True)
class Templates:
    """The chat templates of a model: the one that is used, and all others."""

    effective: str | None
    others: tuple[str, ...] = ()

    @property
    def single(self) -> bool:
        """Whether the engine would not choose between several by what a request has (tools, documents)."""
        return self.effective is not None and not self.others


def templates(found: Found) -> Templates:
    """Return the chat templates, in the order in which transformers looks for them: own file, processor's, tokenizer's.

    Raises:
        UnreadableError: a file is malformed.
    """
    texts = found.texts or {}
    more = tuple(text for path, text in sorted(texts.items()) if path.startswith(_MORE_TEMPLATES))
    if _TEMPLATE in texts:
        return Templates(texts[_TEMPLATE], more)
    processor = (document(found, _PROCESSOR_TEMPLATE) or {}).get("chat_template")
    if processor is not None:
        return _of(processor, _PROCESSOR_TEMPLATE, more)
    tokenizer = (document(found, TOKENIZER) or {}).get("chat_template")
    if tokenizer is not None:
        return _of(tokenizer, TOKENIZER, more)
    return Templates(None, more)


def _of(value: object, path: str, more: tuple[str, ...]) -> Templates:
    if isinstance(value, str):
        return Templates(value, more)
    named = (
        {entry.get("name"): entry.get("template") for entry in value if isinstance(entry, dict)}
        if isinstance(value, list)
        else {}
    )
    if isinstance(value, dict):
        named = dict(value)
    if not named or not all(isinstance(name, str) and isinstance(text, str) for name, text in named.items()):
        raise UnreadableError(f"chat_template of {path} is neither a text nor a list of named texts")
    others = tuple(str(text) for name, text in sorted(named.items()) if name != "default")
    default = named.get("default")
    return Templates(str(default) if default is not None else None, (*others, *more))


def code_references(found: Found) -> Iterator[tuple[str, str | None, str]]:
    """Yield what ``auto_map`` loads: the file that says so, the foreign repository (None: the model's own), and the module.

    Raises:
        UnreadableError: a file is malformed.
    """
    for path in _CODE:
        mapping = (document(found, path) or {}).get("auto_map")
        for value in mapping.values() if isinstance(mapping, dict) else ():
            for reference in value if isinstance(value, list) else [value]:
                if isinstance(reference, str) and reference:
                    repository, separator, name = reference.rpartition("--")
                    yield path, repository if separator else None, name.rpartition(".")[0]

"""A Hub that never holds still: branches move, and what was answered once is never answered again.

It is worse than any real one: after a move even a commit that was asked for before has other files and other texts. Whoever asks
twice gets another model.
"""

import hashlib
import json
from collections.abc import Collection
from typing import Any, Final

from builders import SETTINGS
from holdfast.api.found import Found, Question, Taking
from holdfast.api.manifest import manifest_digest
from holdfast.api.model import File
from holdfast.api.revision import Platform, ResolvedHuggingFace, ResolvedSource
from holdfast.domain.snapshot import RepositoryMissing, RepositorySeen
from holdfast.sources.hub_upstream import Look

MODEL: Final = "lab/model"
TOKENIZER: Final = "lab/tokenizer"
CODE: Final = "lab/code"
ADAPTER: Final = "lab/legal"
DRAFT: Final = "lab/draft"
REPOSITORIES: Final = (MODEL, TOKENIZER, CODE, ADAPTER, DRAFT)
_COMMITS: Final = dict(zip(REPOSITORIES, "abcde", strict=True))


def _source(repository: str) -> dict[str, Any]:
    return {"repository": repository, "commit": _COMMITS[repository] * 40}


def everything(image: str) -> dict[str, Any]:
    """Return ``spec.model`` with each part that a model can have, in wire form."""
    return {
        "source": {"huggingFace": _source(MODEL)},
        "tokenizer": {"huggingFace": _source(TOKENIZER)},
        "remoteCode": "Pinned",
        "code": [_source(CODE)],
        "adapters": [{"name": "legal", "source": {"huggingFace": _source(ADAPTER)}}],
        "draftModel": {"source": {"huggingFace": _source(DRAFT)}, "tokens": 4},
        "engine": {"type": "VLLM", "image": image},
    }


class MovingHub:
    """The Hub as the resolver and the watch see it.

    Attributes:
        asked: the repository of every question about files, in order.
        looks: the same for every look at what is published.
        images: the image of every question to a registry.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.looks: list[str] = []
        self.images: list[str] = []
        self._moves = dict.fromkeys(REPOSITORIES, 0)
        self._gone: set[str] = set()

    def move(self, repository: str) -> None:
        """Push to a repository, and rewrite its past."""
        self._moves[repository] += 1

    def delete(self, repository: str) -> None:
        """Take a repository away."""
        self._gone.add(repository)

    async def resolve(self, question: Question) -> Found:
        """Answer as `holdfast.controller.ports.Resolver`."""
        source = question.source.hugging_face
        assert source is not None
        self.asked.append(source.repository)
        texts = self._texts(source.repository, question.taking)
        files = [self._file(path, text) for path, text in sorted(texts.items())]
        return Found(
            source=ResolvedSource(
                hugging_face=ResolvedHuggingFace(
                    endpoint=SETTINGS.hub_endpoint, repository=source.repository, commit=source.commit
                ),
                manifest_digest=manifest_digest(files),
                files=files,
            ),
            texts=texts,
        )

    async def platforms(self, image: str) -> tuple[Platform, ...]:
        """Answer as the registry of the engine's image."""
        self.images.append(image)
        return (Platform(platform="linux/amd64", digest=f"sha256:{len(self.images):064x}"),)

    async def look(self, repository: str, commits: Collection[str]) -> Look:
        """Answer as `holdfast.controller.ports.Upstream`."""
        self.looks.append(repository)
        if repository in self._gone:
            return Look(found=RepositoryMissing(), requests=1)
        moves = self._moves[repository]
        head = f"{moves:040x}" if moves else min(commits)
        pinned: dict[str, dict[str, str] | None] = {commit: {} for commit in commits}
        found = RepositorySeen(name=repository, refs={"refs/heads/main": head}, commits=pinned)
        return Look(found=found, requests=2 + len(commits))

    def _texts(self, repository: str, taking: Taking) -> dict[str, str]:
        moves = self._moves[repository]
        now = json.dumps({"moves": moves})
        if taking is Taking.CODE:
            return {"modeling.py": f"moves = {moves}\n"}
        if taking is Taking.TOKENIZER:
            return {"tokenizer.json": now, "chat_template.jinja": f"{{{{ messages }}}}{moves}"}
        if repository == ADAPTER:
            made_for = {"base_model_name_or_path": MODEL, "r": 8 + moves}
            return {"adapter_config.json": json.dumps(made_for), "adapter_model.safetensors": now}
        config = {
            "auto_map": {"AutoModelForCausalLM": f"{CODE}--modeling.Model"},
            "max_position_embeddings": 4096 + moves,
            "torch_dtype": "bfloat16",
        }
        return {
            "config.json": json.dumps(config),
            "generation_config.json": json.dumps({"temperature": 0.5 + moves / 100}),
            "model.safetensors": now,
        }

    @staticmethod
    def _file(path: str, text: str) -> File:
        return File(path=path, size=len(text), sha256=hashlib.sha256(text.encode()).hexdigest())

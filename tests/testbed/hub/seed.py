"""Fills a hub with the repositories of the demo and of the tests."""

from dataclasses import dataclass

from testbed.hub.admin import HubAdmin
from testbed.models import tiny_gguf, tiny_model

CHAT = "holdfast/tiny-chat"
CHAT_GGUF = "holdfast/tiny-chat-GGUF"
GATED = "holdfast/tiny-chat-gated"
PRIVATE = "holdfast/tiny-chat-private"

# Stands for a token that an owner made on the Hub; it opens nothing but the stand-in.
OWNER_TOKEN = "hf_ownerownerownerownerownerowner"
VISITOR_TOKEN = "hf_visitorvisitorvisitorvisitorvis"


@dataclass(frozen=True, slots=True)
class Demo:
    """Commit ids and tokens of the demo's repositories.

    Each pair has the first published commit (seed 0) and the update (seed 1), None until it is published.
    The owner sees everything in ``holdfast/``; the visitor is known to the hub but has no access to anything special.
    """

    chat: tuple[str, str | None]
    chat_gguf: tuple[str, str | None]
    gated: str
    private: str
    owner_token: str = OWNER_TOKEN
    visitor_token: str = VISITOR_TOKEN


def seed_demo(admin: HubAdmin, *, update: bool = True) -> Demo:
    """Create the demo's repositories and accounts; with ``update`` False ``main`` stays at the first version.

    `publish_demo_update` moves it later, as an upstream does while a deployment runs.
    """
    admin.add_account("owner", OWNER_TOKEN, organizations=("holdfast",))
    admin.add_account("visitor", VISITOR_TOKEN)
    for repo in (CHAT, CHAT_GGUF):
        admin.create_repo(repo)
    admin.create_repo(GATED, gated="manual")
    admin.create_repo(PRIVATE, private=True)
    model, gguf = tiny_model(0), tiny_gguf(0)
    demo = Demo(
        chat=(admin.commit(CHAT, model, title="Publish tiny-chat"), None),
        chat_gguf=(admin.commit(CHAT_GGUF, gguf, title="Publish tiny-chat-GGUF"), None),
        gated=admin.commit(GATED, gguf, title="Publish tiny-chat-gated"),
        private=admin.commit(PRIVATE, gguf, title="Publish tiny-chat-private"),
    )
    admin.tag(CHAT, "v1")
    admin.tag(CHAT_GGUF, "v1")
    return publish_demo_update(admin, demo) if update else demo


def publish_demo_update(admin: HubAdmin, demo: Demo) -> Demo:
    """Move ``main`` of both public repositories to the second version and return the ids of both."""
    chat = admin.commit(CHAT, tiny_model(1), title="Train on more data")
    gguf = admin.commit(CHAT_GGUF, tiny_gguf(1), title="Train on more data")
    return Demo((demo.chat[0], chat), (demo.chat_gguf[0], gguf), demo.gated, demo.private)

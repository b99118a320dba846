"""Which request is answered by what. A request that fits no line here is not the Hub's: it is refused loudly."""

from collections.abc import Callable
from dataclasses import dataclass

from testbed.hub import api, files
from testbed.hub.ratelimit import Bucket
from testbed.hub.state import HubState
from testbed.hub.wire import Answer, Request, UnexpectedError

Handler = Callable[[HubState, Request], Answer]

DEFAULT_REVISION = "main"


@dataclass(frozen=True, slots=True)
class Route:
    """A kind of request: its name in log and counters, the rate-limit bucket it counts in, and who answers it.

    ``tagged`` answers carry a weak ETag and may be asked for conditionally.
    """

    name: str
    bucket: Bucket | None
    handle: Handler
    tagged: bool = False


def hub_route(method: str, segments: tuple[str, ...]) -> Route:
    """Return the route of a request to the Hub's address. Raises `UnexpectedError` when there is none."""
    match (method, *segments):
        case ("GET", "api", "models", namespace, name, *rest):
            return _model_route(f"{namespace}/{name}", rest)
        case ("POST", "api", "models", namespace, name, "paths-info", revision):
            repo = f"{namespace}/{name}"
            return Route("paths-info", "api", lambda s, r: api.paths_info(s, r, repo, revision))
        case ("GET" | "HEAD", "api", "resolve-cache", "models", namespace, name, sha, first, *rest):
            repo, path = f"{namespace}/{name}", "/".join([first, *rest])
            return Route("resolve-cache", "resolvers", lambda s, r: files.resolve_cache(s, r, repo, sha, path))
        case ("GET", "api", "whoami-v2"):
            return Route("whoami", "api", api.whoami)
        case ("HEAD", "api", "telemetry", _, *_):
            return Route("telemetry", "api", api.telemetry)
        case ("GET", "api", "agent-harnesses"):
            return Route("agent-harnesses", "api", api.agent_harnesses)
        case ("GET" | "HEAD", namespace, name, "resolve", revision, first, *rest) if namespace != "api":
            repo, path = f"{namespace}/{name}", "/".join([first, *rest])
            return Route("resolve", "resolvers", lambda s, r: files.resolve(s, r, repo, revision, path))
    raise UnexpectedError("no such route on the Hub stand-in")


def cdn_route(method: str, segments: tuple[str, ...]) -> Route:
    """Return the route of a request to the CDN's address. Raises `UnexpectedError` when there is none."""
    match (method, *segments):
        case ("GET" | "HEAD", "cdn", namespace, name, sha256, first, *rest):
            repo, path = f"{namespace}/{name}", "/".join([first, *rest])
            return Route("cdn", None, lambda s, r: files.cdn(s, r, repo, sha256, path))
    raise UnexpectedError("no such route on the CDN stand-in")


def _model_route(repo: str, rest: list[str]) -> Route:
    match rest:
        case []:
            return Route("model-info", "api", lambda s, r: api.model_info(s, r, repo, DEFAULT_REVISION), tagged=True)
        case ["revision", revision]:
            return Route("model-info", "api", lambda s, r: api.model_info(s, r, repo, revision), tagged=True)
        case ["tree", revision, *path]:
            return Route("tree", "api", lambda s, r: api.tree(s, r, repo, revision, "/".join(path)), tagged=True)
        case ["refs"]:
            return Route("refs", "api", lambda s, r: api.refs(s, r, repo), tagged=True)
        case ["commits", revision]:
            return Route("commits", "api", lambda s, r: api.commits(s, r, repo, revision))
        case ["auth-check"]:
            return Route("auth-check", "api", lambda s, r: api.auth_check(s, r, repo))
    raise UnexpectedError("no such route on the Hub stand-in")

"""Names of ModelDeployments: made from a repository's, and checked as the cluster will check them."""

import re

from holdfast.api.names import NAME_MAX_LENGTH


def deployment_name(repository: str) -> str:
    """Return a name made from the repository's, which `problem` has nothing against."""
    name = re.sub(r"[^a-z0-9]+", "-", repository.partition("/")[2].lower()).strip("-")[:NAME_MAX_LENGTH].strip("-")
    name = re.sub(r"-([0-9]+)$", r"\1", name)
    if not re.match(r"[a-z]", name) or name.startswith("holdfast-"):
        name = f"model-{name}"[:NAME_MAX_LENGTH].strip("-")
    return re.sub(r"-([0-9]+)$", r"\1", name)


def problem(name: str) -> str | None:
    """Say what the cluster would refuse about a name, None if nothing. The rules are those of the kind (`api.crd_rules`)."""
    if len(name) > NAME_MAX_LENGTH:
        return f"a name has at most {NAME_MAX_LENGTH} characters, because names of children are made from it"
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name):
        return "a name is also the name of a Service; write lower-case letters, digits and dashes, beginning with a letter"
    if re.search(r"-[0-9]+$", name):
        return "a name that ends in -<number> would be the name of a revision; end it otherwise, such as llama-3b"
    if name.startswith("holdfast-"):
        return "names that begin with holdfast- belong to Holdfast's own objects; begin with another word"
    return None

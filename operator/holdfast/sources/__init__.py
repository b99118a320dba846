"""What lies outside the cluster: the Hub, registries, gateways. Everything here is awaited, bounded in time and cancellable.

huggingface_hub reads its environment once, when it is imported; a package is always imported before its modules, so its settings
stand here. It must not be imported outside this package.
"""

import os

os.environ.update(
    {
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",  # only a token that was given for this purpose is ever sent
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_XET": "1",  # files are hashed while they stream over plain HTTP
        "HF_HUB_VERBOSITY": "error",  # what it would warn about is raised or retried by this package
    }
)

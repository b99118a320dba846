"""A stand-in for the Hugging Face Hub's servers, for the real huggingface_hub client. See README.md beside this file."""

from testbed.hub.admin import HubAdmin, HubAdminError
from testbed.hub.faults import (
    AnyFault,
    Drop,
    ExtraFile,
    Gone,
    OtherBytes,
    RateLimited,
    Slow,
    Stall,
    Status,
    Truncate,
)
from testbed.hub.journal import Counters, RequestRecord, UnexpectedRequest
from testbed.hub.seed import Demo, publish_demo_update, seed_demo
from testbed.hub.server import HubServer, UnexpectedRequestsError

__all__ = [
    "AnyFault",
    "Counters",
    "Demo",
    "Drop",
    "ExtraFile",
    "Gone",
    "HubAdmin",
    "HubAdminError",
    "HubServer",
    "OtherBytes",
    "RateLimited",
    "RequestRecord",
    "Slow",
    "Stall",
    "Status",
    "Truncate",
    "UnexpectedRequest",
    "UnexpectedRequestsError",
    "publish_demo_update",
    "seed_demo",
]

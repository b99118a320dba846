"""What to say when a field does not match its pattern, instead of the pattern."""

from typing import Final

from holdfast.api.crd_source_rules import SOURCES

DEPLOYMENT_FORMATS: Final = {
    **{
        f"{place}.repository": "not a repository; write OWNER/NAME, such as Qwen/Qwen2.5-7B-Instruct"
        for place in (*(f"{source}.huggingFace" for source in SOURCES), "spec.model.code[]")
    },
    **{
        f"{place}.manifestDigest": "not a digest; write what holdfast pin prints, or leave it out"
        for place in (*(f"{source}.{kind}" for source in SOURCES for kind in ("huggingFace", "oci")), "spec.model.code[]")
    },
    **{f"{source}.volume.claimName": "not the name of a PersistentVolumeClaim; write such as models" for source in SOURCES},
    **{
        f"{place}.files[].sha256": "not a sha256; write 64 lower-case hex digits: holdfast pin --files prints them"
        for place in (
            *(f"{source}.{kind}" for source in SOURCES for kind in ("huggingFace", "oci", "volume")),
            "spec.model.code[]",
        )
    },
    "spec.model.adapters[].name": "not a name; write lower-case letters, digits and dashes, such as legal",
    "spec.model.engine.env[].name": "not a variable; write letters, digits and _, beginning with no digit",
    "spec.model.engine.options.quantization": "not a method; write the engine's own name in lower case, such as awq",
    "spec.model.engine.options.kvCacheDataType": "not a type; write the engine's own name in lower case, such as fp8_e4m3",
    "spec.model.servedName": "not a model name; write letters, digits and . _ / -, such as support-chat",
    "spec.serving.resources.requests{}": "not a quantity; write such as 4, 500m or 32Gi",
    "spec.serving.resources.limits{}": "not a quantity; write such as 4, 500m or 32Gi",
    "spec.serving.mirror": "not a base URL; write such as https://hub.example.com, with no user or query",
    "spec.serving.cache.size": "not a size; write such as 60Gi",
    "spec.rollout.stickiness.header": "not a header; write it in lower case, such as x-user-id",
    "spec.fallback.external[].name": "not a name; write lower-case letters, digits and dashes, such as general-api",
    "spec.fallback.external[].url": "not a base URL; write such as https://api.example.com/v1, with no user or query",
    "spec.fallback.external[].model": "not a model name; write the name that the endpoint expects",
}
"""For fields of a ModelDeployment with a pattern: what to say when it does not match."""

APPROVAL_FORMATS: Final = {
    "spec.target.digest": "not the digest of a request; write v1: and 64 hex digits: holdfast status prints it",
    "spec.target.base": "not the digest of a revision; write v1: and 64 hex digits: holdfast status prints it",
}
"""The same for a ModelApproval."""

"""Which of ``spec.model.engine.env`` are refused: variables that would choose other bytes, load code, or are Holdfast's to set.

The CRD refuses them at admission and the renderers refuse them again. Variables that merely tune an engine are free: they are
part of the pin, so a change of them needs the owner as well. Sources: ``vllm/envs.py`` of vLLM 0.32, ``sglang/srt/environ.py`` of
SGLang 0.5.23, Text Generation Inference 3.3 (every flag is a variable too, ``launcher/src/main.rs``) and llama.cpp's
tools/server/README.md; ld.so(8), the documentation of CPython, huggingface_hub 2, CUDA, NCCL and PyTorch.
"""

import re
from collections.abc import Iterable
from typing import Final

from holdfast.api.engine_arguments import REFUSED as REFUSED_ARGUMENTS
from holdfast.api.model import EngineType

_SOURCE: Final = "spec.model.source decides which bytes are loaded"
_CODE: Final = "it would load code that nobody hashed"
_RUNTIME: Final = "it would let a running engine be changed without its owner"
_OTHERS: Final = "it would let other programs take part in the answers; a pod of Holdfast is one engine"
_OFFLINE: Final = "nothing is looked up or sent while the model serves"
_HOLDFAST: Final = "Holdfast sets it"
_DEVICES: Final = "write spec.serving.accelerator"
_SECRET: Final = "a spec is no place for secrets, and an engine needs none"  # noqa: S105 - a sentence
_ARGUMENT: Final = "write it as an argument"
_ADAPTERS: Final = "write spec.model.adapters"

_EVERY: Final[dict[str, str]] = {
    # Loaders of programs and languages.
    "LD_*": _CODE,
    "PYTHON*": _CODE,
    "PATH": _CODE,
    "BASH_*": _CODE,
    "BASHOPTS": _CODE,
    "SHELLOPTS": _CODE,
    "PS4": _CODE,
    "ENV": _CODE,
    "GCONV_PATH": _CODE,
    "GLIBC_TUNABLES": _CODE,
    "OPENSSL_*": _CODE,
    "CUDA_INJECTION*": _CODE,
    "NVTX_INJECTION*": _CODE,
    "NCCL_*_PLUGIN*": _CODE,
    "NCCL_CONF_FILE": _CODE,
    "NVSHMEM_*PLUGIN*": _CODE,
    "NVSHMEM_BOOTSTRAP*": _CODE,
    "UCX_MODULE*": _CODE,
    "FI_PROVIDER_PATH": _CODE,
    "OMP_TOOL*": _CODE,
    "HSA_TOOLS_*": _CODE,
    "ROCP_*": _CODE,
    "OCL_*": _CODE,
    "VK_*": _CODE,
    "TRITON_CACHE_MANAGER": _CODE,
    "TRITON_KERNEL_OVERRIDE": _CODE,
    "TRITON_PTXAS*": _CODE,
    "TRITON_*PLUGIN*": _CODE,
    "TRITON_*_PATH": _CODE,
    "KERNELS_*": _CODE,
    "LOCAL_KERNELS": _CODE,
    # Compilers, which engines run at their start.
    "CUDA_HOME": _CODE,
    "CUDA_PATH": _CODE,
    "CUDACXX": _CODE,
    "CUDAHOSTCXX": _CODE,
    "NVCC_*": _CODE,
    "DG_JIT_*": _CODE,
    "FLASHINFER_EXTRA_*": _CODE,
    "CC": _CODE,
    "CXX": _CODE,
    "CFLAGS": _CODE,
    "CXXFLAGS": _CODE,
    "CPPFLAGS": _CODE,
    "LDFLAGS": _CODE,
    "CPATH": _CODE,
    "*_INCLUDE_PATH": _CODE,
    "LIBRARY_PATH": _CODE,
    "COMPILER_PATH": _CODE,
    "GCC_EXEC_PREFIX": _CODE,
    # Where things are fetched from and kept.
    "HF_*": _SOURCE,
    "HUGGING_FACE_*": _SOURCE,
    "HUGGINGFACE_*": _SOURCE,
    "TRANSFORMERS_*": _SOURCE,
    "PYTORCH_TRANSFORMERS_CACHE": _SOURCE,
    "MODELSCOPE_*": _SOURCE,
    "TIKTOKEN_*": _SOURCE,
    "DO_NOT_TRACK": _HOLDFAST,
    "HOME": _HOLDFAST,
    "LOGNAME": _HOLDFAST,
    "USER": _HOLDFAST,
    "TMPDIR": _HOLDFAST,
    "XDG_*": _HOLDFAST,
    "KUBERNETES_*": _HOLDFAST,
    "TORCH_HOME": _HOLDFAST,
    "TORCH_EXTENSIONS_DIR": _HOLDFAST,
    "TORCHINDUCTOR_*": _HOLDFAST,
    "TRITON_HOME": _HOLDFAST,
    "TRITON_*_DIR": _HOLDFAST,
    "*_CACHE_DIR": _HOLDFAST,
    "*_CACHE_PATH": _HOLDFAST,
    "PROMETHEUS_MULTIPROC_DIR": _HOLDFAST,
    "FLASHINFER_*_BASE": _HOLDFAST,
    "FLASHINFER_*_DIR": _HOLDFAST,
    "FLASHINFER_CUBIN*": _SOURCE,
    # Loading pickles, which are programs.
    "TORCH_FORCE_*": _CODE,
    # The world outside.
    "*_PROXY": _OFFLINE,
    "*_proxy": _OFFLINE,
    "OTEL_*": _OFFLINE,
    "*_CA_BUNDLE": _OFFLINE,
    "SSL_CERT_*": _OFFLINE,
    "AWS_*": _SECRET,
    "*_TOKEN": _SECRET,
    "*_KEY": _SECRET,
    "*_SECRET": _SECRET,
    "*_PASSWORD": _SECRET,
    "*_CREDENTIALS": _SECRET,
    "LMCACHE_*": _OTHERS,
    "MOONCAKE_*": _OTHERS,
    "MASTER_*": _OTHERS,
    "RAY_*": _OTHERS,
    "CUDA_VISIBLE_DEVICES": _DEVICES,
    "NVIDIA_*": _DEVICES,
    "HIP_VISIBLE_DEVICES": _DEVICES,
    "ROCR_VISIBLE_DEVICES": _DEVICES,
}


def _as_variables(flags: dict[str, str], prefix: str = "") -> dict[str, str]:
    """Return the variables that stand for flags."""
    return {prefix + flag.removeprefix("--").replace("-", "_").upper(): instead for flag, instead in flags.items()}


REFUSED: Final[dict[EngineType, dict[str, str]]] = {
    EngineType.VLLM: _EVERY
    | {
        "VLLM_SERVER_DEV_MODE": _RUNTIME,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": _RUNTIME,
        "VLLM_ALLOW_INSECURE_SERIALIZATION": _RUNTIME,
        "VLLM_ELASTIC_EP_*": _RUNTIME,
        "VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": _RUNTIME,
        "VLLM_USE_MODELSCOPE": _SOURCE,
        "VLLM_MODEL_REDIRECT_PATH": _SOURCE,
        "VLLM_TEST_*": _SOURCE,
        "VLLM_LORA_RESOLVER_*": _ADAPTERS,
        "VLLM_TUNED_CONFIG_FOLDER": _SOURCE,
        "VLLM_SKIP_MODEL_NAME_VALIDATION": _SOURCE,
        "VLLM_PLUGINS": _CODE,
        "VLLM_*_SO_PATH": _CODE,
        "VLLM_NCCL_INCLUDE_PATH": _CODE,
        "VLLM_RUST_FRONTEND_PATH": _CODE,
        "VLLM_CUDA_COMPATIBILITY_PATH": _CODE,
        "VLLM_LOGGING_CONFIG_PATH": _CODE,
        "VLLM_MEDIA_CONNECTOR": _CODE,
        "VLLM_CACHE_ROOT": _HOLDFAST,
        "VLLM_CONFIG_ROOT": _HOLDFAST,
        "VLLM_ASSETS_CACHE": _HOLDFAST,
        "VLLM_MEDIA_CACHE": _HOLDFAST,
        "VLLM_XLA_CACHE_PATH": _HOLDFAST,
        "VLLM_FLASHINFER_AUTOTUNE_CACHE_DIR": _HOLDFAST,
        "VLLM_DEBUG_DUMP_PATH": _HOLDFAST,
        "VLLM_PORT": _HOLDFAST,
        "VLLM_HOST_IP": _HOLDFAST,
        "VLLM_LOOPBACK_IP": _HOLDFAST,
        "VLLM_RPC_BASE_PATH": _HOLDFAST,
        "VLLM_NO_USAGE_STATS": _OFFLINE,
        "VLLM_DO_NOT_TRACK": _OFFLINE,
        "VLLM_USAGE_*": _OFFLINE,
        "VLLM_DP_*": _OTHERS,
        "VLLM_RAY_*": _OTHERS,
        "VLLM_*_SIDE_CHANNEL_*": _OTHERS,
        "VLLM_MOONCAKE_*": _OTHERS,
        "S3_*": _SOURCE,
    },
    EngineType.SGLANG: _EVERY
    | {
        "SGLANG_USE_MODELSCOPE": _SOURCE,
        "SGLANG_QWEN4_PLE_FILE_DIR": _SOURCE,
        "SGLANG_DSPARK_*_PATH": _SOURCE,
        "SGLANG_LORA_*_CONFIG_DIR": _SOURCE,
        "SGLANG_PLUGINS": _CODE,
        "SGLANG_EXTERNAL_*": _CODE,
        "SGLANG_HTTP_SERVER_APP_PATH": _CODE,
        "SGLANG_USE_PICKLE_IPC": _CODE,
        "SGLANG_TEST_*": _CODE,
        "SGLANG_SIMULATE_*": _RUNTIME,
        "SGLANG_WEIGHT_CACHE_*": _RUNTIME,
        "SGLANG_*_ROUTE": _RUNTIME,
        "DUMPER_*": _RUNTIME,
        "SGLANG_PORT": _HOLDFAST,
        "SGLANG_*_PORT": _HOLDFAST,
        "SGLANG_CACHE_DIR": _HOLDFAST,
        "SGLANG_*_CACHE_DIR": _HOLDFAST,
        "SGLANG_*_DUMP*": _HOLDFAST,
        "SGLANG_HICACHE_*_PATH": _OTHERS,
        "SGLANG_HICACHE_*_DIR": _OTHERS,
        "SGLANG_ZBAL_*": _OTHERS,
        "AIP_*": _HOLDFAST,
    },
    EngineType.TGI: _EVERY
    | _as_variables(REFUSED_ARGUMENTS[EngineType.TGI])
    | {"RANK": _OTHERS, "WORLD_SIZE": _OTHERS, "HUB_*": _SOURCE, "ATTENTION": _ARGUMENT},
    EngineType.LLAMA_CPP: _EVERY
    | {
        "LLAMA_ARG_*": _ARGUMENT,
        "LLAMA_CACHE": _HOLDFAST,
        "LLAMA_OFFLINE": _HOLDFAST,
        "GGML_BACKEND_*": _CODE,
        "GGML_RPC_*": _OTHERS,
    },
}
"""Refused variables and what to do instead. A ``*`` stands for any text."""


def pattern(names: Iterable[str]) -> str:
    """Return a regular expression, the same to Python and to RE2, for any of these names of `REFUSED`."""
    return f"^({'|'.join(name.replace('*', '.*') for name in names)})$"


def by_reason(engine: EngineType) -> dict[str, list[str]]:
    """Return the names of `REFUSED` by what to do instead. Where a variable is in two lists, the first says why."""
    found: dict[str, list[str]] = {}
    for name, instead in REFUSED[engine].items():
        found.setdefault(instead, []).append(name)
    return found


def refusal(engine: EngineType, name: str) -> str | None:
    """Return why a variable is refused and what to write instead, or None when it is free."""
    return next((instead for instead, names in by_reason(engine).items() if re.fullmatch(pattern(names), name)), None)

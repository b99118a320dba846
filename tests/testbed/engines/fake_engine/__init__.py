"""An inference server that answers at once and misbehaves on request, in the shape of vLLM, TGI, SGLang or llama.cpp.

It loads no model: it hashes the bytes that it was pointed at, and every answer begins with that hash, so a test sees which
bytes answered. Health, version, model, completion and metrics endpoints are those of the engine that it plays, as far as
Holdfast, its gateway and its tests use them.
"""

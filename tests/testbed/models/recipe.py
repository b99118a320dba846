"""Makes the tiny models. A program of its own, run in its own environment: imports nothing of the test bed.

usage: recipe.py safetensors|gguf|adapter SEED DIRECTORY

The model has random weights, the architecture of Qwen2 (so that vLLM, TGI, SGLang and llama.cpp all load it without code
of its own) and 1024 byte-level BPE tokens trained on text made here. Nothing but the seed goes in: the bytes never change.
Another seed gives other weights and another tokenizer. The adapter is a LoRA in PEFT's format for the model of any seed.
"""

import json
import sys
from pathlib import Path

import gguf  # type: ignore[import-not-found]
import numpy as np  # type: ignore[import-not-found]
from safetensors.numpy import load_file, save_file  # type: ignore[import-not-found]
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # type: ignore[import-not-found]

HIDDEN = 64
LAYERS = 2
HEADS = 2
KEY_VALUE_HEADS = 1
HEAD_DIM = HIDDEN // HEADS
INTERMEDIATE = 128
VOCABULARY = 1024
CONTEXT = 32768

ADAPTER_RANK = 8
ADAPTED = {"self_attn.q_proj": (HIDDEN, HIDDEN), "mlp.down_proj": (HIDDEN, INTERMEDIATE)}
"""Modules that the adapter changes, with their outputs and inputs."""

SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
BOS, EOS = 0, 2
WORDS = (
    "the a model pin serves request pod node image weight digest token stream drain probe cache engine "
    "rolls back holds fast slow ready fails starts stops with without from into over one two three "
    "revision rollout traffic user assistant system answer question hello world"
)
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_safetensors(seed: int, out: Path) -> None:
    """Write the files of a transformers model."""
    random = np.random.RandomState(seed)  # the frozen legacy generator: same numbers in every numpy
    _train_tokenizer(random).save(str(out / "tokenizer.json"))
    save_file(_weights(random), out / "model.safetensors", metadata={"format": "pt"})
    _write_json(
        out / "config.json",
        {
            "architectures": ["Qwen2ForCausalLM"],
            "attention_dropout": 0.0,
            "bos_token_id": BOS,
            "eos_token_id": EOS,
            "hidden_act": "silu",
            "hidden_size": HIDDEN,
            "initializer_range": 0.02,
            "intermediate_size": INTERMEDIATE,
            "max_position_embeddings": CONTEXT,
            "model_type": "qwen2",
            "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS,
            "num_key_value_heads": KEY_VALUE_HEADS,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "torch_dtype": "float32",
            "use_sliding_window": False,
            "vocab_size": VOCABULARY,
        },
    )
    _write_json(
        out / "generation_config.json",
        {"bos_token_id": BOS, "eos_token_id": EOS, "do_sample": True, "temperature": 0.3, "top_p": 0.5},
    )
    _write_json(
        out / "tokenizer_config.json",
        {
            "bos_token": None,
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "eos_token": SPECIAL_TOKENS[EOS],
            "model_max_length": CONTEXT,
            "pad_token": SPECIAL_TOKENS[0],
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )
    (out / "chat_template.jinja").write_text(CHAT_TEMPLATE)


def make_gguf(source: Path, target: Path) -> None:
    """Write the model of ``source`` as one GGUF file in 32-bit floats."""
    vocabulary = json.loads((source / "tokenizer.json").read_text())
    tokens = [token for token, _ in sorted(vocabulary["model"]["vocab"].items(), key=lambda pair: pair[1])]
    special = {token["id"] for token in vocabulary["added_tokens"]}
    merges = [m if isinstance(m, str) else " ".join(m) for m in vocabulary["model"]["merges"]]
    writer = gguf.GGUFWriter(str(target), "qwen2")
    writer.add_name("holdfast-tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    kinds = (gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for i in range(len(tokens)))
    writer.add_token_types(list(kinds))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, tensor in sorted(load_file(source / "model.safetensors").items()):
        writer.add_tensor(_gguf_name(name), tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_adapter(seed: int, out: Path) -> None:
    """Write a LoRA adapter (PEFT, ``docs/source/developer_guides/checkpoint``) that clearly changes every answer."""
    random = np.random.RandomState(seed)
    tensors = {}
    for layer in range(LAYERS):
        for module, (outputs, inputs) in ADAPTED.items():
            prefix = f"base_model.model.model.layers.{layer}.{module}"
            for name, shape in {"lora_A": (ADAPTER_RANK, inputs), "lora_B": (outputs, ADAPTER_RANK)}.items():
                tensors[f"{prefix}.{name}.weight"] = (random.standard_normal(shape) * 0.5).astype(np.float32)
    save_file(tensors, out / "adapter_model.safetensors", metadata={"format": "pt"})
    _write_json(
        out / "adapter_config.json",
        {
            "base_model_name_or_path": "holdfast/tiny-chat",
            "bias": "none",
            "inference_mode": True,
            "lora_alpha": 2 * ADAPTER_RANK,
            "lora_dropout": 0.0,
            "peft_type": "LORA",
            "r": ADAPTER_RANK,
            "target_modules": sorted(module.rpartition(".")[2] for module in ADAPTED),
            "task_type": "CAUSAL_LM",
        },
    )


def _train_tokenizer(random: np.random.RandomState) -> Tokenizer:
    words = WORDS.split()
    corpus = [" ".join(words[i] for i in random.randint(0, len(words), 12)) + "." for _ in range(2000)]
    corpus += ["".join(chr(97 + c) for c in random.randint(0, 26, 6)) for _ in range(4000)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(corpus, trainer)
    if tokenizer.get_vocab_size() != VOCABULARY:
        raise SystemExit(f"the tokenizer has {tokenizer.get_vocab_size()} tokens, not {VOCABULARY}")
    return tokenizer


def _weights(random: np.random.RandomState) -> dict[str, np.ndarray]:
    # The order of the draws is part of the recipe. The layers are scaled up so that the output depends on the prompt.
    def draw(*shape: int, scale: float) -> np.ndarray:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    tensors = {
        "model.embed_tokens.weight": draw(VOCABULARY, HIDDEN, scale=0.5),
        "model.norm.weight": np.ones(HIDDEN, np.float32),
        "lm_head.weight": draw(VOCABULARY, HIDDEN, scale=0.3),
    }
    tensors["lm_head.weight"][: len(SPECIAL_TOKENS)] = 0.0  # no accidental stop: greedy answers run to max_tokens
    key_value = KEY_VALUE_HEADS * HEAD_DIM
    shapes = {
        "self_attn.q_proj": (HIDDEN, HIDDEN),
        "self_attn.k_proj": (key_value, HIDDEN),
        "self_attn.v_proj": (key_value, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
        "mlp.up_proj": (INTERMEDIATE, HIDDEN),
        "mlp.down_proj": (HIDDEN, INTERMEDIATE),
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for name, (rows, columns) in shapes.items():
            tensors[f"{prefix}{name}.weight"] = draw(rows, columns, scale=0.25)
            if name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
                tensors[f"{prefix}{name}.bias"] = draw(rows, scale=0.02)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{name}.weight"] = np.ones(HIDDEN, np.float32)
    return tensors


_GGUF_TOP = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_GGUF_LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def _gguf_name(name: str) -> str:
    if name in _GGUF_TOP:
        return _GGUF_TOP[name]
    _, _, layer, rest = name.split(".", 3)
    module, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{_GGUF_LAYER[module]}.{kind}"


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def main(kind: str, seed: str, directory: str) -> None:
    """Make one model."""
    out = Path(directory)
    if kind == "adapter":
        make_adapter(int(seed), out)
        return
    make_safetensors(int(seed), out)
    if kind == "gguf":
        made = sorted(out.iterdir())
        make_gguf(out, out / "tiny.gguf")
        for path in made:
            path.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])

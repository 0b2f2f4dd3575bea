"""Writes a checkpoint as GGUF: `python export.py CHECKPOINT TOKENIZER OUT-PREFIX` makes OUT-PREFIX-f16.gguf and -q8_0.gguf."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import gguf
import numpy as np

from model import EPSILON, Params, Shape
from tokenizer import BYTES, CONTROL, USER, Tokenizer

HERE = Path(__file__).parent
CONTEXT = 4096
Q8 = gguf.GGMLQuantizationType.Q8_0


def export(params: Params, shape: Shape, tokenizer: Tokenizer, path: Path, quantized: bool) -> None:
    if shape.width % 32 or shape.hidden % 32 or shape.head * shape.heads != shape.width:
        raise ValueError("width and hidden size must be multiples of 32, and width a multiple of heads")
    out = gguf.GGUFWriter(path, "qwen2")
    out.add_name("micro")
    out.add_license("MIT OR Apache-2.0")
    out.add_string("agent.profile", "micro")
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if quantized else gguf.LlamaFileType.MOSTLY_F16)
    out.add_block_count(shape.layers)
    out.add_context_length(CONTEXT)
    out.add_embedding_length(shape.width)
    out.add_feed_forward_length(shape.hidden)
    out.add_head_count(shape.heads)
    out.add_head_count_kv(shape.heads)
    out.add_rope_freq_base(shape.rope_base)
    out.add_layer_norm_rms_eps(EPSILON)
    _add_tokenizer(out, tokenizer)

    def matrix(name: str, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values, np.float32)
        if quantized:
            out.add_tensor(name, gguf.quants.quantize(values, Q8), raw_dtype=Q8)
        else:
            out.add_tensor(name, values.astype(np.float16))

    def vector(name: str, values: np.ndarray) -> None:
        out.add_tensor(name, np.ascontiguousarray(values, np.float32))

    matrix("token_embd.weight", params["embedding"])
    vector("output_norm.weight", params["norm"])
    for i, layer in enumerate(params["layers"]):
        block = f"blk.{i}."
        vector(block + "attn_norm.weight", layer["norm1"])
        vector(block + "ffn_norm.weight", layer["norm2"])
        for part, weight, bias in zip("qkv", np.split(layer["qkv"], 3, 1), np.split(layer["bias"], 3)):
            matrix(f"{block}attn_{part}.weight", weight.T)
            vector(f"{block}attn_{part}.bias", bias)
        gate, up = np.split(layer["gate_up"], 2, 1)
        matrix(block + "attn_output.weight", layer["out"].T)
        matrix(block + "ffn_gate.weight", gate.T)
        matrix(block + "ffn_up.weight", up.T)
        matrix(block + "ffn_down.weight", layer["down"].T)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def _add_tokenizer(out: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    kinds = gguf.TokenType
    cut_out = dict.fromkeys(USER + BYTES, kinds.USER_DEFINED) | dict.fromkeys(CONTROL, kinds.CONTROL)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("qwen2")
    out.add_token_list([text.encode() for text in tokenizer.texts])
    out.add_token_types([cut_out.get(text, kinds.NORMAL) for text in tokenizer.texts])
    out.add_token_merges([f"{a} {b}" for a, b in tokenizer.merges])
    out.add_eos_token_id(tokenizer.stop)
    out.add_bos_token_id(tokenizer.end)
    out.add_pad_token_id(tokenizer.end)
    out.add_add_bos_token(False)
    out.add_chat_template((HERE / "chat_template.jinja").read_text().removesuffix("\n"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("prefix", type=Path)
    options = parser.parse_args()
    stored = pickle.loads(options.checkpoint.read_bytes())
    tokenizer = Tokenizer.load(options.tokenizer)
    for kind in ("f16", "q8_0"):
        path = options.prefix.with_name(f"{options.prefix.name}-{kind}.gguf")
        export(stored["params"], Shape(**stored["shape"]), tokenizer, path, quantized=kind == "q8_0")
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()

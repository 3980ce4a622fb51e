"""How model names are written: many spellings in, one key out. Pure text, no data."""

import re

LONGEST = 200  # characters; no name is longer, and a caller's text must not buy us work

# What may follow a name without changing the model: Ollama's and OpenRouter's tags, a Replicate version, a revision.
_TAIL = re.compile(r"(?::(?:latest|free|nitro|floor|fastest|cheapest)|:[0-9a-f]{32,64}|@[\w.]+)$")
_FILE = re.compile(r"(?:-\d{5}-of-\d{5})?\.gguf$")
_BEDROCK = re.compile(r"^(?:[a-z-]+\.)?meta\.")  # a geographic profile, then the maker; Oracle writes the maker too
_VERSION = re.compile(r"-v\d+(?::\d+)?$")
_MAKER = re.compile(r"^(?:databricks-)?meta-(?=llama)")
_CODE = re.compile(r"code-llama")
_GUARD = re.compile(r"llama-?guard-?")
# llama3.1, llama-3-1, llama-v3p1, Llama-3_1; but llama3-8b and llama-2-13b hold a size, not a minor version.
_GENERATION = re.compile(r"llama-?v?([2-4])(?:[.p_-]([1-3])(?![0-9a-z]))?(?![0-9])")
_QUANT = re.compile(
    r"(?<![a-z0-9])(i?q[1-8](?:_[0-9k](?:_[a-z]{1,3})?|_[a-z]{1,3})?|fp8|fp16|fp32|bf16|f16|f32|int4|int8"
    r"|w4a16|w8a16|w8a8|awq|gptq|nvfp4|mxfp4|4bit|8bit)(?![a-z0-9])"
)
_SAME = {"4bit": "int4", "w4a16": "int4", "8bit": "int8", "w8a8": "int8", "w8a16": "int8", "f16": "fp16", "f32": "fp32"}
# Words for how a model is packed, tuned or sold; "text", "base", "code" and "python" are other weights and stay.
_PACKED = ("gguf", "mlx", "imatrix", "bnb", "unsloth", "ud", "dynamic", "quantized", "qlora", "spinquant", "eo8")
_SOLD = ("basic", "maas", "turbo", "lite", "fast", "free", "instant", "versatile", "latest")
_NOISE = frozenset(("instruct", "chat", "hf", "it", *_PACKED, *_SOLD))
_WORD = re.compile(r"[a-z0-9.]+")


def plain(spelling: str) -> str:
    """The last segment of a path or id in lower case, without file name extension, tag, version or revision."""
    text = spelling.strip().lower().rsplit("/", 1)[-1] if len(spelling) <= LONGEST else ""
    return _VERSION.sub("", _TAIL.sub("", _FILE.sub("", text)))


def bare(spelling: str) -> str:
    """`plain` without the words that say how the weights are packed: what a maker calls its untuned model."""
    text = _QUANT.sub("", plain(spelling)).removesuffix("gguf")
    return text.rstrip("-._:")


def key(spelling: str) -> str:
    """What all spellings of one model have in common, as words: `llama 3.1 8b`; empty when nothing is left."""
    text = _MAKER.sub("", _BEDROCK.sub("", plain(spelling)))
    text = _GUARD.sub("llama-guard-", _CODE.sub("codellama", text))
    text = _QUANT.sub("-", _GENERATION.sub(_generation, text))
    words = [word for word in (found.strip(".") for found in _WORD.findall(text)) if word and word not in _NOISE]
    # Ollama writes llama3.2-vision:11b where everyone else writes Llama-3.2-11B-Vision.
    return " ".join(sorted(words, key=lambda word: word == "vision"))


def precision(spelling: str) -> str | None:
    """The precision a spelling names (`q4_k_m`, `fp8`, `int4`...), in lower case, or None when it names none."""
    found = _QUANT.search(spelling.lower()) if len(spelling) <= LONGEST else None
    return _SAME.get(found[1], found[1]) if found else None


def _generation(found: re.Match[str]) -> str:
    return f"llama-{found[1]}.{found[2]}" if found[2] else f"llama-{found[1]}"

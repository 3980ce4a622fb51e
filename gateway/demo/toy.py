"""Writes the toy model: a genuine `llama` GGUF of a megabyte or two that rambles about llamas and stops by itself.

A transformer whose attention and feed-forward outputs are zero is a bigram model: embedding times head. So any table of
bigram logits, factorised by SVD, is a Llama. Run as `python -m gateway.demo.toy PATH`, in a process of its own, so that
numpy never enters the gateway's.
"""

import os
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Final

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Row = Mapping[str, float]  # next piece -> logit
Rows = Mapping[str, Row]  # piece -> what may follow it

NAME: Final = "Toy Llama of Llama Gateway (not a language model)"
CONTEXT: Final = 131_072  # tokens; positions mean nothing to it, so any number would do
HEAD: Final = 32  # width of the one attention head, and of the feed-forward layer
MERGES: Final = 600
SPACE: Final = "\u2581"  # how this kind of tokenizer spells a space

ANY: Final = ""  # the row of every piece without a row of its own
UNKNOWN: Final = "<unk>"
BEGIN: Final = "<s>"
END: Final = "</s>"
ANSWER: Final = "<|assistant|>"
CALLER: Final = "<|caller|>"
CALL: Final = "<tool_call>"
CALLED: Final = "</tool_call>"
CONTROLS: Final = (BEGIN, END, "<|system|>", "<|user|>", ANSWER, CALLER, "<|tool|>", CALL, CALLED)
STOP: Final = 0.25  # chance that a sentence is the last one

# Tools given and no result yet: the answer is a call, which llama.cpp then holds to the tool's schema.
TEMPLATE: Final = """\
{{- bos_token }}
{%- if tools %}{{ '<|system|>' + (tools | tojson) + eos_token }}{% endif %}
{%- for message in messages %}
{{- '<|' + message.role + '|>' + (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>' + ({'name': call.function.name, 'arguments': call.function.arguments} | tojson) + '</tool_call>' }}
{%- endfor %}
{{- eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|assistant|>' if not tools or messages[-1].role == 'tool' else '<|caller|>' }}
{%- endif %}
"""

# JSON comes out only where a grammar forbids prose; then these far lower logits decide. Strings are words of their own.
JSON_WORDS: Final = ("llama", "gateway", "router", "valley", "river", "meadow", "stable", "bell")
_WORDS: Final = dict.fromkeys(JSON_WORDS, 0.0)
_CLOSE: Final = {"}": -8.0, "]": -8.0, ",": -8.5}
_VALUE: Final = {'"': -8.0, **dict.fromkeys("123456789", -10.0), "[": -10.0, "{": -11.0}
JSON: Final[Rows] = {
    '"': _WORDS | _CLOSE | {":": -8.0},
    **{word: {'"': 0.0, "_": -3.0} for word in JSON_WORDS},
    "_": _WORDS,
    **dict.fromkeys("0123456789", _CLOSE | dict.fromkeys("0123456789", -11.5)),
    **dict.fromkeys((":", "["), _VALUE | {"]": -12.0}),
    "{": {'"': -8.0, "}": -12.0},
    **dict.fromkeys("}]", _CLOSE | {END: -7.0, CALLED: -6.0}),
    CALLER: {CALL: 0.0},
    CALLED: {END: 0.0},
}
PUNCTUATION: Final = '"{}[]:,'


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of the vocabulary: its text, its kind, its rank when text is split, and its logit out of the blue."""

    text: str
    kind: TokenType
    score: float
    bias: float


def write_model(path: Path) -> None:
    """Write the toy to `path`, at once or not at all, so that two processes may both do it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(handle)
    try:
        _write(Path(draft), Path(__file__).with_name("toy.txt").read_text(encoding="utf-8"))
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    prose = _prose(re.findall(r"[A-Za-z]+|[.,]", text))
    rows = _without_loops(prose) | _openers(prose) | _structure(prose)
    pieces = _vocabulary(Counter(re.findall(r"[A-Za-z]+", text)), rows)
    embedding, head = _factors(rows, pieces)
    writer = GGUFWriter(path, "llama")
    _describe(writer, len(pieces), embedding.shape[1])
    _tokenizer(writer, pieces)
    _tensors(writer, embedding, head)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# What follows what


def _prose(words: Sequence[str]) -> dict[str, dict[str, float]]:
    """The chances of what follows each piece of the text, as logits; sentences begin alike and stop at random."""
    follows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for before, after in pairwise((".", *words)):
        follows[ANY if before == "." else _spoken(before)][_spoken(after)] += 1
    rows = {piece: _logits(counts) for piece, counts in follows.items()}
    rows["."] = {piece: logit + log(1 - STOP) for piece, logit in rows[ANY].items()} | {END: log(STOP)}
    return rows


def _spoken(word: str) -> str:
    return word if word in ".," else SPACE + word


def _logits(counts: Counter[str]) -> dict[str, float]:
    return {piece: log(count / counts.total()) for piece, count in counts.items()}


def _without_loops(rows: Rows) -> dict[str, Row]:
    """The same rows with one clear favourite each, along which (temperature 0) every answer ends."""
    distance = _distances(rows)
    mended = {piece: _favouring(row, max(row, key=row.__getitem__)) for piece, row in rows.items()}
    for piece in rows:
        while loop := _loop(mended, piece):
            exit_ = min(loop, key=distance.__getitem__)
            mended[exit_] = _favouring(mended[exit_], min(mended[exit_], key=distance.__getitem__))
    return mended


def _favouring(row: Row, favourite: str) -> Row:
    return {**row, favourite: max(row.values()) + 0.1}  # a tie would be broken by rounding


def _distances(rows: Rows) -> dict[str, int]:
    """How many pieces each piece is away from the end of the answer, at least."""
    distance = {END: 0}
    while len(distance) <= len(rows):
        near = {piece for piece, row in rows.items() if piece not in distance and any(p in distance for p in row)}
        steps = max(distance.values()) + 1
        distance |= dict.fromkeys(near, steps)
    return distance


def _loop(rows: Rows, piece: str) -> list[str]:
    """The loop into which the likeliest pieces after `piece` run, or nothing if they run to the end."""
    seen: list[str] = []
    while piece != END and piece not in seen:
        seen.append(piece)
        piece = max(rows[piece], key=rows[piece].__getitem__)
    return seen[seen.index(piece) :] if piece in seen else []


def _openers(prose: Rows) -> dict[str, Row]:
    """Rows of the words that begin an answer: the same as those that begin a sentence, without the space before."""
    starts = {piece.removeprefix(SPACE): logit for piece, logit in prose[ANY].items()}
    return {ANSWER: starts, CALL: starts} | {piece: prose[SPACE + piece] for piece in starts}


def _structure(prose: Rows) -> dict[str, Row]:
    """Rows of JSON's pieces: prose as anywhere, and what a grammar may ask for instead."""
    strings = {'"', "_", CALLER, CALLED, *JSON_WORDS}
    plain = {piece: (row if piece in strings else {**prose[ANY], **row}) for piece, row in JSON.items()}
    return plain | {",": {**prose[","], **_VALUE}}


# Pieces


def _vocabulary(words: Counter[str], rows: Rows) -> list[Piece]:
    """Every piece once: controls, all bytes (so that any text has a spelling), characters, parts of words, words."""
    controls = [Piece(text, TokenType.CONTROL, 0.0, -25.0 if text == END else -90.0) for text in CONTROLS]
    octets = [Piece(f"<0x{byte:02X}>", TokenType.BYTE, 0.0, -60.0) for byte in range(256)]
    letters = [SPACE, *map(chr, range(0x21, 0x7F))]
    parts = [*letters, *_merges(words)]
    spoken = {piece for row in rows.values() for piece in row}
    rest = sorted((spoken | set(rows)) - set(parts) - set(CONTROLS) - {ANY})
    normal = [Piece(text, TokenType.NORMAL, -float(rank), _bias(text)) for rank, text in enumerate([*parts, *rest])]
    return [Piece(UNKNOWN, TokenType.UNKNOWN, 0.0, -90.0), *controls, *octets, *normal]


def _bias(text: str) -> float:
    return -22.0 if text in PUNCTUATION else -34.0 if text == SPACE else -30.0


def _merges(words: Counter[str]) -> list[str]:
    """Parts of the words, most useful first: byte pair encoding."""
    spelled = {tuple(_spoken(word)): count for word, count in words.items()}
    merges: list[str] = []
    while len(merges) < MERGES:
        pairs: Counter[tuple[str, str]] = Counter()
        for spelling, count in spelled.items():
            for pair in pairwise(spelling):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        spelled = {_merged(spelling, best): count for spelling, count in spelled.items()}
        merges.append("".join(best))
    return list(dict.fromkeys(merges))


def _merged(spelling: Iterable[str], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for part in spelling:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)


# Numbers


def _factors(rows: Rows, pieces: Sequence[Piece]) -> tuple[Matrix, Matrix]:
    """Embedding and head, a row for each piece: their product is the table, and all embeddings are equally long."""
    bias = np.array([piece.bias for piece in pieces])
    left, right = _halves(_table(rows, pieces))
    order = {text: number for number, text in enumerate(rows)}
    states = left[[order.get(piece.text, order[ANY]) for piece in pieces]]
    states = np.column_stack((states, np.ones(len(pieces))))
    head = np.column_stack((right, bias))
    length = np.sqrt((states**2).sum(axis=1))
    states = np.column_stack((states, np.sqrt(np.maximum(length.max() ** 2 - length**2, 0))))
    width = -(-states.shape[1] // HEAD) * HEAD
    return _widened(states, width), _widened(head, width)


def _table(rows: Rows, pieces: Sequence[Piece]) -> Matrix:
    """By how much each row lifts each piece above its bias."""
    table = np.zeros((len(rows), len(pieces)))
    column = {piece.text: number for number, piece in enumerate(pieces)}
    for number, row in enumerate(rows.values()):
        for text, logit in row.items():
            table[number, column[text]] = logit - pieces[column[text]].bias
    return table


def _halves(table: Matrix) -> tuple[Matrix, Matrix]:
    left, singular, right = np.linalg.svd(table, full_matrices=False)
    scale = np.sqrt(singular)
    return left * scale, right.T * scale


def _widened(matrix: Matrix, width: int) -> Matrix:
    return np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])))


# The file


def _describe(writer: GGUFWriter, vocabulary: int, width: int) -> None:
    writer.add_name(NAME)
    writer.add_description("Bigrams of a short text about llamas, to try a gateway without a GPU or a key.")
    writer.add_license("apache-2.0")
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(vocabulary)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(HEAD)
    writer.add_block_count(1)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_rope_dimension_count(HEAD)
    writer.add_layer_norm_rms_eps(1e-6)


def _tokenizer(writer: GGUFWriter, pieces: Sequence[Piece]) -> None:
    number = {piece.text: index for index, piece in enumerate(pieces)}
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece.text for piece in pieces])
    writer.add_token_scores([piece.score for piece in pieces])
    writer.add_token_types([piece.kind for piece in pieces])
    writer.add_unk_token_id(number[UNKNOWN])
    writer.add_bos_token_id(number[BEGIN])
    writer.add_eos_token_id(number[END])
    writer.add_add_bos_token(False)  # the template writes it
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)


def _tensors(writer: GGUFWriter, embedding: Matrix, head: Matrix) -> None:
    width = embedding.shape[1]
    unit = np.sqrt((embedding[0] ** 2).sum() / width)  # RMSNorm divides by this, its weight multiplies again
    shapes = {
        "attn_q": (HEAD, width), "attn_k": (HEAD, width), "attn_v": (HEAD, width), "attn_output": (width, HEAD),
        "ffn_gate": (HEAD, width), "ffn_up": (HEAD, width), "ffn_down": (width, HEAD),
    }  # fmt: skip
    _half(writer, "token_embd", embedding)
    _half(writer, "output", head)
    writer.add_tensor("output_norm.weight", np.full(width, unit, dtype=np.float32))
    for norm in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{norm}.weight", np.ones(width, dtype=np.float32))
    for name, shape in shapes.items():
        _half(writer, f"blk.0.{name}", np.zeros(shape))


def _half(writer: GGUFWriter, name: str, matrix: Matrix) -> None:
    writer.add_tensor(f"{name}.weight", matrix.astype(np.float16), raw_dtype=GGMLQuantizationType.F16)


if __name__ == "__main__":
    write_model(Path(sys.argv[1]))

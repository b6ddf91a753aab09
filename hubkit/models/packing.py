"""Documents to blocks of tokens, all of one length, written to disk as they are made.

Running text is packed end to end: no padding, a separator after each document, the last incomplete block left
out. Conversations are never split: each goes into the block whose room it leaves the least of (best fit, the
longest first), and what remains of a block is filled up with a token that counts nowhere.

Files in a folder, each of (blocks, size): `ids`, int32; `segments`, uint16, the number of the document that a
token is of, from 0 in each block, and `FILL` for what fills up; for conversations `counted`, uint8, 1 where a
token is of an answer.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubkit.errors import DataError
from hubkit.models import chat, corpus

CHARACTERS = 1 << 20  # tokenised at a time
TYPES = {"ids": "<i4", "segments": "<u2", "counted": "u1"}
FILL = 2**16 - 1  # in place of a document's number


@dataclass(frozen=True)
class Made:
    """What was written."""

    blocks: int
    size: int
    tokens: int  # without what fills up
    answer_tokens: int | None = None
    conversations_cut: int | None = None
    conversations_left_out: int | None = None


def pack(tokenizer: Any, documents: Sequence[str], size: int, masked: bool, folder: Path) -> Made:
    """Write running text as blocks into a folder. Raises DataError when the text does not fill one block.

    The separator is the end-of-text token, or [SEP] for masked models, whose blocks also begin with [CLS] and
    end with [SEP].
    """
    import numpy

    separator = tokenizer.sep_token_id if masked else tokenizer.eos_token_id
    inner = size - 2 if masked else size
    blocks = seen = 0
    rest = numpy.zeros((2, 0), dtype=numpy.int64)  # tokens, and the documents that they are of
    with (folder / "ids").open("wb") as ids, (folder / "segments").open("wb") as segments:
        for piece in _tokenised(tokenizer, documents, separator):
            seen += piece.shape[1]
            stream = numpy.concatenate([rest, piece], axis=1)
            full = stream.shape[1] // inner
            rest = stream[:, full * inner :]
            rows = stream[:, : full * inner].reshape(2, full, inner)
            if masked:
                rows = _between(rows, tokenizer.cls_token_id, tokenizer.sep_token_id)
            ids.write(rows[0].astype(TYPES["ids"]).tobytes())  # tofile does not say that the disk is full
            segments.write(_numbered(rows[1]).astype(TYPES["segments"]).tobytes())
            blocks += full
    if not blocks:
        raise DataError(
            f"the text has {seen:,} tokens and does not fill one block of {size}",
            "give more text, or a smaller training.block_size",
        )
    return Made(blocks, size, blocks * size)


def _tokenised(tokenizer: Any, documents: Sequence[str], separator: int | None) -> Iterator[Any]:
    """Tokens and their documents' numbers, (2, tokens) int64, for some documents at a time."""
    import numpy

    number = 0
    for group in _groups(documents):
        end = [] if separator is None else [separator]
        rows = [[*ids, *end] for ids in corpus.token_ids(tokenizer, group)]
        flat = numpy.fromiter((token for row in rows for token in row), dtype=numpy.int64)
        of = numpy.repeat(numpy.arange(number, number + len(rows)), [len(row) for row in rows])
        number += len(rows)
        yield numpy.stack([flat, of])


def _groups(documents: Iterable[str]) -> Iterator[list[str]]:
    group: list[str] = []
    size = 0
    for text in documents:
        group.append(text)
        size += len(text)
        if size >= CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _between(rows: Any, first: int, last: int) -> Any:
    """Rows with a token before and after; these are of the documents beside them."""
    import numpy

    framed = numpy.empty((2, rows.shape[1], rows.shape[2] + 2), dtype=rows.dtype)
    framed[:, :, 1:-1] = rows
    framed[0, :, 0], framed[0, :, -1] = first, last
    framed[1, :, 0], framed[1, :, -1] = rows[1, :, 0], rows[1, :, -1]
    return framed


def _numbered(documents: Any) -> Any:
    """Numbers of documents as they are counted in each block, from 0; those without a token have none."""
    import numpy

    changes = numpy.zeros(documents.shape, dtype=numpy.int64)
    changes[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return changes.cumsum(axis=1)


def pack_conversations(tokenizer: Any, documents: Sequence[str], size: int, folder: Path) -> Made:
    """Write conversations as blocks into a folder, with what is counted of them.

    One that is longer than a block loses its end; one without an answer in what is left is left out. Raises
    DataError where none remains.
    """
    import numpy

    lengths, cut, left_out, answers = [], 0, 0, 0
    flat = folder / "flat"
    with flat.open("wb") as file:
        for one in chat.encode(tokenizer, documents):
            ids, labels = one.ids[:size], one.labels[:size]
            counted = [label != chat.NOT_COUNTED for label in labels]
            if not any(counted[1:]):  # the first token is predicted from nothing
                left_out += 1
                continue
            cut += len(one.ids) > size
            answers += sum(counted[1:])
            lengths.append(len(ids))
            file.write(numpy.array([ids, counted], dtype=TYPES["ids"]).tobytes())
    if not lengths:
        raise DataError(
            f"no conversation has an answer within {size} tokens", "give a larger training.block_size"
        )
    stored = numpy.memmap(flat, dtype=TYPES["ids"], mode="r")
    fill = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
    blocks = best_fit(lengths, size)
    _write(blocks, lengths, stored, size, fill, folder)
    del stored
    flat.unlink()
    return Made(len(blocks), size, sum(lengths), answers, cut, left_out)


def _write(
    blocks: list[list[int]], lengths: list[int], stored: Any, size: int, fill: int, folder: Path
) -> None:
    import numpy

    starts = 2 * numpy.cumsum([0, *lengths])
    files = {name: (folder / name).open("wb") for name in TYPES}
    try:
        for members in blocks:
            row = {name: numpy.zeros(size, dtype=kind) for name, kind in TYPES.items()}
            row["ids"][:] = fill
            row["segments"][:] = FILL
            at = 0
            for number, member in enumerate(members):
                ids, counted = stored[starts[member] : starts[member + 1]].reshape(2, -1)
                end = at + len(ids)
                row["ids"][at:end], row["counted"][at:end], row["segments"][at:end] = ids, counted, number
                row["counted"][at] = 0  # nothing that is of this conversation stands before it
                at = end
            for name, values in row.items():
                files[name].write(values.tobytes())
    finally:
        for file in files.values():
            file.close()


def best_fit(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Which items share a block: the longest first, each where it leaves the least room; else in a new one.

    No length is above `size`. (Best-fit decreasing, Johnson 1973: at most 11/9 of the fewest blocks, and 4.)
    """
    blocks: list[list[int]] = []
    rooms: list[int] = []  # that some block has left, in order
    of_room: dict[int, deque[int]] = {}
    for item in sorted(range(len(lengths)), key=lambda at: (-lengths[at], at)):
        place = bisect.bisect_left(rooms, lengths[item])
        if place == len(rooms):
            block, room = len(blocks), size
            blocks.append([])
        else:
            room = rooms[place]
            block = of_room[room].popleft()
            if not of_room[room]:
                del of_room[room], rooms[place]
        blocks[block].append(item)
        if left := room - lengths[item]:
            if left not in of_room:
                bisect.insort(rooms, left)
                of_room[left] = deque()
            of_room[left].append(block)
    return blocks

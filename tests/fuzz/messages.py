"""Messages of any kind, made and bent by their descriptors: what is added to the protos is bent without a word here."""

import json
import random
from collections import defaultdict
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.fuzz.bending import CONTENTS, NUMBERS, TEXTS, bent_bytes, bent_json, bent_text

LONGEST_WORD: Final = 4000
MOST_LEVELS: Final = 6
_NUMBERS: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_REALS: Final = (0.0, -0.0, 1.5, -1.0, 1e308, -1e308, 5e-324, float("inf"), float("-inf"), float("nan"), 2.0**53)


class Words:
    """What messages of a server have said: values that fields have when they are right."""

    def __init__(self) -> None:
        self._of_field: defaultdict[str, dict[Any, None]] = defaultdict(dict)
        self._of_name: defaultdict[str, dict[Any, None]] = defaultdict(dict)

    def learn(self, message: Message) -> None:
        """Keeps every text, number and content of a message."""
        for field, value in message.ListFields():
            values = list(value.values()) if _is_map(field) else list(value) if field.is_repeated else [value]
            for one in values:
                if isinstance(one, Message):
                    self.learn(one)
                elif not isinstance(one, (str, bytes)) or len(one) <= LONGEST_WORD:
                    self._of_field[field.full_name][one] = None
                    self._of_name[f"{field.cpp_type}{field.type}{field.name}"][one] = None

    def word(self, chance: random.Random, field: FieldDescriptor) -> Any:
        """A value that such a field had; None where none had any."""
        kept = self._of_field.get(field.full_name) or self._of_name.get(f"{field.cpp_type}{field.type}{field.name}")
        return chance.choice(list(kept)) if kept else None

    def any_name(self, chance: random.Random) -> str:
        """A name of something, of whatever kind."""
        kept = self._of_name.get(f"{FieldDescriptor.CPPTYPE_STRING}{FieldDescriptor.TYPE_STRING}name")
        return str(chance.choice(list(kept))) if kept else "runs/none"


def made(chance: random.Random, descriptor: Descriptor, words: Words, levels: int = 0) -> Message:
    """A message of a kind, with words that such fields had."""
    message: Message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if chance.random() < (0.6 if levels < MOST_LEVELS else 0.0):
            _set(chance, message, field, words, levels)
    return message


def bent(chance: random.Random, message: Message, words: Words) -> Message:
    """A copy with one to four of its fields, at whatever depth, changed."""
    copied: Message = type(message)()
    copied.CopyFrom(message)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        _bend(chance, copied, words, 0)
    return copied


def _bend(chance: random.Random, message: Message, words: Words, levels: int) -> None:
    fields = list(message.DESCRIPTOR.fields)
    if not fields:
        return
    there = [field for field, _ in message.ListFields()]
    field = chance.choice(there) if there and chance.random() < 0.75 else chance.choice(fields)
    inner = _inner_messages(message, field)
    if inner and chance.random() < 0.8 and levels < MOST_LEVELS:
        _bend(chance, chance.choice(inner), words, levels + 1)
    elif field in there and chance.random() < 0.2:
        message.ClearField(field.name)
    elif field in there and not field.is_repeated and isinstance(old := getattr(message, field.name), (str, bytes)):
        setattr(message, field.name, _bent_word(chance, field, old, words))
    else:
        _set(chance, message, field, words, levels)


def _inner_messages(message: Message, field: FieldDescriptor) -> list[Message]:
    if field.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE:
        return []
    value = getattr(message, field.name)
    if _is_map(field):
        return [one for one in value.values() if isinstance(one, Message)]
    if field.is_repeated:
        return list(value)
    return [value] if message.HasField(field.name) else []


def _bent_word(chance: random.Random, field: FieldDescriptor, old: str | bytes, words: Words) -> str | bytes:
    draw = chance.random()
    if isinstance(old, str):
        if draw < 0.35:
            return bent_text(chance, old)
        if draw < 0.5:
            return words.any_name(chance)
        return str(_value(chance, field, words))
    if draw < 0.4:
        try:
            return json.dumps(bent_json(chance, json.loads(old))).encode()
        except (ValueError, RecursionError):
            return bent_bytes(chance, old)
    return bent_bytes(chance, old) if draw < 0.6 else bytes(_value(chance, field, words))


def _set(chance: random.Random, message: Message, field: FieldDescriptor, words: Words, levels: int) -> None:
    if _is_map(field):
        _set_entry(chance, getattr(message, field.name), field, words, levels)
    elif field.is_repeated:
        several = getattr(message, field.name)
        for _ in range(chance.choice((1, 1, 2, 3, 3, 101, 1100)) if levels == 0 else chance.choice((1, 2))):
            if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
                several.append(_made_or_empty(chance, field, words, levels))
            else:
                several.append(_value(chance, field, words))
    elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        getattr(message, field.name).CopyFrom(_made_or_empty(chance, field, words, levels))
    else:
        setattr(message, field.name, _value(chance, field, words))


def _set_entry(chance: random.Random, entries: Any, field: FieldDescriptor, words: Words, levels: int) -> None:
    held = field.message_type.fields_by_name
    key, value = _value(chance, held["key"], words), held["value"]
    if value.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        entries[key].CopyFrom(_made_or_empty(chance, value, words, levels))
    else:
        entries[key] = _value(chance, value, words)


def _made_or_empty(chance: random.Random, field: FieldDescriptor, words: Words, levels: int) -> Message:
    if chance.random() < 0.2:
        return GetMessageClass(field.message_type)()
    return made(chance, field.message_type, words, levels + 1)


def _value(chance: random.Random, field: FieldDescriptor, words: Words) -> Any:
    word = words.word(chance, field) if chance.random() < 0.5 else None
    if word is not None:
        return word
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return chance.choice(CONTENTS)
        case FieldDescriptor.CPPTYPE_STRING:
            return words.any_name(chance) if chance.random() < 0.2 else chance.choice(TEXTS)
        case FieldDescriptor.CPPTYPE_BOOL:
            return chance.random() < 0.5
        case FieldDescriptor.CPPTYPE_ENUM:
            return chance.choice((*(value.number for value in field.enum_type.values), 99, -1, 2**31 - 1))
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            return chance.choice(_REALS)
        case _:
            lowest, highest = _NUMBERS[field.cpp_type]
            return max(lowest, min(highest, chance.choice(NUMBERS)))


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry

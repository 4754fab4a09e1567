"""Frozen values without the import cost of `dataclasses` (22 ms) or `typing` (8 ms).

A subclass of `Record` declares its fields as annotations, with or without defaults, as a dataclass does:

    class Mark(Record):
        file: str
        line: int = 0

Instances have slots, are immutable, compare and hash by value, print their fields, and match by position.
Modules that define records need `from __future__ import annotations`.
"""

from __future__ import annotations

import marshal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, ClassVar, TypeVar, dataclass_transform

    T = TypeVar("T", bound="Record")
    NamedRecords = Mapping[str, Any]
else:
    NamedRecords = object  # its class would cost an import

    def dataclass_transform(**_):
        """Stand in for `typing.dataclass_transform`, which only type checkers read."""
        return lambda cls: cls


@dataclass_transform(eq_default=True, frozen_default=True)
class RecordType(type):
    """Turn the annotations of a class body into slots, defaults and match arguments."""

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> RecordType:
        """Create the class; fields of the base records come first."""
        declared = [field for field, kind in body.get("__annotations__", {}).items() if not kind.startswith("ClassVar")]
        defaults: dict[str, Any] = {}
        fields: tuple[str, ...] = ()
        for parent in bases:
            fields += getattr(parent, "_fields", ())
            defaults.update(getattr(parent, "_defaults", {}))
        for field in declared:
            if field in body:
                defaults[field] = body.pop(field)
        own = tuple(field for field in declared if field not in fields)
        body["__slots__"] = own
        body["_fields"] = body["__match_args__"] = fields + own
        body["_defaults"] = defaults
        return super().__new__(mcs, name, bases, body)


class Record(metaclass=RecordType):
    """Base of all frozen values."""

    if TYPE_CHECKING:
        _fields: ClassVar[tuple[str, ...]]
        _defaults: ClassVar[dict[str, Any]]

    def __init__(self, *values: Any, **named: Any) -> None:
        """Set every field once; unknown, repeated and missing ones are `TypeError`."""
        put = object.__setattr__
        fields = self._fields
        if len(values) > len(fields):
            raise TypeError(f"{type(self).__name__} takes {len(fields)} values, not {len(values)}")
        for field, value in zip(fields, values):  # noqa: B905 - fewer values than fields is usual
            put(self, field, value)
        defaults = self._defaults
        for field in fields[len(values) :]:
            if field in named:
                put(self, field, named.pop(field))
            elif field in defaults:
                put(self, field, defaults[field])
            else:
                raise TypeError(f"{type(self).__name__} lacks a value for {field}")
        if named:
            raise TypeError(f"{type(self).__name__} has no place for {', '.join(sorted(named))}")

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: records do not change."""
        raise AttributeError(f"{type(self).__name__} is frozen, use replace()")

    def __delattr__(self, name: str) -> None:
        """Refuse: records do not change."""
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        """Compare class and every field."""
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, field) == getattr(other, field) for field in self._fields)

    def __hash__(self) -> int:
        """Hash by value; a record that holds a mapping is not hashable."""
        return hash((type(self).__name__, *(getattr(self, field) for field in self._fields)))

    def __repr__(self) -> str:
        """Show `Class(field=value, ...)`."""
        shown = ", ".join(f"{field}={getattr(self, field)!r}" for field in self._fields)
        return f"{type(self).__name__}({shown})"


def replace(record: T, **changes: Any) -> T:
    """Return a copy of `record` with the named fields changed."""
    values = {field: getattr(record, field) for field in record._fields}
    for field in changes:
        if field not in values:
            raise TypeError(f"{type(record).__name__} has no field {field}")
    return type(record)(**{**values, **changes})


def pack(value: Any) -> Any:
    """Return `value` as plain data that `marshal` takes: a record becomes `[class name, *fields]`.

    Lists are not values of records (tuples are), so a list always stands for a record.
    """
    if isinstance(value, Record):
        return [type(value).__name__, *(pack(getattr(value, field)) for field in value._fields)]
    if isinstance(value, tuple):
        return tuple(pack(item) for item in value)
    if isinstance(value, (dict, Packed)):
        return {key: pack(item) for key, item in value.items()}
    return value


def unpack(data: Any, classes: Mapping[str, type[Record]]) -> Any:
    """Turn what `pack` returned back into records of the given `classes` (by name).

    Raises:
        KeyError, TypeError: the data is not of this version; callers take that as a miss.
    """
    if isinstance(data, list):
        return classes[data[0]](*(unpack(item, classes) for item in data[1:]))
    if isinstance(data, tuple):
        return tuple(unpack(item, classes) for item in data)
    if isinstance(data, dict):
        return {key: unpack(item, classes) for key, item in data.items()}
    return data


def pack_each(named: Mapping[str, Record]) -> dict[str, bytes]:
    """Return records by name as bytes, each for itself; for `Packed`."""
    return {name: marshal.dumps(pack(record)) for name, record in named.items()}


class Packed(NamedRecords):
    """Records by name, of which each is unpacked when it is first looked at: most starts look at few of many.

    `packed` is what `pack_each` returned; the order is kept. It is a `Mapping` in all but its class.
    """

    __slots__ = ("_classes", "_packed", "_seen")

    def __init__(self, packed: Mapping[str, bytes], classes: Mapping[str, type[Record]]) -> None:
        """Unpack nothing yet."""
        self._packed = packed
        self._classes = classes
        self._seen: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Return the record of a name."""
        if name not in self._seen:
            self._seen[name] = unpack(marshal.loads(self._packed[name]), self._classes)
        return self._seen[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the record of a name, or `default`."""
        return self[name] if name in self._packed else default

    def __contains__(self, name: object) -> bool:
        """Tell whether there is such a name."""
        return name in self._packed

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._packed)

    def __len__(self) -> int:
        """Count the names."""
        return len(self._packed)

    def keys(self) -> Any:
        """Return the names."""
        return self._packed.keys()

    def values(self) -> Any:
        """Return all records."""
        return self.whole().values()

    def items(self) -> Any:
        """Return all names with their records."""
        return self.whole().items()

    def whole(self) -> dict[str, Any]:
        """Return a dict with all records."""
        return {name: self[name] for name in self._packed}

    def __eq__(self, other: object) -> bool:
        """Compare with another of the kind, or a dict."""
        return self.whole() == (other.whole() if isinstance(other, Packed) else other)

    __hash__ = None  # type: ignore[assignment]  # like a dict

    def __repr__(self) -> str:
        """Show all records."""
        return repr(self.whole())


def records(namespace: Mapping[str, Any]) -> dict[str, type[Record]]:
    """Return the record classes of a module's `vars()` by name, for `unpack`."""
    return {
        name: value
        for name, value in namespace.items()
        if isinstance(value, type) and issubclass(value, Record) and value is not Record
    }


def as_json(value: Any) -> Any:
    """Return `value` as what JSON can hold: records become objects with a `kind`."""
    if isinstance(value, Record):
        shown = {"kind": type(value).__name__}
        shown.update((field, as_json(getattr(value, field))) for field in value._fields)
        return shown
    if isinstance(value, (tuple, list)):
        return [as_json(item) for item in value]
    if isinstance(value, (dict, Packed)):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    return value

"""The base of every schema: closed at each level, with one-line errors and a did-you-mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from stprune.base.errors import ConfigError, unknown_name_message
from stprune.base.plain_text import control_character
from stprune.base.text_file import read_yaml_file


class StrictModel(BaseModel):
    """A frozen model that refuses unknown keys.

    A number may be written as text, since YAML takes ``1e-3`` for one; a truth value is none.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=False, validate_default=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``yes``, ``on`` or ``true`` where a number is meant; it would count as 1."""
        field = cls.model_fields[str(info.field_name)]
        entries = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(entry, bool) for entry in entries) and _is_number(field.annotation):
            raise ValueError("a number is meant, not true or false")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _text_is_plain(cls, value: Any) -> Any:
        """Refuse what a terminal or a log would obey; see :mod:`stprune.base.plain_text`."""
        found = control_character(value)
        if found is not None:
            raise ValueError(f"text without control characters is meant, not one with {found}")
        return value


class NoOptions(StrictModel):
    """For a component that has nothing to choose."""


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], values: Any, where: str) -> Model:
    """Check ``values`` against ``model``.

    Args:
        model: The schema.
        values: What was read, normally a mapping.
        where: File or place to name in the message.

    Raises:
        ConfigError: One line: the key, what is wrong with it, what would be right.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_one_line(model, error, where)) from None


def read_yaml(path: Path) -> Any:
    """Read one YAML file safely.

    Raises:
        ConfigError: If the file is not there or is no YAML.
    """
    try:
        return read_yaml_file(path)
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None


def _one_line(model: type[BaseModel], error: ValidationError, where: str) -> str:
    # A misspelt key is also a missing one: name what stands in the file first.
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    location, parent = _followed(model, [str(part) for part in first["loc"]])
    key = ".".join(location)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        known = list(parent.model_fields) if parent else []
        place = f"{where} at `{'.'.join(location[:-1])}`" if location[:-1] else where
        return unknown_name_message("key", location[-1], known, place) + more
    value = f", got {first['input']!r}" if not isinstance(first["input"], dict) else ""
    return f"{where}: `{key}`: {first['msg']}{value}{more}" if key else f"{where}: {first['msg']}"


def _followed(
    model: type[BaseModel], location: list[str]
) -> tuple[list[str], type[BaseModel] | None]:
    """``location`` without the tags of unions, as a file has it, and the model its last part is of.

    Leads through mappings and lists of models, and through unions of models that have a tag each.
    """
    current: Any = model
    parent: type[BaseModel] | None = None
    shown = []
    for part in location:
        tagged = _tagged(current)
        if part in tagged:
            current = tagged[part]
            continue
        parent = current if _is_model(current) else None
        shown.append(part)
        if parent is not None:
            field = parent.model_fields.get(part)
            current = field.annotation if field else None
        else:
            # The entries of a mapping or list are the last of its arguments.
            current = (get_args(current) or (None,))[-1]
    return shown, parent


def _tagged(annotation: Any) -> dict[str, Any]:
    """The members of a tagged union by their tags; empty for anything else."""
    members = get_args(get_args(annotation)[0]) if get_origin(annotation) is Annotated else ()
    return {
        extra.tag: get_args(member)[0]
        for member in members
        for extra in get_args(member)[1:]
        if isinstance(extra, Tag)
    }


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_number(annotation: Any) -> bool:
    """Whether a field holds numbers: plain, optional, or in a list."""
    return annotation in (int, float) or any(map(_is_number, get_args(annotation)))
